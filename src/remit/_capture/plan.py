"""How the arguments and the result of one callable are captured.

Ordinary calls, with short texts and numbers, never enter the walk: what their names ask for is
decided here once, and their arguments are bound and encoded in C.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Raw, Struct
from msgspec.structs import astuple

from remit._capture.encode import Rules, encoded, withheld_texts
from remit._capture.form import UNSET, Form, all_plain, form_of
from remit._capture.markers import withheld
from remit._capture.purse import MAX_INNER, encode, is_bare
from remit._capture.scalars import text
from remit._capture.secrets import Known, gather
from remit._capture.shapes import Kind, shape_of
from remit._capture.slots import (
    BY_KEYWORD,
    BY_POSITION,
    VAR_KEYWORD,
    VAR_POSITIONAL,
    Side,
    Slot,
    error_rule,
    result_slot,
    rules_off,
    slot_of,
    surplus_slot,
)
from remit._capture.walk import LABELS, Walk
from remit._capture.wishes import Wish, Wishes
from remit._signature import MISSING, RETURN, Reading

SURPLUS: Final = "*"
"""Key of positional arguments that the signature has no place for: the call itself will fail."""

SURPLUS_KEYWORDS: Final = "**"

_MAX_FLAT_KEYS: Final = 64

_NOT_ENCODED: Final = (UnicodeEncodeError, TypeError)
"""A text has no UTF-8; the arguments do not fit their form, or one of them is `UNSET` in it."""

_NONE: Final[frozenset[str]] = frozenset()


class Plan:
    """How the values of one callable are captured.

    Attributes:
        outcome: What is decided for the result, and for the items of a stream.
        error_rule: The rule that withholds the message of every error, else None.
        withheld: Rules by which the declaration withholds every value of a parameter, by its name.
        rules_off: Rules that `capture=` turns off, by parameter and `return`; under "" those that
            are off for all of them.
    """

    def __init__(
        self,
        reading: Reading,
        *,
        params_rule: str | None = None,
        result_rule: str | None = None,
        params_excluded: frozenset[str] = frozenset(),
        result_excluded: frozenset[str] = frozenset(),
        keep: Mapping[str, Wish] | None = None,
    ) -> None:
        """Decide what can be decided without a call.

        Args:
            reading: What the signature says.
            params_rule: The rule by which the declaration withholds every parameter.
            result_rule: The same for the result.
            params_excluded: Data categories that the parameters are declared not to hold.
            result_excluded: The same for the result.
            keep: What `capture=` asks for (`remit._capture.wishes`).
        """
        wishes = Wishes.of(keep or {})
        params = Side(params_rule, params_excluded, wishes)
        result = Side(result_rule, result_excluded, wishes)
        self.outcome = result_slot(reading.returns, reading.returns_category, result)
        self.error_rule = error_rule(result)
        self._slots = tuple(slot_of(each, params) for each in reading.parameters)
        self._names = reading.names
        self._skipped = reading.skipped
        self._rest = _name_of_kind(self._slots, VAR_POSITIONAL)
        self._others = _name_of_kind(self._slots, VAR_KEYWORD)
        # A skipped `*args` or `**kwargs` is not told apart from a skipped keyword: neither counts.
        self._drops_surplus = len(reading.skipped) > reading.names.count(None)
        self._by_keyword = frozenset(each.name for each in self._slots if each.kind in BY_KEYWORD)
        self._surplus = surplus_slot(self._slots, params)
        # Under a decorator that moves arguments, each of them may be the one to withhold.
        rules = (each.any_rule for each in self._slots if each.kind in BY_POSITION)
        self._unsure = None if reading.sure else next(filter(None, rules), None)
        self._most = len(reading.names) if self._unsure is None else 0
        self.withheld = {each.name: each.rule for each in self._slots if each.rule is not None}
        self.rules_off = {
            "": tuple(sorted(wishes.off)),
            RETURN: rules_off(RETURN, result),
            **{each.name: rules_off(each.name, params) for each in self._slots},
        }
        self._hidden = tuple(each for each in self._slots if not each.open)
        self._labelled = _labelled(self._slots)
        # Only a walk judges `value` by `name`, as in `set_header(name=, value=)`.
        self._form = None if self._labelled is not None else form_of(self._slots)
        out = self.outcome
        self._special = bool(self._skipped or self._hidden)
        self._plain_results = out.rule is None and not out.excluded and not out.declared

    def params(
        self,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        rules: Rules,
        secrets: list[str] | None = None,
    ) -> bytes:
        """Return the payload of a call, before the call is made.

        Args:
            args: Positional arguments, without `self` if the reading was made without it.
            kwargs: Keyword arguments.
            rules: Limits, hook and counts.
            secrets: Collects the texts of what is withheld.

        Returns:
            A JSON object in UTF-8: one key for each parameter of the schema that has a value.
        """
        form = self._form
        if form is None or rules.hook is not None or len(args) > self._most:
            return self._walked(args, kwargs, rules, secrets)
        if kwargs or self._special:
            data = self._quick(form, args, kwargs, rules, secrets)
            return data or self._walked(args, kwargs, rules, secrets)
        # Most calls, here and not in a function: to call one takes half as long as to encode.
        if all_plain(args):
            try:
                data = encode(form(*args))
            except _NOT_ENCODED:
                return self._walked(args, kwargs, rules, secrets)
            if len(data) <= rules.limits.max_payload_bytes:
                return data
        return self._walked(args, kwargs, rules, secrets)

    def result(self, value: Any, rules: Rules, known: Known | None = None) -> bytes:  # noqa: ANN401 - whatever was returned
        """Return the result of a call.

        Args:
            value: What the call returned.
            rules: Limits, hook and counts.
            known: Texts that it must not hold.

        Returns:
            A JSON object in UTF-8: the value itself if it is like a mapping (a dict, a model, a
            dataclass), else `{"result": value}`.
        """
        if not self._plain_results or rules.hook is not None:
            return self._walked_result(value, rules, known)
        kind = type(value)  # pyright: ignore[reportUnknownVariableType] # of anything
        flat: dict[str, object]
        if kind is dict and len(value) <= _MAX_FLAT_KEYS:
            # A copy, so that no other thread changes it between the look and the encoding.
            flat = value.copy()
            plain = all_plain(flat.values(), flat)
        else:
            flat = {"result": value}
            plain = all_plain((value,))
        if plain:
            try:
                data = encode(flat)
            except _NOT_ENCODED:
                return self._walked_result(value, rules, known)
            told = known is not None and known.quoted_by((*flat, *flat.values()))
            if len(data) <= rules.limits.max_payload_bytes and not told:
                return data
        return self._walked_result(value, rules, known)

    def secrets(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> tuple[str, ...]:
        """Return the texts that `params` withholds (`withheld_texts`)."""
        return withheld_texts(lambda walk: self._bound(walk, args, kwargs))

    def _quick(
        self,
        form: Form,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        rules: Rules,
        secrets: list[str] | None,
    ) -> bytes | None:
        """Return the payload of a call by keywords, or of one of which something is withheld.

        Returns:
            None if a value needs the walk.
        """
        if self._skipped:
            args, kwargs = self._unskipped(args, kwargs)
        given = args
        if kwargs:
            for name in kwargs:
                if type(name) is not str or name not in self._by_keyword:
                    return None
            given = (*args, *kwargs.values())
        try:
            payload = form(*args, **kwargs)
        except TypeError:  # one was given twice
            return None
        if self._hidden:
            return None if rules.off else self._quick_without(payload, rules, secrets)
        return encoded(payload, rules) if all_plain(given) else None

    def _quick_without(
        self, payload: Struct, rules: Rules, secrets: list[str] | None
    ) -> bytes | None:
        """Return a payload with markers where names and marks ask for them."""
        counts: list[str] = []
        for slot in self._hidden:
            value: object = getattr(payload, slot.name)
            if value is UNSET:
                return None
            rule = slot.rule or (None if is_bare(value) else slot.name_rule)
            if rule is not None:
                setattr(payload, slot.name, _raw_withheld(rule))
                counts.append(rule)
                if secrets is not None:
                    gather(secrets, value)
        data = encoded(payload, rules) if all_plain(astuple(payload)) else None
        if data is not None:
            rules.count(counts)
        return data

    def _unskipped(
        self, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> tuple[tuple[object, ...], Mapping[str, object]]:
        """Return the arguments without those of the parameters that are never recorded."""
        kept = [value for name, value in zip(self._names, args, strict=False) if name is not None]
        named = {
            name: value
            for name, value in kwargs.items()
            if type(name) is not str or name not in self._skipped
        }
        return tuple(kept), named

    def _walked(
        self,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        rules: Rules,
        secrets: list[str] | None,
    ) -> bytes:
        # A function of its own: in the one that it is called from these names would be cells.
        return rules.seal(lambda walk: self._bound(walk, args, kwargs), secrets=secrets)

    def _walked_result(self, value: object, rules: Rules, known: Known | None) -> bytes:
        return rules.seal(lambda walk: self._returned(walk, value), known=known)

    def _bound(
        self, walk: Walk, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> dict[str, object]:
        """Return the payload of any call, also of one that does not fit the signature."""
        unsure = self._unsure if args else None
        given, surplus = self._given(args if unsure is None else (), kwargs)
        moved = _NONE if unsure is None else self._moved(given)
        values = [
            (slot, given.get(slot.name, slot.default))
            for slot in self._slots
            if slot.name in given or slot.name in moved or slot.default is not MISSING
        ]
        walk.begin([*(value for _, value in values), *surplus.values()])
        out = {
            slot.name: walk.withhold(unsure, args)
            if unsure is not None and slot.name in moved
            else slot.walked(walk, value)
            for slot, value in values
        }
        for key, value in surplus.items():
            out[key] = self._surplus.walked(walk, value)
        if self._labelled is not None:
            self._labelled.apply(walk)
            walk.hide_labelled(out)
        return out

    def _moved(self, given: Mapping[str, object]) -> frozenset[str]:
        """Return the parameters that an argument by position may be of, whichever was *given*."""
        return frozenset(
            each.name
            for each in self._slots
            if each.kind is VAR_POSITIONAL or (each.kind in BY_POSITION and each.name not in given)
        )

    def _given(
        self, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> tuple[dict[str, object], dict[str, object]]:
        """Return the arguments by parameter, and what the signature has no place for."""
        given = {
            name: value for name, value in zip(self._names, args, strict=False) if name is not None
        }
        others: dict[str, object] = {}
        for key, value in kwargs.items():
            name = key if type(key) is str else str(text(key))
            if name in self._by_keyword and name not in given:
                given[name] = value
            elif name not in self._skipped:
                others[name] = value
        # A list: two that have no names are no pair.
        rest = list(args[len(self._names) :])
        surplus: dict[str, object] = {}
        for home, key, value in (
            (self._rest, SURPLUS, rest),
            (self._others, SURPLUS_KEYWORDS, others),
        ):
            if home is not None:
                given[home] = value
            elif value and not self._drops_surplus:
                surplus[key] = value
        return given, surplus

    def _returned(self, walk: Walk, value: object) -> object:
        self.outcome.apply(walk)
        rule = None if self.outcome.rule in walk.off else self.outcome.rule
        inner = value
        shape = shape_of(type(inner))
        for _ in range(MAX_INNER):
            if shape.kind is Kind.INNER:
                inner = shape.plain(inner)
                rule = rule or walk.rule_inside(shape, inner)
                shape = shape_of(type(inner))
        if shape.kind is Kind.RECORD and rule is not None:
            return {each.name: walk.withhold(rule, None) for each in shape.fields}
        if shape.kind in {Kind.MAPPING, Kind.RECORD}:
            # The keys of a dict are data as well: all of it is withheld, not only the values.
            return walk.value(inner, 0) if rule is None else walk.withhold(rule, inner)
        walk.begin((value,))
        shown = walk.deeper(value, 0) if rule is None else walk.withhold(rule, value)
        return {"result": shown}


def _name_of_kind(slots: Iterable[Slot], kind: object) -> str | None:
    return next((each.name for each in slots if each.kind is kind), None)


def _labelled(slots: Iterable[Slot]) -> Slot | None:
    """Return the parameter `value` if another parameter may name it."""
    by_name = {each.name: each for each in slots}
    return None if by_name.keys().isdisjoint(LABELS) else by_name.get("value")


def _raw_withheld(rule: str) -> Raw:
    """Return the marker as bytes, made once for each rule."""
    made = _RAW.get(rule)
    if made is None:
        made = _RAW[rule] = Raw(encode(withheld(rule)))
    return made


_RAW: Final[dict[str, Raw]] = {}
"""Rules are few: names, marks, categories and classifications."""
