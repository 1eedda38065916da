"""How what is decorated binds: to objects, to classes, to nothing, as the bare one does."""

from __future__ import annotations

import asyncio
import functools
import gc
import weakref
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import MethodType
from typing import Any, ClassVar, Self, TypeAlias

import pytest

import remit
from remit.testing import RecordingSink
from tests.desk import agent

pytestmark = pytest.mark.python

Anything: TypeAlias = Any


class Plain:
    """A class with a method."""

    each = 3

    @remit.span_type
    def price(self, pieces: int) -> int:
        """Say what so many cost."""
        return pieces * self.each

    @remit.span_type
    @functools.cache  # noqa: B019 - what people write
    def cached(self, pieces: int) -> int:
        """Say what so many cost."""
        return pieces * self.each


def test_a_look_at_the_annotations_of_the_class_hides_none_of_its_objects() -> None:
    """Python stores an empty dict in a class that has none."""

    @remit.span_type
    def step(pieces: int) -> int:
        return pieces

    assert type(step).__annotations__ is not None
    assert type(agent).__annotations__ is not None
    assert step.__annotations__ == {"pieces": "int", "return": "int"}
    assert agent.__annotations__ == {"return": "None"}


def test_an_agent_names_its_methods_and_is_no_block() -> None:
    """A mock with its `spec` has them, and a forgotten `.run()` is explained."""
    assert {"run", "registration", "__name__"} <= set(dir(agent))
    assert not isinstance(agent, (AbstractContextManager, AbstractAsyncContextManager))
    block: Any = agent
    with pytest.raises(TypeError, match=r"write `with agent\.run\(\) as run:`"), block:
        pass

    async def in_async() -> None:
        async with block:
            pass

    with pytest.raises(TypeError, match=r"write `async with agent\.run\(\) as run:`"):
        asyncio.run(in_async())


def test_special_methods_are_what_python_makes_of_them(recorder: RecordingSink) -> None:
    """`__new__` is static and `__init_subclass__` a class method without anyone saying so."""

    class Base:
        kind = ""
        a = 0

        @remit.span_type
        def __new__(cls, a: int) -> Self:
            """Make one."""
            made = super().__new__(cls)
            made.a = a
            return made

        @remit.span_type
        def __init__(self, a: int) -> None:
            """Fill it."""
            self.b = a

        @remit.span_type
        def __init_subclass__(cls, *, kind: str) -> None:
            """Take note of a subclass."""
            cls.kind = kind

        @remit.span_type
        def __class_getitem__(cls, item: str) -> str:
            """Say what was asked."""
            return item

        @remit.span_type
        def __enter__(self) -> int:
            """Enter."""
            return self.a + self.b

        @remit.span_type
        def __exit__(self, *exc_info: object) -> None:
            """Leave."""

    anything: Anything = Base
    with agent.run():
        type("Sub", (Base,), {}, kind="b")
        assert anything["item"] == "item"
        with anything(3) as entered:
            assert entered == 6
    recorded = [(span.name.rpartition(".")[2], span.payload) for span in recorder.spans()]
    assert recorded == [
        ("__init_subclass__", {"kind": "b"}),
        ("__class_getitem__", {"item": "item"}),
        ("__new__", {"a": 3}),
        ("__init__", {"a": 3}),
        ("__enter__", {}),
        ("__exit__", {"exc_info": [None, None, None]}),
    ]


def test_a_bound_method_is_what_python_binds(recorder: RecordingSink) -> None:
    """Equal, hashable and weakly held as methods are, by signal libraries for one."""
    plain = Plain()
    method: Anything = plain.price
    assert type(method) is MethodType
    assert Plain.price is vars(Plain)["price"]
    cached: Anything = plain.cached
    assert type(cached) is MethodType
    assert weakref.WeakMethod(cached)() == cached
    assert Plain().cached(2) == 6
    assert method == plain.price
    assert method != Plain().price
    held = weakref.WeakMethod(method)
    again: Anything = held()
    with agent.run():
        assert again(2) == 6
    assert recorder.spans()[0].payload == {"pieces": 2}
    del plain, method, again, cached
    gc.collect()
    assert held() is None


