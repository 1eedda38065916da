"""Lists of spans by keyset, newest first; those of one run also oldest first.

The order is that of the index which fits: within a run, and where nothing narrows the list, that of
the ids; else that of the starts. Lists by start have only spans that have started.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from remit._base.ids import is_pfid
from remit._base.step_names import HEAD_CHARS, NAMED_TYPES
from remit.collector.store.ids import first_at, time_of, to_bytes, to_text
from remit.collector.store.questions.scope import (
    EVER_US,
    FAILED,
    FLAGS,
    KINDS,
    Query,
    RunRef,
    Scope,
    of_key,
    of_scope,
    run_meets,
    same_shard,
)
from remit.collector.store.rows import STATUSES
from remit.collector.store.statements import Value, Where
from remit.collector.store.transaction import Transaction

DAY_US: Final = 24 * 3600 * 1_000_000
"""Longest time between the start of a span and its id."""
_UNDECLARED: Final = "undeclared"
_DELETED: Final = "{}"
_POSITION: Final = re.compile(r"(-?[0-9]{1,18})-(.+)")


class SpanRecord(msgspec.Struct, frozen=True, gc=False):
    """A span in a list; times are microseconds since 1970.

    `listed_at` is the time by which the list is sorted, None in a list by id. `chars` is the length
    of its payloads. `payload` and `result_payload` are None unless they were wanted; `payload` is
    `{}` if it was deleted because of its age. `head` is the beginning of a payload that has a name,
    unless the payloads were wanted.
    """

    listed_at: int | None
    id: str
    parent_id: str | None
    run_id: str
    status: str
    account_id: str
    agent_id: str
    purpose: str
    schema_name: str
    title: str
    flags: int
    started_at: int | None
    finished_at: int | None
    inserted_at: int
    updated_at: int
    summary: str | None
    head: str | None = None
    chars: int = 0
    payload: str | None = None
    result_payload: str | None = None


_COLUMNS: Final = (
    "s.id, s.parent_id, r.id, s.status, p.account_id, p.agent_id, r.purpose, t.name, t.title, "
    "s.flags, s.started_at, s.finished_at, s.inserted_at, s.updated_at, s.summary"
)
_CHARS: Final = {
    # Without reading them: PostgreSQL stores the length of a long text.
    "postgres": "COALESCE(OCTET_LENGTH(b.payload), 0) + COALESCE(OCTET_LENGTH(b.result), 0)",
    "sqlite": "COALESCE(LENGTH(b.payload), 0) + COALESCE(LENGTH(b.result), 0)",
}
_NAMED: Final = ", ".join(f"'{name}'" for name in sorted(NAMED_TYPES))
_HEAD: Final = f"CASE WHEN t.name IN ({_NAMED}) THEN SUBSTR(b.payload, 1, {HEAD_CHARS}) END"
_AGENT_OF_ACCOUNT: Final = "(SELECT a.account_id = ? FROM agents AS a WHERE a.ref = {}.agent_ref)"
_BY_START: Final = "s.started_at DESC, s.id DESC"
_TYPE_NAME: Final = "(SELECT t.name = ? FROM span_types AS t WHERE t.ref = s.type_ref)"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanCriteria:
    """Which spans are wanted; fields that are None exclude nothing.

    Attributes:
        oldest_first: The list of a run is in the order of the ids, not from the newest on.
    """

    scope: Scope
    run: RunRef | None = None
    schema_name: str | None = None
    status: str | None = None
    flag: str | None = None
    since_us: int | None = None
    until_us: int | None = None
    oldest_first: bool = False

    @property
    def failed(self) -> bool:
        """Whether only failed spans are wanted."""
        return FAILED in {self.flag, self.status}

    @property
    def by_start(self) -> bool:
        """Whether the list is in the order of the starts."""
        narrowed = self.schema_name or self.flag or self.failed or self.scope.agent_ref
        return self.run is None and bool(narrowed)


class Position(NamedTuple):
    """The place of a span in a list.

    Attributes:
        started_at: Its start; None in a list by id.
    """

    started_at: int | None
    id: bytes

    def __str__(self) -> str:
        """Return the position as a string."""
        text = to_text(self.id)
        return text if self.started_at is None else f"{self.started_at}-{text}"

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Return the position in a string, if it has one."""
        parts = _POSITION.fullmatch(text)
        started_at, span_id = (None, text) if parts is None else (int(parts[1]), parts[2])
        return cls(started_at, to_bytes(span_id)) if is_pfid(span_id) else None


