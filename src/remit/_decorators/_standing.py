"""Where the user's code of one call stands, from step to step.

A block of a span or a run that the code holds open over a step is current again in its next step,
and for nobody else in between. The consumer stands where it stood, but for a `with` block, whose
body is the consumer's own and stands where the code that manages it has left off.
"""

from __future__ import annotations

from remit._context import get_place, set_place


class Stand:
    """Where the steps of one call stand.

    Attributes:
        base: Where the first step stands: at the span of the call.
        place: Where the next step stands.
        shared: Whether the consumer stands where a step has left off, as the body of a `with`
            block does.
    """

    __slots__ = ("_outside", "base", "place", "shared")

    def __init__(self, base: object) -> None:
        """Stand at *base*."""
        self.base = self.place = base
        self.shared = False
        self._outside: tuple[object] | None = None

    def move(self, base: object) -> None:
        """Stand at *base* from now on; no step was made yet."""
        self.base = self.place = base

    def leave(self, previous: object) -> None:
        """End a step: note where it stands, and restore what was current before.

        Args:
            previous: What was current for the consumer when the step began.
        """
        self.place = get_place()
        set_place(self._shared(previous) if self.shared else previous)

    def remain(self) -> None:
        """Let what the code has left current stay so, as a plain function does."""
        if self.place is not self.base:
            set_place(self.place)

    def _shared(self, previous: object) -> object:
        before = (previous,) if self._outside is None else self._outside
        if self.place is self.base:
            self._outside = None
            return before[0]
        self._outside = before
        return self.place


class step:  # noqa: N801 - reads as a word: `with step(stand):`
    """Runs one step where its call stands."""

    __slots__ = ("_previous", "_stand")

    def __init__(self, stand: Stand) -> None:
        """Prepare a step of *stand*."""
        self._stand = stand
        self._previous: object = None

    def __enter__(self) -> None:
        """Begin the step."""
        self._previous = get_place()
        set_place(self._stand.place)

    def __exit__(self, *exc_info: object) -> None:
        """End it."""
        self._stand.leave(self._previous)
        self._previous = None
