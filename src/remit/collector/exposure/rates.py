"""Rate limits, as token buckets: requests of a token, and wrong tokens from an address."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from remit._base.clock import NS_PER_S, Clock
from remit.collector.refusals import RequestError
from remit.collector.routes import secret_in
from remit.collector.settings import Settings

BURST_S: Final = 2.0
"""What a token did not ask in so many seconds it may ask at once."""
MAX_BUCKETS: Final = 10_000
"""So many are remembered; the one that was not used for longest is forgotten first."""
MINUTE_S: Final = 60.0


class Buckets:
    """Buckets that fill at one rate, each from full at its first use."""

    def __init__(self, per_s: float, size: float, clock: Clock) -> None:
        """Begin with none.

        Args:
            per_s: What flows into each in a second; 0 turns the limit off.
            size: What each holds at most.
            clock: Tells how much flowed in.
        """
        self._per_s = per_s
        self._size = max(1.0, size)
        self._clock = clock
        self._levels: OrderedDict[bytes, tuple[float, int]] = OrderedDict()

    def wait_s(self, key: bytes, count: int = 1) -> float:
        """Return the seconds until *count* can be taken, 0 if they can be now."""
        if not self._per_s:
            return 0.0
        return max(0.0, (count - self._level(key)) / self._per_s)

    def take(self, key: bytes) -> None:
        """Take one from a bucket."""
        if not self._per_s:
            return
        level = max(0.0, self._level(key) - 1.0)
        self._levels[key] = (level, self._clock.monotonic_ns())
        self._levels.move_to_end(key)
        if len(self._levels) > MAX_BUCKETS:
            self._levels.popitem(last=False)

    def _level(self, key: bytes) -> float:
        known = self._levels.get(key)
        if known is None:
            return self._size
        level, at_ns = known
        passed_s = (self._clock.monotonic_ns() - at_ns) / NS_PER_S
        return min(self._size, level + passed_s * self._per_s)


class Rates:
    """The two limits of a collector."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Begin with nothing asked."""
        a_second = settings.max_requests_per_s
        a_minute = settings.max_failures_per_minute
        self._requests = Buckets(a_second, a_second * BURST_S, clock)
        self._failures = Buckets(a_minute / MINUTE_S, a_minute, clock)
        self._good: OrderedDict[bytes, None] = OrderedDict()
        # By address, the tokens of which it is being found out whether they are good.
        self._tried: dict[bytes, Counter[bytes]] = {}

    def admit(self, address: str, authorization: str) -> None:
        """Count a request.

        Args:
            address: Where it comes from.
            authorization: Its header; only a hash of it is kept.

        Raises:
            RequestError: 429, it comes too soon.
        """
        key, place = _key(authorization), address.encode()
        # Each of them may turn out to be a wrong one.
        tried = self._tried.get(place, Counter())
        others = len(tried) - (key in tried)
        wait_s = 0.0 if key in self._good else self._failures.wait_s(place, others + 1)
        if wait_s > 0:
            raise _too_often("too many refused tokens from this address", wait_s)
        wait_s = self._requests.wait_s(key)
        if wait_s > 0:
            raise _too_often("too many requests with this token", wait_s)
        if key in self._good:
            self._requests.take(key)

    @contextmanager
    def trial(self, address: str, authorization: str) -> Generator[None]:
        """Return a block in which an admitted request is answered.

        Several requests are carried out at once: with those that are, too, an address may try no
        more tokens than it may have refused.
        """
        key, place = _key(authorization), address.encode()
        if key in self._good:
            yield
            return
        tried = self._tried.setdefault(place, Counter())
        tried[key] += 1
        try:
            yield
        finally:
            tried[key] -= 1
            if not tried[key]:
                del tried[key]
            if not tried:
                del self._tried[place]

    def passed(self, authorization: str) -> None:
        """Note that a token is good: nobody's wrong ones keep it out from now on."""
        key = _key(authorization)
        self._good[key] = None
        self._good.move_to_end(key)
        if len(self._good) > MAX_BUCKETS:
            self._good.popitem(last=False)

    def failed(self, address: str, authorization: str) -> None:
        """Count a request whose token was refused."""
        self._good.pop(_key(authorization), None)
        self._failures.take(address.encode())


def _key(authorization: str) -> bytes:
    """Return what stands for a token, whichever of the ways to write its header was taken."""
    said = secret_in(authorization) or authorization
    return hashlib.sha256(said.encode("utf-8", "surrogateescape")).digest()


def _too_often(message: str, wait_s: float) -> RequestError:
    return RequestError(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too_many_requests",
        f"{message}: try again later",
        headers={"Retry-After": str(math.ceil(wait_s))},
    )