class SpanPage(NamedTuple):
    """A page of spans, and the position after which the next one begins, if there is one."""

    spans: list[SpanRecord]
    next: Position | None


def spans(
    tx: Transaction,
    wanted: SpanCriteria,
    *,
    before: Position | None = None,
    limit: int,
    most_chars: int | None = None,
) -> SpanPage:
    """Return the first spans that meet the criteria.

    Args:
        before: Only spans after this position of the same list.
        most_chars: With it the spans have their payloads, and the page ends before the span whose
            payloads would make it longer than this; it holds at least one span.
    """
    run = wanted.run
    if run is not None and wanted.scope.agent_ref not in {None, run.agent_ref}:
        return SpanPage([], None)
    lists = [_Listing(tx, wanted, before, window) for window in windows(tx, run)]
    if wanted.oldest_first:
        lists.reverse()
    parts: list[list[SpanRecord]] = []
    left = limit + 1
    for listing in lists:
        part = listing.records(left, with_chars=most_chars is not None)
        parts.append(part)
        left -= len(part)
        if not left or (run is not None and before is None and len(part) >= run.spans):
            break
    records = [record for part in parts for record in part]
    count = min(limit, len(records))
    if most_chars is not None:
        count = _fitting(records[:count], most_chars)
        payloads: list[tuple[str | None, str | None]] = []
        for listing, part in zip(lists, parts, strict=False):
            payloads += listing.payloads(min(len(part), count - len(payloads)))
        records = [
            *map(_with_payloads, records[:count], payloads),
            *records[count:],
        ]
    next_position = _position(wanted, records[count - 1]) if count < len(records) else None
    return SpanPage(records[:count], next_position)


def windows(tx: Transaction, run: RunRef | None) -> list[Where]:
    """Return the parts of a list by the ids of its spans, newest first.

    PostgreSQL keeps spans in partitions by the time of their id. Those of a run are in the ones
    after its own id, except for ids that a client has chosen otherwise.
    """
    if run is None or tx.dialect == "sqlite":
        return [Where()]
    first_id = first_at(time_of(run.id) - DAY_US)
    return [Where(["s.id >= ?"], [first_id]), Where(["s.id < ?"], [first_id])]


def _position(wanted: SpanCriteria, record: SpanRecord) -> Position:
    return Position(record.listed_at if wanted.by_start else None, to_bytes(record.id))


def _with_payloads(record: SpanRecord, payloads: tuple[str | None, str | None]) -> SpanRecord:
    payload, result = payloads
    return msgspec.structs.replace(record, payload=payload or _DELETED, result_payload=result)


def _fitting(records: Sequence[SpanRecord], most_chars: int) -> int:
    """Return how many of the first records have payloads of *most_chars* together, at least one."""
    for count, record in enumerate(records):
        most_chars -= record.chars
        if count and most_chars < 0:
            return count
    return len(records)


