"""Faults of our own: `python -m tests.faults.own PART PARTS` makes each function of remit raise.

Those that the program below reaches, in any thread, in turn, of each PARTS the one that is asked
for. With `--whole` none that one function of ours alone calls: its fault is met where that one's
is. Prints one line of JSON for each: its name, what came of the program, how many were counted.

`tests.faults.unguarded` lists what has no guard around it, and what counts no fault.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import json
import logging
import pkgutil
import sys
import tempfile
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Annotated, Any, NamedTuple

import remit
from remit.errors import DeclarationError
from tests.fake_api import FakeApi
from tests.faults.unguarded import UNCOUNTED, UNGUARDED, is_listed
from tests.inside import guard, guarded, handing_faults_to, null_run

OWN = "remit."
PACKAGE = str(Path(remit.__file__).parent)
# What is not at work in a program that runs: the command line, the server, the test kit.
ASIDE = ("remit.cli", "remit.collector", "remit.testing", "remit.models", "remit.__main__")


GUARD = guarded("")(pkgutil.walk_packages).__code__
"""The code around a guarded function, and around one that decides whether a step may run."""
MOST_FAULTS = 200
"""Most calls of one function that raise: a walk over types calls some of them very often."""
MEET_S = 60.0
"""A function that is not reached by then is not reached."""
COUNT_S = 60.0
SHUTDOWN_S = 0.5


class OwnFaultError(RuntimeError):
    """The fault that is planted."""


class Place(NamedTuple):
    """One function of ours, and how to put another in its place."""

    name: str
    owner: Any
    attribute: str
    value: Any

    @property
    def inner(self) -> Callable[..., Any]:
        """The function, inside its guard if it has one."""
        inner: Any = getattr(self.value, "__func__", getattr(self.value, "fget", self.value))
        unwrapped: Callable[..., Any] = inspect.unwrap(inner)
        return unwrapped

    @property
    def code(self) -> CodeType | None:
        """The code of the function."""
        return getattr(self.inner, "__code__", None)


class Program:
    """A program with a step of each kind, declared anew: nothing about it is known yet."""

    def __init__(self) -> None:  # noqa: C901 - the steps are declared in it
        """Declare the steps and the agents."""

        @remit.span_type
        def add(one: int, other: int = 2) -> int:
            return one + other

        @remit.span_type
        def refuse(reason: str) -> None:
            raise KeyError(reason)

        @remit.span_type(capture={"words": True})
        def count(words: list[str], **more: object) -> dict[str, int]:
            return {"words": len(words), "more": len(more)}

        @remit.span_type
        def numbers(upto: int) -> Generator[int, int | None, str]:
            yield from range(upto)
            return "end"

        @remit.span_type
        def lines(upto: int) -> Iterator[str]:
            return map(str, range(upto))

        @remit.span_type
        async def wait(number: int) -> int:
            await asyncio.sleep(0)
            return number

        @remit.span_type
        async def stream(upto: int) -> AsyncGenerator[int]:
            for each in range(upto):
                yield each

        @remit.span_type
        def address(
            number: int,
        ) -> Annotated[str, remit.Sensitive("contact_information")]:
            return f"ada{number}@example.com"

        @remit.span_type(data_risk=remit.risk(excludes="contact_information"))
        def track(event: object) -> object:
            return event

        class Desk:
            @remit.span_type
            def greet(self, name: str) -> str:
                return f"Dear {name}"

        @remit.agent(
            data_risk=remit.risk(forbids="destroy_data"),
            limits=remit.limits(steps=1_000_000),
            quality={"score": {"type": "object"}},
        )
        def answer(question: str) -> list[object]:
            found: list[object] = [add(1), add(1, other=3), count(["a"], b=1)]
            found += [Desk().greet(question), list(numbers(3)), list(lines(2))]
            found.append(track({"é": [1, address(2)]}))
            with suppress(KeyError):
                refuse("no")
            return found

        @remit.agent
        async def answer_async(question: str) -> list[object]:
            return [await wait(len(question)), [each async for each in stream(3)]]

        self.add, self.answer, self.answer_async = add, answer, answer_async

    def run(self, met: Callable[[], object] = lambda: False) -> list[object]:
        """Run everything once; return what it computed.

        Args:
            met: Tells whether it is no longer of interest that all is delivered.
        """
        found: list[object] = [self.answer("Ada")]
        about = remit.about(conversation="thread", on_behalf_of="Bob")
        with about, self.answer.run(subject="Ada", labels=["a"]) as run:
            found.append(self.answer("Ada"))
            with remit.span("plan", {"goal": "x"}) as span:
                span.set_result({"steps": 1})
            run.record_quality("score", {"value": 1})
            found.append(remit.copy_context(self.add)(3))
        found.append(asyncio.run(self.answer_async("Ada")))
        over = time.monotonic() + MEET_S
        while not remit.flush(0.05) and not met() and time.monotonic() < over:
            pass
        return found


def places(*, loaded: bool = False) -> Iterator[Place]:
    """Yield every function and method of ours that is at work in a program that runs.

    With *loaded*, only those of modules that are imported.
    """
    names = [found.name for found in pkgutil.walk_packages(remit.__path__, OWN)]
    if loaded:
        names = [name for name in sys.modules if name.startswith(OWN)]
    for each in names:
        if each.startswith(ASIDE):
            continue
        with suppress(DeclarationError):  # an integration whose framework is not installed here
            yield from _places_in(importlib.import_module(each))


def _places_in(module: ModuleType) -> Iterator[Place]:
    """Yield the functions and methods that a module defines."""
    for name, value in list(vars(module).items()):
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if isinstance(value, FunctionType):
            yield Place(f"{module.__name__}.{name}", module, name, value)
        elif inspect.isclass(value):
            for method, inner in list(vars(value).items()):
                if isinstance(inner, FunctionType | staticmethod | classmethod | property):
                    yield Place(f"{module.__name__}.{name}.{method}", value, method, inner)


def guard_of(value: object) -> Callable[[Any], Any] | None:
    """Return the guard that a function has, to guard another with; None if it has none."""
    if not isinstance(value, FunctionType) or value.__code__ is not GUARD:
        return None
    given = inspect.getclosurevars(value).nonlocals
    return handing_faults_to(given["react"], given["default"], passes=given["passes"])


def at_once() -> bool:
    """Return True."""
    return True


@contextmanager
def faulty(
    place: Place,
    callers: list[str],
    most: int = MOST_FAULTS,
    begins: Callable[[], bool] = at_once,
) -> Generator[None]:
    """Make one function raise, inside its guard if it has one, wherever it was imported to.

    Args:
        place: The function.
        callers: Gets the file of each caller.
        most: The calls beyond these do not raise.
        begins: Tells whether calls raise by now.
    """

    def fault(*args: object, **kwargs: object) -> object:
        if len(callers) == most or not begins():
            return place.inner(*args, **kwargs)
        callers.append(sys._getframe(1).f_code.co_filename)  # noqa: SLF001 - who calls
        raise OwnFaultError(place.name)

    guard = guard_of(place.value)
    value: Any = fault if guard is None else guard(fault)
    if isinstance(place.value, property | staticmethod | classmethod):
        value = type(place.value)(value)
    owners = [place.owner]
    if isinstance(place.owner, ModuleType):
        loaded = [each for name, each in sys.modules.items() if name.startswith("remit")]
        owners = [each for each in loaded if vars(each).get(place.attribute) is place.value]
    for owner in owners:
        setattr(owner, place.attribute, value)
    try:
        yield
    finally:
        for owner in owners:
            setattr(owner, place.attribute, place.value)


@contextmanager
def configured(**settings: Any) -> Generator[None]:
    """Deliver to a server in memory, with a spool in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        remit.configure(
            api_url="http://api.example",
            api_token="pf_0123456789abcdef",
            mode="remote",
            transport=FakeApi().transport,
            flush_interval_s=0.01,
            data_dir=folder,
            **settings,
        )
        try:
            yield
        finally:
            remit.shutdown(SHUTDOWN_S)


