"""What a schema leaves open: found in every place, and nowhere else."""

# The functions are data: they are read, never called.
# ruff: noqa: D103
# mypy: disable-error-code="empty-body, name-defined, type-arg, no-untyped-def, misc"
# pyright: basic, reportUndefinedVariable=false
from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from remit._inspect.overrides import overridden
from remit._inspect.signature import CallKind, read
from remit.cli._schema_weakness import Grade, Weakness, weaknesses
from tests.subtests import each

NONE, WEAK = Grade.NONE, Grade.WEAK
ANYTHING = "may be anything"
OPAQUE = f"{__name__}.Opaque has no schema; recorded as opaque"


class Opaque:
    """Cannot be looked into."""


class Open(BaseModel):
    """Leaves much open, and holds itself."""

    note: Any
    tags: list
    inner: Open | None = None
    known: int = Field(default=1, description="It is known.")


class Half(typing.TypedDict):
    """One of its members is known."""

    known: int
    opaque: Opaque


@dataclasses.dataclass
class Closed:
    """Leaves nothing open."""

    a: int
    b: dict[str, list[str]]


def places(function: Callable[..., object], **declared: Any) -> list[tuple[str, Grade]]:
    """Return where *function* leaves something open, and how much."""
    return [(each.place, each.grade) for each in found_in(function, **declared)]


def found_in(function: Callable[..., object], **declared: Any) -> tuple[Weakness, ...]:
    """Return what the schemas of *function* leave open."""
    signature = read(function, skip_first=False)
    reading = overridden(signature, streams=False, **declared)
    return weaknesses(signature, reading, CallKind.FUNCTION, **declared)


def says_nothing(a, *args, b=1, **kwargs): ...  # noqa: ANN001, ANN002, ANN003, ANN201 - the case


def says_all(
    a: int,
    b: list[str] | None,
    c: Closed,
    d: tuple[()],
    e: typing.Literal["x"],
    f: bytes,
    *args: int,
    **kwargs: dict[str, int],
) -> None: ...


def says_little(
    a: Any,
    b: object,
    c: list,
    d: dict[str, Any],
    e: Annotated[Any, Field(description="It is told.")] = 1,
) -> Any: ...


def says_little_inside(
    a: Open,
    b: list[dict[str, list]],
    c: tuple[int, Any],
    d: dict[Annotated[str, Field(pattern="^k")], list],
) -> list[Open]: ...


def is_opaque(a: Opaque, b: Half, c: list[Opaque] | int) -> Opaque | None: ...


def misses(a: Missing, b: list[Missing]) -> Missing: ...  # noqa: F821 - missing on purpose


@each(
    ("function", "expected"),
    [
        pytest.param(
            says_nothing,
            [("a", NONE), ("args", NONE), ("b", NONE), ("kwargs", NONE), ("return", NONE)],
            id="no annotations",
        ),
        pytest.param(says_all, [], id="all is said"),
        pytest.param(
            says_little,
            [("a", WEAK), ("b", WEAK), ("c[]", WEAK), ("d", WEAK), ("e", WEAK), ("return", WEAK)],
            id="anything",
        ),
        pytest.param(
            says_little_inside,
            [
                ("a.note", WEAK),
                ("a.tags[]", WEAK),
                ("b[]{}[]", WEAK),
                ("c[1]", WEAK),
                ("d{}[]", WEAK),
                ("return[].note", WEAK),
                ("return[].tags[]", WEAK),
            ],
            id="inside",
        ),
        pytest.param(
            is_opaque,
            [("a", NONE), ("b.opaque", NONE), ("c[]", NONE), ("return", NONE)],
            id="opaque",
        ),
        pytest.param(misses, [("a", NONE), ("b", NONE), ("return", NONE)], id="missing names"),
    ],
)
def test_every_place_that_is_left_open_is_found(
    function: Callable[..., object], expected: list[tuple[str, Grade]]
) -> None:
    """With a path to it; what holds itself is looked into once."""
    assert places(function) == expected


def test_why_it_is_left_open_is_said() -> None:
    """In the words that the registration has for it, without the name of the parameter."""
    why = {each.place: each.why for each in (*found_in(is_opaque), *found_in(misses))}
    assert why["b.opaque"] == OPAQUE
    assert why["a"] == "annotation `Missing` cannot be resolved: no name `Missing` at run time"
    assert [each.why for each in found_in(says_nothing)][-2:] == [
        "no annotation",
        "no return annotation",
    ]
    assert {each.why for each in found_in(says_little)} == {
        ANYTHING,
        "an object whose members may be anything",
    }


def streams(a: int) -> Iterator[Any]: ...


def opens(a: int) -> AbstractContextManager[list]: ...


def either(a: int) -> Iterator[int] | list[Any]: ...


@each(
    ("function", "expected"),
    [(streams, "return[]"), (opens, "return[]"), (either, "return[]")],
    ids=["items", "entered", "a union"],
)
def test_the_place_in_a_result_is_that_in_the_value(
    function: Callable[..., object], expected: str
) -> None:
    """Not that in the object which the payload makes of it."""
    assert places(function) == [(expected, WEAK)]


def test_what_is_declared_is_not_left_open() -> None:
    """`params=` and `result=` say what the signature does not."""
    declared = {"properties": {"a": {"type": "string"}, "b": {"const": 1}}}
    found = places(says_nothing, params=declared, result=Closed)
    assert found == [("args", NONE), ("kwargs", NONE)]
    assert places(says_nothing, params={"properties": {"a": {}}}, result={"type": "object"}) == [
        ("a", NONE),
        ("args", NONE),
        ("b", NONE),
        ("kwargs", NONE),
        ("return", WEAK),
    ]
