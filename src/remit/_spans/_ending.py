"""The door through which a span ends: the run does not wait for a span whose end failed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar

from remit._guard import faults
from remit._recording import Place

WHERE: Final = "the end of a span"


class Ending(Protocol):
    """A span that ends.

    Attributes:
        place: The place inside it.
    """

    place: Place


P = ParamSpec("P")
S = TypeVar("S", bound=Ending)


def ending(function: Callable[Concatenate[S, P], None]) -> Callable[Concatenate[S, P], None]:
    """Return *function*, which ends a span, so that its faults lose the span and nothing else."""

    @wraps(function)
    def contained(span: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(span, *args, **kwargs)
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