@contextmanager
def watched() -> Generator[dict[CodeType, set[CodeType]]]:
    """Note the code that runs in the block, with what called it."""
    callers: dict[CodeType, set[CodeType]] = defaultdict(set)

    def note(frame: FrameType, event: str, argument: object) -> None:
        del argument
        if event == "call" and frame.f_back is not None:
            callers[frame.f_code].add(frame.f_back.f_code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield callers
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def reached() -> tuple[list[object], dict[CodeType, set[CodeType]]]:
    """Run the program as it is; return its results, and what called the code that ran."""
    with watched() as callers, configured():
        found = Program().run()
    return found, callers


def meet(place: Place, expected: list[object]) -> dict[str, object]:
    """Run the program while one function raises."""
    callers: list[str] = []
    before = sum(guard.faults.counts.values())

    def counted() -> int:
        return sum(guard.faults.counts.values()) - before

    with configured():
        program = Program()  # afterwards: `configure()` reads the types of what is declared
        with faulty(place, callers):
            try:
                same = program.run(lambda: callers) == expected
                outcome = "the same" if same else "another result"
            except BaseException as error:  # noqa: BLE001 - what reaches the program is the answer
                frames = traceback.extract_tb(error.__traceback__)
                outcome = " ".join(f"{Path(each.filename).name}:{each.lineno}" for each in frames)
    inside = sum(caller.startswith(PACKAGE) for caller in callers)
    uncounted = is_listed(place.name, UNCOUNTED)
    over = time.monotonic() + COUNT_S
    # The thread that met it may be about to count it.
    while inside and not uncounted and not counted() and time.monotonic() < over:
        threading.Event().wait(0.01)
    return {
        "name": place.name,
        "outcome": outcome,
        "inside": inside,
        "counted": counted(),
        "uncounted": uncounted,
    }


def main() -> None:
    """Meet the faults that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", type=int)
    parser.add_argument("parts", type=int)
    parser.add_argument("--whole", action="store_true")
    options = parser.parse_args()
    logging.disable()
    # What stands behind a run that did not open is made once, at the first fault.
    null_run()
    results, callers = reached()
    every = list(places())
    ours = {place.code for place in every}
    for place in every[options.part :: options.parts]:
        called_by = set[CodeType]() if place.code is None else callers.get(place.code, set())
        one_of_ours = len(called_by) == 1 and called_by <= ours
        is_unguarded = is_listed(place.name, UNGUARDED)
        if called_by and not (options.whole and one_of_ours) and not is_unguarded:
            print(json.dumps(meet(place, results)), flush=True)  # noqa: T201 - what the test reads


if __name__ == "__main__":
    main()
