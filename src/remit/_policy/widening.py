"""Whether the change of one declared word or limit lets an agent or a step do more."""

from __future__ import annotations

from enum import StrEnum

from remit._policy.asks import ASKED
from remit._policy.words import CLASSIFICATION, LIMITS, UNKNOWN, sensitivity


class Effect(StrEnum):
    """The effect of a change, the most serious first."""

    WIDENS = "widens"
    """More is allowed, or more is declared to be done."""
    WEAKENS = "weakens"
    """Less is declared than before."""
    NARROWS = "narrows"
    """More is forbidden or excluded."""
    DECLARES = "declares"
    """A step without any declaration is declared for the first time."""
    CHANGES = "changes"
    """Neither."""


def of_step_word(name: str, old: str, new: str) -> Effect:
    """Return the effect of a changed word of a step."""
    if ASKED in {old, new}:  # of an agent that is a step of another one
        return _of_asked_word(old, new)
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


def of_first_word(name: str, old: str, new: str) -> Effect:
    """Return the effect of a changed word of a step that had none.

    It allows nothing that was forbidden. Whether an agent may newly take the step is another
    change.
    """
    effect = of_step_word(name, old, new)
    return Effect.DECLARES if effect is Effect.WIDENS else effect


def of_agent_word(name: str, old: str, new: str) -> Effect:
    """Return the effect of a changed word of an agent.

    Its limits and what it asks about count, its other words do not.
    """
    limited = name != CLASSIFICATION and not (LIMITS | {ASKED}).isdisjoint((old, new))
    return of_step_word(name, old, new) if limited else Effect.CHANGES


def of_number(old: int | None, new: int | None) -> Effect:
    """Return the effect of a changed limit of an agent; None is no limit."""
    widens = new is None or (old is not None and new > old)
    return Effect.WIDENS if widens else Effect.NARROWS


def _of_asked_word(old: str, new: str) -> Effect:
    """Return the effect of a change to or from `asked`: between a limit and all other words."""
    ranks = [0 if word in LIMITS else 1 if word == ASKED else 2 for word in (old, new)]
    return Effect.WIDENS if ranks[0] < ranks[1] else Effect.NARROWS
