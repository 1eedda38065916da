"""The capture plan of a callable: how its arguments and its result are captured.

Calls with short texts and numbers take the fast path; all others are walked.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from itertools import compress
from typing import Any, Final, TypeAlias

from msgspec import Raw, Struct, field
from msgspec.structs import astuple

from remit._capture import markers
from remit._capture.declared import marked_keys, rule_of, rule_of_mark, type_category
from remit._capture.encode import Rules
from remit._capture.fast_path import UNSET, ArgsStruct, all_plain, args_struct
from remit._capture.rules.categories import category_of_name
from remit._capture.rules.names import name_rule
from remit._capture.rules.switches import CAPTURE_OFF
from remit._capture.scalars import text
from remit._capture.type_readers import Kind, reader_of
from remit._capture.walk import LABELS, MAX_INNER, Walk, encode, is_harmless
from remit._inspect.annotations import NO_NAMES
from remit._inspect.overrides import CaptureOption
from remit._inspect.signature import MISSING, RETURN, Parameter, SignatureInfo

Capture: TypeAlias = bool | Mapping[str, CaptureOption]
"""`capture=` of a decorator: keys are parameters, `return`, and names of rules."""

SURPLUS: Final = "*"
"""Key of positional arguments that no parameter takes: the call itself will fail."""

SURPLUS_KEYWORDS: Final = "**"

VAR_POSITIONAL: Final = inspect.Parameter.VAR_POSITIONAL
VAR_KEYWORD: Final = inspect.Parameter.VAR_KEYWORD
_BY_POSITION: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    VAR_POSITIONAL,
)
_BY_KEYWORD: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

_MAX_FLAT_KEYS: Final = 64
_MAX_DEFAULT_CHARS: Final = 4_096

_NOT_ENCODED: Final = (UnicodeEncodeError, TypeError)
"""A text has no UTF-8; the arguments do not fit the Struct, or a field of it is `UNSET`."""

_NONE: Final[frozenset[str]] = frozenset()
_TEXT: Final = frozenset({str})


class CaptureOptions(Struct, frozen=True):
    """The option `capture=` of a declaration.

    Attributes:
        keep: By parameter and `return`: True records what the declaration withholds, False never
            records.
        off: Rules that are off for the whole span type.
        off_for: Rules that are off for one parameter, or for `return`.
    """

    keep: Mapping[str, bool] = field(default_factory=dict[str, bool])
    off: frozenset[str] = frozenset()
    off_for: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])

    @classmethod
    def of(cls, capture: Mapping[str, CaptureOption]) -> CaptureOptions:
        """Return the options in *capture*, which was checked when it was declared."""
        plain = {key: option for key, option in capture.items() if isinstance(option, bool)}
        return cls(
            # A rule has a colon, a parameter has none.
            keep={key: option for key, option in plain.items() if ":" not in key},
            off=frozenset(key for key in plain if ":" in key),
            off_for={
                key: frozenset(option)
                for key, option in capture.items()
                if not isinstance(option, bool)
            },
        )

    def off_at(self, key: str) -> frozenset[str]:
        """Return the rules that are off for the parameter *key*, or for `return`."""
        return self.off | self.off_for.get(key, frozenset())


class Direction(Struct, frozen=True):
    """The declaration of all parameters, or of the result.

    Attributes:
        rule: The rule that withholds everything, else None.
        excluded: Data categories whose values are withheld.
        options: The option `capture=`.
        newest: Names under which lists that are cut keep their last items.
    """

    rule: str | None = None
    excluded: frozenset[str] = frozenset()
    options: CaptureOptions = CaptureOptions()
    newest: frozenset[str] = frozenset()

    def excluded_at(self, key: str) -> frozenset[str]:
        """Return the categories that are withheld in one parameter, or in `return`."""
        if self.options.keep.get(key) is True:
            return frozenset()
        off = self.options.off_at(key)
        return frozenset(
            category for category in self.excluded if f"category:{category}" not in off
        )

    def rule_at(self, key: str, declared: str | None, category: str | None) -> str | None:
        """Return the rule that withholds every value, in the order of the table of rules.

        Args:
            key: A parameter, or `return`.
            declared: The rule of its annotation.
            category: Its data category.
        """
        option = self.options.keep.get(key)
        if declared is not None:
            return declared
        if option is False:
            return CAPTURE_OFF
        if option is True:
            return None
        if self.rule is not None and self.rule not in self.options.off_at(key):
            return self.rule
        return f"category:{category}" if category in self.excluded_at(key) else None

    def rules_off(self, key: str) -> tuple[str, ...]:
        """Return the rules that `capture=` turns off for one parameter, or for `return`, sorted.

        `capture={key: True}` turns off the rules by which the declaration withholds the value.
        """
        off = set(self.options.off_for.get(key, ()))
        if self.options.keep.get(key) is True:
            off.update(f"category:{category}" for category in self.excluded)
            off.update([] if self.rule is None else [self.rule])
        return tuple(sorted(off))


class ParameterPlan(Struct, frozen=True):
    """How the values of one parameter, or the result, are captured.

    Attributes:
        name: Its key in the payload.
        kind: An `inspect.Parameter.kind`.
        default: The default, or `MISSING`.
        rule: The rule that withholds every value.
        name_rule: The rule of its name, which lets None and booleans pass.
        excluded: Data categories whose values inside it are withheld.
        declared: Rules by key, of fields that the annotation's classes mark.
        off: Rules that are off for it.
        newest: Names under which lists that are cut keep their last items; its own is all of it.
    """

    name: str
    kind: int
    default: object = MISSING
    rule: str | None = None
    name_rule: str | None = None
    excluded: frozenset[str] = frozenset()
    declared: Mapping[str, str] = field(default_factory=dict[str, str])
    off: frozenset[str] = frozenset()
    newest: frozenset[str] = frozenset()

    @classmethod
    def of(cls, parameter: Parameter, params: Direction) -> ParameterPlan:
        """Return the plan of *parameter*."""
        name = parameter.name
        rule, category = _annotation_rules(parameter.annotation, parameter.category)
        off = params.options.off_at(name)
        by_name = name_rule(name)
        return cls(
            name=name,
            kind=parameter.kind,
            default=parameter.default,
            rule=params.rule_at(name, rule, category or category_of_name(name)),
            name_rule=None if by_name in off else by_name,
            excluded=params.excluded_at(name),
            declared=marked_keys(parameter.annotation),
            off=off,
            newest=params.newest,
        )

    @classmethod
    def of_result(
        cls, annotation: object, category: str | None, result: Direction
    ) -> ParameterPlan:
        """Return the plan of the result.

        Args:
            annotation: Resolved return annotation.
            category: Category of a mark on it, else None.
            result: The declaration.
        """
        rule, shown = _annotation_rules(annotation, category)
        return cls(
            name="result",
            kind=inspect.Parameter.POSITIONAL_ONLY,
            rule=result.rule_at(RETURN, rule, shown),
            excluded=result.excluded_at(RETURN),
            declared=marked_keys(annotation),
            off=result.options.off_at(RETURN),
            newest=result.newest,
        )

    @classmethod
    def of_surplus(cls, parameters: Iterable[ParameterPlan], params: Direction) -> ParameterPlan:
        """Return the plan of arguments that do not fit the signature.

        A second value for a parameter is one of them; it is withheld like the first.
        """
        return cls(
            name="",
            kind=VAR_KEYWORD,
            rule=params.rule,
            excluded=params.excluded,
            declared={
                parameter.name: parameter.rule
                for parameter in parameters
                if parameter.rule is not None
            },
            off=params.options.off,
        )

    @property
    def is_unrestricted(self) -> bool:
        """Whether plain values are recorded as they are."""
        return self.rule is None and self.name_rule is None

    @property
    def any_rule(self) -> str | None:
        """A rule that withholds values of the parameter, None without one."""
        return self.rule or self.name_rule or next(iter(self.declared.values()), None)

    def walked(self, walk: Walk, value: object) -> object:
        """Return the copy of *value*, a value of this parameter."""
        self.apply(walk)
        if self.rule is not None and self.rule not in walk.off:
            return walk.withhold(self.rule, value)
        if self.name_rule is not None and self.name_rule not in walk.off and not is_harmless(value):
            return walk.withhold(self.name_rule, value)
        # The fields of what a framework hands over share the budget, as parameters do.
        return walk.value(value, 0) if self.newest else walk.nested(value, 0)

    def apply(self, walk: Walk) -> None:
        """Set the rules of this parameter in *walk*."""
        walk.turn_off(self.off)
        walk.exclude(self.excluded)
        walk.declared = self.declared
        walk.newest = self.newest
        walk.from_end = self.name in self.newest

    @property
    def encoded_default(self) -> object:
        """The encoded default of the fast path; `UNSET` if a call may change it.

        For a withheld parameter it is the default itself, whose texts are collected.
        """
        if not self.is_unrestricted:
            return UNSET if self.default is MISSING else self.default
        if self.kind is VAR_POSITIONAL:
            return Raw(b"[]")
        if self.kind is VAR_KEYWORD:
            return Raw(b"{}")
        if self.default is MISSING:
            return UNSET
        if all_plain((self.default,)):
            return self.default
        walk = Walk(_MAX_DEFAULT_CHARS)
        copy = self.walked(walk, self.default)
        # A call may change a list, and each use of a marker is counted.
        fixed = reader_of(type(self.default)).kind is Kind.SCALAR and not walk.counts
        return Raw(encode(copy)) if fixed else UNSET


def _annotation_rules(annotation: object, category: str | None) -> tuple[str | None, str | None]:
    info = NO_NAMES.info(annotation)
    rule = rule_of(info) if category is None else rule_of_mark(category)
    return rule, type_category(info)


UNDECLARED: Final = ParameterPlan.of_result(MISSING, None, Direction())
"""The plan of a result without a declaration."""


class Plan:
    """The capture plan of one callable.

    Attributes:
        outcome: The plan of the result, and of the items of a stream.
        error_rule: The rule that withholds the message of every error, else None. Marks and types
            of the result do not concern errors.
        withheld: Rules by which the declaration withholds every value of a parameter, by its name.
        rules_off: Rules that `capture=` turns off, by parameter and `return`; under "" those that
            are off for all of them.
    """

    def __init__(
        self,
        signature: SignatureInfo,
        *,
        params_rule: str | None = None,
        result_rule: str | None = None,
        params_excluded: frozenset[str] = frozenset(),
        result_excluded: frozenset[str] = frozenset(),
        keep: Mapping[str, CaptureOption] | None = None,
        newest: frozenset[str] = frozenset(),
    ) -> None:
        """Prepare everything that does not depend on a call.

        Args:
            signature: The signature.
            params_rule: The rule by which the declaration withholds every parameter.
            result_rule: The same for the result.
            params_excluded: Data categories that the parameters are declared not to hold.
            result_excluded: The same for the result.
            keep: The option `capture=`.
            newest: Names under which lists that are cut keep their last items.
        """
        options = CaptureOptions.of(keep or {})
        params = Direction(params_rule, params_excluded, options, newest)
        result = Direction(result_rule, result_excluded, options, newest)
        self._parameters = tuple(
            ParameterPlan.of(parameter, params) for parameter in signature.parameters
        )
        self.outcome = ParameterPlan.of_result(
            signature.returns, signature.returns_category, result
        )
        self.error_rule = result.rule_at(RETURN, None, None)
        self.withheld = {
            parameter.name: parameter.rule
            for parameter in self._parameters
            if parameter.rule is not None
        }
        self.rules_off = {
            "": tuple(sorted(options.off)),
            RETURN: result.rules_off(RETURN),
            **{parameter.name: params.rules_off(parameter.name) for parameter in self._parameters},
        }
        self._read_names(signature)
        self._surplus = ParameterPlan.of_surplus(self._parameters, params)
        self._labelled = _labelled(self._parameters)
        self._hidden = _hidden(self._parameters)
        self._partial = bool(self._hidden or signature.skipped)
        self._struct = None
        # Only a walk judges `value` by `name`, as in `set_header(name=, value=)`.
        if self._labelled is None and not any(
            parameter.rule in parameter.off for parameter in self._parameters
        ):
            defaults = {parameter.name: parameter.encoded_default for parameter in self._parameters}
            self._struct = args_struct(defaults)
        out = self.outcome
        self._plain_results = out.rule is None and not out.excluded and not out.declared

    def _read_names(self, signature: SignatureInfo) -> None:
        """Read which arguments belong to which parameters."""
        parameters = self._parameters
        self._names = signature.names
        self._recorded = [name is not None for name in signature.names]
        self._skipped = signature.skipped
        self._var_positional = _name_of_kind(parameters, VAR_POSITIONAL)
        self._var_keyword = _name_of_kind(parameters, VAR_KEYWORD)
        # A skipped `*args` or `**kwargs` cannot be distinguished from a skipped keyword.
        self._drops_surplus = len(signature.skipped) > signature.names.count(None)
        self._by_keyword = frozenset(
            parameter.name for parameter in parameters if parameter.kind in _BY_KEYWORD
        )
        # Under a decorator that moves arguments, each of them may be the one to withhold.
        rules = (parameter.any_rule for parameter in parameters if parameter.kind in _BY_POSITION)
        self._unsure_rule = None if signature.positions_known else next(filter(None, rules), None)
        self._max_positional = len(signature.names) if self._unsure_rule is None else 0

    def params(self, args: tuple[object, ...], kwargs: Mapping[str, object], rules: Rules) -> bytes:
        """Return the payload of a call, before the call is made.

        Args:
            args: Positional arguments, without `self` if the signature has none.
            kwargs: Keyword arguments.
            rules: Limits, hook and counts.

        Returns:
            A JSON object in UTF-8: one key for each parameter of the schema that has a value.
        """
        struct = self._struct
        if struct is None or rules.hook is not None or len(args) > self._max_positional:
            return self._walked(args, kwargs, rules)
        if self._partial:
            data = self._without_hidden(struct, args, kwargs, rules)
            return data or self._walked(args, kwargs, rules)
        values = args
        if kwargs:
            # The Struct would accept a positional-only parameter by name.
            if not all(type(name) is str and name in self._by_keyword for name in kwargs):
                return self._walked(args, kwargs, rules)
            values = (*args, *kwargs.values())
        if all_plain(values):
            try:
                data = encode(struct(*args, **kwargs) if kwargs else struct(*args))
            except _NOT_ENCODED:
                return self._walked(args, kwargs, rules)
            if len(data) <= rules.limits.max_payload_bytes:
                return data
        return self._walked(args, kwargs, rules)

    def result(self, value: Any, rules: Rules) -> bytes:  # noqa: ANN401 - whatever was returned
        """Return the result of a call.

        Args:
            value: What the call returned.
            rules: Limits, hook and counts.

        Returns:
            A JSON object in UTF-8: the value itself if it is like a mapping (a dict, a model, a
            dataclass), else `{"result": value}`.
        """
        if not self._plain_results or rules.hook is not None:
            return self._walked_result(value, rules)
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
                return self._walked_result(value, rules)
            if len(data) <= rules.limits.max_payload_bytes:
                return data
        return self._walked_result(value, rules)

    def _without_hidden(
        self,
        struct: ArgsStruct,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        rules: Rules,
    ) -> bytes | None:
        """Return the payload of a call of which parameters are withheld or skipped.

        Returns:
            None if a value needs the walk.
        """
        if rules.off or not _TEXT.issuperset(map(type, kwargs)):
            return None
        if self._skipped:
            args = tuple(compress(args, self._recorded))
            kwargs = {name: kwargs[name] for name in kwargs if name not in self._skipped}
        if not self._by_keyword.issuperset(kwargs):
            return None
        counts: list[str] = []
        try:
            payload = struct(*args, **kwargs)
            values = list(astuple(payload))
            for at, each, rule, marker in self._hidden:
                value = values[at]
                if value is UNSET:
                    return None
                values[at] = None
                if each.rule is None and is_harmless(value):
                    continue
                setattr(payload, each.name, marker)
                counts.append(rule)
                if rules.texts is not None:
                    rules.texts.add(value)
            data = encode(payload) if all_plain(values) else b""
        except _NOT_ENCODED:
            return None
        if not 0 < len(data) <= rules.limits.max_payload_bytes:
            return None
        rules.count(counts)
        return data

    def _walked(
        self, args: tuple[object, ...], kwargs: Mapping[str, object], rules: Rules
    ) -> bytes:
        # A separate function, because the closure would slow down the names of the fast path.
        return rules.encode_payload(lambda walk: self._call_payload(walk, args, kwargs))

    def _walked_result(self, value: object, rules: Rules) -> bytes:
        return rules.encode_payload(lambda walk: self._result_payload(walk, value))

    def _call_payload(
        self, walk: Walk, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> dict[str, object]:
        """Return the payload of a call, which need not fit the signature."""
        unsure_rule = self._unsure_rule if args else None
        arguments, surplus = self._by_parameter(args if unsure_rule is None else (), kwargs)
        possible = _NONE if unsure_rule is None else self._possible_parameters(arguments)
        values = [
            (parameter, arguments.get(parameter.name, parameter.default))
            for parameter in self._parameters
            if parameter.name in arguments
            or parameter.name in possible
            or parameter.default is not MISSING
        ]
        walk.share_budget([*(value for _, value in values), *surplus.values()])
        out = {
            each.name: walk.withhold(unsure_rule, args)
            if unsure_rule is not None and each.name in possible
            else each.walked(walk, value)
            for each, value in values
        }
        for key, value in surplus.items():
            out[key] = self._surplus.walked(walk, value)
        if self._labelled is not None:
            self._labelled.apply(walk)
            walk.hide_labelled(out)
        return out

    def _possible_parameters(self, arguments: Mapping[str, object]) -> frozenset[str]:
        """Return the parameters that may have received positional arguments."""
        return frozenset(
            parameter.name
            for parameter in self._parameters
            if parameter.kind is VAR_POSITIONAL
            or (parameter.kind in _BY_POSITION and parameter.name not in arguments)
        )

    def _by_parameter(
        self, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> tuple[dict[str, object], dict[str, object]]:
        """Return the arguments by parameter, and those that do not fit the signature."""
        arguments: dict[str, object] = {
            name: value for name, value in zip(self._names, args, strict=False) if name is not None
        }
        surplus: dict[str, object] = {}
        # A list: two that have no names are no pair.
        extra_args = list(args[len(self._names) :])
        if self._var_positional is not None:
            arguments[self._var_positional] = extra_args
        elif extra_args and not self._drops_surplus:
            surplus[SURPLUS] = extra_args
        extra_keywords: dict[str, object] = {}
        for key, value in kwargs.items():
            name = key if type(key) is str else str(text(key))
            if name in self._by_keyword and name not in arguments:
                arguments[name] = value
            elif name not in self._skipped:
                extra_keywords[name] = value
        if self._var_keyword is not None:
            arguments[self._var_keyword] = extra_keywords
        elif extra_keywords and not self._drops_surplus:
            surplus[SURPLUS_KEYWORDS] = extra_keywords
        return arguments, surplus

    def _result_payload(self, walk: Walk, value: object) -> object:
        self.outcome.apply(walk)
        rule = None if self.outcome.rule in walk.off else self.outcome.rule
        inner = value
        reader = reader_of(type(inner))
        for _ in range(MAX_INNER):
            if reader.kind is Kind.UNWRAP:
                inner = reader.plain(inner)
                rule = rule or walk.rule_inside(reader, inner)
                reader = reader_of(type(inner))
        if reader.kind is Kind.RECORD and rule is not None:
            walk.collect(inner)
            return {each.name: walk.withhold(rule, None) for each in reader.fields}
        if reader.kind in {Kind.MAPPING, Kind.RECORD}:
            # The keys of a dict are data as well: all of it is withheld, not only the values.
            return walk.value(inner, 0) if rule is None else walk.withhold(rule, inner)
        walk.share_budget((value,))
        shown = walk.nested(value, 0) if rule is None else walk.withhold(rule, value)
        return {"result": shown}


def _name_of_kind(parameters: Iterable[ParameterPlan], kind: object) -> str | None:
    return next((parameter.name for parameter in parameters if parameter.kind is kind), None)


def _hidden(parameters: Iterable[ParameterPlan]) -> list[tuple[int, ParameterPlan, str, Raw]]:
    """Return place, plan, rule and encoded marker of each parameter that a rule withholds."""
    ruled = ((at, each, each.rule or each.name_rule) for at, each in enumerate(parameters))
    return [
        (at, each, rule, Raw(encode(markers.withheld(rule))))
        for at, each, rule in ruled
        if rule is not None
    ]


def _labelled(parameters: Iterable[ParameterPlan]) -> ParameterPlan | None:
    """Return the parameter `value` if another parameter may name it."""
    by_name = {parameter.name: parameter for parameter in parameters}
    return None if by_name.keys().isdisjoint(LABELS) else by_name.get("value")
