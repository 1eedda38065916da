"""Risk from types: what a signature shows of the data that flows through it."""

from __future__ import annotations

import ipaddress
import typing
from collections import OrderedDict
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest
import typing_extensions
from pydantic import BaseModel, EmailStr, Field, RootModel, Secret, SecretBytes, SecretStr
from pydantic_extra_types.coordinate import Coordinate, Latitude, Longitude
from pydantic_extra_types.iban import IBAN
from pydantic_extra_types.mac_address import MacAddress
from pydantic_extra_types.payment import PaymentCardNumber
from pydantic_extra_types.routing_number import ABARoutingNumber

from remit._declare.inference import Inferred, Side, inferred
from remit._declare.registry import SpanType
from remit._inspect.marks import Sensitive
from remit._inspect.signature import CallKind
from remit._policy.words import CATEGORIES
from remit.cli._schema_risk import Suggested, suggested
from tests.subtests import each

pytestmark = pytest.mark.python

CONTACT = "contact_information"
FINANCE = "financial_information"
HEALTH = "health_and_medical"
PLACE = "location_and_tracking"
SECRETS = "authentication_and_secrets"

T = TypeVar("T")
Bound = TypeVar("Bound", bound=EmailStr)
OneOf = TypeVar("OneOf", int, EmailStr)

Address = typing.NewType("Address", EmailStr)  # pyright: ignore[reportGeneralTypeIssues]  # `Annotated` for checkers
Alias = typing_extensions.TypeAliasType("Alias", list[EmailStr])
Wrapped = typing_extensions.TypeAliasType("Wrapped", dict[str, T], type_params=(T,))


