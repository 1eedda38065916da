"""A server that is stopped and started while a program waits for the answer of a person."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

import pytest

from tests.inside import Approved, HttpClient, Question, ServerApprover, httpx
from tests.processes import lasted_s, wait_until
from tests.serving import serving, token_of
from tests.stores import ON_ONE_SERVER, empty_database

ASKS: Final = "/api/remit/v1/asks"
SHORT_S: Final = 8
"""Less than the time that requests in flight have when a server is stopped."""
PAYING: Final = Question(
    step="shop:refund",
    words=("financial_transactions",),
    agent="shop:desk",
    run="run-key-1",
    arguments=b'{"order":"1021"}',
    hidden={},
    time_limit_s=60,
    ticket="ticket-1",
)


@pytest.mark.parametrize("store_kind", ON_ONE_SERVER)
def test_a_server_is_restarted_while_a_program_waits(store_kind: str, tmp_path: Path) -> None:
    """It stops at once, and the answer after its start reaches the program, once."""
    workers = ("--workers", "2") if store_kind == "postgres" else ()
    with (
        empty_database(store_kind, tmp_path) as database,
        serving(database, *workers) as server,
        ThreadPoolExecutor() as pool,
        ExitStack() as stack,
    ):
        secret, person = token_of(database, "record"), token_of(database, "approve")
        client = stack.enter_context(closing(HttpClient(server.url, secret)))
        asked = pool.submit(ServerApprover(client), PAYING)

        def waiting(http: httpx.Client) -> list[str]:
            listed = http.get(ASKS, params={"status": "waiting"}).json()
            return [ask["id"] for ask in listed["asks"]]

        with server.client(person) as http:
            wait_until(lambda: len(waiting(http)) == 1)
        ended, took_s = lasted_s(server.end)
        assert took_s < SHORT_S
        assert "Traceback" not in ended.errors
        server.start()

        with server.client(person) as http:
            (ask_id,) = waiting(http)
            http.post(f"{ASKS}/{ask_id}/answer", json={"answer": "approved"}).raise_for_status()
            decision = asked.result(60)
            assert isinstance(decision, Approved)
            assert len(http.get(ASKS).json()["asks"]) == 1
