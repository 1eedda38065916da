"""A database of version 7 that is filled without the collector, and the same rows in Python."""

from __future__ import annotations

import random
import sqlite3
from collections import defaultdict
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast

import psycopg

from tests.inside_collector import (
    STATUSES,
    PostgresTransaction,
    SqliteTransaction,
    Transaction,
    first_at,
    pfid,
    shard_of,
    statements,
    to_bytes,
)
from tests.postgres import database

Row = dict[str, Any]
HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US
BEGAN_US: Final = 20_000 * DAY_US
"""The first moment of the data."""
DAYS: Final = 20
SHARDED: Final = frozenset(
    {"runs", "run_changes", "run_labels", "run_subjects", "spans", "span_payloads", "span_findings"}
)
FINDINGS: Final = (512, 1024, 2048, 4096)
RULES: Final = ("name:password", "credential:jwt")
ACCOUNTS: Final = ("account one", "account two")


def new_id(at_us: int, number: int) -> str:
    """Return the PFID of a time, different for each number."""
    return pfid((at_us // 1000 << 80 | number).to_bytes(16), 5)


@dataclass
class Filled:
    """Rows by table, as they are in the database, and the transaction that reads them.

    The rows of runs and spans have, beside their columns, what they refer to.
    """

    tx: Transaction
    connection: Any
    tables: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))

    @property
    def dialect(self) -> str:
        """The kind of database."""
        return self.tx.dialect

    def connect(self) -> psycopg.Connection[Any]:
        """Return another connection to the PostgreSQL database."""
        info = self.connection.info
        return psycopg.connect(host=info.host, dbname=info.dbname, user=info.user, autocommit=True)

    def add(self, table: str, **row: Any) -> Row:
        """Add a row; names that begin with `_` are no columns."""
        self.tables[table].append(row)
        return row

    def write(self) -> None:
        """Insert all rows."""
        for table, rows in self.tables.items():
            for row in rows:
                if table in SHARDED and self.dialect == "postgres":
                    row["shard"] = shard_of(to_bytes(row["_run"]))
            names = [name for name in rows[0] if not name.startswith("_")]
            if self.dialect == "postgres" and table in {"spans", "span_payloads"}:
                names = [name for name in names if name not in {"ref", "span_ref"}]
            if self.dialect == "sqlite" and table == "span_payloads":
                names = ["span_ref", "payload", "result"]
            place = "%s" if self.dialect == "postgres" else "?"
            sql = (
                f"INSERT INTO {table} ({', '.join(names)}) "
                f"VALUES ({', '.join(place for _ in names)})"
            )
            values = [[row[name] for name in names] for row in rows]
            cursor = self.connection.cursor()
            cursor.executemany(sql, values)
            cursor.close()

    def explain(self, sql: str, values: Any) -> str:
        """Return the plan of a statement."""
        if self.dialect == "sqlite":
            rows = self.connection.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
            return "\n".join(row[-1] for row in rows)
        cursor = self.connection.cursor()
        cursor.execute(f"EXPLAIN {sql}".replace("?", "%s"), list(values), prepare=False)
        return "\n".join(row[0] for row in cursor.fetchall())


