"""Paging and sorting, in both styles that the published readers use.

Where the service's own answer is unknown, a value that cannot be meant is refused, so that nobody
reads the wrong rows without noticing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, cast

from remit.collector.ingest.checks import integer
from remit.collector.refusals import invalid_field
from remit.collector.store import Page

MAX_PAGE_SIZE: Final = 100
MAX_OFFSET: Final = 2**53
DEFAULT_FIELD: Final = "id"
_DIRECTIONS: Final = ("asc", "desc")


def page_of(values: Mapping[str, object], sortable: Collection[str]) -> Page:
    """Return the page that a request asks for: by default the first 100, oldest first.

    Args:
        values: The query, or the fields of a bulk item, where `pagination` and `sorting` may also
            be objects.
        sortable: Fields that the list can be sorted by.

    Raises:
        RequestError: 422.
    """
    offset = _member(values, "pagination", "offset")
    size = _member(values, "pagination", "page_size")
    field, descending = _sorting(values, sortable)
    return Page(
        0 if offset is None else integer("pagination[offset]", offset, least=0, most=MAX_OFFSET),
        MAX_PAGE_SIZE
        if size is None
        else integer("pagination[page_size]", size, least=1, most=MAX_PAGE_SIZE),
        field,
        descending,
    )


def text_in(values: Mapping[str, object], name: str) -> str | None:
    """Return the text called *name*; an empty one is none.

    Raises:
        RequestError: 422, it is no text.
    """
    value = values.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise invalid_field(name, "must be a text")
    return value


def _sorting(values: Mapping[str, object], sortable: Collection[str]) -> tuple[str, bool]:
    short = values.get("sorting")
    if isinstance(short, str) and short:
        field, direction = short.removeprefix("-"), "desc" if short.startswith("-") else "asc"
    else:
        field = text_in({"": _member(values, "sorting", "field")}, "") or DEFAULT_FIELD
        direction = text_in({"": _member(values, "sorting", "direction")}, "") or "asc"
    if field not in sortable:
        raise invalid_field("sorting", f"must be one of {', '.join(sortable)}, `-` before it")
    if direction not in _DIRECTIONS:
        raise invalid_field("sorting[direction]", "must be asc or desc")
    return field, direction == "desc"


def _member(values: Mapping[str, object], name: str, member: str) -> object:
    """Return `name[member]`, flat, as in a query, or in an object; an empty text is none."""
    found = values.get(f"{name}[{member}]")
    nested = values.get(name)
    if found is None and isinstance(nested, dict):
        found = cast("dict[str, object]", nested).get(member)
    return None if found == "" else found
