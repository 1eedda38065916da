"""Bulk items as bytes: ids and times become text here, payloads are copied as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from remit._clock import NS_PER_S, iso8601
from remit._delivery.tracks import Track
from remit._guard import guarded
from remit._ids import LANES, RANDOM_BITS, TIME_CHARS, encode, random_texts
from remit._sink import AnyItem, Kind
from remit._spool import Row

SPAN: Final = int(Kind.SPAN)
FINISH: Final = int(Kind.FINISH)
NO_PAYLOAD: Final = b"{}"
NO_PARENT: Final = b',"parent_span_id":null,"started_at":"'
END_OF_CREATE: Final = b'},"_type":"agent_spans/create"}'
END_OF_FINISH: Final = b',"_type":"agent_spans/finish"}'
WHOLE_SECOND_CHARS: Final = len("2026-01-01T00:00:00.")
NS_PER_US: Final = 1_000
US_PER_S: Final = 1_000_000
# What is remembered is bounded; when it is full it is forgotten at once.
MAX_HEADS: Final = 2_000
# Of all runs together: a bound for each would let a thousand runs take a thousand times as much.
MAX_PARENTS: Final = 5_000
MAX_WORDS: Final = 1_000
FIRST_LANES: Final = 32

_THREE_DIGITS: Final = tuple(b"%03d" % number for number in range(1_000))
_json: Final = msgspec.json.Encoder().encode


class Texts:
    """Writes ids and times as text, remembering what comes again."""

    def __init__(self) -> None:
        """Remember nothing."""
        self._heads: dict[int, str] = {}
        self._second_us = -US_PER_S
        self._whole = b""

    def head(self, key: int) -> str:
        """Return the text of a key's time: in a PFID the partition comes next."""
        time_ms = key >> RANDOM_BITS
        head = self._heads.get(time_ms)
        if head is None:
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            head = self._heads[time_ms] = encode(time_ms, TIME_CHARS)
        return head

    def time(self, wall_ns: int) -> bytes:
        """Return a time as `iso8601` does; most items share their second with the one before."""
        rest_us = wall_ns // NS_PER_US - self._second_us
        if not 0 <= rest_us < US_PER_S:
            second, rest_us = divmod(wall_ns // NS_PER_US, US_PER_S)
            self._whole = iso8601(second * NS_PER_S)[:WHOLE_SECOND_CHARS].encode()
            self._second_us = second * US_PER_S
        digits = _THREE_DIGITS
        return self._whole + digits[rest_us // 1_000] + digits[rest_us % 1_000] + b"Z"


def with_tails(rows: Sequence[Row]) -> Iterator[tuple[Row, str]]:
    """Yield each row with the text of its key's random bits: in a PFID what the partition leads.

    They are written for more and more rows at once: whoever stops early has not paid for all.
    """
    begin, lanes = 0, FIRST_LANES
    while begin < len(rows):
        part = rows[begin : begin + lanes]
        yield from zip(part, random_texts([item[2] for _, item in part]), strict=True)
        begin, lanes = begin + lanes, min(2 * lanes, LANES)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much goes into one bulk request."""

    items: int
    size_bytes: int


@dataclass(slots=True)
class Batch:
    """Items for one bulk request, in the order of sending.

    Attributes:
        rows: Each row, by idempotency key.
        bodies: The JSON of each.
        size_bytes: Of the bodies, with what parts them.
        tracks: Their runs, by key.
        roots: Runs whose root span ends here.
        tells: It is told here, too, what a run lost.
    """

    rows: dict[str, Row] = field(default_factory=dict[str, Row])
    bodies: list[bytes] = field(default_factory=list[bytes])
    size_bytes: int = 0
    tracks: dict[str, Track] = field(default_factory=dict[str, Track])
    roots: list[Track] = field(default_factory=list[Track])
    tells: bool = False

    def add(self, key: str, body: bytes, row: Row, track: Track) -> None:
        """Add one item."""
        self.rows[key] = row
        self.bodies.append(body)
        self.size_bytes += len(body) + 1
        self.tracks[row[1][1]] = track

    def take_in(self, more: Batch) -> int:
        """Add what is in another, whose size is that of both; return how many items those are."""
        self.rows |= more.rows
        self.bodies += more.bodies
        self.size_bytes = more.size_bytes
        self.tracks |= more.tracks
        self.roots += more.roots
        return len(more.rows)


class Composer:
    """Writes span items as the bulk endpoint reads them (CONTRACT.md section 11).

    The text is put together from pieces, most of them remembered: an encoder of structures takes
    three times as long.
    """

    def __init__(self) -> None:
        """Begin with nothing remembered."""
        self._texts = Texts()
        self._words: dict[tuple[str | None, str | None], str] = {}
        # What is written of spans that others name as their parent, by instance and key.
        self._parents: dict[str | None, dict[int, bytes]] = {}
        self._remembered = 0
        self._turn_to(None)

    @guarded("composing an item")
    def compose(self, item: AnyItem, track: Track) -> tuple[str, bytes]:
        """Return the idempotency key of a span item, and its JSON; `None` after a fault of ours."""
        (tail,) = random_texts([item[2]])
        return self._written(item, track, tail)

    @guarded("composing items")
    def extend(
        self,
        batch: Batch,
        rows: Sequence[Row],
        limits: BatchLimits,
        track_of: Callable[[str], Track | None],
        has_lost: Callable[[Track], bool],
    ) -> int:
        """Add the first of *rows* to *batch*, up to one that needs a closer look or does not fit.

        Args:
            batch: Left as it is by a fault of ours.
            rows: What is to be sent next, in order.
            limits: How much the batch may hold.
            track_of: Returns the run of a key.
            has_lost: Tells whether a run that ends has lost anything.

        Returns:
            How many were added; `None` after a fault.
        """
        more, run_key, track = Batch(size_bytes=batch.size_bytes), "", None
        for row, tail in with_tails(rows[: max(0, limits.items - len(batch.bodies))]):
            item = row[1]
            if track is None or item[1] != run_key:
                run_key = item[1]
                track = track_of(run_key)
                if track is None or not track.ready:
                    break
                more.tracks[run_key] = track
            ends_run = item[0] == FINISH and item[2] == track.record.root
            if ends_run and has_lost(track):
                break
            key, body = self._written(item, track, tail)
            more.size_bytes += len(body) + 1
            if more.size_bytes > limits.size_bytes or key in more.rows or key in batch.rows:
                more.size_bytes -= len(body) + 1
                break
            more.rows[key] = row
            more.bodies.append(body)
            if ends_run:
                more.roots.append(track)
        return batch.take_in(more)

    def _written(self, item: AnyItem, track: Track, tail: str) -> tuple[str, bytes]:
        kind, _, key, parent, name, started_ns, finished_ns, status, payload, result = item
        record, texts = track.record, self._texts
        if key == record.root:
            key = track.root_key
            (tail,) = random_texts([key])
        head = texts.head(key)
        if kind != SPAN:
            return self._finish(item, f"f-{head}{tail}", f"{head}{track.partition}{tail}")
        if record.instance_id is not self._instance_id:
            self._turn_to(record.instance_id)
        words = self._words.get((name, status)) or self._create_words(name, status)
        create_key = f"c-{head}{tail}"
        front = (
            f'{{"idempotency_key":"{create_key}","details":{{"agent_instance_id":{self._instance},'
            f'"id":"{head}{track.partition}{tail}",{words}'
        ).encode()
        above = NO_PARENT
        if parent is not None:
            above = self._above.get(parent) or self._write_above(parent, track)
        began = texts.time(started_ns or 0)
        if result is None or finished_ns is None:
            rest = self._rest(result, finished_ns, b"finished_at")
            body = b"".join((front, payload or NO_PAYLOAD, above, began, b'"', rest, END_OF_CREATE))
            return create_key, body
        body = b"".join((
            front, payload or NO_PAYLOAD, above, began, b'","result_payload":', result,
            b',"finished_at":"', texts.time(finished_ns), b'"', END_OF_CREATE,
        ))  # fmt: skip
        return create_key, body

    def _finish(self, item: AnyItem, key: str, span_id: str) -> tuple[str, bytes]:
        front = (
            f'{{"idempotency_key":"{key}","agent_span_id":"{span_id}","status":{_quoted(item[7])}'
        ).encode()
        return key, front + self._rest(item[9], item[6], b"timestamp") + END_OF_FINISH

    def _rest(self, result: bytes | None, finished_ns: int | None, called: bytes) -> bytes:
        """Return what only a span has that has ended, its time under the name that it has there."""
        told = b"" if result is None else b',"result_payload":' + result
        if finished_ns is None:
            return told
        return b'%b,"%b":"%b"' % (told, called, self._texts.time(finished_ns))

    def _create_words(self, name: str | None, status: str | None) -> str:
        if len(self._words) >= MAX_WORDS:
            self._words.clear()
        words = f'"schema_name":{_quoted(name)},"status":{_quoted(status)},"payload":'
        self._words[name, status] = words
        return words

    def _turn_to(self, instance_id: str | None) -> None:
        """Write spans of this instance from now on."""
        self._instance_id = instance_id
        self._instance = _quoted(instance_id)
        self._above = self._parents.get(instance_id, {})

    def _write_above(self, parent: int, track: Track) -> bytes:
        if self._remembered >= MAX_PARENTS:
            self._parents, self._above, self._remembered = {}, {}, 0
        key = track.root_key if parent == track.record.root else parent
        (tail,) = random_texts([key])
        parent_id = f"{self._texts.head(key)}{track.partition}{tail}"
        above = self._above[parent] = f',"parent_span_id":"{parent_id}","started_at":"'.encode()
        self._parents[self._instance_id] = self._above
        self._remembered += 1
        return above


def _quoted(text: str | None) -> str:
    return _json(text or "").decode()
