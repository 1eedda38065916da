"""The guard: catches and counts remit's own faults, so that they never reach the program.

Each entrance from user code into remit is guarded. A fault is counted by place and logged once for
each place, and the user's call goes on. Denials pass, because governance fails closed. Exceptions
that a signal handler of the program raised inside remit pass as well.
"""

from __future__ import annotations

import inspect
import logging
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial, wraps
from types import FrameType
from typing import Final, ParamSpec, TypeVar, overload

from remit._base.text import printable
from remit.errors import DeniedError

P = ParamSpec("P")
T = TypeVar("T")
D = TypeVar("D")


class OneLine(logging.Filter):
    """Shows control characters of a message as code points, for all handlers of the program.

    Names that servers and models choose are in messages. They must not end a line, move the cursor
    of a terminal, or change the direction of writing.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace the message of *record* if it has such characters; return True."""
        try:
            message = record.getMessage()
        except Exception:
            return True
        if not message.isprintable():
            record.msg, record.args = printable(message), ()
        return True


logger: Final = logging.getLogger("remit")
logger.addFilter(OneLine())

_FULL: Final = (RecursionError, MemoryError)
"""The errors of a full stack or memory. A tuple: `X | Y` would take memory."""


class EscapeError(Exception):
    """Replaces an exit such as `sys.exit()` that a user's hook raised; the exit is its cause."""


class Faults:
    """Counts faults inside remit, by place.

    Attributes:
        strict: Raise faults instead of containing them.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self.strict = strict

    def contain(self, where: str, error: BaseException) -> None:
        """Count *error* at *where* and log the first of each place, without its message.

        The message may quote data of the program. While memory is short, a fault may go uncounted.

        Raises:
            BaseException: *error* itself if it is not a fault (an exit, or what a signal handler
                raised), and if `strict` is set.
        """
        if not isinstance(error, Exception) or raised_by_signal_handler(error):
            raise error
        try:
            self.counts[where] += 1
        except MemoryError:
            return
        if self.strict:
            raise error
        if self.counts[where] > 1:
            return
        try:
            cause = error.__cause__ if isinstance(error, EscapeError) else error
            logger.warning(
                "a fault inside remit at %s (%s) was contained; your program is not affected. "
                "Later faults are counted in remit.status().faults",
                where,
                type(cause).__qualname__,
            )
        except Exception as failed:  # a logging handler of the program's
            if raised_by_signal_handler(failed):
                raise


faults = Faults()
"""The faults of the current runtime: of the process, or of an isolated block.

It changes with the runtime, so read it as `guard.faults`; do not import it by name.
"""


@contextmanager
def counting(counted: Faults) -> Generator[Faults]:
    """Count faults in *counted* within the block."""
    global faults  # noqa: PLW0603 - guards have no access to the runtime
    previous, faults = faults, counted
    try:
        yield counted
    finally:
        faults = previous


def contain(where: str, error: BaseException) -> None:
    """Count *error* in the faults of the current runtime, as `Faults.contain` does."""
    faults.contain(where, error)


def attempt(function: Callable[[], T]) -> T | Exception:
    """Return what *function* returns, or the exception that it raised.

    For user code whose failure is a valid answer, such as an annotation or a type's schema; nothing
    is counted. An exit becomes an `EscapeError`. Ctrl-C and exceptions of signal handlers pass.
    """
    try:
        return function()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if raised_by_signal_handler(error):
            raise
        return error if isinstance(error, Exception) else wrap_exit(error)


def wrap_exit(error: BaseException) -> EscapeError:
    """Return an `EscapeError` caused by *error*."""
    replacement = EscapeError(type(error).__qualname__)
    replacement.__cause__ = error
    return replacement


def raised_by_signal_handler(error: BaseException) -> bool:
    """Return whether a Python signal handler of the program raised *error*.

    No handler raises the errors of a full stack or memory, and there is no room to look for one.
    """
    if isinstance(error, _FULL):
        return False
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if any(map(_has_interrupted_frame, frames)):
        return True
    codes = _codes_of_signal_handlers()
    return any(frame.f_code in codes for frame in frames)


def _has_interrupted_frame(frame: FrameType) -> bool:
    """Return whether *frame* is the call of a signal handler, as far as its arguments say.

    Python passes the interrupted frame to a handler, and it is also the frame that called it. So a
    handler is found that replaced itself before it raised.
    """
    interrupted, code = frame.f_back, frame.f_code
    has_rest = code.co_flags & inspect.CO_VARARGS
    if interrupted is None or not (code.co_argcount or has_rest):
        return False
    names = frame.f_locals
    arguments = [names.get(name) for name in code.co_varnames[: code.co_argcount]]
    if has_rest:
        rest = names.get(code.co_varnames[code.co_argcount + code.co_kwonlyargcount])
        arguments += rest if isinstance(rest, tuple) else ()
    return any(argument is interrupted for argument in arguments)


def _codes_of_signal_handlers() -> set[object]:
    """Return the code of the installed handlers, for one that deleted its argument."""
    try:
        handlers = [signal.getsignal(number) for number in range(1, signal.NSIG)]
    except Exception:
        return set()
    return {getattr(handler, "__code__", None) for handler in handlers}


@overload
def guarded(
    where: str, *, passes: tuple[type[Exception], ...] = ...
) -> Callable[[Callable[P, T]], Callable[P, T | None]]: ...
@overload
def guarded(
    where: str, default: D, *, passes: tuple[type[Exception], ...] = ...
) -> Callable[[Callable[P, T]], Callable[P, T | D]]: ...
def guarded(
    where: str, default: D | None = None, *, passes: tuple[type[Exception], ...] = (DeniedError,)
) -> Callable[[Callable[P, T]], Callable[P, T | D | None]]:
    """Return a decorator that contains the faults of a function.

    Args:
        where: The place in words, for the count and the log line.
        default: What the decorated function returns after a fault.
        passes: Exception types that are raised to the caller instead of being contained.
    """
    return handing_faults_to(partial(contain, where), default, passes=passes)


def handing_faults_to(
    react: Callable[[Exception], object], default: D, *, passes: tuple[type[Exception], ...]
) -> Callable[[Callable[P, T]], Callable[P, T | D]]:
    """Return a decorator that calls *react* with a fault, and then returns *default*."""

    def decorate(function: Callable[P, T]) -> Callable[P, T | D]:
        @wraps(function)
        def guarding(*args: P.args, **kwargs: P.kwargs) -> T | D:
            __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
            try:
                return function(*args, **kwargs)
            except passes:
                raise
            except Exception as error:
                fault = error
            try:
                react(fault)
            finally:
                del fault  # its traceback refers to this frame
            return default

        return guarding

    return decorate
