"""A distributed database: made by `remit db distribute`, and statements that name one shard.

Citus itself is used where REMIT_TEST_CITUS names a database; then the tests of `on_each_store` run
there, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg
import pytest
from click.testing import CliRunner

from remit._base.ids import new_key, pfid
from remit.cli import main
from remit.collector import Store, open_store
from remit.collector.domain.erasure import AskedFor, erase
from remit.collector.store.distribution import BY_SHARD
from remit.collector.store.ids import shard_of, to_bytes
from remit.collector.store.postgres import PostgresStore
from remit.collector.store.postgres_pool import Connection
from remit.collector.store.questions.durations import last_durations
from remit.collector.store.questions.scope import scope_of
from remit.testing import FakeClock
from tests.collecting import Api, World, details, refusal
from tests.distributed import Noting, distributed, noting, with_functions
from tests.postgres import CITUS, cluster, database

pytestmark = pytest.mark.gate
OWN: Final = "/api/remit/v1"
SHARD: Final = 5
HELD: Final = {"$remit": {"redacted": "secret"}}
NOW: Final = datetime(2026, 1, 7, tzinfo=UTC)
# What a store does to the tables of runs; new rows of most of them are added by COPY.
WRITTEN: Final = {
    *(("INSERT", table) for table in ("span_payloads", "span_findings", "run_labels")),
    ("INSERT", "run_subjects"),
    *(("UPDATE", table) for table in ("runs", "spans", "span_payloads", "span_findings")),
    ("UPDATE", "run_changes"),
    *(("DELETE", table) for table in BY_SHARD if table not in {"spans", "span_payloads"}),
    ("DELETE", "spans_other"),
    ("DELETE", "span_payloads"),
    ("DELETE", "span_payloads_other"),
    ("LOCK", "runs"),
}


@pytest.fixture
def url() -> Iterator[str]:
    """Return a distributed database."""
    with distributed() as made:
        yield made


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that shows a time from which partitions exist."""
    clock = FakeClock()
    clock.advance(NOW.timestamp() - clock.wall_ns() / 1e9)
    return clock


@pytest.fixture
def store(url: str, clock: FakeClock) -> Iterator[Store]:
    """Return its store."""
    with closing(PostgresStore(url, clock=clock)) as opened:
        yield opened


@pytest.fixture
def api(store: Store, clock: FakeClock) -> Api:
    """Return the view of an account's token, with an agent."""
    return World(store, clock=clock).account()


def id_in(shard: int, moment: datetime = NOW) -> str:
    """Return the id of a run in a shard."""
    while True:
        made = pfid(new_key(int(moment.timestamp()) * 1_000_000_000), 5)
        if shard_of(to_bytes(made)) == shard:
            return made


def live(api: Api, store: Store, clock: FakeClock) -> None:
    """Do all that is done to runs, of which all are in one shard."""
    run = api.instance("active", id=id_in(SHARD), external_identifier="key")["id"]
    root = {"labels": {"team": "blue"}, "subject": "ann"}
    api.span(run, schema_name="remit:run", payload=root)
    denied = api.span(run, payload={"a": HELD})["id"]
    error = {"type": "DeniedError", "message": "no", "violations": [{"sentence": "not that"}]}
    body = {"status": "failed", "result_payload": {"error": error}}
    details(api.post(f"/agent_spans/{denied}/finish", body))
    second = api.instance("active", id=id_in(SHARD))["id"]
    creation = {"_type": "agent_spans/create", "idempotency_key": "a key of a span"}
    created = api.bulk(
        {**creation, **api.span_body(run)},
        {"_type": "agent_spans/create", **api.span_body(second, id=id_in(0))},
    )
    span_id = created["a key of a span"]["details"]["id"]
    finish = {"_type": "agent_spans/finish", "agent_span_id": span_id, "result_payload": {"b": 1}}
    outputs = api.bulk({**creation, **api.span_body(run)}, finish)
    assert {output["status"] for output in outputs.values()} == {"success"}
    for each in (run, second):
        details(api.post(f"/agent_instance/{each}/finish", {"status": "complete"}))
    erase(store, [run], AskedFor.RUN, reason="wanted", erased_by="ann", clock=clock)
    # Neither of these times has a partition.
    for moment in (NOW - timedelta(days=700), NOW - timedelta(days=600)):
        old = api.instance("active", id=id_in(SHARD, moment), external_identifier=str(moment))["id"]
        api.span(old, id=id_in(0, moment), schema_name="remit:loss", status="complete")
        details(api.post(f"/agent_instance/{old}/finish", {"status": "complete"}))
    clock.advance(timedelta(days=60).total_seconds())
    limit_us = int((NOW - timedelta(days=650)).timestamp()) * 1_000_000
    store.retain(limit_us, limit_us + 1)
    store.retain(None, int((NOW - timedelta(days=550)).timestamp()) * 1_000_000)
    store.retain(int((NOW + timedelta(days=50)).timestamp()) * 1_000_000)