class Lazy:
    """An alias that refers to itself, as `type X = dict[str, tuple[X, EmailStr]]` does."""

    @property  # type: ignore[misc]  # read-only
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Pass for an alias."""
        return typing_extensions.TypeAliasType

    @property
    def __value__(self) -> object:
        """Evaluate it, as Python does each time that it is asked."""
        return dict[str, tuple[Forest, EmailStr]]


Forest: Any = Lazy()


class WorkAddress(EmailStr):
    """A type that a user derived."""


class Customer(BaseModel):
    """Holds itself, too."""

    email: EmailStr
    friends: list[Customer] = []
    diary: Annotated[str, Field(max_length=9), Sensitive(HEALTH)] = ""
    password: SecretStr = Field(SecretStr(""), exclude=True)


class Customers(RootModel[list[Customer]]):
    """A model of one value."""


class Pair(BaseModel, Generic[T]):
    """A model with a type parameter."""

    left: T


@dataclass
class Visit:
    """A dataclass, its names postponed."""

    seen_from: ipaddress.IPv4Address
    kinds: typing.ClassVar[list[EmailStr]] = []
    hidden: EmailStr = field(default="", repr=False)


@dataclass
class Crate(Generic[T]):
    """A dataclass with a type parameter."""

    thing: T


@dataclass
class MailCrate(Crate[EmailStr]):
    """One that says what is in it."""


@attrs.define
class Parcel:
    """An attrs class."""

    to: EmailStr


class Letter(msgspec.Struct):
    """A Struct."""

    to: EmailStr


class Card(NamedTuple):
    """A NamedTuple."""

    number: PaymentCardNumber
    owner: str


class Form(TypedDict, total=False):
    """A TypedDict."""

    email: typing_extensions.Required[EmailStr]


class Lost(BaseModel):
    """A field of it cannot be resolved; the mark beside it stays."""

    model_config = pydantic.ConfigDict(defer_build=True)

    note: Annotated[Gone, Sensitive(HEALTH)]  # type: ignore[name-defined]  # noqa: F821 - the point
    email: EmailStr


class Node:
    """No record: nothing is known of what it holds."""

    email: EmailStr


def step(
    returns: object = None, kind: CallKind = CallKind.FUNCTION, **parameters: object
) -> SpanType:
    """Return the declaration of a function whose signature says this."""
    names = ", ".join(parameters)
    scope: dict[str, Any] = dict(globals())
    exec(f"def step({names}): ...", scope)
    scope["step"].__annotations__ = {**parameters, "return": returns}
    return SpanType(scope["step"], kind=kind, skip_first=False)


def shown(annotation: object) -> list[tuple[str, str, str]]:
    """Return what a parameter of that annotation shows: category, place, type."""
    found = inferred(step(value=annotation))
    assert {each.side for each in found} <= {Side.PARAMS}
    return [(each.category, each.path, each.type) for each in found]


@each(
    ("category", "shown_by"),
    [
        (CONTACT, EmailStr),
        (CONTACT, pydantic.NameEmail),
        (CONTACT, WorkAddress),
        (SECRETS, SecretStr),
        (SECRETS, SecretBytes),
        (SECRETS, Secret),
        *(
            (PLACE, getattr(ipaddress, f"IPv{version}{kind}"))
            for version in (4, 6)
            for kind in ("Address", "Interface", "Network")
        ),
        (PLACE, pydantic.IPvAnyAddress),
        (PLACE, pydantic.IPvAnyInterface),
        (PLACE, pydantic.IPvAnyNetwork),
        (PLACE, Coordinate),
        (PLACE, Latitude),
        (PLACE, Longitude),
        (PLACE, MacAddress),
        (FINANCE, vars(pydantic.types)["PaymentCardNumber"]),  # deprecated, and in use
        (FINANCE, PaymentCardNumber),
        (FINANCE, ABARoutingNumber),
        (FINANCE, IBAN),
    ],
    ids=lambda each: each if isinstance(each, str) else f"{each.__module__}.{each.__name__}",
)
def test_a_type_shows_its_category(category: str, shown_by: type) -> None:
    """On its own side: a parameter says nothing of the result, and the other way round."""
    name = shown_by.__name__
    assert inferred(step(value=shown_by)) == (Inferred(category, Side.PARAMS, "value", name),)
    assert inferred(step(shown_by)) == (Inferred(category, Side.RESULT, "return", name),)


@each("category", CATEGORIES)
def test_a_mark_shows_its_category(category: str) -> None:
    """Each one that there is; the mark alone says it, whatever the type."""
    assert shown(Annotated[object, Sensitive(category)]) == [
        (category, "value", f"Sensitive({category!r})")
    ]


EMAIL = "EmailStr"


@each(
    ("annotation", "path", "shown_by"),
    [
        pytest.param(EmailStr | None, "value", EMAIL, id="union"),
        pytest.param(typing.Optional[EmailStr], "value", EMAIL, id="old-union"),  # noqa: UP045 - the case
        pytest.param(Annotated[EmailStr, "a note"], "value", EMAIL, id="annotated"),
        pytest.param(Address, "value", EMAIL, id="NewType"),
        pytest.param(Alias, "value[]", EMAIL, id="alias"),
        pytest.param(Wrapped[EmailStr], "value", EMAIL, id="generic-alias"),
        pytest.param(Bound, "value", EMAIL, id="bound"),
        pytest.param(OneOf, "value", EMAIL, id="constraint"),
        pytest.param("EmailStr", "value", EMAIL, id="postponed"),
        pytest.param("list['EmailStr']", "value[]", EMAIL, id="postponed-twice"),
        pytest.param(list[EmailStr], "value[]", EMAIL, id="list"),
        pytest.param(typing.List[EmailStr], "value[]", EMAIL, id="old-list"),  # noqa: UP006 - the case
        pytest.param(tuple[int, EmailStr], "value[]", EMAIL, id="tuple"),
        pytest.param(frozenset[EmailStr], "value[]", EMAIL, id="set"),
        pytest.param(dict[str, EmailStr], "value[]", EMAIL, id="dict"),
        pytest.param(OrderedDict[EmailStr, int], "value[]", EMAIL, id="keys"),
        pytest.param(Mapping[str, Sequence[EmailStr]], "value[][]", EMAIL, id="nested"),
        pytest.param(Iterator[EmailStr], "value[]", EMAIL, id="iterator"),
        pytest.param(AsyncIterator[EmailStr], "value[]", EMAIL, id="async-iterator"),
        pytest.param(Awaitable[EmailStr], "value", EMAIL, id="awaitable"),
        pytest.param(AbstractContextManager[EmailStr, None], "value", EMAIL, id="context-manager"),
        pytest.param(Pair[EmailStr], "value.left", EMAIL, id="generic-model"),
        pytest.param(Crate[EmailStr], "value", EMAIL, id="generic-dataclass"),
        pytest.param(MailCrate, "value.thing", EMAIL, id="subclass-of-a-generic-dataclass"),
        pytest.param(Visit, "value.hidden", EMAIL, id="hidden-field"),
        pytest.param(Visit, "value.seen_from", "IPv4Address", id="dataclass"),
        pytest.param(Parcel, "value.to", EMAIL, id="attrs"),
        pytest.param(Letter, "value.to", EMAIL, id="struct"),
        pytest.param(list[Card], "value[].number", "PaymentCardNumber", id="NamedTuple"),
        pytest.param(Form, "value.email", EMAIL, id="TypedDict"),
        pytest.param(typing.Unpack[Form], "value.email", EMAIL, id="unpacked"),
        pytest.param(Customers, "value.root[].email", EMAIL, id="root-model"),
        pytest.param(Customer, "value.password", "SecretStr", id="excluded-field"),
        pytest.param(Customer, "value.diary", f"Sensitive({HEALTH!r})", id="marked-field"),
        pytest.param(Lost, "value.note", f"Sensitive({HEALTH!r})", id="beside-a-missing-name"),
        pytest.param(Lost, "value.email", EMAIL, id="next-to-a-missing-name"),
    ],
)
def test_what_is_inside_a_type_shows_itself(annotation: object, path: str, shown_by: str) -> None:
    """With its place, as one would write it."""
    assert (path, shown_by) in [(place, by) for _, place, by in shown(annotation)]


@each(
    "annotation",
    [
        pytest.param(str, id="text"),
        pytest.param(None, id="none"),
        pytest.param("Gone", id="missing-name"),
        pytest.param(Literal["EmailStr"], id="literal"),
        pytest.param(Callable[[EmailStr], EmailStr], id="callable"),
        pytest.param(Callable[..., EmailStr], id="callable-of-any"),
        pytest.param(type[EmailStr], id="class"),
        pytest.param(Annotated[str, Sensitive()], id="no-category-in-particular"),
        pytest.param(Annotated[str, Sensitive], id="bare-mark"),
        pytest.param(Node, id="no-record"),
        pytest.param(T, id="type-variable"),
        pytest.param(5, id="no-type"),
    ],
)
def test_what_is_no_data_shows_nothing(annotation: object) -> None:
    """A function of addresses holds none."""
    assert shown(annotation) == []


@each(
    ("returns", "category"),
    [
        pytest.param(Generator[EmailStr, SecretStr, None], CONTACT, id="yielded"),
        pytest.param(Generator[int, SecretStr, EmailStr], CONTACT, id="returned"),
        pytest.param(typing.AsyncGenerator[EmailStr, SecretStr], CONTACT, id="async"),
        pytest.param(Coroutine[SecretStr, SecretStr, EmailStr], CONTACT, id="coroutine"),
    ],
)
def test_a_generator_gives_what_comes_out_of_it(returns: object, category: str) -> None:
    """What is sent into it is no part of its result."""
    assert {each.category for each in inferred(step(returns))} == {category}


def test_a_type_that_holds_itself_is_read_once() -> None:
    """A model of its own kind, an alias of itself: both have an end."""
    assert [path for _, path, _ in shown(Customer)] == [
        "value.email",
        "value.diary",
        "value.password",
    ]
    assert shown(Forest) == [(CONTACT, "value[][]", EMAIL)]


def test_each_parameter_is_named_even_where_the_type_is_the_same() -> None:
    """Who is to be asked is told by the place, not by the class."""
    found = inferred(step(Iterator[Card], a=Card, b=list[Card]))
    assert [(each.side, each.path) for each in found] == [
        ("params", "a.number"),
        ("params", "b[].number"),
        ("result", "return[].number"),
    ]


def test_a_mark_is_seen_beside_a_name_that_is_missing() -> None:
    """In the annotation of a parameter and of the result."""
    lost = f"Annotated[Gone, Sensitive({HEALTH!r})]"
    found = inferred(step(lost, value=lost))
    assert [(each.category, each.path) for each in found] == [(HEALTH, "value"), (HEALTH, "return")]


def test_a_type_without_end_is_read_to_a_limit() -> None:
    """A thousand classes in one another do not stall a registration."""
    make: Any = TypedDict
    inner: Any = EmailStr
    for number in range(3_000):
        inner = make(f"Layer{number}", {"inner": inner})
    assert shown(inner) == []


def test_a_hostile_type_loses_itself_and_nothing_else() -> None:
    """Whatever it raises when it is asked for its parts."""

    class Hostile:
        def __getattribute__(self, name: str) -> object:
            raise OSError(name)

    assert shown(dict[str, Annotated[EmailStr, Hostile()]]) == [(CONTACT, "value[]", EMAIL)]


def test_a_name_suggests_and_sets_nothing() -> None:
    """Names of parameters and of fields, on both sides; flags say something of a name only."""
    declared = step(
        Card, email=str, password=str, has_email=bool, iban=Annotated[str, Sensitive()], other=str
    )
    assert suggested(declared) == (
        Suggested(CONTACT, Side.PARAMS, "email"),
        Suggested(SECRETS, Side.PARAMS, "password"),
        Suggested(FINANCE, Side.PARAMS, "iban"),
    )
    assert inferred(step(email=str)) == ()
    assert suggested(step(list[Form])) == (Suggested(CONTACT, Side.RESULT, "return[].email"),)
