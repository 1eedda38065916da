"""Lists spans, filtered and sorted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from remit.collector.ingest.checks import instant
from remit.collector.ingest.context import Context
from remit.collector.ingest.lists import page_of, text_in
from remit.collector.ingest.resources import agent_of
from remit.collector.ingest.validation import shown
from remit.collector.refusals import invalid_field
from remit.collector.store import SpanFilter, SpanRow
from remit.collector.views import list_answer
from remit.collector.views.spans import SpanView
from remit.collector.wire import object_of

SORTABLE: Final = (
    "id",
    "started_at",
    "finished_at",
    "inserted_at",
    "updated_at",
    "schema_name",
    "status",
)
QUERY: Final = (
    "agent_instance_id",
    "agent_id",
    "schema_name",
    "start_time",
    "end_time",
    "include_summaries",
    "include_risk_level",
)


def list_spans(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Return a page of the spans of an instance or an agent."""
    del key
    values = object_of(params, ctx.settings.max_depth)
    page = page_of(values, SORTABLE)
    most_chars = ctx.settings.max_answer_bytes
    listed = ctx.tx.list_spans(_wanted(ctx, values), page, most_chars=most_chars)
    if 0 < len(listed.rows) < min(page.size, listed.total - page.offset):
        # A shorter page; the next one begins where it ends.
        page = replace(page, size=len(listed.rows))
    instance_ids = {row.agent_instance_id for row in listed.rows}
    instances = ctx.tx.instances(ctx.caller.account_id, instance_ids)
    with_summaries = values.get("include_summaries") in {"true", True}

    def view(row: SpanRow) -> SpanView:
        instance = instances[row.agent_instance_id]
        return shown(ctx, row, instance, with_summary=with_summaries)

    return list_answer([view(row) for row in listed.rows], page, listed.total)


def _wanted(ctx: Context, values: Mapping[str, object]) -> SpanFilter:
    instance_id = text_in(values, "agent_instance_id")
    agent_id = text_in(values, "agent_id")
    if instance_id is None and agent_id is None:
        raise invalid_field("agent_instance_id", "or agent_id is required")
    caller = ctx.caller
    if caller.agent_id is not None:
        if agent_id is not None and agent_id != caller.agent_id:
            agent_of(ctx, agent_id)
        agent_id = caller.agent_id
    start_us, end_us = window(values)
    return SpanFilter(
        account_id=caller.account_id,
        agent_instance_id=instance_id,
        agent_id=agent_id,
        environment_id=caller.environment_id,
        schema_name=text_in(values, "schema_name"),
        started_from_us=start_us,
        started_to_us=end_us,
    )


def window(values: Mapping[str, object]) -> tuple[int | None, int | None]:
    """Return from when to when the spans started that a request is about.

    Raises:
        RequestError: 422, one of them is no time.
    """
    return _bound(values, "start_time"), _bound(values, "end_time")


def _bound(values: Mapping[str, object], name: str) -> int | None:
    """Return a bound of the time window; inclusive, a choice where the service is unknown."""
    text = text_in(values, name)
    if text is None:
        return None
    # In a query that was not encoded, the `+` of an offset arrives as a space.
    mended = text.replace(" ", "+") if "T" in text else text
    return instant(name, mended, 0)
