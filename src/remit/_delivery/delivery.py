"""Delivery as the runtime sees it: a sink to record into, flush, shutdown, status."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypedDict, Unpack

from remit._buffer import Buffer
from remit._clock import Clock, Deadline
from remit._delivery.accounts import Accounts
from remit._delivery.adoption import Adoption
from remit._delivery.batches import BatchLimits
from remit._delivery.calls import Client, Door
from remit._delivery.forking import Forking
from remit._delivery.health import Pulse, without_credentials
from remit._delivery.lane import Shared, sender_of
from remit._delivery.registration import Registrations
from remit._delivery.settling import Tally
from remit._delivery.tracks import Tracks
from remit._delivery.worker import Worker
from remit._delivery.writer import Writer
from remit._guard import guarded
from remit._losses import Loss, Losses
from remit._results import FlushResult, Status
from remit._sink import Sink
from remit._spool import NO_OTHERS, Files, Folder, Others, SpoolOutbox

WRITER: Final = "remit-writer"
SENDER: Final = "remit-sender"
# For the writer to end its pass even when the deadline is past: else nobody could say what is lost.
GRACE_S: Final = 0.2
# For a file of an ended process, which loses nothing when it is left as it is.
CLOSE_S: Final = 0.05


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
        spool: Folder | None = None,
        others: Others = NO_OTHERS,
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
            others: Which other spool files are adopted too.
            on_rouse: Called when the first item comes, in each process, and at every new run.
            ticks: Called on the writer's thread at every interval.
            **pace: See `Pace`.
        """
        self._http = http
        self._clock = clock
        self._target = without_credentials(target)
        self._spool = spool
        self._others = others
        self._on_rouse = on_rouse
        self._ticks = tuple(ticks)
        self._pace = pace
        self._closed = self._broken_off = self._ending = self._exiting = False
        self._late_said = False
        self._late_movers: set[int] = set()
        self._forking = Forking(clock)
        self._losses = Losses()
        self._buffer = Buffer(
            max_bytes=pace["max_buffer_bytes"],
            losses=self._losses,
            clock=clock,
            announce_after_s=pace["flush_interval_s"],
            rouse=self._rouse,
            nudge=self.nudge,
        )
        self._assemble()

    def _assemble(self) -> None:
        """Make everything that belongs to one process: outbox, writer, sender, threads."""
        clock, buffer = self._clock, self._buffer
        # Reentrant, for a signal's handler that shuts down too.
        self._closing = threading.RLock()
        self._spool_files = files = self._files()
        self._outbox = SpoolOutbox(files, release=buffer.release)
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
        self._accounts = Accounts(
            self._target, buffer, self._writer, self._outbox, adoption, shared, self._spool
        )

    def _files(self) -> Files | None:
        if self._spool is None:
            return None
        return Files(
            self._spool,
            wall_ns=self._clock.wall_ns,
            lose=self._lose,
            others=self._others,
        )

    def _share(self) -> Shared:
        pace = self._pace
        return Shared(
            door=Door(self._http, pace["request_timeout_s"]),
            pulse=Pulse(self._target, self._clock),
            losses=self._losses,
            tally=Tally(),
            limits=BatchLimits(pace["max_batch_items"], pace["max_batch_bytes"]),
            poll_interval_s=pace["poll_interval_s"],
            stream_interval_s=min(pace["poll_interval_s"], pace["flush_interval_s"]),
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

    def flush(
        self, deadline: Deadline, *, adopting: bool = True, insisting: bool = True
    ) -> FlushResult:
        """Deliver everything recorded so far, beginnings of open spans included.

        Tries once even if the last tries failed, unless the server asked to wait. Returns before
        the deadline when all is settled, or when nothing more would be tried before it.

        Args:
            deadline: When to return at the latest.
            adopting: Deliver also what ended processes left behind.
            insisting: Try in any case; else a server in trouble is left alone, and all is moved to
                the spool.
        """
        if self._closed or not (self._begun or (adopting and self._adoption.likely())):
            return self._result()
        result = self._flush(deadline, adopting=adopting, insisting=insisting)
        self._raise_faults()
        return result

    def shutdown(self, deadline: Deadline, *, exiting: bool = False) -> FlushResult:
        """Flush, then stop for good; what is recorded later is counted as lost.

        One that a signal's handler broke off is gone on with by the next call.

        Args:
            deadline: When to return at the latest; a request that is under way is abandoned then.
            exiting: The process ends: what is recorded later, by what else runs at its exit, is
                kept on disk by the thread that records it.
        """
        self._exiting = exiting
        try:
            with self._closing:
                if self._closed and not self._broken_off:
                    return self._result()
                self._closed, self._broken_off = True, False
            result = self._shut_down(deadline)
        except BaseException:
            self._broken_off = True
            raise
        self._raise_faults()
        return result

    def _shut_down(self, deadline: Deadline) -> FlushResult:
        self._shared.door.limit = deadline
        self._writer.conclude()
        try:
            if self._begun and not self._ending:
                flushed = self._flush(deadline, adopting=True, insisting=True)
                if self._exiting and not flushed.pending and self._outbox.open_spans():
                    # Else they were active until the next process comes.
                    self._writer.end_spans()
                    self._flush(deadline, adopting=False, insisting=False)
        except KeyboardInterrupt:
            # Whoever presses Ctrl-C waits no longer; what is on disk is kept.
            deadline = self._shared.door.limit = Deadline.after(0, self._clock)
            raise
        finally:
            self._ending = True
            self._stop(deadline)
            result = self._result()
            self._accounts.say_what_is_left(result)
        return result

    def stopped(self, timeout_s: float) -> bool:
        """Tell whether the sender has ended after a shutdown, within *timeout_s* seconds."""
        return self._sending.stop(timeout_s)

    def status(self) -> Status:
        """Return where delivery stands; the runtime fills in mode, faults and what was withheld."""
        return self._accounts.status()

    def before_fork(self) -> None:
        """Hold the threads between two steps, and everyone out of SQLite, if that is in time."""
        writing = self._forking.hold_worker(self._writing)
        self._forking.hold_worker(self._sending, lambda: self._shared.door.waiting)
        if self._spool_files is not None:
            self._forking.hold(self._spool_files)
        if len(self._buffer) and writing:
            # A child may record into a run that only memory knows: were this process killed now,
            # nobody could end it.
            self._writer.move()

    def after_fork_in_parent(self) -> None:
        """Let the threads go on."""
        self._forking.let_go()

    def after_fork_in_child(self) -> None:
        """Begin anew in the child of a fork: its own locks, outbox and threads, nothing queued."""
        self._buffer.after_fork_in_child()
        self._writing.abandon()
        self._sending.abandon()
        self._outbox.abandon()
        self._adoption.abandon()
        self._forking = Forking(self._clock)
        self._assemble()

    def _rouse(self) -> None:
        """See that both threads run; after a shutdown they do not start again."""
        self._on_rouse()
        self._writing.start()
        self._sending.start()

    def nudge(self) -> None:
        """Have what was recorded moved now, and then sent; waits for neither."""
        self._writing.wake()

    @property
    def _begun(self) -> bool:
        """Whether anything was ever recorded that may wait somewhere."""
        alive = self._writing.alive or self._sending.alive
        return alive or len(self._buffer) > 0 or self._outbox.pending() > 0

    def _lose(self, reason: Loss, count: int, run_keys: Iterable[str] = ()) -> None:
        """Count what the spool gave up, for the runs too that it was part of."""
        self._losses.add(reason, count)
        for run_key, lost in Counter(run_keys).items():
            self._losses.note(run_key, reason, lost)
            feed = self._buffer.feed(run_key)
            if feed is not None and not Loss.leaves_a_rest(reason):
                feed.lost += lost

    def _flush(self, deadline: Deadline, *, adopting: bool, insisting: bool) -> FlushResult:
        moved = self._move(deadline)
        newest = self._outbox.last_id()
        adopting = adopting and self._adoption.likely()
        if adopting:
            self._adoption.look_now()
        waiting = adopting or self._outbox.pending(newest) > 0 or self._sender.midway
        if waiting and (insisting or self._shared.pulse.promising):
            self._deliver(newest, deadline, adopting=adopting, insisting=insisting)
        return self._result(newest, unmoved=0 if moved else self._accounts.unmoved())

    def _stop(self, deadline: Deadline) -> None:
        """End both threads, take in what came meanwhile, let go of everything."""
        stopped = self._writing.stop(max(GRACE_S, deadline.remaining_s()))
        self._buffer.close()
        if stopped and (self._accounts.unmoved() or self._losses.runs()):
            self._writing.attempt()
        self._sending.await_launch(deadline.remaining_s())
        sent_by_thread = self._sending.alive
        self._sending.stop(deadline.remaining_s())
        if not sent_by_thread:
            # Else the sender closes it when it ends: closing a connection under a request that
            # waits on another thread could hand its descriptor to a stranger.
            self._close_door()
        self._outbox.close(max(GRACE_S, deadline.remaining_s()))
        self._adoption.close(max(CLOSE_S, deadline.remaining_s()))
        if stopped:
            self._buffer.close(self._keep_late)

    def _keep_late(self) -> bool:
        """Move what was recorded after the end, if there is where to; say so once."""
        kept = self._exiting and self._outbox.reopen()
        if not self._late_said:
            self._late_said = True
            self._accounts.say_what_is_late(kept=kept)
        me = threading.get_ident()
        # A collected generator may end its span on the very thread that moves.
        if kept and me not in self._late_movers:
            self._late_movers.add(me)
            try:
                self._writer.move()
            finally:
                self._late_movers.discard(me)
        return kept

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

    def _deliver(self, newest: int, deadline: Deadline, *, adopting: bool, insisting: bool) -> None:
        """Have the rows up to *newest* sent, as far as that goes before the deadline."""
        worker, pulse = self._sending, self._shared.pulse
        self._sender.urge()

        def done() -> bool:
            waiting = self._outbox.pending(newest) or (adopting and self._adoption.busy)
            return not (waiting or self._sender.midway)

        if not worker.start():
            self._pump(done, deadline)
            return
        ticket = worker.ask()

        def settled() -> bool:
            if worker.faulty or done():
                return True
            if not (insisting or pulse.promising):
                return worker.served(ticket)
            return worker.served(ticket) and worker.due_in_s() > deadline.remaining_s()

        if not worker.wait(settled, deadline.remaining_s()):
            pulse.silent = True

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
        if self._closed:
            unmoved = self._accounts.unmoved()
        return self._accounts.result(up_to, unmoved=unmoved)
