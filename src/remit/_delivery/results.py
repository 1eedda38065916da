"""What users are told of delivery: the result of a flush, and where things stand.

Items are counted, not spans: the registration of a run, a span, the late end of a span that was
announced as active, a quality payload and the end of a run are one item each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from remit._delivery.health import Health

FAULT: Final = "a fault inside remit; see remit.status().faults"


@dataclass(frozen=True, slots=True)
class FlushResult:
    """What became of what was recorded; true only if all of it was delivered.

    `pending` is of what existed when the flush began; the others are totals since the process
    started, so that a loss stays visible.

    Attributes:
        sent: Items that the server took.
        pending: Items that wait still.
        spooled: Those of them that are on disk and outlive the process.
        set_aside: Items that the server refused for good.
        dropped: Items, or payloads of items, that were given up, by reason.
        last_error: The last thing that went wrong, in words; it may be mended since.
    """

    sent: int
    pending: int
    spooled: int
    set_aside: int
    dropped: Mapping[str, int]
    last_error: str | None

    def __bool__(self) -> bool:
        """Tell whether everything was delivered."""
        return not (self.pending or self.set_aside or any(self.dropped.values()))

    @classmethod
    def nothing(cls) -> FlushResult:
        """Return the result of a flush where nothing is delivered at all."""
        return cls(0, 0, 0, 0, {}, None)

    @classmethod
    def unknown(cls) -> FlushResult:
        """Return what is known after a fault of ours: not that everything was delivered."""
        return cls(0, 0, 0, 0, {"fault": 1}, FAULT)


@dataclass(frozen=True, slots=True)
class Status:
    """Where delivery stands now; counts are totals since the process started.

    Attributes:
        mode: `remote`, `local` or `off`; `unknown` after a fault of remit's own.
        target: Where to, without credentials.
        health: How delivery fares.
        sent: Items that the server took.
        pending: Items that wait, in memory or on disk.
        spooled: Those of them that are on disk.
        set_aside: Items that the server refused for good, by its reason.
        dropped: Items, or payloads of items, that were given up, by reason.
        last_error: The last thing that went wrong, in words; it may be mended since.
        writer_lag_s: Age at most of the oldest item that the writer has not moved, in seconds.
        buffer_bytes: Bytes of memory that waiting items take.
        spool_bytes: Bytes on disk, of the whole folder: of other processes too.
        spool_age_s: Age of the oldest item on disk that this process is to send, in seconds.
        faults: Faults inside remit that were contained, by place.
        withheld: Values that redaction withheld, by rule.
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
    withheld: Mapping[str, int] = field(default_factory=dict[str, int])

    @classmethod
    def nothing(cls) -> Status:
        """Return the status where nothing is delivered at all."""
        return cls("off", "", Health.IDLE, 0, 0, 0, {}, {}, None, 0.0, 0, 0)

    @classmethod
    def unknown(cls) -> Status:
        """Return what is known after a fault of ours."""
        return cls("unknown", "", Health.IDLE, 0, 0, 0, {}, {}, FAULT, 0.0, 0, 0)
