"""How the databases come by what is asked of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from remit.collector import Settings, Store, open_store
from remit.collector.store.filters import Page, SpanFilter
from remit.collector.store.postgres_rows import PostgresTransaction
from remit.collector.store.rows import DENIED
from remit.collector.store.sqlite_rows import SqliteTransaction
from remit.collector.store.transaction import Transaction
from tests.collecting import World
from tests.inside_collector import sqlite_store
from tests.postgres import database
from tests.processes import wait_until
from tests.stores import empty_database

BY_START = Page(0, 200, "started_at", descending=False)
NEWEST = Page(0, 50, "id", descending=True)
BEGAN_US = 1_767_607_200_000_000
"""2026-01-05 at ten."""
LOOKED_UP = "spans", "span_payloads", "runs", "idempotency_keys"
READ = """
    SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0), seq_scan
    FROM pg_stat_user_tables WHERE relname ~ %s
"""

OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND backend_type = 'client backend'
"""
PLANNED = (
    "SELECT COALESCE(SUM(generic_plans), 0), SUM(custom_plans) "
    "FROM pg_prepared_statements WHERE statement ~ '[^_]spans AS s'"
)
# Enough for a plan that is kept: the driver prepares after five times, the server plans five times.
OFTEN = 12


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Return an SQLite file with remit's tables and no rows."""
    with empty_database("sqlite", tmp_path) as named:
        yield Path(named)


def wait_until_alone(connected: psycopg.Connection) -> None:
    """Wait until the closed connections have ended: at their end they report what they read."""
    wait_until(lambda: connected.execute(OTHERS).fetchone() == (0,))


def filled(store: Store) -> SpanFilter:
    """Fill a store with spans of two agents, and return a filter for some of one's."""
    world = World(store, settings=Settings(max_bulk_s=60))
    apis = world.deployment("planned one"), world.deployment("planned two")
    runs = [api.instance("active") for api in apis]
    for api, run in zip(apis, runs, strict=True):
        bodies = [
            api.span_body(
                run["id"], started_at=f"2026-01-05T10:{number // 60:02}:{number % 60:02}Z"
            )
            for number in range(1000)
        ]
        api.bulk(*[{"_type": "agent_spans/create", **body} for body in bodies])
    return SpanFilter(
        account_id=runs[0]["account_id"],
        agent_id=runs[0]["agent_id"],
        started_from_us=BEGAN_US + 500_000_000,
        started_to_us=BEGAN_US + 510_000_000,
    )


@pytest.mark.gate
def test_postgres_looks_up_what_it_is_asked_for_by_keys() -> None:
    """To write spans it reads the rows that are named, and none of the hundreds beside them."""
    with database() as url:
        store = open_store(url)
        api = World(store, settings=Settings(max_bulk_s=60)).account()
        run = api.instance("active")["id"]
        api.bulk(*[{"_type": "agent_instances/register", **api.registration()}] * 300)
        names = [f"key-{uuid4().hex}" for _ in range(1000)]
        body = {"_type": "agent_spans/create", **api.span_body(run)}
        spans = api.bulk(*[{**body, "idempotency_key": name} for name in names])
        store.close()
        with psycopg.connect(url, autocommit=True) as connected:
            wait_until_alone(connected)
            connected.execute("SELECT pg_stat_reset()")

        again = [{**body, "idempotency_key": name} for name in names[::100]]
        ends = [
            {"_type": "agent_spans/finish", "agent_span_id": spans[name]["details"]["id"]}
            for name in names[::100]
        ]
        outputs = api.bulk(*again, *ends)
        store.close()

        with psycopg.connect(url, autocommit=True) as connected:
            wait_until_alone(connected)
            read = connected.execute(READ, (f"^({'|'.join(LOOKED_UP)})",)).fetchall()

    assert {output["status"] for output in outputs.values()} == {"success"}
    assert sum(rows for _, rows, _ in read) >= 20
    assert [found for found in read if found[1] > 100 or (found[1] and found[2])] == []


def plans_in_sqlite(path: Path, read: Callable[[Transaction], object]) -> str:
    """Return how SQLite comes by what is read: the last column of what it explains."""
    asked: list[str] = []
    with closing(sqlite3.connect(path)) as connection:
        connection.set_trace_callback(asked.append)
        read(SqliteTransaction(connection))
        connection.set_trace_callback(None)
        return "\n".join(
            row[-1] for sql in asked for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")
        )


class Noting(psycopg.Cursor[Any]):
    """A cursor that notes what it was asked."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Note nothing yet."""
        super().__init__(connection)
        self.asked: list[tuple[bytes, Sequence[Any] | None]] = []

    def execute(self, query: Any, params: Any = None, **more: Any) -> Noting:
        """Note a statement, and carry it out."""
        self.asked.append((query, params))
        return super().execute(query, params, **more)


def test_sqlite_reads_what_began_within_a_time_by_that(path: Path) -> None:
    """Of the types of the agent, however many there are at other times."""
    with closing(sqlite_store(path)) as store:
        wanted = filled(store)

    plan = plans_in_sqlite(path, lambda tx: tx.list_spans(wanted, BY_START))

    # To count, and to read.
    assert plan.count("spans_of_type (type_ref=? AND started_at>? AND started_at<?)") == 2
    assert "SCAN s" not in plan


