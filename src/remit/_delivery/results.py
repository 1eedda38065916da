"""What users are told of delivery: the result of a flush, and where things stand.

Items are counted, not spans: the registration of a run, a span, the late end of a span that was
announced as active, a quality payload and the end of a run are one item each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from remit._delivery.health import Health


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


@dataclass(frozen=True, slots=True)
class Status:
    """Where delivery stands now; counts are totals since the process started.

    Attributes:
        mode: `remote`, `local` or `off`.
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
        spool_bytes: Bytes on disk.
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
    faults: Mapping[str, int] = field(default_factory=dict[str, int])
    withheld: Mapping[str, int] = field(default_factory=dict[str, int])

    @classmethod
    def nothing(cls) -> Status:
        """Return the status where nothing is delivered at all."""
        return cls("off", "", Health.IDLE, 0, 0, 0, {}, {}, None, 0.0, 0, 0)
