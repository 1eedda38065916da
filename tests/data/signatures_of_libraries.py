# The functions are data: they are read, never called, and their shape is the point of each.
# ruff: noqa: B008, D101, D102, D103, ICN001, PLR0913, PLR0917, PYI025, UP044
# mypy: disable-error-code="empty-body, import-untyped, misc, type-arg, valid-type, var-annotated"
# pyright: basic, reportInvalidTypeForm=false, reportGeneralTypeIssues=false
"""Signatures made of what libraries bring: pydantic, attrs, msgspec, the standard library."""

import array
import collections
import contextlib
import dataclasses
import datetime
import enum
import fractions
import io
import ipaddress
import logging
import math
import os
import pathlib
import re
import threading
import types
import typing
import zoneinfo
from collections.abc import Callable, Collection, Container, Hashable, MutableMapping, Set, Sized
from typing import Annotated, Any, Literal

import attrs
import msgspec
import pydantic
import typing_extensions
from pydantic import (
    AliasChoices,
    AnyUrl,
    Base64Bytes,
    BaseModel,
    ByteSize,
    ConfigDict,
    Discriminator,
    EmailStr,
    Field,
    HttpUrl,
    JsonValue,
    NonNegativeFloat,
    PositiveInt,
    StringConstraints,
    Tag,
    computed_field,
)

from remit import Sensitive

T = typing.TypeVar("T")
WithDefault = typing_extensions.TypeVar("WithDefault", default=int)
Many = typing_extensions.TypeVarTuple("Many")
Celsius = typing.NewType("Celsius", float)
Warm = typing.NewType("Warm", Celsius)
Pair = typing_extensions.TypeAliasType("Pair", tuple[T, T], type_params=(T,))


class Rectangle(BaseModel):
    """Its area is computed, and no part of what it holds."""

    width: float
    height: float = Field(default=1.0, gt=0, description="In metres.")

    @computed_field
    @property
    def area(self) -> float:
        return self.width * self.height


class Renamed(BaseModel):
    """Recorded by its fields' own names."""

    model_config = ConfigDict(populate_by_name=True)

    a: int = Field(alias="Alpha")
    b: int = Field(validation_alias=AliasChoices("x", "y"), serialization_alias="z")
    c: list[str] = Field(default_factory=list)


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")

    _cache: dict[str, int] = {}
    given: int
    deprecated: Annotated[str | None, Field(deprecated=True, examples=["old"])] = None


class Leaf(BaseModel, typing.Generic[T]):
    """Generic, and holds itself."""

    value: T
    children: list["Leaf[T]"] = []


class Circle(BaseModel):
    radius: float


class Square(BaseModel):
    side: float


def shape_of(value: Any) -> str:
    return "circle" if "radius" in value else "square"


Shape = Annotated[
    Annotated[Circle, Tag("circle")] | Annotated[Square, Tag("square")], Discriminator(shape_of)
]


class Envelope(typing_extensions.TypedDict, typing.Generic[T]):
    """A generic TypedDict."""

    content: T
    sent: typing_extensions.NotRequired[typing_extensions.ReadOnly[datetime.datetime]]


class Options(typing.TypedDict, total=False):
    """What may be given by keyword."""

    limit: int
    order: Literal["asc", "desc"]
    key: Annotated[str, Sensitive()]


@attrs.frozen(kw_only=True)
class Seat:
    """An attrs class with a private field, a converter and an alias."""

    _row: int = attrs.field(default=1)
    number: int = attrs.field(converter=int, alias="no")
    labels: tuple[str, ...] = ()


@dataclasses.dataclass(slots=True, kw_only=True)
class Window:
    """Every field by keyword."""

    name: str
    panes: list[str] = dataclasses.field(default_factory=list, metadata={"unit": "pane"})
    cache: dict[str, int] = dataclasses.field(default_factory=dict, repr=False)
    count: typing.ClassVar[int] = 0


class Place(typing.NamedTuple):
    """A described place, which may lie in another."""

    across: Annotated[int, Field(title="Across", description="From the left.")]
    inside: typing.Optional["Place"] = None


class Get(msgspec.Struct, tag="get"):
    key: str


class Put(msgspec.Struct, tag="put", rename="camel"):
    key: str
    new_value: int = 0


class Shade(enum.StrEnum):
    DARK = enum.auto()
    LIGHT = enum.auto()


class Rights(enum.IntFlag):
    READ = 1
    WRITE = 2


class Title(str):
    __slots__ = ()


class Moment(datetime.datetime):
    pass


class Table(dict[str, T], typing.Generic[T]):
    pass


