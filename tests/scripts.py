"""Random scripts: what is done to a generator or coroutine, and all that can be observed of it."""

from __future__ import annotations

import contextvars
import gc
import logging
import random
import sys
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, TypeAlias

import remit

Trace: TypeAlias = list[object]

LAST_STEPS: Final = 12
"""More than any body has left: those that must not be dropped are stepped to their end."""

FORGETS: Final = "forgets"
"""A body that yields on `GeneratorExit`. It is not dropped: Python gives up on the bare one then,
and on ours one collection later."""
ACTIONS: Final = (
    *("yield", "yield", "catch", "swallow", "raise", "return"),
    *("raise-on-exit", FORGETS),
    *("section", "section of another run"),
)
STEPS: Final = ("next", "next", "next", "send", "throw", "exit", "stop", "base", "close", "drop")


class OddError(BaseException):
    """Neither an exception of the user's nor one of Python's."""


@remit.agent
def other() -> None:
    """Hold the runs that a body opens."""


@dataclass(frozen=True)
class Script:
    """One random program and what is done to it.

    Attributes:
        seed: What it was made from; named in a failing comparison.
        body: What the program does, step by step.
        steps: What its consumer does: the act, a number for it, and where it is done.
    """

    seed: int
    body: tuple[str, ...]
    steps: tuple[tuple[str, int, str], ...]

    @classmethod
    def random(
        cls,
        seed: int,
        acts: tuple[str, ...],
        places: tuple[str, ...],
        unfit: frozenset[str] = frozenset({"drop", "leave"}),
    ) -> Script:
        """Return the script of *seed*, without acts that are *unfit* for a body that forgets."""
        dice = random.Random(seed)
        body = tuple(dice.choices(ACTIONS, k=dice.randint(1, 5)))
        steps = [
            (dice.choice(acts), dice.randint(0, 3), dice.choice(places))
            for _ in range(dice.randint(1, 8))
        ]
        if FORGETS in body:
            steps = [each for each in steps if each[0] not in unfit]
        return cls(seed, body, tuple(steps))


def error_of(act: str, number: int) -> BaseException:
    """Return the exception that an act throws in."""
    kinds: dict[str, Callable[[], BaseException]] = {
        "throw": lambda: ValueError(number),
        "exit": GeneratorExit,
        "stop": lambda: StopIteration(number),
        "stop-async": StopAsyncIteration,
        "base": lambda: OddError(number),
    }
    return kinds[act]()


