# The functions are data: they are read, never called, and their shape is the point of each.
# ruff: noqa: D101, D102, D103, D106
# mypy: disable-error-code="empty-body, name-defined, import-not-found, valid-type"
# pyright: basic, reportUndefinedVariable=false, reportMissingImports=false
"""Signatures under `from __future__ import annotations`: every annotation is a string."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Annotated

import typing_extensions
from pydantic import BaseModel

from remit import Sensitive, Skip

if TYPE_CHECKING:
    from decimal import Decimal

    from sqlalchemy.orm import Session


class Film(typing.TypedDict, total=False):
    title: typing_extensions.Required[str]
    year: int
    sequel: Film


@dataclasses.dataclass
class Node:
    value: int
    price: Decimal
    left: Node | None = None


class Model(BaseModel):
    a: int


class Store:
    class Row(BaseModel):
        id: int

    def list(self) -> list[Row]: ...

    def get(self, row: Row, names: list[str]) -> Row: ...


def postponed(a: int, b: list[str] | None = None, *args: int, **kwargs: Model) -> Model: ...


def only_for_checkers(session: Session, price: Decimal, c: int = 1) -> Decimal: ...


def marks_beside_missing(
    a: Annotated[Session, Skip],
    b: Annotated[Decimal, Sensitive("financial_information")],
    c: dict[str, Annotated[Session[int].row | None, Sensitive()]] | None,
) -> Annotated[Decimal, Sensitive()]: ...


def self_referring(film: Film, node: Node) -> Film: ...


async def streams(a: str) -> AsyncIterator[Model]:
    yield Model(a=len(a))


def _local() -> Callable[..., object]:
    class Local(BaseModel):
        a: int

    def local_class(a: Local, b: Elsewhere) -> Local: ...  # noqa: F821 - missing on purpose

    return local_class


def _local_used() -> Callable[..., object]:
    class Local(BaseModel):
        a: int

    def local_class_in_use(a: Local) -> Local:
        return Local(a=a.a)

    return local_class_in_use


CASES: tuple[Callable[..., object], ...] = (
    postponed,
    only_for_checkers,
    marks_beside_missing,
    self_referring,
    streams,
    _local(),
    _local_used(),
    Store.list,
    Store.get,
)
"""Every function of this module that is a case."""
