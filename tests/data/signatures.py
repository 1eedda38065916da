# The functions are data: they are read, never called, and their shape is the point of each.
# ruff: noqa: ANN001, ANN002, ANN003, ANN201, ARG001, B008, D101, D102, D103
# ruff: noqa: ICN001, PLR0913, PLR0917, PYI061, RUF036, UP006, UP007, UP035, UP044, UP045
# mypy: disable-error-code="type-arg, empty-body, no-untyped-def, misc, valid-type, var-annotated"
# pyright: basic, reportInvalidTypeVarUse=false, reportGeneralTypeIssues=false
"""Signatures as people write them, with annotations that are evaluated at definition.

Each function is one case; its golden schemas stand in `schemas/<name>.json`. The names and
docstrings are part of what is compared.
"""

import dataclasses
import datetime
import decimal
import enum
import pathlib
import typing
import uuid
from collections import OrderedDict, deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import (
    Annotated,
    Any,
    Dict,
    List,
    Literal,
    NamedTuple,
    NewType,
    Optional,
    TypeVar,
    Union,
)

import attr
import attrs
import httpx
import msgspec
import pydantic.v1.generics
import typing_extensions
from annotated_types import Ge, Len
from fastapi import Depends
from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretBytes, SecretStr
from pydantic.dataclasses import dataclass as pydantic_dataclass

from remit import Sensitive, Skip

T = TypeVar("T")
Number = TypeVar("Number", int, float)
Bounded = TypeVar("Bounded", bound=str)
UserId = NewType("UserId", int)
P = typing.ParamSpec("P")
Json = typing_extensions.TypeAliasType("Json", "dict[str, Json] | list[Json] | str | None")
Tags = typing_extensions.TypeAliasType("Tags", list[str])
StarredTags = typing_extensions.TypeAliasType("StarredTags", tuple[int, *tuple[str, ...]])


class Color(enum.Enum):
    """Colours of the flag."""

    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 10


class Mixed(enum.Enum):
    ONE = 1
    TWO = "two"
    PAIR = (1, 2)


