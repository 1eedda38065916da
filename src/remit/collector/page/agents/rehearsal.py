"""Which steps of an agent `deny` would refuse, and by which steps data may leave.

The policy of the SDK decides the same about each call; `remit schema show --risk` and `remit lock`
show the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from remit._policy.leaving import Leaves, ways_out
from remit._policy.limits import violated_limits
from remit._policy.words import CATEGORIES, UNKNOWN, WITHOUT_EFFECT
from remit.collector.page.declared import Declaration, Declared


class Refusal(NamedTuple):
    """Why `deny` would refuse a step.

    Attributes:
        does: The actions and categories that the agent rules out and the step declares.
        unsaid: Those that the agent rules out and about which the step says nothing.
    """

    does: list[str]
    unsaid: list[str]


class Exit(NamedTuple):
    """By which steps data of some categories may leave.

    Attributes:
        takes: The steps by which they are declared to leave.
        open: The steps that do not rule it out.
    """

    categories: list[str]
    takes: list[str]
    open: list[str]


def refusal(own: Declared | None, step: Declared) -> Refusal | None:
    """Return why the remit of *own* refuses a step under `deny`; None if it runs."""
    strict = step.kind not in WITHOUT_EFFECT
    limits = () if own is None else own.limits
    words: dict[str, set[str]] = {}
    for limit, word in violated_limits(limits, step.words, strict=strict):
        words.setdefault(limit.name, set()).add(word)
    if not words:
        return None
    unsaid = [name for name, said in words.items() if said == {UNKNOWN}]
    return Refusal([name for name in words if name not in unsaid], unsaid)


def refusals(declared: Declaration) -> Mapping[str, Refusal]:
    """Return the steps that `deny` would refuse, those that declare what is ruled out first."""
    refused = {
        name: reason
        for name, step in declared.steps.items()
        if (reason := refusal(declared.own, step)) is not None
    }
    order = sorted(refused, key=lambda name: (not refused[name].does, name))
    return {name: refused[name] for name in order}


def undeclared_refusals(declared: Declaration, ran: Iterable[str]) -> list[str]:
    """Return the steps that ran and are not declared, and that `deny` would refuse."""
    return [
        name
        for name in ran
        if declared.named(name) is None and refusal(declared.own, Declared(name)) is not None
    ]


def exits(declared: Declaration, refused: Mapping[str, Refusal]) -> list[Exit]:
    """Return by which steps the categories that the steps take or give may leave.

    A step that is refused because of what it declares sends nothing.
    """
    steps = [
        step.step
        for name, step in declared.steps.items()
        if not (name in refused and refused[name].does)
    ]
    by_steps: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for category, ways in ways_out(steps).items():
        takes, open_ = (
            tuple(name for name, how in ways.items() if how is wanted)
            for wanted in (Leaves.DECLARED, Leaves.NOT_RULED_OUT)
        )
        by_steps.setdefault((takes, open_), []).append(category)
    exits_ = [Exit(names, [*takes], [*open_]) for (takes, open_), names in by_steps.items()]
    return sorted(exits_, key=lambda exit_: not exit_.takes)


def mentioned(declared: Declaration) -> list[str]:
    """Return the categories about which the agent or a step says something."""
    return [
        category
        for category in CATEGORIES
        if any({*step.sides(category)} != {UNKNOWN} for step in declared.all)
    ]
