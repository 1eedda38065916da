"""Lists of runs by keyset, newest first, and the feed of changed runs.

A statement finds the keys of one page first, by the index that fits, and joins other tables to it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from remit.collector.store.ids import first_at, to_bytes, to_text
from remit.collector.store.questions.scope import (
    AGENT_NAME,
    FAILED,
    FLAGS,
    KINDS,
    Query,
    RunRef,
    Scope,
    columns,
    of_key,
    of_scope,
    run_meets,
    same_shard,
)
from remit.collector.store.rows import HOLE, STATUSES, RunWithAgent, all_spans
from remit.collector.store.statements import EMPTY, RUN_COLUMNS, Where
from remit.collector.store.transaction import Transaction

FEW_FINDINGS: Final = 1000
"""If at most this many spans have a flag, runs are found through those spans."""
FIRST_FINDING: Final = 8
"""The flags from this one on are in the index of flagged runs."""
MOST_RANKED: Final = 20_000
"""Number of newest runs among which those with the largest measures are found."""
WAITING: Final = "waiting"
"""The status of active runs that wait for a person's answer."""
WAITS: Final = "r.status = 'active' AND r.asked > r.answered"
"""The condition on them, which the index `runs_waiting` has too."""
MEASURES: Final = {
    "longest": "m.finished_at - m.started_at",
    "tokens": "COALESCE(m.tokens_in, 0) + COALESCE(m.tokens_out, 0)",
}
"""Measures by which runs can be ranked."""


