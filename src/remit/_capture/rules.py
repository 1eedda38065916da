"""The table of every rule of redaction, in the order in which they are asked.

The documentation prints it, the tests try each example, and `remit.status()` counts by the names
that stand here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from remit._capture.categories import CATEGORY_RULES
from remit._capture.names import NAME_RULES
from remit._capture.patterns import PATTERN_RULES
from remit._capture.rule import (
    CAPTURE_OFF,
    HOOK,
    QUOTED,
    SECRET_TYPE,
    SENSITIVE_MARK,
    Rule,
)
from remit._fields import EXCLUDED, UNSHOWN
from remit._words import meant
from remit.errors import SettingsError

_TYPE_RULES: Final = (
    Rule(
        name=SECRET_TYPE,
        withholds="values of pydantic's secret types, and whatever is declared as one",
        positives=("token: SecretStr", "keys: list[SecretBytes]", "pin: Secret[int]"),
        negatives=("token_count: int",),
    ),
    Rule(
        name=SENSITIVE_MARK,
        withholds="parameters, results and fields that are marked",
        positives=('note: Annotated[str, remit.Sensitive("health_and_medical")]',),
        negatives=("note: Annotated[str, 'a comment']",),
    ),
)

_HIDDEN_RULES: Final = (
    Rule(
        name=EXCLUDED,
        withholds="fields that their author leaves out of what a model says of itself",
        positives=("raw: str = pydantic.Field(exclude=True)",),
        negatives=("raw: str = pydantic.Field(exclude=False)",),
    ),
    Rule(
        name=UNSHOWN,
        withholds="fields that their author leaves out of the object's repr",
        positives=(
            "raw: str = dataclasses.field(repr=False)",
            "raw: str = attrs.field(repr=False)",
        ),
        negatives=("raw: str = dataclasses.field(repr=True)",),
    ),
)

_CAPTURE_RULES: Final = (
    Rule(
        name=CAPTURE_OFF,
        withholds="what the declaration asks never to record",
        positives=('capture={"document": False}', "capture=False"),
        negatives=('capture={"document": True}',),
    ),
)

_CLASSIFICATION_RULES: Final = tuple(
    Rule(
        name=f"classification:{word}",
        withholds=f"every value of data that is declared as {word}",
        positives=(f'remit.risk(classification="{word}")',),
        negatives=('remit.risk(classification="internal")',),
    )
    for word in ("restricted", "secret")
)

_QUOTING_RULES: Final = (
    Rule(
        name=QUOTED,
        withholds="the message of an error that quotes a withheld argument of the call",
        positives=('ValueError(f"wrong password: {password}")',),
        negatives=('ValueError("wrong password")',),
    ),
)

_HOOK_RULES: Final = (
    Rule(
        name=HOOK,
        withholds="the whole payload, when the hook of `configure(redact=...)` fails on it",
        positives=("a hook that raises", "a hook that returns anything but a dict"),
        negatives=("a hook that returns the payload it was given",),
    ),
)


class Group(Struct, frozen=True, kw_only=True):
    """Rules that are turned off alike.

    Attributes:
        title: What they go by.
        rules: The rules.
        parameter: How to record for one parameter what they withhold; empty if there is no way.
        span_type: The same for all parameters and the result of one span type.
        process: The same for one process.
    """

    title: str
    rules: tuple[Rule, ...]
    parameter: str = ""
    span_type: str = ""
    process: str = ""


GROUPS: Final = (
    Group(
        title="Types and marks",
        rules=_TYPE_RULES,
        parameter="declare another type, or take the mark away",
    ),
    Group(
        title="Fields that their author hid",
        rules=_HIDDEN_RULES,
        parameter="take `exclude=True` or `repr=False` away from the field",
    ),
    Group(
        title="Names",
        rules=NAME_RULES,
        parameter='`capture={"cursor": {"name:token": True}}`',
        span_type='`capture={"name:token": True}`',
        process='`configure(redact_off=["name:token"])`',
    ),
    Group(
        title="`capture=`",
        rules=_CAPTURE_RULES,
        parameter='take `"name": False` away',
        span_type="take `capture=False` away",
    ),
    Group(
        title="Classifications",
        rules=_CLASSIFICATION_RULES,
        parameter='`capture={"name": True}`',
        span_type="`capture=True`",
        process='`configure(redact_off=["classification:restricted"])`',
    ),
    Group(
        title="Excluded categories",
        rules=CATEGORY_RULES,
        parameter='`capture={"name": True}`, or declare the category as included',
        span_type='`capture={"category:contact_information": True}`',
        process='`configure(redact_off=["category:contact_information"])`',
    ),
    Group(
        title="Shapes of keys, tokens and passwords",
        rules=PATTERN_RULES,
        parameter='`capture={"header": {"pattern:jwt": True}}`',
        span_type='`capture={"pattern:jwt": True}`',
        process='`configure(redact_off=["pattern:jwt"])`',
    ),
    Group(title="Errors that quote", rules=_QUOTING_RULES),
    Group(
        title="The hook",
        rules=_HOOK_RULES,
        process="mend the hook, or take `redact=` away",
    ),
)
"""In the order in which they are asked; how to turn each off is the same for a whole group."""

RULES: Final[tuple[Rule, ...]] = tuple(rule for group in GROUPS for rule in group.rules)

SWITCHES: Final = frozenset(
    rule.name for group in GROUPS for rule in group.rules if "redact_off" in group.process
)
"""Names of the rules that can be turned off by name."""


def switched_off(names: Iterable[str]) -> frozenset[str]:
    """Return the rules that `configure(redact_off=...)` turns off.

    Raises:
        SettingsError: One is no rule, or one that no setting turns off.
    """
    off = frozenset(names)
    for name in sorted(off - SWITCHES):
        raise SettingsError(f"setting redact_off: {no_switch(name)}")
    return off


def no_switch(name: str) -> str:
    """Return why *name* turns nothing off, in words."""
    if any(rule.name == name for rule in RULES):
        return (
            f"{name!r} follows from the declaration itself and cannot be turned off by its name; "
            "the reference of redaction tells how to change the declaration"
        )
    return (
        f"{name!r} is no rule of redaction{meant(name, SWITCHES)}; expected the name of one, as it "
        "stands in a marker: name:..., pattern:..., category:... or classification:..."
    )
