"""Removing what is old, in each kind of store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from remit._base.ids import new_key, pfid
from remit.cli import main
from remit.collector import Store, open_store
from remit.collector.store.filters import Page, Removed, SpanFilter
from remit.collector.store.retention import forget
from remit.collector.times import parse_us
from remit.testing import FakeClock
from tests.collecting import Api, Json, World, details
from tests.stores import EACH_STORE, empty_database, new_database

# A Monday: PostgreSQL drops whole weeks, which begin then.
NOW = datetime(2026, 11, 23, tzinfo=UTC)
CUT = NOW - timedelta(days=28)


@pytest.fixture(params=EACH_STORE)
def named(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | str]:
    """Return what `--db` names: a database with nothing in it."""
    with empty_database(request.param, tmp_path) as database:
        yield database


@pytest.fixture
def store(named: Path | str) -> Iterator[Store]:
    """Return a store that is open."""
    opened = open_store(named)
    yield opened
    opened.close()


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that a test sets to the time at which something happens."""
    return FakeClock(CUT - timedelta(days=200))


@pytest.fixture
def api(store: Store, clock: FakeClock) -> Api:
    """Return the view of an account's token."""
    return World(store, clock=clock).account()


def travel(clock: FakeClock, to: datetime) -> None:
    """Set the clock."""
    clock.advance(to.timestamp() - clock.wall_ns() / 1e9)


def id_at(moment: datetime) -> str:
    """Return the id of a span that began then."""
    return pfid(new_key(int(moment.timestamp()) * 1_000_000_000), 5)


def run_at(api: Api, clock: FakeClock, moment: datetime, *, ends: bool = True) -> dict[str, Json]:
    """Return a run with a span that began and ended then."""
    travel(clock, moment)
    run = api.instance("active", external_identifier=f"{moment}-{ends}")
    api.span(run["id"], id=id_at(moment), idempotency_key=f"c {moment} {ends}")
    if ends:
        api.post(f"/agent_instance/{run['id']}/finish", {"idempotency_key": f"f {moment}"})
    return run


def kept(store: Store) -> tuple[set[str], set[str]]:
    """Return the ids of the runs and of the spans that are there."""
    page = Page(0, 1000, "id", descending=False)
    with store.reading() as tx:
        runs = {row.id for row in tx.list_runs(None, {}, page).rows}
        return runs, {row.id for row in tx.list_spans(SpanFilter(), page).rows}


def cut_us() -> int:
    """Return the moment before which all goes."""
    return parse_us(CUT.isoformat())


def test_what_ended_before_goes_with_its_spans_and_keys(
    api: Api, clock: FakeClock, store: Store
) -> None:
    """What is younger stays as it was."""
    old = run_at(api, clock, CUT - timedelta(days=9))
    young = run_at(api, clock, CUT + timedelta(days=1))
    spans = api.spans(young["id"])

    removed = store.retain(cut_us())

    assert (removed.spans, removed.runs, removed.keys) == (1, 1, 2)
    assert kept(store) == ({young["id"]}, {span["id"] for span in spans})
    assert api.get(f"/agent_instance/{old['id']}").status_code == 404
    assert api.spans(young["id"]) == spans
    assert store.retain(cut_us())._replace(parts=()) == Removed()


def test_nothing_is_older_than_1970(api: Api, clock: FakeClock, store: Store) -> None:
    """An age of a hundred years deletes nothing."""
    run_at(api, clock, CUT - timedelta(days=9))
    before = kept(store)
    long_ago_us = parse_us("1926-12-01T00:00:00Z")

    assert store.retain(long_ago_us, long_ago_us) == Removed()
    assert kept(store) == before


def test_a_run_with_a_younger_span_stays(api: Api, clock: FakeClock, store: Store) -> None:
    """It loses the old ones; its counts are those of all that it had."""
    run = run_at(api, clock, CUT - timedelta(days=9))
    young = api.span(run["id"], id=id_at(CUT + timedelta(days=1)))

    removed = store.retain(cut_us())

    assert (removed.spans, removed.runs) == (1, 0)
    assert kept(store) == ({run["id"]}, {young["id"]})
    assert api.shown(run["id"])["span_counts"]["total"] == 2


