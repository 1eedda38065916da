"""Adoption: sends what ended processes left in the spool, and ends their runs."""

from __future__ import annotations

from collections import Counter

from remit._base.clock import NS_PER_S
from remit._deliver.losses import Loss, failed_end, failed_run_ends, loss_span
from remit._deliver.run_delivery import RunDeliveries
from remit._deliver.sender import Sender, SenderContext
from remit._deliver.spool import (
    STORAGE_ERRORS,
    DamagedError,
    FileOutbox,
    Files,
    RunRecord,
    is_damage,
)
from remit._record.items import Item


class Adoption:
    """Sends one file after the other, between the steps of the process's own outbox.

    A step is made by the sender's thread; the counts may be read from any.
    """

    def __init__(self, files: Files | None, context: SenderContext, scan_every_s: float) -> None:
        """Open nothing yet.

        Args:
            files: The spool's files; None without a spool.
            context: Shared by all senders of the process.
            scan_every_s: Seconds between two scans for files of processes that have ended.
        """
        self._files = files
        self._context = context
        self._scan_every_ns = int(scan_every_s * NS_PER_S)
        self._next_scan_ns = context.clock.monotonic_ns()
        self._file: FileOutbox | None = None
        self._sender: Sender | None = None
        self._closed = False

    def request_scan(self) -> None:
        """Make the next step scan, and send even while the circuit is open."""
        self._next_scan_ns = 0
        if self._sender is not None:
            self._sender.force()

    def may_have_files(self) -> bool:
        """Return whether there may be something to adopt, without opening a file."""
        return self._file is not None or (self._files is not None and self._files.has_files())

    @property
    def busy(self) -> bool:
        """Whether a file is being sent, or a requested scan has not been made yet."""
        return self._file is not None or (self._files is not None and not self._next_scan_ns)

    def pending(self) -> int:
        """Count the rows of the file that is being sent."""
        file = self._file
        return 0 if file is None else file.pending()

    def oldest_ns(self) -> int | None:
        """Return when the oldest of those rows was written, by the wall clock."""
        file = self._file
        return None if file is None else file.oldest_ns()

    def step(self) -> float:
        """Send a window of a file, or scan for one; return the seconds until the next step."""
        if self._files is None or self._closed:
            return self._context.poll_interval_s
        if self._file is None:
            self._take(self._files)
        file, sender = self._file, self._sender
        if file is None or sender is None:
            return max(0.0, (self._next_scan_ns - self._context.clock.monotonic_ns()) / NS_PER_S)
        try:
            return self._send(file, sender)
        except (DamagedError, *STORAGE_ERRORS) as error:
            self._put_back(file, error)
            return 0.0

    def abandon(self) -> None:
        """Leave the file to the parent, in the child of a fork."""
        if self._file is not None:
            self._file.abandon()

    def close(self, timeout_s: float) -> None:
        """Release the file; a later process sends what is left. Wait at most *timeout_s*."""
        self._closed = True
        file = self._file
        if file is not None:
            file.close(timeout_s)

    def _take(self, files: Files) -> None:
        now_ns = self._context.clock.monotonic_ns()
        if now_ns < self._next_scan_ns:
            return
        file = files.take()
        if file is None:
            self._next_scan_ns = now_ns + self._scan_every_ns
        else:
            self._open(file)

    def _open(self, file: FileOutbox) -> None:
        self._sender = Sender(file, RunDeliveries(file), self._context)
        self._file = file
        if self._closed:
            # Taken while another thread closed: one of the two sees the other.
            file.close()

    def _send(self, file: FileOutbox, sender: Sender) -> float:
        rest_s = sender.step()
        if file.pending():
            return rest_s
        endings, changed = _endings(file)
        if endings:
            file.put(endings, changed)
        else:
            file.close()
            self._file = self._sender = None
            if file.claim.path.exists():
                # It is left for another process, so the next scan is not urgent.
                self._next_scan_ns = self._context.clock.monotonic_ns() + self._scan_every_ns
        return 0.0

    def _put_back(self, file: FileOutbox, error: Exception) -> None:
        """Release a file that cannot be read or written; rescue the content of a damaged one."""
        claim = file.detach()
        self._file = self._sender = None
        if self._files is not None and is_damage(error):
            rescued = self._files.rescue(claim, error)
            if rescued is not None:
                self._open(rescued)
        else:
            claim.release()
            self._next_scan_ns = self._context.clock.monotonic_ns() + self._scan_every_ns


def _endings(file: FileOutbox) -> tuple[list[Item], list[RunRecord]]:
    """Return the ends of open spans and runs of the process of *file*, and its losses.

    Returns:
        Items to be sent, and the run records that changed.
    """
    runs = {record.key: record for record in file.open_runs()}
    roots = {record.root for record in runs.values()}
    spans = [
        failed_end(span, file.last_write_ns) for span in file.open_spans() if span.key not in roots
    ]
    for run_key, count in Counter(span.run_key for span in spans).items():
        if run_key in runs:
            runs[run_key].lost = {**runs[run_key].lost, Loss.PROCESS_ENDED.value: count}
    with_losses = file.inherited_with_losses()
    losses = [loss_span(record, file.last_write_ns, file.claim.path.stem) for record in with_losses]
    for record in with_losses:
        record.lost = {}
    ends = [
        item for record in runs.values() for item in failed_run_ends(record, file.last_write_ns)
    ]
    return [*spans, *losses, *ends], [*runs.values(), *with_losses]
