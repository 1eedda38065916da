"""How delivery fares: the circuit with its growing waits, and one log line for each change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from remit._backoff import delays
from remit._clock import NS_PER_S, Clock
from remit._guard import logger
from remit._results import Health
from remit.errors import ApiError, ContractError, UnauthorizedError

# A server that is down may be back at once; a wrong token or URL takes a person to mend.
FIRST_WAIT_S: Final = 0.5
# Of a first wait, where something was delivered just before: the server fails now and then.
FRESH_PART: Final = 1 / 5
MAX_WAIT_S: Final = 30.0
FIRST_WAIT_FOR_PEOPLE_S: Final = 5.0
MAX_WAIT_FOR_PEOPLE_S: Final = 300.0
# What is said once is remembered; more different complaints than this are one.
MAX_TOPICS: Final = 100


def waits(health: Health) -> Iterator[float]:
    """Yield the seconds to wait before each next try, growing, jittered."""
    if health is Health.FAILING:
        return delays(first_s=FIRST_WAIT_S, max_s=MAX_WAIT_S)
    return delays(first_s=FIRST_WAIT_FOR_PEOPLE_S, max_s=MAX_WAIT_FOR_PEOPLE_S)


class Pulse:
    """The health of delivery to one target, and when it may be tried again.

    Attributes:
        health: How delivery fares.
        last_error: The last thing that went wrong, in words.
        silent: A flush has waited in vain for the end of a try that is not over yet.
    """

    def __init__(
        self,
        target: str,
        clock: Clock,
        waits: Callable[[Health], Iterator[float]] = waits,
    ) -> None:
        """Begin idle, ready to try.

        Args:
            target: Where to, without credentials, for log lines.
            clock: The time.
            waits: Returns the waits for a kind of trouble; tests hand in sure ones.
        """
        self.health = Health.IDLE
        self.last_error: str | None = None
        self.silent = False
        self._target = target
        self._clock = clock
        self._waits = waits
        self._waiting: Iterator[float] | None = None
        self._next_ns = clock.monotonic_ns()
        self._bidden = False
        self._said: set[str] = set()

    def wait_s(self, *, urged: bool) -> float:
        """Return the seconds until the next try; *urged* skips our own waits, not the server's."""
        if urged and not self._bidden:
            return 0.0
        return max(0.0, (self._next_ns - self._clock.monotonic_ns()) / NS_PER_S)

    @property
    def promising(self) -> bool:
        """Whether a flush may be worth its wait: a try is due, and none is under way in vain."""
        return not self.silent and self.wait_s(urged=False) == 0

    def succeeded(self) -> None:
        """Take note that the server took what was sent."""
        self.silent = False
        if self.health not in (Health.OK, Health.IDLE):
            logger.info("delivery to %s works again; what was kept is being sent", self._target)
        self.health = Health.OK
        self._waiting = None
        self._bidden = False
        # A flush may have tried before its time; the rest need not wait for that.
        self._next_ns = self._clock.monotonic_ns()

    def failed(self, error: ApiError, *, afresh: bool = False) -> float:
        """Take note that nothing can be sent now; return the seconds until the next try.

        Args:
            error: What went wrong.
            afresh: Something was delivered just before: the server is not down, and the waits begin
                anew, with a short one.
        """
        self.silent = False
        health = _health_of(error)
        # What takes a person to mend is as it was, whatever else was answered.
        afresh = afresh and health is Health.FAILING
        if afresh or health is not self.health:
            self._waiting = None
        changed, self.health = health is not self.health, health
        if changed:
            logger.warning(
                "nothing can be delivered to %s: %s. Your program is not affected; what it "
                "records is kept within its bounds, and remit tries again by itself%s",
                self._target,
                error,
                f". After it is corrected, {self.command} sends what ended processes left"
                if health is not Health.FAILING
                else "",
            )
        self.last_error = str(error)
        self._waiting = self._waiting or self._waits(health)
        wait_s = next(self._waiting) * (FRESH_PART if afresh else 1)
        self._bidden = error.retry_after_s is not None
        if error.retry_after_s is not None:
            wait_s = error.retry_after_s
        self._next_ns = self._clock.monotonic_ns() + int(wait_s * NS_PER_S)
        return wait_s

    @property
    def command(self) -> str:
        """The command that sends what ended processes left, after the problem is corrected.

        The corrected token or URL differs from the one that the items were recorded for.
        """
        if self.health is Health.UNAUTHORIZED:
            return "`remit spool send --all`"
        other_url = f"`remit spool send --from {self._target}`"
        if self.health is Health.WRONG_SERVER:
            return other_url
        if self.health is not Health.OK and "://" in self._target:
            return f"`remit spool send` (after a change of the api_url, {other_url})"
        return "`remit spool send`"

    @property
    def remedy(self) -> str:
        """What sends the items that a process leaves on disk, for a log line."""
        if self.health in (Health.UNAUTHORIZED, Health.WRONG_SERVER):
            return f"{self.command} sends them once that is mended"
        return f"the next process that records to there sends them, or {self.command}"

    def complain(self, topic: str, complaint: str) -> None:
        """Keep *complaint* as the last error, and log it if it is the first on its *topic*."""
        self.last_error = complaint
        if topic not in self._said and len(self._said) < MAX_TOPICS:
            self._said.add(topic)
            logger.warning("%s", complaint)


def _health_of(error: ApiError) -> Health:
    if isinstance(error, UnauthorizedError):
        return Health.UNAUTHORIZED
    return Health.WRONG_SERVER if isinstance(error, ContractError) else Health.FAILING


def without_credentials(target: str) -> str:
    """Return *target* without user, password and query, if it is a URL; else as it is."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return "an unreadable URL"
    if not parts.netloc:
        return target
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
