"""Delivery as the runtime sees it: a sink to record into, flush, shutdown, status."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final, TypedDict, Unpack
from urllib.parse import urlsplit, urlunsplit

from remit._buffer import Buffer, Losses, cost
from remit._clock import Clock, Deadline
from remit._delivery.calls import Client, Door
from remit._delivery.health import Pulse
from remit._delivery.opening import Opening
from remit._delivery.parts import Parts
from remit._delivery.registration import Registrations
from remit._delivery.results import FlushResult, Status
from remit._delivery.sender import WINDOW_BATCHES, Sender
from remit._delivery.settling import Settling
from remit._delivery.spans import BatchLimits, Spans
from remit._delivery.tracks import Tracks
from remit._delivery.worker import Worker
from remit._delivery.writer import Writer
from remit._guard import guarded, logger
from remit._sink import Sink
from remit._spool import MemoryOutbox

WRITER: Final = "remit-writer"
SENDER: Final = "remit-sender"
# A step that imports httpx and the collector takes half of it; one that waits for a server is left
# alone after it, for it holds no lock that a child needs.
FORK_WAIT_S: Final = 1.0
# For the writer to end its pass even when the deadline is past: else nobody could say what is lost.
GRACE_S: Final = 0.2


class Pace(TypedDict):
    """How much, how often, how long: the settings of the same names."""

    flush_interval_s: float
    max_buffer_bytes: int
    max_batch_items: int
    max_batch_bytes: int
    request_timeout_s: float
    poll_interval_s: float


class Delivery:
    """Takes what is recorded and brings it to the API.

    Nothing starts before the first run. Every method may be called from any thread.
    """

    def __init__(
        self,
        *,
        http: Client,
        clock: Clock,
        target: str,
        ticks: Sequence[Callable[[], None]] = (),
        **pace: Unpack[Pace],
    ) -> None:
        """Wire the parts.

        Args:
            http: Sends one call at a time; delivery closes it.
            clock: The time.
            target: Where *http* sends to, for log lines and the status.
            ticks: Called on the writer's thread at every interval.
            **pace: See `Pace`.
        """
        self._http = http
        self._clock = clock
        self._target = without_credentials(target)
        self._ticks = tuple(ticks)
        self._pace = pace
        self._closed = False
        self._held: list[Worker] = []
        self._losses = Losses()
        self._buffer = Buffer(
            max_bytes=pace["max_buffer_bytes"],
            losses=self._losses,
            clock=clock,
            announce_after_s=pace["flush_interval_s"],
            rouse=self._rouse,
            nudge=self._nudge,
        )
        self._assemble()

    def _assemble(self) -> None:
        """Make everything that belongs to one process: outbox, writer, sender, threads."""
        pace, clock, buffer = self._pace, self._clock, self._buffer
        self._closing = threading.Lock()
        self._outbox = MemoryOutbox(cost=cost, release=buffer.release)
        registrations = Registrations()
        self._parts = self._wire(registrations)
        limits = BatchLimits(pace["max_batch_items"], pace["max_batch_bytes"])
        self._sender = Sender(
            self._parts,
            Spans(self._parts, limits),
            window_items=WINDOW_BATCHES * limits.items,
            poll_interval_s=pace["poll_interval_s"],
        )
        self._close_door = guarded("closing the connections")(self._parts.door.close)
        self._sending = Worker(SENDER, self._sender.step, clock, self._close_door)
        self._writer = Writer(
            buffer=buffer,
            outbox=self._outbox,
            registrations=registrations,
            clock=clock,
            interval_s=pace["flush_interval_s"],
            ticks=self._ticks,
            moved=self._sending.wake,
        )
        self._writing = Worker(WRITER, self._writer.step, clock)

    def _wire(self, registrations: Registrations) -> Parts:
        outbox, buffer, clock = self._outbox, self._buffer, self._clock
        door = Door(self._http, self._pace["request_timeout_s"])
        pulse = Pulse(self._target, clock)
        return Parts(
            outbox=outbox,
            door=door,
            tracks=Tracks(
                outbox,
                feed_of=buffer.feed,
                forget=buffer.forget,
                inherit=registrations.inherited,
            ),
            opening=Opening(door, outbox, clock),
            settling=Settling(outbox, self._losses, pulse),
            losses=self._losses,
            pulse=pulse,
            clock=clock,
        )

    @property
    def sink(self) -> Sink:
        """Where recorded items go."""
        return self._buffer

    def flush(self, deadline: Deadline) -> FlushResult:
        """Deliver everything recorded so far, beginnings of open spans included.

        Tries once even if the last tries failed, unless the server asked to wait. Returns before
        the deadline when all is settled, or when nothing more would be tried before it.

        Args:
            deadline: When to return at the latest.
        """
        if self._closed or not self._begun:
            return self._result()
        result = self._flush(deadline)
        self._raise_faults()
        return result

    def shutdown(self, deadline: Deadline) -> FlushResult:
        """Flush, then stop for good; what is recorded later is counted as lost.

        Args:
            deadline: When to return at the latest; a request that is under way is abandoned then.
        """
        with self._closing:
            if self._closed:
                return self._result()
            self._closed = True
        self._parts.door.limit = deadline
        if self._begun:
            self._flush(deadline)
        self._stop(deadline)
        result = self._result(unmoved=len(self._buffer) + self._writer.carried)
        if result.pending:
            logger.warning(
                "%d recorded items were not delivered to %s before the deadline of the shutdown "
                "and are lost with this process; the last error was: %s",
                result.pending,
                self._target,
                result.last_error or "none, there was not enough time (see exit_timeout_s)",
            )
        self._raise_faults()
        return result

    def status(self) -> Status:
        """Return where delivery stands; the runtime fills in mode, faults and what was withheld."""
        outbox, parts = self._outbox, self._parts
        waiting = outbox.pending()
        return Status(
            mode="",
            target=self._target,
            health=parts.pulse.health,
            sent=parts.settling.sent,
            pending=waiting + len(self._buffer),
            spooled=waiting if outbox.durable else 0,
            set_aside=outbox.set_aside_by_reason(),
            dropped=self._losses.by_reason(),
            last_error=parts.pulse.last_error,
            writer_lag_s=self._writer.lag_s,
            buffer_bytes=self._buffer.held_bytes,
            spool_bytes=outbox.size_bytes(),
        )

    def before_fork(self) -> None:
        """Hold the threads between two steps, if they get there in time."""
        workers = (self._writing, self._sending)
        self._held = [worker for worker in workers if worker.hold(FORK_WAIT_S)]

    def after_fork_in_parent(self) -> None:
        """Let the threads go on."""
        held, self._held = self._held, []
        for worker in held:
            worker.let_go()

    def after_fork_in_child(self) -> None:
        """Begin anew in the child of a fork: its own locks, outbox and threads, nothing queued."""
        self._buffer.after_fork_in_child()
        self._assemble()

    def _rouse(self) -> None:
        """See that both threads run; after a shutdown they do not start again."""
        self._writing.start()
        self._sending.start()

    def _nudge(self) -> None:
        self._writing.wake()

    @property
    def _begun(self) -> bool:
        """Whether anything was ever recorded that may wait somewhere."""
        return self._writing.alive or len(self._buffer) > 0 or self._outbox.pending() > 0

    def _flush(self, deadline: Deadline) -> FlushResult:
        moved = self._move(deadline)
        newest = self._outbox.last_id()
        if self._outbox.pending(newest):
            self._deliver(newest, deadline)
        return self._result(newest, unmoved=0 if moved else len(self._buffer))

    def _stop(self, deadline: Deadline) -> None:
        """End both threads, take in what came meanwhile, let go of everything."""
        stopped = self._writing.stop(max(GRACE_S, deadline.remaining_s()))
        self._buffer.close()
        if stopped and len(self._buffer):
            self._writing.attempt()
        sent_by_thread = self._sending.alive
        self._sending.stop(deadline.remaining_s())
        if not sent_by_thread:
            # Else the sender closes it when it ends: closing a connection under a request that
            # waits on another thread could hand its descriptor to a stranger.
            self._close_door()
        self._outbox.close()

    def _raise_faults(self) -> None:
        for worker in (self._writing, self._sending):
            worker.raise_fault()

    def _move(self, deadline: Deadline) -> bool:
        """Have everything moved to the outbox; tell whether it was in time."""
        worker = self._writing
        self._writer.urge()
        if not worker.start():
            worker.attempt()
            return True
        ticket = worker.ask()
        return worker.wait(lambda: worker.served(ticket), deadline.remaining_s())

    def _deliver(self, newest: int, deadline: Deadline) -> None:
        """Have the rows up to *newest* sent, as far as that goes before the deadline."""
        worker = self._sending
        self._sender.urge()
        if not worker.start():
            self._pump(newest, deadline)
            return
        ticket = worker.ask()

        def settled() -> bool:
            if worker.faulty or not self._outbox.pending(newest):
                return True
            return worker.served(ticket) and worker.due_in_s() > deadline.remaining_s()

        worker.wait(settled, deadline.remaining_s())

    def _pump(self, newest: int, deadline: Deadline) -> None:
        """Send from the calling thread: no thread can be started any more."""
        worker, door = self._sending, self._parts.door
        before, door.limit = door.limit, deadline
        while self._outbox.pending(newest):
            wait_s = worker.attempt()
            if wait_s >= deadline.remaining_s():
                break
            worker.wait(lambda: False, wait_s)
        door.limit = before

    def _result(self, up_to: int | None = None, *, unmoved: int = 0) -> FlushResult:
        outbox, parts = self._outbox, self._parts
        waiting = outbox.pending(up_to)
        return FlushResult(
            sent=parts.settling.sent,
            pending=waiting + unmoved,
            spooled=waiting if outbox.durable else 0,
            set_aside=sum(outbox.set_aside_by_reason().values()),
            dropped=self._losses.by_reason(),
            last_error=parts.pulse.last_error,
        )


def without_credentials(target: str) -> str:
    """Return *target* without user, password and query, if it is a URL; else as it is."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return "an unreadable URL"
    if not parts.netloc:
        return target
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
