"""What recording knows of one run while it is open, and the place in it where a call stands.

One `Place` is the ambient value: run and span in one, so that they can never disagree. It holds
ids and the run's small state, never a payload and never an object of the user's.
"""

from __future__ import annotations

import weakref
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, cast

from msgspec import Struct, field

from remit import _capture
from remit._clock import Clock
from remit._context import get_place, set_place
from remit._policy import Ceilings
from remit._sink import RunFeed, Sink
from remit.errors import RunTerminated

# Blocks may be named by the thousand; what exceeds a remit beyond that is on the spans alone.
MAX_SAID: Final = 1_000
OBSERVE: Final = "observe"
TERMINATE: Final = "terminate"


def ignore(agent: str, name: str) -> None:
    """Take no note of a span type that is first used."""


class AfterRun(Protocol):
    """What is done when a run has ended."""

    def __call__(self) -> None:
        """Do it; where an event loop runs, without holding that."""
        ...

    def beside(self) -> Awaitable[None] | None:
        """Begin it beside an event loop; return what to await, if anything."""
        ...


class NothingAfter:
    """Nothing is done: what was recorded is moved at the next interval."""

    def __call__(self) -> None:
        """Do nothing."""

    def beside(self) -> None:
        """Do nothing."""


class Recorder(Struct, frozen=True):
    """What every run of one runtime shares.

    Attributes:
        sink: Where items go.
        clock: The time.
        rules: Redaction and limits.
        on_violation: `observe`, `deny` or `terminate`.
        control_flow: Exception types that interrupt without failing.
        run_linger_s: Seconds that a run whose block has ended waits for its open spans.
        after_run: Called when a run's block has ended, and when a run ends after its block.
        on_first_seen: Called with agent and name when a span type is first used in the runs of an
            agent.
        said: What was logged already of steps that exceed a remit.
        exceeding: How often a step exceeded a remit, by its name.
        lingering: Runs whose blocks have ended before their last spans. This set may hold the only
            reference to them.
        terminated: Feeds of the latest runs that ended terminated; these are not resumed.
    """

    sink: Sink
    clock: Clock
    rules: _capture.Rules
    on_violation: str = OBSERVE
    control_flow: tuple[type[BaseException], ...] = ()
    run_linger_s: float = 300.0
    after_run: AfterRun = field(default_factory=NothingAfter)
    on_first_seen: Callable[[str, str], None] = ignore
    said: set[str] = field(default_factory=set[str])
    exceeding: Counter[str] = field(default_factory=Counter[str])
    lingering: set[RunState] = field(default_factory=set["RunState"])
    terminated: deque[RunFeed] = field(default_factory=lambda: deque[RunFeed](maxlen=MAX_SAID))


class InFlight(Protocol):
    """A generator, or something like it, whose span is open between its steps."""

    def cancel(self) -> None:
        """End its span: nobody will take another step."""
        ...

    def interrupt(self) -> None:
        """Stop the step that is awaited, if there is one."""
        ...


class RunState:
    """One open run, as its spans see it.

    Attributes:
        recorder: What it shares with the other runs.
        feed: What delivery knows of it; its key is the run's.
        recording: False in mode `off`: spans of this run record nothing.
        open: Keys of the spans that have begun and not ended, and of the streams that were called
            and have not begun; without the root.
        spans: How many spans began.
        in_flight: What outlives the calls of its open spans, by span key.
        overrides: Results that the user set by hand, by span key: (status or None, JSON bytes).
        rules: Redaction and limits, with the texts that the run has withheld.
        exited: The run's block has ended.
        outliving: The keys in `open` when the block ended.
        handle: The public `Run`.
    """

    __slots__ = (
        "__weakref__",
        "exited",
        "feed",
        "handle",
        "in_flight",
        "open",
        "outliving",
        "overrides",
        "recorder",
        "recording",
        "rules",
        "spans",
    )

    def __init__(self, recorder: Recorder, feed: RunFeed, *, recording: bool) -> None:
        """Open the state of a run."""
        self.recorder: Final = recorder
        self.feed: Final = feed
        self.recording: Final = recording
        outer = here()
        shared = None if outer is None else outer.run.rules
        self.rules: Final[_capture.Rules] = recorder.rules.in_run(shared)
        self.handle: object = None
        self.open: Final[set[bytes]] = set()
        self.in_flight: Final[dict[bytes, weakref.ref[InFlight]]] = {}
        self.overrides: Final[dict[bytes, tuple[str | None, bytes]]] = {}
        self.spans = 0
        self.exited = False
        self.outliving: frozenset[bytes] = frozenset()

    def cancel_in_flight(self) -> None:
        """End the spans of what nobody will step again, because the process ends."""
        for reference in list(self.in_flight.values()):
            flight = reference()
            if flight is not None:
                flight.cancel()

    def cancel_streams(self) -> None:
        """Cancel the spans of the run's streams, because the run was terminated.

        The code of a stream is stopped at its next item. One that is awaited on asyncio is stopped
        where it waits.
        """
        for key in list(self.feed.streams):
            reference = self.in_flight.get(key)
            stream = None if reference is None else reference()
            if stream is not None:
                stream.cancel()
                stream.interrupt()

    def fail_after_block(self, key: bytes, parent: bytes | None, error: BaseException) -> None:
        """Fail the run if the span *key* outlived its block; `OpenRun` implements it."""

    def settle(self) -> None:
        """Take the end of the last span after the block; `remit._runs` closes the run then."""


