"""What the types in a signature show of the data, and what only the names suggest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Final

from msgspec import Struct

from remit._annotations import SECRETS, is_sensitive
from remit._capture.rules.categories import category_of_name
from remit._capture.rules.names import name_rule
from remit._capture.statics import is_class, name_of
from remit._inference._places import Place, category_of_class, places
from remit._marks import Sensitive
from remit._registry import SpanType

RETURN: Final = "return"
"""Stands for the result where a parameter's name would stand."""


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


class Suggested(Struct, frozen=True):
    """A data category that only a name suggests.

    Attributes:
        category: Field of `remit.DataCategories`.
        side: Where the data stands.
        path: Place in the signature; the name is its last part.
    """

    category: str
    side: Side
    path: str


def inferred(declared: SpanType) -> tuple[Inferred, ...]:
    """Return each category that a type in the signature shows, in the order of the signature."""
    return tuple(
        dict.fromkeys(
            Inferred(category, side, place.path, shown_by)
            for side, place in _places(declared)
            for category, shown_by in _shown(place.part)
        )
    )


def suggested(declared: SpanType) -> tuple[Suggested, ...]:
    """Return each category that a name in the signature suggests, in the order of the signature.

    A name proves nothing, so no category is set by it: an author is asked to say.
    """
    return tuple(
        dict.fromkeys(
            Suggested(category, side, place.path)
            for side, place in _places(declared)
            if place.name and place.part is not bool
            for category in _suggested(place.name)
        )
    )


def _places(declared: SpanType) -> Iterator[tuple[Side, Place]]:
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


def _suggested(name: str) -> Iterable[str]:
    category = SECRETS if name_rule(name) is not None else category_of_name(name)
    return () if category is None else (category,)
