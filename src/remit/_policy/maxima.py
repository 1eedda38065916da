"""The numbers of an agent: how many steps of one run may take an action, and how many may run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, cast

from msgspec import Struct

from remit._policy.words import ACTION, ACTIONS, UNKNOWN, Words, word_of
from remit.errors import AT_MOST, STEPS, Violation

COUNTED: Final = (*ACTIONS, STEPS)
"""The names that may have a number, in order."""
MAX_NUMBER: Final = 2**31 - 1
KEYWORD: Final = "x-remit-limits"
"""Keyword of the schema of an agent's payload, whose value has the numbers by name."""


class Limits(Struct, frozen=True, omit_defaults=True):
    """How many steps of one run may take each action; `remit.limits` makes it.

    Attributes:
        create_data: Steps that create data; None is any number, as in the other attributes.
        read_data: Steps that read data.
        update_data: Steps that change data.
        destroy_data: Steps that delete data.
        financial_transactions: Steps that move money.
        external_communication: Steps that send something to the outside.
        steps: Steps, whatever they do.
    """

    create_data: int | None = None
    read_data: int | None = None
    update_data: int | None = None
    destroy_data: int | None = None
    financial_transactions: int | None = None
    external_communication: int | None = None
    steps: int | None = None


class Maximum(NamedTuple):
    """One number of an agent.

    Attributes:
        name: The action, or `steps`.
        number: How many steps of one run at most.
    """

    name: str
    number: int


class Counted(NamedTuple):
    """One maximum that a step counts towards.

    Attributes:
        agent: External identifier of the agent that sets it.
        word: The word of the step for the action: `allowed` or `unknown`; "" for `steps`.
    """

    agent: str
    name: str
    number: int
    word: str


def maxima_of(limits: Limits | None) -> tuple[Maximum, ...]:
    """Return the numbers of an agent, in order."""
    if limits is None:
        return ()
    numbers = ((name, getattr(limits, name)) for name in COUNTED)
    return tuple(Maximum(name, number) for name, number in numbers if number is not None)


def numbers_in(schema: Mapping[str, object]) -> dict[str, int]:
    """Return the numbers of an agent in the schema of its payload, in order.

    A server returns what its clients registered: anything else than a number is left out.
    """
    value = schema.get(KEYWORD)
    if not isinstance(value, dict):
        return {}
    numbers = cast("dict[str, object]", value)
    return {
        name: number
        for name in COUNTED
        if type(number := numbers.get(name)) is int and 0 < number <= MAX_NUMBER
    }


def counted_by(
    agent: str, maxima: Iterable[Maximum], words: Words, *, strict: bool
) -> list[Counted]:
    """Return the *maxima* of an agent that a step with these words counts towards.

    If *strict*, as with `deny` and `terminate`, an undeclared action counts as well.
    """
    counted: list[Counted] = []
    for name, number in maxima:
        word = "" if name == STEPS else word_of(words, ACTION, name)
        if name == STEPS or word == "allowed" or (strict and word == UNKNOWN):
            counted.append(Counted(agent, name, number, word))
    return counted


def beyond(step: str, counted: Iterable[Counted]) -> tuple[Violation, ...]:
    """Return the violations of a step beyond the limits *counted*."""
    return tuple(
        Violation(
            f"{name}: {step} is beyond the limit of {number} a run, which the agent {agent} sets",
            part="" if name == STEPS else ACTION,
            name=name,
            word=word,
            agent=agent,
            limit=AT_MOST,
            number=number,
        )
        for agent, name, number, word in counted
    )
