"""Ask a filled database questions, explain the slow ones, and measure its size."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, Final, NamedTuple, cast

from benchmarks.storage.questions import Question, questions
from remit.collector import open_store
from remit.collector.store.base import Store
from remit.collector.store.open import is_postgres
from remit.collector.store.transaction import Transaction

CALLS: Final = 8
BUDGET_MS: Final = 20.0
SIZE: Final = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
    "postgres": "SELECT pg_database_size(current_database())",
}
CHARS: Final = """
    SELECT AVG(LENGTH(payload) + COALESCE(LENGTH(result), 0))
    FROM (SELECT payload, result FROM span_payloads LIMIT 100000) AS p
"""
# A limit would bring the payloads to the coordinator first. Of 1,024 shards, eight are enough.
CHARS_OF_SHARDS: Final = """
    SELECT AVG(LENGTH(payload) + COALESCE(LENGTH(result), 0)) FROM span_payloads
    WHERE shard IN (0, 128, 256, 384, 512, 640, 768, 896)
"""


class Asked(NamedTuple):
    """A question, its rows, the median of its warm calls, and its statements if it is slow."""

    name: str
    rows: int
    ms: float
    plan: Sequence[str]


class Explained:
    """Passes statements on to a transaction, and keeps their plans."""

    def __init__(self, tx: Transaction) -> None:
        """Explain what *tx* runs."""
        self._tx = tx
        self.plans: list[str] = []

    def __getattr__(self, name: str) -> Any:
        """Return what the transaction has."""
        return getattr(self._tx, name)

    def rows(self, sql: str, values: Sequence[Any]) -> Iterable[tuple[Any, ...]]:
        """Run a statement."""
        explain = "EXPLAIN (ANALYZE) " if self.dialect == "postgres" else "EXPLAIN QUERY PLAN "
        self.plans += [sql, *(f"  {row[-1]}" for row in self._tx.rows(explain + sql, values))]
        return self._tx.rows(sql, values)


def ask(store: Store, name: str, question: Question) -> Asked:
    """Run a question once to warm up and then `CALLS` times, each in a separate transaction."""
    rows, times_s = store.look(question), list[float]()
    for _ in range(CALLS):
        began_s = time.perf_counter()
        with store.reading() as tx:
            question(tx)
        times_s.append(time.perf_counter() - began_s)
    plans: list[str] = []
    if (ms := statistics.median(times_s) * 1e3) > BUDGET_MS:
        with store.reading() as tx:
            explained = Explained(tx)
            question(cast("Transaction", explained))
            plans = explained.plans
    return Asked(name, rows, ms, plans)


def ask_all(database: str, wanted: str) -> Iterator[Asked]:
    """Yield what is measured of each question whose name contains *wanted*."""
    with closing(open_store(database, create=False)) as store:
        with store.reading() as tx:
            all_questions = list(questions(tx))
        for name, question in all_questions:
            if wanted in name:
                yield ask(store, name, question)


def sizes(database: str) -> str:
    """Return how many bytes a span takes in the database."""
    dialect = "postgres" if is_postgres(database) else "sqlite"
    with closing(open_store(database, create=False)) as store, store.reading() as tx:
        ((spans,),) = tx.rows("SELECT SUM(unfinished + complete + failed + cancelled) "
                              "FROM span_days", ())  # fmt: skip
        ((size,),) = tx.rows(SIZE[dialect], ())
        ((chars,),) = tx.rows(CHARS_OF_SHARDS if tx.distributed else CHARS, ())
    rest = int(size) / int(spans) - float(chars)
    return (
        f"{int(spans):,} spans, {int(size) / 1e6:,.0f} MB, {int(size) / int(spans):.0f} bytes a "
        f"span: {float(chars):.0f} of payload and {rest:.0f} beside it"
    )
