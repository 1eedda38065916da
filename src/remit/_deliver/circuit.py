"""The circuit breaker: the health of delivery to one target, and the time of the next try."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from remit._base.backoff import delays
from remit._base.clock import NS_PER_S, Clock
from remit._base.guard import logger
from remit._deliver.spool.folder import Folder
from remit._deliver.status import Health
from remit.errors import ApiError, ContractError, UnauthorizedError

# A server that is down may be back soon; a wrong token or URL has to be fixed by a person.
FIRST_WAIT_S: Final = 0.5
MAX_WAIT_S: Final = 30.0
FIRST_WAIT_FOR_FIX_S: Final = 5.0
MAX_WAIT_FOR_FIX_S: Final = 300.0
# Most different topics that are logged.
MAX_TOPICS: Final = 100


def waits(health: Health) -> Iterator[float]:
    """Yield the seconds to wait before each further try, growing, with jitter."""
    if health is Health.FAILING:
        return delays(first_s=FIRST_WAIT_S, max_s=MAX_WAIT_S)
    return delays(first_s=FIRST_WAIT_FOR_FIX_S, max_s=MAX_WAIT_FOR_FIX_S)


class Retry:
    """The retries of one row, run or target."""

    def __init__(self, clock: Clock, waits: Iterator[float]) -> None:
        """Begin without a failed try; *waits* are the seconds before each further one."""
        self.tries = 0
        self._clock = clock
        self._waits = waits
        self._due_ns = 0

    def postpone(self, least_s: float = 0.0) -> float:
        """Record a failed try; return the seconds until the next, at least *least_s*."""
        self.tries += 1
        wait_s = max(next(self._waits), least_s)
        self._due_ns = self._clock.monotonic_ns() + int(wait_s * NS_PER_S)
        return wait_s

    def due_in_s(self) -> float:
        """Return the seconds until the next try, never below zero."""
        return max(0.0, (self._due_ns - self._clock.monotonic_ns()) / NS_PER_S)


class CircuitBreaker:
    """The health of delivery to one target, and the time of the next try.

    Attributes:
        stalled: A flush timed out while a try was running, and that try has not ended yet.
        waits: Returns the waits for a state of delivery; tests set waits without jitter.
    """

    def __init__(
        self,
        target: str,
        clock: Clock,
        *,
        spool: Callable[[], Path | None],
        folder: Folder | None = None,
    ) -> None:
        """Begin idle, ready to try.

        Args:
            target: URL or path without credentials, for log lines.
            spool: Returns the folder of the items that wait, for log lines; None if they are in
                memory.
            folder: Keeps the failure for `remit doctor`; None without a spool.
        """
        self.health = Health.IDLE
        self.last_error: str | None = None
        self.stalled = False
        self._target = target
        self._spool = spool
        self._folder = folder
        self._clock = clock
        self.waits: Callable[[Health], Iterator[float]] = waits
        self._retry: Retry | None = None
        self._asked_until_ns = 0
        self._logged: set[str] = set()

    def wait_s(self, *, forced: bool) -> float:
        """Return the seconds until the next try; *forced* skips our own waits, not the server's."""
        if self._retry is None:
            return 0.0
        if forced:
            return max(0.0, (self._asked_until_ns - self._clock.monotonic_ns()) / NS_PER_S)
        return self._retry.due_in_s()

    @property
    def may_try(self) -> bool:
        """Whether a flush should wait: a try is due, and none is stalled."""
        return not self.stalled and self.wait_s(forced=False) == 0

    @property
    def failing(self) -> bool:
        """Whether the last try failed; the log has a line about it."""
        return self.health not in (Health.OK, Health.IDLE)

    def succeeded(self) -> None:
        """Record that the server took a request."""
        self.stalled = False
        if self.failing:
            logger.info("delivery to %s works again; the kept items are being sent", self._target)
        self.health = Health.OK
        self._retry = None
        if self._folder is not None:
            # Each time, because another process may have noted it.
            self._folder.forget_failure()

    def failed(self, error: ApiError, *, after_success: bool = False) -> float:
        """Record that nothing can be sent now; return the seconds until the next try.

        Args:
            after_success: Something was delivered just before, so the server is not down: the waits
                begin again.
        """
        self.stalled = False
        before, self.health = self.health, _health_of(error)
        self.last_error = str(error)
        # Items in memory wait for no other process.
        spool = self._spool()
        if self._folder is not None and spool is not None:
            self._folder.note_failure(self.last_error, self._clock.wall_ns())
        asked_s = error.retry_after_s or 0.0
        self._asked_until_ns = self._clock.monotonic_ns() + int(asked_s * NS_PER_S)
        if self.health is not before:
            logger.warning(
                "nothing can be delivered to %s: %s. Your program is not affected; its "
                "records are kept in %s within its limits, and remit tries again automatically%s",
                self._target,
                error,
                spool or "memory",
                f". If items are left when this process ends, {self.how_to_send}" if spool else "",
            )
        # A wrong token or URL stays wrong, whatever else was answered.
        restart = self.health is not before or (after_success and self.health is Health.FAILING)
        if self._retry is None or restart:
            self._retry = Retry(self._clock, self.waits(self.health))
        return self._retry.postpone(asked_s)

    @property
    def how_to_send(self) -> str:
        """How the items that a process leaves on disk are sent later, for a log line.

        The corrected token or URL differs from the one that the items were recorded for.
        """
        if self.health is Health.UNAUTHORIZED:
            return "`remit spool send --all` sends them when that is corrected"
        other_url = f"`remit spool send --from {self._target}`"
        if self.health is Health.WRONG_SERVER:
            return f"{other_url} sends them when that is corrected"
        command = "`remit spool send`"
        if self.health is not Health.OK and "://" in self._target:
            command += f" (after a change of the api_url, {other_url})"
        return f"the next process that records to this server sends them, or {command}"

    def report(self, topic: str, message: str) -> None:
        """Set *message* as the last error; log the first message of each *topic*."""
        self.last_error = message
        if topic not in self._logged and len(self._logged) < MAX_TOPICS:
            self._logged.add(topic)
            logger.warning("%s", message)


def _health_of(error: ApiError) -> Health:
    if isinstance(error, UnauthorizedError):
        return Health.UNAUTHORIZED
    return Health.WRONG_SERVER if isinstance(error, ContractError) else Health.FAILING


def without_credentials(target: str) -> str:
    """Return *target* without user, password and query if it is a URL, else unchanged."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return "an unreadable URL"
    if not parts.netloc:
        return target
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
