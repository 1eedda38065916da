"""Which spans a request holds, in the protocol of each peer.

A span is known by its ids, so that one that is sent again counts once. The sink shares the machine
with what is measured, so nothing is decoded that need not be: OTLP is walked field by field,
msgpack and JSON are parsed down to the ids of the spans.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import msgspec

GZIP_OR_ZLIB: Final = 47
"""The largest window, and either header. Source: the documentation of `zlib.decompress`."""
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

Key: TypeAlias = bytes | str | tuple[int, int]
"""What a span is known by."""


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


def plain(body: bytes, encoding: str) -> bytes:
    """Return a body as it was before `content-encoding`.

    Raises:
        ValueError: The encoding is not known here.
    """
    if encoding in ("", "identity"):
        return body
    if encoding in ("gzip", "deflate"):
        return zlib.decompress(body, GZIP_OR_ZLIB)
    raise ValueError(f"a body came as {encoding}; the sink reads gzip and deflate")


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


def spans_in(path: str, body: bytes) -> Iterator[Key]:
    """Return what the spans of a request to a peer's server are known by; the path says whose."""
    if path.endswith("/v1/traces"):
        return otlp_spans(body)
    if path in ("/v0.4/traces", "/v0.5/traces"):
        return agent_spans(path, body)
    return envelope_spans(body) if path.endswith("/envelope/") else iter(())
