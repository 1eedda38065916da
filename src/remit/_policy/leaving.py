"""The steps of an agent through which data can leave.

A category can leave through a step that

- declares that it communicates externally, or leaves this undeclared, and
- declares that it takes or gives the category, or leaves this undeclared.

A model call or a retriever communicates unless it forbids external communication, because it calls
a service. An agent communicates only through its own steps. A step that is denied because of its
declaration does not send anything.

If the step declares both, the category is *declared* to leave through it. Otherwise, this is *not
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
"""Kinds of steps that communicate, unless they forbid it."""
AGENT: Final = "agent"


class Leaves(StrEnum):
    """How a category can leave through a step."""

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
    """Return how a category can leave through *step*; None if it cannot."""
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
    """Return, by category that one of *steps* takes or gives, the steps through which it can leave.

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