class Opaque:
    pass


def computed(a: Rectangle) -> Rectangle: ...


def renamed(a: Renamed) -> Renamed: ...


def loose_model(a: Loose) -> Loose: ...


def generic_recursive(a: Leaf[int], b: Leaf[str]) -> Leaf[Leaf[int]]: ...


def discriminated_by_function(a: Shape, b: list[Shape]) -> Shape: ...


def constrained(
    a: PositiveInt,
    b: NonNegativeFloat,
    c: Annotated[str, StringConstraints(min_length=1, pattern="^x")],
    d: pydantic.conlist(int, min_length=1),
    e: Annotated[dict[str, int], Field(max_length=3)],
    f: Annotated[int, Field(multiple_of=2, json_schema_extra={"unit": "pair"})],
) -> None: ...


def addresses(
    a: HttpUrl,
    b: AnyUrl,
    c: EmailStr,
    d: ipaddress.IPv4Address,
    e: ipaddress.IPv6Network,
    f: pydantic.IPvAnyAddress,
) -> HttpUrl: ...


def pydantic_types(
    a: JsonValue,
    b: pydantic.Json[list[int]],
    c: ByteSize,
    d: Base64Bytes,
    e: pydantic.UUID4,
    f: pydantic.PastDate,
    g: pydantic.FilePath,
    h: pydantic.Secret[int],
    i: BaseModel,
) -> JsonValue: ...


def mappings(
    a: collections.Counter[str],
    b: collections.defaultdict[str, list[int]],
    c: collections.ChainMap[str, int],
    d: types.MappingProxyType[str, int],
    e: dict[Shade, int],
    f: dict[Annotated[str, Field(pattern="^k")], int],
    g: MutableMapping[int, bool],
    h: Table[int],
) -> collections.Counter[str]: ...


def abstract_collections(
    a: Collection[int], b: Container[str], c: Set[int], d: Hashable, e: Sized
) -> Collection[int]: ...


def tuples(
    a: tuple[()],
    b: tuple,
    c: tuple[int, typing_extensions.Unpack[tuple[str, ...]]],
    d: tuple[tuple[int, str], ...],
) -> tuple[int, str]: ...


def subclasses(a: Title, b: Moment, c: Shade, d: Rights) -> Title: ...


def standard_library(
    a: fractions.Fraction,
    b: re.Pattern[str],
    c: range,
    d: zoneinfo.ZoneInfo,
    e: pathlib.PurePosixPath,
    f: os.PathLike[str],
    g: io.BytesIO,
    h: typing.IO[str],
    i: array.array,
    j: memoryview,
) -> fractions.Fraction: ...


def services(
    a: logging.Logger,
    b: threading.Event,
    c: types.ModuleType,
    d: contextlib.ExitStack,
    e: BaseException,
    f: type[BaseModel],
    g: Callable[..., Any],
    h: Callable[typing_extensions.Concatenate[int, ...], str],
) -> None: ...


def odd_defaults(
    a: float = math.inf,
    b: float = math.nan,
    c: object = Opaque,
    d: Callable[[], int] = lambda: 1,
    e: Rectangle = Rectangle(width=2.0),
    f: datetime.date = datetime.date(2024, 2, 29),
    g: Shade = Shade.DARK,
    h: int = 2**60,
    i: Seat = Seat(no="7"),
    j: object = ...,
    k: bytes = b"\xff",
) -> None: ...


def new_types(a: Warm, b: list[Celsius], c: Pair[int]) -> Warm: ...


def variables(a: WithDefault, *args: typing_extensions.Unpack[Many]) -> WithDefault: ...


def attrs_frozen(a: Seat) -> Seat: ...


def dataclass_by_keyword(a: Window) -> Window: ...


def tagged_structs(a: Get | Put, b: list[Put]) -> Get | Put: ...


def named_tuple_described(a: Place, b: list[Place]) -> Place: ...


def generic_typed_dict(a: Envelope[int], b: list[Envelope[str]]) -> Envelope[Rectangle]: ...


def options(query: str, **options: typing_extensions.Unpack[Options]) -> None: ...


def nested_unions(
    a: list[dict[str, int | None] | None] | None, b: dict[str, Rectangle | Seat | None]
) -> dict[str, list[Rectangle] | None] | None: ...


CASES: tuple[Callable[..., object], ...] = tuple(
    value
    for name, value in list(globals().items())
    if isinstance(value, types.FunctionType)
    and value.__module__ == __name__
    and name not in {"shape_of", "__annotate__"}  # the second is Python's own, from 3.14 on
)
"""Every function of this module that is a case."""
