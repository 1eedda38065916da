"""Calls of remit's own API, and of lists whose items stay unparsed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
from pydantic import BaseModel

from remit.client.endpoints.endpoint import MAX_LIST_BYTES, Call
from remit.client.endpoints.responses import lenient, whole
from remit.models.routes import API

M = TypeVar("M", bound=BaseModel)

REMIT_API: Final = "/api/remit/v1"
PAGE_ROWS: Final = 100
"""Maximum number of items of a page."""
_MAX_FILE_BYTES: Final = 256 * 1024 * 1024
"""Maximum size of an HTML file of a run; the JSON in it is at most 16 MiB."""


class ErasureList(BaseModel):
    erasures: list[dict[str, Any]]


class Details(msgspec.Struct, gc=False):
    details: msgspec.Raw


class SpanPage(msgspec.Struct, gc=False):
    """A page of unparsed spans; `next` is the cursor of the next page."""

    spans: list[msgspec.Raw]
    next: str | None = None


class SpanSummaries(msgspec.Struct, gc=False):
    """A page of `/api/v1/agent_spans`."""

    summaries: list[msgspec.Raw]
    pagination: dict[str, int | None] | None = None


def get(path: str, model: type[M], query: Mapping[str, str]) -> Call[M]:
    pairs = tuple(query.items())
    return Call("GET", REMIT_API + path, whole(model), query=pairs, limit_bytes=MAX_LIST_BYTES)


def post(path: str, model: type[M], body: Mapping[str, object]) -> Call[M]:
    return Call("POST", REMIT_API + path, whole(model), msgspec.json.encode(body))


def spans_page(query: Mapping[str, str]) -> Call[SpanPage]:
    path, pairs = f"{REMIT_API}/spans", tuple(query.items())
    return Call("GET", path, lenient(SpanPage), query=pairs, limit_bytes=MAX_LIST_BYTES)


def run_file(run_id: str, *, values: bool) -> Call[bytes]:
    path = f"{REMIT_API}/runs/{run_id}/file{'/values' if values else ''}"
    return Call("GET", path, bytes, limit_bytes=_MAX_FILE_BYTES)


def span_summaries(query: Mapping[str, str]) -> Call[SpanSummaries]:
    """Describe a request for a page of spans that any server of the API supports."""
    path, pairs = f"{API}/agent_spans", tuple(query.items())
    return Call("GET", path, lenient(SpanSummaries), query=pairs, limit_bytes=MAX_LIST_BYTES)
