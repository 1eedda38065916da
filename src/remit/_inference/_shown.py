"""The data categories that the types in a signature show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

from msgspec import Struct

from remit._annotations import is_sensitive
from remit._capture.statics import is_class, name_of
from remit._inference._places import Place, category_of_class, places
from remit._marks import Sensitive
from remit._registry import SpanType
from remit._signature import RETURN


class Side(StrEnum):
    """Where data stands: what goes in, or what comes out."""

    PARAMS = "params"
    RESULT = "result"


class Inferred(Struct, frozen=True):
    """A data category that a type shows.

    Attributes:
        category: Field of `remit.DataCategories`.
        side: Where the data stands.
        path: Place in the signature: `order.customers[].email`, `return.address`.
        type: The type or mark that shows it, as one would write it.
    """

    category: str
    side: Side
    path: str
    type: str


def inferred(declared: SpanType) -> tuple[Inferred, ...]:
    """Return each category that a type in the signature shows, in the order of the signature."""
    return tuple(
        dict.fromkeys(
            Inferred(category, side, place.path, shown_by)
            for side, place in places_of(declared)
            for category, shown_by in _shown(place.part)
        )
    )


def places_of(declared: SpanType) -> Iterator[tuple[Side, Place]]:
    """Yield each type inside the signature, with its place and its side."""
    reading = declared.reading
    for each in reading.parameters:
        for place in places(each.annotation, each.name, each.category):
            yield Side.PARAMS, place
    for place in places(reading.returns, RETURN, reading.returns_category):
        yield Side.RESULT, place


def _shown(part: object) -> Iterable[tuple[str, str]]:
    """Return the category that a type or a mark shows, with its text; nothing if it shows none."""
    if is_sensitive(part):
        category = part.category if type(part) is Sensitive else ""
        return [(category, f"Sensitive({category!r})")] if category else []
    # A mark beside a type shows by its class: a validator of phone numbers, for one.
    cls = part if is_class(part) else type(part)
    found = category_of_class(cls)
    return [] if found is None else [(found, name_of(cls))]
