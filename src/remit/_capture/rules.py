"""The table of every rule of redaction, in the order in which they are asked.

The documentation prints it, the tests try each example, and `remit.status()` counts by the names
that stand here.
"""

from __future__ import annotations

from typing import Final

from remit._capture.categories import CATEGORY_RULES
from remit._capture.names import NAME_RULES
from remit._capture.patterns import PATTERN_RULES
from remit._capture.rule import (
    CAPTURE_OFF,
    EXCLUDED_FIELD,
    HOOK,
    QUOTED,
    SECRET_TYPE,
    SENSITIVE_MARK,
    UNSHOWN_FIELD,
    Rule,
)

TYPE_RULES: Final = (
    Rule(
        name=SECRET_TYPE,
        withholds="values of pydantic's secret types, and whatever is declared as one",
        positives=("token: SecretStr", "keys: list[SecretBytes]", "pin: Secret[int]"),
        negatives=("token_count: int",),
        off="declare another type",
    ),
    Rule(
        name=SENSITIVE_MARK,
        withholds="parameters, results and fields that are marked",
        positives=('note: Annotated[str, remit.Sensitive("health_and_medical")]',),
        negatives=("note: Annotated[str, 'a comment']",),
        off="take the mark away",
    ),
    Rule(
        name=EXCLUDED_FIELD,
        withholds="fields that their author leaves out of what a model says of itself",
        positives=("raw: str = pydantic.Field(exclude=True)",),
        negatives=("raw: str = pydantic.Field(exclude=False)",),
        off="take `exclude=True` away",
    ),
    Rule(
        name=UNSHOWN_FIELD,
        withholds="fields that their author leaves out of the object's repr",
        positives=(
            "raw: str = dataclasses.field(repr=False)",
            "raw: str = attrs.field(repr=False)",
        ),
        negatives=("raw: str = dataclasses.field(repr=True)",),
        off="take `repr=False` away",
    ),
)

DECLARATION_RULES: Final = (
    Rule(
        name=CAPTURE_OFF,
        withholds="what the declaration asks never to record",
        positives=('capture={"document": False}', "capture=False"),
        negatives=('capture={"document": True}',),
        off="take the `False` away",
    ),
    *(
        Rule(
            name=f"classification:{word}",
            withholds=f"every value of data that is declared as {word}",
            positives=(f'remit.risk(classification="{word}")',),
            negatives=('remit.risk(classification="internal")',),
            off="capture={name: True} on the span type",
        )
        for word in ("restricted", "secret")
    ),
)

LAST_RULES: Final = (
    Rule(
        name=QUOTED,
        withholds="the message of an error that quotes a withheld argument of the call",
        positives=('ValueError(f"wrong password: {password}")',),
        negatives=('ValueError("wrong password")',),
    ),
    Rule(
        name=HOOK,
        withholds="the whole payload, when the hook of `configure(redact=...)` fails on it",
        positives=("a hook that raises", "a hook that returns anything but a dict"),
        negatives=("a hook that returns the payload it was given",),
        off="mend the hook",
    ),
)

RULES: Final[tuple[Rule, ...]] = (
    *TYPE_RULES,
    *NAME_RULES,
    *DECLARATION_RULES,
    *CATEGORY_RULES,
    *PATTERN_RULES,
    *LAST_RULES,
)
