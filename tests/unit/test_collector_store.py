"""Every store: opened, created, shared, undone."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from remit._base.clock import SystemClock
from remit.collector import Store, create_token, open_store
from remit.collector.domain.places import prepare
from remit.collector.store.base import ConflictError, write
from remit.collector.store.filters import Page
from remit.collector.store.rows import AccountRow
from remit.collector.store.transaction import Transaction
from remit.collector.store.version import statements
from remit.errors import SettingsError
from tests.stores import EACH_STORE, STORES, empty_database, new_database


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


def test_a_database_is_opened_again(named: Path | str) -> None:
    """With what is in it; a closed store opens by itself."""
    store = open_store(named)
    made = create_token(store, "account")
    store.close()
    store.close()

    for again in (store, open_store(named)):
        with again.reading() as tx:
            assert [token.id for token in tx.tokens()] == [made.info.id]
        again.close()


@pytest.mark.parametrize("kind", EACH_STORE)
def test_many_open_a_new_database_at_once(kind: str, tmp_path: Path) -> None:
    """The first one creates the tables and the account."""
    stores: list[Store] = []

    with new_database(kind, tmp_path) as named:

        def open_one() -> None:
            store = open_store(named)
            prepare(store, SystemClock())
            stores.append(store)

        threads = [threading.Thread(target=open_one) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(stores) == 8
        for store in stores:
            with store.reading() as tx:
                assert len(tx.accounts()) == 1
            store.close()


def test_another_kind_of_database_is_refused_by_name() -> None:
    """Rather than a file of that name being made."""
    with pytest.raises(SettingsError, match="does not support mysql:// databases"):
        open_store("mysql://localhost/remit")


@pytest.mark.parametrize("kind", STORES)
def test_the_schema_is_read_statement_by_statement(kind: str) -> None:
    """Comments are no part of them."""
    read = statements(kind)

    assert len(read) > 30
    assert all(
        re.match("(CREATE (TABLE|VIEW|(UNIQUE )?INDEX)|ALTER TABLE) [a-z_]+ ", each)
        for each in read
    )
    assert not any("--" in each for each in read)


def test_what_a_block_wrote_is_undone_when_it_fails(store: Store) -> None:
    """All of it; and the store goes on."""
    create_token(store, "account")

    def write_and_fail() -> None:
        with store.writing() as tx:
            tx.add(AccountRow("another", "n", 0, 0))
            with tx.savepoint():
                tx.add(AccountRow("third", "n", 0, 0))
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    with store.reading() as tx:
        assert len(tx.accounts()) == 1


def test_a_savepoint_undoes_its_own_writes_only(store: Store) -> None:
    """As one item of a bulk request does."""
    with store.writing() as tx:
        tx.add(AccountRow("kept", "n", 0, 0))

        def write_and_fail() -> None:
            with tx.savepoint():
                tx.add(AccountRow("undone", "n", 0, 0))
                raise KeyError

        with pytest.raises(KeyError):
            write_and_fail()
        tx.add(AccountRow("kept too", "n", 0, 0))

    with store.reading() as after:
        assert {row.id for row in after.accounts()} == {"kept", "kept too"}


def test_a_block_that_others_were_in_the_way_of_is_begun_anew(store: Store) -> None:
    """A few times, with nothing left of the tries before; then it is given up for now."""
    tries: list[int] = []

    def work(least: int) -> int:
        def add_one(tx: Transaction) -> int:
            tries.append(len(tx.accounts()))
            tx.add(AccountRow(f"of {least}", "n", 0, 0))
            if len(tries) < least:
                raise ConflictError
            return least

        return write(store, add_one)

    assert work(4) == 4
    assert tries == [0, 0, 0, 0]
    tries.clear()
    with pytest.raises(ConflictError):
        work(5)
    with store.reading() as after:
        assert [row.id for row in after.accounts()] == ["of 4"]


def test_only_columns_get_into_a_statement(store: Store) -> None:
    """A name that is none is a mistake of ours, not a query."""
    with store.reading() as tx:
        with pytest.raises(KeyError, match="1=1"):
            tx.list_runs(None, {"1=1; --": "x"}, Page(0, 1, "id", descending=False))
        with pytest.raises(ValueError, match="no column"):
            tx.list_runs(None, {}, Page(0, 1, "id; --", descending=False))
