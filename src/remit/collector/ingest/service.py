"""The collector behind its routes: who asks, which transaction, which operation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Final

from remit._base.clock import NS_PER_US, Clock
from remit.collector.ingest.allowance import Allowance
from remit.collector.ingest.bulk import execute, items_of
from remit.collector.ingest.context import Caller, Context, IdSource, RequestCounts
from remit.collector.ingest.operations import OPERATIONS
from remit.collector.ingest.tokens import caller_of
from remit.collector.meaning import Declarations
from remit.collector.metrics import ITEMS, REFUSALS, SPANS, Metrics
from remit.collector.settings import Settings
from remit.collector.store import (
    Reading,
    Store,
    StoreUnavailableError,
    TooSlowError,
    Writing,
    write,
)
from remit.errors import SettingsError

logger: Final = logging.getLogger("remit")

USE_NOTED_EVERY_US: Final = 10 * 60 * 1_000_000
"""When a token was last used is written no more often than this, by each process."""
MAX_TOKENS: Final = 10_000


class Service:
    """One collector over one store; its methods may be called from any thread."""

    def __init__(
        self, store: Store, settings: Settings, clock: Clock, metrics: Metrics | None = None
    ) -> None:
        """Work on *store* within the limits of *settings*, and count in *metrics*."""
        self.settings = settings
        self._store = store
        self._clock = clock
        self._ids = IdSource(clock)
        self._declarations = Declarations()
        self._metrics = metrics or Metrics()
        self._used_us: dict[str, int] = {}
        self._outage: object | None = None

    def authenticate(self, secret: str) -> Caller:
        """Return who holds the token *secret*.

        Raises:
            RequestError: 401.
            StoreUnavailableError: The database cannot be read now.
        """
        with self._noting_faults():
            caller = self._store.look(lambda tx: caller_of(tx, secret, self._now_us()))
        self._note_use(caller)
        return caller

    def ready(self) -> bool:
        """Return whether the database answers and has the schema that this remit knows."""
        try:
            return self._store.is_current()
        except (StoreUnavailableError, SettingsError):
            return False

    def perform(self, caller: Caller, name: str, params: bytes, key: str | None) -> bytes:
        """Carry out one operation and return its envelope.

        Args:
            caller: Who asks.
            name: The operation.
            params: Its fields, a JSON object.
            key: Its idempotency key, checked.

        Raises:
            RequestError: It was refused; nothing was written.
            StoreUnavailableError: The database cannot be used now; nothing was written.
        """
        operation = OPERATIONS[name]
        if not operation.writes:
            with self._noting_faults(), self._store.reading() as tx:
                return operation.perform(self._context(tx, caller), params, key)
        return self._write(caller, lambda ctx: operation.perform(ctx, params, key))

    def bulk(self, caller: Caller, body: bytes) -> bytes:
        """Carry out a bulk request and return its envelope.

        Raises:
            RequestError: The request as a whole cannot be meant.
            StoreUnavailableError: The database cannot be used now; nothing was written.
        """
        items = items_of(body, self.settings.max_bulk_items)
        return self._write(caller, lambda ctx: execute(ctx, items))

    def allowance(self) -> Allowance:
        """Return what one bulk request may do, from now on."""
        return Allowance(self.settings, self._clock)

    @contextmanager
    def _noting_faults(self) -> Generator[None]:
        try:
            yield
        except TooSlowError:
            # One query was slow; the database is available.
            raise
        except StoreUnavailableError as error:
            self._note_fault(error)
            raise

    def _write(self, caller: Caller, work: Callable[[Context], bytes]) -> bytes:
        def begin(tx: Writing) -> tuple[bytes, RequestCounts]:
            ctx = self._context(tx, caller)
            return work(ctx), ctx.tally

        # What was written before the database was lost does not tell that it is back.
        outage = self._outage
        with self._noting_faults():
            done, tally = write(self._store, begin)
        if outage is not None and outage is self._outage:
            self._outage = None
            logger.warning("the collector's database can be written again")
        self._count(tally)
        return done

    def _count(self, tally: RequestCounts) -> None:
        self._metrics.add(SPANS, count=tally.spans)
        self._metrics.add(ITEMS, count=tally.items)
        for code in tally.refused:
            self._metrics.add(REFUSALS, code)

    def _note_use(self, caller: Caller) -> None:
        """Keep when a token was used, now and then; that it cannot be kept is no fault."""
        token_id, now_us = caller.token_id, self._now_us()
        if token_id is None or now_us - self._used_us.get(token_id, 0) < USE_NOTED_EVERY_US:
            return
        if len(self._used_us) >= MAX_TOKENS:
            self._used_us.clear()
        self._used_us[token_id] = now_us
        with suppress(StoreUnavailableError):
            write(self._store, lambda tx: tx.touch_token(token_id, now_us))

    def _note_fault(self, error: StoreUnavailableError) -> None:
        """Say once that the database is not to be had, until it can be written again."""
        if self._outage is None:
            self._outage = object()
            # Some drivers say it over several lines.
            said = " ".join(str(error).split())
            logger.warning("the collector's database cannot be used now: %s", said)

    def _context(self, tx: Reading, caller: Caller) -> Context:
        return Context(
            tx,
            caller,
            self._now_us(),
            self._ids,
            self.settings,
            self._declarations,
            self.allowance(),
        )

    def _now_us(self) -> int:
        return self._clock.wall_ns() // NS_PER_US
