"""What is decorated pickles and copies as the bare one does, and is recorded where it arrives."""

from __future__ import annotations

import copy
import functools
import math
import pickle
from typing import Any, TypeAlias

import pytest

import remit
from remit.testing import RecordingSink, isolated
from tests.desk import agent
from tests.kinds import Times, TimesSoon, triple
from tests.subtests import each

pytestmark = pytest.mark.python

Anything: TypeAlias = Any


@remit.span_type
def named(a: int) -> int:
    """Multiply."""
    return a * 3


@remit.span_type
@functools.cache
def cached(a: int) -> int:
    """Multiply."""
    return a * 3


class Service:
    """Methods of every kind."""

    def __init__(self, factor: int = 3) -> None:
        """Multiply by so much."""
        self.factor = factor

    @remit.span_type
    def method(self, a: int) -> int:
        """Multiply."""
        return a * self.factor

    @remit.agent
    def answer(self, a: int) -> int:
        """Multiply."""
        return a * self.factor

    @remit.span_type
    @classmethod
    def outer_class(cls, a: int) -> int:
        """Multiply."""
        return a * 3

    @remit.span_type
    @staticmethod
    def outer_static(a: int) -> int:
        """Multiply."""
        return a * 3

    @staticmethod
    @remit.span_type
    def inner_static(a: int) -> int:
        """Multiply."""
        return a * 3

    def times(self, by: int, a: int) -> int:
        """Multiply."""
        return a * by

    thrice = remit.span_type(functools.partialmethod(times, 3))


step = remit.span_type(Times(3))
aliased = remit.span_type("aliased")(triple)
answering = remit.agent("Answering", version="2")(Times(3))
of_object = remit.span_type(Times(3).__call__)
preset = remit.span_type("preset", capture={"by": False})(functools.partial(triple, by=3))
product = remit.span_type(math.fabs)

PLACES: dict[str, Anything] = {
    "function": named,
    "cached": cached,
    "alias": aliased,
    "object": step,
    "agent-object": answering,
    "bound-method-decorated": of_object,
    "partial": preset,
    "builtin": product,
    "method": Service().method,
    "agent-method": Service().answer,
    "class-method": Service.outer_class,
    "outer-static": Service.outer_static,
    "inner-static": Service.inner_static,
    "partial-method": Service().thrice,
}
CLONES: dict[str, Anything] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda given: pickle.loads(pickle.dumps(given)),
}


@each("clone", list(CLONES.values()), ids=list(CLONES))
@each("original", list(PLACES.values()), ids=list(PLACES), recorder=isolated)
def test_a_clone_is_recorded_as_the_original_is(
    recorder: RecordingSink, clone: Anything, original: Anything
) -> None:
    """Same name, same payload: what was said of the original holds for the clone."""
    cloned = clone(original)
    assert cloned.__class__ is original.__class__
    with agent.run():
        assert cloned(2) == original(2)
    first, second = recorder.spans()
    assert (first.name, first.payload) == (second.name, second.payload)


@each("clone", list(CLONES.values()), ids=list(CLONES))
@each("original", [named, cached, agent], ids=["function", "cached", "agent"])
def test_what_has_a_name_in_its_module_is_its_own_clone(
    clone: Anything, original: Anything
) -> None:
    """As a bare function, which pickles by its name."""
    assert clone(original) is original


@pytest.mark.parametrize("clone", ["deepcopy", "pickle"])
def test_a_clone_of_an_object_has_a_state_of_its_own(recorder: RecordingSink, clone: str) -> None:
    """The object is copied, and so is what a bound method is bound to."""
    cloned, method = CLONES[clone](step), CLONES[clone](Service(4).method)
    cloned.by = 5
    with agent.run():
        assert (cloned(2), step(2), method(2)) == (10, 6, 8)
    assert len(recorder.spans()) == 3


def test_a_function_inside_another_cannot_be_pickled_as_the_bare_one_cannot() -> None:
    """The error is that of the bare function."""
    with isolated():

        def local() -> None:
            """Be nowhere to be found."""

        with pytest.raises((AttributeError, pickle.PicklingError), match="local"):
            pickle.dumps(remit.span_type(local))


def test_a_clone_of_an_async_object_is_awaited(recorder: RecordingSink) -> None:
    """The kind of the call survives."""
    cloned = copy.deepcopy(remit.span_type(TimesSoon(3)))
    pending = cloned.__call__(2)
    pending.close()
    assert recorder.spans() == []
