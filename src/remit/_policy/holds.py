"""Holds: actions that a person at the server denies for a while, whatever the setting says."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from msgspec import Struct

from remit._policy.words import ACTION, HELD, UNKNOWN, Words, word_of
from remit.errors import Violation

DECLARES: Final = {"allowed": "declares it", UNKNOWN: "leaves it undeclared"}


class Hold(Struct, frozen=True):
    """A hold as a process knows it.

    Attributes:
        actions: The held actions.
        agents: External identifiers and display names of the agents that it is about; empty for
            all agents.
        declared_only: Whether steps that leave an action undeclared may run.
        held_by: Who made it.
        ends_ns: Monotonic time at which it ends by itself; None if somebody has to lift it.
    """

    id: str
    actions: tuple[str, ...]
    agents: frozenset[str]
    declared_only: bool
    reason: str
    held_by: str
    ends_ns: int | None = None

    def is_over(self, now_ns: int) -> bool:
        """Return whether it has ended by itself."""
        return self.ends_ns is not None and self.ends_ns <= now_ns

    def is_about(self, agents: Collection[str]) -> bool:
        """Return whether it is about one of these identifiers and names of agents."""
        return not self.agents or not self.agents.isdisjoint(agents)


def held(
    holds: Iterable[Hold], step: str, words: Words, *, has_effect: bool
) -> tuple[Violation, ...]:
    """Return how *holds* deny the step named *step*, one violation for each hold and action.

    Args:
        has_effect: Whether an undeclared action counts as taken.
    """
    return tuple(
        _violation(hold, step, action, word)
        for hold in holds
        for action in hold.actions
        if (word := word_of(words, ACTION, action)) == "allowed"
        or (word == UNKNOWN and has_effect and not hold.declared_only)
    )


def not_compared(step: str) -> Violation:
    """Return the violation of a step that could not be compared because of a fault."""
    return Violation(f"{step} could not be compared with the holds because of a fault inside remit")


def _violation(hold: Hold, step: str, action: str, word: str) -> Violation:
    sentence = (
        f"{action}: hold {hold.id} denies {step}, which {DECLARES[word]} (held by {hold.held_by})"
    )
    return Violation(
        sentence, ACTION, action, word, limit=HELD,
        hold=hold.id, held_by=hold.held_by, reason=hold.reason,
    )  # fmt: skip
