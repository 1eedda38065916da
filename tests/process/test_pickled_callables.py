"""Decorated callables in process pools: they arrive decorated, and are recorded there."""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import remit
from remit.testing import isolated


@remit.agent
def answer(a: int) -> int:
    """Triple."""
    return a * 3


@remit.span_type
def triple(a: int) -> int:
    """Triple."""
    return a * 3


class Times:
    """Multiplies, as an object and by its methods."""

    def __init__(self, by: int) -> None:
        """Multiply by so much."""
        self.by = by

    def __call__(self, a: int) -> int:
        """Multiply."""
        return a * self.by

    @remit.span_type
    def method(self, a: int) -> int:
        """Multiply."""
        return a * self.by

    @remit.span_type
    @classmethod
    def of_class(cls, a: int) -> int:
        """Triple."""
        return a * 3


def in_the_child(given: Callable[[int], int]) -> tuple[int, str, dict[str, object] | None]:
    """Return what a call gives and how it was recorded, in the process that this runs in."""
    with isolated() as sink:
        with answer.run():
            result = given(2)
        span = sink.spans()[0]
    return result, span.name, span.payload


def test_callables_arrive_in_another_process_decorated() -> None:
    """They are pickled by name, by object and name, or by their parts, and keep their names."""
    sent: list[Callable[[int], int]] = [
        triple,
        answer,
        Times(3).method,
        Times.of_class,
        remit.span_type("an object")(Times(3)),
        remit.span_type("a partial")(functools.partial(Times.__call__, Times(3))),
        remit.span_type("a bound method")(Times(3).__call__),
    ]
    here = [in_the_child(each) for each in sent]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        there = list(pool.map(in_the_child, sent))
    assert there == here
    assert {(result, str(payload)) for result, _, payload in there} == {(6, "{'a': 2}")}
    assert [name for _, name, _ in there][4:] == ["an object", "a partial", "a bound method"]
