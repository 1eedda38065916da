"""The reader that compares what a person saw with what runs: all values, in full."""

from __future__ import annotations

import builtins
import io
import logging
import threading
from array import array
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest
from pydantic import BaseModel, SecretStr

from remit._record import binding
from remit._record.binding import is_sealed, is_used, read, seal_of, use_seal
from tests.subtests import each


class Colour(Enum):
    """Values of an enumeration."""

    RED = 1
    BLUE = 2


class Model(BaseModel):
    """A model of pydantic."""

    euros: int
    secret: SecretStr = SecretStr("a")


class Row(msgspec.Struct):
    """A structure of msgspec."""

    euros: int


class Point(NamedTuple):
    """A named tuple."""

    x: int


@dataclass
class Order:
    """A dataclass."""

    euros: int
    lines: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Slotted:
    """A dataclass with slots."""

    euros: int


class Name(str):  # noqa: SLOT000 - has attributes
    """A text with attributes of its own."""


class Client:
    """An object with attributes."""

    def __init__(self, euros: int) -> None:
        """Set the attribute."""
        self.euros = euros


class WithSlots:
    """An object with a slot, and a property that is never read."""

    __slots__ = ("_euros",)

    def __init__(self, euros: int) -> None:
        """Set the slot."""
        self._euros = euros

    @property
    def euros(self) -> int:
        """Fail: it is code of the program."""
        raise AssertionError


class Guarded:
    """An object whose attributes cannot be looked up."""

    def __init__(self, euros: int) -> None:
        """Set the attribute."""
        self.euros = euros

    def __getattribute__(self, name: str) -> object:
        """Fail: it is code of the program."""
        raise AssertionError(name)


class Tree:
    """An object that is part of a cycle."""

    def __init__(self, euros: int) -> None:
        """Add a child."""
        self.children = [SimpleNamespace(parent=self, euros=euros)]


class Service:
    """An object of which a part can be read."""

    def __init__(self, euros: int) -> None:
        """Set the attributes."""
        self.euros = euros
        self.lock = threading.Lock()
        self.log = logging.getLogger(__name__)


class Failed(Exception):  # noqa: N818 - an outcome, not an error
    """An object with parts that no attribute shows."""


def nested(depth: int, value: object) -> object:
    """Return *value* in lists in each other."""
    for _ in range(depth):
        value = [value]
    return value


FROZEN: Any = getattr(builtins, "frozendict", OrderedDict)
"""`frozendict` from Python 3.15 on."""


def digest(value: object) -> bytes:
    """Return the digest of one argument."""
    return read("step", {"value": value}).digest


SAME: list[tuple[Any, Any]] = [
    ({"a": [1, (2.5, None)]}, {"a": [1, (2.5, None)]}),
    ({1, 2, 3}, {3, 2, 1}),
    (Order(1, [2]), Order(1, [2])),
    (Model(euros=1), Model(euros=1)),
    (Row(1), Row(1)),
    (Client(1), Client(1)),
    (SimpleNamespace(euros=1), SimpleNamespace(euros=1)),
    (Tree(1), Tree(1)),
]
DIFFERENT: list[tuple[Any, Any]] = [
    (1, 2),
    (1, True),
    (1, 1.0),
    (1, "1"),
    ("a", b"a"),
    ("4111 1111 1111 1111", "4111 1111 1111 1129"),
    ("x" * 1_000_000 + "a", "x" * 1_000_000 + "b"),
    (["ab", "c"], ["a", "bc"]),
    ([1, 2], (1, 2)),
    ([[1], 2], [[1, 2]]),
    ({"a": 1}, {"a": 2}),
    ({"a": 1}, OrderedDict(a=1)),
    (FROZEN(a=1), FROZEN(a=2)),
    ({1, 2}, {1, 3}),
    (deque([1]), deque([2])),
    (Decimal("1.0"), Decimal("1.00")),
    (date(2026, 1, 1), date(2026, 1, 2)),
    (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 1, tzinfo=UTC)),
    (timedelta(1), timedelta(2)),
    (Colour.RED, Colour.BLUE),
    (UUID(int=1), UUID(int=2)),
    (Path("/a"), Path("/b")),
    (int, str),
    (Order(1), Order(2)),
    (Order(1, [1]), Order(1, [2])),
    (Slotted(1), Slotted(2)),
    (Model(euros=1), Model(euros=2)),
    (Model(euros=1), Model(euros=1, secret=SecretStr("b"))),
    (Row(1), Row(2)),
    (Point(1), Point(2)),
    (Name("a"), Name("b")),
    (threading.Lock(), io.StringIO()),
    (Client(1), Client(2)),
    (WithSlots(1), WithSlots(2)),
    (SimpleNamespace(euros=1), SimpleNamespace(euros=2)),
    (array("i", [1]), array("i", [2])),
    (array("i", [1]), array("f", [1])),
    ([Guarded(1)], [Guarded(2)]),
    (nested(101, 1), nested(101, 2)),
    (nested(20_000, 1), nested(20_000, 2)),
    ([*range(200_000), 1], [*range(200_000), 2]),
    (Tree(1), Tree(2)),
]


