"""Which steps of an agent `deny` would refuse, and by which steps data may leave.

The policy of the SDK decides the same about each call, and `remit schema show --risk` shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from remit.collector.page.declared import (
    ACTION,
    CATEGORIES,
    EXCEEDED_BY,
    SENDING,
    UNKNOWN,
    Declaration,
    Declared,
)


class Refusal(NamedTuple):
    """Why `deny` would refuse a step.

    Attributes:
        does: The actions and categories that the agent rules out and the step declares.
        unsaid: Those that the agent rules out and about which the step says nothing.
    """

    does: list[str]
    unsaid: list[str]


class Exit(NamedTuple):
    """By which steps data of some categories may leave: those that may communicate externally.

    Attributes:
        categories: The categories.
        takes: The steps that declare that they take or give them.
        open: The steps that do not rule them out.
    """

    categories: list[str]
    takes: list[str]
    open: list[str]


def refusal(own: Declared | None, step: Declared) -> Refusal | None:
    """Return why the remit of *own* refuses a step under `deny`; None if it runs."""
    does: dict[str, None] = {}
    unsaid: dict[str, None] = {}
    for part, name in [] if own is None else own.limits:
        word = step.word(part, name)
        limit = "disallowed" if part == ACTION else "excluded"
        if word == EXCEEDED_BY[limit]:
            does[name] = None
        elif word == UNKNOWN and not step.kind:
            unsaid[name] = None
    if not does and not unsaid:
        return None
    return Refusal([*does], [name for name in unsaid if name not in does])


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
    """Return by which steps data may leave, for all categories that a declaration mentions.

    A step that is refused because of what it declares sends nothing; an agent sends by its steps.
    """
    senders = [
        step
        for name, step in declared.steps.items()
        if step.word(ACTION, SENDING) == "allowed"
        and step.kind != "agent"
        and not (name in refused and refused[name].does)
    ]
    by_steps: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for category in mentioned(declared):
        takes = tuple(step.name for step in senders if step.holds(category))
        open_ = tuple(
            step.name
            for step in senders
            if step.name not in takes and UNKNOWN in step.sides(category)
        )
        if takes or open_:
            by_steps.setdefault((takes, open_), []).append(category)
    ways = [Exit(names, [*takes], [*open_]) for (takes, open_), names in by_steps.items()]
    return sorted(ways, key=lambda exit_: not exit_.takes)


def mentioned(declared: Declaration) -> list[str]:
    """Return the categories about which the agent or a step says something."""
    return [
        category
        for category in CATEGORIES
        if any({*step.sides(category)} != {UNKNOWN} for step in declared.all)
    ]
