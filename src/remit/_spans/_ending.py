"""The door through which a span ends: the run does not wait for a span whose end failed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Final, Protocol, TypeVar

from remit._guard import faults
from remit._recording import Place

WHERE: Final = "the end of a span"


class Ending(Protocol):
    """A span that ends.

    Attributes:
        place: The place inside it.
    """

    place: Place


S = TypeVar("S", bound=Ending)
T = TypeVar("T")


def ending(function: Callable[[S, T], None]) -> Callable[[S, T], None]:
    """Return *function*, which ends a span, so that its faults lose the span and nothing else.

    It takes one argument, on the path of every call: to pack several and hand them on takes 60 ns.
    """

    @wraps(function)
    def contained(span: S, given: T, /) -> None:
        try:
            function(span, given)
        except BaseException as error:  # noqa: BLE001 - what is no fault is raised again
            # Where the stack is used up nothing can be called: so nothing is, before it is needed.
            still_open = span.place.run.open
            still_open -= {span.place.key}
            try:
                faults.contain(WHERE, error)
            except RecursionError:
                if faults.strict:
                    raise
                faults.uncounted += 1

    return contained