class Place(Struct, frozen=True, eq=False):
    """Where a call stands: in which run, under which span. Equal to itself only.

    A `Struct` is made in 0.03 us, a named tuple in 0.14, a frozen dataclass in 0.3.

    Attributes:
        run: The run.
        key: Key of the current span, 128 bits.
        name: Its span type.
        ceilings: What the agents around it allow.
        enclosing: The other runs in whose blocks it is.
    """

    run: RunState
    key: bytes
    name: str
    ceilings: Ceilings
    enclosing: tuple[Enclosing, ...] = ()


class Enclosing(Struct, frozen=True, eq=False):
    """A run in whose block another run is used: its ceilings and its termination apply there too.

    It refers to the feed instead of the run. Otherwise tasks that each open a run and start the
    next task in it would keep a chain of all their runs in memory.

    Attributes:
        feed: The feed of the run.
        ceilings: What the agents allow where the other run is used.
    """

    feed: RunFeed
    ceilings: Ceilings


class StepPlace(Place, frozen=True, eq=False):
    """The place of a stream during one step for a consumer in another run.

    Attributes:
        consumer: The place of the consumer.
    """

    consumer: Place | None = None


def enclosing(outer: Place | None) -> tuple[Enclosing, ...]:
    """Return the runs around what is used at *outer*, without those that ended normally."""
    if outer is None:
        return ()
    runs = (Enclosing(outer.run.feed, outer.ceilings), *outer.enclosing)
    return tuple(each for each in runs if each.feed.terminated is not None or not each.feed.closed)


def within(place: Place, outer: Place | None) -> Place:
    """Return *place* with the ceilings and runs of *outer*, where it is used, added."""
    if outer is None:
        return place
    known = {place.run.feed.key, *(each.feed.key for each in place.enclosing)}
    added = tuple(each for each in enclosing(outer) if each.feed.key not in known)
    ceilings = tuple(each for each in outer.ceilings if each not in place.ceilings)
    if not (added or ceilings):
        return place
    return Place(
        place.run, place.key, place.name, ceilings + place.ceilings, place.enclosing + added
    )


# Unguarded: comparisons, of `Stand` and `at`.
def place_for(place: Place, consumer: Place | None) -> Place:
    """Return the place of a stream's step: *place* under the ceilings of *consumer* as well.

    A stream belongs to the run in which it was called. If it is read in another run, the ceilings
    of both apply, and the termination of either ends it.
    """
    if consumer is None:
        return place
    if consumer.run is place.run and consumer.enclosing is place.enclosing:
        return place
    both = within(place, consumer)
    if both is place:
        return place
    return StepPlace(both.run, both.key, both.name, both.ceilings, both.enclosing, consumer)


# Unguarded: comparisons, of `Stand` and `at`.
def is_same(one: Place | None, other: Place | None) -> bool:
    """Return whether both are places of the same span, or both None."""
    return one is other or (one is not None and other is not None and one.key == other.key)


def terminated_at(place: Place) -> RunFeed | None:
    """Return the feed of a terminated run around *place*, or None if there is none."""
    if place.run.feed.terminated is not None:
        return place.run.feed
    for each in place.enclosing:
        if each.feed.terminated is not None:
            return each.feed
    return None


def check_terminated(place: Place) -> None:
    """Check that neither the run at *place* nor one around it was terminated.

    Raises:
        RunTerminated: One of them was.
    """
    ended = terminated_at(place)
    if ended is not None:
        raise RunTerminated(ended.key, ended.terminated or None)


def terminate(place: Place, reason: str, exceeded: Ceilings) -> None:
    """Terminate the run at *place*, and those around it whose remit was *exceeded*.

    Args:
        place: Where a step would have begun.
        reason: Why.
        exceeded: The ceilings that the step would have exceeded.
    """
    around = [each.feed for each in place.enclosing if not set(exceeded).isdisjoint(each.ceilings)]
    for feed in (place.run.feed, *around):
        if feed.terminated is None:
            feed.terminated = reason


here: Final = cast("Callable[[], Place | None]", get_place)
"""Returns the current place, or `None` outside any run; nobody else sets the variable."""


# Unguarded: assignments, and a context variable.
class at:  # noqa: N801 - reads as a word: `with at(place):`
    """Make a place current, and restore by value what was current before.

    Restored only if the place still is current: a block may be left in another context than the
    one it was entered in, where a token's reset would raise into the host.
    """

    __slots__ = ("_place", "_previous")

    def __init__(self, place: Place | None) -> None:
        """Prepare to stand at *place*, None for outside any run."""
        self._place = place
        self._previous: Place | None = None

    def __enter__(self) -> None:
        """Make the place current."""
        self._previous = here()
        try:
            set_place(self._place)
        except BaseException:
            # By a signal's handler: a block that is not entered is not left either.
            self._restore()
            raise

    def __exit__(self, *exc_info: object) -> None:
        """Restore what was current before, if the place still is."""
        try:
            self._restore()
        except BaseException:
            # By a signal's handler, perhaps before it was done.
            self._restore()
            raise
        self._previous = None

    def _restore(self) -> None:
        current = here()
        if is_same(current, self._place):
            previous = self._previous
            if isinstance(current, StepPlace):
                # The step that leaves this block has another consumer than the one that entered it.
                consumer = current.consumer
                previous = consumer if previous is None else place_for(previous, consumer)
            set_place(previous)
