"""The background thread of a server: database maintenance and retention."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from remit._base.clock import NS_PER_S, NS_PER_US, Clock
from remit._base.guard import logger
from remit._base.text import number_of
from remit.collector.settings import Settings
from remit.collector.store.base import Store

MAINTAIN_EVERY_S: Final = 1.0
RETAIN_EVERY_S: Final = 3600
RETRY_AFTER_S: Final = 60
"""How long after a failure the deletion is tried again."""
PAUSE_S: Final = 0.05
"""Between two transactions of the deletion, so that requests can write."""
STOP_S: Final = 10.0
"""How long a server that ends waits for a transaction of the thread."""
_MICROSECOND: Final = timedelta(microseconds=1)


class Maintenance:
    """Calls `Store.maintain` every second, and `Store.retain` every hour if anything expires."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        clock: Clock,
        *,
        every_s: float = MAINTAIN_EVERY_S,
    ) -> None:
        """Maintain *store*, from `start` to `stop`."""
        self._store = store
        self._settings = settings
        self._clock = clock
        self._every_s = every_s
        self._stopped = threading.Event()
        self._failed: set[str] = set()
        self._maintained_ns = 0
        # A daemon: it must not keep a process alive whose server was not ended properly.
        self._thread = threading.Thread(target=self._run, name="remit-maintenance", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after the transaction that it is in."""
        self._stopped.set()
        self._thread.join(STOP_S)

    def _run(self) -> None:
        settings = self._settings
        expires = settings.retain is not None or settings.retain_payloads is not None
        due_ns = self._clock.monotonic_ns()
        while not self._stopped.wait(self._every_s):
            self._maintain()
            if expires and self._clock.monotonic_ns() >= due_ns:
                done = self._try("old spans cannot be deleted now", self._retain)
                after_s = RETAIN_EVERY_S if done else RETRY_AFTER_S
                due_ns = self._clock.monotonic_ns() + after_s * NS_PER_S

    def _maintain(self) -> None:
        self._maintained_ns = self._clock.monotonic_ns()
        self._try("the database cannot be maintained now", self._store.maintain)

    def _retain(self) -> None:
        if not self._store.leads():
            return
        settings, now_us = self._settings, self._clock.wall_ns() // NS_PER_US
        removed = self._store.retain(
            _before(settings.retain, now_us),
            _before(settings.retain_payloads, now_us),
            pause=self._pause,
        )
        if any(removed):
            logger.info(
                "deleted because of their age: %s, %s, and the payloads of %s",
                number_of(removed.spans, "span"),
                number_of(removed.runs, "run"),
                number_of(removed.payloads, "span"),
            )

    def _pause(self) -> bool:
        """Wait between two transactions of the deletion; return whether to go on."""
        if self._clock.monotonic_ns() - self._maintained_ns >= self._every_s * NS_PER_S:
            self._maintain()
        return not self._stopped.wait(PAUSE_S)

    def _try(self, failure: str, work: Callable[[], None]) -> bool:
        """Do *work*; log its first failure in a row, and return whether it succeeded."""
        try:
            work()
        except Exception as error:
            if failure not in self._failed:
                self._failed.add(failure)
                logger.warning("%s: %s", failure, " ".join(str(error).split()))
            return False
        self._failed.discard(failure)
        return True


def _before(age: timedelta | None, now_us: int) -> int | None:
    return None if age is None else now_us - age // _MICROSECOND
