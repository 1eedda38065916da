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
    """State of delivery."""

    IDLE = "idle"
    """Nothing was sent yet."""
    OK = "ok"
    """The server accepted the last request."""
    FAILING = "failing"
    """The server cannot be reached, or cannot respond now."""
    UNAUTHORIZED = "unauthorized"
    """The server rejects the token."""
    WRONG_SERVER = "wrong_server"
    """The server at the URL does not provide the API."""


class Tally:
    """Delivery counts of a process: its own items and adopted ones.

    Attributes:
        set_aside: Items that the server rejected for good and that are kept, by its reason.
        misattributed: Runs that the server records under another agent, by the name of the
            program's agent.
        collisions: A sentence about another program, by the identifier of the agent that both
            programs register.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.set_aside: Counter[str] = Counter()
        self.misattributed: Counter[str] = Counter()
        self.collisions: dict[str, str] = {}


class FlushResult(Struct, frozen=True):
    """Counts of sent, waiting and lost items. It is true only if everything was delivered.

    `pending` counts items that existed when the flush began. The other counts are totals since
    remit was first used in this process, or since it was used again after a shutdown, so that a
    loss stays visible.

    Attributes:
        sent: Items that the server accepted.
        pending: Items that still wait.
        spooled: Pending items that are on disk, and so outlive the process.
        set_aside: Items that the server rejected for good, kept in the spool.
        dropped: Lost items and payloads, by reason.
        last_error: The last error, in words; it may have been corrected since.
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
    """The current status of delivery; after a shutdown, the status at its end.

    Counts are totals since remit was first used in this process, or since it was used again after a
    shutdown; a forked child begins at zero. Files of ended processes count from the time when this
    process takes them over; `remit spool status` shows all files.

    Attributes:
        mode: `remote`, `local` or `off`; `unknown` after a fault inside remit.
        target: The server or database, without credentials.
        health: State of delivery.
        sent: Items that the server accepted.
        pending: Items that wait, in memory or on disk.
        spooled: Pending items that are on disk.
        set_aside: Items that the server rejected for good and that are kept in the spool, by its
            reason.
        dropped: Lost items and payloads, by reason.
        last_error: The last error, in words; it may have been corrected since.
        writer_lag_s: Greatest age of an item that is only in memory, in seconds.
        buffer_bytes: Bytes of memory that waiting items take.
        spool_bytes: Bytes on disk in the whole directory, including other processes.
        spool_age_s: Age of the oldest item on disk that this process is to send, in seconds.
        faults: Faults inside remit that did not reach the program, by place.
        redacted: Redacted values, by rule.
        violations: Steps that violated an agent's remit (run or denied) or received a value that
            they exclude, by name.
        outside_run: Calls of steps outside any run, by name.
        misattributed: Runs that the server records under another agent, by the name of the
            program's agent.
        collisions: A sentence about another program, by the identifier of the agent that both
            programs register.
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
