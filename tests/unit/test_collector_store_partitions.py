"""The parts of PostgreSQL's table of spans: made ahead, filled, found by what is asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from remit._base.ids import new_key, pfid
from remit.collector import Store
from remit.collector.store import Page, SpanFilter, SpanRow
from remit.collector.store.postgres_partitions import Part, part_at, week_at
from remit.collector.store.retention import bound_at
from remit.testing import FakeClock
from tests.collecting import Api, World, details
from tests.inside_collector import postgres_store
from tests.postgres import await_waiting, database

pytestmark = pytest.mark.gate

# A Wednesday.
START = datetime(2027, 3, 10, 12, tzinfo=UTC)
DAY_S = 24 * 3600


@pytest.fixture
def url() -> Iterator[str]:
    """Return the URL of a new database."""
    with database() as named:
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


def parts(url: str) -> dict[str, int]:
    """Return how many spans are in each part, by the end of its name."""
    with psycopg.connect(url) as other:
        found = [
            name
            for (name,) in other.execute(
                "SELECT relid::regclass::text FROM pg_partition_tree('agent_spans') WHERE isleaf"
            )
        ]
        counts = {
            name: other.execute(f"SELECT COUNT(*) FROM {name}".encode()).fetchall()[0][0]
            for name in found
        }
    return {name.removeprefix("agent_spans_"): count for name, count in sorted(counts.items())}


def id_at(day: datetime) -> str:
    """Return the id of a span that began then."""
    return pfid(new_key(int(day.timestamp()) * 1_000_000_000), 5)


def test_a_part_is_a_week_that_begins_on_a_monday() -> None:
    """Its bounds are the texts with which ids of that time begin."""
    ms = int(START.timestamp()) * 1000

    part = part_at(ms)

    assert part == Part("agent_spans_20270308", bound_at(week_at(ms)), part.end)
    assert datetime.fromtimestamp(week_at(ms) / 1000, UTC) == datetime(2027, 3, 8, tzinfo=UTC)
    first, last = (datetime(2027, 3, 8, tzinfo=UTC), datetime(2027, 3, 14, 23, 59, tzinfo=UTC))
    assert part.first <= id_at(first) < id_at(last) < part.end
    assert part.end <= id_at(datetime(2027, 3, 15, tzinfo=UTC))


@pytest.mark.usefixtures("store")
def test_parts_are_there_before_they_are_needed(url: str) -> None:
    """From the week before to three weeks ahead."""
    assert list(parts(url)) == ["20270301", "20270308", "20270315", "20270322", "20270329", "other"]


def test_another_part_is_made_when_the_week_ends(api: Api, clock: FakeClock, url: str) -> None:
    """By whoever writes."""
    run = api.instance("active")
    clock.advance(7 * DAY_S)
    api.span(run["id"])

    assert parts(url)["20270405"] == 0
    assert parts(url)["20270315"] == 1


def test_spans_are_in_the_part_of_their_time(api: Api, url: str) -> None:
    """Those of times that have none are in the one for the others; all are found and finished."""
    run = api.instance("active")
    days = [
        datetime(1999, 1, 1, tzinfo=UTC),
        datetime(2027, 3, 8, tzinfo=UTC),
        datetime(2027, 3, 21, 23, 59, tzinfo=UTC),
        datetime(2099, 1, 1, tzinfo=UTC),
    ]
    made = [api.span(run["id"], id=id_at(day))["id"] for day in days]

    filled = {name: count for name, count in parts(url).items() if count}
    assert filled == {"20270308": 1, "20270315": 1, "other": 2}
    assert [span["id"] for span in api.spans(run["id"])] == made
    for span_id in made:
        assert details(api.post(f"/agent_spans/{span_id}/finish"))["status"] == "complete"


def test_a_part_takes_what_was_there_before_it(api: Api, clock: FakeClock, url: str) -> None:
    """Out of the part for the others."""
    run = api.instance("active")
    early = api.span(run["id"], id=id_at(datetime(2027, 4, 7, tzinfo=UTC)))["id"]
    assert parts(url)["other"] == 1
    clock.advance(7 * DAY_S)
    api.span(run["id"])

    assert (parts(url)["20270405"], parts(url)["other"]) == (1, 0)
    assert early in {span["id"] for span in api.spans(run["id"])}


def test_parts_are_made_while_others_write(url: str, clock: FakeClock) -> None:
    """Several notice the new week at once: no span is lost, none is refused."""
    stores = [postgres_store(url, clock=clock) for _ in range(4)]
    apis = [World(store, clock=clock).account() for store in stores]
    runs = [api.instance("active")["id"] for api in apis]
    made: list[str] = []

    def load(api: Api, run: str) -> None:
        for week in range(8):
            day = datetime.fromtimestamp(clock.wall_ns() / 1e9 + week * 7 * DAY_S, UTC)
            made.append(api.span(run, id=id_at(day))["id"])

    for _ in range(6):
        clock.advance(7 * DAY_S)
        threads = [
            threading.Thread(target=load, args=pair) for pair in zip(apis, runs, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with stores[0].reading() as tx:
        kept = tx.list_spans(SpanFilter(), Page(0, 1000, "id", descending=False))
    assert len(made) == 4 * 6 * 8
    assert sorted(row.id for row in kept.rows) == sorted(made)
    for store in stores:
        store.close()


def test_a_part_takes_what_is_being_written_too(api: Api, clock: FakeClock, url: str) -> None:
    """It waits for who has begun to write into the part for the others."""
    run = api.instance("active")
    api.span(run["id"], id=id_at(datetime(2027, 4, 6, tzinfo=UTC)))
    later = id_at(datetime(2027, 4, 7, tzinfo=UTC))
    clock.advance(7 * DAY_S)
    with psycopg.connect(url) as other:
        columns = ", ".join(name for name in SpanRow.__struct_fields__ if name != "id")
        sql = f"INSERT INTO agent_spans (id, {columns}) SELECT %s, {columns} FROM agent_spans"
        other.execute(sql.encode(), (later,))
        writer = threading.Thread(target=api.span, args=(run["id"],))
        writer.start()
        await_waiting(url)
        other.commit()
        writer.join(20)

    assert (parts(url)["20270405"], parts(url)["other"]) == (2, 0)


def test_without_new_parts_all_goes_on(
    api: Api,
    clock: FakeClock,
    url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line says so, and it is tried again later."""
    run = api.instance("active")
    with psycopg.connect(url) as blocker:
        blocker.execute("CREATE TABLE agent_spans_20270405 ()")
        blocker.commit()
        clock.advance(7 * DAY_S)
        for _ in range(3):
            assert api.span(run["id"])["status"] == "active"
        assert [record.message.partition(":")[0] for record in caplog.records] == [
            "the partitions of the coming weeks could not be made yet"
        ]
        blocker.execute("DROP TABLE agent_spans_20270405")
    clock.advance(60)
    api.span(run["id"])

    assert "20270405" in parts(url)


