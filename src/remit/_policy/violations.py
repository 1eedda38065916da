"""Violations in payloads: in the error of a denied step, and in the note about one that ran.

In both places a payload has a list of objects with the fields of a `Violation`. A server returns
whatever its clients sent, so the reader expects any JSON: it skips items without a sentence, and
keeps only fields that the policy could have written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

import msgspec
from msgspec.structs import replace

from remit._base.markers import VIOLATIONS, add_note, is_unregistered, note_of, without_note
from remit._policy.asks import ASKED, ASKED_BY
from remit._policy.maxima import MAX_NUMBER
from remit._policy.words import ACTION, ACTIONS, HELD, NAMES, UNKNOWN, VIOLATED_BY
from remit.errors import AT_MOST, STEPS, Violation

Json: TypeAlias = dict[str, Any]

MAX_VIOLATIONS: Final = 100
MAX_SENTENCE_CHARS: Final = 2_000
MAX_AGENT_CHARS: Final = 1_000
MAX_HOLD_CHARS: Final = 64
_NAMES: Final = frozenset(NAMES)
_HELD_WORDS: Final = ("allowed", UNKNOWN)
_WORDS: Final = frozenset(
    (limit, word) for limit, violating in VIOLATED_BY.items() for word in (violating, UNKNOWN)
) | {(ASKED, word) for word in ASKED_BY}
"""The limits of an agent, each with the words of a step that violate it."""
_BEYOND: Final = frozenset(
    {("", STEPS, "")} | {(ACTION, name, word) for name in ACTIONS for word in ("allowed", UNKNOWN)}
)
"""Part, name and word of a step that is beyond a number."""


def add_violations(payload: bytes, violations: Sequence[Violation]) -> bytes:
    """Return the payload of a step that runs in spite of *violations*, with a note of them."""
    return add_note(payload, {VIOLATIONS: violations})


def fields_of(violation: Violation) -> Json:
    """Return a violation as an object of a payload."""
    return cast("Json", msgspec.to_builtins(violation))


def denied_by(result: Mapping[str, object] | None) -> tuple[Violation, ...] | None:
    """Return the violations in the result of a denied step; None for any other result."""
    error = (result or {}).get("error")
    return _read(cast("Json", error).get(VIOLATIONS)) if isinstance(error, dict) else None


def violations_in(payload: Mapping[str, object]) -> tuple[Violation, ...] | None:
    """Return the violations in the payload of a step that ran in spite of them, else None."""
    return _read(note_of(payload).get(VIOLATIONS))


def split_violations(
    payload: Mapping[str, object],
) -> tuple[dict[str, object], tuple[Violation, ...]]:
    """Return a payload without the note about its step, and the violations in the note."""
    violations = violations_in(payload)
    if violations is None and not is_unregistered(payload):
        return dict(payload), ()
    return without_note(payload), violations or ()


def _read(value: object) -> tuple[Violation, ...] | None:
    if not isinstance(value, list):
        return None
    items = cast("list[object]", value)[:MAX_VIOLATIONS]
    return tuple(violation for item in items if (violation := _violation(item)) is not None)


def _violation(value: object) -> Violation | None:
    try:
        violation = msgspec.convert(value, Violation)
    except msgspec.ValidationError:
        return None
    sentence, agent = violation.sentence[:MAX_SENTENCE_CHARS], violation.agent[:MAX_AGENT_CHARS]
    is_named = (violation.part, violation.name) in _NAMES
    if violation.limit == HELD:
        is_held = is_named and violation.part == ACTION and violation.word in _HELD_WORDS
        return _held(violation, sentence) if is_held else Violation(sentence)
    violation = replace(violation, hold="", held_by="", reason="")
    if is_named and (violation.limit, violation.word) in _WORDS:
        return replace(violation, sentence=sentence, agent=agent, number=0)
    if violation.limit == AT_MOST and _is_beyond(violation):
        return replace(violation, sentence=sentence, agent=agent)
    return Violation(sentence)


def _is_beyond(violation: Violation) -> bool:
    named = (violation.part, violation.name, violation.word) in _BEYOND
    return named and 0 < violation.number <= MAX_NUMBER


def _held(violation: Violation, sentence: str) -> Violation:
    return replace(
        violation,
        sentence=sentence,
        agent="",
        number=0,
        hold=violation.hold[:MAX_HOLD_CHARS],
        held_by=violation.held_by[:MAX_AGENT_CHARS],
        reason=violation.reason[:MAX_SENTENCE_CHARS],
    )
