"""Where the user's code of one call stands, from step to step.

A block of a span or a run that the code holds open over a step is current again in its next step,
and for nobody else in between. The consumer stands where it stood, but for a `with` block, whose
body is the consumer's own and stands where the code that manages it has left off.
"""

from __future__ import annotations

from remit._context import set_place
from remit._recording import Place, here, is_same, place_for


# Unguarded: assignments, and a context variable.
class Stand:
    """Where the steps of one call stand.

    Attributes:
        base: Place of the first step: the span of the call. None outside any run: the code then has
            the place of its consumer, as an undecorated call has.
        place: Place of the next step.
        shared: Whether the consumer continues at the place where a step ended, as the body of a
            `with` block does.
        closing: Whether the call is being closed. The garbage collector may do that, and is no
            consumer.
    """

    __slots__ = ("_current", "_opened_at", "_outside", "base", "closing", "place", "shared")

    def __init__(self, base: Place | None) -> None:
        """Stand at *base*."""
        self.base = self.place = self._current = base
        self.shared = self.closing = False
        self._opened_at: Place | None = None
        self._outside: tuple[Place | None] | None = None

    def move(self, base: Place) -> None:
        """Stand at *base* from now on; no step was made yet."""
        self.base = self.place = self._current = base

    def enter(self, consumer: Place | None) -> None:
        """Begin a step for a consumer at *consumer*, whose ceilings apply to it as well."""
        place = self.place
        if not (consumer is place or self.closing):
            if place is None:
                place = consumer
            elif consumer is not None and (
                consumer.run is not place.run or consumer.enclosing is not place.enclosing
            ):  # as in `place_for`, without the call
                place = place_for(place, consumer)
        self._current = place
        set_place(place)

    def leave(self, consumer: Place | None) -> None:
        """End a step: remember its place, and restore the place that was current before.

        Args:
            consumer: What was current for the consumer when the step began.
        """
        place = here()
        if place is not self._current:
            if self.place is self.base:
                self._opened_at = self._current
                self.place = place
            else:
                closed = place is consumer or is_same(place, self._opened_at)
                self.place = self.base if closed else place
        set_place(self._shared(consumer) if self.shared else consumer)

    def remain(self) -> None:
        """Let what the code has left current stay so, as a plain function does."""
        if self.place is not self.base:
            set_place(self.place)

    def _shared(self, previous: Place | None) -> Place | None:
        before = (previous,) if self._outside is None else self._outside
        if self.place is self.base:
            self._outside = None
            return before[0]
        self._outside = before
        return self.place


# Unguarded: assignments, and a context variable.
class step:  # noqa: N801 - reads as a word: `with step(stand):`
    """Runs one step where its call stands."""

    __slots__ = ("_previous", "_stand")

    def __init__(self, stand: Stand) -> None:
        """Prepare a step of *stand*."""
        self._stand = stand
        self._previous: Place | None = None

    def __enter__(self) -> None:
        """Begin the step."""
        self._previous = here()
        self._stand.enter(self._previous)

    def __exit__(self, *exc_info: object) -> None:
        """End it."""
        self._stand.leave(self._previous)
        self._previous = None