def test_a_run_that_never_ended_stays(api: Api, clock: FakeClock, store: Store) -> None:
    """And can still be finished."""
    run = run_at(api, clock, CUT - timedelta(days=9), ends=False)

    assert store.retain(cut_us()).runs == 0
    assert kept(store) == ({run["id"]}, set())
    path = f"/agent_instance/{run['id']}/finish"
    assert details(api.post(path, {}))["status"] == "complete"


def test_a_run_that_says_it_ended_long_ago_stays(api: Api, clock: FakeClock, store: Store) -> None:
    """What counts is when that was said."""
    travel(clock, CUT + timedelta(days=1))
    run = api.instance("active")
    api.post(f"/agent_instance/{run['id']}/finish", {"timestamp": "2001-01-01T00:00:00Z"})

    assert store.retain(cut_us()).runs == 0
    assert kept(store) == ({run["id"]}, set())


def test_a_key_of_a_span_that_went_can_be_used_again(
    api: Api, clock: FakeClock, store: Store
) -> None:
    """Also where the run stayed: else it could be neither answered nor carried out."""
    run = run_at(api, clock, CUT - timedelta(days=9), ends=False)
    key = f"c {CUT - timedelta(days=9)} False"
    store.retain(cut_us())

    again = api.span(run["id"], idempotency_key=key)

    assert kept(store)[1] == {again["id"]}
    assert api.span(run["id"], idempotency_key=key)["id"] == again["id"]


def test_a_span_of_a_far_time_goes_too(api: Api, clock: FakeClock, store: Store) -> None:
    """For which PostgreSQL has no part."""
    run = run_at(api, clock, CUT + timedelta(days=1))
    api.span(run["id"], id=id_at(datetime(1999, 1, 1, tzinfo=UTC)))

    assert store.retain(cut_us()).spans == 1
    assert len(kept(store)[1]) == 1


def test_much_goes_in_many_steps(api: Api, clock: FakeClock, store: Store) -> None:
    """All that is old goes, however little one transaction takes."""
    for number in range(7):
        run_at(api, clock, CUT - timedelta(days=20, minutes=number))

    removed = forget(store, cut_us(), most_rows=2)

    assert (removed.spans, removed.runs, removed.keys) == (7, 7, 14)
    assert kept(store) == (set(), set())


def test_a_deletion_ends_when_it_is_told_so(api: Api, clock: FakeClock, store: Store) -> None:
    """A server that stops does not wait for it."""
    for number in range(5):
        run_at(api, clock, CUT - timedelta(days=20, minutes=number))
    answers = iter([True, False])

    removed = forget(store, cut_us(), cut_us(), most_rows=2, pause=lambda: next(answers))

    assert removed == Removed(spans=4)
    assert store.retain(cut_us()).runs == 5


def test_payloads_go_before_their_spans(api: Api, clock: FakeClock, store: Store) -> None:
    """A span without its payloads is shown with empty ones, and keeps all else."""
    run = run_at(api, clock, CUT - timedelta(days=9))
    young = run_at(api, clock, CUT + timedelta(days=1))
    (span,), others = api.spans(run["id"]), api.spans(young["id"])

    removed = store.retain(None, cut_us())

    assert (removed.payloads, removed.spans, removed.runs) == (1, 0, 0)
    assert api.spans(run["id"]) == [{**span, "payload": {}, "payload_byte_size_estimate": 2}]
    assert api.spans(young["id"]) == others
    assert store.retain(None, cut_us()).payloads == 0


