"""The collector: spans a second that it takes, and what it takes to read them back.

Both come from programs of their own, `benchmarks.collector` and `benchmarks.reads`; they run in
processes that are ended when they take too long, and what they print is read here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial

from benchmarks import shown
from benchmarks.measure import Case, Size, run, told
from benchmarks.pictures import Picture
from benchmarks.results import OF_ALL, Results, Values
from benchmarks.tables.base import Table
from tests.stores import STORES

INGEST, READS = "collector", "reads"
COUNTS = (1, 2)
FORM = "derived"
SCRIPT = """
import json
from benchmarks import collector
found = collector.measure({store!r}, {count}, {spans}, {form!r})
rate = getattr(found, "spans_a_s", found)
print(json.dumps({{"rate": rate}}))
"""
BUDGETS_MS = {
    "last 50 runs": 0.06,
    "run of 500 spans": 4.0,
    "one type over a time, 200 rows": 10.0,
    "agent over a time, 200 rows": 10.0,
}
"""Measured with prototypes; the budget is twice these. Of the last nothing was said: it is held to
the same as the one before."""
READS_PATIENCE_S = 900.0


def _ingested(store: str, count: int, size: Size) -> Values:
    script = SCRIPT.format(store=store, count=count, spans=size.collector, form=FORM)
    return told(run([sys.executable, "-c", script], store, size.patience_s))


def _read(store: str, size: Size) -> Values:
    command = [sys.executable, "-m", "benchmarks.reads", "--store", store,
               "--spans", str(size.reads), "--no-plans", "--json"]  # fmt: skip
    return told(run(command, store, READS_PATIENCE_S))


def ingest_cases(size: Size) -> Iterator[Case]:
    """Yield each store, under one collector and under two."""
    for store in STORES:
        for count in COUNTS[: 1 if size.brief else None]:
            measure = partial(_ingested, store, count, size)
            yield Case(INGEST, store, str(count), measure, None if count == 1 else 1)


def read_cases(size: Size) -> Iterator[Case]:
    """Yield each store; filling it takes long, so once."""
    for store in STORES[: 1 if size.brief else None]:
        yield Case(READS, store, str(size.reads), partial(_read, store, size), 1)


def rates(results: Results) -> str:
    """Return the table of collectors."""
    rows = [
        [
            store,
            *(shown.spread(results.spread(INGEST, store, str(count), "rate")) for count in COUNTS),
        ]
        for store in STORES
    ]
    return shown.table(["spans/s, bulk of 100", "one collector", "two"], rows)


def found(results: Results) -> dict[str, Values]:
    """Return what was read from each store."""
    sizes = results.cases(READS)
    return {
        store: {name: value for name, value in values[-1].items() if name not in OF_ALL}
        for store in STORES
        for case in sizes
        if (values := results.all(READS, store, case))
    }


def reads(results: Results) -> str:
    """Return the table of reads, and of ingest as the database grows."""
    by_store = found(results)
    names = list(dict.fromkeys(name for values in by_store.values() for name in values))
    rows = [
        [
            name,
            *(shown.figure(by_store.get(store, {}).get(name)) for store in STORES),
            shown.figure(2 * BUDGETS_MS[name]) if name in BUDGETS_MS else shown.NOTHING,
        ]
        for name in names
    ]
    heads = ["read, ms; ingest, spans/s", *STORES, "budget, ms"]
    return shown.table(heads, rows)


def ingest_pictures(results: Results) -> Iterator[Picture]:
    """Yield what there is to draw of ingest."""
    series = {
        f"{count} collectors" if count > 1 else "one collector": {
            store: results.middle(INGEST, store, str(count), "rate") for store in STORES
        }
        for count in COUNTS
    }
    yield Picture("collector", "Spans a second that collectors take", series, logarithmic=False)


def read_pictures(results: Results) -> Iterator[Picture]:
    """Yield what there is to draw of reads."""
    series = {
        store: {name: value for name, value in values.items() if not name.startswith("ingest")}
        for store, values in found(results).items()
    }
    yield Picture("reads", "Milliseconds of a read", series)


INGEST_TABLE = Table(ingest_cases, {"collector": rates}, ingest_pictures, at_once=True)
READ_TABLE = Table(read_cases, {"reads": reads}, read_pictures)
