"""Reads the counts of delivery: for the result of a flush, the status, and the log at shutdown."""

from __future__ import annotations

from dataclasses import dataclass

from remit._base.clock import NS_PER_S
from remit._base.guard import logger
from remit._deliver.adoption import Adoption
from remit._deliver.buffer import Buffer
from remit._deliver.results import FlushResult, Status
from remit._deliver.sender import SenderContext
from remit._deliver.spool import Folder, Outbox
from remit._deliver.writer import Writer


@dataclass(frozen=True, slots=True)
class StatusReader:
    """Reads the counts of all parts of delivery; may be called from any thread.

    Attributes:
        target: URL or path without credentials.
        buffer: Holds items until the writer moves them.
        writer: Moves items to the outbox.
        outbox: Holds items until they are sent.
        adoption: Sends the files of ended processes.
        context: Has the circuit, the tally and the losses.
        spool: Folder for undelivered items; None if they are in memory.
    """

    target: str
    buffer: Buffer
    writer: Writer
    outbox: Outbox
    adoption: Adoption
    context: SenderContext
    spool: Folder | None

    def unmoved(self) -> int:
        """Count the items that are in no outbox yet, open spans included."""
        return len(self.buffer) + self.writer.in_transit

    def result(self, up_to: int | None = None, *, unmoved: int = 0) -> FlushResult:
        """Return the counts as the result of a flush.

        Args:
            up_to: Id of the last row that counts as pending; None counts all rows.
            unmoved: Number of items in no outbox that count as pending.
        """
        outbox, context, adopted = self.outbox, self.context, self.adoption.pending()
        return FlushResult(
            sent=context.tally.sent,
            pending=outbox.pending(up_to) + adopted + unmoved,
            spooled=outbox.spooled(up_to) + adopted,
            set_aside=sum(context.tally.set_aside.values()),
            dropped=context.losses.by_reason(),
            last_error=context.circuit.last_error,
        )

    def status(self) -> Status:
        """Return the status; the runtime fills in mode, faults and what was withheld."""
        outbox, context = self.outbox, self.context
        adopted = self.adoption.pending()
        return Status(
            mode="",
            target=self.target,
            health=context.circuit.health,
            sent=context.tally.sent,
            pending=outbox.pending() + adopted + self.unmoved(),
            spooled=outbox.spooled() + adopted,
            set_aside=dict(context.tally.set_aside),
            dropped=context.losses.by_reason(),
            last_error=context.circuit.last_error,
            writer_lag_s=self.writer.lag_s,
            buffer_bytes=self.buffer.held_bytes,
            spool_bytes=self.spool.size_bytes() if self.spool is not None else 0,
            spool_age_s=self._spool_age_s(),
            misattributed=dict(context.tally.misattributed),
        )

    def log_what_is_left(self, result: FlushResult) -> None:
        """Log the items that a shutdown could not deliver: those kept on disk, those lost."""
        why = result.last_error or "none, there was not enough time (see exit_timeout_s)"
        lost = result.pending - result.spooled
        if lost:
            logger.warning(
                "%d recorded items were not delivered to %s before the deadline of the shutdown "
                "and are lost with this process; the last error was: %s",
                lost,
                self.target,
                why,
            )
        if result.spooled:
            logger.warning(
                "%d recorded items were not delivered to %s before the deadline of the shutdown; "
                "they are kept in %s, and %s; the last error was: %s",
                result.spooled,
                self.target,
                self.spool.path if self.spool is not None else "memory",
                self.context.circuit.how_to_send,
                why,
            )

    def _spool_age_s(self) -> float:
        written = (self.outbox.oldest_ns(), self.adoption.oldest_ns())
        now_ns = self.context.clock.wall_ns()
        oldest_ns = min((time_ns for time_ns in written if time_ns is not None), default=now_ns)
        return max(0.0, (now_ns - oldest_ns) / NS_PER_S)
