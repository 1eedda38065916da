"""Delivery: the runtime's interface to it, with a sink, `flush`, `shutdown` and `status`.

It wires the parts: buffer, writer thread, outbox, sender thread, adoption.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from remit._base.clock import NS_PER_S, Clock, Deadline
from remit._base.guard import guarded, logger
from remit._base.locks import SignalSafeLock
from remit._base.loops import SENDER, WRITER
from remit._deliver.adoption import Adoption
from remit._deliver.ask_support import AskSupport
from remit._deliver.buffer import Buffer
from remit._deliver.calls import BulkSupport, Client, DeadlineClient
from remit._deliver.circuit import CircuitBreaker, without_credentials
from remit._deliver.holds import SetHolds
from remit._deliver.losses import Loss, Losses
from remit._deliver.run_delivery import BatchLimits, Registrations, RunDeliveries
from remit._deliver.sender import Sender
from remit._deliver.spool.files import Files
from remit._deliver.spool.folder import NO_OTHER_FILES, Folder, OtherFiles
from remit._deliver.spool.outbox import Outbox
from remit._deliver.status import FlushResult, Status, Tally
from remit._deliver.window import SenderContext
from remit._deliver.worker import Worker
from remit._deliver.writer import Writer
from remit._record.items import Sink
from remit.config import SERVER, Settings

# The writer may end its pass after the deadline, because losses would be uncounted otherwise.
GRACE_S: Final = 0.2
# For a file of an ended process, which loses nothing when it is left as it is.
CLOSE_S: Final = 0.05
# How long a fork waits for the writer and the sender, and then as long for threads that use SQLite.
FORK_WAIT_S: Final = 1.0


class Delivery:
    """Takes recorded items and delivers them to the API.

    No thread starts before the first run, unless an ended process left a spool file. Every method
    may be called from any thread.
    """

    def __init__(  # noqa: PLR0913 - the parts that it wires
        self,
        settings: Settings,
        *,
        http: Client,
        clock: Clock,
        target: str,
        spool: Folder | None = None,
        others: OtherFiles = NO_OTHER_FILES,
        on_start_threads: Callable[[], None] = lambda: None,
        ticks: Sequence[Callable[[], None]] = (),
        set_holds: SetHolds = lambda _: None,
    ) -> None:
        """Wire the parts.

        Args:
            http: Sends one call at a time; delivery closes it.
            target: URL or path that *http* sends to, for log lines and the status.
            spool: Folder for undelivered items; without it they are kept in memory.
            others: Spool files of other targets or tokens that are adopted too.
            on_start_threads: Called at the first item of each process, and at every new run.
            ticks: Called on the writer's thread at every interval.
            set_holds: Called on the sender's thread with the holds in force, when they change.
        """
        self._http = http
        self._clock = clock
        self._target = without_credentials(target)
        self._spool = spool
        self._others = others
        self._on_start_threads = on_start_threads
        self._ticks = tuple(ticks)
        self._set_holds = set_holds
        self._settings = settings
        self._closed = False
        # The parts that each forking thread has paused.
        self._paused: dict[int, list[Worker | Files]] = {}
        self._losses = Losses()
        self._buffer = Buffer(
            max_bytes=settings.max_buffer_bytes,
            losses=self._losses,
            clock=clock,
            announce_after_s=settings.flush_interval_s,
            start_threads=self._start_threads,
            wake_writer=self.wake_writer,
        )
        self._assemble()

    def _assemble(self) -> None:
        """Create the parts of one process: outbox, writer, sender, threads."""
        clock, buffer, settings = self._clock, self._buffer, self._settings
        self._closing = SignalSafeLock()
        self._files: Files | None = None
        if self._spool is not None:
            self._files = Files(
                self._spool, wall_ns=clock.wall_ns, on_loss=self._count_loss, others=self._others
            )
        self._outbox = outbox = self._make_outbox()
        self._client = DeadlineClient(self._http, settings.request_timeout_s)
        self._circuit = CircuitBreaker(
            self._target, clock, spool=self._folder_in_use, folder=self._spool
        )
        self._tally = Tally()
        context = SenderContext(
            client=self._client,
            circuit=self._circuit,
            losses=self._losses,
            tally=self._tally,
            limits=BatchLimits(settings.max_batch_items, settings.max_batch_bytes),
            support=BulkSupport(),
            poll_interval_s=settings.poll_interval_s,
            stream_interval_s=min(settings.poll_interval_s, settings.flush_interval_s),
            clock=clock,
        )
        runs = RunDeliveries(outbox, buffer)
        ask_support = AskSupport(context) if settings.approver == SERVER else None
        self._sender = sender = Sender(outbox, runs, context, self._set_holds, ask_support)
        self._adoption = adoption = Adoption(self._files, context, settings.poll_interval_s)
        self._close_client = guarded("closing the connections")(self._http.close)

        def send() -> float:
            # In turns, so that neither this process's items nor adopted files wait for long.
            wait_s = sender.step()
            if wait_s > 0:  # a flush waits for the end of a step that sent something
                wait_s = min(wait_s, outbox.erase_settled())
            return min(wait_s, adoption.step())

        self._sender_thread = Worker(SENDER, send, clock, self._close_client)
        self._writer = Writer(
            buffer=buffer,
            outbox=outbox,
            registrations=Registrations(),
            clock=clock,
            interval_s=settings.flush_interval_s,
            ticks=self._ticks,
            moved=self._sender_thread.wake,
        )
        self._writer_thread = Worker(WRITER, self._writer.step, clock)

    def _make_outbox(self) -> Outbox:
        return Outbox(self._files, release=self._buffer.release)

    def _folder_in_use(self) -> Path | None:
        return self._spool.path if self._spool is not None and self._outbox.is_on_disk() else None

    @property
    def sink(self) -> Sink:
        """The sink for recorded items."""
        return self._buffer

    def _start_threads(self) -> None:
        """Start both threads unless they run; after a shutdown they do not start again."""
        self._on_start_threads()
        self._writer_thread.start()
        self._sender_thread.start()

    def wake_writer(self) -> None:
        """Make the writer move the queue; do not wait for it."""
        self._writer_thread.wake()

    def adopt(self) -> bool:
        """Start sending the files of ended processes; return whether there may be any."""
        if self._closed or not self._adoption.may_have_files():
            return False
        self._on_start_threads()
        self._adoption.request_scan()
        self._sender_thread.start()
        self._sender_thread.wake()
        return True

    def bring_back(self) -> None:
        """Make items that ended processes set aside ready to be sent again."""
        if self._files is not None:
            self._files.bring_back()

    def status(self) -> Status:
        """Return the status; the runtime fills in mode, faults and redactions."""
        counts = self._result(unmoved=self._unmoved())
        written = (self._outbox.oldest_ns(), self._adoption.oldest_ns())
        now_ns = self._clock.wall_ns()
        oldest_ns = min((time_ns for time_ns in written if time_ns is not None), default=now_ns)
        return Status(
            mode="",
            target=self._target,
            health=self._circuit.health,
            sent=counts.sent,
            pending=counts.pending,
            spooled=counts.spooled,
            set_aside=dict(self._tally.set_aside),
            dropped=counts.dropped,
            last_error=counts.last_error,
            writer_lag_s=self._writer.lag_s,
            buffer_bytes=self._buffer.held_bytes,
            spool_bytes=self._spool.size_bytes() if self._spool is not None else 0,
            spool_age_s=max(0.0, (now_ns - oldest_ns) / NS_PER_S),
            misattributed=dict(self._tally.misattributed),
            collisions=dict(self._tally.collisions),
            approver=self._tally.approver,
        )

    def flush(
        self, deadline: Deadline, *, adopting: bool = True, forced: bool = True
    ) -> FlushResult:
        """Deliver everything recorded so far, starts of open spans included.

        Tries once even if the last tries failed, unless the server asked to wait. Returns before
        the deadline when all is settled, or when nothing more would be tried before it.

        Args:
            deadline: Latest time of the return.
            forced: Try even if the last tries failed; otherwise a failing server is not called, and
                everything is only moved to the spool.
        """
        if self._closed or not (self._has_work or (adopting and self._adoption.may_have_files())):
            return self._result()
        result = self._flush(deadline, adopting=adopting, forced=forced)
        self._raise_faults()
        return result

    @property
    def _has_work(self) -> bool:
        """Whether a thread runs or an item is undelivered."""
        alive = self._writer_thread.alive or self._sender_thread.alive
        return alive or len(self._buffer) > 0 or self._outbox.pending() > 0

    def _flush(self, deadline: Deadline, *, adopting: bool, forced: bool) -> FlushResult:
        moved = self._move(deadline)
        newest = self._outbox.last_id()
        adopting = adopting and self._adoption.may_have_files()
        if adopting:
            self._adoption.request_scan()
        waiting = adopting or self._outbox.sendable(newest) > 0 or self._sender.step_running
        if waiting and (forced or self._circuit.may_try):
            self._deliver(newest, deadline, adopting=adopting, forced=forced)
        return self._result(newest, unmoved=0 if moved else self._unmoved())

    def _move(self, deadline: Deadline) -> bool:
        """Move everything to the outbox; return whether that was in time."""
        worker = self._writer_thread
        self._writer.announce_all()
        if not worker.start():
            worker.run_once()
            return True
        ticket = worker.request()
        return worker.wait(lambda: worker.is_done(ticket), deadline.remaining_s())

    def _deliver(self, newest: int, deadline: Deadline, *, adopting: bool, forced: bool) -> None:
        """Send the rows up to *newest*, as far as possible before the deadline."""
        worker, circuit = self._sender_thread, self._circuit
        self._sender.force()

        def done() -> bool:
            waiting = self._outbox.sendable(newest) or (adopting and self._adoption.busy)
            return not (waiting or self._sender.step_running)

        if not worker.start():
            self._send_on_this_thread(done, deadline)
            return
        ticket = worker.request()

        def settled() -> bool:
            if worker.faulty or done():
                return True
            if not (forced or circuit.may_try):
                return worker.is_done(ticket)
            return worker.is_done(ticket) and worker.due_in_s() > deadline.remaining_s()

        if not worker.wait(settled, deadline.remaining_s()):
            circuit.stalled = True

    def _send_on_this_thread(self, done: Callable[[], bool], deadline: Deadline) -> None:
        """Send from the calling thread, because no thread can be started any more."""
        worker, client = self._sender_thread, self._client
        before, client.deadline = client.deadline, deadline
        while not done():
            wait_s = worker.run_once()
            if wait_s >= deadline.remaining_s():
                break
            worker.wait(lambda: False, wait_s)
        client.deadline = before

    def _result(self, up_to: int | None = None, *, unmoved: int = 0) -> FlushResult:
        """Return the counts as the result of a flush.

        Args:
            up_to: Id of the last row that counts as pending; None counts all rows.
            unmoved: Number of items in no outbox that count as pending; after a shutdown all do.
        """
        outbox, adopted = self._outbox, self._adoption.pending()
        if self._closed:
            unmoved = self._unmoved()
        return FlushResult(
            sent=self._tally.sent,
            pending=outbox.pending(up_to) + adopted + unmoved,
            spooled=outbox.spooled(up_to) + adopted,
            set_aside=sum(self._tally.set_aside.values()),
            dropped=self._losses.by_reason(),
            last_error=self._circuit.last_error,
        )

    def _unmoved(self) -> int:
        """Count the items that are in no outbox yet, open spans included."""
        return len(self._buffer) + self._writer.in_transit

    def _raise_faults(self) -> None:
        for worker in (self._writer_thread, self._sender_thread):
            worker.raise_fault()

    def shutdown(self, deadline: Deadline, *, exiting: bool = False) -> FlushResult:
        """Flush, then stop; later items are counted as lost.

        Args:
            deadline: Latest time of the return; a running request is abandoned then.
            exiting: The process ends, so open spans are ended too.
        """
        with self._closing:
            if self._closed:
                return self._result()
            self._closed = True
        self._client.deadline = deadline
        self._writer.begin_shutdown()
        try:
            if self._has_work:
                self._flush_last(deadline, exiting=exiting)
        except KeyboardInterrupt:
            # After Ctrl-C nothing more is waited for; items on disk are kept.
            deadline = self._client.deadline = Deadline.after(0, self._clock)
            raise
        finally:
            self._stop(deadline)
            result = self._result()
            self._log_what_is_left(result)
        self._raise_faults()
        return result

    def _flush_last(self, deadline: Deadline, *, exiting: bool) -> None:
        flushed = self._flush(deadline, adopting=True, forced=True)
        if exiting and not flushed.pending and self._outbox.open_spans():
            # Otherwise they would be active until another process adopts them.
            self._writer.end_spans()
            self._flush(deadline, adopting=False, forced=False)

    def _stop(self, deadline: Deadline) -> None:
        """End both threads, move the remaining items, close everything."""
        stopped = self._writer_thread.stop(max(GRACE_S, deadline.remaining_s()))
        self._buffer.close()
        if stopped and (self._unmoved() or self._losses.runs()):
            self._writer_thread.run_once()
        sent_by_thread = self._sender_thread.alive
        self._sender_thread.stop(deadline.remaining_s())
        if not sent_by_thread:
            # Otherwise the sender closes it when it ends: if a connection were closed during a
            # request on another thread, its descriptor could be reused under that request.
            self._close_client()
        self._outbox.close(max(GRACE_S, deadline.remaining_s()))
        self._adoption.close(max(CLOSE_S, deadline.remaining_s()))

    def _log_what_is_left(self, result: FlushResult) -> None:
        """Log the items that a shutdown could not deliver: those lost, and those kept on disk.

        An outage has a line of its own, which says where the items are kept.
        """
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
        if result.spooled and not self._circuit.failing:
            logger.warning(
                "%d recorded items were not delivered to %s before the deadline of the shutdown; "
                "they are kept in %s, and %s; the last error was: %s",
                result.spooled,
                self._target,
                self._spool.path if self._spool is not None else "memory",
                self._circuit.how_to_send,
                why,
            )

    def stopped(self, timeout_s: float) -> bool:
        """Return whether the sender has ended after a shutdown, within *timeout_s* seconds."""
        return self._sender_thread.stop(timeout_s)

    def before_fork(self) -> None:
        """Keep other threads out of SQLite during a fork, if they stop in time.

        The child has no other thread, so a lock that one of them holds would stay locked there.
        """
        deadline = Deadline.after(FORK_WAIT_S, self._clock)
        if len(self._buffer) and self._writer_thread.pause(deadline.remaining_s()):
            # A child may record into a run that is only in memory. If this process were killed now,
            # no other process could end that run.
            try:
                self._writer.move(deadline)
            finally:
                self._writer_thread.resume()
        # A sender that waits for the network holds no lock that a child needs.
        sender = self._sender_thread if self._http.holds_locks else None
        # Kept before the first pause: a signal handler that raises during one must leave no part
        # paused.
        paused = self._paused[threading.get_ident()] = list[Worker | Files]()
        for part, wait_s in ((sender, deadline.remaining_s()), (self._files, FORK_WAIT_S)):
            if part is not None and part.pause(wait_s):
                paused.append(part)

    def after_fork_in_parent(self) -> None:
        """Resume the threads that `before_fork` paused."""
        for part in self._paused.pop(threading.get_ident(), []):
            part.resume()

    def after_fork_in_child(self) -> None:
        """Begin again in the child of a fork: new locks, outbox and threads, nothing queued."""
        self._buffer.after_fork_in_child()
        self._writer_thread.forget_after_fork()
        self._sender_thread.forget_after_fork()
        self._outbox.abandon()
        self._adoption.abandon()
        self._paused = {}
        self._assemble()

    def _count_loss(self, reason: Loss, count: int, run_keys: Iterable[str] = ()) -> None:
        """Count items that the spool dropped, also in the losses of its runs."""
        self._losses.add(reason, count)
        for run_key, lost in Counter(run_keys).items():
            self._losses.add_to_run(run_key, reason, lost)
            feed = self._buffer.feed(run_key)
            if feed is not None and not Loss.arrives_in_part(reason):
                feed.lost += lost
