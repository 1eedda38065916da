"""Fields that a declaration redacts: marks, secret types, hidden ones, in every kind of class."""

from __future__ import annotations

import gc
import ipaddress
import sys
import types
import typing
import weakref
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from typing import Annotated, Any, ClassVar, NamedTuple, TypedDict

import attrs
import msgspec
import pydantic
import pytest
from pydantic import BaseModel, EmailStr, Field, SecretStr
from pydantic import dataclasses as pydantic_dataclasses

from remit._capture import type_readers
from remit._capture.plan import marked_keys
from remit._capture.type_readers import MarkedKey, rule_of, type_category
from remit._inspect.annotations import class_scope
from remit._inspect.fields import fields_of
from remit._inspect.marks import Sensitive
from tests.captured import copy_of, redacted
from tests.subtests import each

pytestmark = pytest.mark.python

SENSITIVE = redacted("type:Sensitive")
SECRET = redacted("type:SecretStr")
EXCLUDED = redacted("hidden:exclude")
NOT_IN_REPR = redacted("hidden:repr")
NAMED = redacted("name:password")

Marked = Annotated[str, Sensitive("health_and_medical")]


UNCHECKED: dict[str, Any] = {"secret": "canary"}


class Model(BaseModel):
    """Every way to redact a field of a model."""

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
    """Every way to redact a field of a dataclass."""

    start: InitVar[int] = 0
    shared: ClassVar[int] = 1
    plain: str = "a"
    marked: Marked = "b"
    unshown: str = field(default="d", repr=False)
    password: str = "e"


@pydantic_dataclasses.dataclass
class Checked:
    """Every way to redact a field of a pydantic dataclass."""

    plain: str = "a"
    marked: Marked = "b"
    excluded: str = Field(default="c", exclude=True)
    unshown: str = Field(default="d", repr=False)


@attrs.define
class Attrs:
    """Every way to redact a field of an attrs class."""

    plain: str = "a"
    marked: Marked = "b"
    unshown: str = attrs.field(default="d", repr=False)
    password: str = "e"


class Struct(msgspec.Struct):
    """Every way to redact a field of a Struct."""

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
                "unshown": NOT_IN_REPR,
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
                "unshown": NOT_IN_REPR,
                "password": NAMED,
            },
            id="a model that was not validated",
        ),
        pytest.param(
            Record(),
            {"plain": "a", "marked": SENSITIVE, "unshown": NOT_IN_REPR, "password": NAMED},
            id="a dataclass",
        ),
        pytest.param(
            Checked(),
            {"plain": "a", "marked": SENSITIVE, "excluded": EXCLUDED, "unshown": NOT_IN_REPR},
            id="a dataclass of pydantic",
        ),
        pytest.param(
            Attrs(),
            {"plain": "a", "marked": SENSITIVE, "unshown": NOT_IN_REPR, "password": NAMED},
            id="an attrs class",
        ),
        pytest.param(
            Struct(), {"plain": "a", "marked": SENSITIVE, "password": NAMED}, id="a Struct"
        ),
        pytest.param(Login("u", "p"), ["u", NAMED, SENSITIVE], id="a NamedTuple"),
    ],
)
def test_a_redacted_field_keeps_its_key_and_loses_its_value(value: object, written: object) -> None:
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
def test_a_field_of_an_excluded_category_is_redacted(value: object) -> None:
    """By its name or by its type."""
    rule = redacted("category:contact_information")
    assert copy_of(value, excluded="contact_information") == {
        "name": "a",
        "phone": rule,
        "mail": rule,
    }
    assert copy_of(value) == {"name": "a", "phone": "b", "mail": "c"}


def test_a_value_whose_type_shows_an_excluded_category_is_redacted() -> None:
    """An address has a type of its own, whatever it is called."""
    value = {"peer": ipaddress.ip_address("10.0.0.1")}
    rule = redacted("category:location_and_tracking")
    assert copy_of(value, excluded="location_and_tracking") == {"peer": rule}


def _rules_of(marked: Mapping[str, MarkedKey]) -> dict[str, str]:
    return {name: each.rule for name, each in marked.items()}


def test_the_keys_that_a_typed_dict_marks_are_known_from_the_annotation() -> None:
    """Also those of the classes inside it, for a dict that is handed in for one of them."""
    assert _rules_of(marked_keys(list[State])) == {
        "marked": "type:Sensitive",
        "unshown": "hidden:repr",
    }


class Node(BaseModel):
    """A model that holds itself."""

    marked: Marked
    next: Node | None = None


def test_a_class_that_holds_itself_is_read_once() -> None:
    """Recursive models are ordinary."""
    assert _rules_of(marked_keys(Node)) == {"marked": "type:Sensitive"}