@pytest.mark.usefixtures("store")
def test_what_is_asked_by_id_is_looked_for_in_its_part(url: str) -> None:
    """Not in the parts of all the years."""
    ms = int(START.timestamp()) * 1_000
    low, high = id_at(START), bound_at(ms + 1000)
    with psycopg.connect(url) as other:
        plan = other.execute(
            "EXPLAIN SELECT 1 FROM agent_spans WHERE id = ANY(%s) AND id BETWEEN %s AND %s",
            ([low, high], low, high),
        ).fetchall()
    text = "\n".join(line for (line,) in plan)

    assert "agent_spans_20270308" in text
    assert "agent_spans_20270315" not in text
    assert "agent_spans_other" not in text


@pytest.mark.usefixtures("store")
def test_each_unique_key_of_the_spans_holds_the_instance(url: str) -> None:
    """Ids are unique within a run, in every partition."""
    with psycopg.connect(url) as other:
        found = other.execute(
            """
            SELECT tables.relname, indexes.relname, array_agg(columns.attname)
            FROM pg_index AS i
            JOIN pg_class AS indexes ON indexes.oid = i.indexrelid
            JOIN pg_class AS tables ON tables.oid = i.indrelid
            JOIN pg_attribute AS columns
              ON columns.attrelid = i.indrelid AND columns.attnum = ANY(i.indkey)
            WHERE (i.indisunique OR i.indisprimary) AND tables.relname LIKE 'agent_spans%'
            GROUP BY 1, 2
            """
        ).fetchall()

    assert len(found) > len(parts(url))
    for table, index, columns in found:
        assert "agent_instance_id" in columns, f"{index} of {table} is on {columns}"