class Access(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Point(NamedTuple):
    """A place."""

    x: int
    y: float = 0.0


@dataclasses.dataclass
class Order:
    """An order of a customer."""

    number: int
    lines: list["Line"]
    note: str | None = None
    secret: str = dataclasses.field(default="planted-in-a-default", repr=False)
    total: decimal.Decimal = dataclasses.field(init=False)
    currency: dataclasses.InitVar[str] = "EUR"
    tags: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    article: str
    count: int = 1


@dataclasses.dataclass
class Box(typing.Generic[T]):
    content: T


@attrs.define
class Ticket:
    """An attrs class."""

    seat: "Seat"
    price: decimal.Decimal = decimal.Decimal("9.50")
    code: str = attrs.field(default="planted-in-a-default", repr=False)
    tags: list[str] = attrs.field(factory=list)


@attrs.define
class Seat:
    row: int


@attr.s
class OldTicket:
    seat = attr.ib()
    row = attr.ib(type=int, default=1)


class Event(msgspec.Struct):
    """A Struct."""

    name: str
    where: Seat | None = None
    tags: list[str] = msgspec.field(default_factory=list)


class Meeting(msgspec.Struct, kw_only=True):
    room: int = 3
    topic: str


@dataclasses.dataclass
class Express(Order):
    """Inherits its fields."""

    hours: float = 24.0


class Movie(typing.TypedDict):
    """A film."""

    title: str
    year: typing.NotRequired[int]
    parts: list["Movie"]


class Partial(typing_extensions.TypedDict, total=False):
    name: typing_extensions.Required[str]
    age: typing_extensions.ReadOnly[int]
    code: Annotated[str, Sensitive("authentication_and_secrets")]


class Customer(BaseModel):
    """A customer.

    Known for long.
    """

    model_config = ConfigDict(extra="forbid")

    full_name: str = Field(alias="fullName", min_length=1, description="As on the passport.")
    email: str | None = Field(default=None, json_schema_extra={"format": "email"})
    password: SecretStr = SecretStr("planted-in-a-default")
    hidden: str = Field(default="planted-in-a-default", repr=False, examples=["planted-example"])
    excluded: int = Field(default=7, exclude=True)
    level: Level = Level.LOW
    friends: list["Customer"] = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    breed: str


class Titled(BaseModel):
    model_config = ConfigDict(
        title="A title of its own", json_schema_extra={"examples": [{"a": 1}]}
    )

    a: int = Field(title="The first letter")


class Page(BaseModel, typing.Generic[T]):
    items: list[T]
    total: int


class Ids(RootModel[list[int]]):
    pass


@pydantic_dataclass
class Checked:
    """A pydantic dataclass."""

    a: int
    b: str = "b"


class OldModel(pydantic.v1.BaseModel):
    """A model of pydantic 1."""

    a: int


class OldPage(pydantic.v1.generics.GenericModel, typing.Generic[T]):
    """A generic model of pydantic 1."""

    a: T


class NoMembers(enum.Enum):
    """Holds no member: its subclasses do."""


class Timed(typing.Generic[T]):
    """A generic class without a schema."""


Movies = typing_extensions.TypeAliasType("Movies", list[Movie])


class Plain:
    """Has no schema."""


class Tree:
    """A class whose method is decorated."""

    def find(self, key: str) -> "Tree | None":
        """Find a node."""

    @classmethod
    def make(cls, size: int = 3) -> typing.Self: ...


def scalars(a: str, b: int, c: float, d: bool, e: None, f: bytes) -> str: ...


def nothing(): ...


def unannotated(a, b=1, *args, **kwargs): ...


def returns_none() -> None: ...


def returns_never() -> typing.NoReturn: ...


def defaults(
    a: int = 1,
    b: str | None = None,
    c: frozenset[str] = frozenset({"b", "a", "c"}),
    d: Color = Color.RED,
    e: decimal.Decimal = decimal.Decimal("1.50"),
    f: Plain = Plain(),
    g: float = 2.5,
    h: tuple[int, ...] = (1, 2),
    password: str = "planted-in-a-default",
) -> bool: ...


def documented(city: str, days: int = 3, *names: str, **extra: int) -> Dict[str, int]:
    """Return a forecast.

    Longer text of it.

    Args:
        city: Where, as on a map.
        days (int): How many days ahead,
            at most ten.
        *names: Names of stations.
        **extra: Whatever else
            the service takes.

    Returns:
        Degrees by day.
    """
    return {}


def variadic(first: int, /, *args: int, flag: bool = False, **kwargs: str) -> None: ...


def unpacked(*args: typing.Unpack[tuple[int, str]], **kwargs: typing.Unpack[Movie]) -> None: ...


def param_spec(call: Callable[P, int], *args: P.args, **kwargs: P.kwargs) -> int: ...


def containers(
    a: list[int],
    b: dict[str, float],
    c: set[str],
    d: frozenset[int],
    e: tuple[int, str],
    f: tuple[int, ...],
    g: deque[int],
    h: Sequence[str],
    i: Mapping[str, list[int]],
    j: OrderedDict[str, int],
    k: dict[int, str],
    l: Iterable[int],  # noqa: E741 - in a row
    m: list,
    n: dict,
) -> list[dict[str, int]]: ...


def old_spellings(
    a: Optional[int], b: Union[str, int, None], c: List[Union[int, str]], d: Dict[str, Any]
) -> Optional[List[int]]: ...


def unions(a: int | str | None, b: None | str, c: list[str | int]) -> int | str: ...


def literals(
    a: Literal["b", "a"], b: Literal[3], c: Literal["x", 1, None, True], d: Literal[Color.RED]
) -> Literal["yes", "no"]: ...


def enums(a: Color, b: Level, c: Access, d: Mixed) -> Color: ...


def numbers(a: decimal.Decimal, b: complex, c: Annotated[int, Ge(0)]) -> decimal.Decimal: ...


def times(
    a: datetime.datetime, b: datetime.date, c: datetime.time, d: datetime.timedelta
) -> datetime.datetime: ...


def texts(a: uuid.UUID, b: pathlib.Path, c: typing.LiteralString, d: typing.AnyStr) -> str: ...


def named_tuple(a: Point) -> Point: ...


def dataclass(a: Order, b: Line) -> Order: ...


def inherited_dataclass(a: Express) -> Express: ...


def attrs_class(a: Ticket, b: OldTicket) -> Ticket: ...


def struct(a: Event, b: Meeting) -> Event: ...


def generic_dataclass(a: Box[int], b: Box[str]) -> Box[list[int]]: ...


def typed_dict(a: Movie, b: Partial) -> Movie: ...


def typed_dict_inside(a: dict[str, list[Movie]], b: Movie | None) -> list[Movie]: ...


def model(a: Customer) -> Customer: ...


def generic_model(a: Page[int]) -> Page[Customer]: ...


def root_model(a: Ids) -> Ids: ...


def titled(a: Titled) -> Titled: ...


def checked(a: Checked) -> Checked: ...


def discriminated(
    a: Annotated[Cat | Dog, Field(discriminator="kind")],
) -> Annotated[Cat | Dog, Field(discriminator="kind")]: ...


def mixed_result(a: int) -> dict[str, int] | Cat | str | None: ...


def annotated(
    a: Annotated[str, Field(min_length=2, pattern="^a", examples=["ab"])],
    b: Annotated[list[int], Len(1, 3)],
    c: Annotated[int, "only a word"],
    d: Annotated[int, Field(description="From the field.", gt=1)],
) -> Annotated[int, Field(ge=0)]: ...


def aliases(a: UserId, b: Json, c: Optional[UserId]) -> Json: ...


def aliases_of_classes(a: Tags, b: Movies, c: Tags | Movies) -> Movies: ...


def unpacked_with_a_star(*args: *tuple[int, ...]) -> None: ...


def unpacked_inside(
    a: tuple[int, *tuple[str, ...]], b: StarredTags, c: list[StarredTags]
) -> None: ...


def guards(a: object) -> typing.TypeGuard[int]: ...


def old_models(a: OldModel, b: list[OldModel], c: OldPage[int]) -> OldModel: ...


def odd_classes(a: NoMembers, b: Timed[int], c: enum.Enum, d: bytearray) -> None: ...


def qualified(a: typing.Final[int], b: typing.ClassVar[str]) -> None: ...  # pyright: ignore - nothing forbids it at run time


def type_vars(a: T, b: Number, c: Bounded, d: list[T]) -> T: ...


def secrets(
    a: SecretStr,
    b: SecretBytes,
    c: Annotated[str, Sensitive("health_and_medical")],
    d: list[SecretStr],
    e: Annotated[str, Sensitive] = "planted-in-a-default",
) -> SecretStr: ...


def injected(
    a: int,
    b: Annotated[Plain, Skip],
    c: Annotated[Plain, Depends(nothing)],
    d: Plain = Depends(nothing),
) -> None: ...


def opaque(
    client: httpx.Client,
    a: list[Plain],
    b: Plain | None,
    c: Callable[[int], str],
    d: type[int],
    e: object,
    f: Any,
    g: Iterator[int],
    h: Exception,
) -> Plain: ...


def no_type(a: 5, b: [int], c: ...) -> "str": ...  # pyright: ignore[reportInvalidTypeForm] - none of them is a type


def generator(n: int) -> Iterator[int]:
    yield n


def generator_of_models(n: int) -> Generator[Cat, None, str]:
    yield Cat(kind="cat")
    return ""


def generator_unannotated(n):
    yield n


async def coroutine(a: int) -> dict[str, int]: ...


async def async_generator(a: str) -> AsyncIterator[str]:
    yield a


async def async_generator_in_full(a: str) -> AsyncGenerator[Customer, None]:
    yield Customer(fullName=a)


def returns_iterator(a: int) -> Iterator[str]: ...


def returns_iterable(a: int) -> Iterable[str]: ...


def forward(a: "Later", b: List["Later"], c: "Missing", d: list["Missing"]) -> "Later": ...  # type: ignore[name-defined]  # noqa: F821 - missing on purpose


class Later(BaseModel):
    a: int


CASES: tuple[Callable[..., object], ...] = (
    *(
        value
        for name, value in list(globals().items())
        if name != "__annotate__"  # Python's own, from 3.14 on
        and getattr(value, "__module__", "") == __name__
        and callable(value)
        and not isinstance(value, type)
        and hasattr(value, "__code__")
    ),
    Tree.find,
    Tree.make.__func__,  # type: ignore[attr-defined]  # the function inside
)
"""Every function of this module, and the methods."""
