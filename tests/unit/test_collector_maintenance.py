"""The background thread of a server: maintenance every second, and deletion of what is old."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, cast

import pytest

from remit.collector import Settings, Store, open_store
from remit.testing import FakeClock
from tests.collecting import Api, World, on_a_port
from tests.inside import SystemClock, httpx, new_key, pfid
from tests.inside_collector import Maintenance, Removed, StoreUnavailableError
from tests.processes import wait_until
from tests.stores import EACH_STORE, empty_database

SOON_S: Final = 0.001
DAY_S: Final = 24 * 3600.0


class Scripted:
    """A store whose maintenance does what a test says."""

    def __init__(self, *results: Exception | None) -> None:
        """Fail with *results*, one after the other; None succeeds, as does all that follows."""
        self._results = list(results)
        self.all_done = threading.Event()
        self.removed: list[tuple[int | None, int | None]] = []

    def maintain(self) -> None:
        """Do the next thing."""
        if not self._results:
            self.all_done.set()
            return
        result = self._results.pop(0)
        if result is not None:
            raise result

    def leads(self) -> bool:
        """Return whether this process deletes what is old."""
        return True

    def retain(
        self, before_us: int | None, payloads_us: int | None, *, pause: Callable[[], bool]
    ) -> Removed:
        """Delete until it is stopped."""
        self.removed.append((before_us, payloads_us))
        while pause():
            pass
        return Removed(spans=1)


@contextmanager
def maintained(store: Scripted | Store, *, settings: Settings | None = None) -> Generator[None]:
    """Return a block during which a store is maintained."""
    maintenance = Maintenance(
        cast("Store", store), settings or Settings(), SystemClock(), every_s=SOON_S
    )
    maintenance.start()
    try:
        yield
    finally:
        maintenance.stop()
    assert "remit-maintenance" not in {thread.name for thread in threading.enumerate()}


def test_a_failure_is_logged_once_until_it_works_again(caplog: pytest.LogCaptureFixture) -> None:
    """A database that is gone for a night is one line."""
    away = StoreUnavailableError("gone\nfor now")
    store = Scripted(away, away, RuntimeError("other"), None, away, None)

    with maintained(store):
        assert store.all_done.wait(60)

    assert [record.message for record in caplog.records] == [
        "the database cannot be maintained now: gone for now"
    ] * 2


def test_a_deletion_ends_with_the_server(caplog: pytest.LogCaptureFixture) -> None:
    """It is maintained meanwhile; what was deleted is logged."""
    caplog.set_level("INFO", "remit")
    store, before_us = Scripted(*[None] * 20), SystemClock().wall_ns() // 1000

    settings = Settings(retain=timedelta(days=180), retain_payloads=timedelta(days=30))
    with maintained(store, settings=settings):
        assert store.all_done.wait(60)

    ((spans_us, payloads_us),) = store.removed
    assert spans_us is not None
    assert payloads_us is not None
    assert payloads_us - spans_us == 150 * DAY_S * 1_000_000
    assert 0 <= payloads_us + 30 * DAY_S * 1_000_000 - before_us < 60_000_000
    assert "deleted because of their age: 1 span, 0 runs" in caplog.text


def test_nothing_is_deleted_unless_an_age_is_set() -> None:
    """The record stays."""
    store = Scripted(None, None)
    with maintained(store):
        assert store.all_done.wait(60)
    assert store.removed == []


@pytest.fixture(params=EACH_STORE)
def named(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Path | str]:
    """Return what `--db` names: a database with nothing in it."""
    with empty_database(request.param, tmp_path) as database:
        yield database


def recorded(store: Store) -> Api:
    """Return the view of a token that has recorded runs of three ages."""
    clock = FakeClock(datetime.now(UTC) - timedelta(days=300))
    api = World(store, clock=clock).account()
    for days in (300, 100, 1):
        clock.advance(
            (datetime.now(UTC) - timedelta(days=days)).timestamp() - clock.wall_ns() / 1e9
        )
        run = api.instance("active", external_identifier=str(days))
        span_id = pfid(new_key(clock.wall_ns()), 5)
        api.span(run["id"], id=span_id, payload={"days": days})
        api.post(f"/agent_instance/{run['id']}/finish", {})
    return api


def test_a_server_deletes_what_is_old(named: Path | str) -> None:
    """After its start; the payloads first, spans and runs later; the rest stays as it is."""
    store = open_store(named)
    api = recorded(store)
    settings = Settings(retain=timedelta(days=180), retain_payloads=timedelta(days=30))

    def left() -> dict[str, list[dict[str, int]]]:
        runs = api.get("/agent_instance", agent_id=api.agent_id).json()["summaries"]
        return {
            run["external_identifier"]: [span["payload"] for span in api.spans(run["id"])]
            for run in runs
        }

    wanted: dict[str, list[dict[str, int]]] = {"100": [{}], "1": [{"days": 1}]}
    until = time.monotonic() + 60
    with maintained(store, settings=settings):
        while left() != wanted:
            assert time.monotonic() < until

    assert left() == wanted
    store.close()


def test_an_app_maintains_its_database_while_it_is_served(tmp_path: Path) -> None:
    """From its startup to its shutdown; a client notices nothing."""
    store = open_store(tmp_path / "remit.db")
    with on_a_port(World(store).app) as url:
        assert httpx.get(f"{url}/healthz", timeout=60).status_code == 200
        assert "remit-maintenance" in {thread.name for thread in threading.enumerate()}
    assert "remit-maintenance" not in {thread.name for thread in threading.enumerate()}
    store.close()


@pytest.mark.gate
def test_one_of_several_processes_deletes(tmp_path: Path) -> None:
    """Another one takes over when it ends, or when its connection is lost."""
    with empty_database("postgres", tmp_path) as named:
        one, two, three = (open_store(named) for _ in range(3))
        assert [one.leads(), two.leads(), one.leads(), two.leads()] == [True, False, True, False]

        one.close()
        # The server takes a moment to notice that a connection was closed.
        wait_until(two.leads)
        assert [two.leads(), three.leads()] == [True, False]

        sql = (
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE locktype = 'advisory' "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        with three.writing() as tx:
            list(tx.rows(sql))
        assert [three.leads(), two.leads()] == [True, False]
        for store in (two, three):
            store.close()
