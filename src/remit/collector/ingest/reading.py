"""Looking at spans. Source: CONTRACT.md sections 9 and 15."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from remit.collector.ingest.checks import instant
from remit.collector.ingest.context import Context
from remit.collector.ingest.lists import page_of, text_in
from remit.collector.refusals import forbidden, invalid_field
from remit.collector.store import SpanFilter, SpanRow
from remit.collector.views import list_answer, span_view
from remit.collector.views.spans import SpanView
from remit.collector.wire import object_of

_SORTABLE: Final = (
    "id",
    "started_at",
    "finished_at",
    "inserted_at",
    "updated_at",
    "schema_name",
    "status",
)


def list_spans(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Return one page of the spans of an instance or an agent."""
    del key
    values = object_of(params, ctx.settings.max_depth)
    page = page_of(values, _SORTABLE)
    listed = ctx.tx.list_spans(_wanted(ctx, values), page)
    instance_ids = {row.agent_instance_id for row in listed.rows}
    instances = ctx.tx.instances(ctx.caller.account_id, instance_ids)

    def view(row: SpanRow) -> SpanView:
        instance = instances[row.agent_instance_id]
        titles = ctx.titles.of(ctx.tx, instance.agent_schema_version_id)
        return span_view(row, instance, titles.get(row.schema_name, row.schema_name))

    return list_answer([view(row) for row in listed.rows], page, listed.total)


def _wanted(ctx: Context, values: Mapping[str, object]) -> SpanFilter:
    instance_id = text_in(values, "agent_instance_id")
    agent_id = text_in(values, "agent_id")
    if instance_id is None and agent_id is None:
        raise invalid_field("agent_instance_id", "or agent_id is required")
    caller = ctx.caller
    if caller.agent_id is not None:
        if agent_id not in {None, caller.agent_id}:
            raise forbidden("this token is for another agent")
        agent_id = caller.agent_id
    return SpanFilter(
        account_id=caller.account_id,
        agent_instance_id=instance_id,
        agent_id=agent_id,
        started_from_us=_bound(values, "start_time"),
        started_to_us=_bound(values, "end_time"),
    )


def _bound(values: Mapping[str, object], name: str) -> int | None:
    """Return a bound of the time window; inclusive, a choice where the service is unknown."""
    text = text_in(values, name)
    if text is None:
        return None
    # In a query that was not encoded, the `+` of an offset arrives as a space.
    mended = text.replace(" ", "+") if "T" in text else text
    return instant(name, mended, 0)
