"""Runs, spans and numbers as the lists of remit's own API show them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw

from remit._base.step_names import StepName
from remit.collector.prices import Prices
from remit.collector.store.questions.costs import CostGroup, costs_of_run
from remit.collector.store.questions.count_lists import Counted
from remit.collector.store.questions.scope import FAILED, FLAGS
from remit.collector.store.questions.span_lists import SpanRecord
from remit.collector.store.rows import SENSITIVE, UNCHECKED, RunWithAgent
from remit.collector.times import format_us
from remit.collector.views.runs import (
    cost_view,
    failure_view,
    name_view,
    named_agent,
    span_counts,
    summary_view,
    time_view,
)
from remit.collector.views.spans import is_valid


def run_view(
    run: RunWithAgent,
    prices: Prices | None,
    failed_step: StepName | None = None,
    on_behalf_of: str | None = None,
) -> dict[str, object]:
    """Return a run in a list.

    Args:
        failed_step: The name of the step where its failure began.
        on_behalf_of: Who asked.
    """
    return {
        **summary_view(run),
        "agent": named_agent(run.agent_id, run.agent_name, run.agent_identifier),
        "span_counts": span_counts(run, run.recorded),
        "flags": _words(run.flags, failed=run.spans_failed > 0),
        "denied": run.denied,
        "handled": run.handled,
        "tokens": {"in": run.tokens_in, "out": run.tokens_out},
        "cost_breakdown": cost_view(costs_of_run(run, prices)),
        "summary": run.summary,
        "conversation": run.conversation,
        "on_behalf_of": on_behalf_of,
        "asked": run.asked,
        "answered": run.answered,
        "question": run.question,
        "answer": run.answer,
        "terminated_by": run.terminated_by,
        "failure": failure_view(run, failed_step),
        "erased_at": time_view(run.erased_at),
    }


def cost_group_view(group: CostGroup, by: str) -> dict[str, object]:
    """Return the costs of a group."""
    run, used = group.first, group.used
    key: object = group.key
    if by == "agent":
        key = named_agent(run.agent_id, run.agent, run.agent_identifier)
    elif by == "version":
        key = {"id": run.version_id, "name": run.version, "agent": run.version_agent}
    return {
        by: key,
        "calls": used.calls,
        "tokens": {
            "in": used.tokens_in,
            "out": used.tokens_out,
            "cached": used.cached,
            "cache_write": used.cache_write,
        },
        "cost_breakdown": cost_view(group.costs),
    }


def fingerprint_of(text: str) -> int:
    """Return the fingerprint that is shown as *text*."""
    return int.from_bytes(bytes.fromhex(text), signed=True)


def listed_span(
    span: SpanRecord, name: StepName | None = None, schema_errors: Sequence[str] = ()
) -> dict[str, object]:
    """Return a span in a list, with its payloads, and its schema errors, if they were read.

    Args:
        name: Its name, if an integration gave it one.
    """
    view: dict[str, object] = {
        "type": "agent_span",
        "id": span.id,
        "account_id": span.account_id,
        "agent_id": span.agent_id,
        "agent_instance_id": span.run_id,
        "parent_span_id": span.parent_id,
        "schema_name": span.schema_name,
        "schema_title": span.title,
        "step_name": name_view(name),
        "status": span.status,
        "summary": span.summary,
        "started_at": time_view(span.started_at),
        "finished_at": time_view(span.finished_at),
        "sensitive_encoding": bool(span.flags & SENSITIVE),
        "purpose": span.purpose,
        "valid": is_valid(span.flags),
        "flags": _words(span.flags, failed=span.status == FAILED),
        "inserted_at": format_us(span.inserted_at),
        "updated_at": format_us(span.updated_at),
    }
    if span.payload is not None:
        view["payload"] = Raw(span.payload)
        result = span.result_payload
        view["result_payload"] = None if result is None else Raw(result)
        view["schema_errors"] = schema_errors
        view["payload_byte_size_estimate"] = span.chars
    return view


def count_view(counted: Counted, by: str, whole: str, group: object) -> dict[str, object]:
    """Return the numbers of a group.

    Args:
        by: The member with the name of the group.
        whole: The member with the number of all.
    """
    named = {by: group} if by != "type" else {by: group, "title": counted.title}
    return {**named, whole: counted.total, **counted.numbers}


def _words(flags: int, *, failed: bool) -> list[str]:
    words = [word for word, bits in FLAGS.items() if flags & bits]
    words += [FAILED] if failed else []
    return words + (["unchecked"] if flags & UNCHECKED else [])
