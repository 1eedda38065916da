"""The sender: takes a window of the outbox, opens its runs, sends its spans, ends its runs."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from remit._clock import NS_PER_S
from remit._delivery import calls
from remit._delivery.calls import OF_SENDING, OutOfTimeError
from remit._delivery.opening import UnregistrableError
from remit._delivery.parts import Parts
from remit._delivery.settling import FAULT, RUN_FAULT, Refusal
from remit._delivery.spans import Spans
from remit._delivery.tracks import Track
from remit._delivery.troubles import Troubles
from remit._guard import guarded
from remit._losses import Loss
from remit._sink import Kind
from remit._spool import Row
from remit.errors import (
    ContractError,
    NotFoundError,
    RejectedError,
    UnauthorizedError,
    UnavailableError,
)

OF_SPANS: Final = (Kind.SPAN, Kind.FINISH)
# A few batches: runs that begin and end in one window cost one bulk request together.
WINDOW_BATCHES: Final = 4
# An hour of open runs must not become a burst of requests.
MAX_LOOKS: Final = 20


class Sender:
    """Delivers what is in the outbox; nothing here knows threads.

    Attributes:
        midway: Something may be settled already of what the pulse is not told yet.
    """

    def __init__(
        self,
        parts: Parts,
        spans: Spans,
        *,
        window_items: int,
        poll_interval_s: float,
        stream_interval_s: float,
    ) -> None:
        """Wire the parts; nothing is sent yet.

        Args:
            parts: What sending needs.
            spans: Sends the spans of a window.
            window_items: Most rows looked at in one step.
            poll_interval_s: Seconds without an answer about a run before it is asked after.
            stream_interval_s: The same, while a stream of the run is open; also the interval at
                which such runs are asked after.
        """
        self._outbox = parts.outbox
        self._door = parts.door
        self._tracks = parts.tracks
        self._opening = parts.opening
        self._settling = parts.settling
        self._pulse = parts.pulse
        self._clock = parts.clock
        self._spans = spans
        self._window_items = window_items
        self._poll_interval_s = poll_interval_s
        self._stream_interval_s = stream_interval_s
        self._next_round_ns = 0
        self._urged = False
        self.midway = False
        # Faults of ours: what is one run's must not hold up the others.
        self._run_troubles: Troubles[str] = Troubles(parts.clock)
        self._row_troubles: Troubles[int] = Troubles(parts.clock)

    def urge(self) -> None:
        """Have the next step try even while the circuit is open, unless the server asked not to."""
        self._urged = True

    def step(self) -> float:
        """Send one window; return the seconds until the next step makes sense."""
        urged, self._urged = self._urged, False
        wait_s = self._pulse.wait_s(urged=urged)
        if wait_s > 0:
            return wait_s
        settled, advanced = self._settling.settled, self._opening.advanced
        self.midway = True
        try:
            self._try()
        except OutOfTimeError:
            return self._poll_interval_s
        except (UnavailableError, UnauthorizedError, ContractError) as error:
            # Not by what was answered: a refusal may come again at each try.
            kept = (self._settling.settled, self._opening.advanced) != (settled, advanced)
            return self._pulse.failed(error, afresh=kept)
        finally:
            self.midway = False
        return 0.0 if self._settling.settled != settled else self._rest_s()

    def _try(self) -> None:
        answered = self._door.answered
        self._send_window()
        self._look_at_runs()
        if self._door.answered != answered:
            self._pulse.succeeded()

    def _send_window(self) -> None:
        rows = self._outbox.head(self._window_items)
        if self._run_troubles:
            # What a run waited with may have been given up meanwhile.
            self._run_troubles.keep({item.run_key for _, item in rows})
        if not rows:
            self._tracks.end_left()
            return
        others = [row for row in rows if row[1].kind not in OF_SPANS]
        self._open_runs(rows, [row for row in others if row[1].kind == Kind.RUN])
        # Mostly there are no others.
        spans = [row for row in rows if row[1].kind in OF_SPANS] if others else rows
        self._spans.send(spans)
        for row in others:
            if row[1].kind != Kind.RUN:
                self._send_end(row)

    def _open_runs(self, rows: list[Row], beginnings: list[Row]) -> None:
        """Open the runs of *rows* that are not; settle the *beginnings* among those."""
        for run_key in dict.fromkeys([item.run_key for _, item in rows]):
            track = self._tracks.get(run_key)
            if track is None or track.ready or track.refusal is not None:
                continue
            if not self._run_troubles.waits(run_key):
                self._open(track)
        opened: list[int] = []
        for row in beginnings:
            track = self._tracks.get(row[1].run_key)
            if track is None:
                self._settling.drop([row], Loss.RUN_UNKNOWN)
            elif track.refusal is not None:
                self._settling.refuse([row], track.refusal)
            elif track.ready:
                opened.append(row[0])
        self._settling.deliver(opened)

    def _open(self, track: Track) -> None:
        """Open a run; after a fault of ours later once more, and in the end not at all."""
        if self._opened(track):
            self._run_troubles.over(track.record.key)
        elif not self._run_troubles.again(track.record.key):
            track.refuse(RUN_FAULT)

    @guarded("opening a run at the server", passes=OF_SENDING)
    def _opened(self, track: Track) -> bool:
        try:
            self._opening.open(track)
        except UnregistrableError:
            agent = track.record.registration.external_identifier
            track.refuse(Refusal.of_no_registration(agent))
        except RejectedError as error:
            track.refuse(error)
        return True

    def _send_end(self, row: Row) -> None:
        """Send a quality payload or the end of a run."""
        row_id, item = row
        track = self._tracks.get(item.run_key)
        if track is None:
            self._settling.drop([row], Loss.RUN_UNKNOWN)
            return
        if item.run_key in self._spans.held or not (track.ready or track.refusal):
            # It waits for others now, not for a time of its own.
            self._row_troubles.over(row_id)
            return
        if self._row_troubles.waits(row_id):
            return
        refused = track.refusal or self._refused(row, track)
        if refused is None:
            if self._row_troubles.again(row_id):
                return
            refused = FAULT
        self._row_troubles.over(row_id)
        if item.kind == Kind.CLOSE:
            # First: what is settled takes with it what is new of the run.
            self._tracks.end(track)
        if isinstance(refused, Refusal):
            self._settling.refuse([row], refused)
        else:
            self._settling.deliver([row_id])

    @guarded("the end or a quality payload of a run", passes=OF_SENDING)
    def _refused(self, row: Row, track: Track) -> Refusal | bool:
        """Make the call of a row; return why the server refuses it, `False` if it does not."""
        try:
            try:
                self._call_of(row, track)
            except NotFoundError:
                self._opening.renew(track)
                self._call_of(row, track)
        except RejectedError as error:
            if row[1].kind == Kind.CLOSE and error.status == HTTPStatus.CONFLICT:
                return False
            return Refusal.of_item(error.code or f"http_{error.status}", error.errors)
        return False

    def _call_of(self, row: Row, track: Track) -> None:
        item, instance_id = row[1], track.record.instance_id or ""
        if item.kind == Kind.CLOSE:
            self._spans.tell(track, item.finished_ns)
        if item.kind == Kind.CLOSE and item.status is None:
            return  # left open: the server has nothing to be told
        describe = calls.finish if item.kind == Kind.CLOSE else calls.quality
        self._door.call(describe(item, instance_id))
        track.answered_ns = self._clock.monotonic_ns()

    def _look_at_runs(self) -> None:
        """Ask after runs that had no answer for a while: they may have been terminated."""
        if self._door.limit is not None:
            return
        now_ns = self._clock.monotonic_ns()
        due = [track for track in self._tracks.running() if self._due_ns(track) <= now_ns]
        if due:
            self._next_round_ns = now_ns + int(self._stream_interval_s * NS_PER_S)
        for track in sorted(due, key=lambda track: track.answered_ns)[:MAX_LOOKS]:
            self._look_at(track)

    def _due_ns(self, track: Track) -> int:
        """Return the monotonic time at which a run is to be asked after."""
        due_ns = track.answered_ns + int(self._poll_interval_s * NS_PER_S)
        if not track.streaming:
            return due_ns
        soon_ns = track.answered_ns + int(self._stream_interval_s * NS_PER_S)
        return min(due_ns, max(soon_ns, self._next_round_ns))

    @guarded("looking after a run", passes=OF_SENDING)
    def _look_at(self, track: Track) -> None:
        track.answered_ns = self._clock.monotonic_ns()
        try:
            instance = self._door.call(calls.look(track.record.instance_id or ""))
        except RejectedError:
            return
        track.heed(instance.status, instance.termination_reason)

    def _rest_s(self) -> float:
        """Return the seconds until a waiting row or a look at a run is due."""
        rests = [self._poll_interval_s]
        waiting = (self._spans, self._run_troubles, self._row_troubles)
        rests += [wait_s for each in waiting if (wait_s := each.wait_s()) is not None]
        running = self._tracks.running()
        if running:
            due_ns = min(map(self._due_ns, running))
            rests.append(max(0.0, (due_ns - self._clock.monotonic_ns()) / NS_PER_S))
        return min(rests)
