"""How the databases come by what is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from remit._ids import new_key, pfid
from remit.collector import Store, open_store
from remit.collector.store import (
    Page,
    Reading,
    SpanFilter,
    SpanRow,
    postgres,
    postgres_rows,
    sqlite_rows,
    write,
)
from tests.collecting import World
from tests.postgres import database

pytestmark = pytest.mark.gate

IDS = "{01kdvdna007h8tmebxatc59jzrb36jtn,01kdvdna007h8tmebxatc59jzrb36jtp}"
LOW, HIGH = IDS.strip("{}").split(",")
TEXTS = {
    "keys": (postgres_rows._KEYS_OF_TEXTS, (IDS, "account", "agent_spans/create")),
    "spans": (postgres_rows._SPANS_OF_ACCOUNT, (IDS, LOW, HIGH, "account")),
    "held": (postgres_rows._HOLD, (IDS,)),
    "held with spans": (postgres_rows._HOLD_WITH_SPANS, (IDS, LOW, HIGH, IDS)),
    "finished": (postgres_rows._UPDATE_SPANS, ("[]", IDS, LOW, HIGH)),
}
FOUND_BY = {
    "keys": "(account_id = $2) AND (operation = $3) AND (key = wanted.key)",
    "spans": "Index Cond: ((id = ANY ($1)) AND (id >= $2) AND (id <= $3))",
    "held": "Index Cond: (id = ANY ($1))",
    "held with spans": "Index Cond: ((id = ANY ($1)) AND (id >= $2) AND (id <= $3))",
    "finished": "Index Cond: ((id = ANY ($2)) AND (id >= $3) AND (id <= $4))",
}


@pytest.fixture
def connection() -> Iterator[psycopg.Connection[tuple[str]]]:
    """Return a connection in a writing transaction of an empty database."""
    with database() as url:
        open_store(url).close()
        with psycopg.connect(url, autocommit=True) as connected:
            connected.execute(postgres._WRITE.encode())
            yield connected


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_asked_for_by_keys_is_looked_up(
    connection: psycopg.Connection[tuple[str]], name: str
) -> None:
    """Each row by all that is known of it; no table is read from one end to the other."""
    text, values = TEXTS[name]
    for number in range(1, len(values) + 1):
        text = text.replace("?", f"${number}", 1)
    literals = ", ".join(f"'{value}'" for value in values)
    connection.execute(f"PREPARE asked AS {text}".encode())

    explained = connection.execute(f"EXPLAIN EXECUTE asked ({literals})".encode()).fetchall()

    plan = "\n".join(line.replace("::text[]", "") for (line,) in explained)
    assert "Seq Scan" not in plan
    assert FOUND_BY[name] in plan.replace("s.id", "id").replace("s.agent", "agent"), plan


def span(run: str, number: int) -> SpanRow:
    """Return a span that began so many microseconds after 1970."""
    span_id = pfid(new_key((number + 1) * 1_000_000), 5)
    text = ("complete", "complete", 0, number, number, number, number, None, None, "{}", None)
    return SpanRow(run, span_id, None, "desk:answer", *text)


BY_START = Page(0, 200, "started_at", descending=False)
NEWEST = Page(0, 50, "id", descending=True)


def plans_of(store: Store, wanted: SpanFilter, explain: str) -> str:
    """Return how a database comes by spans in the order of their starts."""
    return plans(store, lambda tx: tx.list_spans(wanted, BY_START), explain)


def plans(
    store: Store, read: Callable[[Reading], object], explain: str, *, column: int = -1
) -> str:
    """Return how a database comes by what is read."""
    asked: list[tuple[str, Sequence[Any]]] = []
    with store.reading() as tx:
        source: Any = tx
        ask = source._rows

        def noted(sql: str, values: Sequence[Any] = ()) -> object:
            asked.append((sql, values))
            return ask(sql, values)

        source._rows = noted
        read(tx)
        told = [row[column] for sql, values in asked for row in ask(explain + sql, values)]
    return "\n".join(told)


def filled(store: Store) -> SpanFilter:
    """Fill a store with spans of two agents, and return a filter for some of one's."""
    run = World(store).deployment("planned one").instance("active")
    other = World(store).deployment("planned two").instance("active")["id"]
    rows = [span(one, number) for number in range(1000) for one in (run["id"], other)]
    write(store, lambda tx: tx.add_spans(rows))
    return SpanFilter(
        account_id=run["account_id"],
        agent_id=run["agent_id"],
        started_from_us=500,
        started_to_us=510,
    )


