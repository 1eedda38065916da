"""Methods in every kind of class: the class stays what it was, and its calls are recorded."""

from __future__ import annotations

import abc
import enum
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import attrs
import pydantic
import pytest

import remit
from remit.errors import DeclarationError
from remit.testing import RecordingSink, isolated
from tests.desk import agent
from tests.subtests import each

pytestmark = pytest.mark.python

Anything: TypeAlias = Any


@runtime_checkable
class Priced(Protocol):
    """A protocol with a decorated member."""

    @remit.span_type
    def price(self, pieces: int) -> int:
        """Say what so many cost."""
        return pieces


class Explicit(Priced):
    """Says that it follows the protocol, and inherits its method."""


@dataclass
class Plain:
    """A dataclass."""

    each: int = 3
    tags: list[str] = field(default_factory=list[str])

    @remit.span_type
    def price(self, pieces: int) -> int:
        """Say what so many cost."""
        return pieces * self.each


@dataclass(frozen=True, slots=True)
class Slotted:
    """A dataclass that is made twice, the second time with slots."""

    each: int = 3

    @remit.span_type
    def price(self, pieces: int) -> int:
        """Say what so many cost."""
        return pieces * self.each


class Tupled(NamedTuple):
    """A named tuple."""

    each: int = 3

    @remit.span_type
    def price(self, pieces: int) -> int:
        """Say what so many cost."""
        return pieces * self.each


class Model(pydantic.BaseModel):
    """A pydantic model."""

    each: int = 3

    @remit.span_type
    def price(self, pieces: int) -> int:
        """Say what so many cost."""
        return pieces * self.each


@attrs.define
class Attrs:
    """A class of attrs."""

    each: int = 3

    @remit.span_type
    def price(self, pieces: int) -> int:
        """Say what so many cost."""
        return pieces * self.each


class Cached:
    """A class with a method that remembers."""

    @remit.span_type
    @functools.cache  # noqa: B019 - what people write
    def price(self, pieces: int) -> int:
        """Say what so many cost."""
        return pieces * 3


class Level(enum.Enum):
    """An enumeration."""

    ONLY = 3

    @remit.span_type
    def price(self, pieces: int) -> int:
        """Say what so many cost."""
        return pieces * int(self.value)


class Meta(type):
    """A class of classes."""

    @remit.span_type
    def price(cls, pieces: int) -> int:
        """Say what so many cost."""
        return pieces * 3


class Made(metaclass=Meta):
    """A class with a method of its own class."""


CLASSES: dict[str, Callable[[], Anything]] = {
    "dataclass": Plain,
    "slots": Slotted,
    "named-tuple": Tupled,
    "pydantic": Model,
    "attrs": Attrs,
    "cached": Cached,
    "enum": lambda: Level.ONLY,
    "metaclass": lambda: Made,
}


@each("make", list(CLASSES.values()), ids=list(CLASSES), recorder=isolated)
def test_a_method_of_every_kind_of_class_is_recorded(
    recorder: RecordingSink, make: Callable[[], Anything]
) -> None:
    """Without the object that it is called on, whatever its class is made by."""
    with agent.run():
        assert make().price(2) == 6
    (span,) = recorder.spans()
    assert (span.payload, span.result) == ({"pieces": 2}, {"result": 6})


def test_a_decorated_method_is_no_field_and_no_member() -> None:
    """Dataclasses, models and enumerations do not take it for data."""
    assert list(Plain.__dataclass_fields__) == ["each", "tags"]
    assert list(Model.model_fields) == ["each"]
    assert [each.name for each in Level] == ["ONLY"]
    assert Tupled._fields == ("each",)


def test_a_protocol_with_a_decorated_member_still_tells_who_follows_it(
    recorder: RecordingSink,
) -> None:
    """Whoever has the method follows it; a subclass inherits the method, decorated."""
    assert isinstance(Plain(), Priced)
    assert not isinstance(3, Priced)
    with agent.run():
        assert Explicit().price(2) == 2
    assert recorder.spans()[0].payload == {"pieces": 2}


