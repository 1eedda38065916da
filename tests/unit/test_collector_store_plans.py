"""The plans by which the databases find rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from remit.collector import Settings, Store, open_store
from remit.collector.store import Page, SpanFilter, Transaction
from remit.collector.store.sqlite_rows import SqliteTransaction
from tests.collecting import World
from tests.inside_collector import sqlite_store
from tests.postgres import database
from tests.stores import empty_database

BY_START = Page(0, 200, "started_at", descending=False)
NEWEST = Page(0, 50, "id", descending=True)
LOOKED_UP = "spans", "span_payloads", "runs", "idempotency_keys"
READ = """
    SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0), seq_scan
    FROM pg_stat_user_tables WHERE relname ~ %s
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


def filled(store: Store) -> SpanFilter:
    """Fill a store with 500 spans of each of two agents; return a filter for some of one's."""
    world = World(store, settings=Settings(max_bulk_s=60))
    runs: list[dict[str, str]] = []
    for name in ("planned one", "planned two"):
        api = world.deployment(name)
        run = api.instance("active")
        items = [
            {
                "_type": "agent_spans/create",
                "idempotency_key": uuid4().hex,
                **api.span_body(run["id"], started_at=f"1970-01-01T00:00:00.{number:06}Z"),
            }
            for number in range(500)
        ]
        api.bulk(*items)
        runs.append(run)
    return SpanFilter(
        account_id=runs[0]["account_id"],
        agent_id=runs[0]["agent_id"],
        started_from_us=100,
        started_to_us=110,
    )


@pytest.mark.gate
def test_postgres_looks_up_spans_by_keys() -> None:
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
            connected.execute("SELECT pg_stat_reset()")

        again = [{**body, "idempotency_key": name} for name in names[::100]]
        ends = [
            {"_type": "agent_spans/finish", "agent_span_id": spans[name]["details"]["id"]}
            for name in names[::100]
        ]
        outputs = api.bulk(*again, *ends)
        store.close()

        # The server counts what a connection has read when it is closed.
        with psycopg.connect(url, autocommit=True) as connected:
            read = connected.execute(READ, (f"^({'|'.join(LOOKED_UP)})",)).fetchall()

    assert {output["status"] for output in outputs.values()} == {"success"}
    assert sum(rows for _, rows, _ in read) >= 20
    assert [table for table in read if table[1] > 100 or (table[1] and table[2])] == []


def plans_in_sqlite(path: Path, read: Callable[[Transaction], object]) -> str:
    """Return how SQLite finds what is read: the last column of what it explains."""
    executed: list[str] = []
    with closing(sqlite3.connect(path)) as connection:
        connection.set_trace_callback(executed.append)
        read(SqliteTransaction(connection))
        connection.set_trace_callback(None)
        return "\n".join(
            row[-1]
            for sql in executed
            for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
        )


def test_sqlite_reads_what_began_within_a_time_by_that(path: Path) -> None:
    """Of the types of the agent."""
    with closing(sqlite_store(path)) as store:
        wanted = filled(store)

    plans = plans_in_sqlite(path, lambda tx: tx.list_spans(wanted, BY_START))

    # To count, and to read.
    assert plans.count("spans_of_type (type_ref=? AND started_at>? AND started_at<?)") == 2
    assert "SCAN s" not in plans.replace("SCAN k", "")


@pytest.mark.parametrize(
    ("field", "index"),
    [
        ("caused_by", "INDEX runs_by_cause (caused_by=?)"),
        ("external_identifier", "run_keys USING PRIMARY KEY (external_identifier=?)"),
    ],
)
def test_sqlite_finds_joined_runs_by_an_index(path: Path, field: str, index: str) -> None:
    """Among the runs of the account, of one agent, or of all."""
    with closing(sqlite_store(path)) as store:
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
            return tx.list_instances(account_id, equal, NEWEST)

        plans = plans_in_sqlite(path, read)
        assert plans.count(index) == 2, plans
        assert "SCAN" not in plans


def test_sqlite_counts_runs_without_reading_them(path: Path) -> None:
    """Those of an account and those of one agent, which are as many as there ever were."""
    with closing(sqlite_store(path)) as store:
        wanted = filled(store)
    for equal in ({}, {"agent_id": str(wanted.agent_id)}):

        def read(tx: Transaction, equal: Mapping[str, str] = equal) -> object:
            return tx.list_instances(wanted.account_id, equal, NEWEST)

        plans = plans_in_sqlite(path, read)
        assert plans.startswith("SEARCH r USING COVERING INDEX runs_"), plans
        assert "TEMP B-TREE" not in plans


def test_runs_are_listed_by_account(path: Path) -> None:
    """Where there is one account, where there are two, and for an account that does not exist."""
    store = sqlite_store(path)
    account = str(filled(store).account_id)

    assert _listed(store, account) == (2, 2)
    assert _listed(store, "nobody") == (0, 0)
    other = World(store).foreign().instance("active")
    assert _listed(store, account) == (2, 2)
    assert _listed(store, str(other["account_id"])) == (1, 1)
    store.close()


def _listed(store: Store, account_id: str) -> tuple[int, int]:
    """Return how many runs of an account are listed, and their total."""
    with store.reading() as tx:
        listed = tx.list_instances(account_id, {}, NEWEST)
    assert {row.account_id for row in listed.rows} <= {account_id}
    return len(listed.rows), listed.total


@pytest.mark.gate
def test_postgres_reads_what_began_within_a_time_by_that() -> None:
    """In each partition of the table, those to come too."""
    with database() as url, closing(open_store(url)) as store:
        wanted = filled(store)
        with psycopg.connect(url, autocommit=True) as connected:
            connected.execute("ANALYZE")
            connected.execute("SELECT pg_stat_reset()")
        store.close()
        with store.reading() as tx:
            listed = tx.list_spans(wanted, BY_START)
        store.close()
        with psycopg.connect(url, autocommit=True) as connected:
            read = connected.execute(READ, ("^spans",)).fetchall()

    assert listed.total == len(listed.rows) == 11
    # To count, and to read.
    assert 22 <= sum(rows for _, rows, _ in read) <= 50


@pytest.mark.gate
def test_postgres_plans_queries_for_their_values() -> None:
    """However often: one plan for all times would read as much for a second as for a year."""
    with database() as url, closing(open_store(url)) as store:
        wanted = filled(store)
        with store.reading() as tx:
            for _ in range(OFTEN):
                tx.list_spans(wanted, BY_START)
            ((generic, custom),) = tx.rows(PLANNED)
        assert generic == 0
        assert custom > 0

        # A transaction that writes finds rows by keys, for which one plan is enough.
        with store.writing() as tx:
            for _ in range(OFTEN):
                tx.spans(None, ["an id"])
            ((generic, custom),) = tx.rows(PLANNED)
        assert generic > 0
        assert custom == 0
