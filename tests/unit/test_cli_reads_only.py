"""A database that a command reads is opened to be read: the API refuses to write it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from remit.cli._local import client_of, reader_on
from remit.client.endpoints.table import TERMINATE_INSTANCE
from remit.collector import open_store
from remit.errors import RejectedError
from tests.collecting import World


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Return a database with an active run."""
    path = tmp_path / "remit.db"
    store = open_store(path)
    World(store).account().instance(external_identifier="order-17")
    store.close()
    return path


def test_a_write_to_a_database_that_is_read_is_refused_in_a_sentence(db: Path) -> None:
    """And the file is the same afterwards."""
    before = hashlib.sha256(db.read_bytes()).digest()
    store = open_store(db)
    run_id = reader_on(store).find("order-17").instance.id
    store.close()
    with (
        client_of(db, writing=False) as (client, _),
        pytest.raises(RejectedError, match=f"{db} was opened read-only: nothing was written"),
    ):
        client.send(TERMINATE_INSTANCE.call(run_id, reason="enough"))
    assert hashlib.sha256(db.read_bytes()).digest() == before


def test_a_command_that_writes_opens_the_database_to_write(db: Path) -> None:
    """As `remit runs terminate` does."""
    with client_of(db, writing=True) as (client, place):
        store = open_store(db)
        run_id = reader_on(store).find("order-17").instance.id
        store.close()
        ended = client.send(TERMINATE_INSTANCE.call(run_id, reason="enough"))
    assert (ended.status, place) == ("terminated", str(db))
