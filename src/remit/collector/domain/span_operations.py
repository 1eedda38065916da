"""Operations on spans, alone: create, finish, list, create test spans."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Final, NamedTuple

import msgspec
from msgspec import Raw

from remit.collector.domain.conformance import shown
from remit.collector.domain.context import Context
from remit.collector.domain.params import (
    Instant,
    LenientSwitch,
    ListQuery,
    Text,
    agent_of,
    run_of,
)
from remit.collector.domain.risk import span_type_names
from remit.collector.domain.span_batch import SpanBatch
from remit.collector.domain.spans import CREATE, Call
from remit.collector.errors import RequestError, invalid_field, not_found
from remit.collector.json_io import JsonText, encode, fields_of
from remit.collector.models.service import CreateTestSpansRequest
from remit.collector.store.filters import SpanFilter
from remit.collector.store.rows import RunRow, SpanRow
from remit.collector.views.envelopes import list_response
from remit.collector.views.spans import SpanView

TEST_SPAN: Final = "test:span"
"""Name of the test spans of a run that declared no span type."""


def create(ctx: Context, call: Call) -> bytes:
    """Create a span."""
    return _alone(ctx, call)


def finish(ctx: Context, call: Call) -> bytes:
    """Finish a span."""
    return _alone(ctx, call)


def _alone(ctx: Context, call: Call) -> bytes:
    (response,) = SpanBatch(ctx, minimal=ctx.minimal).execute([call])
    if isinstance(response, RequestError):
        raise response
    return response


class ShownSpan(NamedTuple):
    """A span and its run; `id` is that of the span."""

    row: SpanRow
    run: RunRow

    @property
    def id(self) -> str:
        """Id of the span."""
        return self.row.id


def find(ctx: Context, span_id: str, *_: object) -> ShownSpan:
    """Return a span.

    Raises:
        RequestError: 404, it does not exist for this caller.
    """
    row = ctx.tx.spans(ctx.caller.account_id, [span_id]).get(span_id)
    if row is not None:
        run_id = row.agent_instance_id
        run = ctx.tx.runs(ctx.caller.account_id, [run_id]).get(run_id)
        if run is not None and ctx.caller.sees(run):
            return ShownSpan(row, run)
    raise not_found("agent_span")


def view(ctx: Context, span: ShownSpan) -> SpanView:
    """Return a span as it is shown alone."""
    return shown(ctx, span.row, span.run)


class SpanQuery(ListQuery):
    """Which spans to list."""

    sortable: ClassVar[tuple[str, ...]] = (
        "id",
        "started_at",
        "finished_at",
        "inserted_at",
        "updated_at",
        "schema_name",
        "status",
    )
    agent_instance_id: Text = None
    agent_id: Text = None
    schema_name: Text = None
    start_time: Instant = None
    end_time: Instant = None
    include_summaries: LenientSwitch = False
    include_risk_level: LenientSwitch = False


def list_spans(ctx: Context, query: SpanQuery) -> bytes:
    """Return a page of the spans of a run or agent."""
    page, most_chars = query.page, ctx.settings.max_response_bytes
    listed = ctx.tx.list_spans(_wanted(ctx, query), page, most_chars=most_chars)
    if 0 < len(listed.rows) < min(page.size, listed.total - page.offset):
        # A shorter page; the next one begins where it ends.
        page = replace(page, size=len(listed.rows))
    run_ids = {row.agent_instance_id for row in listed.rows}
    runs = ctx.tx.runs(ctx.caller.account_id, run_ids)

    def view(row: SpanRow) -> SpanView:
        view = shown(ctx, row, runs[row.agent_instance_id])
        return view if query.include_summaries else msgspec.structs.replace(view, summary=None)

    return list_response([view(row) for row in listed.rows], page, listed.total)


def _wanted(ctx: Context, query: SpanQuery) -> SpanFilter:
    agent_id = query.agent_id
    if query.agent_instance_id is None and agent_id is None:
        raise invalid_field("agent_instance_id", "or agent_id is required")
    caller = ctx.caller
    if caller.agent_id is not None:
        if agent_id is not None and agent_id != caller.agent_id:
            agent_of(ctx, agent_id)
        agent_id = caller.agent_id
    return SpanFilter(
        account_id=caller.account_id,
        agent_instance_id=query.agent_instance_id,
        agent_id=agent_id,
        environment_id=caller.environment_id,
        schema_name=query.schema_name,
        started_from_us=query.start_time,
        started_to_us=query.end_time,
    )


class TestSpans(NamedTuple):
    """The test spans of a run; `id` is that of the run."""

    id: str
    spans: list[Raw]


def create_test_spans(ctx: Context, request: CreateTestSpansRequest) -> TestSpans:
    """Create complete spans with empty payloads, cycling through the declared types."""
    run = run_of(ctx, request.agent_instance_id)
    names = span_type_names(ctx, run.agent_schema_version_id) or [TEST_SPAN]
    fields: dict[str, object] = {
        "agent_instance_id": run.id,
        "parent_span_id": request.parent_span_id,
        "status": "complete",
        "payload": {},
    }
    bodies = [{**fields, "schema_name": names[n % len(names)]} for n in range(request.count)]
    calls = [Call(CREATE, JsonText(encode(body), body), None) for body in bodies]
    spans: list[Raw] = []
    for response in SpanBatch(ctx).execute(calls):
        if isinstance(response, RequestError):
            raise response
        spans.append(fields_of(response)["details"])
    return TestSpans(run.id, spans)


def test_spans_view(made: TestSpans) -> dict[str, object]:
    """Return the response to a request for test spans."""
    return {"status": "success", "span_details": made.spans}
