"""The retry policy of both clients."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import islice
from typing import Final

from remit._base.clock import Deadline
from remit.errors import SettingsError, UnavailableError

# Target of a client with a transport and without a URL: RFC 2606 reserves the name.
NOWHERE: Final = "http://remit.invalid"


def url_for(api_url: str | None, transport: object | None) -> str:
    """Return *api_url*, which only a client with a *transport* may leave out.

    Raises:
        SettingsError: There is neither.
    """
    if api_url is not None:
        return api_url
    if transport is None:
        raise SettingsError("api_url is missing; expected https://host[:port] of a Prefactor API")
    return NOWHERE


class Policy:
    """Time limit and number of retries of one call.

    Attributes:
        timeout_s: Seconds for one call, including retries and the waits between them.
        max_retries: Retries after the first try.
    """

    def __init__(self, timeout_s: float, max_retries: int) -> None:
        """Check both.

        Raises:
            SettingsError: A value is out of range.
        """
        if not timeout_s > 0:
            raise SettingsError(f"timeout_s is {timeout_s}; expected seconds above 0")
        if max_retries < 0:
            raise SettingsError(f"max_retries is {max_retries}; expected 0 or more")
        self.timeout_s: Final = timeout_s
        self.max_retries: Final = max_retries


def tries(
    deadline: Deadline, max_retries: int, waits: Iterator[float]
) -> Generator[float, UnavailableError, None]:
    """Yield the seconds to wait before each try, and be sent the error of a try that failed.

    Only `UnavailableError` is retried. Every request that changes something carries an idempotency
    key, so a repetition is safe.

    Args:
        deadline: Deadline of the whole call; a wait that would exceed it is not begun.
        max_retries: Retries after the first try.
        waits: Seconds before each retry, unless the server asked for others.

    Yields:
        Seconds to wait, 0 before the first try.

    Raises:
        UnavailableError: The last one that was sent, if there is no further try.
    """
    error = yield 0.0
    for wait_s in islice(waits, max_retries):
        asked_s = wait_s if error.retry_after_s is None else error.retry_after_s
        if asked_s >= deadline.remaining_s():
            raise error
        error = yield asked_s
    raise error
