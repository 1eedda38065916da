"""Payload format 1: how each kind of value is written."""

from __future__ import annotations

import builtins
import collections
import datetime as dt
import decimal
import enum
import fractions
import ipaddress
import pathlib
import sys
import threading
import types
import uuid
from dataclasses import dataclass
from typing import NamedTuple
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pytest
from pydantic import BaseModel, HttpUrl, PostgresDsn, RootModel
from pydantic import dataclasses as pydantic_dataclasses
from pydantic.v1 import BaseModel as OldModel

from remit._capture.encode import Rules
from tests.captured import copy_of, opaque, redacted
from tests.subtests import each

pytestmark = pytest.mark.python


class Colour(enum.Enum):
    """An ordinary enumeration."""

    RED = "red"


class Level(enum.IntEnum):
    """An enumeration that is a number."""

    LOW = 1


class Rights(enum.Flag):
    """A set of flags."""

    READ = 1
    WRITE = 2


class Text(str):  # noqa: SLOT000 - a subclass as users write it
    """A string of a user's own class."""


class Zone(dt.tzinfo):
    """A time zone of a user's own class, which must not be asked."""

    def utcoffset(self, moment: dt.datetime | None) -> dt.timedelta:
        """Fail: no code of a user's runs."""
        raise AssertionError(moment)

    dst = utcoffset

    def tzname(self, moment: dt.datetime | None) -> str:
        """Fail likewise."""
        raise AssertionError(moment)


class BrokenZone(Zone):
    """A time zone of a known library that fails."""

    __module__ = "pytz.tzinfo"

    def utcoffset(self, moment: dt.datetime | None) -> dt.timedelta:
        """Fail, as an overflow at the ends of time does."""
        raise OverflowError(moment)


class NaTType(dt.datetime):
    """Not a time, as pandas has it."""


class Point(NamedTuple):
    """A NamedTuple."""

    x: int
    y: int


class Numbers(RootModel[list[int]]):
    """A model that is a list."""


class Model(BaseModel):
    """A model with an alias."""

    model_config = {"extra": "allow", "populate_by_name": True}
    first: int = 1
    second: str | None = None


@dataclass
class Record:
    """A dataclass."""

    first: int = 1


@dataclass(slots=True)
class Slotted:
    """A dataclass without an instance dict."""

    first: int = 1


@attrs.define
class Attrs:
    """An attrs class with slots."""

    first: int = 1


@attrs.define(slots=False)
class LooseAttrs:
    """An attrs class with an instance dict."""

    _first: int = 1


class Struct(msgspec.Struct):
    """A msgspec Struct."""

    first: int = 1


@pydantic_dataclasses.dataclass
class Checked:
    """A dataclass that pydantic checks."""

    first: int = 1


class Old(OldModel):
    """A model of pydantic 1."""

    first: int = 1


class Plain:
    """A class with nothing declared."""

    def __init__(self) -> None:
        """Hold something that must not be seen."""
        self.first = 1


