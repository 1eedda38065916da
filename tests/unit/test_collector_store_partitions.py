"""The partitions of PostgreSQL's spans and payloads: made ahead, filled, found by what is asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from remit._base.ids import new_key, pfid
from remit.collector import Store
from remit.collector.store.filters import Page, SpanFilter
from remit.collector.store.ids import first_at, to_bytes
from remit.collector.store.postgres_partitions import TABLES, Partition, partition_at, week_at
from remit.testing import FakeClock
from tests.collecting import Api, World, details
from tests.inside_collector import postgres_store
from tests.postgres import await_waiting, database
from tests.subtests import each

pytestmark = pytest.mark.gate

# A Wednesday.
START = datetime(2027, 3, 10, 12, tzinfo=UTC)
DAY_S = 24 * 3600


def lay_out(url: str) -> None:
    """Make the tables and their partitions."""
    postgres_store(url, clock=FakeClock(START)).close()


@pytest.fixture
def url() -> Iterator[str]:
    """Return the URL of a database that was made at that time."""
    with database(lay_out) as named:
        yield named


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still in the middle of a week."""
    return FakeClock(START)


@pytest.fixture
def store(url: str, clock: FakeClock) -> Iterator[Store]:
    """Return a store that was opened at that time."""
    opened = postgres_store(url, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def api(store: Store, clock: FakeClock) -> Api:
    """Return the view of an account's token."""
    return World(store, clock=clock).account()


def parts(url: str, table: str = "spans") -> dict[str, int]:
    """Return the number of rows in each partition of a table, by the end of its name."""
    with psycopg.connect(url) as other:
        named = [
            name
            for (name,) in other.execute(
                "SELECT relid::regclass::text FROM pg_partition_tree(%s) WHERE isleaf", (table,)
            )
        ]
        counts = {
            name: other.execute(f"SELECT COUNT(*) FROM {name}".encode()).fetchall()[0][0]
            for name in named
        }
    return {name.removeprefix(f"{table}_"): count for name, count in sorted(counts.items())}


def id_at(day: datetime) -> str:
    """Return the id of a span that began then."""
    return pfid(new_key(int(day.timestamp()) * 1_000_000_000), 5)


@each("table", TABLES)
def test_a_partition_is_a_week_that_begins_on_a_monday(table: str) -> None:
    """Its bounds are the bytes with which ids of that time begin."""
    ms = int(START.timestamp()) * 1000

    part = partition_at(table, ms)

    assert part == Partition(f"{table}_20270308", table, first_at(week_at(ms) * 1000), part.end)
    assert datetime.fromtimestamp(week_at(ms) / 1000, UTC) == datetime(2027, 3, 8, tzinfo=UTC)
    first, last = (datetime(2027, 3, 8, tzinfo=UTC), datetime(2027, 3, 14, 23, 59, tzinfo=UTC))
    assert part.first <= to_bytes(id_at(first)) < to_bytes(id_at(last)) < part.end
    assert part.end <= to_bytes(id_at(datetime(2027, 3, 15, tzinfo=UTC)))


@pytest.mark.usefixtures("store")
def test_partitions_exist_before_they_are_needed(url: str) -> None:
    """From the week before to three weeks ahead."""
    weeks = ["20270301", "20270308", "20270315", "20270322", "20270329", "other"]

    assert [list(parts(url, table)) for table in TABLES] == [weeks, weeks]


def test_another_partition_is_made_when_the_week_ends(
    api: Api, store: Store, clock: FakeClock, url: str
) -> None:
    """By the maintenance of any collector."""
    run = api.instance("active")
    clock.advance(7 * DAY_S)
    store.maintain()
    api.span(run["id"])

    for table in TABLES:
        assert parts(url, table)["20270405"] == 0
        assert parts(url, table)["20270315"] == 1


def test_spans_are_in_the_partition_of_their_time(api: Api, url: str) -> None:
    """Those of times that have none are in the default one; all are listed and finished."""
    run = api.instance("active")
    days = [
        datetime(1999, 1, 1, tzinfo=UTC),
        datetime(2027, 3, 8, tzinfo=UTC),
        datetime(2027, 3, 21, 23, 59, tzinfo=UTC),
        datetime(2099, 1, 1, tzinfo=UTC),
    ]
    made = [api.span(run["id"], id=id_at(day))["id"] for day in days]

    for table in TABLES:
        filled = {name: count for name, count in parts(url, table).items() if count}
        assert filled == {"20270308": 1, "20270315": 1, "other": 2}
    assert [span["id"] for span in api.spans(run["id"])] == made
    for span_id in made:
        finished = api.post(f"/agent_spans/{span_id}/finish", {"result_payload": {"a": span_id}})
        assert details(finished)["status"] == "complete"
    assert [span["result_payload"] for span in api.spans(run["id"])] == [
        {"a": span_id} for span_id in made
    ]


def test_a_new_partition_takes_the_rows_of_its_time(
    api: Api, store: Store, clock: FakeClock, url: str
) -> None:
    """Out of the default one."""
    run = api.instance("active")
    early = api.span(run["id"], id=id_at(datetime(2027, 4, 7, tzinfo=UTC)))
    assert [parts(url, table)["other"] for table in TABLES] == [1, 1]
    clock.advance(7 * DAY_S)
    store.maintain()

    for table in TABLES:
        assert (parts(url, table)["20270405"], parts(url, table)["other"]) == (1, 0)
    assert api.spans(run["id"]) == [early]


def test_partitions_are_made_while_others_write(url: str, clock: FakeClock) -> None:
    """Several collectors make those of the new week at once: no span is lost, none is refused."""
    stores = [postgres_store(url, clock=clock) for _ in range(4)]
    apis = [World(store, clock=clock).account() for store in stores]
    runs = [api.instance("active")["id"] for api in apis]
    made: list[str] = []

    def load(store: Store, api: Api, run: str) -> None:
        for week in range(8):
            day = datetime.fromtimestamp(clock.wall_ns() / 1e9 + week * 7 * DAY_S, UTC)
            made.append(api.span(run, id=id_at(day))["id"])
            store.maintain()

    for _ in range(6):
        clock.advance(7 * DAY_S)
        threads = [
            threading.Thread(target=load, args=loaded)
            for loaded in zip(stores, apis, runs, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with stores[0].reading() as tx:
        kept = tx.list_spans(SpanFilter(), Page(0, 1000, "id", descending=False))
    assert len(made) == 4 * 6 * 8
    assert sorted(row.id for row in kept.rows) == sorted(made)
    assert sum(parts(url, "span_payloads").values()) == len(made)
    for store in stores:
        store.close()


@pytest.mark.parametrize("table", TABLES)
def test_a_new_partition_takes_what_is_being_written_too(
    api: Api, store: Store, clock: FakeClock, url: str, table: str
) -> None:
    """Its making waits for transactions that write into the default one."""
    run = api.instance("active")
    api.span(run["id"], id=id_at(datetime(2027, 4, 6, tzinfo=UTC)))
    later = to_bytes(id_at(datetime(2027, 4, 7, tzinfo=UTC)))
    clock.advance(7 * DAY_S)
    with psycopg.connect(url) as other:
        columns = ", ".join(
            name
            for (name,) in other.execute(
                "SELECT column_name FROM information_schema.columns "
                "WHERE table_name = %s AND column_name <> 'id'",
                (table,),
            )
        )
        sql = f"INSERT INTO {table} (id, {columns}) SELECT %s, {columns} FROM {table}"
        other.execute(sql.encode(), (later,))
        maker = threading.Thread(target=store.maintain)
        maker.start()
        await_waiting(url)
        other.commit()
        maker.join(60)

    assert (parts(url, table)["20270405"], parts(url, table)["other"]) == (2, 0)


@pytest.mark.parametrize("table", TABLES)
def test_without_new_partitions_all_goes_on(
    api: Api,
    store: Store,
    clock: FakeClock,
    url: str,
    caplog: pytest.LogCaptureFixture,
    table: str,
) -> None:
    """One line is logged, and it is tried again later."""
    run = api.instance("active")
    with psycopg.connect(url) as blocker:
        blocker.execute(f"CREATE TABLE {table}_20270405 ()".encode())
        blocker.commit()
        clock.advance(7 * DAY_S)
        for _ in range(3):
            store.maintain()
            assert api.span(run["id"])["status"] == "active"
        assert [record.message.partition(":")[0] for record in caplog.records] == [
            "the partitions of the coming weeks could not be created yet"
        ]
        blocker.execute(f"DROP TABLE {table}_20270405".encode())
    clock.advance(60)
    store.maintain()

    assert "20270405" in parts(url, table)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("table", TABLES)
def test_ids_are_looked_up_in_their_partition(url: str, table: str) -> None:
    """Not in those of all the years."""
    ms = int(START.timestamp()) * 1_000
    low, high = to_bytes(id_at(START)), first_at((ms + 1000) * 1000)
    with psycopg.connect(url) as other:
        plan = other.execute(
            f"EXPLAIN SELECT 1 FROM {table} WHERE id = ANY(%s) AND id BETWEEN %s AND %s".encode(),
            ([low, high], low, high),
        ).fetchall()
    text = "\n".join(line for (line,) in plan)

    assert f"{table}_20270308" in text
    assert f"{table}_20270315" not in text
    assert f"{table}_other" not in text


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("table", TABLES)
def test_each_unique_key_of_a_partition_holds_the_run(url: str, table: str) -> None:
    """Ids are unique within a run, in every partition; the shard is in each key, for Citus."""
    with psycopg.connect(url) as other:
        keys = other.execute(
            """
            SELECT tables.relname, indexes.relname, array_agg(columns.attname)
            FROM pg_index AS i
            JOIN pg_class AS indexes ON indexes.oid = i.indexrelid
            JOIN pg_class AS tables ON tables.oid = i.indrelid
            JOIN pg_attribute AS columns
              ON columns.attrelid = i.indrelid AND columns.attnum = ANY(i.indkey)
            WHERE (i.indisunique OR i.indisprimary)
            AND (tables.relname = %s OR tables.relname ~ %s)
            GROUP BY 1, 2
            """,
            (table, f"^{table}_([0-9]+|other)$"),
        ).fetchall()

    assert len(keys) > len(parts(url, table))
    for name, index, columns in keys:
        assert {"run_ref", "shard"} < set(columns), f"{index} of {name} is on {columns}"
