"""`/readyz` while the database can be read and not written, on each store, and afterwards."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import psycopg
import pytest

from remit.collector import Store
from remit.testing import FakeClock
from tests.collecting import Api, World, details, refusal
from tests.inside_collector import postgres_store, sqlite_store
from tests.stores import ON_ONE_SERVER, empty_database

TABLES: Final = ("accounts", "idempotency_keys", "api_tokens", "agents")


@contextmanager
def locked_file(path: Path) -> Generator[None]:
    """Keep everybody else from writing to a file, which they may read."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def read_only_database(url: str) -> Generator[None]:
    """Let new connections to a database only read, as those to a standby; the others are ended."""
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("SET default_transaction_read_only = off")
        (name,) = owner.execute("SELECT current_database()").fetchone() or ("",)
        ended = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        owner.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'.encode())
        owner.execute(ended)
        try:
            yield
        finally:
            owner.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only'.encode())
            owner.execute(ended)


@pytest.fixture
def database(store_kind: str, tmp_path: Path) -> Generator[Path | str]:
    """Return what `--db` names."""
    with empty_database(store_kind, tmp_path) as named:
        yield named


@pytest.fixture
def store(database: Path | str) -> Generator[Store]:
    """Return a store over it that waits for nobody."""
    if isinstance(database, Path):
        store = sqlite_store(database, busy_timeout_s=0.05)
    else:
        store = postgres_store(database, waits={"connection_s": 0.5, "lock_s": 0.05})
    with closing(store):
        yield store


@contextmanager
def not_writable(database: Path | str) -> Generator[None]:
    """Let everybody read the database and nobody write it."""
    blocked = locked_file(database) if isinstance(database, Path) else read_only_database(database)
    with blocked:
        yield


def ready(world: World) -> int:
    """Return the status of `/readyz`; the server lives in any case."""
    http = world.http(None)
    assert http.get("/healthz").status_code == 200
    return http.get("/readyz").status_code


def settled(world: World, clock: FakeClock) -> int:
    """Return the status of `/readyz` once connections that were cut have been replaced."""
    for _ in range(60):
        clock.advance(10)
        if ready(world) == 200:
            return 200
    return 503


@pytest.mark.parametrize("store_kind", ON_ONE_SERVER)
def test_a_server_that_cannot_write_is_not_ready_until_it_can(
    world: World, clock: FakeClock, database: Path | str
) -> None:
    """After a write that failed, and by itself when nobody writes any more."""
    api = world.account()
    assert ready(world) == 200

    with not_writable(database):
        answer = api.post("/agent", {"details": {"name": "Late"}})
        assert refusal(answer, 503)["code"] == "unavailable"
        assert ready(world) == 503
        clock.advance(10)
        assert ready(world) == 503

    assert settled(world, clock) == 200
    assert details(api.post("/agent", {"details": {"name": "Late"}}))["name"] == "Late"
    assert ready(world) == 200


@pytest.mark.parametrize("store_kind", ON_ONE_SERVER)
def test_an_idle_server_finds_out_that_it_cannot_write(
    world: World, clock: FakeClock, store: Store, database: Path | str
) -> None:
    """No request has to fail first; what it tries changes nothing."""
    world.account()
    with store.reading() as tx:
        before = [list(tx.rows(f"SELECT * FROM {table}")) for table in TABLES]
    clock.advance(10)
    with not_writable(database):
        assert ready(world) == 503
    assert settled(world, clock) == 200
    with store.reading() as tx:
        assert [list(tx.rows(f"SELECT * FROM {table}")) for table in TABLES] == before


def test_a_write_that_succeeds_makes_a_server_ready_at_once(
    world: World, database: Path | str
) -> None:
    """The next answer does not wait for an attempt of its own."""
    api = world.account()
    assert isinstance(database, Path)
    with not_writable(database):
        refusal(api.post("/agent", {"details": {"name": "Late"}}), 503)
        assert ready(world) == 503
    details(api.post("/agent", {"details": {"name": "Late"}}))
    assert ready(world) == 200


def test_a_refused_request_says_nothing_of_the_database(world: World, api: Api) -> None:
    """A write that is not valid does not make a server unready."""
    refusal(api.post("/agent", {"details": {}}), 422)
    assert ready(world) == 200