MODULE = sys.modules[__name__]
MARK = "type:Sensitive"
SECRET_RULE = "type:SecretStr"
CONTACT = "contact_information"
SAYINGS: list[Any] = [
    pytest.param("Marked", MARK, None, id="an alias in a string"),
    pytest.param("list[Missing, SecretStr]", SECRET_RULE, None, id="beside a missing name"),
    pytest.param("pydantic.SecretStr", SECRET_RULE, None, id="a dotted name"),
    pytest.param("pydantic.fields.FieldInfo", None, None, id="another dotted name"),
    pytest.param("typing.Any", None, None, id="a dotted name of another module"),
    pytest.param("Outer.Inner", SECRET_RULE, None, id="a class inside a class"),
    pytest.param("Outer.number", None, None, id="something else inside a class"),
    pytest.param("Missing.Inner", None, None, id="inside of what is missing"),
    pytest.param("list[int].Inner", None, None, id="inside of an expression"),
    pytest.param("MODULE.__name__.x", None, None, id="inside of a text"),
    pytest.param("Annotated[int, Sensitive('minors_data')]", MARK, None, id="a mark"),
    pytest.param("Annotated[int, Sensitive('minor_data')]", MARK, None, id="a misspelt mark"),
    pytest.param("SecretStr | 'Missing'", SECRET_RULE, None, id="what cannot be evaluated"),
    pytest.param("Annotated[str, 'a text', Sensitive]", MARK, None, id="a text beside a type"),
    pytest.param("'Marked'", MARK, None, id="a string in a string"),
    pytest.param("list['Annotated[str, Sensitive]']", MARK, None, id="a string in a form"),
    pytest.param("Annotated[str, Field(title='Marked')]", None, None, id="a string in a call"),
    pytest.param("typing.Literal['SecretStr']", None, None, id="a literal text in a string"),
    pytest.param("lambda: SecretStr", SECRET_RULE, None, id="a lambda is not called"),
    pytest.param("not an annotation", None, None, id="a string that is no annotation"),
    pytest.param(typing.ForwardRef("SecretStr"), SECRET_RULE, None, id="a forward reference"),
    pytest.param(typing.Literal["SecretStr"], None, None, id="a literal text"),
    pytest.param(Annotated[str, Field(exclude=True)], "hidden:exclude", None, id="a field"),
    pytest.param(EmailStr, None, CONTACT, id="a type with a category"),
    pytest.param(list[int], None, None, id="nothing"),
    pytest.param(None, None, None, id="None"),
]


class Outer:
    """Holds a class."""

    number = 5

    class Inner(SecretStr):
        """A secret type of a user's own."""


def said(annotation: object) -> tuple[str | None, str | None]:
    """Return the rule and the category of an annotation in the body of `Outer`."""
    info = class_scope(Outer).info(annotation)
    return rule_of(info), type_category(info)


@each(("annotation", "rule", "category"), SAYINGS)
def test_what_an_annotation_says_is_found_without_evaluating_it(
    annotation: object, rule: str | None, category: str | None
) -> None:
    """Strings are looked up name by name; a name that is missing hides only itself."""
    assert pydantic.SecretStr is SecretStr
    assert said(annotation) == (rule, category)


def test_a_long_union_is_read() -> None:
    """Machine-made unions have hundreds of members."""
    names = " | ".join(f"Missing{number}" for number in range(2000))
    assert said(names) == (None, None)
    made = typing.cast("Any", typing.Union)[tuple(type(f"C{n}", (), {}) for n in range(600))]
    assert said(made) == (None, None)


def test_metadata_that_fights_back_is_passed_over() -> None:
    """What stands in `Annotated` may be anything."""
    odd = type("Odd", (), {"__class__": property(lambda _: 1 / 0)})()
    marked: Any = Annotated[str, odd, Sensitive("minors_data")]
    assert said(marked) == (MARK, None)
    assert said(odd) == (None, None)


def test_a_module_that_is_none_has_no_names() -> None:
    """`sys.modules` may hold anything."""
    sys.modules["odd_module"] = typing.cast("types.ModuleType", object())
    try:
        odd = type("Odd", (), {"__module__": "odd_module"})
        assert rule_of(class_scope(odd).info("SecretStr")) is None
    finally:
        del sys.modules["odd_module"]


def test_what_is_no_class_with_fields_has_none() -> None:
    """Dicts and objects with nothing declared."""
    assert fields_of(dict) is None
    assert fields_of(object) is None


def test_a_class_with_foreign_things_among_its_fields_is_opaque() -> None:
    """A class may keep something else under the name that a library uses."""
    odd = type("Odd", (), {"__dataclass_fields__": {"a": 5}})
    assert fields_of(odd) is None
    assert fields_of(type("Odd", (), {"__attrs_attrs__": (5,)})) is None
    assert copy_of([odd()])[0]["$remit"] == "opaque"


def test_a_class_is_not_kept_alive_by_what_is_known_of_it() -> None:
    """Classes made at run time go, and their entries with them."""
    gc.collect()
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
