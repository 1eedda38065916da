"""The statements of PostgreSQL, and the rows of one JSON parameter as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias, get_args

import msgspec

from remit.collector.store import statements
from remit.collector.store.counts import REDACTED_KEY, RUN_COUNTS, RUN_KEY, SPAN_COUNTS, SPAN_KEY
from remit.collector.store.rows import AgentRow, FindingRow, KeyRow, Row, RunRow, SpanRow
from remit.collector.store.statements import Value

JsonRow: TypeAlias = "Mapping[str, Value]"

_TYPES: Final = {str: "text", int: "bigint", bytes: "text"}
LOCK_ACCOUNTS: Final = "LOCK TABLE accounts IN SHARE ROW EXCLUSIVE MODE"


@lru_cache(maxsize=512)
def translated(sql: str) -> bytes:
    """Return a statement as the driver reads it."""
    return sql.replace("?", "%s").encode()


def _field_types(kind: type[Row]) -> dict[str, type]:
    """Return the type of each field, without its being optional."""
    fields = msgspec.structs.fields(kind)
    return {field.name: (get_args(field.type) or (field.type,))[0] for field in fields}


def _recordset(columns: Mapping[str, str]) -> str:
    """Return the rows of one JSON parameter as a table `r`.

    By way of jsonb the insert takes a fifth longer.
    """
    described = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    return f"json_to_recordset(?::json) AS r({described})"


def _of_fields(kind: type[Row], fields: Iterable[str]) -> dict[str, str]:
    of = _field_types(kind)
    return {field: _TYPES[of[field]] for field in fields}


def _integers(names: Iterable[str], **others: str) -> dict[str, str]:
    return dict.fromkeys(names, "bigint") | others


_SHARD: Final = {"shard": "smallint"}
_OR_NOTHING: Final = "ON CONFLICT DO NOTHING"
_IF_NEW: Final = f"{_OR_NOTHING} RETURNING 1"
IDS: Final = frozenset({"id", "run_id", "span_id"})
"""Columns of ids, which parameters have in hexadecimal."""


class Insert(NamedTuple):
    """How rows are inserted.

    Attributes:
        columns: The columns that a row has, with their types in JSON.
    """

    table: str
    columns: Mapping[str, str]
    after: str = _OR_NOTHING

    def of_json(self, **computed: str) -> str:
        """Return the statement for the rows of a JSON parameter."""
        values = {name: _decoded(f"r.{name}", name) for name in self.columns} | computed
        return (
            f"INSERT INTO {self.table} ({', '.join(values)}) "
            f"SELECT {', '.join(values.values())} FROM {_recordset(self.columns)} {self.after}"
        )

    def of_values(self, rows: int) -> str:
        """Return the statement for this number of rows, each value of which is a parameter."""
        row = f"({', '.join(_decoded('?', name) for name in self.columns)})"
        return (
            f"INSERT INTO {self.table} ({', '.join(self.columns)}) "
            f"VALUES {', '.join([row] * rows)} {self.after}"
        )


def _decoded(value: str, column: str) -> str:
    return f"decode({value}, 'hex')" if column in IDS else value


INSERT: Final = {kind: f"{sql} {_OR_NOTHING}" for kind, sql in statements.INSERT.items()}
INSERT_KEYS: Final = Insert(
    statements.TABLES[KeyRow], _of_fields(KeyRow, KeyRow.__struct_fields__)
).of_json(response="decode(r.response, 'base64')")
# By the first and the last id PostgreSQL leaves out partitions.
WITHIN: Final = "{0}.id BETWEEN ? AND ?"
OF_IDS: Final = f"s.id = ANY(?::bytea[]) AND {WITHIN.format('s')}"
"""The condition that a span `s` is one of some, for `of_ids`."""
_SAME_SPAN: Final = "{0}.run_ref = {1}.run_ref AND {0}.id = {1}.id AND {0}.shard = {1}.shard"
CHANGED_SPAN: Final = statements.MUTABLE[SpanRow]
_CHANGED_COLUMNS: Final = {
    **_integers(("run_ref", "shard", "flags", "started_at", "finished_at", "updated_at")),
    "id": "text",
    "status": "smallint",
    "summary": "text",
    "result": "text",
}
CHANGES: Final = (
    f"SELECT run_ref, shard, decode(id, 'hex') AS id, result, {', '.join(CHANGED_SPAN)} "
    f"FROM {_recordset(_CHANGED_COLUMNS)}"
)
"""The changed spans of a JSON parameter."""
CHANGE_SPANS: Final = (
    f"UPDATE spans AS s SET {', '.join(f'{name} = r.{name}' for name in CHANGED_SPAN)} FROM {{}} "
    f"WHERE {_SAME_SPAN.format('s', 'r')} AND {OF_IDS}"
)
# By its unique key, whatever statistics the planner has; a payload may have been deleted.
REPLACE_RESULT: Final = "ON CONFLICT (run_ref, id, shard) DO UPDATE SET result = excluded.result"
CHANGE: Final = (
    f"WITH r AS MATERIALIZED ({CHANGES}), b AS ("
    "INSERT INTO span_payloads (run_ref, shard, id, payload, result) "
    f"SELECT run_ref, shard, id, '{statements.EMPTY}', result FROM r WHERE result IS NOT NULL "
    f"{REPLACE_RESULT}) {CHANGE_SPANS.format('r')}"
)
JOIN_RUN: Final = "JOIN runs AS r ON r.ref = s.run_ref AND r.shard = s.shard"
JOIN_PAYLOADS: Final = f"LEFT JOIN span_payloads AS b ON {_SAME_SPAN.format('b', 's')}"
# The spans first, and then a look-up for each of them, whatever statistics the planner has: OFFSET
# keeps it from merging the queries.
SPANS_OF_IDS: Final = (
    f"WITH s AS MATERIALIZED (SELECT * FROM spans AS s WHERE {OF_IDS}) "
    f"SELECT {statements.SPAN_COLUMNS} FROM s CROSS JOIN LATERAL (SELECT r.id, r.account_ref "
    "FROM runs AS r WHERE r.ref = s.run_ref AND r.shard = s.shard OFFSET 0) AS r "
    "CROSS JOIN LATERAL (SELECT t.name FROM span_types AS t WHERE t.ref = s.type_ref OFFSET 0) "
    "AS t LEFT JOIN LATERAL (SELECT b.payload, b.result FROM span_payloads AS b "
    f"WHERE {_SAME_SPAN.format('b', 's')} AND {WITHIN.format('b')} OFFSET 0) AS b ON TRUE"
)
SPANS_OF_ACCOUNT: Final = f"{SPANS_OF_IDS} WHERE {statements.RUN_FILTERS['account_id']}"
# As above: with `key = ANY(...)`, a plan that was made while there were few keys reads all keys of
# the account.
KEYS_OF_TEXTS: Final = (
    f"SELECT {statements.columns(KeyRow, 'k.')} FROM unnest(?::text[]) AS wanted (key) "
    f"CROSS JOIN LATERAL ({statements.SELECT[KeyRow]} WHERE account_id = ? AND operation = ? "
    "AND idempotency_keys.key = wanted.key OFFSET 0) AS k"
)
_LOCKED: Final = "ORDER BY r.id FOR NO KEY UPDATE OF r"
# With each run, whether some of the spans exist.
HOLD_WITH_SPANS: Final = (
    f"WITH s AS MATERIALIZED (SELECT s.run_ref FROM spans AS s WHERE {OF_IDS}) "
    f"SELECT EXISTS (SELECT FROM s), {statements.RUN_COLUMNS} "
    f"FROM runs AS r {statements.WITH_PLACE} WHERE r.ref = ANY(ARRAY(SELECT run_ref FROM s) "
    f"|| ARRAY(SELECT ref FROM runs WHERE id = ANY(?::bytea[]))) {_LOCKED}"
)
OLDEST_OPEN: Final = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
READ_AGENT: Final = f"{statements.SELECT[AgentRow]} WHERE id = ? FOR NO KEY UPDATE"
CLOSE_AGENT: Final = "SELECT 1 FROM agents WHERE id = ? FOR UPDATE"
HAS_RUNS: Final = f"SELECT 1 FROM runs AS r WHERE {statements.RUN_FILTERS['agent_id']} LIMIT 1"
ERASE_PAYLOADS: Final = (
    f"UPDATE span_payloads SET {statements.ERASE_PAYLOADS} "
    f"WHERE run_ref = ? AND shard = ? AND {statements.HAS_PAYLOAD}"
)
OLD_FINDINGS: Final = (
    "SELECT DISTINCT shard, run_ref FROM (SELECT shard, run_ref FROM span_findings "
    "WHERE kind = ? AND started_at < ? ORDER BY started_at LIMIT ?) AS f"
)
FORGET_FINDINGS: Final = (
    "DELETE FROM span_findings "
    "WHERE shard = ? AND kind = ? AND started_at < ? AND run_ref = ANY(?::bigint[])"
)

# Writes before a commit: each part has one parameter, the JSON of its rows.
NEW_RUN: Final = (*statements.INSERTED, "ref")
CHANGED_RUN: Final = tuple(name for name in statements.OF_RUN if name not in statements.LASTING)
_CHANGED_RUN_COLUMNS: Final = _of_fields(RunRow, ("ref", *CHANGED_RUN)) | _SHARD
CHANGED_RUNS: Final = f"SELECT * FROM {_recordset(_CHANGED_RUN_COLUMNS)}"
"""The changed runs of a JSON parameter."""
CHANGE_RUNS: Final = (
    f"UPDATE runs AS w SET {', '.join(f'{name} = r.{name}' for name in CHANGED_RUN)} FROM {{}} "
    "WHERE w.ref = r.ref AND w.shard = r.shard"
)
INSERTS: Final = {
    "new_runs": Insert("runs", _of_fields(RunRow, NEW_RUN) | _SHARD, f"ORDER BY r.id {_IF_NEW}"),
    "run_keys": Insert(
        "run_keys",
        _integers(("agent_ref", "environment_ref"), external_identifier="text", run_id="text"),
        f"ORDER BY r.external_identifier, r.agent_ref, r.environment_ref {_IF_NEW}",
    ),
    "run_changes": Insert(
        "run_changes",
        _integers(("run_ref",)) | _SHARD,
        "ON CONFLICT (run_ref, shard) DO UPDATE SET seq = EXCLUDED.seq",
    ),
    "span_increments": Insert(
        "span_increments", _integers((*SPAN_KEY, *SPAN_COUNTS), purpose="text"), ""
    ),
    "run_increments": Insert(
        "run_increments", _integers((*RUN_KEY, *RUN_COUNTS), purpose="text"), ""
    ),
    "redacted_increments": Insert(
        "redacted_increments", _integers((*REDACTED_KEY, "times"), rule="text"), ""
    ),
    "span_findings": Insert(
        "span_findings", _of_fields(FindingRow, FindingRow.__struct_fields__) | _SHARD
    ),
    "run_labels": Insert(
        "run_labels", _integers(("run_ref",), key="text", value="text", run_id="text") | _SHARD
    ),
    "run_subjects": Insert(
        "run_subjects", _integers(("run_ref",), subject_hash="text", run_id="text") | _SHARD
    ),
}
_WRITES: Final = {name: insert.of_json() for name, insert in INSERTS.items()} | {
    "run_changes": INSERTS["run_changes"].of_json(seq="pg_current_xact_id()::text::bigint"),
    "runs": (
        f"WITH r AS MATERIALIZED ({CHANGED_RUNS}) {CHANGE_RUNS.format('r')} "
        # By the key, whatever statistics the planner has.
        "AND w.ref = ANY(ARRAY(SELECT ref FROM r))"
    ),
}
COUNTED: Final = ("new_runs", "run_keys")


@lru_cache(maxsize=512)
def writing(parts: tuple[str, ...]) -> str:
    """Return the statement that writes *parts*, and returns how many rows of `COUNTED` are new."""
    written = ", ".join(f"{part}_written AS ({_WRITES[part]})" for part in parts)
    counted = [f"(SELECT COUNT(*) FROM {part}_written)" for part in parts if part in COUNTED]
    return f"WITH {written} SELECT {', '.join(counted) or '1'}"
