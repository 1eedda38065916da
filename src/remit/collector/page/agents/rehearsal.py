"""Which steps of an agent would be denied, and by which steps data may leave.

The policy of the SDK decides the same about each call; `remit schema show --risk` and `remit lock`
show the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from remit._policy.asks import asked_words
from remit._policy.leaving import Leaves, ways_out
from remit._policy.limits import violated_limits
from remit._policy.words import CATEGORIES, UNKNOWN, WITHOUT_EFFECT
from remit.collector.domain.declared import Declaration, Declared


class Expected(NamedTuple):
    """Why a step would be denied.

    Attributes:
        does: The actions and categories that the agent forbids or excludes and the step declares.
        undeclared: The ones that the agent forbids or excludes and the step does not declare.
    """

    does: list[str]
    undeclared: list[str]


class Exit(NamedTuple):
    """Steps through which data of some categories can leave.

    Attributes:
        takes: The steps by which they are declared to leave.
        not_ruled_out: The steps that do not rule it out.
    """

    categories: list[str]
    takes: list[str]
    not_ruled_out: list[str]


def denial(own: Declared | None, step: Declared) -> Expected | None:
    """Return why a step violates the remit of *own*; None if it would run."""
    strict = step.kind not in WITHOUT_EFFECT
    limits = () if own is None else own.limits
    words: dict[str, set[str]] = {}
    for limit, word in violated_limits(limits, step.words, strict=strict):
        words.setdefault(limit.name, set()).add(word)
    if not words:
        return None
    undeclared = [name for name, said in words.items() if said == {UNKNOWN}]
    return Expected([name for name in words if name not in undeclared], undeclared)


def asked(own: Declared | None, step: Declared) -> tuple[str, ...]:
    """Return the actions for which a step needs a person's yes, if it is not denied."""
    asks = () if own is None else own.asks
    return asked_words(asks, step.words, strict=step.kind not in WITHOUT_EFFECT)


def denials(declared: Declaration) -> Mapping[str, Expected]:
    """Return the steps that would be denied, declared violations first."""
    denied = {
        name: reason
        for name, step in declared.steps.items()
        if (reason := denial(declared.own, step)) is not None
    }
    order = sorted(denied, key=lambda name: (not denied[name].does, name))
    return {name: denied[name] for name in order}


def undeclared_denials(declared: Declaration, ran: Iterable[str]) -> list[str]:
    """Return the undeclared steps that ran and would be denied."""
    return [
        name
        for name in ran
        if declared.named(name) is None and denial(declared.own, Declared(name)) is not None
    ]


def exits(declared: Declaration, denied: Mapping[str, Expected]) -> list[Exit]:
    """Return the steps through which the categories that the steps take or give can leave.

    A step whose declaration violates the remit is denied and sends nothing.
    """
    steps = [
        step.step
        for name, step in declared.steps.items()
        if not (name in denied and denied[name].does)
    ]
    by_steps: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for category, ways in ways_out(steps).items():
        takes, not_ruled_out = (
            tuple(name for name, how in ways.items() if how is wanted)
            for wanted in (Leaves.DECLARED, Leaves.NOT_RULED_OUT)
        )
        by_steps.setdefault((takes, not_ruled_out), []).append(category)
    exits_ = [
        Exit(names, [*takes], [*not_ruled_out])
        for (takes, not_ruled_out), names in by_steps.items()
    ]
    return sorted(exits_, key=lambda exit_: not exit_.takes)


def mentioned(declared: Declaration) -> list[str]:
    """Return the categories about which the agent or a step says something."""
    return [
        category
        for category in CATEGORIES
        if any({*step.sides(category)} != {UNKNOWN} for step in declared.all)
    ]
