"""The steps of an agent through which data may leave.

A category may leave by a step that

- declares that it communicates externally, or does not rule that out, and
- declares that it takes or gives the category, or does not rule that out.

A model call or a retriever communicates unless it rules that out, because it calls a service. An
agent communicates by its own steps only. A step that is denied because of what it declares sends
nothing.

Where the step declares both, the category is *declared* to leave by it; otherwise that is *not
ruled out*.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from remit._policy.words import (
    ACTION,
    CATEGORIES,
    PARAMS,
    RESULT,
    SENDING,
    UNKNOWN,
    DeclaredStep,
    Words,
    word_of,
)

CALLS_A_SERVICE: Final = frozenset({"llm", "retriever"})
"""Kinds of steps that communicate, unless they rule that out."""
AGENT: Final = "agent"


class Leaves(StrEnum):
    """How a category may leave by a step."""

    DECLARED = "declared"
    NOT_RULED_OUT = "not ruled out"


def sends(step: DeclaredStep) -> Leaves | None:
    """Return how *step* communicates externally; None if it does not."""
    if step.is_agent or step.kind == AGENT:
        return None
    word = word_of(step.words, ACTION, SENDING)
    if word == "allowed" or (word == UNKNOWN and step.kind in CALLS_A_SERVICE):
        return Leaves.DECLARED
    return Leaves.NOT_RULED_OUT if word == UNKNOWN else None


def may_leave(step: DeclaredStep, category: str) -> Leaves | None:
    """Return how a category may leave by *step*; None if the step rules it out."""
    how = sends(step)
    sides = {word_of(step.words, part, category) for part in (PARAMS, RESULT)}
    if how is None or sides == {"excluded"}:
        return None
    return how if "included" in sides else Leaves.NOT_RULED_OUT


def declared_categories(steps: Iterable[Words]) -> list[str]:
    """Return the categories that one of *steps* declares that it takes or gives."""
    sides = [(words, part) for words in steps for part in (PARAMS, RESULT)]
    return [
        category
        for category in CATEGORIES
        if any(word_of(words, part, category) == "included" for words, part in sides)
    ]


def ways_out(steps: Iterable[DeclaredStep]) -> dict[str, Mapping[str, Leaves]]:
    """Return, by category that one of *steps* takes or gives, the steps by which it may leave.

    A category that cannot leave is not listed. *steps* are those that are not denied because of
    what they declare.
    """
    senders = list(steps)
    ways: dict[str, Mapping[str, Leaves]] = {}
    for category in declared_categories(step.words for step in senders):
        by_step = {
            step.name: leaves
            for step in senders
            if (leaves := may_leave(step, category)) is not None
        }
        if by_step:
            ways[category] = by_step
    return ways
