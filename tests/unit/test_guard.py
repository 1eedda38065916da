"""The guard: faults are counted, said once for each place, and never reach the caller."""

from __future__ import annotations

import logging
import signal
import sys
from asyncio import CancelledError
from collections import Counter
from collections.abc import Callable
from functools import partial
from types import FrameType

import pytest

from remit._base import guard
from remit._base.guard import EscapeError, attempt, guarded, logger, wrap_exit
from remit.errors import DeniedError, Violation
from remit.testing import isolated
from tests.subtests import each

pytestmark = pytest.mark.python


@guarded("the test")
def broken(error: BaseException) -> int:
    """Raise what it is given."""
    raise error


def test_a_fault_is_contained_counted_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """The caller gets None; the text of the error, which may quote data, is not logged."""
    assert broken(ValueError("secret-7")) is None
    assert broken(ValueError("secret-7")) is None
    assert guard.faults.counts["the test"] == 2
    assert len(caplog.records) == 1
    assert "the test (ValueError)" in caplog.text
    assert "secret-7" not in caplog.text


@each("error", [DeniedError("step", [Violation("no")]), KeyboardInterrupt(), SystemExit(1)])
def test_a_denial_and_an_interrupt_pass(error: BaseException) -> None:
    """Governance fails closed, and Ctrl-C is the user's."""
    with pytest.raises(type(error)):
        broken(error)


@each("number", range(6))
def test_any_number_of_arguments_passes_through(number: int) -> None:
    """Before a `/` or after it, with defaults or without."""
    names = [f"a{each}" for each in range(number)]
    values = tuple(range(number))
    for signature in (
        ", ".join([*names, *(["/"] if names else [])]),
        ", ".join(names),
        ", ".join([*(f"{name}=0" for name in names), *(["/"] if names else [])]),
        ", ".join([*names, *(["/"] if names else []), "*rest"]),
    ):
        made = guarded("handing on")(eval(f"lambda {signature}: ({', '.join([*names, ''])})"))
        assert made(*values) == values, signature


def test_the_default_is_returned_after_a_fault() -> None:
    """Callers need not tell a fault from a value."""

    @guarded("the test", "nothing")
    def failing() -> str:
        raise ValueError

    assert failing() == "nothing"


def test_strict_raises() -> None:
    """In tests the same switch lets the fault out."""
    guard.faults.strict = True
    with pytest.raises(ValueError, match="x"):
        broken(ValueError("x"))


def test_what_works_passes_through() -> None:
    """Arguments and the value are the function's own."""

    @guarded("adding")
    def add(a: int, *, b: int) -> int:
        return a + b

    assert add(1, b=2) == 3


def test_an_attempt_returns_what_came_of_it_and_counts_nothing() -> None:
    """That a user's annotation fails is an answer, not a fault of remit's."""
    assert attempt(lambda: 1) == 1
    assert isinstance(attempt(lambda: 1 / 0), ZeroDivisionError)
    assert guard.faults.counts == {}


@each(
    "error",
    [SystemExit(1), GeneratorExit(), CancelledError()],
    ids=lambda error: type(error).__name__,
)
def test_an_attempt_lets_no_exit_of_the_users_code_out(error: BaseException) -> None:
    """A hook that calls `sys.exit()` ends nothing but itself."""

    def leaving() -> None:
        raise error

    answer = attempt(leaving)
    assert isinstance(answer, EscapeError)
    assert answer.__cause__ is error


def test_an_exit_that_a_signal_asked_for_passes(request: pytest.FixtureRequest) -> None:
    """It happens to arrive in a hook; a server that is told to stop has to stop."""

    def stop(number: int, frame: object) -> None:
        del frame
        raise SystemExit(number)

    before = signal.signal(signal.SIGUSR1, stop)
    request.addfinalizer(lambda: signal.signal(signal.SIGUSR1, before))
    with pytest.raises(SystemExit):
        attempt(lambda: signal.raise_signal(signal.SIGUSR1))


class StoppedError(Exception):
    """What a program's signal handler raises."""


def stop(number: int, frame: FrameType | None) -> None:
    """Raise once; a second signal ends the program."""
    signal.signal(number, signal.SIG_DFL)
    raise StoppedError(frame)


def stop_with_any(*_: object) -> None:
    """Raise, and look at no argument."""
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    raise StoppedError


