"""The collector behind its routes: who asks, which transaction, which operation."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, cast

from remit._clock import Clock
from remit.collector.ingest.bulk import execute, items_of
from remit.collector.ingest.context import NS_PER_US, Caller, Context, IdSource, Titles
from remit.collector.ingest.operations import OPERATIONS
from remit.collector.ingest.tokens import caller_of
from remit.collector.settings import Settings
from remit.collector.store import Reading, Store, StoreUnavailableError, Writing

logger: Final = logging.getLogger("remit")


class Service:
    """One collector over one store; its methods may be called from any thread."""

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        """Work on *store* within the limits of *settings*."""
        self.settings = settings
        self._store = store
        self._clock = clock
        self._ids = IdSource(clock)
        self._titles = Titles()
        self._down = False

    def authenticate(self, secret: str) -> Caller:
        """Return who holds the token *secret*.

        Raises:
            Refusal: 401.
            StoreUnavailableError: The database cannot be read now.
        """
        with self._reading() as tx:
            return caller_of(tx, secret, self._now_us())

    def perform(self, caller: Caller, name: str, params: bytes, key: str | None) -> bytes:
        """Carry out one operation and return its envelope.

        Args:
            caller: Who asks.
            name: The operation.
            params: Its fields, a JSON object.
            key: Its idempotency key, checked.

        Raises:
            Refusal: It was refused; nothing was written.
            StoreUnavailableError: The database cannot be used now; nothing was written.
        """
        operation = OPERATIONS[name]
        if not operation.writes:
            with self._reading() as tx:
                return operation.perform(self._context(tx, caller), params, key)
        with self._writing() as tx:
            return operation.perform(self._context(tx, caller), params, key)

    def bulk(self, caller: Caller, body: bytes) -> bytes:
        """Carry out a bulk request and return its envelope.

        Raises:
            Refusal: The request as a whole cannot be meant.
            StoreUnavailableError: The database cannot be used now; nothing was written.
        """
        items = items_of(body, self.settings.max_bulk_items)
        with self._writing() as tx:
            return execute(self._context(tx, caller), items)

    @contextmanager
    def _reading(self) -> Generator[Reading]:
        try:
            with self._store.reading() as tx:
                yield tx
        except StoreUnavailableError as error:
            self._note_fault(error)
            raise

    @contextmanager
    def _writing(self) -> Generator[Writing]:
        try:
            with self._store.writing() as tx:
                yield tx
        except StoreUnavailableError as error:
            self._note_fault(error)
            raise
        if self._down:
            self._down = False
            logger.warning("the collector's database can be written again")

    def _note_fault(self, error: StoreUnavailableError) -> None:
        """Say once that the database is not to be had, until it can be written again."""
        if not self._down:
            self._down = True
            logger.warning("the collector's database cannot be used now: %s", error)

    def _context(self, tx: Reading, caller: Caller) -> Context:
        # A reading operation never uses the other half.
        writing = cast("Writing", tx)
        return Context(writing, caller, self._now_us(), self._ids, self.settings, self._titles)

    def _now_us(self) -> int:
        return self._clock.wall_ns() // NS_PER_US
