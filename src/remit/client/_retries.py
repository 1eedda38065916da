"""The retry policy of both clients."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import islice

from remit._base.clock import Deadline
from remit.errors import UnavailableError


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
