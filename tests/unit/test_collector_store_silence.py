"""A PostgreSQL that takes what it is asked and never answers: nobody waits for it for long."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest

from remit._clock import Deadline, SystemClock
from remit.collector.store import StoreUnavailableError
from remit.collector.store.postgres import PostgresStore
from remit.collector.store.postgres_pool import Pool, Waits
from tests.collecting import World, refusal
from tests.postgres import emptied

pytestmark = pytest.mark.gate


class Wire:
    """What lies between a collector and its server; nothing comes through while it is cut.

    Attributes:
        whole: Whether it is not cut.
    """

    def __init__(self, listener: socket.socket, target: str) -> None:
        """Carry what comes to *listener* to the socket *target*, and back."""
        self.whole = threading.Event()
        self.whole.set()
        self._closed = False
        self._listener, self._target = listener, target
        self._sockets = [listener]
        self._threads = [threading.Thread(target=self._take, daemon=True)]
        self._threads[0].start()

    def _take(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.whole.wait()
                if self._closed:
                    near.close()
                    return
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._target)
                self._sockets += [near, far]
                for one, other in ((near, far), (far, near)):
                    carry = threading.Thread(target=self._carry, args=(one, other), daemon=True)
                    self._threads.append(carry)
                    carry.start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while part := one.recv(65536):
                self.whole.wait()
                other.sendall(part)
            other.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End all connections."""
        self._closed = True
        self.whole.set()
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for each in self._sockets:
            each.close()


@contextmanager
def wired() -> Generator[tuple[str, Wire]]:
    """Return a block with the URL of an empty database, and the wire to it."""
    with emptied() as url, socket.create_server(("127.0.0.1", 0)) as listener:
        parts = urlsplit(url)
        (folder,) = parse_qs(parts.query)["host"]
        wire = Wire(listener, f"{folder}/.s.PGSQL.5432")
        port = listener.getsockname()[1]
        try:
            yield f"postgresql://remit@127.0.0.1:{port}{parts.path}?connect_timeout=2", wire
        finally:
            wire.close()


IMPATIENT: Final = Waits(begin_s=0.5, look_s=0.5, answer_s=0.5)


def test_a_server_that_falls_silent_is_unavailable_until_it_speaks() -> None:
    """When it answers again, so does the collector."""
    with wired() as (url, wire):
        store = PostgresStore(url, waits=replace(IMPATIENT, silence_s=0.1))
        api = World(store).account()
        run = api.instance("active")

        wire.whole.clear()
        refused = api.get("/ping")
        assert refusal(refused, 503)["code"] == "unavailable"
        assert int(refused.headers["retry-after"]) >= 1

        wire.whole.set()
        deadline = Deadline.after(30, SystemClock())
        while api.get("/ping").status_code != 200:
            assert not deadline.passed
        assert api.span(run["id"])["status"] == "active"
        store.close()


def test_a_silent_server_is_not_waited_for_at_each_request() -> None:
    """For some seconds it is not asked at all."""
    with wired() as (url, wire):
        store = PostgresStore(url, waits=replace(IMPATIENT, silence_s=600))
        api = World(store).account()
        wire.whole.clear()
        refusal(api.get("/ping"), 503)
        wire.whole.set()

        # It would answer by now.
        assert {api.get("/ping").status_code for _ in range(20)} == {503}
        store.close()


def test_a_statement_without_an_answer_is_given_up() -> None:
    """In the middle of a transaction, of which nothing is kept."""
    with wired() as (url, wire):
        store = PostgresStore(url, waits=IMPATIENT)

        def ask_twice() -> None:
            with store.writing() as tx:
                assert tx.accounts() == []
                wire.whole.clear()
                tx.accounts()

        with pytest.raises(StoreUnavailableError, match="no answer"):
            ask_twice()
        store.close()


def test_a_new_connection_to_a_silent_server_is_given_up() -> None:
    """It is not tried at once again."""
    with wired() as (url, wire):
        pool = Pool(url, IMPATIENT)
        wire.whole.clear()
        for said in ("timeout", "asked again in a few seconds"):
            with pytest.raises(Exception, match=said), pool.connection("BEGIN"):
                pass


def test_who_is_patient_waits() -> None:
    """Tables are vacuumed, and parts dropped, for as long as it takes."""
    with emptied() as url:
        pool = Pool(url, replace(IMPATIENT, answer_s=0.2))
        with pool.connection("BEGIN", patient=True) as connection:
            connection.execute("SELECT pg_sleep(0.5)")
            connection.execute("COMMIT")
        with pool.connection("BEGIN") as connection, pytest.raises(Exception, match="no answer"):
            connection.execute("SELECT pg_sleep(10)")
        pool.close()
