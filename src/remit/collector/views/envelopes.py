"""The envelopes: of one resource, of a span with its control signal, of a list, of an error."""

from __future__ import annotations

from collections.abc import Sequence

from remit.collector.errors import RequestError
from remit.collector.json_io import encode
from remit.collector.store.filters import Page


def success_response(details: object) -> bytes:
    """Return the envelope of one resource."""
    return encode({"status": "success", "details": details})


def span_response(view: object, *, terminated: bool, reason: str | None) -> bytes:
    """Return the envelope of a span; with `control` if the run was terminated."""
    response: dict[str, object] = {"status": "success", "details": view}
    if terminated:
        response["control"] = {"terminate": True, "reason": reason}
    return encode(response)


def list_response(views: Sequence[object], page: Page, total: int) -> bytes:
    """Return the envelope of a list of *total* things, of which *views* are one page."""
    direction = "desc" if page.descending else "asc"
    return encode(
        {
            "status": "success",
            "summaries": views,
            "pagination": pagination(page.offset, page.size, len(views), total),
            "sorting": {"field": page.field, "direction": direction},
        }
    )


def pagination(offset: int, size: int, count: int, total: int) -> dict[str, int | None]:
    """Return where a page lies: *count* of *total* things after *offset*, *size* to a page."""
    after = offset + size
    return {
        "item_count": total,
        "item_start": offset + 1 if count else 0,
        "item_end": offset + count if count else 0,
        "page_count": -(-total // size),
        "page_index": offset // size + 1,
        "page_offset": offset,
        "page_size": size,
        "next_page_offset": after if after < total else None,
        "previous_page_offset": max(0, offset - size) if offset else None,
    }


def error_response(error: RequestError) -> bytes:
    """Return the envelope of an error."""
    response: dict[str, object] = {
        "status": "error",
        "code": error.code,
        "message": error.message,
    }
    if error.errors is not None:
        response["errors"] = error.errors
    return encode(response)
