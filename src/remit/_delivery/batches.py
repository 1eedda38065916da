"""Bulk items as bytes: ids and times become text here, payloads are copied as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

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
# One batch may go beyond it.
MAX_PARENTS: Final = 5_000
MAX_WORDS: Final = 1_000
FIRST_LANES: Final = 32

_THREE_DIGITS: Final = tuple(b"%03d" % number for number in range(1_000))
_json: Final = msgspec.json.Encoder().encode


class Head(NamedTuple):
    """The text of a key's time: in a PFID the partition comes next.

    Attributes:
        text: 10 characters.
        content: The same, encoded.
        create_key: What the idempotency key of a span begins with.
        front: The beginning of the span's JSON, up to there.
    """

    text: str
    content: bytes
    create_key: str
    front: bytes


class Texts:
    """Writes ids and times as text, remembering what comes again.

    Attributes:
        heads: Those that were written, by their times in milliseconds since 1970.
        second_us: The second of the time that was written last, in microseconds since 1970.
        second: Its text, with the point after it.
    """

    def __init__(self) -> None:
        """Remember nothing."""
        self.heads: dict[int, Head] = {}
        self.second_us = -US_PER_S
        self.second = b""

    def head(self, key: int) -> Head:
        """Return the text of a key's time."""
        time_ms = key >> RANDOM_BITS
        head = self.heads.get(time_ms)
        if head is None:
            if len(self.heads) >= MAX_HEADS:
                self.heads.clear()
            text = encode(time_ms, TIME_CHARS)
            front = f'{{"idempotency_key":"c-{text}'.encode()
            head = self.heads[time_ms] = Head(text, text.encode(), f"c-{text}", front)
        return head

    def time(self, wall_ns: int) -> bytes:
        """Return a time as `iso8601` does; most items share their second with the one before."""
        rest_us = wall_ns // NS_PER_US - self.second_us
        if not 0 <= rest_us < US_PER_S:
            second, rest_us = divmod(wall_ns // NS_PER_US, US_PER_S)
            self.second = iso8601(second * NS_PER_S)[:WHOLE_SECOND_CHARS].encode()
            self.second_us = second * US_PER_S
        return self.second + _THREE_DIGITS[rest_us // 1_000] + _THREE_DIGITS[rest_us % 1_000] + b"Z"


@dataclass(frozen=True, slots=True)
class Within:
    """A run, with what is written of each of its spans.

    Attributes:
        track: The run.
        root: Key of its root span, as it was recorded.
        instance: What names the instance, up to the span's id.
        partition: What comes in the id between the key's time and its random bits.
        above: What names a parent, up to the time of the beginning, by the parent's key.
    """

    track: Track
    root: int
    instance: bytes
    partition: bytes
    above: dict[int, bytes]


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

    def __init__(self, *, max_parents: int = MAX_PARENTS) -> None:
        """Begin with nothing remembered.

        Args:
            max_parents: Number of parents that are kept between batches.
        """
        self._texts = Texts()
        self._max_parents = max_parents
        self._words: dict[tuple[str | None, str | None], bytes] = {}
        # What is written of spans that others name as their parent, by instance and key.
        self._parents: dict[str | None, dict[int, bytes]] = {}
        self._remembered = 0

    @guarded("composing an item")
    def compose(self, item: AnyItem, track: Track) -> tuple[str, bytes]:
        """Return the idempotency key of a span item, and its JSON; `None` after a fault of ours."""
        self._forget()
        (tail,) = random_texts([item[2]])
        return self._written(item, self._within(track), tail)

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
        self._forget()
        more, runs = Batch(size_bytes=batch.size_bytes), dict[str, Within]()
        for row, tail in with_tails(rows[: max(0, limits.items - len(batch.bodies))]):
            item = row[1]
            within = runs.get(item[1])
            if within is None:
                track = track_of(item[1])
                if track is None or not track.ready:
                    break
                more.tracks[item[1]] = track
                within = runs[item[1]] = self._within(track)
            ends_run = item[0] == FINISH and item[2] == within.root
            if ends_run and has_lost(within.track):
                break
            key, body = self._written(item, within, tail)
            more.size_bytes += len(body) + 1
            if more.size_bytes > limits.size_bytes or key in more.rows or key in batch.rows:
                more.size_bytes -= len(body) + 1
                break
            more.rows[key] = row
            more.bodies.append(body)
            if ends_run:
                more.roots.append(within.track)
        return batch.take_in(more)

    def _written(self, item: AnyItem, within: Within, tail: str) -> tuple[str, bytes]:
        kind, _, key, parent, name, started_ns, finished_ns, status, payload, result = item
        if key == within.root:
            key = within.track.root_key
            (tail,) = random_texts([key])
        texts = self._texts
        head, content, create_key, front = texts.heads.get(key >> RANDOM_BITS) or texts.head(key)
        if kind != SPAN:
            return self._finish(item, f"f-{head}{tail}", f"{head}{within.track.partition}{tail}")
        words = self._words.get((name, status)) or self._create_words(name, status)
        above = NO_PARENT
        if parent is not None:
            above = within.above.get(parent) or self._write_above(parent, within)
        own, began_us = tail.encode(), (started_ns or 0) // NS_PER_US - texts.second_us
        # Of one that has not ended it is before the beginning.
        ended_us = -1 if finished_ns is None else finished_ns // NS_PER_US - texts.second_us
        if result is not None and 0 <= began_us <= ended_us < US_PER_S:
            # As most of them. The two calls and the join of the rest would take a tenth of it.
            second, digits = texts.second, _THREE_DIGITS
            return create_key + tail, b"".join((
                front, own, within.instance, content, within.partition, own, words,
                payload or NO_PAYLOAD, above, second, digits[began_us // 1_000],
                digits[began_us % 1_000], b'Z","result_payload":', result, b',"finished_at":"',
                second, digits[ended_us // 1_000], digits[ended_us % 1_000], b'Z"', END_OF_CREATE,
            ))  # fmt: skip
        return create_key + tail, b"".join((
            front, own, within.instance, content, within.partition, own, words,
            payload or NO_PAYLOAD, above, texts.time(started_ns or 0), b'"',
            self._rest(result, finished_ns, b"finished_at"), END_OF_CREATE,
        ))  # fmt: skip

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

    def _create_words(self, name: str | None, status: str | None) -> bytes:
        if len(self._words) >= MAX_WORDS:
            self._words.clear()
        words = f'","schema_name":{_quoted(name)},"status":{_quoted(status)},"payload":'.encode()
        self._words[name, status] = words
        return words

    def _forget(self) -> None:
        """Let go of the parents, if they are many: between batches, each run of which has its."""
        if self._remembered >= self._max_parents:
            self._parents, self._remembered = {}, 0

    def _within(self, track: Track) -> Within:
        record = track.record
        above = self._parents.get(record.instance_id, {})
        instance = f'","details":{{"agent_instance_id":{_quoted(record.instance_id)},"id":"'
        return Within(track, record.root, instance.encode(), track.partition.encode(), above)

    def _write_above(self, parent: int, within: Within) -> bytes:
        key = within.track.root_key if parent == within.root else parent
        (tail,) = random_texts([key])
        parent_id = f"{self._texts.head(key).text}{within.track.partition}{tail}"
        above = within.above[parent] = f',"parent_span_id":"{parent_id}","started_at":"'.encode()
        self._parents[within.track.record.instance_id] = within.above
        self._remembered += 1
        return above


def _quoted(text: str | None) -> str:
    return _json(text or "").decode()
