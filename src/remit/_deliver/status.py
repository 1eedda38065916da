"""The result of a flush, and the status of delivery, for users.

Items are counted, not spans: the registration of a run, a span, the late end of a span that was
announced as active, a quality payload and the end of a run are one item each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

FAULT: Final = "a fault inside remit; see remit.status().faults"


class Health(StrEnum):
    """Health of the delivery."""

    IDLE = "idle"
    """No data has been sent yet."""
    OK = "ok"
    """The server accepted the last request."""
    FAILING = "failing"
    """The server cannot be reached or is temporarily unavailable."""
    UNAUTHORIZED = "unauthorized"
    """The server rejects the token."""
    WRONG_SERVER = "wrong_server"
    """The server at the URL does not provide the API."""


class Tally:
    """Delivery counts of a process: its own items and adopted ones.

    Attributes:
        set_aside: Items that the server rejected for good and that are kept, by its reason.
        misattributed: Number of runs that the server records under a different agent, per agent
            name in the program.
        collisions: A sentence about the other program, per agent that two programs register.
        approver: Why the approver `"server"` cannot ask, if the server said so.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.set_aside: Counter[str] = Counter()
        self.misattributed: Counter[str] = Counter()
        self.collisions: dict[str, str] = {}
        self.approver: str | None = None


class FlushResult(Struct, frozen=True):
    """Counts of sent, waiting and lost items. The object is true only if all items were delivered.

    `pending` counts only items that existed when the flush began. The other counts are totals since
    remit was first used in this process, or first used again after a shutdown. Therefore, a loss
    remains visible in later flushes.

    Attributes:
        sent: Items that the server accepted.
        pending: Items that are still waiting.
        spooled: Pending items that are on disk, so they are kept when the process ends.
        set_aside: Items that the server rejected permanently. They are kept in the spool.
        dropped: Number of lost items and payloads, per reason.
        last_error: Message of the last error. The problem may have been solved since then.
    """

    sent: int
    pending: int
    spooled: int
    set_aside: int
    dropped: Mapping[str, int]
    last_error: str | None

    def __str__(self) -> str:
        return f"{_counted(self)}; last error: {self.last_error or 'none'}"

    def __bool__(self) -> bool:
        return not (self.pending or self.set_aside or any(self.dropped.values()))

    @classmethod
    def nothing(cls) -> FlushResult:
        """Return the result where nothing is delivered at all."""
        return cls(0, 0, 0, 0, {}, None)


class Status(Struct, frozen=True):
    """The current delivery status. After a shutdown, it is the status at the end of the shutdown.

    Counts are totals since remit was first used in this process, or first used again after a
    shutdown. A forked child starts at zero. The spool files of ended processes are included when
    this process takes them over. `remit spool status` shows all files.

    Attributes:
        mode: `remote`, `local` or `off`, or `unknown` after a fault inside remit.
        target: The server or database, without credentials.
        health: Health of the delivery.
        sent: Items that the server accepted.
        pending: Items that are waiting, in memory or on disk.
        spooled: Pending items that are on disk.
        set_aside: Number of items in the spool that the server rejected permanently, per reason
            that the server gave.
        dropped: Number of lost items and payloads, per reason.
        last_error: Message of the last error. The problem may have been solved since then.
        writer_lag_s: Age in seconds of the oldest item that is only in memory.
        buffer_bytes: Bytes of memory that waiting items use.
        spool_bytes: Bytes on disk in the whole spool directory, including files of other processes.
        spool_age_s: Age in seconds of the oldest item on disk that this process will send.
        faults: Number of faults inside remit, per place in the code. They did not affect the
            program.
        redacted: Number of values that each rule redacted.
        violations: Number of steps that violated an agent's remit, or received a value that their
            declaration excludes, per step name. Denied steps are included.
        outside_run: Number of calls outside any run, per step name.
        misattributed: Number of runs that the server records under a different agent, per agent
            name in the program.
        collisions: A sentence about the other program, per agent that two programs register.
        approver: Why the approver `"server"` cannot ask. None if it can, or is not set, or
            nothing has been sent yet.
    """

    mode: str
    target: str
    health: Health
    sent: int
    pending: int
    spooled: int
    set_aside: Mapping[str, int]
    dropped: Mapping[str, int]
    last_error: str | None
    writer_lag_s: float
    buffer_bytes: int
    spool_bytes: int
    spool_age_s: float = 0.0
    faults: Mapping[str, int] = field(default_factory=dict[str, int])
    redacted: Mapping[str, int] = field(default_factory=dict[str, int])
    violations: Mapping[str, int] = field(default_factory=dict[str, int])
    outside_run: Mapping[str, int] = field(default_factory=dict[str, int])
    misattributed: Mapping[str, int] = field(default_factory=dict[str, int])
    collisions: Mapping[str, str] = field(default_factory=dict[str, str])
    approver: str | None = None

    def __str__(self) -> str:
        lines = [
            f"mode {self.mode}, to {self.target or 'nowhere'}: {self.health}",
            _counted(self),
            f"writer behind by {self.writer_lag_s:.1f} s, {self.buffer_bytes:,} bytes in memory",
            f"spool {self.spool_bytes:,} bytes, the oldest item {self.spool_age_s:.1f} s old",
            f"last error: {self.last_error or 'none'}",
        ]
        counted = {
            "calls outside any run": self.outside_run,
            "faults of remit's own": self.faults,
            "runs recorded as another agent's": self.misattributed,
        }
        lines += [f"{what}: {_by_reason(counts)}" for what, counts in counted.items() if counts]
        lines += [f"two programs are {agent}: {other}" for agent, other in self.collisions.items()]
        if self.approver is not None:
            lines.append(f"steps that ask a person are denied: {self.approver}")
        return "\n".join(lines)

    @classmethod
    def nothing(cls) -> Status:
        """Return the status where nothing is delivered at all."""
        return cls("off", "", Health.IDLE, 0, 0, 0, {}, {}, None, 0.0, 0, 0)


def _counted(counts: FlushResult | Status) -> str:
    aside = counts.set_aside
    return (
        f"{counts.sent:,} sent, {counts.pending:,} pending, {counts.spooled:,} of them on disk, "
        f"{f'{aside:,}' if isinstance(aside, int) else _by_reason(aside)} set aside, "
        f"{_by_reason(counts.dropped)} dropped"
    )


def _by_reason(counts: Mapping[str, int]) -> str:
    each = ", ".join(f"{reason} {count:,}" for reason, count in counts.items() if count)
    return f"{sum(counts.values()):,}" + (f" ({each})" if each else "")


# Created at import, so that returning them cannot fail.
UNKNOWN: Final = FlushResult(0, 0, 0, 0, {"fault": 1}, FAULT)
UNSEEN: Final = replace(Status.nothing(), mode="unknown", last_error=FAULT)