def test_what_writes_or_locks_names_one_shard(
    url: str, store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each statement about runs of one shard leaves the parts of other shards alone."""
    monkeypatch.setattr(Connection, "cursor", noting)
    monkeypatch.setattr(Noting, "noted", [])
    live(World(store, clock=clock).account(), store, clock)

    statements = list(Noting.about(BY_SHARD))
    written = {one for statement in statements for one in statement.writes()}
    with psycopg.connect(url, autocommit=True) as connected:
        parts = [(statement, statement.parts(connected)) for statement in statements]

    assert written >= WRITTEN, WRITTEN - written
    for statement, touched in parts:
        numbers = {number for _, number in touched}
        assert len(numbers) <= 1, statement.sql
        names = {verb for verb, _ in statement.writes()}
        assert numbers or names == {"INSERT"}, statement.sql


def test_other_runs_and_their_spans_stay_as_they_were(api: Api, store: Store) -> None:
    """A bulk for runs of many shards writes each of them once."""
    runs = [api.instance("active", id=id_in(number))["id"] for number in range(0, 40, 4)]
    made = api.bulk(*({"_type": "agent_spans/create", **api.span_body(run)} for run in runs))
    ids = [output["details"]["id"] for output in made.values()]
    ends = [{"_type": "agent_spans/finish", "agent_span_id": span_id} for span_id in ids[:5]]
    outputs = api.bulk(*ends)

    assert {output["status"] for output in outputs.values()} == {"success"}
    counts = [api.shown(run)["span_counts"] for run in runs]
    assert [count["complete"] for count in counts] == [1] * 5 + [0] * 5
    assert [count["total"] for count in counts] == [1] * 10
    with store.reading() as tx:
        assert sorted(tx.runs(None, runs)) == sorted(runs)


def test_a_bulk_locks_the_runs_of_each_part_by_one_statement(
    api: Api, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Citus does not lock rows of several parts in one statement."""
    runs = [api.instance("pending", id=id_in(number))["id"] for number in range(0, 40, 4)]
    monkeypatch.setattr(Connection, "cursor", noting)
    monkeypatch.setattr(Noting, "noted", [])
    started = api.bulk(
        *({"_type": "agent_instances/start", "agent_instance_id": run} for run in runs)
    )

    assert {output["status"] for output in started.values()} == {"success"}
    locks = [one for one in Noting.about(["runs"]) if ("LOCK", "runs") in one.writes()]
    with psycopg.connect(url, autocommit=True) as connected:
        touched = [[number for _, number in lock.parts(connected)] for lock in locks]
    assert sorted(touched) == [[0], [1], [3]]


def test_an_id_is_taken_in_the_runs_of_its_shard(api: Api) -> None:
    """Elsewhere it is not looked up: each request would be one to all nodes."""
    span_id = id_in(0)
    api.span(api.instance("active", id=id_in(SHARD))["id"], id=span_id)
    same, other = (api.instance("active", id=id_in(shard))["id"] for shard in (SHARD, SHARD + 1))

    refusal(api.post("/agent_spans", api.span_body(same, id=span_id)), 422)
    api.span(other, id=span_id)


def test_a_new_partition_takes_the_rows_of_its_time(
    api: Api, store: Store, clock: FakeClock, url: str
) -> None:
    """Out of the default one, shard by shard."""
    later = NOW + timedelta(days=40)
    run = api.instance("active")["id"]
    span = api.span(run, id=id_in(0, later))
    clock.advance(timedelta(days=20).total_seconds())
    store.maintain()

    assert api.spans(run) == [span]
    with psycopg.connect(url) as connected:
        for table in ("spans", "span_payloads"):
            sql = f"SELECT tableoid::regclass::text FROM {table}".encode()
            assert "20260216_shard" in connected.execute(sql).fetchall()[0][0]


def test_a_change_waits_until_all_workers_have_committed(api: Api, url: str) -> None:
    """A transaction is visible on a worker later than on the coordinator."""
    run = api.instance("active")["id"]
    start = api.http.get(f"{OWN}/changes").json()["cursor"]
    api.span(run)
    seq = "SELECT MAX(seq) FROM run_changes"
    with psycopg.connect(url, autocommit=True) as connected:
        ((newest,),) = connected.execute(seq).fetchall()
        connected.execute("INSERT INTO prepared_on_worker VALUES ('other'), ('ours')")
        connected.execute(
            "INSERT INTO pg_dist_transaction VALUES ('ours', %s::text::xid8)", (str(newest),)
        )
        meanwhile = api.http.get(f"{OWN}/changes", params={"after": start}).json()
        connected.execute("DELETE FROM prepared_on_worker")
    after = api.http.get(f"{OWN}/changes", params={"after": meanwhile["cursor"]}).json()

    assert (meanwhile["runs"], meanwhile["cursor"]) == ([], start)
    assert [listed["id"] for listed in after["runs"]] == [run]


def test_durations_are_read_type_by_type(api: Api, store: Store) -> None:
    """Citus knows no limit for each row of another table."""
    began = datetime(2026, 1, 7, tzinfo=UTC)
    run = api.instance("active")
    for seconds in (3, 1, 2):
        span = api.span(run["id"], schema_name="test:step", started_at=began.isoformat())["id"]
        ended = {"timestamp": (began + timedelta(seconds=seconds)).isoformat()}
        details(api.post(f"/agent_spans/{span}/finish", {"status": "complete", **ended}))
    with store.reading() as tx:
        scope = scope_of(tx, run["account_id"], run["agent_id"])
        assert scope is not None
        last = last_durations(tx, scope, ["test:step"], 0, most=200)

    assert last == {"test:step": [1_000_000, 2_000_000, 3_000_000]}


def test_the_command_distributes_an_empty_database() -> None:
    """And says over how many workers; a second time there is nothing to do."""
    with with_functions() as url:
        done = CliRunner().invoke(main, ["db", "distribute", "--db", url])
        again = CliRunner().invoke(main, ["db", "distribute", "--db", url])
        with closing(open_store(url)) as store:
            api = World(store).account()
            run = api.instance("complete")["id"]
            assert api.shown(run)["status"] == "complete"

    assert done.exit_code == 0, done.output
    assert done.output.endswith("over 2 workers.\n")
    assert again.exit_code == 1
    assert "is distributed already" in again.output


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ("INSERT INTO accounts (id, name, inserted_at, updated_at) VALUES ('', '', 1, 1)",
         "accounts has rows. Create a new database"),
        ("DELETE FROM pg_dist_node WHERE groupid = 0", "citus_set_coordinator_host"),
        ("DELETE FROM pg_dist_node WHERE groupid > 0", "citus_add_node"),
        ("ALTER TABLE pg_dist_transaction DROP COLUMN outer_xid", "needs 13.1 or later"),
    ],
)  # fmt: skip
def test_what_cannot_be_distributed_is_refused(change: str, hint: str) -> None:
    """The message says what to do."""
    with with_functions() as url:
        open_store(url).close()
        with psycopg.connect(url) as connected:
            connected.execute(change.encode())
        refused = CliRunner().invoke(main, ["db", "distribute", "--db", url])

    assert refused.exit_code == 1
    assert hint in refused.output


