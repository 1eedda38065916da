"""Limits on effects: how many steps of one run may take an action, checked when declared."""

from __future__ import annotations

from remit._base.text import describe_literal
from remit._declare.registry import AgentType
from remit._policy.limits import Ceiling
from remit._policy.maxima import COUNTED, MAX_NUMBER, Limits
from remit.errors import STEPS, DeclarationError


def limits(
    *,
    create_data: int | None = None,
    read_data: int | None = None,
    update_data: int | None = None,
    destroy_data: int | None = None,
    financial_transactions: int | None = None,
    external_communication: int | None = None,
    steps: int | None = None,
) -> Limits:
    """Return limits for `@remit.agent(limits=...)`: how many steps of one run may take an action.

    A step counts for the actions that its data risk allows. Under `on_violation="deny"` and
    `"terminate"`, it also counts for the actions that it does not declare. It counts when it
    starts; a step whose body fails has counted. Agents, model calls and retrievers do not count. A
    limit holds in one process and one run.

    Args:
        create_data: How many steps may create data: at least 1. None sets no limit.
        read_data: How many steps may read data.
        update_data: How many steps may change data.
        destroy_data: How many steps may delete data.
        financial_transactions: How many steps may move money.
        external_communication: How many steps may send something to the outside.
        steps: How many steps may run, whatever they do.

    Raises:
        DeclarationError: If no limit is given, or one is not a whole number from 1.
    """
    declared = Limits(
        create_data,
        read_data,
        update_data,
        destroy_data,
        financial_transactions,
        external_communication,
        steps,
    )
    numbers = {name: getattr(declared, name) for name in COUNTED}
    if all(number is None for number in numbers.values()):
        raise DeclarationError(
            "remit.limits() has no limit; expected a number for an action or for steps, as in "
            "financial_transactions=1"
        )
    for name, number in numbers.items():
        if number is not None:
            _check_number(name, number)
    return declared


def _check_number(name: str, number: object) -> None:
    if type(number) is int and 0 < number <= MAX_NUMBER:
        return
    message = (
        f"remit.limits({name}=...): saw {describe_literal(number)}; expected a whole number from 1 "
        f"to {MAX_NUMBER:,}"
    )
    if number == 0 and name != STEPS:
        message += f". To rule the action out, write data_risk=remit.risk(forbids={name!r})"
    raise DeclarationError(message)


def check_limits(value: object, where: str) -> Limits | None:
    """Return the limits of an agent; *where* names its declaration.

    Raises:
        DeclarationError: *value* is not the result of `remit.limits`.
    """
    if value is None or isinstance(value, Limits):
        return value
    raise DeclarationError(
        f"{where}: limits is of type {type(value).__qualname__}; expected the result of "
        "remit.limits(...)"
    )


def ceiling_of(agent: AgentType) -> Ceiling | None:
    """Return the ceiling of a declared agent, None if it has no limits."""
    place = agent.span_type.place
    return Ceiling.of(agent.external_identifier, place, agent.data_risk, agent.limits)
