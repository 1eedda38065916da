"""The guard: a fault of remit's own, or of a user's hook, never reaches the host program.

Every door from the host into remit is wrapped by `guarded`. A fault is counted by place and
logged once for each place; the host's call goes on. What passes is a denial, for telemetry fails
open and governance fails closed, and what a signal's handler raised, which is the host's.
"""

from __future__ import annotations

import logging
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import wraps
from inspect import CO_VARARGS, CO_VARKEYWORDS
from types import CodeType
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar

from remit.errors import DeniedError

P = ParamSpec("P")
T = TypeVar("T")
_Function: TypeAlias = Callable[..., object]
_Passes: TypeAlias = tuple[type[Exception], ...]

logger: Final = logging.getLogger("remit")

STACK_END: Final = "the end of the stack"
# An alarm each millisecond during the longest exit, which ends by its own deadline.
MAX_INTERRUPTIONS: Final = 100_000


class EscapeError(Exception):
    """Stands for what a user's code raised and remit does not let out: `sys.exit()` in a hook."""


class Faults:
    """What went wrong inside remit, by place.

    Attributes:
        counts: Number of faults for each place.
        strict: Raise instead of swallowing.
        uncounted: Faults beyond the end of the stack, where nothing could be called; the next one
            elsewhere counts them.
    """

    def __init__(self, *, strict: bool = False) -> None:
        """Start with nothing wrong."""
        self.counts: Counter[str] = Counter()
        self.strict = strict
        self.uncounted = 0
        self._unsaid: set[str] = set()

    def record(self, where: str, error: Exception) -> None:
        """Count *error* at *where*, log the first of each place, raise it when strict.

        A line that could not be logged is said of the next fault there.
        """
        self.counts[where] += 1
        if self.strict:
            raise error
        if self.uncounted:
            missed, self.uncounted = self.uncounted, 0
            self.counts[STACK_END] += missed
        if self.counts[where] == 1 or where in self._unsaid:
            self._unsaid.discard(where)
            try:
                self._say(where, error)
            except Exception as failed:
                # A handler of the user's failed, or no stack is left.
                self._unsaid |= {where}
                if is_of_a_signal(failed):
                    raise
            except BaseException:
                self._unsaid |= {where}
                raise

    def _say(self, where: str, error: Exception) -> None:
        """Log a fault, without its text: that may quote a user's data."""
        seen = error.__cause__ if isinstance(error, EscapeError) else error
        logger.warning(
            "a fault inside remit at %s (%s) was contained; your program is not affected. "
            "Later ones are counted in remit.status().faults",
            where,
            type(seen).__qualname__,
        )

    def contain(self, where: str, error: BaseException) -> None:
        """Record *error* at *where*; what is no fault, an exit or a signal's, is raised again."""
        if not isinstance(error, Exception):
            raise error
        if is_of_a_signal(error):
            raise error
        if error.__cause__ is not None and is_of_a_signal(error.__cause__):
            # A library wrapped it.
            raise error.__cause__
        self.record(where, error)


faults = Faults()
"""The faults of the current runtime: of the process, or of an isolated block.

It changes with the runtime, so it is read as `_guard.faults` where it is used, never imported by
name. Reading it is no call, which the end of the stack would not allow.
"""


@contextmanager
def counting(own: Faults) -> Generator[Faults]:
    """Count faults in *own* within the block."""
    global faults  # noqa: PLW0603 - the guards have no runtime to ask
    was, faults = faults, own
    try:
        yield own
    finally:
        faults = was


def attempt(function: Callable[[], T]) -> T | Exception:
    """Return what *function* returns, or the exception with which it failed.

    For what is the user's and must be asked all the same: an annotation, the schema of a type.
    That it fails is an answer, not a fault of remit's, so nothing is counted. An exit is one too;
    Ctrl-C, and an exit that a signal asked for, are the program's and pass.
    """
    try:
        return function()
    except Exception as error:
        if is_of_a_signal(error):
            raise
        return error
    except BaseException as error:
        if is_of_a_signal(error):
            raise
        return escaped(error)


