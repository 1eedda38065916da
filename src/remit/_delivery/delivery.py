"""Delivery as the runtime sees it: a sink to record into, flush, shutdown, status."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol, TypedDict, Unpack
from urllib.parse import urlsplit, urlunsplit

from remit._buffer import Buffer
from remit._clock import NS_PER_S, Clock, Deadline
from remit._delivery.adoption import Adoption
from remit._delivery.calls import Client, Door
from remit._delivery.health import Pulse
from remit._delivery.lane import Shared, sender_of
from remit._delivery.registration import Registrations
from remit._delivery.results import FlushResult, Status
from remit._delivery.settling import Tally
from remit._delivery.spans import BatchLimits
from remit._delivery.tracks import Tracks
from remit._delivery.worker import Worker
from remit._delivery.writer import Writer
from remit._guard import guarded, logger
from remit._losses import Loss, Losses, cost
from remit._sink import Sink
from remit._spool import Files, Folder, SpoolOutbox

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


class Holdable(Protocol):
    """What must not be in the middle of something while the process forks."""

    def hold(self, timeout_s: float) -> bool:
        """Keep it from its next step; tell whether it got there within *timeout_s*."""
        ...

    def let_go(self) -> None:
        """Let it go on."""
        ...


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
        spool: Folder | None = None,
        any_token: bool = False,
        on_rouse: Callable[[], None] = lambda: None,
        ticks: Sequence[Callable[[], None]] = (),
        **pace: Unpack[Pace],
    ) -> None:
        """Wire the parts.

        Args:
            http: Sends one call at a time; delivery closes it.
            clock: The time.
            target: Where *http* sends to, for log lines and the status.
            spool: Where what is not delivered yet is kept on disk; without it, in memory.
            any_token: Adopt also what was recorded for the same target by another token.
            on_rouse: Called when the first item comes, in each process, and at every new run.
            ticks: Called on the writer's thread at every interval.
            **pace: See `Pace`.
        """
        self._http = http
        self._clock = clock
        self._target = without_credentials(target)
        self._spool = spool
        self._any_token = any_token
        self._on_rouse = on_rouse
        self._ticks = tuple(ticks)
        self._pace = pace
        self._closed = False
        self._held: list[Holdable] = []
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
        clock, buffer = self._clock, self._buffer
        self._closing = threading.Lock()
        files = self._files()
        self._outbox = SpoolOutbox(files, cost=cost, release=buffer.release)
        self._shared = shared = self._share()
        tracks = Tracks(self._outbox, feed_of=buffer.feed, forget=buffer.forget)
        self._sender = sender = sender_of(self._outbox, tracks, shared)
        self._adoption = adoption = Adoption(files, shared, self._pace["poll_interval_s"])
        self._close_door = guarded("closing the connections")(shared.door.close)

        def send() -> float:
            # In turns, so that neither this process's items nor what others left waits for long.
            return min(sender.step(), adoption.step())

        self._sending = Worker(SENDER, send, clock, self._close_door)
        self._writer = Writer(
            buffer=buffer,
            outbox=self._outbox,
            registrations=Registrations(),
            clock=clock,
            interval_s=self._pace["flush_interval_s"],
            ticks=self._ticks,
            moved=self._sending.wake,
        )
        self._writing = Worker(WRITER, self._writer.step, clock)

    def _files(self) -> Files | None:
        if self._spool is None:
            return None
        wall_ns, any_token = self._clock.wall_ns, self._any_token
        return Files(self._spool, wall_ns=wall_ns, lose=self._lose, any_token=any_token)

    def _share(self) -> Shared:
        pace = self._pace
        return Shared(
            door=Door(self._http, pace["request_timeout_s"]),
            pulse=Pulse(self._target, self._clock),
            losses=self._losses,
            tally=Tally(),
            limits=BatchLimits(pace["max_batch_items"], pace["max_batch_bytes"]),
            poll_interval_s=pace["poll_interval_s"],
            clock=self._clock,
        )

    @property
    def sink(self) -> Sink:
        """Where recorded items go."""
        return self._buffer

    def adopt(self) -> bool:
        """Have sent what ended processes left behind; tell whether there may be anything."""
        if self._closed or not self._adoption.likely():
            return False
        self._adoption.look_now()
        self._sending.start()
        self._sending.wake()
        return True

    def bring_back(self) -> None:
        """Have what ended processes set aside sent once more."""
        files = self._files()
        if files is not None:
            files.bring_back()

    def flush(self, deadline: Deadline, *, adopting: bool = True) -> FlushResult:
        """Deliver everything recorded so far, beginnings of open spans included.

        Tries once even if the last tries failed, unless the server asked to wait. Returns before
        the deadline when all is settled, or when nothing more would be tried before it.

        Args:
            deadline: When to return at the latest.
            adopting: Deliver also what ended processes left behind.
        """
        if self._closed or not (self._begun or (adopting and self._adoption.likely())):
            return self._result()
        result = self._flush(deadline, adopting=adopting)
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
        self._shared.door.limit = deadline
        if self._begun:
            self._flush(deadline, adopting=True)
        self._stop(deadline)
        result = self._result(unmoved=len(self._buffer) + self._writer.carried)
        self._say_what_is_left(result)
        self._raise_faults()
        return result

    def status(self) -> Status:
        """Return where delivery stands; the runtime fills in mode, faults and what was withheld."""
        outbox, shared = self._outbox, self._shared
        adopted = self._adoption.pending()
        return Status(
            mode="",
            target=self._target,
            health=shared.pulse.health,
            sent=shared.tally.sent,
            pending=outbox.pending() + adopted + len(self._buffer),
            spooled=outbox.spooled() + adopted,
            set_aside=dict(shared.tally.set_aside),
            dropped=self._losses.by_reason(),
            last_error=shared.pulse.last_error,
            writer_lag_s=self._writer.lag_s,
            buffer_bytes=self._buffer.held_bytes,
            spool_bytes=self._spool.size_bytes() if self._spool is not None else 0,
            spool_age_s=self._spool_age_s(),
        )

    def before_fork(self) -> None:
        """Hold the threads between two steps, and everyone out of SQLite, if that is in time."""
        held = (self._writing, self._sending, self._outbox, self._adoption)
        self._held = [each for each in held if each.hold(FORK_WAIT_S)]
        if len(self._buffer) and self._writing in self._held:
            # A child may record into a run that only memory knows: were this process killed now,
            # nobody could end it.
            self._writer.move()

    def after_fork_in_parent(self) -> None:
        """Let the threads go on."""
        held, self._held = self._held, []
        for each in held:
            each.let_go()

    def after_fork_in_child(self) -> None:
        """Begin anew in the child of a fork: its own locks, outbox and threads, nothing queued."""
        self._buffer.after_fork_in_child()
        self._outbox.abandon()
        self._adoption.abandon()
        self._held = []
        self._assemble()

    def _rouse(self) -> None:
        """See that both threads run; after a shutdown they do not start again."""
        self._on_rouse()
        self._writing.start()
        self._sending.start()

    def _nudge(self) -> None:
        self._writing.wake()

    @property
    def _begun(self) -> bool:
        """Whether anything was ever recorded that may wait somewhere."""
        alive = self._writing.alive or self._sending.alive
        return alive or len(self._buffer) > 0 or self._outbox.pending() > 0

    def _lose(self, reason: Loss, count: int, run_keys: Iterable[str] = ()) -> None:
        """Count what the spool gave up, for the runs too that it was part of."""
        self._losses.add(reason, count)
        for run_key in run_keys:
            feed = self._buffer.feed(run_key)
            if feed is not None:
                feed.lost += 1

    def _flush(self, deadline: Deadline, *, adopting: bool) -> FlushResult:
        moved = self._move(deadline)
        newest = self._outbox.last_id()
        adopting = adopting and self._adoption.likely()
        if adopting:
            self._adoption.look_now()
        if adopting or self._outbox.pending(newest):
            self._deliver(newest, deadline, adopting=adopting)
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
        self._adoption.close()

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

    def _deliver(self, newest: int, deadline: Deadline, *, adopting: bool) -> None:
        """Have the rows up to *newest* sent, as far as that goes before the deadline."""
        worker = self._sending
        self._sender.urge()

        def done() -> bool:
            return not (self._outbox.pending(newest) or (adopting and self._adoption.busy))

        if not worker.start():
            self._pump(done, deadline)
            return
        ticket = worker.ask()

        def settled() -> bool:
            if worker.faulty or done():
                return True
            return worker.served(ticket) and worker.due_in_s() > deadline.remaining_s()

        worker.wait(settled, deadline.remaining_s())

    def _pump(self, done: Callable[[], bool], deadline: Deadline) -> None:
        """Send from the calling thread: no thread can be started any more."""
        worker, door = self._sending, self._shared.door
        before, door.limit = door.limit, deadline
        while not done():
            wait_s = worker.attempt()
            if wait_s >= deadline.remaining_s():
                break
            worker.wait(lambda: False, wait_s)
        door.limit = before

    def _result(self, up_to: int | None = None, *, unmoved: int = 0) -> FlushResult:
        outbox, shared, adopted = self._outbox, self._shared, self._adoption.pending()
        return FlushResult(
            sent=shared.tally.sent,
            pending=outbox.pending(up_to) + adopted + unmoved,
            spooled=outbox.spooled(up_to) + adopted,
            set_aside=sum(shared.tally.set_aside.values()),
            dropped=self._losses.by_reason(),
            last_error=shared.pulse.last_error,
        )

    def _spool_age_s(self) -> float:
        written = (self._outbox.oldest_ns(), self._adoption.oldest_ns())
        now_ns = self._clock.wall_ns()
        oldest_ns = min((each for each in written if each is not None), default=now_ns)
        return max(0.0, (now_ns - oldest_ns) / NS_PER_S)

    def _say_what_is_left(self, result: FlushResult) -> None:
        why = result.last_error or "none, there was not enough time (see exit_timeout_s)"
        lost = result.pending - result.spooled
        if lost:
            logger.warning(
                "%d recorded items were not delivered to %s before the deadline of the shutdown "
                "and are lost with this process; the last error was: %s",
                lost,
                self._target,
                why,
            )
        if result.spooled:
            logger.warning(
                "%d recorded items were not delivered to %s before the deadline of the shutdown; "
                "they are kept in %s, and the next process that records to there sends them, or "
                "`remit spool send`; the last error was: %s",
                result.spooled,
                self._target,
                self._spool.path if self._spool is not None else "memory",
                why,
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