@pytest.mark.parametrize(
    ("field", "index"),
    [
        ("caused_by", "INDEX runs_by_cause (caused_by=?)"),
        ("external_identifier", "USING PRIMARY KEY (external_identifier=?)"),
    ],
)
def test_sqlite_finds_joined_runs_by_an_index(path: Path, field: str, index: str) -> None:
    """Among the runs of the account, of one agent, or of all."""
    store = sqlite_store(path)
    wanted = filled(store)
    of_agent = {"agent_id": str(wanted.agent_id), field: "a"}
    for account_id, equal in (
        (wanted.account_id, {field: "a"}),
        (wanted.account_id, of_agent),
        (None, {field: "a"}),
    ):

        def read(
            tx: Transaction, account_id: str | None = account_id, equal: Mapping[str, str] = equal
        ) -> object:
            return tx.list_runs(account_id, equal, NEWEST)

        plan = plans_in_sqlite(path, read)
        assert plan.count(index) == 2
        assert "SCAN" not in plan
    store.close()


def test_sqlite_counts_runs_without_reading_them(path: Path) -> None:
    """All of an account's and those of one agent, which are as many as there ever were."""
    store = sqlite_store(path)
    wanted = filled(store)
    for equal, index in (
        ({}, "runs_by_status"),
        ({"agent_id": str(wanted.agent_id)}, "runs_of_agent_by_status"),
        ({"agent_id": str(wanted.agent_id), "status": "failed"}, "runs_of_agent_by_status"),
    ):

        def read(tx: Transaction, equal: Mapping[str, str] = equal) -> object:
            return tx.list_runs(wanted.account_id, equal, NEWEST)

        plan = plans_in_sqlite(path, read)
        # The narrowest one that begins with the account, or the agent.
        assert f"SEARCH r USING COVERING INDEX {index} " in plan
        assert "TEMP B-TREE" not in plan
    store.close()


def test_runs_of_the_only_account_are_its_own(path: Path) -> None:
    """Also where another one asks, and when there are two."""
    store = sqlite_store(path)
    account = str(filled(store).account_id)

    assert _listed(store, account) == (2, 2)
    assert _listed(store, "nobody") == (0, 0)
    other = World(store).foreign().instance("active")
    assert _listed(store, account) == (2, 2)
    assert _listed(store, str(other["account_id"])) == (1, 1)
    store.close()


def _listed(store: Store, account_id: str) -> tuple[int, int]:
    """Return how many runs of an account are listed, and how many it is said to have."""
    with store.reading() as tx:
        found = tx.list_runs(account_id, {}, NEWEST)
    assert {row.account_id for row in found.rows} <= {account_id}
    return len(found.rows), found.total


@pytest.mark.gate
def test_postgres_reads_what_began_within_a_time_by_that() -> None:
    """In each part of the table, those to come too."""
    with database() as url:
        with closing(open_store(url)) as store:
            wanted = filled(store)
        with psycopg.connect(url, autocommit=True) as connected:
            connected.execute("ANALYZE")
            cursor = Noting(connected)
            PostgresTransaction(cursor).list_spans(wanted, BY_START)
            told = [
                line
                for sql, values in cursor.asked
                for (line,) in connected.execute(b"EXPLAIN " + sql, values).fetchall()
            ]

    plan = "\n".join(told)
    assert plan.count("_type_ref_started_at_idx on spans") >= 2, plan


@pytest.mark.gate
def test_postgres_plans_queries_for_their_values() -> None:
    """However often: one plan for all times would read as much for a second as for a year."""
    with database() as url, closing(open_store(url)) as store:
        wanted = filled(store)
        with store.reading() as tx:
            for _ in range(OFTEN):
                tx.list_spans(wanted, BY_START)
            ((generic, custom),) = tx.rows(PLANNED)
        assert (generic, custom > 0) == (0, True)

        # A transaction that writes finds rows by keys, for which one plan is enough.
        with store.writing() as tx:
            for _ in range(OFTEN):
                tx.spans(None, ["an id"])
            ((generic, custom),) = tx.rows(PLANNED)
        assert (generic > 0, custom) == (True, 0)


def test_sqlite_reads_the_spans_of_a_bulk_by_their_ids(path: Path) -> None:
    """Not by the account, all of whose runs it would read."""
    with closing(sqlite_store(path)) as store:
        account = str(filled(store).account_id)

    plan = plans_in_sqlite(path, lambda tx: tx.spans(account, ["0" * 32]))

    assert "SEARCH s USING INDEX spans_by_id (id=?)" in plan
    assert "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)" in plan


def test_sqlite_looks_the_risk_of_an_agent_up_by_days_and_types(path: Path) -> None:
    """And its sentences by the agent."""
    store = sqlite_store(path)
    agent_id = str(filled(store).agent_id)

    def risk(tx: Transaction) -> object:
        first = BEGAN_US // 3_600_000_000
        return [
            tx.types_of_agent(agent_id, None, (first - 24 * 30, first + 1)),
            tx.sentences(DENIED, agent_id=agent_id, period_us=(0, BEGAN_US), most=10),
            tx.newest_terminated(agent_id, None, 10),
        ]

    plan = plans_in_sqlite(path, risk)

    assert "SCAN c" not in plan
    assert plan.count("PRIMARY KEY (bucket=? AND type_ref=? AND agent_ref=?)") == 3
    assert "INDEX span_findings_of_agent (agent_ref=? AND started_at>?" in plan
    assert "runs_of_agent_by_status (agent_ref=? AND status=?)" in plan
    store.close()