def test_hooks_of_the_class_may_say_that_they_are_class_methods(recorder: RecordingSink) -> None:
    """In either order, with the word that Python does not need."""

    class Base:
        kinds: ClassVar[list[str]] = []

        @classmethod
        @remit.span_type
        def __init_subclass__(cls, *, kind: str) -> None:
            cls.kinds.append(kind)

    class Other:
        kinds: ClassVar[list[str]] = []

        @remit.span_type
        @classmethod
        def __init_subclass__(cls, *, kind: str) -> None:
            cls.kinds.append(kind)

    with agent.run():
        for base in (Base, Other):
            type("Sub", (base,), {}, kind="a")
            assert base.kinds == ["a"]
    assert [span.payload for span in recorder.spans()] == [{"kind": "a"}] * 2


def test_receivers_are_known_by_the_kind_of_method_whatever_they_are_called(
    recorder: RecordingSink,
) -> None:
    """Only under another decorator is there nothing but the name to go by."""

    def given(this: object, a: int) -> int:
        return a if this else 0

    def named(self: int) -> int:
        return self

    def made(cls: Anything) -> Anything:
        return object.__new__(cls)

    made.__name__ = "__new__"

    class Desk:
        __new__ = remit.span_type(staticmethod(made))
        of_class: Anything = remit.span_type(classmethod(given))
        of_nothing = remit.span_type(staticmethod(named))
        answering: Anything = remit.agent(classmethod(given))  # type: ignore[call-overload] # as a decorator it has a type
        shown = remit.span_type(property(lambda item: str(item)[:0]))
        preset = remit.span_type(classmethod(functools.partial(given, a=3)))

    with agent.run():
        make: Anything = Desk
        desk: Anything = make()
        assert [desk.of_class(2), desk.of_nothing(2), desk.answering(2)] == [2, 2, 2]
        assert desk.shown == ""
        assert desk.preset() == 3
    assert [span.payload for span in recorder.spans()] == [
        {},
        {"a": 2},
        {"self": 2},
        {"a": 2},
        {},
        {"a": 3},
    ]


class Halving:
    """A decorator that binds by its own `__get__`."""

    def __init__(self, function: Anything) -> None:
        """Keep the function."""
        functools.update_wrapper(self, function)
        self.function = function

    def __call__(self, *args: Anything) -> Anything:
        """Call it, and halve what it returns."""
        return self.function(*args) // 2

    def __get__(self, instance: object, owner: object = None) -> Anything:
        """Bind the object in front."""
        return self if instance is None else functools.partial(self, instance)


def test_what_binds_in_its_own_way_still_does(recorder: RecordingSink) -> None:
    """Descriptors of other libraries, and partial methods asked of the class."""

    class Desk:
        @remit.span_type
        @Halving
        def halved(self, a: int) -> int:
            return a

        def times(self, by: int, a: int) -> int:
            return by * a

        @classmethod
        def of_class(cls, by: int, a: int) -> int:
            return by * a

        @staticmethod
        def of_nothing(by: int, a: int) -> int:
            return by * a

        thrice = remit.span_type(functools.partialmethod(times, 3))
        class_thrice = remit.span_type(functools.partialmethod(of_class, 3))
        static_thrice = remit.span_type(functools.partialmethod(of_nothing, 3))

        measured = remit.span_type(len)

    desk: Anything = Desk()
    open_class: Anything = Desk
    with agent.run():
        assert [desk.halved(4), open_class.halved(desk, 4)] == [2, 2]
        assert [desk.thrice(2), open_class.thrice(desk, 2)] == [6, 6]
        assert [desk.class_thrice(2), open_class.class_thrice(2)] == [6, 6]
        assert [desk.static_thrice(2), open_class.static_thrice(2)] == [6, 6]
        assert desk.measured("ab") == 2
    payloads = [span.payload for span in recorder.spans()]
    assert payloads[:8] == [{"a": 4}] * 2 + [{"a": 2}] * 6
    assert payloads[8] == {"obj": "ab"}


def test_a_function_that_becomes_a_method_later_is_recorded_as_one(
    recorder: RecordingSink,
) -> None:
    """Its receiver is left out, whether it is called bound or not."""

    @remit.span_type
    def price(self: Plain, pieces: int) -> int:
        return self.each * pieces

    @remit.span_type
    def cost(item: Plain, pieces: int) -> int:
        return item.each * pieces

    class Later(Plain):
        """Gets its methods from outside."""

    later: Anything = Later
    later.price, later.cost = price, cost
    with agent.run():
        assert [later().price(2), price(Later(), 2), later().cost(2)] == [6, 6, 6]
    bound, called, other = recorder.spans()
    assert bound.payload == called.payload == {"pieces": 2}
    assert other.payload == {"pieces": 2}