def escaped(error: BaseException) -> EscapeError:
    """Return what stands for *error* within remit."""
    standing = EscapeError(type(error).__qualname__)
    standing.__cause__ = error
    return standing


def is_of_a_signal(error: BaseException) -> bool:
    """Return whether a signal raised *error*, in whatever code it happened to interrupt."""
    if isinstance(error, KeyboardInterrupt | RecursionError):
        return isinstance(error, KeyboardInterrupt)
    handlers = map(signal.getsignal, signal.valid_signals())
    codes = [getattr(handler, "__code__", None) for handler in handlers]
    return any(frame.f_code in codes for frame, _ in traceback.walk_tb(error.__traceback__))


def insist(act: Callable[[], None]) -> None:
    """Do *act*, which goes on where it was broken off, whatever a signal's handler raises in it.

    For the exit: an alarm that nobody turned off must not cost what was recorded, and without remit
    there would be no code that it could interrupt. Ctrl-C passes.
    """
    for _ in range(MAX_INTERRUPTIONS):
        try:
            act()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if not is_of_a_signal(error):
                raise
        else:
            return


def guarded(
    where: str, *, passes: tuple[type[Exception], ...] = (DeniedError,)
) -> Callable[[Callable[P, T]], Callable[P, T | None]]:
    """Return a decorator that keeps faults of the function from its caller.

    Args:
        where: The place in words, for the count and the log line.
        passes: What is no fault of remit's, and is for the caller: a denial, a misuse.

    Returns:
        A decorator; the decorated function returns `None` when a fault was contained.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T | None]:
        make: Any = _EXACT.get(_exact_arguments(function), _any_arguments)
        contained: Callable[P, T | None] = wraps(function)(make(function, where, passes))
        return contained

    return decorate


def _exact_arguments(function: Any) -> int | None:  # noqa: ANN401 - any function
    """Return how many arguments *function* takes if all of them stand before a `/`, else None."""
    code: CodeType | None = getattr(function, "__code__", None)
    if code is None or function.__defaults__ or code.co_kwonlyargcount:
        return None
    if code.co_flags & (CO_VARARGS | CO_VARKEYWORDS) or code.co_argcount != code.co_posonlyargcount:
        return None
    return code.co_argcount


def _any_arguments(function: _Function, where: str, passes: _Passes) -> _Function:
    def contained(*args: object, **kwargs: object) -> object:
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        try:
            return function(*args, **kwargs)
        except passes:
            raise
        except Exception as error:  # noqa: BLE001 - this is the one place that may
            # Beyond the end of the stack nothing can be called; so nothing is, to note that.
            try:
                faults.contain(where, error)
            except RecursionError:
                if faults.strict:
                    raise
                faults.uncounted += 1
            return None

    return contained


def _two_arguments(function: _Function, where: str, passes: _Passes) -> _Function:
    def contained(one: object, two: object, /) -> object:
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        try:
            return function(one, two)
        except passes:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            # Beyond the end of the stack nothing can be called; so nothing is, to note that.
            try:
                faults.contain(where, error)
            except RecursionError:
                if faults.strict:
                    raise
                faults.uncounted += 1
            return None

    return contained


def _four_arguments(function: _Function, where: str, passes: _Passes) -> _Function:
    def contained(one: object, two: object, three: object, four: object, /) -> object:
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        try:
            return function(one, two, three, four)
        except passes:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            # Beyond the end of the stack nothing can be called; so nothing is, to note that.
            try:
                faults.contain(where, error)
            except RecursionError:
                if faults.strict:
                    raise
                faults.uncounted += 1
            return None

    return contained


# To pack arguments and hand them on takes 60 ns, to hand on so many as there are 15.
_EXACT: Final[dict[int | None, Callable[..., _Function]]] = {2: _two_arguments, 4: _four_arguments}
"""By the number of arguments, for the functions on the path of every call."""
