"""The rate limit of a token, which is off by default."""

from __future__ import annotations

import hashlib
import math
from http import HTTPStatus
from typing import Final

from remit._base.clock import NS_PER_S, Clock
from remit.collector.errors import RequestError
from remit.collector.settings import Settings

BURST_S: Final = 2
"""A token may send the requests of so many seconds at once."""
MAX_TOKENS: Final = 10_000
"""Number of tokens in memory; the least recently used one is dropped first."""


class Rates:
    """Limits the requests a second with one token, by the generic cell rate algorithm."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Allow each token `settings.max_requests_per_s`; 0 is no limit."""
        self._per_s = settings.max_requests_per_s
        self._clock = clock
        self._full_at_ns: dict[bytes, int] = {}
        """When the allowance of a token is complete again, by the token's hash."""

    def refusal(self, authorization: str) -> RequestError | None:
        """Take one request from the allowance of the token in an `Authorization` header.

        Returns:
            429 if the allowance is used up, else None.
        """
        if not self._per_s:
            return None
        # Without the scheme and the spaces around it, which a client may vary.
        secret = authorization.split()[-1:]
        token = hashlib.sha256("".join(secret).encode("utf-8", "surrogateescape")).digest()
        interval_ns = NS_PER_S // self._per_s
        now_ns = self._clock.monotonic_ns()
        # Inserted again, so that the order is that of the last use.
        full_at_ns = max(self._full_at_ns.pop(token, now_ns), now_ns)
        wait_ns = full_at_ns + interval_ns - now_ns - BURST_S * NS_PER_S
        self._full_at_ns[token] = full_at_ns + (interval_ns if wait_ns <= 0 else 0)
        if len(self._full_at_ns) > MAX_TOKENS:
            del self._full_at_ns[next(iter(self._full_at_ns))]
        if wait_ns <= 0:
            return None
        return RequestError(
            HTTPStatus.TOO_MANY_REQUESTS,
            "too_many_requests",
            f"more than {self._per_s} requests a second with this token: try again later",
            headers={"Retry-After": str(math.ceil(wait_ns / NS_PER_S))},
        )