def test_payloads_that_arrive_late_go_too(api: Api, clock: FakeClock, store: Store) -> None:
    """Their spans are older than the last deletion, as when a spool is delivered after weeks."""
    run = run_at(api, clock, CUT - timedelta(days=9), ends=False)
    store.retain(None, cut_us())
    for days in (20, 10, 5):
        api.span(run["id"], id=id_at(CUT - timedelta(days=days)))
    api.span(run["id"], id=id_at(CUT + timedelta(days=5)))

    assert store.retain(None, cut_us()).payloads == 3
    payloads = [span["payload"] for span in api.spans(run["id"])]
    assert payloads.count({}) == 4
    assert len(payloads) == 5


def test_a_longer_age_of_payloads_is_counted_from_the_new_one(
    api: Api, clock: FakeClock, store: Store
) -> None:
    """What arrives between the old and the new age is deleted when it is as old as the new one."""
    run = run_at(api, clock, CUT - timedelta(days=40), ends=False)
    day_us = 24 * 3600 * 1_000_000
    store.retain(None, cut_us())
    api.span(run["id"], id=id_at(CUT - timedelta(days=5)))

    assert store.retain(None, cut_us() - 20 * day_us).payloads == 0
    assert store.retain(None, cut_us() - 10 * day_us).payloads == 0
    assert store.retain(None, cut_us()).payloads == 1


def test_much_payload_goes_in_many_steps(api: Api, clock: FakeClock, store: Store) -> None:
    """Before the age of the last deletion and after it."""
    run = run_at(api, clock, CUT - timedelta(days=40), ends=False)
    forget(store, None, cut_us() - 7 * 24 * 3600 * 1_000_000, most_rows=2)
    for number in range(5):
        for days in (5, 10):
            api.span(run["id"], id=id_at(CUT - timedelta(days=days, minutes=number)))

    removed = forget(store, None, cut_us(), most_rows=2)

    assert removed.payloads == 10
    assert {str(span["payload"]) for span in api.spans(run["id"])} == {"{}"}


def test_counts_and_findings_of_old_days_go(api: Api, clock: FakeClock, store: Store) -> None:
    """Those of the day in which the deletion cuts remain."""
    violations = [{"sentence": "it may not"}]
    error = {"error": {"type": "remit.DeniedError", "violations": violations}}
    for age in (3, 2, -1):
        moment = CUT - timedelta(days=age)
        run = run_at(api, clock, moment)
        named = {"started_at": moment.isoformat(), "finished_at": moment.isoformat()}
        api.span(run["id"], status="failed", payload={"q": "?"}, result_payload=error, **named)

    def days() -> list[int]:
        """Return the number of days that have counts, and of those that have findings."""
        with store.reading() as tx:
            names = (("bucket", tx.counted("span_days")), ("started_at", "span_findings"))
            sql = "SELECT COUNT(*) FROM (SELECT DISTINCT {} FROM {} AS a) AS b"
            return [int(number) for name in names for (number,) in tx.rows(sql.format(*name))]

    before = days()
    store.retain(cut_us())

    assert before == [3, 3]
    assert days() == [1, 1]


def test_the_command_says_what_it_removed(
    named: Path | str, store: Store, api: Api, clock: FakeClock
) -> None:
    """In words, or in JSON for programs; without a yes it removes nothing."""
    now = datetime.now(UTC)
    old = run_at(api, clock, now - timedelta(days=60))
    young = run_at(api, clock, now - timedelta(days=1))
    words = ["db", "retain", "--days", "30", "--db", str(named)]

    refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 1
    assert kept(store)[0] == {old["id"], young["id"]}

    words.append("--yes")
    done = CliRunner().invoke(main, words)
    again = CliRunner().invoke(main, [*words, "--json"])

    assert done.exit_code == again.exit_code == 0, done.output + again.output
    assert ": 1 span, 1 run and 2 idempotency keys" in " ".join(done.output.split())
    said = json.loads(again.output)
    assert (said["spans"], said["runs"], said["keys"]) == (0, 0, 0)
    assert kept(store)[0] == {young["id"]}


