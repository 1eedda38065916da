"""How many spans a request holds, in the protocol of each peer.

The sink shares the machine with what is measured, so nothing is decoded that need not be: OTLP is
walked field by field, msgpack and JSON are parsed down to the list of spans.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any, Final

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
PENDING: Final = b"pending_span"
"""Logfire announces each span by another one, of this type, when it begins."""

_traces: Final = msgspec.msgpack.Decoder(list[list[msgspec.Raw]]).decode
_traces_with_strings: Final = msgspec.msgpack.Decoder(
    tuple[msgspec.Raw, list[list[msgspec.Raw]]]
).decode


class _Transaction(msgspec.Struct):
    spans: list[msgspec.Raw] = []


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


def otlp_spans(body: bytes) -> int:
    """Return how many spans an `ExportTraceServiceRequest` holds, announcements left out.

    Source: opentelemetry/proto/trace/v1/trace.proto.
    """
    count = 0
    for resource in _fields(memoryview(body), RESOURCE_SPANS):
        for scope in _fields(resource, SCOPE_SPANS):
            count += sum(1 for _ in _fields(scope, SPANS))
    return count - body.count(PENDING)


def agent_spans(path: str, body: bytes) -> int:
    """Return how many spans came to Datadog's agent, at `/v0.4/traces` or `/v0.5/traces`."""
    traces = _traces_with_strings(body)[1] if path.startswith("/v0.5") else _traces(body)
    return sum(map(len, traces))


def envelope_spans(body: bytes) -> int:
    """Return how many spans a Sentry envelope holds; a transaction is the root of its spans.

    Source: develop.sentry.dev/sdk/data-model/envelopes.
    """
    count, at = 0, body.index(b"\n") + 1
    while at < len(body):
        end = body.find(b"\n", at)
        header: dict[str, Any] = json.loads(body[at:end])
        begin = end + 1
        size = header.get("length", body.find(b"\n", begin) - begin)
        if header["type"] == "transaction":
            count += 1 + len(_transaction(body[begin : begin + size]).spans)
        at = begin + size + 1
    return count


def spans_in(path: str, body: bytes) -> int:
    """Return how many spans a request to a peer's server holds, by its path."""
    if path.endswith("/v1/traces"):
        return otlp_spans(body)
    if path in ("/v0.4/traces", "/v0.5/traces"):
        return agent_spans(path, body)
    return envelope_spans(body) if path.endswith("/envelope/") else 0
