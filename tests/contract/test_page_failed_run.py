"""How the page of a failed run reads the database, and what it says without the failed step."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from html import unescape
from http import HTTPStatus
from typing import Any, cast

import pytest

from remit.collector import Store
from tests import run_pages
from tests.collecting import World
from tests.inside_collector import SpanFilter, SqliteStore, Transaction
from tests.signing_in import signed_in


class CountedReads:
    """A transaction that counts how often it reads each span with its payloads."""

    def __init__(self, tx: Transaction, spans: Counter[str]) -> None:
        """Read in *tx*."""
        self._tx = tx
        self._spans = spans

    def __getattr__(self, name: str) -> Any:
        """Return a part of the transaction."""
        return getattr(self._tx, name)

    def spans(self, account_id: str, ids: Any) -> Any:
        """Return spans by id."""
        rows = self._tx.spans(account_id, ids)
        self._spans.update(list(rows))
        return rows

    def some_spans(self, wanted: SpanFilter, most: int) -> Any:
        """Return spans that pass a filter."""
        rows = self._tx.some_spans(wanted, most)
        self._spans.update(row.id for row in rows)
        return rows


@dataclass
class CountingStore:
    """A store that counts what is read.

    Attributes:
        store: The store.
        transactions: How many were opened for reading.
        spans: How often each span was read.
    """

    store: Store
    transactions: int = 0
    spans: Counter[str] = field(default_factory=Counter[str])

    def __getattr__(self, name: str) -> Any:
        """Return a part of the store."""
        return getattr(self.store, name)

    @contextmanager
    def reading(self) -> Generator[Transaction]:
        """Return a block that reads."""
        self.transactions += 1
        with self.store.reading() as tx:
            yield cast("Transaction", CountedReads(tx, self.spans))


@pytest.mark.parametrize("made", [run_pages.failed, run_pages.grouped, run_pages.ended_process])
def test_a_failed_run_is_read_in_one_state(world: World, made: Callable[..., str]) -> None:
    """The session in one transaction, the run in another, the menu in a third; no step twice."""
    run_id = made(world.account())
    counting = CountingStore(world.store)
    http = signed_in(cast("Store", counting))
    counting.transactions = 0
    counting.spans.clear()

    assert http.get(f"/runs/{run_id}").status_code == HTTPStatus.OK

    assert counting.transactions == 3
    assert set(counting.spans.values()) == {1}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            "DELETE FROM spans WHERE type_ref IN "
            "(SELECT ref FROM span_types WHERE name = 'shop.tools:charge')",
            id="deleted because of its age",
        ),
        pytest.param("UPDATE runs SET failure_span = NULL", id="failed before ids were kept"),
    ],
)
def test_the_notice_says_what_the_run_keeps_without_the_step(world: World, change: str) -> None:
    """No other step is chosen in its place."""
    run_id = run_pages.failed(world.account())
    assert isinstance(world.store, SqliteStore)
    with closing(sqlite3.connect(world.store.path, isolation_level=None)) as connection:
        assert connection.execute(change).rowcount == 1

    page = signed_in(world.store).get(f"/runs/{run_id}").text

    notice = page.partition('<div class="notice')[2].partition(">")[2].partition("</div>")[0]
    words = " ".join(unescape(re.sub(r"<[^>]+>", "", notice)).split())
    assert words.startswith(
        "charge failed in shop/tools.py:41: the provider answered 502 three times."
    )
    assert "failed first" not in page