@dataclass
class Scene:
    """One playing of a script.

    Attributes:
        script: What is played.
        name: Span type of what plays, None for the bare one.
        consumer: The consumer's own span, None for the bare one.
        air: What an asynchronous body awaits in.
        trace: All that can be observed, in order.
        started: Whether the body has begun.
        left: Whether it has ended.
        left_by: With what it ended, if by an exception.
        unstarted: How the span ends if the body never begins; `none` without a span.
        fate: How its span has to end: a status, `none` without a span, None while it is open.
    """

    script: Script
    name: str | None = None
    consumer: object = None
    air: Any = None
    trace: Trace = field(default_factory=list[object])
    started: bool = False
    left: bool = False
    left_by: type[BaseException] | None = None
    unstarted: ClassVar[str] = "none"
    fate: str | None = None

    def __enter__(self) -> None:
        """Begin the body."""
        self.started = True

    def __exit__(self, left_by: type[BaseException] | None, *_: object) -> None:
        """End the body."""
        self.left = True
        self.left_by = left_by

    def inside(self) -> None:
        """Note from the body whose span is current there."""
        current = remit.current_span()
        self.trace.append(("inside", self.name is None or (current and current.name == self.name)))

    @contextmanager
    def section(self, action: str) -> Generator[None]:
        """Hold a block open over a step, if *action* says so; note if it still is current."""
        if not action.startswith("section"):
            yield
            return
        block: AbstractContextManager[object] = nullcontext()
        if self.name is not None:
            block = remit.span("section") if action == "section" else other.run()
        with block:
            current = remit.current_span()
            try:
                yield
            finally:
                self.trace.append(("section", remit.current_span() == current))

    def outside(self) -> None:
        """Note from the consumer that its own span is current there."""
        self.trace.append(("outside", self.consumer == remit.current_span()))

    @property
    def must_end(self) -> bool:
        """Whether the body must not be dropped, and has not ended."""
        return FORGETS in self.script.body and self.fate is None

    def came(self, item: object) -> None:
        """Note an item."""
        self.trace.append(("item", item))

    def closed(self) -> None:
        """Note a close without an error."""
        self.trace.append("closed")
        self._end("cancelled")

    def raised(self, act: str, error: BaseException, interrupts: tuple[type, ...] = ()) -> None:
        """Note what the consumer sees of an exception, and what it means for the span."""
        value = error.value if isinstance(error, StopIteration) else None
        links = (type(error.__cause__), type(error.__context__))
        # A cancellation's text tells who did it, and where that object is.
        text = "" if isinstance(error, interrupts) else str(error)
        self.trace.append((type(error), text, repr(value), *links))
        refused = isinstance(error, TypeError) and "just-started" in str(error)
        if refused or (self.started and not self.left):
            return
        if isinstance(error, (StopIteration, StopAsyncIteration)):
            self._end("cancelled" if act == "exit" else "complete")
        else:
            cancelled = isinstance(error, (GeneratorExit, *interrupts))
            self._end("cancelled" if cancelled else "failed")

    def dropped(self) -> None:
        """Note that nobody holds it any more."""
        self.trace.append("dropped")
        self._end("failed" if self.left_by is KeyError else "cancelled")

    def _end(self, status: str) -> None:
        if self.fate is None:
            self.fate = status if self.started else self.unstarted


def react(scene: Scene, place: int, action: str, error: GeneratorExit) -> bool:
    """Do what *action* does on a close; True to return, False to yield once more."""
    scene.trace.append("exit")
    if action == "raise-on-exit":
        raise KeyError(place) from None
    if action == FORGETS:
        return False
    if action != "swallow":
        raise error
    return True


def sync_body(scene: Scene) -> Generator[object, object, object]:
    """Run the script's body."""
    with scene:
        try:
            for place, action in enumerate(scene.script.body):
                scene.inside()
                try:
                    if action == "raise":
                        raise KeyError(place)
                    if action == "return":
                        return place
                    with scene.section(action):
                        scene.trace.append(("got", (yield (place, action))))
                except ValueError as error:
                    scene.trace.append(("caught", repr(error)))
                    if action != "catch":
                        raise
                except GeneratorExit as error:
                    if react(scene, place, action, error):
                        return "swallowed"
                    yield "ignored"
                    raise
        finally:
            scene.inside()
            scene.trace.append("finally")
    return "end"


def somewhere(where: str, act: Callable[[], Any]) -> Any:
    """Do *act* here, in another context, or on another thread."""
    if where == "here":
        return act()
    if where == "copy":
        return contextvars.copy_context().run(act)
    if where == "empty":
        return contextvars.Context().run(act)
    values: list[Any] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            values.append(act())
        except BaseException as error:  # noqa: BLE001 - raised again by the caller
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if errors:
        raise errors.pop()  # popped: it holds this frame, and the frame would hold it
    return values.pop()


@contextmanager
def watched(trace: Trace) -> Generator[None]:
    """Note every log line, warning and unraisable exception of this block in *trace*."""
    handler = _Noting(trace)
    hook, sys.unraisablehook = (
        sys.unraisablehook,
        lambda it: trace.append(("unraisable", it.exc_type)),
    )
    logging.getLogger().addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            yield
            gc.collect()
        trace.extend(("warning", each.category) for each in heard)
    finally:
        logging.getLogger().removeHandler(handler)
        sys.unraisablehook = hook


class _Noting(logging.Handler):
    def __init__(self, trace: Trace) -> None:
        super().__init__(logging.WARNING)
        self._trace = trace

    def emit(self, record: logging.LogRecord) -> None:
        """Note name and level: texts show addresses."""
        self._trace.append(("log", record.name, record.levelname))
