"""The guard: a fault of remit's own, or of a user's hook, never reaches the host program.

Every door from the host into remit is wrapped by `guarded`. A fault is counted by place and
logged once for each place; the host's call goes on. The one thing that passes is a denial:
telemetry fails open, governance fails closed.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from remit.errors import DeniedError

P = ParamSpec("P")
T = TypeVar("T")

logger: Final = logging.getLogger("remit")


class Faults:
    """What went wrong inside remit, by place.

    Attributes:
        counts: Number of faults for each place since the process started.
        strict: Raise instead of swallowing; `remit.testing.isolated()` sets it.
    """

    def __init__(self) -> None:
        """Start with nothing wrong."""
        self.counts: Counter[str] = Counter()
        self.strict = False

    def record(self, where: str, error: Exception) -> None:
        """Count *error* at *where*, log the first of each place, raise it when strict.

        The text of the error is left out of the log: it may quote a user's data.
        """
        self.counts[where] += 1
        if self.strict:
            raise error
        if self.counts[where] == 1:
            logger.warning(
                "a fault inside remit at %s (%s) was contained; your program is not affected. "
                "Later ones are counted in remit.status().faults",
                where,
                type(error).__qualname__,
            )


faults: Final = Faults()


def attempt(function: Callable[[], T]) -> T | Exception:
    """Return what *function* returns, or the exception with which it failed.

    For what is the user's and must be asked all the same: an annotation, the schema of a type.
    That it fails is an answer, not a fault of remit's, so nothing is counted.
    """
    try:
        return function()
    except Exception as error:  # noqa: BLE001 - this is the other place that may
        return error


def guarded(where: str) -> Callable[[Callable[P, T]], Callable[P, T | None]]:
    """Return a decorator that keeps faults of the function from its caller.

    Args:
        where: The place in words, for the count and the log line.

    Returns:
        A decorator; the decorated function returns `None` when a fault was contained.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T | None]:
        @wraps(function)
        def contained(*args: P.args, **kwargs: P.kwargs) -> T | None:
            try:
                return function(*args, **kwargs)
            except DeniedError:
                raise
            except Exception as error:  # noqa: BLE001 - this is the one place that may
                faults.record(where, error)
                return None

        return contained

    return decorate
