"""`remit.span`: records a block of code as a span."""

from __future__ import annotations

from collections.abc import Mapping

from remit._base.guard import guarded
from remit._declare import inference
from remit._declare.risk import check_asks_nothing, coerce, redacting
from remit._decorators.checks import checked_name
from remit._decorators.span_type import outside
from remit._inspect.introspection import is_mapping
from remit._record.blocks import SpanBlock
from remit._record.spans import BlockPlan, SpanRecorder
from remit._runtime import process
from remit.errors import DeclarationError, UsageError
from remit.models.data_risk import DataRisk


def span(
    name: str,
    payload: Mapping[str, object] | None = None,
    *,
    data_risk: DataRisk | Mapping[str, object] | None = None,
) -> SpanBlock:
    """Record a block as a span: `with remit.span("plan", {"goal": goal}) as span:`.

    The span type of a block is not registered on the server. However, if a function is decorated
    with `@remit.span_type(name)`, its schemas, risk declaration and `capture=` also apply to blocks
    with that name.

    Args:
        name: Name of the span type, which is sent unchanged.
        payload: Input of the block. It is redacted and cut like every payload.
        data_risk: Risk declaration of the block. The default is the declaration of the span type
            with this name.

    Returns:
        A context manager for `with` or `async with`. It yields a `Span`.

    Raises:
        DeclarationError: If the name is empty, or the data risk contains an unknown name or value.
        UsageError: If the payload is not a mapping.
    """
    values: Mapping[str, object] = {} if payload is None else payload
    # After a fault nothing is known of its data risk.
    recorder = _recorder(name, payload, data_risk) or SpanRecorder(name, BlockPlan)
    return SpanBlock(name, values, recorder, outside)


@guarded("the declaration of a block", passes=(DeclarationError, UsageError))
def _recorder(name: str, payload: Mapping[str, object] | None, data_risk: object) -> SpanRecorder:
    checked_name(name, "remit.span")
    if payload is not None and not is_mapping(payload):
        raise UsageError(
            f"remit.span({name!r}) got a payload of type {type(payload).__qualname__}; "
            'expected a mapping, as in {"goal": goal}'
        )
    risk = coerce(data_risk, f"remit.span({name!r})")
    check_asks_nothing(risk, f"remit.span({name!r})")
    excluded = None if risk is None else redacting(risk).params_excluded
    declared = process.registry().span_type(name)
    if declared is None:
        return SpanRecorder(name, lambda: BlockPlan(None, excluded), find_risk=lambda: risk)
    return SpanRecorder(
        name,
        lambda: BlockPlan(inference.plan_of(declared), excluded),
        find_risk=lambda: inference.effective(declared) if risk is None else risk,
    )