# Without the quality payloads, which may be long.
_COLUMNS: Final = (
    RUN_COLUMNS.replace("r.quality_payloads", f"'{EMPTY}'")
    + f", {AGENT_NAME}, a.external_identifier"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCriteria:
    """Which runs are wanted; fields that are None exclude nothing.

    Attributes:
        status: A status, or `WAITING`.
        label: Key and value of a label; a value of None matches any.
        subject_hash: Hash of the subject; `on_behalf_of_hash` is that of the person who asked.
        ids: The ids of the runs.
        fingerprint: Fingerprint of the failure that began first.
        flag: One of `FLAGS`, or `FAILED`, of their spans.
    """

    scope: Scope
    status: str | None = None
    purpose: str | None = None
    since_us: int | None = None
    until_us: int | None = None
    label: tuple[str, str | None] | None = None
    subject_hash: str | None = None
    on_behalf_of_hash: str | None = None
    conversation: str | None = None
    key: str | None = None
    ids: tuple[str, ...] | None = None
    caused_by: str | None = None
    fingerprint: int | None = None
    flag: str | None = None


def runs(
    tx: Transaction, wanted: RunCriteria, *, before: str | None = None, limit: int
) -> list[RunWithAgent]:
    """Return the newest runs that meet the criteria."""
    keys = _keys(tx, wanted, before)
    page = Query(f"{keys.sql} ORDER BY id DESC LIMIT ?", [*keys.values, limit])
    return [record for record, *_ in _records(tx, page, "k.id DESC")]


class Ranking(NamedTuple):
    """The first runs by a measure.

    Attributes:
        is_whole: Whether all runs that meet the criteria were compared; else the newest
            `MOST_RANKED`.
    """

    runs: list[RunWithAgent]
    is_whole: bool


def ranked_runs(tx: Transaction, wanted: RunCriteria, measure: str, limit: int) -> Ranking:
    """Return the runs with the largest values of a measure, without runs that do not have it."""
    keys = _keys(tx, wanted, None)
    newest = f"{keys.sql} ORDER BY id DESC LIMIT ?"
    value = MEASURES[measure]
    key = f"{same_shard(tx, 'm', 'n')}m.ref = n.run_ref"
    if tx.distributed:
        valued = (
            f"SELECT n.*, {value} AS value FROM ({newest}) AS n CROSS JOIN runs AS m WHERE {key}"
        )
        ranked = f"{valued} AND {value} > 0"
    else:
        # PostgreSQL would read all runs for a join.
        valued = (
            f"SELECT n.*, (SELECT {value} FROM runs AS m WHERE {key}) AS value FROM ({newest}) AS n"
        )
        ranked = f"SELECT v.* FROM ({valued}) AS v WHERE value > 0"
    ranked = f"{ranked} ORDER BY value DESC, id DESC LIMIT ?"
    page = Query(ranked, [*keys.values, MOST_RANKED, limit])
    records = [record for record, *_ in _records(tx, page, "k.value DESC, k.id DESC")]
    counted = f"SELECT COUNT(*) FROM ({keys.sql} LIMIT ?) AS k"
    ((count,),) = tx.rows(counted, [*keys.values, MOST_RANKED + 1])
    return Ranking(records, int(count) <= MOST_RANKED)


def oldest_run(tx: Transaction, wanted: RunCriteria) -> RunWithAgent | None:
    """Return the oldest run that meets the criteria."""
    keys = _keys(tx, wanted, None)
    page = Query(f"{keys.sql} ORDER BY id LIMIT 1", keys.values)
    return next((record for record, *_ in _records(tx, page, "k.id")), None)


def count_runs(tx: Transaction, wanted: RunCriteria) -> int:
    """Return the number of runs that meet the criteria."""
    keys = _keys(tx, wanted, None)
    ((count,),) = tx.rows(f"SELECT COUNT(*) FROM ({keys.sql}) AS k", keys.values)
    return int(count)


class Beside(NamedTuple):
    """The ids of the runs before and after one, None at an end."""

    older: str | None
    newer: str | None


def runs_beside(tx: Transaction, scope: Scope, run_id: str) -> Beside:
    """Return the runs of a scope before and after one."""

    def first(condition: str, order: str) -> str | None:
        where = of_scope(scope)
        where.add(condition, to_bytes(run_id))
        sql = f"SELECT r.id FROM runs AS r WHERE {where.text} ORDER BY {order} LIMIT 1"
        return next((to_text(found) for (found,) in tx.rows(sql, where.values)), None)

    return Beside(first("r.id < ?", "r.id DESC"), first("r.id > ?", "r.id"))


def run_with_agent(tx: Transaction, run: RunRef) -> RunWithAgent | None:
    """Return a run; None if it was deleted."""
    shard, values = tx.in_shard("m.", run.id)
    sql = f"SELECT {columns(tx, 'm', 'id')}, m.ref AS run_ref FROM runs AS m WHERE {shard}m.id = ?"
    page = Query(sql, [*values, run.id])
    return next((record for record, *_ in _records(tx, page, "k.run_ref")), None)


def names_of_agents(tx: Transaction, run_ids: Collection[str]) -> dict[str, str]:
    """Return the name of the agent of each run, by the id of the run."""
    names: dict[str, str] = {}
    for group in tx.together([to_bytes(run_id) for run_id in run_ids]):
        among, values = tx.among_runs("r.", group)
        sql = (
            f"SELECT r.id, {AGENT_NAME} FROM runs AS r CROSS JOIN run_places AS p "
            f"CROSS JOIN agents AS a WHERE {among} AND p.ref = r.place_ref AND a.ref = r.agent_ref"
        )
        names |= {to_text(run_id): name for run_id, name in tx.rows(sql, values)}
    return names


def _records(
    tx: Transaction, page: Query, order: str, also: str = "0, 0"
) -> list[tuple[RunWithAgent, int, int]]:
    """Return the runs of a page of keys, each with the two columns *also* of its key."""
    sql = (
        f"SELECT {also}, r.ref, {_COLUMNS} FROM ({page.sql}) AS k CROSS JOIN runs AS r "
        "CROSS JOIN run_places AS p CROSS JOIN agents AS a "
        f"WHERE {same_shard(tx, 'r', 'k')}r.ref = k.run_ref AND p.ref = r.place_ref "
        f"AND a.ref = r.agent_ref ORDER BY {order}"
    )
    records: list[tuple[RunWithAgent, int, int]] = []
    with_holes: dict[int, int] = {}
    for one, other, ref, run_id, *rest in tx.rows(sql, page.values):
        record = RunWithAgent(to_text(run_id), *rest)
        if record.flags & HOLE:
            with_holes[int(ref)] = len(records)
        records.append((record, int(one), int(other)))
    for ref, number in _recorded(tx, with_holes):
        record, one, other = records[with_holes[ref]]
        spans = all_spans(record.flags, number)
        records[with_holes[ref]] = (msgspec.structs.replace(record, recorded=spans), one, other)
    return records


def _recorded(tx: Transaction, refs: Collection[int]) -> list[tuple[int, int]]:
    """Return the runs with a hole among *refs*, and how many spans each recorded."""
    if not refs:
        return []
    sql = (
        "SELECT x.run_ref, x.number FROM span_findings AS x "
        f"WHERE x.run_ref IN ({', '.join('?' * len(refs))}) AND x.kind = {HOLE}"
    )
    return [(int(ref), int(number)) for ref, number in tx.rows(sql, [*refs])]


def with_people(tx: Transaction, refs: Collection[int]) -> set[int]:
    """Return the runs among *refs* of which a subject, or who asked, is known."""
    if not refs:
        return set()
    sql = (
        "SELECT DISTINCT x.run_ref FROM run_subjects AS x "
        f"WHERE x.run_ref IN ({', '.join('?' * len(refs))})"
    )
    return {int(ref) for (ref,) in tx.rows(sql, [*refs])}


def person_hashes_from(tx: Transaction, scope: Scope, prefix: str) -> list[str]:
    """Return the hash that begins with hexadecimal digits of a person of the runs of a scope.

    Returns:
        Nothing if there is none; the first and the last one if there are several.
    """
    # The letter after the last digit ends the range.
    where = Where(["x.subject_hash >= ?", "x.subject_hash < ?"], [prefix, f"{prefix}g"])
    where.add_nested("{}", run_meets(tx, "x", of_scope(scope)))
    sql = f"SELECT x.subject_hash FROM run_subjects AS x WHERE {where.text}"
    ends = (f"{sql} ORDER BY x.subject_hash {order} LIMIT 1" for order in ("ASC", "DESC"))
    return list(dict.fromkeys(str(row[0]) for end in ends for row in tx.rows(end, where.values)))


def _keys(tx: Transaction, wanted: RunCriteria, before: str | None) -> Query:
    """Return the statement for the keys, by the shortest list of runs that a criterion names.

    It selects `id`, `run_ref` (and `shard`) of runs.
    """
    before_id = None if before is None else to_bytes(before)
    if wanted.key is not None:
        source = Where()
        source.add("x.external_identifier = ?", wanted.key)
        of_run = _of_run(tx, wanted, "r.id", before_id, without=("key",))
        return _by_few(tx, "x.run_id", "run_keys", source, "r.id = f.run_id", of_run)
    if wanted.subject_hash is not None or wanted.on_behalf_of_hash is not None:
        name = "on_behalf_of_hash" if wanted.subject_hash is None else "subject_hash"
        source = _of_id("x.run_id", wanted, before_id)
        source.add("x.subject_hash = ?", getattr(wanted, name))
        of_run = _of_run(tx, wanted, "r.id", None, without=(name, "times"))
        return _by_many(tx, "run_subjects", source, of_run)
    if wanted.conversation is not None:
        source = Where()
        source.add("x.account_ref = ?", wanted.scope.account_ref)
        source.add("x.conversation = ?", wanted.conversation)
        of_run = _of_run(tx, wanted, "r.id", before_id, without=("conversation",))
        join = f"{same_shard(tx, 'r', 'f')}r.ref = f.ref"
        return _by_few(tx, columns(tx, "x", "ref"), "runs", source, join, of_run)
    if wanted.label is not None:
        source = _of_id("x.run_id", wanted, before_id)
        source.add_nested("{}", _of_label("x", *wanted.label))
        if wanted.label[1] is None:
            # A run may have several values of a label.
            source.add(
                f"NOT EXISTS (SELECT 1 FROM run_labels AS y WHERE {same_shard(tx, 'y', 'x')}"
                "y.run_ref = x.run_ref AND y.key = x.key AND y.value < x.value)"
            )
        of_run = _of_run(tx, wanted, "r.id", None, without=("label", "times"))
        return _by_many(tx, "run_labels", source, of_run)
    of_run = _of_run(tx, wanted, "r.id", before_id)
    table, source = _by_flag(wanted.flag)
    if table and _is_rare(tx, table, source):
        join = f"{same_shard(tx, 'r', 'f')}r.ref = f.run_ref"
        return _by_few(tx, columns(tx, "x", "run_ref"), table, source, join, of_run)
    sql = f"SELECT {columns(tx, 'r', 'id')}, r.ref AS run_ref FROM runs AS r WHERE {of_run.text}"
    return Query(sql, of_run.values)


def _by_few(
    tx: Transaction, selected: str, table: str, source: Where, join: str, of_run: Where
) -> Query:
    sql = (
        f"SELECT {columns(tx, 'r', 'id')}, r.ref AS run_ref FROM "
        f"(SELECT DISTINCT {selected} FROM {table} AS x WHERE {source.text}) AS f "
        f"CROSS JOIN runs AS r WHERE {join} AND {of_run.text}"
    )
    return Query(sql, [*source.values, *of_run.values])


def _by_many(tx: Transaction, table: str, source: Where, of_run: Where) -> Query:
    """Return the statement that follows a list of runs, which is in the order of their ids.

    Args:
        source: The conditions on its rows `x`, of which a run meets at most one.
        of_run: The conditions on the run `r` of each.
    """
    source.add_nested("{}", run_meets(tx, "x", of_run))
    selected = f"{columns(tx, 'x', 'run_ref')}, x.run_id AS id"
    return Query(f"SELECT {selected} FROM {table} AS x WHERE {source.text}", source.values)


def _of_id(column: str, wanted: RunCriteria, before_id: bytes | None) -> Where:
    where = Where()
    if wanted.since_us is not None:
        where.add(f"{column} >= ?", first_at(wanted.since_us))
    ends = [before_id, None if wanted.until_us is None else first_at(wanted.until_us)]
    where.add_known(f"{column} < ?", min((end for end in ends if end is not None), default=None))
    return where


def _of_label(alias: str, key: str, value: str | None) -> Where:
    where = Where()
    where.add(f"{alias}.key = ?", key)
    where.add_known(f"{alias}.value = ?", value)
    return where


def _of_run(
    tx: Transaction,
    wanted: RunCriteria,
    column: str,
    before_id: bytes | None,
    *,
    without: Sequence[str] = (),
) -> Where:
    where = of_scope(wanted.scope)
    if wanted.ids is not None:
        text, values = tx.among_ids("r.id", [to_bytes(each) for each in wanted.ids])
        where.add(text, *values)
    if wanted.status == WAITING:
        where.add(WAITS)
    else:
        where.add_known("r.status = ?", wanted.status)
    where.add_known("r.purpose = ?", wanted.purpose)
    where.add_known("r.caused_by = ?", wanted.caused_by)
    where.add_known("r.fingerprint = ?", wanted.fingerprint)
    if "conversation" not in without:
        where.add_known("r.conversation = ?", wanted.conversation)
    if wanted.flag == FAILED:
        where.add("r.spans_failed > 0")
    elif wanted.flag is not None:
        where.add(f"r.flags >= {FIRST_FINDING} AND (r.flags & {FLAGS[wanted.flag]}) <> 0")
    if "times" not in without:
        where.add_nested("{}", _of_id(column, wanted, before_id))
    of_this = f"{same_shard(tx, 'y', 'r')}y.run_ref = r.ref AND {{}}"
    for name in ("subject_hash", "on_behalf_of_hash"):
        hashed: str | None = getattr(wanted, name)
        if hashed is not None and name not in without:
            text = f"EXISTS (SELECT 1 FROM run_subjects AS y WHERE {of_this})"
            where.add_nested(text, Where(["y.subject_hash = ?"], [hashed]))
    if wanted.label is not None and "label" not in without:
        text = f"EXISTS (SELECT 1 FROM run_labels AS y WHERE {of_this})"
        where.add_nested(text, _of_label("y", *wanted.label))
    return where


def _by_flag(flag: str | None) -> tuple[str, Where]:
    """Return the table with a row for each span that has a flag, and which rows; else no table."""
    if flag == FAILED:
        return "spans", Where([f"x.status = {STATUSES.index(FAILED)}"])
    if flag in KINDS:
        kinds = ", ".join(map(str, KINDS[flag]))
        return "span_findings", Where([f"x.kind IN ({kinds})"])
    return "", Where()


def _is_rare(tx: Transaction, table: str, source: Where) -> bool:
    """Return whether only few rows of a table meet the conditions, or none."""
    few = f"SELECT 1 FROM {table} AS x WHERE {source.text} LIMIT ?"
    ((count,),) = tx.rows(f"SELECT COUNT(*) FROM ({few}) AS f", (FEW_FINDINGS + 1,))
    return int(count) <= FEW_FINDINGS


# Changes


class Cursor(NamedTuple):
    """A position in the feed of changes: after this number and, within it, this run."""

    seq: int = 0
    run_ref: int = 0


def changed_runs(
    tx: Transaction, scope: Scope, after: Cursor, end: int, *, run: RunRef | None = None, limit: int
) -> tuple[list[RunWithAgent], Cursor]:
    """Return runs that changed after a position, in the order of their changes.

    Args:
        end: The end of the feed, from `Transaction.end_of_changes`.

    Returns:
        The runs as they are now, and the position after them.
    """
    where = Where()
    where.add("(c.seq, c.run_ref) > (?, ?)", *after)
    where.add("c.seq < ?", end)
    if run is not None:
        where.add_nested("{}", of_key(tx, "c", run))
    where.add_nested("{}", run_meets(tx, "c", of_scope(scope)))
    sql = (
        f"SELECT {columns(tx, 'c', 'run_ref')}, c.seq FROM run_changes AS c WHERE {where.text}"
        " ORDER BY c.seq, c.run_ref LIMIT ?"
    )
    page = Query(sql, [*where.values, limit])
    changed = _records(tx, page, "k.seq, k.run_ref", "k.seq, k.run_ref")
    cursor = Cursor(*changed[-1][1:]) if changed else after
    return [record for record, *_ in changed], cursor


def newest_change(tx: Transaction, end: int) -> Cursor:
    """Return the position after all changes before *end*."""
    sql = (
        "SELECT c.seq, c.run_ref FROM run_changes AS c WHERE c.seq < ? "
        "ORDER BY c.seq DESC, c.run_ref DESC LIMIT 1"
    )
    return next((Cursor(int(seq), int(ref)) for seq, ref in tx.rows(sql, (end,))), Cursor())