class _Listing(NamedTuple):
    """A list of spans.

    Attributes:
        window: Further conditions on a span `s`.
    """

    tx: Transaction
    wanted: SpanCriteria
    before: Position | None
    window: Where

    def records(self, limit: int, *, with_chars: bool) -> list[SpanRecord]:
        """Return the first spans of the list, without payloads but with their length if wanted."""
        sizes = f"NULL, {_CHARS[self.tx.dialect]}" if with_chars else f"{_HEAD}, 0"
        rows = self._rows(f"s.listed_at, {_COLUMNS}, {sizes}", limit, with_payloads=True)
        return [
            SpanRecord(
                listed_at,
                to_text(span_id),
                None if parent_id is None else to_text(parent_id),
                to_text(run_id),
                STATUSES[int(status)],
                *rest,
            )
            for listed_at, span_id, parent_id, run_id, status, *rest in rows
        ]

    def payloads(self, limit: int) -> list[tuple[str | None, str | None]]:
        """Return the payloads and results of the first spans of the list."""
        rows = self._rows("b.payload, b.result", limit, with_payloads=True)
        return [(payload, result) for payload, result in rows]

    def _rows(self, selected: str, limit: int, *, with_payloads: bool) -> Iterable[tuple[Any, ...]]:
        tx = self.tx
        # After a limit Citus joins on the coordinator, which has no payloads; without a
        # limit it joins the rows of each shard on their node, and those of one run on one node.
        outside = tx.distributed and (with_payloads or self.wanted.run is not None)
        page = self._page(None if outside else limit)
        run = f"{same_shard(tx, 'r', 's')}r.ref = s.run_ref"
        payloads = tx.with_payloads if with_payloads else ""
        order = "s.listed_at DESC, s.id DESC" if self.wanted.by_start else self._by_ids
        end = " LIMIT ?" if outside else ""
        sql = (
            f"SELECT {selected} FROM ({page.sql}) AS s CROSS JOIN runs AS r "
            f"CROSS JOIN run_places AS p CROSS JOIN span_types AS t {payloads} "
            f"WHERE {run} AND p.ref = r.place_ref AND t.ref = s.type_ref "
            f"ORDER BY {order}{end}"
        )
        return tx.rows(sql, [*page.values, *([limit] if outside else [])])

    @property
    def _by_ids(self) -> str:
        return "s.id" if self.wanted.oldest_first else "s.id DESC"

    def _page(self, limit: int | None) -> Query:
        """Return the statement that selects `listed_at` and all columns of spans."""
        wanted = self.wanted
        kind, *_ = KINDS.get(wanted.flag or "", (None,))
        if wanted.run is not None:
            return self._by_id(of_key(self.tx, "s", wanted.run), limit)
        if kind is not None:
            return self._by_finding(kind, limit)
        if wanted.failed:
            return self._by_start(limit)
        narrowed = wanted.schema_name or wanted.scope.agent_ref or wanted.flag == _UNDECLARED
        if narrowed:
            return self._by_type(limit)
        return self._by_id(run_meets(self.tx, "s", of_scope(wanted.scope)), limit)

    def _by_id(self, source: Where, limit: int | None) -> Query:
        where = self._of_span(with_type=True)
        if self.before is not None:
            where.add("s.id > ?" if self.wanted.oldest_first else "s.id < ?", self.before.id)
        where.add_nested("{}", source)
        return _ordered("NULL", where, self._by_ids, limit)

    def _by_start(self, limit: int | None) -> Query:
        where = self._of_span(with_type=False)
        where.add_nested("{}", self._of_start("s.started_at", "s.id"))
        wanted = self.wanted
        if wanted.schema_name is None and wanted.scope.agent_ref is None:
            where.add_nested("{}", run_meets(self.tx, "s", of_scope(wanted.scope)))
        else:
            where.add_nested("{}", self._of_types())
            where.add_nested("{}", self._of_environment())
        return _ordered("s.started_at", where, _BY_START, limit)

    def _of_type(self) -> Where:
        wanted = self.wanted
        where = Where()
        where.add_known("t.name = ?", wanted.schema_name)
        where.add_known("t.agent_ref = ?", wanted.scope.agent_ref)
        if wanted.scope.agent_ref is None:
            where.add(_AGENT_OF_ACCOUNT.format("t"), wanted.scope.account_id)
        if wanted.flag == _UNDECLARED:
            where.add("t.hash = ''")
        return where

    def _of_types(self) -> Where:
        """Return the condition that the type of a span `s` is one of the wanted ones.

        Their numbers are looked up first: PostgreSQL then knows how many spans to expect. The plus
        makes SQLite read the failed spans in their order, and not all spans of these types.
        """
        types = self._of_type()
        sql = f"SELECT t.ref FROM span_types AS t WHERE {types.text}"
        refs = [int(ref) for (ref,) in self.tx.rows(sql, types.values)] or [0]
        plus = "+" if self.tx.dialect == "sqlite" else ""
        return Where([f"{plus}s.type_ref IN ({', '.join('?' * len(refs))})"], [*refs])

    def _of_environment(self) -> Where:
        where = Where()
        where.add_known("r.environment_ref = ?", self.wanted.scope.environment_ref)
        return run_meets(self.tx, "s", where)

    def _by_type(self, limit: int | None) -> Query:
        """Return the newest spans of each wanted type, and the newest of all those."""
        tx, types = self.tx, self._of_type()
        where = self._of_span(with_type=False)
        where.add_nested("{}", self._of_start("s.started_at", "s.id"))
        where.add_nested("{}", self._of_environment())
        order = f"ORDER BY {_BY_START} LIMIT ?"
        newest = f"FROM spans AS s WHERE s.type_ref = t.ref AND {where.text} {order}"
        if tx.distributed:
            # Citus knows no limit for each row of another table.
            where.add_nested("{}", self._of_types())
            return _ordered("s.started_at", where, _BY_START, limit)
        if tx.dialect == "postgres":
            sql = (
                "SELECT s.started_at AS listed_at, s.* FROM span_types AS t "
                f"CROSS JOIN LATERAL (SELECT s.* {newest}) AS s WHERE {types.text} {order}"
            )
            return Query(sql, [*where.values, limit, *types.values, limit])
        sql = (
            "SELECT s.started_at AS listed_at, s.* FROM span_types AS t CROSS JOIN spans AS s "
            f"WHERE {types.text} AND s.ref IN (SELECT s.ref {newest}) {order}"
        )
        return Query(sql, [*types.values, *where.values, limit, limit])

    def _by_finding(self, kind: int, limit: int | None) -> Query:
        """Return spans with a kind of finding, in the order of their starts."""
        tx, wanted = self.tx, self.wanted
        where = Where()
        # One of several findings of a span.
        where.add("x.kind = ? AND x.number = 0", kind)
        where.add_nested("{}", self._of_start("x.started_at", "x.span_id"))
        where.add_known("x.agent_ref = ?", wanted.scope.agent_ref)
        where.add_known("x.environment_ref = ?", wanted.scope.environment_ref)
        if wanted.scope.agent_ref is None:
            where.add(_AGENT_OF_ACCOUNT.format("x"), wanted.scope.account_id)
        span = f"{same_shard(tx, 's', 'x')}s.run_ref = x.run_ref AND s.id = x.span_id"
        of_span = Where()
        of_span.add_known(_TYPE_NAME, wanted.schema_name)
        if wanted.status is not None:
            of_span.add(f"s.status = {STATUSES.index(wanted.status)}")
        where.add_nested(f"(SELECT {{}} FROM spans AS s WHERE {span})", of_span)
        end, values = _first_rows("x.started_at DESC, x.span_id DESC", limit)
        page = f"SELECT x.* FROM span_findings AS x WHERE {where.text}{end}"
        sql = (
            f"SELECT x.started_at AS listed_at, s.* FROM ({page}) AS x CROSS JOIN spans AS s "
            f"WHERE {span}"
        )
        if limit is None:
            return Query(sql, where.values)
        return Query(f"{sql} LIMIT ?", [*where.values, *values, limit])

    def _of_span(self, *, with_type: bool) -> Where:
        """Return the conditions on a span `s`, except its position; its type only if wanted."""
        wanted = self.wanted
        where = Where()
        if wanted.failed:
            where.add(f"s.status = {STATUSES.index(FAILED)}")
        if wanted.status not in {None, FAILED}:
            where.add(f"s.status = {STATUSES.index(wanted.status or FAILED)}")
        if wanted.flag in FLAGS:
            where.add(f"(s.flags & {FLAGS[wanted.flag or '']}) <> 0")
        if with_type:
            where.add_known(_TYPE_NAME, wanted.schema_name)
        where.add_known("s.started_at >= ?", wanted.since_us)
        where.add_known("s.started_at < ?", wanted.until_us)
        if wanted.run is None:
            if wanted.since_us is not None:
                where.add("s.id >= ?", first_at(wanted.since_us - DAY_US))
            if wanted.until_us is not None:
                where.add("s.id < ?", first_at(wanted.until_us + DAY_US))
        where.add_nested("{}", self.window)
        return where

    def _of_start(self, started_at: str, span_id: str) -> Where:
        """Return the conditions on the position in a list by start; the columns are named."""
        where = Where()
        where.add_known(f"{started_at} >= ?", self.wanted.since_us)
        until_us = EVER_US if self.wanted.until_us is None else self.wanted.until_us
        where.add(f"{started_at} < ?", until_us)
        if self.before is not None:
            text = f"{started_at} <= ? AND ({started_at} < ? OR {span_id} < ?)"
            where.add(text, self.before.started_at, self.before.started_at, self.before.id)
        return where


def _ordered(listed_at: str, where: Where, order: str, limit: int | None) -> Query:
    end, values = _first_rows(order, limit)
    sql = f"SELECT {listed_at} AS listed_at, s.* FROM spans AS s WHERE {where.text}{end}"
    return Query(sql, [*where.values, *values])


def _first_rows(order: str, limit: int | None) -> tuple[str, list[Value]]:
    return ("", []) if limit is None else (f" ORDER BY {order} LIMIT ?", [limit])
