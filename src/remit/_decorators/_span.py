"""`remit.span`: a block of code as a span, named and filled by hand."""

from __future__ import annotations

from collections.abc import Mapping

from remit._decorators._declare import given_name
from remit._decorators._doors import Door
from remit._risk import coerce
from remit._spans import ManualPlan, SpanBlock, Step
from remit.errors import UsageError
from remit.models.agent_instance import DataRisk


def span(
    name: str,
    payload: Mapping[str, object] | None = None,
    *,
    data_risk: DataRisk | Mapping[str, object] | None = None,
) -> SpanBlock:
    """Record a block as a span: `with remit.span("plan", {"goal": goal}) as span:`.

    Args:
        name: Span type, sent as given.
        payload: What goes in; redacted and bounded like every payload.
        data_risk: What the block may do and whose data flows through it.

    Returns:
        The block, sync and async; it yields a `Span` with `.set_result(mapping)` and
        `.fail(reason)`.

    Raises:
        DeclarationError: The name is empty or the data risk has an unknown word.
        UsageError: The payload is not a mapping.
    """
    given_name(name, "span")
    if payload is not None and not isinstance(payload, Mapping):
        raise UsageError(
            f"remit.span({name!r}) got a payload of type {type(payload).__qualname__}; "
            'expected a mapping, as in {"goal": goal}'
        )
    risk = coerce(data_risk, f"remit.span({name!r})")
    plan = ManualPlan({} if payload is None else payload)
    step = Step(name, lambda: plan, risk=risk)
    return SpanBlock(step, Door(step).outside)
