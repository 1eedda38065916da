"""Fields that a declaration withholds: marks, secret types, hidden ones, in every kind of class."""

from __future__ import annotations

import gc
import ipaddress
import sys
import types
import typing
import weakref
from dataclasses import InitVar, dataclass, field
from typing import Annotated, Any, ClassVar, NamedTuple, TypedDict

import attrs
import msgspec
import pydantic
import pytest
from pydantic import BaseModel, EmailStr, Field, SecretStr
from pydantic import dataclasses as pydantic_dataclasses

from remit._capture import type_readers
from remit._capture.declared import Saying, marked_keys, saying_of
from remit._capture.fields import declared_fields
from remit._marks import Sensitive
from tests.captured import copy_of, withheld
from tests.subtests import each

pytestmark = pytest.mark.python

SENSITIVE = withheld("type:Sensitive")
SECRET = withheld("type:SecretStr")
EXCLUDED = withheld("hidden:exclude")
UNSHOWN = withheld("hidden:repr")
NAMED = withheld("name:password")

Marked = Annotated[str, Sensitive("health_and_medical")]


UNCHECKED: dict[str, Any] = {"secret": "canary"}


class Model(BaseModel):
    """Every way to withhold a field of a model."""

    plain: str = "a"
    marked: Marked = "b"
    listed: list[Annotated[str, Sensitive]] = ["b"]
    secret: SecretStr | None = None
    excluded: str = Field("c", exclude=True)
    unshown: str = Field("d", repr=False)
    password: str = "e"


class Child(Model):
    """Fields are inherited."""

    more: int = 1


@dataclass
class Record:
    """Every way to withhold a field of a dataclass."""

    start: InitVar[int] = 0
    shared: ClassVar[int] = 1
    plain: str = "a"
    marked: Marked = "b"
    unshown: str = field(default="d", repr=False)
    password: str = "e"


@pydantic_dataclasses.dataclass
class Checked:
    """Every way to withhold a field of a pydantic dataclass."""

    plain: str = "a"
    marked: Marked = "b"
    excluded: str = Field(default="c", exclude=True)
    unshown: str = Field(default="d", repr=False)


@attrs.define
class Attrs:
    """Every way to withhold a field of an attrs class."""

    plain: str = "a"
    marked: Marked = "b"
    unshown: str = attrs.field(default="d", repr=False)
    password: str = "e"


class Struct(msgspec.Struct):
    """Every way to withhold a field of a Struct."""

    plain: str = "a"
    marked: Marked = "b"
    password: str = "e"


class Login(NamedTuple):
    """Places of a NamedTuple have names."""

    user: str
    password: str
    marked: Marked = "b"


class State(TypedDict):
    """A dict that has no class at run time."""

    plain: str
    marked: Marked
    password: str
    inner: Record


@each(
    ("value", "written"),
    [
        pytest.param(
            Child.model_validate({}),
            {
                "plain": "a",
                "marked": SENSITIVE,
                "listed": SENSITIVE,
                "secret": SECRET,
                "excluded": EXCLUDED,
                "unshown": UNSHOWN,
                "password": NAMED,
                "more": 1,
            },
            id="a model",
        ),
        pytest.param(
            Model.model_construct(marked="canary", **UNCHECKED),
            {
                "plain": "a",
                "marked": SENSITIVE,
                "listed": SENSITIVE,
                "secret": SECRET,
                "excluded": EXCLUDED,
                "unshown": UNSHOWN,
                "password": NAMED,
            },
            id="a model that was not validated",
        ),
        pytest.param(
            Record(),
            {"plain": "a", "marked": SENSITIVE, "unshown": UNSHOWN, "password": NAMED},
            id="a dataclass",
        ),
        pytest.param(
            Checked(),
            {"plain": "a", "marked": SENSITIVE, "excluded": EXCLUDED, "unshown": UNSHOWN},
            id="a dataclass of pydantic",
        ),
        pytest.param(
            Attrs(),
            {"plain": "a", "marked": SENSITIVE, "unshown": UNSHOWN, "password": NAMED},
            id="an attrs class",
        ),
        pytest.param(
            Struct(), {"plain": "a", "marked": SENSITIVE, "password": NAMED}, id="a Struct"
        ),
        pytest.param(Login("u", "p"), ["u", NAMED, SENSITIVE], id="a NamedTuple"),
    ],
)
def test_a_withheld_field_keeps_its_key_and_loses_its_value(value: object, written: object) -> None:
    """The payload keeps the schema's keys; annotations here are strings, looked up by name."""
    assert copy_of(value) == written
    assert copy_of([value]) == [written]


@dataclass
class Person:
    """Fields that show a data category by name or by type."""

    name: str
    phone: str
    mail: EmailStr


@pytest.mark.parametrize("value", [Person("a", "b", "c")], ids=["a dataclass"])
def test_a_field_of_an_excluded_category_is_withheld(value: object) -> None:
    """By its name or by its type."""
    rule = withheld("category:contact_information")
    assert copy_of(value, excluded="contact_information") == {
        "name": "a",
        "phone": rule,
        "mail": rule,
    }
    assert copy_of(value) == {"name": "a", "phone": "b", "mail": "c"}


def test_a_value_whose_type_shows_an_excluded_category_is_withheld() -> None:
    """An address has a type of its own, whatever it is called."""
    value = {"peer": ipaddress.ip_address("10.0.0.1")}
    rule = withheld("category:location_and_tracking")
    assert copy_of(value, excluded="location_and_tracking") == {"peer": rule}


