"""Makes test spans, to see how a run looks with some.

The answer is a choice of the collector (docs/reference/wire.md).
"""

from __future__ import annotations

from typing import Final

from msgspec import Raw

from remit.collector.ingest.checks import validated
from remit.collector.ingest.context import Context
from remit.collector.ingest.declared import span_type_names
from remit.collector.ingest.instances import instance_of
from remit.collector.ingest.keys import Done, once
from remit.collector.ingest.span_batch import SpanBatch
from remit.collector.ingest.spans import CREATE, SpanCall
from remit.collector.models.service import CreateTestSpansRequest
from remit.collector.refusals import RequestError
from remit.collector.wire import encode, fields_of, object_of

TEST_SPAN: Final = "test:span"
"""Name of the spans of an instance that declared no span type."""


def create_test_spans(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Create complete spans with empty payloads, of the declared types in turn."""
    values = object_of(params, ctx.settings.max_depth)

    def do() -> Done:
        request = validated(CreateTestSpansRequest, values)
        instance = instance_of(ctx, values)
        names = span_type_names(ctx, instance.agent_schema_version_id) or [TEST_SPAN]
        said: dict[str, object] = {
            "agent_instance_id": instance.id,
            "parent_span_id": request.parent_span_id,
            "status": "complete",
            "payload": {},
        }
        bodies = [{**said, "schema_name": names[n % len(names)]} for n in range(request.count)]
        calls = [SpanCall(CREATE, encode(body), None) for body in bodies]
        made: list[Raw] = []
        for answer in SpanBatch(ctx).execute(calls):
            if isinstance(answer, RequestError):
                raise answer
            made.append(fields_of(answer)["details"])
        return Done(encode({"status": "success", "span_details": made}), instance.id)

    return once(ctx, "agent_spans/create_test_spans", key, values, do)
