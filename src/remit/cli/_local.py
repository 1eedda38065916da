"""A client of a database, which calls the API's dispatch in this process."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import TypeVar
from urllib.parse import unquote

from remit._base.clock import SystemClock
from remit.cli._database import database, opened, opened_to_read
from remit.cli._failing import Failed
from remit.cli._options import Database
from remit.cli._prices import configured_prices
from remit.cli._reader import ApiReader
from remit.client._target import RawResponse, Target
from remit.client.endpoints.endpoint import Call
from remit.collector.api.dispatch import Request, Service
from remit.collector.domain.context import Caller, Permission, Permissions
from remit.collector.domain.places import prepare
from remit.collector.domain.tokens import TokenScope
from remit.collector.page.run.html_file import html_of_run
from remit.collector.settings import Settings
from remit.collector.store.base import Store
from remit.collector.store.open import shown
from remit.collector.store.read_only import ReadOnlyStore

T = TypeVar("T")


class DatabaseClient:
    """Sends calls to the collector of one database, without a token.

    It is not an httpx transport, so the error of a damaged file reaches the command unchanged.
    """

    def __init__(self, store: Store, account_id: str) -> None:
        self._clock = SystemClock()
        self._store, self._account_id = store, account_id
        may = Permissions.of(f"{Permission.APPROVE},{Permission.WRITE}")
        caller = Caller(account_id, TokenScope.ACCOUNT, may=may)
        settings = Settings(prices=configured_prices())
        self._service = Service(store, settings, self._clock, caller=caller)
        self._target = Target("", None)

    def send(self, call: Call[T]) -> T:
        path, body = unquote(call.path), call.body or b""
        response = self._service.dispatch(Request(call.method, path, dict(call.query), {}, body))
        raw = RawResponse(response.status, dict(response.headers), response.body)
        return self._target.read(call, raw, self._clock)

    def html(self, run_id: str, *, values: bool) -> bytes:
        return html_of_run(self._store, self._account_id, run_id, values=values)


@contextmanager
def client_of(db: Database | None, *, writing: bool) -> Generator[tuple[DatabaseClient, str]]:
    """Return a block with a client of *db*, else of local mode's database, and its name.

    Args:
        writing: Whether the block may change the database.
    """
    path = database(db)
    with ExitStack() as stack:
        store: Store
        if writing:
            store = stack.enter_context(opened(path))
        else:
            store = ReadOnlyStore(stack.enter_context(opened_to_read(path)))
        yield client_on(store), shown(path)


def client_on(store: Store) -> DatabaseClient:
    """Return a client of an open database.

    Raises:
        Failed: Nothing was recorded in it yet.
    """
    with store.reading() as tx:
        accounts = tx.accounts()
    if not accounts:
        raise Failed(f"nothing was recorded in {shown(store.path)} yet")
    return DatabaseClient(store, accounts[0].id)


def reader_on(store: Store) -> ApiReader:
    """Return a reader of a writable database, which gets an account if it has none."""
    account = prepare(store, SystemClock())
    return ApiReader(DatabaseClient(store, account.id), shown(store.path))
