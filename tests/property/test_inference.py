"""Laws of risk from types: what is planted is found, and nothing else is."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from types import GenericAlias
from typing import Annotated, Any

import attrs
import pytest
import typing_extensions
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ConfigDict, EmailStr, IPvAnyAddress, SecretStr, create_model
from pydantic_extra_types.mac_address import MacAddress

from remit import Sensitive
from tests.data.corpus import CASES, kind_of
from tests.inside import CallKind, Side, SpanType, effective, inferred, suggested
from tests.subtests import each

pytestmark = pytest.mark.python
PLANTS: dict[object, str] = {
    EmailStr: "contact_information",
    SecretStr: "authentication_and_secrets",
    IPvAnyAddress: "location_and_tracking",
    MacAddress: "location_and_tracking",
    Annotated[int, Sensitive("minors_data")]: "minors_data",
}
PLAIN = (str, int, None, bytes, Any, list[str], dict[str, float], Callable[[EmailStr], SecretStr])
# Functions of a type: what checkers want to know ahead is made at run time here.
UNION: Any = typing.Union
ALIAS: Any = typing_extensions.TypeAliasType
NAMED_TUPLE: Any = typing.NamedTuple
TYPED_DICT: Any = typing.TypedDict
LOOSE = ConfigDict(arbitrary_types_allowed=True, defer_build=True)
SHAPES: tuple[Callable[[Any, Any], object], ...] = (
    lambda plant, plain: UNION[plain, plant],
    lambda plant, _: GenericAlias(list, (plant,)),
    lambda plant, plain: GenericAlias(dict, (plain, plant)),
    lambda plant, plain: GenericAlias(tuple, (plain, plant, plain)),
    lambda plant, _: GenericAlias(Sequence, (plant,)),
    lambda plant, _: GenericAlias(Iterator, (plant,)),
    lambda plant, _: GenericAlias(AsyncIterator, (plant,)),
    lambda plant, _: Annotated[plant, "a note"],
    lambda plant, _: ALIAS("Alias", plant),
    lambda plant, plain: dataclasses.make_dataclass("Data", [("a", plain), ("b", plant)]),
    lambda plant, plain: attrs.make_class(
        "Attrs", {"a": attrs.field(type=plain), "b": attrs.field(type=plant)}
    ),
    lambda plant, plain: NAMED_TUPLE("Named", [("a", plain), ("b", plant)]),
    lambda plant, plain: TYPED_DICT("Typed", {"a": plain, "b": plant}),
    # pydantic 2.10 takes None for a field without a type.
    lambda plant, plain: create_model(
        "Model",
        __config__=LOOSE,
        a=(plain or type(None), ...),
        b=(plant or type(None), ...),
    ),
)


@st.composite
def nested(draw: st.DrawFn, leaves: tuple[object, ...]) -> tuple[object, object]:
    """Return a leaf, and a type with that leaf somewhere in it."""
    leaf = draw(st.sampled_from(leaves))
    annotation = leaf
    for shape in draw(st.lists(st.sampled_from(SHAPES), max_size=6)):
        annotation = shape(annotation, draw(st.sampled_from(PLAIN)))
    return leaf, annotation


def declared(annotation: object) -> SpanType:
    """Return a function that takes and gives a value of a type."""

    def step(value: object) -> object:
        return value

    step.__annotations__ = {"value": annotation, "return": annotation}
    return SpanType(step, kind=CallKind.FUNCTION, skip_first=False)


@given(nested(tuple(PLANTS)))
def test_a_type_that_shows_a_category_is_found_wherever_it_stands(
    planted: tuple[object, object],
) -> None:
    """It is found on both sides and at any depth, with its own category only."""
    plant, annotation = planted
    found = inferred(declared(annotation))
    assert {(each.side, each.category) for each in found} == {
        (side, PLANTS[plant]) for side in Side
    }
    assert all(each.path.startswith(("value", "return")) for each in found)


@given(nested(PLAIN))
def test_where_nothing_is_planted_nothing_is_found(plain: tuple[object, object]) -> None:
    """A function that would take an address holds none."""
    assert inferred(declared(plain[1])) == ()
    assert effective(declared(plain[1])) is None


@each("name", CASES)
def test_every_signature_can_be_read(name: str) -> None:
    """Every signature of the corpus is read twice with the same result."""
    function = CASES[name]
    first, second = (SpanType(function, kind=kind_of(function), skip_first=False) for _ in range(2))
    assert inferred(first) == inferred(second)
    assert suggested(first) == suggested(second)
    assert effective(first) == effective(second)