def test_an_abstract_method_still_has_to_be_overridden() -> None:
    """Under `@abstractmethod` and above it, methods and properties."""
    with isolated():

        class Base(abc.ABC):
            @remit.span_type
            @abc.abstractmethod
            def above(self) -> int:
                """Be overridden."""

            @abc.abstractmethod
            @remit.span_type
            def under(self) -> int:
                """Be overridden."""

            @remit.span_type  # type: ignore[prop-decorator] # mypy supports none above
            @property
            @abc.abstractmethod
            def shown(self) -> int:
                """Be overridden."""

    assert Base.__abstractmethods__ == {"above", "under", "shown"}
    with pytest.raises(TypeError, match="abstract"):
        Base()  # type: ignore[abstract] # this is what is tested


def test_an_override_without_the_decorator_is_not_recorded(recorder: RecordingSink) -> None:
    """The decorator is of the function, not of the name; `super()` reaches the recorded one."""

    class Base:
        @remit.span_type
        def ask(self, a: int) -> int:
            return a

    class Quiet(Base):
        def ask(self, a: int) -> int:
            return a + 1

    class Loud(Quiet):
        def ask(self, a: int) -> int:
            return super(Quiet, self).ask(a) + super().ask(a)

    with agent.run():
        assert Quiet().ask(1) == 2
        assert recorder.spans() == []
        assert Loud().ask(1) == 3
    assert len(recorder.spans()) == 1


def test_properties_are_recorded_in_either_order(recorder: RecordingSink) -> None:
    """Each read is a call; setter and deleter stay what they were."""

    class Order:
        total = 3

        @remit.span_type  # type: ignore[prop-decorator] # mypy supports none above
        @property
        def outer(self) -> int:
            """What it costs."""
            return self.total

        @outer.setter
        def outer(self, value: int) -> None:
            self.total = value

        @property
        @remit.span_type
        def inner(self) -> int:
            return self.total

        @remit.span_type  # type: ignore[prop-decorator] # mypy supports none above
        @functools.cached_property
        def outer_cached(self) -> int:
            """What it costs."""
            return self.total

        @functools.cached_property
        @remit.span_type
        def inner_cached(self) -> int:
            return self.total

    order: Anything = Order()
    order.outer = 4
    with agent.run():
        for _ in range(2):
            read = [order.outer, order.inner, order.outer_cached, order.inner_cached]
            assert read == [4, 4, 4, 4]
    names = [span.name.rpartition(".")[2] for span in recorder.spans()]
    assert names == ["outer", "inner", "outer_cached", "inner_cached", "outer", "inner"]
    assert {str(span.payload) for span in recorder.spans()} == {"{}"}
    assert type(vars(Order)["outer"]) is property
    assert type(vars(Order)["outer_cached"]) is functools.cached_property
    assert vars(Order)["outer_cached"].__doc__ == vars(Order)["outer"].__doc__ == "What it costs."


def test_decorating_a_holder_leaves_the_one_that_was_given_as_it_is() -> None:
    """It may be in use elsewhere, without a record."""

    def total(order: object) -> int:
        return len(str(order))

    originals: list[Anything] = [property(total), functools.cached_property(total)]
    with isolated():
        decorated: list[Anything] = [remit.span_type(each) for each in originals]
    assert [originals[0].fget, originals[1].func] == [total, total]
    assert originals[0].fget is not decorated[0].fget
    assert originals[1].func is not decorated[1].func


@pytest.mark.parametrize(
    "target",
    [property(len), functools.cached_property(len)],
    ids=["property", "cached"],
)
def test_an_agent_is_called_so_it_is_no_property(target: Anything) -> None:
    """The error says where the decorator goes."""
    with isolated(), pytest.raises(DeclarationError, match=r"put it below @(cached_)?property"):
        remit.agent(target)
