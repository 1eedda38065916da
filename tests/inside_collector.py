"""The private parts of the collector that tests use, in one place; see `tests.inside`."""

from __future__ import annotations

from pathlib import Path

from remit._base.clock import NS_PER_US as NS_PER_US
from remit._base.clock import Clock
from remit.collector.exposure import AccessLog as AccessLog
from remit.collector.ingest import AskedFor as AskedFor
from remit.collector.ingest import Erased as Erased
from remit.collector.ingest import erase as erase
from remit.collector.ingest import revoke_token as revoke_token
from remit.collector.ingest import runs_about as runs_about
from remit.collector.ingest.context import IdSource as IdSource
from remit.collector.ingest.risk import PAGE_SPANS as PAGE_SPANS
from remit.collector.ingest.spans import span_to_create as span_to_create
from remit.collector.ingest.spans import span_to_finish as span_to_finish
from remit.collector.meaning import Budget as Budget
from remit.collector.meaning.schemas import Checker as Checker
from remit.collector.meaning.summaries import Template as Template
from remit.collector.refusals import RequestError as RequestError
from remit.collector.routes.bodies import unzip as unzip
from remit.collector.routes.endpoints import BULK as BULK
from remit.collector.routes.endpoints import DOCUMENT as DOCUMENT
from remit.collector.routes.endpoints import ENDPOINTS as ENDPOINTS
from remit.collector.routes.endpoints import OPERATIONS as OPERATIONS
from remit.collector.routes.endpoints import PREFIX as PREFIX
from remit.collector.routes.endpoints import Endpoint as Endpoint
from remit.collector.routes.openapi import document as document
from remit.collector.server import Server as Server
from remit.collector.server import ServerOptions as ServerOptions
from remit.collector.server import listen as listen
from remit.collector.store import AccountRow as AccountRow
from remit.collector.store import ConflictError as ConflictError
from remit.collector.store import EnvironmentRow as EnvironmentRow
from remit.collector.store import Page as Page
from remit.collector.store import Removed as Removed
from remit.collector.store import SpanFilter as SpanFilter
from remit.collector.store import SqliteStore
from remit.collector.store import Store as Store
from remit.collector.store import StoreUnavailableError as StoreUnavailableError
from remit.collector.store import TokenRow as TokenRow
from remit.collector.store import Transaction as Transaction
from remit.collector.store.postgres import PostgresStore, Waits
from remit.collector.store.sqlite import BUSY_TIMEOUT_S, MOST_BY_START
from remit.collector.wire import object_of as object_of

# Store


def sqlite_store(
    path: Path | str = ":memory:",
    *,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
    most_by_start: int = MOST_BY_START,
) -> Store:
    """Open an SQLite file, made if need be, with limits of a test's own."""
    return SqliteStore(path, busy_timeout_s=busy_timeout_s, most_by_start=most_by_start)


def postgres_store(
    url: str, *, clock: Clock | None = None, waits: dict[str, float] | None = None
) -> Store:
    """Open a PostgreSQL database, with a clock of a test's own and some of the `Waits`."""
    return PostgresStore(url, clock=clock, waits=Waits(**waits or {}))