def stop_in_a_function(number: int, frame: FrameType | None) -> None:
    """Raise in a function that uses the frame."""

    def leave() -> None:
        raise StoppedError(frame)

    signal.signal(number, signal.SIG_DFL)
    leave()


class Stopping:
    """Handles a signal by a method or by a call."""

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Raise."""
        stop(number, frame)

    __call__ = stop


@each(
    "handler",
    [
        pytest.param(stop, id="function"),
        pytest.param(stop_with_any, id="any arguments"),
        pytest.param(stop_in_a_function, id="frame in a closure"),
        pytest.param(Stopping().stop, id="method"),
        pytest.param(Stopping(), id="callable object"),
        pytest.param(partial(stop), id="partial"),
    ],
)
def test_what_a_handler_that_replaces_itself_raises_passes(
    handler: Callable[[int, FrameType | None], None],
) -> None:
    """The first signal stops, the second kills: as RQ's workers do it."""
    before = signal.signal(signal.SIGUSR1, handler)

    @guarded("the test")
    def working() -> None:
        signal.raise_signal(signal.SIGUSR1)

    try:
        with pytest.raises(StoppedError):
            working()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_fault_in_a_function_that_gets_a_frame_is_contained() -> None:
    """Only a signal handler gets the frame that it interrupted."""

    def read(frame: FrameType | None, *rest: object) -> None:
        raise LookupError(frame, rest)

    @guarded("the test")
    def working() -> None:
        read(sys._getframe(1), None)

    assert working() is None
    assert guard.faults.counts["the test"] == 1


def test_an_exit_that_was_contained_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """By its own type, not by that of its stand-in."""
    assert broken(wrap_exit(SystemExit(1))) is None
    assert "the test (SystemExit)" in caplog.text


def test_an_attempt_lets_interrupts_pass() -> None:
    """Ctrl-C is the user's, here too."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(interrupted)


class FailingHandler(logging.Handler):
    """Fails at every line."""

    def __init__(self, error: Exception) -> None:
        """Fail with *error*."""
        super().__init__()
        self.error = error

    def emit(self, record: logging.LogRecord) -> None:
        """Raise."""
        del record
        raise self.error


@pytest.mark.parametrize("error", [RecursionError(), OSError()], ids=["stack", "disk"])
def test_a_logging_handler_that_fails_breaks_nothing(
    request: pytest.FixtureRequest, error: Exception
) -> None:
    """The fault is counted; the handler's own error goes nowhere."""
    handler = FailingHandler(error)
    logger.addHandler(handler)
    request.addfinalizer(lambda: logger.removeHandler(handler))
    for _ in range(3):
        assert broken(ValueError()) is None
    assert guard.faults.counts["the test"] == 3


class TooLateError(Exception):
    """What a program's own alarm raises."""


def test_what_a_signals_handler_raises_is_the_hosts(request: pytest.FixtureRequest) -> None:
    """A program's time limit happens to fall into remit, and is no fault of it."""

    def stop(number: int, frame: object) -> None:
        raise TooLateError(number, frame)

    @guarded("the test")
    def interrupted() -> None:
        signal.raise_signal(signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, stop)
    request.addfinalizer(lambda: signal.signal(signal.SIGUSR1, before))
    with pytest.raises(TooLateError):
        interrupted()
    with pytest.raises(TooLateError):
        attempt(lambda: signal.raise_signal(signal.SIGUSR1))
    assert not guard.faults.counts["the test"]


def test_an_isolated_block_counts_its_faults_apart() -> None:
    """A fault in a test's runtime raises there, and is not one of the process."""
    with isolated():
        with pytest.raises(ValueError, match="x"):
            broken(ValueError("x"))
        assert guard.faults.counts == {"the test": 1}
    assert guard.faults.counts == {}
    assert broken(ValueError("x")) is None


def test_a_lack_of_memory_ends_in_the_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """No signal handlers are looked for, and a fault that cannot be counted is not raised."""

    class Full(Counter[str]):
        def __setitem__(self, key: str, value: int) -> None:
            raise MemoryError

    def no_memory(number: int) -> object:
        raise MemoryError(number)

    monkeypatch.setattr(signal, "getsignal", no_memory)
    assert broken(MemoryError()) is None
    assert guard.faults.counts["the test"] == 1
    monkeypatch.setattr(guard.faults, "counts", Full())
    assert broken(MemoryError()) is None
