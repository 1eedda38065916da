"""The tests' sink, which also counts the spans that the peers send: `python -m benchmarks.sink`.

It answers OTLP over HTTP, Datadog's agent and Sentry. A span counts once, by its ids, however often
it is sent. The sink shares the machine with the measured process, so it decodes as little as it
can: OTLP is walked field by field, msgpack and JSON are parsed down to the ids of the spans.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator
from typing import Any, Final

import msgspec

from tests import sink

VARINT: Final = 0
FIXED_64: Final = 1
LENGTH: Final = 2
WIDTHS: Final = {FIXED_64: 8, 5: 4}
RESOURCE_SPANS: Final = 1
SCOPE_SPANS: Final = 2
SPANS: Final = 2
IDS: Final = 28
"""Bytes of a span's beginning in OTLP: the id of its trace, then its own, each with two in front.

A writer of protobuf puts fields in the order of their numbers, and these two are the first.
"""
IDS_BEGIN: Final = b"\x0a\x10", b"\x12\x08"
PENDING: Final = b"pending_span"
"""Logfire announces each span by another one, of this type, when it begins."""
ASKED: Final[dict[str, dict[str, Any]]] = {
    "/info": {"endpoints": ["/v0.4/traces", "/v0.5/traces"], "client_drop_p0s": False},
    "/v1/info": {"project_name": "benchmark", "project_url": "http://127.0.0.1/benchmark"},
}
"""Questions of a peer before it sends: ddtrace asks for endpoints, Logfire for its project."""


class _Span(msgspec.Struct):
    trace_id: int
    span_id: int


class _SpanWithStrings(msgspec.Struct, array_like=True):
    """The first five of twelve; the others are not read."""

    service: int
    name: int
    resource: int
    trace_id: int
    span_id: int


_traces: Final = msgspec.msgpack.Decoder(list[list[_Span]]).decode
_traces_with_strings: Final = msgspec.msgpack.Decoder(
    tuple[msgspec.Raw, list[list[_SpanWithStrings]]]
).decode


class _Identified(msgspec.Struct):
    span_id: str


class _Contexts(msgspec.Struct):
    trace: _Identified


class _Transaction(msgspec.Struct):
    contexts: _Contexts
    spans: list[_Identified] = []


_transaction: Final = msgspec.json.Decoder(_Transaction).decode


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    byte = message[at]
    if byte < 128:
        return byte, at + 1
    value, shift = 0, 0
    while byte >= 128:
        value |= (byte & 127) << shift
        shift += 7
        at += 1
        byte = message[at]
    return value | byte << shift, at + 1


def _fields(message: memoryview, wanted: int) -> Iterator[memoryview]:
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == LENGTH:
            size, at = _varint(message, at)
            if tag >> 3 == wanted:
                yield message[at : at + size]
            at += size
        elif kind == VARINT:
            _, at = _varint(message, at)
        else:
            at += WIDTHS[kind]


def otlp_spans(body: bytes) -> Iterator[bytes]:
    """Yield the ids of each span of an `ExportTraceServiceRequest`, announcements left out.

    Raises:
        ValueError: A span does not begin with its ids.

    Source: opentelemetry/proto/trace/v1/trace.proto.
    """
    some_announced = PENDING in body
    for resource in _fields(memoryview(body), RESOURCE_SPANS):
        for scope in _fields(resource, SCOPE_SPANS):
            for span in _fields(scope, SPANS):
                ids = bytes(span[:IDS])
                if (ids[:2], ids[18:20]) != IDS_BEGIN:
                    raise ValueError(f"a span of OTLP begins with {ids.hex()}, not with its ids")
                if not (some_announced and PENDING in bytes(span)):
                    yield ids


def agent_spans(path: str, body: bytes) -> Iterator[tuple[int, int]]:
    """Yield the ids of each span that came to Datadog's agent, at `/v0.4/traces` or `/v0.5/traces`.

    Source: the documentation of the trace agent's API, of which 0.5 has the texts once.
    """
    traces = _traces_with_strings(body)[1] if path.startswith("/v0.5") else _traces(body)
    for trace in traces:
        for span in trace:
            yield span.trace_id, span.span_id


def envelope_spans(body: bytes) -> Iterator[str]:
    """Yield the ids of each span of a Sentry envelope; a transaction is the root of its spans.

    Source: develop.sentry.dev/sdk/data-model/envelopes.
    """
    at = body.index(b"\n") + 1
    while at < len(body):
        end = body.find(b"\n", at)
        header: dict[str, Any] = json.loads(body[at:end])
        begin = end + 1
        size = header.get("length", body.find(b"\n", begin) - begin)
        if header["type"] == "transaction":
            transaction = _transaction(body[begin : begin + size])
            yield transaction.contexts.trace.span_id
            for span in transaction.spans:
                yield span.span_id
        at = begin + size + 1


def spans_in(path: str, body: bytes) -> Iterator[Hashable]:
    """Return the ids of the spans in a request to a peer's server, which the path identifies."""
    if path.endswith("/v1/traces"):
        return otlp_spans(body)
    if path in ("/v0.4/traces", "/v0.5/traces"):
        return agent_spans(path, body)
    return envelope_spans(body) if path.endswith("/envelope/") else iter(())


class PeerSink(sink.Sink):
    """Also reads what the peers send."""

    def _read_other(self, path: str, body: bytes) -> dict[str, Any]:
        self._count(list(spans_in(path, body)))
        return ASKED.get(path, {})


if __name__ == "__main__":
    sink.main(PeerSink)
