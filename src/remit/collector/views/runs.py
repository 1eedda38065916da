"""Instances on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from remit._base.step_names import StepName
from remit.collector.json_io import read_json
from remit.collector.prices import Costs, Prices
from remit.collector.store.questions.costs import costs_of_run
from remit.collector.store.rows import RunRow
from remit.collector.times import format_us

LEGACY_QUALITY: Final = "quality"
"""Name under which the one quality payload of older clients is kept."""

_UINT64: Final = 2**64


def named_agent(agent_id: object, name: str | None, identifier: str | None) -> dict[str, object]:
    """Return an agent as other objects refer to it."""
    return {"id": agent_id, "name": name, "external_identifier": identifier}


def summary_view(row: RunRow) -> dict[str, object]:
    """Return a run as a list shows it."""
    return {
        "type": "agent_instance",
        "id": row.id,
        "account_id": row.account_id,
        "agent_id": row.agent_id,
        "agent_version_id": row.agent_version_id,
        "environment_id": row.environment_id,
        "agent_deployment_id": row.agent_deployment_id,
        "status": row.status,
        "started_at": time_view(row.started_at),
        "finished_at": time_view(row.finished_at),
        "termination_reason": row.termination_reason,
        "external_identifier": row.external_identifier,
        "purpose": row.purpose,
        "caused_by": row.caused_by,
        "inserted_at": format_us(row.inserted_at),
        "updated_at": format_us(row.updated_at),
        "risk_score": None,
    }


def instance_view(
    row: RunRow,
    summaries: Mapping[str, str | None] | None = None,
    errors: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, object]:
    """Return a run for the response to a step on it."""
    written = summaries or {}
    qualities = cast("dict[str, object]", read_json(row.quality_payloads))
    return {
        **summary_view(row),
        "span_counts": span_counts(row),
        "quality_payloads": qualities,
        # The published clients accept no null here, so a missing summary is left out.
        "quality_summaries": {name: text for name, text in written.items() if text is not None},
        "quality_errors": errors or {},
        "quality_payload": qualities.get(LEGACY_QUALITY),
        "quality_summary": written.get(LEGACY_QUALITY),
    }


def detail_view(
    row: RunRow,
    summaries: Mapping[str, str | None] | None = None,
    errors: Mapping[str, Sequence[str]] | None = None,
    recorded: int | None = None,
    prices: Prices | None = None,
    failed_step: StepName | None = None,
) -> dict[str, object]:
    """Return a run as it is shown alone; see `instance_view`, `span_counts`, `failure_view`."""
    return {
        **instance_view(row, summaries, errors),
        "span_counts": span_counts(row, recorded),
        "asked": row.asked,
        "answered": row.answered,
        "erased_at": time_view(row.erased_at),
        "failure": failure_view(row, failed_step),
        "cost_breakdown": cost_view(costs_of_run(row, prices)),
        "span_schema_counts": None,
    }


def cost_view(costs: Costs) -> dict[str, object]:
    """Return the costs of model calls."""
    amounts = costs.amounts
    is_one = len({cost.currency for cost in amounts}) == 1
    return {
        "total_cost": float(sum(cost.amount for cost in amounts)) if is_one else None,
        "costs": [
            {
                "amount": f"{cost.amount.normalize():f}",
                "currency": cost.currency,
                "source": cost.source,
                "prices_from": cost.prices_from,
            }
            for cost in amounts
        ],
        "calls_without_price": costs.without_price,
    }


def failure_view(run: RunRow, name: StepName | None = None) -> dict[str, object] | None:
    """Return the failure of a run; None without one.

    Args:
        name: The name of the step where it began.
    """
    if run.failure_us is None:
        return None
    fingerprint = run.fingerprint
    return {
        "span": run.failure_span,
        "step": run.failure_step,
        "step_name": name_view(name),
        "type": run.failure_type,
        "place": run.failure_place,
        "text": run.failure_text,
        "at": format_us(run.failure_us),
        # As a string: many readers would lose the last digits of a number.
        "fingerprint": None if fingerprint is None else f"{fingerprint % _UINT64:016x}",
    }


def name_view(name: StepName | None) -> dict[str, str] | None:
    """Return the name of a step; None without one."""
    return None if name is None else name._asdict()


def span_counts(row: RunRow, recorded: int | None = None) -> dict[str, int]:
    """Return the numbers of a run's spans.

    Args:
        recorded: If its end says that more spans were recorded than are here, how many.
    """
    finished = row.spans_complete + row.spans_failed + row.spans_cancelled
    return {
        "total": row.spans_pending + row.spans_active + finished,
        "pending": row.spans_pending,
        "active": row.spans_active,
        "complete": row.spans_complete,
        "failed": row.spans_failed,
        "cancelled": row.spans_cancelled,
        "finished": finished,
        **({} if recorded is None else {"recorded": recorded}),
    }


def time_view(instant_us: int | None) -> str | None:
    """Return a time, which may be absent."""
    return None if instant_us is None else format_us(instant_us)