def test_a_database_without_the_extension_is_refused() -> None:
    """With what to run."""
    with database() as url:
        refused = CliRunner().invoke(main, ["db", "distribute", "--db", url])

    assert refused.exit_code == 1
    assert "CREATE EXTENSION citus" in refused.output


def test_a_file_is_not_distributed(tmp_path: Path) -> None:
    """SQLite is one file on one machine."""
    refused = CliRunner().invoke(main, ["db", "distribute", "--db", str(tmp_path / "a.db")])

    assert refused.exit_code == 1
    assert "is an SQLite file" in refused.output


# No package index that the tests can reach has Citus.
@pytest.mark.skipif(cluster() is None, reason=f"only with Citus, which {CITUS} names")
def test_the_named_database_is_distributed_by_citus() -> None:
    """Its tables of runs have shards on the workers, and no prepared transaction is left."""
    nodes = (
        "SELECT COUNT(DISTINCT nodeport) FROM citus_shards "
        "WHERE table_name = 'runs'::regclass AND citus_table_type = 'distributed'"
    )
    prepared = "SELECT COUNT(*) FROM pg_prepared_xacts"
    on_workers = "SELECT SUM(result::int) FROM run_command_on_workers(%s)"
    with psycopg.connect(cluster() or "") as connected:
        assert connected.execute(nodes).fetchall()[0][0] >= 2
        assert connected.execute(on_workers, (prepared,)).fetchall() == [(0,)]
