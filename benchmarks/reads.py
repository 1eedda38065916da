"""What reads cost in a database of many spans: `python -m benchmarks.reads [--spans N] [--plans]`.

The database is filled run by run, 500 spans each. On the way, at 10,000 spans and at every tenfold
of them, bulk requests go through the collector in this process: their rate shows what growth costs.
At the end each read is timed; `--plans` prints how the database comes by it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import httpx
import msgspec
import psycopg

from benchmarks.collector import BULK, PAYLOAD, RESULT, bodies, databases, load
from remit import _ids
from remit.client._http import InProcessTransport
from remit.collector import create_app, create_token, open_store
from remit.collector.store import (
    InstanceRow,
    Page,
    SpanFilter,
    SpanRow,
    Store,
    Writing,
    write,
)
from tests.stores import STORES

RUN_SPANS = 500
RUNS_AT_ONCE = 10
AGENTS = 10
TYPES = 20
STEP_US = 1_000
"""Between the starts of two spans; a million of them take a quarter of an hour."""
FIRST_SIZE = 10_000
SAMPLES = 9
SAMPLE_SPANS = 2_000
EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN ", "postgres": "EXPLAIN (ANALYZE, COSTS OFF) "}
BUDGETS_MS = {"last 50 runs": 0.06, "run of 500 spans": 4.0, "agent over a time, 200 rows": 10.0}
"""Section 7 of the design; the last one there is for one type of span."""


class Filling:
    """A database that grows.

    Attributes:
        store: The store.
        http: A client of the collector over it, in this process.
        spans: How many spans there are.
    """

    def __init__(self, store: Store) -> None:
        """Make the agents, each with a first run."""
        self.store = store
        self.spans = 0
        self.first_us = time.time_ns() // 1000
        self._numbers = count()
        clients = [self._client(f"bench:{number}") for number in range(AGENTS)]
        self.http = clients[0]
        for client in clients:
            bodies(client, BULK, "derived")
        with store.reading() as tx:
            page = Page(0, AGENTS, "id", descending=False)
            self.patterns = tx.list_instances(None, {}, page).rows
        self.runs = [row.id for row in self.patterns]

    def _client(self, agent: str) -> httpx.Client:
        secret = create_token(self.store, "agent_deployment", agent=agent).secret
        return httpx.Client(
            transport=InProcessTransport(create_app(self.store)),
            base_url="http://collector.bench",
            headers={"Authorization": f"Bearer {secret}"},
        )

    def grow(self, spans: int) -> None:
        """Add runs until there are so many spans."""
        while self.spans < spans:
            write(self.store, self._add_runs)

    def _add_runs(self, tx: Writing) -> None:
        for _ in range(RUNS_AT_ONCE):
            pattern = self.patterns[next(self._numbers) % AGENTS]
            partition = _ids.partition_of(pattern.id) or 0
            rows = [self._span(number, partition) for number in range(RUN_SPANS)]
            tx.add(self._run(pattern, rows[0].agent_instance_id))
            tx.add_spans(rows)
            tx.add_span_counts(rows[0].agent_instance_id, {"complete": RUN_SPANS})
            self.spans += RUN_SPANS

    def _span(self, number: int, partition: int) -> SpanRow:
        started_us = self.first_us + (self.spans + number) * STEP_US
        if number == 0:
            self.runs.append(_ids.pfid(_ids.new_key(started_us * 1000), partition))
        key = _ids.new_key(started_us * 1000)
        return SpanRow(
            agent_instance_id=self.runs[-1],
            id=_ids.pfid(key, partition),
            parent_span_id=None,
            schema_name=f"bench:{number % TYPES}",
            status="complete",
            created_status="complete",
            flags=0,
            started_at=started_us,
            finished_at=started_us + STEP_US,
            inserted_at=started_us,
            updated_at=started_us,
            create_key=f"c-{_ids.key_text(key)}",
            finish_key=None,
            payload=json.dumps(PAYLOAD),
            result_payload=json.dumps(RESULT),
        )

    @staticmethod
    def _run(pattern: InstanceRow, run_id: str) -> InstanceRow:
        return msgspec.structs.replace(pattern, id=run_id, status="complete")

    def rates(self) -> list[float]:
        """Return spans a second of some samples that are ingested."""
        found: list[float] = []
        for _ in range(SAMPLES):
            requests = bodies(self.http, SAMPLE_SPANS, "derived")
            began = time.perf_counter()
            load(self.http, requests)
            found.append(SAMPLE_SPANS / (time.perf_counter() - began))
        return found

    def reads(self) -> dict[str, Callable[[Any], object]]:
        """Return what is read, by name."""
        middle = self.runs[len(self.runs) // 2]
        pattern = self.patterns[0]
        account = pattern.account_id
        from_us = self.first_us + self.spans // 2 * STEP_US
        of_run = SpanFilter(account_id=account, agent_instance_id=middle)
        of_agent = SpanFilter(account_id=account, agent_id=pattern.agent_id)
        of_time = SpanFilter(
            account_id=account,
            agent_id=pattern.agent_id,
            started_from_us=from_us,
            # Each agent has a run in this time.
            started_to_us=from_us + AGENTS * RUN_SPANS * STEP_US,
        )
        newest = Page(0, 50, "id", descending=True)
        return {
            "last 50 runs": lambda tx: tx.list_instances(account, {}, newest),
            "last 50 runs of an agent": lambda tx: tx.list_instances(
                account, {"agent_id": pattern.agent_id}, newest
            ),
            "run of 500 spans": lambda tx: tx.list_spans(
                of_run, Page(0, RUN_SPANS, "id", descending=False)
            ),
            "kinds of spans in a run": lambda tx: tx.span_kinds(of_run),
            "agent over a time, 200 rows": lambda tx: tx.list_spans(
                of_time, Page(0, 200, "started_at", descending=False)
            ),
            "last 100 spans of an agent": lambda tx: tx.list_spans(
                of_agent, Page(0, 100, "id", descending=True)
            ),
            "runs of ten agents, counted": lambda tx: tx.instance_counts(
                [row.agent_id for row in self.patterns]
            ),
        }


def timed_ms(store: Store, read: Callable[[Any], object]) -> list[float]:
    """Return what a read took, time after time."""
    found: list[float] = []
    with store.reading() as tx:
        read(tx)
        for _ in range(SAMPLES):
            began = time.perf_counter()
            read(tx)
            found.append((time.perf_counter() - began) * 1000)
    return found


def plans(kind: str, store: Store, read: Callable[[Any], object]) -> list[str]:
    """Return how the database comes by what a read asks for."""
    asked: list[tuple[str, Sequence[Any]]] = []
    with store.reading() as tx:
        source: Any = tx
        ask = source._rows  # noqa: SLF001 - the one place where a statement passes

        def noted(sql: str, values: Sequence[Any] = ()) -> Any:
            asked.append((sql, values))
            return ask(sql, values)

        source._rows = noted  # noqa: SLF001 - as above
        read(tx)
        lines: list[str] = []
        for sql, values in asked:
            lines.append(f"    {sql}")
            lines += [f"        {row[-1]}" for row in ask(EXPLAIN[kind] + sql, values)]
    return lines


def report(kind: str, spans: int, *, with_plans: bool) -> None:
    """Fill a database of a kind, and print what it costs."""
    with databases(kind) as database:
        store = open_store(database)
        filling = Filling(store)
        size, base = FIRST_SIZE, 0.0
        while size <= spans:
            filling.grow(size)
            # The best: what else the machine does at that moment is no matter here.
            rate = max(filling.rates())
            base = base or rate
            print(
                f"{kind:<9} ingest at {size:>9,}: {rate:8,.0f} spans/s, {rate / base:.2f} of first"
            )
            size *= 10
        filling.grow(spans)
        if kind == "postgres":
            # A server does so by itself; the tests' own leaves it off.
            with psycopg.connect(str(database), autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")
        for name, read in filling.reads().items():
            found = timed_ms(store, read)
            budget = f"(design {BUDGETS_MS[name]} ms)" if name in BUDGETS_MS else ""
            middle = statistics.median(found)
            print(f"{kind:<9} {name:<28} {middle:9.2f} ms, best {min(found):9.2f} {budget}")
            if with_plans:
                print("\n".join(plans(kind, store, read)))
        store.close()


def main() -> None:
    """Report on each store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--store", choices=STORES, action="append")
    parser.add_argument("--plans", action="store_true", help="show the query plans too")
    given = parser.parse_args()
    for kind in given.store or STORES:
        report(kind, given.spans, with_plans=given.plans)


if __name__ == "__main__":
    main()
