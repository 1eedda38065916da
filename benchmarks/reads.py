"""What reads cost in a database of many spans: `python -m benchmarks.reads [--spans N]`.

The database is filled run by run, 500 spans each. At 10,000 spans and at every tenfold of them bulk
requests go through the collector in this process, and each read is timed: what growth costs. At the
end stands how the database comes by each read, unless `--no-plans` is given.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, NamedTuple

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
BEFORE_US = 3_600_000_000
"""They end before now, so that what is ingested on the way is in no time that is read."""
FIRST_SIZE = 10_000
SAMPLES = 9
SAMPLE_SPANS = 2_000
EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN ", "postgres": "EXPLAIN (ANALYZE, COSTS OFF) "}
BUDGETS_MS = {
    "last 50 runs": 0.06,
    "run of 500 spans": 4.0,
    "one type over a time, 200 rows": 10.0,
    "agent over a time, 200 rows": 10.0,
}
"""Section 7 of the design, where nothing is said of an agent: the same is asked of it."""


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
        self.first_us = time.time_ns() // 1000 - BEFORE_US
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

    def rates(self) -> list[tuple[float, float]]:
        """Return spans a second of some samples that are ingested, and this thread's us a span."""
        found: list[tuple[float, float]] = []
        for _ in range(SAMPLES):
            requests = bodies(self.http, SAMPLE_SPANS, "derived")
            began, used = time.perf_counter(), time.thread_time()
            load(self.http, requests)
            used_us = (time.thread_time() - used) / SAMPLE_SPANS * 1e6
            found.append((SAMPLE_SPANS / (time.perf_counter() - began), used_us))
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
            started_from_us=from_us,
            # Each agent has a run in this time.
            started_to_us=from_us + AGENTS * RUN_SPANS * STEP_US,
        )
        of_type = replace(of_time, schema_name=f"bench:{TYPES - 1}")
        of_agent_then = replace(of_time, agent_id=pattern.agent_id)
        by_start = Page(0, 200, "started_at", descending=False)
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
            "one type over a time, 200 rows": lambda tx: tx.list_spans(of_type, by_start),
            "agent over a time, 200 rows": lambda tx: tx.list_spans(of_agent_then, by_start),
            "kinds of an agent over a time": lambda tx: tx.span_kinds(of_agent_then),
            "last 100 spans of an agent": lambda tx: tx.list_spans(
                of_agent, Page(0, 100, "id", descending=True)
            ),
            "runs of ten agents, counted": lambda tx: tx.instance_counts(
                [row.agent_id for row in self.patterns]
            ),
        }


class Took(NamedTuple):
    """What a read took, in milliseconds.

    Attributes:
        wall: On the clock.
        own: Of this thread's processor time, in which SQLite does its work too.
    """

    wall: float
    own: float


def timed(store: Store, read: Callable[[Any], object]) -> Took:
    """Return what a read took, the middle of some times."""
    found: list[Took] = []
    with store.reading() as tx:
        read(tx)
        for _ in range(SAMPLES):
            began, used = time.perf_counter(), time.thread_time()
            read(tx)
            own = (time.thread_time() - used) * 1000
            found.append(Took((time.perf_counter() - began) * 1000, own))
    return Took(*(statistics.median(column) for column in zip(*found, strict=True)))


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


def grown(spans: int) -> list[int]:
    """Return at how many spans something is measured."""
    sizes = [FIRST_SIZE]
    while sizes[-1] * 10 <= spans:
        sizes.append(sizes[-1] * 10)
    return sizes if sizes[-1] == spans else [*sizes, spans]


def report(kind: str, spans: int, *, with_plans: bool) -> dict[str, float]:
    """Fill a database of a kind, and print what it costs.

    Returns:
        Milliseconds of each read when it is full; spans a second of ingest, at each size.
    """
    sizes = grown(spans)
    times: dict[str, list[Took]] = defaultdict(list)
    ingest: dict[str, float] = {}
    with databases(kind) as database:
        store = open_store(database)
        filling = Filling(store)
        base = 0.0
        for size in sizes:
            filling.grow(size)
            # The best: what else the machine does at that moment is no matter here.
            rates = filling.rates()
            rate, used_us = max(rates)[0], min(us for _, us in rates)
            base = base or rate
            ingest[f"ingest at {size:,}"] = rate
            print(
                f"{kind:<9} ingest at {size:>9,}: {rate:8,.0f} spans/s, {rate / base:.2f} of "
                f"first, {used_us:5.1f} us of the collector's processor time a span",
                flush=True,
            )
            if kind == "postgres":
                # A server does so by itself; the tests' own leaves it off.
                with psycopg.connect(str(database), autocommit=True) as connection:
                    connection.execute("VACUUM ANALYZE")
            for name, read in filling.reads().items():
                times[name].append(timed(store, read))
        show(kind, sizes, times)
        for name, read in filling.reads().items() if with_plans else ():
            print(f"\n{kind}: {name}")
            print("\n".join(plans(kind, store, read)))
        store.close()
    return {**{name: found[-1].wall for name, found in times.items()}, **ingest}


def show(kind: str, sizes: Sequence[int], times: Mapping[str, Sequence[Took]]) -> None:
    """Print what each read took, at each size; last what of it was this thread's work."""
    heads = "".join(f"{size:>12,}" for size in sizes)
    print(f"\n{kind:<9} {'ms, at so many spans':<32}{heads}{'own work':>12}")
    for name, found in times.items():
        budget = f"  (design {BUDGETS_MS[name]} ms)" if name in BUDGETS_MS else ""
        walls = "".join(f"{took.wall:12.2f}" for took in found)
        print(f"{kind:<9} {name:<32}{walls}{found[-1].own:12.2f}{budget}")


def main() -> None:
    """Report on each store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--store", choices=STORES, action="append")
    parser.add_argument("--no-plans", action="store_true", help="leave the query plans out")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, too")
    given = parser.parse_args()
    for kind in given.store or STORES:
        found = report(kind, given.spans, with_plans=not given.no_plans)
        if given.json:
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
