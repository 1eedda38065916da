"""Adoption: sends the items that ended processes left in the spool, and ends their runs."""

from __future__ import annotations

from collections import Counter

from remit._base.clock import NS_PER_S
from remit._deliver.losses import Loss, cancelled_end, failed_end, failed_run_ends, loss_span
from remit._deliver.run_delivery import RunDeliveries
from remit._deliver.sender import Sender
from remit._deliver.spool.files import Files
from remit._deliver.spool.outbox import Outbox
from remit._deliver.spool.store import SpoolFile, is_damage
from remit._deliver.stored import StoredRun
from remit._deliver.window import SenderContext
from remit._record.items import Item


class Adoption:
    """Sends one file after the other, between the steps of the process's own outbox.

    A step is made by the sender's thread; the counts may be read from any.
    """

    def __init__(self, files: Files | None, context: SenderContext, scan_every_s: float) -> None:
        """Open nothing yet.

        Args:
            context: Shared by all senders of the process.
            scan_every_s: Seconds between two scans for files of processes that have ended.
        """
        self._files = files
        self._context = context
        self._scan_every_ns = int(scan_every_s * NS_PER_S)
        self._next_scan_ns = context.clock.monotonic_ns()
        # The file that is being sent, and whether the ends of its runs were added.
        self._file: SpoolFile | None = None
        self._outbox: Outbox | None = None
        self._sender: Sender | None = None
        self._ended = False
        self._closed = False

    def request_scan(self) -> None:
        """Make the next step scan, and send even while the circuit is open."""
        self._next_scan_ns = 0
        if self._sender is not None:
            self._sender.force()

    def may_have_files(self) -> bool:
        """Return whether there may be something to adopt, without opening a file."""
        return self._outbox is not None or (self._files is not None and self._files.has_files())

    @property
    def busy(self) -> bool:
        """Whether a file is being sent, or a requested scan has not been made yet."""
        return self._outbox is not None or (self._files is not None and not self._next_scan_ns)

    def pending(self) -> int:
        """Count the rows of the file that is being sent."""
        outbox = self._outbox
        return 0 if outbox is None else outbox.pending()

    def oldest_ns(self) -> int | None:
        """Return when the oldest of those rows was written, by the wall clock."""
        outbox = self._outbox
        return None if outbox is None else outbox.oldest_ns()

    def step(self) -> float:
        """Send a window of a file, or scan for one; return the seconds until the next step."""
        if self._files is None or self._closed:
            return self._context.poll_interval_s
        if self._outbox is None:
            self._take(self._files)
        file, outbox, sender = self._file, self._outbox, self._sender
        if file is None or outbox is None or sender is None:
            return max(0.0, (self._next_scan_ns - self._context.clock.monotonic_ns()) / NS_PER_S)
        wait_s = sender.step()
        if outbox.broken is not None:
            self._put_back(self._files, outbox, outbox.broken)
        elif outbox.pending() or self._closed:
            return wait_s
        elif not self._ended:
            self._ended = True
            outbox.put(*_endings(file, outbox))
        else:
            outbox.close()
            self._outbox = None
            if file.claim.path.exists():
                # It is left for another process, so the next scan is not urgent.
                self._postpone_scan()
        return 0.0

    def abandon(self) -> None:
        """Leave the file to the parent, in the child of a fork."""
        if self._outbox is not None:
            self._outbox.abandon()

    def close(self, timeout_s: float) -> None:
        """Release the file; a later process sends the rest. Wait at most *timeout_s*."""
        self._closed = True
        outbox = self._outbox
        if outbox is not None:
            outbox.close(timeout_s)

    def _take(self, files: Files) -> None:
        if self._context.clock.monotonic_ns() < self._next_scan_ns:
            return
        file = files.take()
        if file is None:
            self._postpone_scan()
        else:
            self._open(files, file)

    def _open(self, files: Files, file: SpoolFile) -> None:
        self._file, self._ended = file, False
        outbox = Outbox(files, file=file)
        self._sender = Sender(outbox, RunDeliveries(outbox), self._context)
        self._outbox = outbox
        if self._closed:
            # Taken while another thread closed: one of the two sees the other.
            outbox.close()

    def _put_back(self, files: Files, outbox: Outbox, error: Exception) -> None:
        """Release a file that cannot be read; rescue the content of a damaged one."""
        claim, self._outbox = outbox.detach(), None
        if claim is None:
            return
        if not is_damage(error):
            claim.release()
            self._postpone_scan()
            return
        rescued = files.rescue(claim, error)
        if rescued is not None:
            self._open(files, rescued)
        elif claim.path.exists():
            self._postpone_scan()

    def _postpone_scan(self) -> None:
        self._next_scan_ns = self._context.clock.monotonic_ns() + self._scan_every_ns


def _endings(file: SpoolFile, outbox: Outbox) -> tuple[list[Item], list[StoredRun]]:
    """Return the ends of open spans and runs of the process of *file*, and its losses.

    Returns:
        Items to be sent, and the runs that changed.
    """
    open_runs = outbox.open_runs()
    roots, waiting = {run.root for run in open_runs}, {run.key for run in open_runs if run.waits}
    # The answer comes to another process, which goes on in the run.
    runs = {run.key: run for run in open_runs if not run.waits}
    ended_ns, process = file.last_write_ns, file.claim.path.stem
    open_spans = [span for span in outbox.open_spans() if span.key not in roots]
    paused = [cancelled_end(span, ended_ns) for span in open_spans if span.run_key in waiting]
    spans = [failed_end(span, ended_ns) for span in open_spans if span.run_key not in waiting]
    for run_key, count in Counter(span.run_key for span in spans).items():
        if run_key in runs:
            runs[run_key].lost = {**runs[run_key].lost, Loss.PROCESS_ENDED.value: count}
    # Another process ends these runs.
    inherited = [run for run in outbox.runs() if run.inherited and run.lost]
    losses = [loss_span(run, ended_ns, process) for run in inherited]
    for run in inherited:
        run.lost = {}
    ends = [item for run in runs.values() for item in failed_run_ends(run, ended_ns)]
    return [*paused, *spans, *losses, *ends], [*runs.values(), *inherited]
