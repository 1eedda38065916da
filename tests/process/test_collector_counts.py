"""The counts of PostgreSQL while several collectors append to them, and are killed."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from remit.collector import create_token, open_store
from tests.collecting import World, details
from tests.postgres import database
from tests.processes import wait_until

pytestmark = pytest.mark.gate

ROOT = Path(__file__).parents[2]
COLLECTORS = 4
RUNS = 12
SPANS = 20
KILLS = 8
LOADER = f"""
import sys
from remit.collector import open_store
from tests.collecting import World, details

store = open_store(sys.argv[1])
api = World(store).deployment("desk")
for number in range({RUNS}):
    run = api.instance("active")["id"]
    spans = []
    for status in ("active", "complete", "failed", "cancelled", "pending") * ({SPANS} // 5):
        ended = status in ("complete", "failed", "cancelled")
        hidden = {{"$remit": "redacted", "rule": "card"}} if len(spans) % 7 == 0 else "shown"
        times = {{}} if status == "pending" else {{
            "started_at": f"2026-11-29T2{{len(spans) % 4}}:30:0{{len(spans) % 10}}Z",
            **({{"finished_at": "2026-11-30T01:00:00Z"}} if ended else {{}}),
        }}
        spans.append({{
            "_type": "agent_spans/create",
            "idempotency_key": f"{{run}}-{{len(spans)}}",
            **api.span_body(run, status=status, payload={{"value": hidden}}, **times),
        }})
    outputs = api.bulk(*spans)
    store.maintain()
    for output in list(outputs.values())[: {SPANS} : 5]:
        api.post(f"/agent_spans/{{output['details']['id']}}/finish", {{"status": "failed"}})
    api.post(f"/agent_instance/{{run}}/finish", {{}})
    store.maintain()
"""
FOLDER = """
import sys
from remit.collector import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
while True:
    store.maintain()
"""
# The totals of the counts, beside the same counted from the rows.
COUNTS = (
    "SUM(unfinished), SUM(complete), SUM(failed), SUM(cancelled), SUM(denied), SUM(redacted), "
    "SUM(violation), SUM(undeclared), SUM(invalid), SUM(unchecked), SUM(duration_us), "
    "MAX(duration_max_us)"
)
KEY = "bucket, agent_ref, environment_ref, purpose, type_ref"
SPAN_COUNTS = f"SELECT {KEY}, {COUNTS} FROM all_span_{{}}s GROUP BY {KEY} ORDER BY {KEY}"
RECOUNT = f"""
    SELECT {KEY}, COUNT(*) FILTER (WHERE status IN (0, 4)), COUNT(*) FILTER (WHERE status = 2),
      COUNT(*) FILTER (WHERE status = 3), COUNT(*) FILTER (WHERE status = 1),
      COUNT(*) FILTER (WHERE flags & 512 > 0), COUNT(*) FILTER (WHERE flags & 1024 > 0),
      COUNT(*) FILTER (WHERE flags & 2048 > 0), COUNT(*) FILTER (WHERE flags & 256 > 0),
      COUNT(*) FILTER (WHERE flags & 80 > 0), COUNT(*) FILTER (WHERE flags & 160 > 0),
      COALESCE(SUM(lasted_us), 0), COALESCE(MAX(lasted_us), 0)
    FROM (
      SELECT COALESCE(s.started_at, s.inserted_at) / {{}} AS bucket, r.agent_ref,
        r.environment_ref, r.purpose, s.type_ref, s.status, s.flags,
        GREATEST(0, s.finished_at - s.started_at) AS lasted_us
      FROM spans AS s JOIN runs AS r ON r.ref = s.run_ref
    ) AS s GROUP BY {KEY} ORDER BY {KEY}
"""
RUN_COUNTS = """
    SELECT agent_ref, SUM(pending), SUM(active), SUM(complete), SUM(failed), SUM(terminated),
      SUM(cancelled) FROM all_run_hours GROUP BY agent_ref
"""
RUN_RECOUNT = """
    SELECT agent_ref, COUNT(*) FILTER (WHERE status = 'pending'),
      COUNT(*) FILTER (WHERE status = 'active'), COUNT(*) FILTER (WHERE status = 'complete'),
      COUNT(*) FILTER (WHERE status = 'failed'), COUNT(*) FILTER (WHERE status = 'terminated'),
      COUNT(*) FILTER (WHERE status = 'cancelled') FROM runs GROUP BY agent_ref
"""
REDACTED = "SELECT rule, SUM(times) FROM all_redacted_days GROUP BY rule"
LEFT = (
    "SELECT (SELECT COUNT(*) FROM span_increments) + (SELECT COUNT(*) FROM run_increments) "
    "+ (SELECT COUNT(*) FROM redacted_increments)"
)
HOUR_US = 3_600_000_000


@pytest.fixture
def url() -> Iterator[str]:
    """Return the URL of a new database with remit's tables and an account."""
    with database() as named:
        store = open_store(named)
        create_token(store, "account")
        store.close()
        yield named


def child(program: str, url: str) -> subprocess.Popen[str]:
    """Start a program with the URL of a database."""
    return subprocess.Popen(
        [sys.executable, "-c", program, url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def read(url: str, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    with psycopg.connect(url) as connection:
        return connection.execute(sql.encode()).fetchall()


def check(url: str, runs: int) -> None:
    """Compare the counts with the rows."""
    for name, bucket_us in (("hour", HOUR_US), ("day", 24 * HOUR_US)):
        counted = read(url, SPAN_COUNTS.format(name))
        assert counted == read(url, RECOUNT.format(bucket_us))
    assert read(url, RUN_COUNTS) == read(url, RUN_RECOUNT)
    assert read(url, "SELECT COUNT(*) FROM runs") == [(runs,)]
    assert read(url, "SELECT COUNT(*) FROM spans") == [(runs * SPANS,)]
    assert read(url, REDACTED) == [("card", runs * -(-SPANS // 7))]


def test_collectors_that_append_and_fold_at_once_lose_no_count(url: str) -> None:
    """Nor add one twice, while processes that fold are killed in the middle of it."""
    killed = 0
    with ExitStack() as stack:
        loaders = [stack.enter_context(child(LOADER, url)) for _ in range(COLLECTORS)]
        moments = random.Random(7)
        while killed < KILLS or any(loader.poll() is None for loader in loaders):
            with child(FOLDER, url) as folder:
                assert folder.stdout is not None
                assert folder.stdout.readline() == "ready\n"
                threading.Event().wait(moments.uniform(0.0, 0.4))
                folder.kill()
            killed += 1
    assert [loader.returncode for loader in loaders] == [0] * COLLECTORS

    check(url, COLLECTORS * RUNS)
    store = open_store(url)

    def is_folded() -> bool:
        # The server may still carry out a statement of a process that was killed.
        store.maintain()
        return read(url, LEFT) == [(0,)]

    wait_until(is_folded)
    store.close()
    check(url, COLLECTORS * RUNS)


def test_counts_that_are_not_folded_are_read_too(url: str) -> None:
    """An agent's risk is that of the last moment, with increments and without."""
    store = open_store(url)
    api = World(store).account()
    run = api.instance("active")["id"]
    seen: list[int] = []
    for maintained in (False, True, False):
        api.span(run, status="complete")
        if maintained:
            store.maintain()
        seen.append(details(api.get(f"/agent/{api.agent_id}/risk"))["spans"])
    store.close()

    assert read(url, LEFT) != [(0,)]
    assert seen == [1, 2, 3]


def test_increments_that_were_left_are_folded_in_several_transactions(url: str) -> None:
    """As many as a collector leaves that was not maintained for a while; their space is freed."""
    many = 45_000
    zeros = ", ".join("0" for _ in range(10))
    with psycopg.connect(url) as connection:
        connection.execute(
            f"INSERT INTO span_increments SELECT n % 48, 1, 1, 'live', 1, 1, {zeros}, n "
            f"FROM generate_series(1, {many}) AS n".encode()
        )
    store = open_store(url)
    store.maintain()
    store.close()

    assert read(url, LEFT) == [(0,)]
    for table in ("span_hours", "span_days"):
        totals = f"SELECT SUM(unfinished), MAX(duration_max_us) FROM {table}"
        assert read(url, totals) == [(many, many)]
    assert read(url, "SELECT bucket FROM span_days ORDER BY 1") == [(0,), (1,)]
    vacuumed = "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'span_increments'"
    wait_until(lambda: read(url, vacuumed) == [(1,)])