MOMENT = dt.datetime(2024, 5, 6, 7, 8, 9, 10)  # noqa: DTZ001 - a naive one is a case
TIMES = [
    pytest.param(MOMENT, "2024-05-06T07:08:09.000010", id="a naive datetime"),
    pytest.param(
        MOMENT.replace(tzinfo=dt.UTC), "2024-05-06T07:08:09.000010+00:00", id="a UTC datetime"
    ),
    pytest.param(
        MOMENT.replace(tzinfo=ZoneInfo("Europe/Paris")),
        "2024-05-06T07:08:09.000010+02:00",
        id="a datetime in a zone",
    ),
    pytest.param(
        MOMENT.replace(tzinfo=Zone()),
        f"2024-05-06T07:08:09.000010[{__name__}.Zone]",
        id="a datetime in a zone of a user's own",
    ),
    pytest.param(
        MOMENT.replace(tzinfo=BrokenZone()),
        "2024-05-06T07:08:09.000010[pytz.tzinfo.BrokenZone]",
        id="a datetime in a zone that fails",
    ),
    pytest.param(NaTType(1, 1, 1), "NaT", id="not a time"),
    pytest.param(dt.date(2024, 5, 6), "2024-05-06", id="a date"),
    pytest.param(dt.time(7, 8), "07:08:00", id="a time"),
    pytest.param(
        dt.time(7, 8, tzinfo=Zone()), f"07:08:00[{__name__}.Zone]", id="a time in a user's zone"
    ),
    pytest.param(dt.timedelta(days=1, hours=2, seconds=3), "P1DT2H3S", id="a duration"),
    pytest.param(dt.timedelta(0), "PT0S", id="no duration"),
    pytest.param(dt.timedelta(days=2), "P2D", id="days"),
    pytest.param(dt.timedelta(minutes=-90), "-PT1H30M", id="a negative duration"),
    pytest.param(dt.timedelta(microseconds=1500), "PT0.0015S", id="a fraction of a second"),
]
NUMBERS = [
    pytest.param(2**53, 2**53, id="the largest exact integer"),
    pytest.param(2**53 + 1, "9007199254740993", id="an integer beyond it"),
    pytest.param(-(2**53) - 1, "-9007199254740993", id="a negative one beyond it"),
    pytest.param(1 << 3000, hex(1 << 3000), id="an integer with 3000 bits"),
    pytest.param(1 << 300_000, opaque("int"), id="a huge integer"),
    pytest.param(Level.LOW, 1, id="an IntEnum"),
    pytest.param(1.5, 1.5, id="a float"),
    pytest.param(float("nan"), "NaN", id="NaN"),
    pytest.param(float("inf"), "Infinity", id="infinity"),
    pytest.param(float("-inf"), "-Infinity", id="minus infinity"),
    pytest.param(decimal.Decimal("1.10"), "1.10", id="a Decimal"),
    pytest.param(fractions.Fraction(3, 4), "3/4", id="a Fraction"),
    pytest.param(1 + 2j, opaque("complex"), id="a complex number"),
]
TEXTS = [
    pytest.param("é", "é", id="text"),
    pytest.param("a\ud800b", "a?b", id="a lone surrogate"),
    pytest.param(Text("abc"), "abc", id="a subclass of str"),
    pytest.param(Colour.RED, "red", id="an enum"),
    pytest.param(Rights.READ | Rights.WRITE, 3, id="flags"),
    pytest.param(uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005", id="a UUID"),
    pytest.param(pathlib.PurePosixPath("/a/b"), "/a/b", id="a path"),
    pytest.param(ipaddress.ip_address("10.0.0.1"), "10.0.0.1", id="an IP address"),
    pytest.param(HttpUrl("https://a.example/b"), "https://a.example/b", id="a URL of pydantic"),
    pytest.param(PostgresDsn("postgres://h/d"), "postgres://h/d", id="a DSN of pydantic"),
]
BINARY = [
    pytest.param(b"abc", {"$remit": "bytes", "length": 3}, id="bytes"),
    pytest.param(bytearray(b"abc"), {"$remit": "bytes", "length": 3}, id="a bytearray"),
    pytest.param(memoryview(b"abc"), {"$remit": "bytes", "length": 3}, id="a memoryview"),
]
CONTAINERS = [
    pytest.param((1, "a"), [1, "a"], id="a tuple"),
    pytest.param(collections.deque([1, 2]), [1, 2], id="a deque"),
    pytest.param({"b", "a", 10, 9}, ["a", "b", 10, 9], id="a set, sorted by its encoding"),
    pytest.param(frozenset({(2,), (1,)}), [[1], [2]], id="a frozenset"),
    pytest.param(collections.OrderedDict(a=1), {"a": 1}, id="an OrderedDict"),
    # Before Python 3.15 this is an OrderedDict again.
    pytest.param(
        getattr(builtins, "frozendict", collections.OrderedDict)(a=1, password="x"),
        {"a": 1, "password": redacted("name:password")},
        id="a frozendict",
    ),
    pytest.param({"a": 1}.keys(), ["a"], id="keys of a dict"),
    pytest.param({"a": 1}.values(), [1], id="values of a dict"),
    pytest.param({"a": 1}.items(), [["a", 1]], id="items of a dict"),
    pytest.param(types.MappingProxyType({"a": 1}), {"a": 1}, id="a read-only view of a dict"),
    pytest.param(
        types.MappingProxyType(collections.ChainMap({"a": 1})),
        opaque("mappingproxy"),
        id="a read-only view of something else",
    ),
    pytest.param(types.SimpleNamespace(a=1), {"a": 1}, id="a SimpleNamespace"),
    pytest.param(Point(1, 2), [1, 2], id="a NamedTuple"),
]
OBJECTS = [
    pytest.param(
        Model.model_validate({"third": 3}), {"first": 1, "second": None, "third": 3}, id="a model"
    ),
    pytest.param(Model.model_construct(), {"first": 1, "second": None}, id="a constructed model"),
    pytest.param(Numbers([1, 2]), [1, 2], id="a root model"),
    pytest.param(Record(), {"first": 1}, id="a dataclass"),
    pytest.param(Slotted(), {"first": 1}, id="a dataclass with slots"),
    pytest.param(Checked(), {"first": 1}, id="a dataclass of pydantic"),
    pytest.param(Attrs(), {"first": 1}, id="an attrs class"),
    pytest.param(LooseAttrs(), {"_first": 1}, id="an attrs class with a private name"),
    pytest.param(Struct(), {"first": 1}, id="a Struct"),
    pytest.param(Old(), opaque(f"{__name__}.Old"), id="a model of pydantic 1"),
    pytest.param(Plain(), opaque(f"{__name__}.Plain"), id="a plain object"),
    pytest.param(len, opaque("builtin_function_or_method"), id="a function"),
    pytest.param(Plain, opaque("type"), id="a class"),
    pytest.param(types, opaque("module"), id="a module"),
    pytest.param(ValueError("x"), opaque("ValueError"), id="an exception"),
    pytest.param((x for x in "ab"), opaque("generator"), id="a generator"),
    pytest.param(iter([1]), opaque("list_iterator"), id="an iterator"),
    pytest.param(range(3), opaque("range"), id="a range"),
    pytest.param(slice(3), opaque("slice"), id="a slice"),
    pytest.param(threading.Lock(), opaque("_thread.lock"), id="a lock"),
]


@each(("value", "written"), [*TIMES, *NUMBERS, *TEXTS, *BINARY, *CONTAINERS, *OBJECTS])
def test_each_kind_of_value_is_written_as_the_format_says(value: object, written: object) -> None:
    """Payload format 1 has one form for each kind of value, and a marker for every other."""
    assert copy_of(value) == written


@each("value", [True, False, None, 0, "", [], {}], ids=repr)
def test_what_json_has_is_written_as_it_is(value: object) -> None:
    """Values that JSON knows pass unchanged, empty ones too."""
    assert copy_of(value) == value


def test_a_generator_is_not_consumed() -> None:
    """What can be read only once is left to the user's code."""
    numbers = (number for number in (1, 2))
    copy_of([numbers])
    assert list(numbers) == [1, 2]


def test_a_released_memoryview_is_opaque() -> None:
    """Its length cannot be asked any more."""
    view = memoryview(b"abc")
    view.release()
    assert copy_of(view) == opaque("memoryview")


def test_a_slot_that_was_never_set_is_left_out() -> None:
    """A half-built object is recorded as far as it is built."""
    assert copy_of(object.__new__(Slotted)) == {}


def test_a_uuid_whose_number_is_a_property_is_opaque() -> None:
    """A subclass may have replaced the slot by code."""
    odd = type("Odd", (uuid.UUID,), {"int": property(lambda _: 1 / 0), "__module__": "app"})
    assert copy_of(object.__new__(odd)) == opaque("app.Odd")


def test_a_field_that_a_property_hides_is_not_asked() -> None:
    """The value lies where only code of the user's can find it."""

    @dataclass
    class Hidden:
        first: int

    type.__setattr__(Hidden, "first", property(lambda _: 1 / 0))
    assert copy_of(object.__new__(Hidden)) == {"first": opaque("property")}


def test_a_default_that_stands_in_the_class_only_is_recorded() -> None:
    """`field(init=False)` with a default never reaches the instance's dict."""

    @dataclass
    class Lazy:
        first: int = 1

    assert copy_of(object.__new__(Lazy)) == {"first": 1}


def test_a_class_that_says_nonsense_of_its_module_still_has_a_name() -> None:
    """A marker names the type, whatever the class says."""
    odd = type("Odd", (), {"__module__": 5})
    assert copy_of(odd()) == opaque("?.Odd")


def test_a_class_named_after_a_secret_is_not_named() -> None:
    """Classes made from data carry it in their names."""
    odd = type("sk-proj-9aB8cD7eF6gH5iJ4kL3m", (), {})
    assert copy_of(odd()) == opaque("redacted")


def test_a_class_that_breaks_while_it_is_read_is_opaque() -> None:
    """What a library left in a class may be broken; the call goes on."""

    class Odd(BaseModel):
        first: int = 1

    type.__setattr__(Odd, "__pydantic_fields__", {"first": 5})
    assert copy_of(object.__new__(Odd)) == opaque(f"{__name__}.{Odd.__qualname__}")


def test_a_class_that_cannot_be_hashed_is_opaque() -> None:
    """Its metaclass fails."""
    meta = type("Meta", (type,), {"__hash__": lambda _: 1 / 0})
    odd = meta("Odd", (), {"__module__": "app"})
    assert copy_of([odd(), {"a": odd()}]) == [opaque("app.Odd"), {"a": opaque("app.Odd")}]


KEYS = [
    pytest.param({1: "a", "1": "b"}, {"1": "a", "1 (2)": "b"}, id="a number, and its text"),
    pytest.param({True: 1, None: 2, 1.5: 3}, {"true": 1, "null": 2, "1.5": 3}, id="constants"),
    pytest.param({Colour.RED: 1}, {"red": 1}, id="an enum"),
    pytest.param({dt.date(2024, 5, 6): 1}, {"2024-05-06": 1}, id="a date"),
    pytest.param({Text("a"): 1}, {"a": 1}, id="a subclass of str"),
    pytest.param({b"password": "x"}, {"password": redacted("name:password")}, id="bytes by name"),
    pytest.param(
        [(b"api-key", "x"), (b"accept", "y")],
        [
            [{"$remit": "bytes", "length": 7}, redacted("name:api_key")],
            [{"$remit": "bytes", "length": 6}, "y"],
        ],
        id="pairs of bytes",
    ),
    pytest.param(
        {("db", "password"): "x", (b"token", 1): "y", ("password", "policy"): "z"},
        {
            "<tuple 1>": redacted("name:password"),
            "<tuple 2>": redacted("name:token"),
            "<tuple 3>": "z",
        },
        id="tuples by their last text",
    ),
    pytest.param({(1, 2): 1, (3, 4): 2}, {"<tuple 1>": 1, "<tuple 2>": 2}, id="tuples"),
    pytest.param({b"a": 1}, {"a": 1}, id="bytes"),
    pytest.param({b"\x00": 1, b"\xff": 2}, {"<bytes 1>": 1, "<bytes 2>": 2}, id="binary data"),
    pytest.param({"$remit": 1, "$$remit": 2}, {"$$remit": 1, "$$$remit": 2}, id="the reserved key"),
    pytest.param({"remit": 1}, {"remit": 1}, id="nearly the reserved key"),
    pytest.param({"x" * 300: 1}, {"x" * 256 + "...": 1}, id="a long key"),
    pytest.param({"a\ud800": "b"}, {"a?": "b"}, id="a lone surrogate"),
    pytest.param({"1 (3)": 0, 1: 1, "1": 2}, {"1 (3)": 0, "1": 1, "1 (4)": 2}, id="a taken number"),
]


@each(("value", "written"), KEYS)
def test_each_kind_of_key_has_a_text_and_none_is_lost(value: object, written: object) -> None:
    """JSON has only texts for keys; two that become the same text are told apart."""
    assert copy_of(value) == written


def test_a_key_that_is_shaped_like_a_secret_is_redacted() -> None:
    """Keys of a dict are data too."""
    rules = Rules()
    shown = copy_of({"sk-proj-9aB8cD7eF6gH5iJ4kL3m": 1}, rules)
    assert shown == {"<pattern:llm_key 1>": 1}
    assert rules.redacted == {"pattern:llm_key": 1}


def test_nothing_wraps_a_url_before_pydantics_classes_are_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are looked up, not imported."""
    monkeypatch.delitem(sys.modules, "pydantic.networks")
    odd = type("Odd", (), {"__module__": "app"})
    assert copy_of(odd()) == opaque("app.Odd")
