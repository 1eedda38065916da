"""The limits of an agent, and how a step violates them.

A `Limit` is an action that the agent forbids or a category that it excludes. How many steps may
take an action is a `Maximum` (`remit._policy.maxima`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self, TypeAlias

from msgspec import Struct

from remit._policy.asks import asked_violations
from remit._policy.maxima import Counted, Limits, Maximum, counted_by, maxima_of
from remit._policy.words import NAMES, PARAMS, UNKNOWN, VIOLATED_BY, Words, declared_words, word_of
from remit.errors import SIDES, Violation
from remit.models.data_risk import DataRisk


class Limit(NamedTuple):
    """One action that an agent forbids, or one category that it excludes.

    Attributes:
        part: The part of its data risk that says so.
        word: `disallowed` or `excluded`.
    """

    part: str
    name: str
    word: str


class Ceiling(Struct, frozen=True, eq=False):
    """The limits of one agent. Compared by identity, as a key of verdicts.

    Attributes:
        place: File and line of its declaration.
        asks: Actions that need a person's yes.
        denies_unbound: Whether a step that needs a yes is denied if an approval would not cover all
            of its arguments.
        maxima: How many steps of one run may take an action.
    """

    agent: str
    place: str
    limits: tuple[Limit, ...]
    asks: tuple[str, ...] = ()
    maxima: tuple[Maximum, ...] = ()
    denies_unbound: bool = False

    @classmethod
    def of(
        cls, agent: str, place: str, remit: DataRisk | None, numbers: Limits | None = None
    ) -> Self | None:
        """Return the ceiling of an agent with this *remit*, or None if it has no limits."""
        limits, asks = limits_in(declared_words(remit)), asks_of(remit)
        maxima = maxima_of(numbers)
        if not (limits or asks or maxima):
            return None
        denies_unbound = remit is not None and remit.unbound == "deny"
        return cls(agent, place, limits, asks, maxima, denies_unbound)


Ceilings: TypeAlias = tuple[Ceiling, ...]
"""The ceilings of an agent and of the agents around it, the outermost first; all apply."""


class Verdict(NamedTuple):
    """The result of comparing a step with some ceilings.

    Attributes:
        violations: How it violates them, one for each declared word.
        asked: The words for which it needs a person's yes, as violations; empty for an agent, whose
            own steps are asked about.
        counted: The maxima that it counts towards.
    """

    violations: tuple[Violation, ...]
    violated: Ceilings
    asked: tuple[Violation, ...] = ()
    counted: tuple[Counted, ...] = ()


def asks_of(remit: DataRisk | None) -> tuple[str, ...]:
    """Return the actions that an agent with this *remit* asks a person about."""
    return () if remit is None else remit.asks


def limits_in(words: Words) -> tuple[Limit, ...]:
    """Return the limits of an agent with these words."""
    return tuple(
        Limit(part, name, word)
        for part, name in NAMES
        if (word := word_of(words, part, name)) in VIOLATED_BY
    )


def violated_limits(
    limits: Iterable[Limit], words: Words, *, strict: bool
) -> Iterator[tuple[Limit, str]]:
    """Yield the limits that a step with these words violates, each with the word of the step.

    If *strict*, as with `deny` and `terminate`, an undeclared word violates a limit as well.
    """
    for limit in limits:
        word = word_of(words, limit.part, limit.name)
        if word == VIOLATED_BY[limit.word] or (strict and word == UNKNOWN):
            yield limit, word


def under(outer: Ceilings, ceiling: Ceiling | None) -> Ceilings:
    """Return the ceilings inside a call of an agent: *outer*, and its own *ceiling*."""
    return outer if ceiling is None or ceiling in outer else (*outer, ceiling)


def not_compared(step: str) -> Violation:
    """Return the violation of a step that could not be compared because of a fault."""
    return Violation(f"{step} could not be compared with any remit because of a fault inside remit")


def excluded_value(step: str, category: str) -> Violation:
    """Return the violation by the step named *step*, which received a value that it excludes."""
    subject = f"{category}{SIDES[PARAMS]}"
    said = f"{step} excludes it, but received a value that this run redacted as {category}"
    return Violation(f"{subject}: {said}")


def verdict(
    ceilings: Ceilings,
    step: str,
    risk: DataRisk | None,
    *,
    strict: bool,
    is_agent: bool = False,
) -> Verdict:
    """Return how *step* violates *ceilings*; *strict* is that of `violated_limits`."""
    words = declared_words(risk)
    violations: list[Violation] = []
    violated: list[Ceiling] = []
    for ceiling in ceilings:
        for limit, word in violated_limits(ceiling.limits, words, strict=strict):
            subject = f"{limit.name}{SIDES.get(limit.part, '')}"
            sentence = (
                f"{subject}: {step} declares {word}, but the agent {ceiling.agent} declares "
                f"{limit.word}"
            )
            violations.append(
                Violation(sentence, limit.part, limit.name, word, ceiling.agent, limit.word)
            )
            if ceiling not in violated:
                violated.append(ceiling)
    asking = () if is_agent else tuple(ceiling for ceiling in ceilings if ceiling.asks)
    asked = tuple(
        violation
        for ceiling in asking
        for violation in asked_violations(ceiling.asks, step, words, ceiling.agent, strict=strict)
    )
    counted = () if is_agent else _counted(ceilings, words, strict=strict)
    return Verdict(tuple(violations), tuple(violated), asked, counted)


def _counted(ceilings: Ceilings, words: Words, *, strict: bool) -> tuple[Counted, ...]:
    """Return the maxima that a step counts towards; the lowest, if an agent was declared twice."""
    lowest: dict[tuple[str, str], Counted] = {}
    for ceiling in ceilings:
        for counted in counted_by(ceiling.agent, ceiling.maxima, words, strict=strict):
            known = lowest.setdefault(counted[:2], counted)
            if counted.number < known.number:
                lowest[counted[:2]] = counted
    return tuple(lowest.values())