def test_the_keys_that_a_typed_dict_marks_are_known_from_the_annotation() -> None:
    """Also those of the classes inside it, for a dict that is handed in for one of them."""
    assert dict(marked_keys(list[State], __name__)) == {
        "marked": "type:Sensitive",
        "unshown": "hidden:repr",
    }


class Node(BaseModel):
    """A model that holds itself."""

    marked: Marked
    next: Node | None = None


def test_a_class_that_holds_itself_is_read_once() -> None:
    """Recursive models are ordinary."""
    assert dict(marked_keys(Node, __name__)) == {"marked": "type:Sensitive"}


MODULE = sys.modules[__name__]
SAYINGS: list[Any] = [
    pytest.param("Marked", Saying("type:Sensitive"), id="an alias in a string"),
    pytest.param("list[Missing, SecretStr]", Saying("type:SecretStr"), id="beside a missing name"),
    pytest.param("pydantic.SecretStr", Saying("type:SecretStr"), id="a dotted name"),
    pytest.param("pydantic.fields.FieldInfo", Saying(), id="another dotted name"),
    pytest.param("typing.Any", Saying(), id="a dotted name of another module"),
    pytest.param("Outer.Inner", Saying("type:SecretStr"), id="a class inside a class"),
    pytest.param("Outer.number", Saying(), id="something else inside a class"),
    pytest.param("Missing.Inner", Saying(), id="inside of what is missing"),
    pytest.param("list[int].Inner", Saying(), id="inside of an expression"),
    pytest.param("MODULE.__name__.x", Saying(), id="inside of a text"),
    pytest.param("Annotated[int, Sensitive('minors_data')]", Saying("type:Sensitive"), id="a mark"),
    pytest.param("not an annotation", Saying(), id="a string that is no annotation"),
    pytest.param("lambda: SecretStr", Saying("type:SecretStr"), id="a lambda is not called"),
    pytest.param(
        typing.ForwardRef("SecretStr"), Saying("type:SecretStr"), id="a forward reference"
    ),
    pytest.param(typing.Literal["SecretStr"], Saying(), id="a literal text"),
    pytest.param(Annotated[str, Field(exclude=True)], Saying("hidden:exclude"), id="a field"),
    pytest.param(EmailStr, Saying(None, "contact_information"), id="a type with a category"),
    pytest.param(list[int], Saying(), id="nothing"),
    pytest.param(None, Saying(), id="None"),
]


class Outer:
    """Holds a class."""

    number = 5

    class Inner(SecretStr):
        """A secret type of a user's own."""


@each(("annotation", "saying"), SAYINGS)
def test_what_an_annotation_says_is_found_without_evaluating_it(
    annotation: object, saying: Saying
) -> None:
    """Strings are looked up name by name: one that is missing loses nothing but itself."""
    assert pydantic.SecretStr is SecretStr
    assert saying_of(annotation, __name__) == saying


def test_an_annotation_without_end_is_read_to_a_limit() -> None:
    """Machine-made unions have thousands of members."""
    names = " | ".join(f"Missing{number}" for number in range(2000))
    assert saying_of(names, __name__) == Saying()
    made = typing.cast("Any", typing.Union)[tuple(type(f"C{n}", (), {}) for n in range(600))]
    assert saying_of(made, __name__) == Saying()


def test_metadata_that_fights_back_is_passed_over() -> None:
    """What stands in `Annotated` may be anything."""
    odd = type("Odd", (), {"__class__": property(lambda _: 1 / 0)})()
    marked: Any = Annotated[str, odd, Sensitive("minors_data")]
    assert saying_of(marked, __name__) == Saying("type:Sensitive")
    assert saying_of(odd, __name__) == Saying()


def test_a_module_that_is_none_has_no_names() -> None:
    """`sys.modules` may hold anything."""
    sys.modules["odd_module"] = typing.cast("types.ModuleType", object())
    try:
        assert saying_of("SecretStr", "odd_module") == Saying()
    finally:
        del sys.modules["odd_module"]


def test_what_is_no_class_with_fields_has_none() -> None:
    """Dicts and objects with nothing declared."""
    assert declared_fields(dict) is None
    assert declared_fields(object) is None


def test_foreign_things_among_the_fields_are_passed_over() -> None:
    """A class may keep something else under the name that a library uses."""
    odd = type("Odd", (), {"__dataclass_fields__": {"a": 5}})
    assert declared_fields(odd) == ()
    assert declared_fields(type("Odd", (), {"__attrs_attrs__": (5,)})) == ()
    assert declared_fields(type("Odd", (tuple,), {"_fields": (5,)})) == ()


def test_a_class_is_not_kept_alive_by_what_is_known_of_it() -> None:
    """Classes made at run time go, and their entries with them."""
    before = len(type_readers.READERS)
    made = type("Made", (), {})
    copy_of(made())
    assert len(type_readers.READERS) > before
    gone = weakref.ref(made)
    del made
    gc.collect()
    assert gone() is None
    assert len(type_readers.READERS) <= before


def test_dataclasses_are_not_kept_alive_either() -> None:
    """Neither by their slots nor by their annotations."""

    @dataclass(slots=True)
    class Made:
        first: Marked = "a"

    gone = weakref.ref(Made)
    assert copy_of(Made()) == {"first": SENSITIVE}
    del Made
    gc.collect()
    assert gone() is None