def test_the_command_shows_what_it_would_delete(
    named: Path | str, store: Store, api: Api, clock: FakeClock
) -> None:
    """Before it asks; the payloads of spans that go whole are not counted again."""
    now = datetime.now(UTC)
    for days in (60, 50, 20, 19, 18, 1):
        run_at(api, clock, now - timedelta(days=days))
    ages = (["--days", "30"], ["--payloads", "10d"], ["--days", "30", "--payloads", "10d"])

    shown = [
        CliRunner().invoke(main, ["db", "retain", *age, "--db", str(named)], input="n\n").stderr
        for age in ages
    ]

    assert "These are 2 spans, 2 runs and the payloads of 0 further spans" in shown[0]
    assert "These are 0 spans, 0 runs and the payloads of 5 further spans" in shown[1]
    assert "These are 2 spans, 2 runs and the payloads of 3 further spans" in shown[2]
    assert "Delete spans and runs from before " in shown[2]
    assert " and payloads of spans from before " in shown[2]
    assert [len(each) for each in kept(store)] == [6, 6]


def test_the_command_deletes_payloads_alone(
    named: Path | str, store: Store, api: Api, clock: FakeClock
) -> None:
    """And says of how many spans; PostgreSQL drops whole weeks."""
    now = datetime.now(UTC)
    for days in (60, 1):
        run_at(api, clock, now - timedelta(days=days))

    done = CliRunner().invoke(
        main, ["db", "retain", "--payloads", "30d", "--yes", "--db", str(named)]
    )

    assert done.exit_code == 0, done.output
    told = "0 spans, 0 runs, 0 idempotency keys and the payloads of 1 span"
    assert told in " ".join(done.output.split())
    assert [len(each) for each in kept(store)] == [2, 2]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "Specify --days, --payloads or both."),
        (["--payloads", "10m"], "is not between 1h and 36500d"),
        (["--payloads", "x"], "write it as 90d or 12h"),
    ],
)
def test_an_age_that_makes_no_sense_is_refused(words: list[str], told: str, tmp_path: Path) -> None:
    """An m is a minute, not a month."""
    done = CliRunner().invoke(main, ["db", "retain", *words, "--db", str(tmp_path / "remit.db")])
    assert (done.exit_code, told in done.stderr) == (2, True)


@pytest.mark.parametrize("days", ["0", "-1", "x"])
def test_a_number_of_days_that_keeps_nothing_is_refused(days: str, tmp_path: Path) -> None:
    """Rather than everything being removed."""
    arguments = ["db", "retain", "--days", days, "--db", str(tmp_path / "remit.db")]

    assert CliRunner().invoke(main, arguments).exit_code == 2


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """There is nothing to remove from it."""
    arguments = ["db", "retain", "--days", "1", "--db", str(tmp_path / "remit.db")]

    done = CliRunner().invoke(main, arguments)

    assert done.exit_code == 1
    assert "there is no database" in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.gate
def test_whole_weeks_are_dropped_in_postgresql(clock: FakeClock, tmp_path: Path) -> None:
    """Their names are told; a week that is not over stays whole."""
    with new_database("postgres", tmp_path) as named:
        store = open_store(named)
        api = World(store, clock=clock).account()
        now = datetime.now(UTC)
        run = run_at(api, clock, now - timedelta(days=21), ends=False)
        for weeks in (0, 1):
            api.span(run["id"], id=id_at(now + timedelta(days=7 * weeks)))

        monday = now.date() - timedelta(days=now.weekday())
        within_next = datetime.combine(monday, time(), UTC) + timedelta(days=10)
        removed = store.retain(parse_us(within_next.isoformat()))
        store.close()

    weeks_gone = (monday - timedelta(days=7), monday)
    parts = [
        f"{table}_{week:%Y%m%d}" for table in ("span_payloads", "spans") for week in weeks_gone
    ]
    assert removed.parts == tuple(parts)
    assert removed.spans == 2