class Reading:
    """What the questions use of a transaction; notes the statements."""

    distributed = False

    def __init__(self, dialect: str, connection: Any) -> None:
        """Read by *connection*."""
        self.dialect = dialect
        kind = SqliteTransaction if dialect == "sqlite" else PostgresTransaction
        self.with_payloads = kind.with_payloads
        self.asked: list[tuple[str, Sequence[Any]]] = []
        self._connection = connection

    def in_shard(self, prefix: str, run_id: bytes) -> tuple[str, tuple[int, ...]]:
        """Return the beginning of a condition on rows of one run, and its values."""
        if self.dialect == "sqlite":
            return "", ()
        return f"{prefix}shard = ? AND ", (shard_of(run_id),)

    def end_of_changes(self) -> int:
        """Return the number of a change after all that are committed."""
        if self.dialect == "sqlite":
            return 2**62
        ((end,),) = self.rows("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        return int(end)

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement; return its rows."""
        self.asked.append((sql, values))
        if self.dialect == "sqlite":
            return list(self._connection.execute(sql, values))
        with self._connection.cursor() as cursor:
            cursor.execute(sql.replace("?", "%s").encode(), values or None, prepare=False)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows


@contextmanager
def schema_of(kind: str) -> Generator[Filled]:
    """Return a block with an empty database."""
    script = ";\n".join(statements(kind))
    if kind == "sqlite":
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript(script)
            yield Filled(cast("Transaction", Reading(kind, connection)), connection)
        return
    with database() as url, psycopg.connect(url, autocommit=True) as connected:
        connected.execute(script.encode())
        for day in range(0, DAYS + 5, 7):
            first, end = (first_at(BEGAN_US + at * DAY_US).hex() for at in (day, day + 7))
            for table in ("spans", "span_payloads"):
                connected.execute(
                    f"CREATE TABLE {table}_{day} PARTITION OF {table} "
                    f"FOR VALUES FROM ('\\x{first}') TO ('\\x{end}')".encode()
                )
        yield Filled(cast("Transaction", Reading(kind, connected)), connected)


def fill(data: Filled, *, runs: int = 300) -> None:
    """Add two accounts, three agents in one, and runs with five spans each; write them."""
    dice = random.Random(7)
    for number, account in enumerate(ACCOUNTS, 1):
        data.add("accounts", ref=number, id=account, name=account, inserted_at=0, updated_at=0)
    for number, (owner, name) in enumerate([(0, "production"), (0, "staging"), (1, "other")], 1):
        data.add(
            "environments",
            ref=number,
            id=name,
            account_id=ACCOUNTS[owner],
            name=name,
            inserted_at=0,
            updated_at=0,
        )
    for number, owner in enumerate((0, 0, 0, 1), 1):
        data.add(
            "agents",
            ref=number,
            id=f"agent-{number}",
            account_id=ACCOUNTS[owner],
            name=f"Agent {number}",
            description=None,
            external_identifier=f"a{number}",
            status="active",
            owner_person_id=None,
            risk_profile_id=None,
            team_id=None,
            body_hash="",
            inserted_at=0,
            updated_at=0,
        )
        for kind, (name, hashed) in enumerate(
            [("desk:ask", "h1"), ("desk:ask", "h2"), ("desk:look", "h3"), ("desk:new", "")]
        ):
            ref = number * 10 + kind
            data.add(
                "span_types",
                ref=ref,
                agent_ref=number,
                name=name,
                title=f"{name} {hashed}",
                data_risk=None,
                hash=hashed,
            )
            if name == "desk:ask":
                data.add("span_type_words", word="contact_information", side="params", type_ref=ref)
                data.add("span_type_words", word="contact_information", side="result", type_ref=ref)
                data.add("span_type_words", word="read_data", side="action", type_ref=ref)
        for environment in (1, 2) if owner == 0 else (3,):
            data.add(
                "run_places",
                ref=number * 10 + environment,
                account_ref=owner + 1,
                agent_ref=number,
                environment_ref=environment,
                account_id=ACCOUNTS[owner],
                agent_id=f"agent-{number}",
                agent_version_id=f"version-{number}",
                agent_schema_version_id=f"schema-{number}",
                environment_id=data.tables["environments"][environment - 1]["id"],
                agent_deployment_id=f"deployment-{number}-{environment}",
            )
    for number in range(runs):
        _add_run(data, dice, number, BEGAN_US + number * DAYS * DAY_US // runs)
    _add_counts(data)
    data.write()


def _add_run(data: Filled, dice: random.Random, number: int, at_us: int) -> None:
    place = dice.choice(data.tables["run_places"])
    run_id = new_id(at_us, number)
    ref = number + 1
    base: Row = {"_run": run_id}
    spans = [_add_span(data, dice, ref, run_id, place, at_us, step) for step in range(5)]
    flags = 0
    for span in spans:
        flags |= span["flags"]
    failed = [span for span in spans if span["status"] == STATUSES.index("failed")]
    data.add(
        "runs",
        **base,
        _place=place,
        ref=ref,
        id=to_bytes(run_id),
        place_ref=place["ref"],
        account_ref=place["account_ref"],
        agent_ref=place["agent_ref"],
        environment_ref=place["environment_ref"],
        external_identifier=f"key-{number}" if number % 3 == 0 else None,
        purpose="eval" if number % 7 == 0 else "live",
        body_hash="",
        caused_by=f"cause-{number // 50}" if number % 2 else None,
        inserted_at=at_us,
        status=dice.choice(["active", "complete", "failed", "terminated", "cancelled"]),
        start_seen=1,
        started_at=at_us,
        finished_at=at_us + number % 37 * 1000 if number % 2 else None,
        termination_reason=None,
        quality_payloads="{}",
        updated_at=at_us,
        erased_at=None,
        **{
            f"spans_{status}": sum(span["status"] == place_of for span in spans)
            for place_of, status in enumerate(STATUSES)
        },
        flags=flags,
        denied=sum(bool(span["flags"] & 512) for span in spans),
        handled=0,
        tokens_in=number % 41 if number % 3 else None,
        tokens_out=number % 23 if number % 3 else None,
        summary=f"run {number}",
        failure_us=failed[0]["started_at"] if failed else None,
        failure_step="desk:ask" if failed else None,
        failure_type="ValueError" if failed else None,
        failure_place="desk.py:1" if failed else None,
        failure_text="no" if failed else None,
        fingerprint=-(number % 5) - 1 if failed else None,
        conversation=f"thread-{number % 5}" if number % 2 else None,
        asked=number % 3,
        answered=number % 2,
    )
    if number % 3 == 0:
        data.add(
            "run_keys",
            external_identifier=f"key-{number}",
            agent_ref=place["agent_ref"],
            environment_ref=place["environment_ref"],
            run_id=to_bytes(run_id),
        )
    data.add("run_changes", **base, run_ref=ref, seq=number // 4 + 1)
    labels = [("team", f"t{number % 4}"), ("urgent", "")][: 1 + (number % 10 == 0)]
    labels += [("team", "all")] if number % 20 == 0 else []
    for key, value in labels:
        data.add("run_labels", **base, key=key, value=value, run_id=to_bytes(run_id), run_ref=ref)
    data.add(
        "run_subjects",
        **base,
        subject_hash=f"hash-{number % 6}",
        run_id=to_bytes(run_id),
        run_ref=ref,
    )
    data.add(
        "run_subjects",
        **base,
        subject_hash=f"person-{number % 4}",
        run_id=to_bytes(run_id),
        run_ref=ref,
    )


def _add_span(
    data: Filled, dice: random.Random, run: int, run_id: str, place: Row, at_us: int, step: int
) -> Row:
    ref = (run - 1) * 5 + step + 1
    # Some start in the same microsecond, some have an id from long before their run.
    started_us = at_us + step * 1000 * (run % 3)
    id_us = at_us - 8 * DAY_US if run % 11 == 0 and step == 4 else started_us
    kind = dice.choice([0, 0, 0, 1, 2, 3])
    type_ref = place["agent_ref"] * 10 + kind
    flags = 256 if kind == 3 else dice.choice([0] * 8 + [16, 512, 1024, 2048, 64 | 16])
    status = dice.choice([2, 2, 2, 2, 3, 1, 0])
    span_id = new_id(id_us, ref)
    never_started = run % 13 == 0 and step == 3
    row = data.add(
        "spans",
        _run=run_id,
        _place=place,
        _id=span_id,
        _type=("desk:ask", "desk:ask", "desk:look", "desk:new")[kind],
        ref=ref,
        run_ref=run,
        id=to_bytes(span_id),
        parent_id=None,
        type_ref=type_ref,
        status=4 if never_started else status,
        created_status=0,
        flags=flags,
        started_at=None if never_started else started_us,
        finished_at=None if never_started else started_us + 500 + ref % 7,
        inserted_at=started_us,
        updated_at=started_us,
        summary=f"step {ref}",
    )
    if ref % 50:
        data.add(
            "span_payloads",
            _run=run_id,
            span_ref=ref,
            run_ref=run,
            id=row["id"],
            payload=f'{{"step":{ref}}}',
            result='{"ok":true}' if ref % 2 else None,
        )
    kinds = [one for one in (*FINDINGS, 16) if flags & one]
    for finding in kinds:
        for sentence in range(2 if finding in {512, 2048} else 1):
            data.add(
                "span_findings",
                _run=run_id,
                kind=finding,
                started_at=started_us,
                run_ref=run,
                span_id=row["id"],
                number=sentence,
                agent_ref=place["agent_ref"],
                environment_ref=place["environment_ref"],
                sentence=None,
            )
    return row


SPAN_COLUMNS: Final = (
    "unfinished", "complete", "failed", "cancelled", "denied", "redacted", "violation",
    "undeclared", "invalid", "unchecked", "duration_us", "duration_max_us",
)  # fmt: skip
RUN_COLUMNS: Final = ("pending", "active", "complete", "failed", "terminated", "cancelled")


def counts_of(span: Row) -> Row:
    """Return what a span adds to the counts."""
    status = ("unfinished", "cancelled", "complete", "failed", "unfinished")[span["status"]]
    flags = span["flags"]
    took_us = 500 if status != "unfinished" else 0
    return {
        **dict.fromkeys(SPAN_COLUMNS, 0),
        status: 1,
        "denied": int(bool(flags & 512)),
        "redacted": int(bool(flags & 1024)),
        "violation": int(bool(flags & 2048)),
        "undeclared": int(bool(flags & 256)),
        "invalid": int(bool(flags & (16 | 64))),
        "duration_us": took_us,
        "duration_max_us": took_us,
    }


def _add_counts(data: Filled) -> None:
    """Add the tables of counts; on PostgreSQL the last runs are increments that are not folded."""
    purposes = {run["ref"]: run["purpose"] for run in data.tables["runs"]}
    last = len(purposes) * 9 // 10 if data.dialect == "postgres" else len(purposes)
    tables: dict[str, dict[tuple[Any, ...], Row]] = defaultdict(dict)

    def count(table: str, numbers: Row, *key: Any) -> None:
        total = tables[table].setdefault(key, dict.fromkeys(numbers, 0))
        for name, number in numbers.items():
            total[name] = (
                max(total[name], number) if name == "duration_max_us" else total[name] + number
            )

    for span in data.tables["spans"]:
        place, at_us = span["_place"], span["started_at"] or span["inserted_at"]
        key = (place["agent_ref"], place["environment_ref"], purposes[span["run_ref"]])
        type_ref, numbers = span["type_ref"], counts_of(span)
        redacted = {"times": 2} if span["flags"] & 1024 else None
        of_rule = (at_us // DAY_US, *key[:2], type_ref, RULES[span["ref"] % 2])
        if span["run_ref"] <= last:
            count("span_hours", numbers, at_us // HOUR_US, *key, type_ref)
            count("span_days", numbers, at_us // DAY_US, *key, type_ref)
            if redacted:
                count("redacted_days", redacted, *of_rule)
        else:
            count("span_increments", numbers, at_us // HOUR_US, *key, type_ref)
            if redacted:
                count("redacted_increments", redacted, *of_rule)
    for run in data.tables["runs"]:
        place = run["_place"]
        key = (place["agent_ref"], place["environment_ref"], run["purpose"])
        numbers = {**dict.fromkeys(RUN_COLUMNS, 0), run["status"]: 1}
        table = "run_hours" if run["ref"] <= last else "run_increments"
        count(table, numbers, run["started_at"] // HOUR_US, *key)
    columns = {
        "span": ("bucket", "agent_ref", "environment_ref", "purpose", "type_ref"),
        "run": ("bucket", "agent_ref", "environment_ref", "purpose"),
        "redacted": ("bucket", "agent_ref", "environment_ref", "type_ref", "rule"),
    }
    for table, rows in tables.items():
        names = columns[table.partition("_")[0]]
        for row_key, numbers in rows.items():
            data.add(table, **dict(zip(names, row_key, strict=True)), **numbers)