@each(("one", "other"), SAME)
def test_equal_values_have_one_digest(one: object, other: object) -> None:
    """So that a yes over a pause of a framework finds its call again."""
    assert digest(one) == digest(other)


@each(("one", "other"), DIFFERENT)
def test_different_values_have_different_digests(one: object, other: object) -> None:
    """Nothing is redacted, cut or confused."""
    assert digest(one) != digest(other)
    is_known = not isinstance(other, io.StringIO)
    assert read("step", {"value": one}).unbound == (() if is_known else ("value",))


def test_an_attribute_of_a_text_counts() -> None:
    """An object of a subclass may hold anything."""
    one, other = Name("a"), Name("a")
    other.extra = 1  # type: ignore[attr-defined]
    assert digest(one) != digest(other)


@each(
    ("value", "unbound"),
    [
        (io.StringIO(), ("value",)),
        ({"files": [io.BytesIO()]}, ("value.files[0]",)),
        (iter([1]), ("value",)),
        (print, ("value",)),
        (lambda: 1, ("value",)),
        (threading.local(), ("value",)),
        (SimpleNamespace, ()),
        ([1, iter([]), {"a": iter([])}], ("value[1]", "value[2].a")),
        (Order(1, [iter([])]), ("value.lines[0]",)),  # type: ignore[list-item]
        (Service(1), ("value.lock", "value.log")),
        (Failed(), ("value",)),
        (nested(5_000, iter([])), ("value[0][0][0][0][0][0]...[0]",)),
    ],
)
def test_what_cannot_be_read_is_held_by_its_type(value: object, unbound: tuple[str, ...]) -> None:
    """The path leads to it."""
    assert read("step", {"value": value}).unbound == unbound


def test_a_cycle_and_a_deep_nesting_have_an_end() -> None:
    """All of it is compared."""
    cycle: list[object] = [1]
    cycle.append(cycle)
    assert read("step", {"value": cycle}).unbound == ()
    assert read("step", {"value": nested(100_000, 1)}).unbound == ()


def test_beyond_the_most_values_the_rest_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not without end."""
    monkeypatch.setattr(binding, "MAX_VALUES", 100)
    assert "value" in read("step", {"value": [[n] for n in range(1_000)]}).unbound
    many = read("step", {"value": [iter([]) for _ in range(90)]}).unbound
    assert len(many) == binding.MAX_UNBOUND + 1
    assert many[-1] == "..."


def test_a_parameter_that_a_framework_injects_is_held_by_its_type() -> None:
    """It differs from call to call."""
    one, other = (read("step", {"value": n}, {"value"}) for n in (1, 2))
    assert one.digest == other.digest
    assert one.unbound == ("value",)


def test_a_seal_belongs_to_one_digest_and_is_used_once() -> None:
    """Two seals of one digest differ."""
    mine = digest(1)
    seal, another = seal_of(mine), seal_of(mine)
    assert seal != another
    assert is_sealed(mine, seal)
    assert not is_sealed(digest(2), seal)
    assert not is_sealed(mine, seal[:-4])
    assert not is_used(seal)
    assert use_seal(seal)
    assert is_used(seal)
    assert not use_seal(seal)
    assert use_seal(another)
