"""The runs that are being delivered: how far each has come, and what its items need of it."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from remit._delivery.settling import Refusal
from remit._ids import PARTITION_BITS, PARTITION_CHARS, encode, key_within, partition_of
from remit._sink import RunFeed
from remit._spool import Outbox, RunRecord, RunState
from remit.errors import ApiError

# A quality payload may come after its run's end; a run that ended this many runs ago is forgotten.
MAX_ENDED: Final = 1000
TERMINATED: Final = "terminated"


@dataclass(slots=True, eq=False)
class Track:
    """One run on its way.

    Attributes:
        record: What must be known to deliver it; kept in the outbox.
        feed: What its recording is told; None once the recording let go of it.
        partition: Of the instance's id, as text; the ids of its spans are in it.
        root_key: Key of its root span at the server.
        answered_ns: Monotonic time of the server's last answer about it.
        renewed: It was registered once more, because the server did not know it any longer.
        root_sent: The end of its root span was delivered.
        told: What it lost was told to the server.
        refusal: Why everything of it is set aside; None if it is not.
    """

    record: RunRecord
    feed: RunFeed | None
    partition: str = ""
    root_key: bytes = b""
    answered_ns: int = 0
    renewed: bool = False
    root_sent: bool = False
    told: bool = False
    refusal: Refusal | None = None

    @property
    def ready(self) -> bool:
        """Whether its items can be sent."""
        return self.record.state in (RunState.STARTED, RunState.ENDED)

    def refuse(self, why: ApiError | Refusal) -> None:
        """Have everything of the run set aside."""
        self.record.state = RunState.SET_ASIDE
        if isinstance(why, ApiError):
            why = Refusal.of_run(self.record.registration.external_identifier, why)
        self.refusal = why

    @property
    def running(self) -> bool:
        """Whether the server knows the run, and its recording goes on unterminated."""
        if self.feed is None or self.feed.terminated is not None or self.root_sent:
            return False
        return self.record.state is RunState.STARTED

    @property
    def streaming(self) -> bool:
        """Whether a stream of the run is open: it may send nothing for long, and can be stopped."""
        return self.feed is not None and bool(self.feed.streams)

    def identify(self, instance_id: str) -> None:
        """Take the id that the server gave the run, and tell the recording."""
        self.record.instance_id = instance_id
        self.partition = partition_text(instance_id)
        # Derived, for a process that resumes the run knows nothing but the instance's id.
        self.root_key = key_within(instance_id, "root") or self.record.root
        if self.feed is not None:
            self.feed.instance_id = instance_id

    def heed(self, status: str | None, reason: str | None) -> None:
        """Take note of where the server says that the run stands."""
        if status == TERMINATED:
            self.terminate(reason)

    def terminate(self, reason: str | None) -> None:
        """Tell the recording that the run was terminated from outside."""
        if self.feed is not None and self.feed.terminated is None:
            self.feed.terminated = reason or ""


def partition_text(instance_id: str) -> str:
    """Return the partition of an id; of one that is no PFID, one derived from it.

    Derived, not random: a later process must come to the same ids for the same spans.
    """
    partition = partition_of(instance_id)
    if partition is None:
        partition = zlib.crc32(instance_id.encode()) & ((1 << PARTITION_BITS) - 1)
    return encode(partition, PARTITION_CHARS)


def _nobody(_: str) -> None:
    """Have no feed: the process that recorded the run has ended."""


class Tracks:
    """Finds the track of a run, and lets go of those that have ended."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        feed_of: Callable[[str], RunFeed | None] = _nobody,
        forget: Callable[[str], object] = _nobody,
    ) -> None:
        """Begin with none.

        Args:
            outbox: Holds the records.
            feed_of: Returns the feed of a run by its key; of a run of an ended process, nothing.
            forget: Lets go of the feed of a run.
        """
        self._outbox = outbox
        self._feed_of = feed_of
        self._forget = forget
        self._open: dict[str, Track] = {}
        self._ended: OrderedDict[str, Track] = OrderedDict()

    def get(self, run_key: str) -> Track | None:
        """Return the track of a run, None if nothing is known of it (any more)."""
        return self._open.get(run_key) or self._ended.get(run_key) or self._begin(run_key)

    def running(self) -> list[Track]:
        """Return the runs whose recording goes on and may have to be told of a termination."""
        return [track for track in self._open.values() if track.running]

    def end(self, track: Track) -> None:
        """Let go of a run whose end was delivered or refused."""
        key = track.record.key
        if track.record.state is not RunState.SET_ASIDE:
            track.record.state = RunState.ENDED
        self._open.pop(key, None)
        self._ended[key] = track
        track.feed = None
        self._forget(key)
        self._outbox.save_run(track.record)
        if len(self._ended) > MAX_ENDED:
            oldest, _ = self._ended.popitem(last=False)
            self._outbox.forget_run(oldest)

    def end_left(self) -> None:
        """Let go of runs whose own end was lost: the root's came, and nothing waits any more."""
        for track in [track for track in self._open.values() if track.root_sent]:
            self.end(track)

    def _begin(self, run_key: str) -> Track | None:
        record = self._outbox.run(run_key)
        if record is None:
            return None
        if record.state is RunState.SET_ASIDE:
            # By an ended process; its server may have been mended since.
            record.state = RunState.NEW
        track = self._open[run_key] = Track(record, self._feed_of(run_key))
        if record.instance_id is not None:
            track.identify(record.instance_id)
        return track
