"""The door through which a span ends: the run does not wait for a span whose end failed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Final, Protocol, TypeAlias, TypeVar

from remit import _guard
from remit._recording import Place
from remit._sink import Item

WHERE: Final = "the end of a span"

End: TypeAlias = tuple[int, str, bytes | None]
"""Wall time in nanoseconds, a status, a captured result."""


class Ending(Protocol):
    """A span that ends.

    Attributes:
        place: The place inside it.
        start: Its beginning, as the sink was told.
    """

    place: Place
    start: Item

    def by_hand(self, status: str, result: bytes | None) -> tuple[str, bytes | None]:
        """Return status and result, with what the user has set by hand in their place."""
        ...


S = TypeVar("S", bound=Ending)
T = TypeVar("T")


def ending(tell: Callable[[S, T], End]) -> Callable[[S, T], None]:
    """Return what ends a span as *tell* says: a fault on the way loses the span and nothing else.

    Both take one argument beside the span: to pack several and hand them on would take 60 ns.
    """

    @wraps(tell)
    def contained(span: S, given: T, /) -> None:
        try:
            ended_ns, status, result = tell(span, given)
            run, key = span.place.run, span.place.key
            if run.overrides and key in run.overrides:
                status, result = span.by_hand(status, result)
            if run.secrets and key in run.secrets:
                run.hear(span.start.parent, run.secrets.pop(key).told)
            run.recorder.sink.end_span(span.start, ended_ns, status, result)
            run.open.discard(key)
            if run.exited and not run.open:
                run.settle()
        except BaseException as error:  # noqa: BLE001 - what is no fault is raised again
            span.place.run.open.discard(span.place.key)
            _guard.contain(WHERE, error)

    return contained