def test_sqlite_reads_what_began_within_a_time_by_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it is so much that the runs of the agent are the shorter way."""
    store = open_store(tmp_path / "remit.db")
    wanted = filled(store)

    few = plans_of(store, wanted, "EXPLAIN QUERY PLAN ")
    monkeypatch.setattr(sqlite_rows, "MOST_BY_START", 20)
    many = plans_of(store, wanted, "EXPLAIN QUERY PLAN ")

    # To know whether it is few, to count, and to read.
    by_start = "agent_spans_by_start (started_at>? AND started_at<?)"
    assert few.count(by_start) == 3
    assert "SCAN i" not in few
    assert many.count(by_start) == 1
    assert many.count("SEARCH s USING INDEX sqlite_autoindex_agent_spans_1") == 2
    store.close()


def test_sqlite_counts_runs_without_reading_them(tmp_path: Path) -> None:
    """All of an account's and those of one agent, which are as many as there ever were."""
    store = open_store(tmp_path / "remit.db")
    wanted = filled(store)
    everything: dict[str, str] = {}
    of_agent = {"agent_id": str(wanted.agent_id)}

    for alone in (True, False):
        if not alone:
            World(store).foreign()
        for equal in (everything, of_agent):

            def read(tx: Reading, equal: Mapping[str, str] = equal) -> object:
                return tx.list_instances(wanted.account_id, equal, NEWEST)

            plan = plans(store, read, "EXPLAIN QUERY PLAN ")
            if alone and not equal:
                # SQLite's word for counting pages, of which there is one.
                assert "Count" in plans(store, read, "EXPLAIN ", column=1)
            else:
                assert "SEARCH agent_instances USING COVERING INDEX agent_instances_of_" in plan
            assert "TEMP B-TREE" not in plan
    store.close()


def test_runs_of_the_only_account_are_its_own(tmp_path: Path) -> None:
    """Also where another one asks, and when there are two."""
    store = open_store(tmp_path / "remit.db")
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
        found = tx.list_instances(account_id, {}, NEWEST)
    assert {row.account_id for row in found.rows} <= {account_id}
    return len(found.rows), found.total


def test_postgres_reads_what_began_within_a_time_by_that() -> None:
    """In each part of the table, those to come too."""
    with database() as url:
        store = open_store(url)
        wanted = filled(store)
        with psycopg.connect(url, autocommit=True) as connected:
            connected.execute("ANALYZE")
        plan = plans_of(store, wanted, "EXPLAIN ")
        store.close()

    assert plan.count("_started_at_idx on agent_spans") >= 2, plan


def test_postgres_plans_for_the_times_that_are_asked_for() -> None:
    """However often: one plan for all times would read as much for a second as for a year."""
    with database() as url:
        store = open_store(url)
        wanted = filled(store)
        with store.reading() as tx:
            (run, *_) = tx.instances_of_agent(str(wanted.agent_id))
            for _ in range(12):
                tx.list_spans(wanted, BY_START)
                tx.span_kinds(wanted)
                tx.list_spans(SpanFilter(agent_instance_id=run), BY_START)
            source: Any = tx
            kept = [row[0] for row in source._rows("SELECT statement FROM pg_prepared_statements")]
        store.close()

    of_spans = [text for text in kept if "agent_spans" in text]
    assert len(of_spans) == 2
    assert all("agent_instance_id = $1" in text for text in of_spans)
