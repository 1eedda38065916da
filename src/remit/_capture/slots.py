"""What was decided for each parameter of a callable, once for all its calls."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from remit._annotations import NO_NAMES
from remit._capture.categories import category_of_name
from remit._capture.declared import marked_keys, rule_of, rule_of_mark, type_category
from remit._capture.names import name_rule
from remit._capture.purse import is_bare
from remit._capture.rule import CAPTURE_OFF
from remit._capture.walk import Walk
from remit._capture.wishes import Wishes
from remit._signature import MISSING, RETURN, Parameter

VAR_POSITIONAL: Final = inspect.Parameter.VAR_POSITIONAL
VAR_KEYWORD: Final = inspect.Parameter.VAR_KEYWORD
BY_POSITION: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    VAR_POSITIONAL,
)
BY_KEYWORD: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Side(Struct, frozen=True):
    """What the declaration says of one side, the parameters or the result.

    Attributes:
        rule: The rule that withholds all of it, else None.
        excluded: Data categories whose values are withheld.
        wishes: What `capture=` asks.
    """

    rule: str | None
    excluded: frozenset[str]
    wishes: Wishes


class Slot(Struct, frozen=True):
    """One parameter, or the result.

    Attributes:
        name: Its key in the payload.
        kind: As `inspect.Parameter.kind`.
        default: The default, or `MISSING`.
        rule: The rule that withholds every value.
        name_rule: The rule of its name, which lets None and booleans pass.
        excluded: Data categories whose values inside it are withheld.
        declared: Rules by key, of fields that the annotation's classes mark.
        off: Rules that the author turned off for it.
    """

    name: str
    kind: int
    default: object
    rule: str | None
    name_rule: str | None
    excluded: frozenset[str]
    declared: Mapping[str, str]
    off: frozenset[str]

    @property
    def open(self) -> bool:
        """Whether plain values are recorded as they are."""
        return self.rule is None and self.name_rule is None

    @property
    def any_rule(self) -> str | None:
        """A rule that withholds something of it, if any does."""
        return self.rule or self.name_rule or next(iter(self.declared.values()), None)

    def walked(self, walk: Walk, value: object) -> object:
        """Return the copy of *value*, a value of this parameter."""
        self.apply(walk)
        if self.rule is not None and self.rule not in walk.off:
            return walk.withhold(self.rule, value)
        if self.name_rule is not None and self.name_rule not in walk.off and not is_bare(value):
            return walk.withhold(self.name_rule, value)
        return walk.deeper(value, 0)

    def apply(self, walk: Walk) -> None:
        """Let *walk* withhold what the declaration of this parameter withholds."""
        walk.turn_off(self.off)
        walk.exclude(self.excluded)
        walk.declared = self.declared


def slot_of(parameter: Parameter, side: Side) -> Slot:
    """Return what is decided for *parameter*."""
    rule, category = _declared(parameter.annotation, parameter.category)
    off = side.wishes.off_at(parameter.name)
    name = name_rule(parameter.name)
    return Slot(
        name=parameter.name,
        kind=parameter.kind,
        default=parameter.default,
        rule=_rule(parameter.name, rule, side, category or category_of_name(parameter.name)),
        name_rule=None if name in off else name,
        excluded=_excluded(parameter.name, side),
        declared=marked_keys(parameter.annotation),
        off=off,
    )


def result_slot(annotation: object, category: str | None, side: Side) -> Slot:
    """Return what is decided for the result.

    Args:
        annotation: Resolved return annotation.
        category: Category of a mark on it, else None.
        side: The declaration.
    """
    rule, shown = _declared(annotation, category)
    return Slot(
        name="result",
        kind=inspect.Parameter.POSITIONAL_ONLY,
        default=MISSING,
        rule=_rule(RETURN, rule, side, shown),
        name_rule=None,
        excluded=_excluded(RETURN, side),
        declared=marked_keys(annotation),
        off=side.wishes.off_at(RETURN),
    )


def rules_off(key: str, side: Side) -> tuple[str, ...]:
    """Return the rules that `capture=` turns off for one parameter, or for `return`, sorted.

    `capture={key: True}` turns off the rules by which the declaration withholds the value.
    """
    off = set(side.wishes.off_for.get(key, ()))
    if side.wishes.keep.get(key) is True:
        off.update(f"category:{each}" for each in side.excluded)
        off.update([] if side.rule is None else [side.rule])
    return tuple(sorted(off))


def error_rule(side: Side) -> str | None:
    """Return the rule by which the declaration of a result withholds what an error says.

    A mark or a type speaks of the value that is returned, and not of how it failed.
    """
    return _rule(RETURN, None, side, None)


def surplus_slot(slots: Iterable[Slot], side: Side) -> Slot:
    """Return what is decided for arguments that no parameter takes.

    A parameter that was given twice is among them: its second value is withheld like its first.
    """
    return Slot(
        name="",
        kind=VAR_KEYWORD,
        default=MISSING,
        rule=side.rule,
        name_rule=None,
        excluded=side.excluded,
        declared={each.name: each.rule for each in slots if each.rule is not None},
        off=side.wishes.off,
    )


def _declared(annotation: object, category: str | None) -> tuple[str | None, str | None]:
    """Return the rule by which an annotation withholds its value, and the category it shows."""
    info = NO_NAMES.info(annotation)
    rule = rule_of(info) if category is None else rule_of_mark(category)
    return rule, type_category(info)


def _rule(key: str, declared: str | None, side: Side, category: str | None) -> str | None:
    """Return the rule that withholds every value, in the order of the table of rules."""
    asked = side.wishes.keep.get(key)
    if declared is not None:
        return declared
    if asked is False:
        return CAPTURE_OFF
    if asked is True:
        return None
    off = side.wishes.off_at(key)
    if side.rule is not None and side.rule not in off:
        return side.rule
    return f"category:{category}" if category in _excluded(key, side) else None


def _excluded(key: str, side: Side) -> frozenset[str]:
    if side.wishes.keep.get(key) is True:
        return frozenset()
    off = side.wishes.off_at(key)
    return frozenset(each for each in side.excluded if f"category:{each}" not in off)
