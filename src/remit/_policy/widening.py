"""Whether the change of one declared word lets an agent or a step do more."""

from __future__ import annotations

from enum import StrEnum

from remit._policy.words import CLASSIFICATION, LIMITS, UNKNOWN, sensitivity


class Effect(StrEnum):
    """The effect of a change, the most serious first."""

    WIDENS = "widens"
    """More is allowed, or more is declared to be done."""
    WEAKENS = "weakens"
    """Less is declared than before."""
    NARROWS = "narrows"
    """More is forbidden or excluded."""
    CHANGES = "changes"
    """Neither."""


def of_step_word(name: str, old: str, new: str) -> Effect:
    """Return the effect of a changed word of a step."""
    if name == CLASSIFICATION:
        before, after = sensitivity(old), sensitivity(new)
        if before == after:
            return Effect.CHANGES
        return Effect.WIDENS if after > before else Effect.WEAKENS
    if old in LIMITS:
        return Effect.WIDENS
    if new in LIMITS:
        return Effect.NARROWS
    return Effect.WIDENS if old == UNKNOWN else Effect.WEAKENS


def of_agent_word(name: str, old: str, new: str) -> Effect:
    """Return the effect of a changed word of an agent: its limits count, its other words do not."""
    limited = name != CLASSIFICATION and not LIMITS.isdisjoint((old, new))
    return of_step_word(name, old, new) if limited else Effect.CHANGES
