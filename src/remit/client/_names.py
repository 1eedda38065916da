"""Looking up host names within a deadline, which the system's resolver does not know.

`getaddrinfo` takes no timeout and cannot be interrupted: with a resolver that is gone it holds its
thread for half a minute or for ever. So it has a thread of its own, and who asks waits as long as
there is time.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias

from remit._guard import attempt

Address: TypeAlias = str
"""An IP address as text."""
Resolve: TypeAlias = Callable[[str, int], list[Address]]
"""Returns the addresses of a host, for connections to a port."""

THREAD: Final = "remit-names"
# A resolver that takes longer than a request may is of use to the next request.
FRESH_S: Final = 60.0


class NameLookUpError(Exception):
    """A host name did not become addresses.

    Attributes:
        hangs: There was no answer within the time; else the answer was that it is not known.
    """

    def __init__(self, host: str, *, hangs: bool) -> None:
        """Tell which *host*, and whether its look-up *hangs*."""
        super().__init__(f"the look-up of {host} hangs" if hangs else f"{host} is not known")
        self.hangs = hangs


def resolve(host: str, port: int) -> list[Address]:
    """Return what the system's resolver answers, once each.

    Raises:
        OSError: It knows no such name.
        UnicodeError: It is no name.
    """
    import socket  # noqa: PLC0415 - 6 ms with what it loads, and httpx has loaded it

    found: dict[Address, None] = {}
    for _, _, _, _, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        address, scope = str(place[0]), place[3] if len(place) > 3 else 0  # noqa: PLR2004 - IPv6
        found[f"{address}%{scope}" if scope else address] = None
    return list(found)


@dataclass(slots=True)
class LookUp:
    """One question to the resolver.

    Attributes:
        ended: Set when there is an answer.
        answer: The addresses, or the error.
        ended_s: When the answer came, by the monotonic clock.
    """

    ended: threading.Event = field(default_factory=threading.Event)
    answer: list[Address] | Exception | None = None
    ended_s: float = 0.0

    def make(self, resolve: Resolve, host: str, port: int) -> None:
        """Ask, and keep what is answered."""
        self.answer = attempt(lambda: resolve(host, port))
        self.ended_s = time.monotonic()
        self.ended.set()

    def older_than(self, age_s: float) -> bool:
        """Tell whether its answer came longer than *age_s* ago."""
        return self.ended.is_set() and time.monotonic() - self.ended_s > age_s


class Names:
    """Looks up names. While a name's look-up hangs, whoever asks for it again waits for the same.

    However often it is tried, as many threads hang as there were callers at one time.
    """

    def __init__(self, resolve: Resolve = resolve, *, fresh_s: float = FRESH_S) -> None:
        """Begin with nothing asked.

        Args:
            resolve: Asks, for as long as that takes.
            fresh_s: Seconds for which an answer is good that came when nobody waited any more.
        """
        self._resolve = resolve
        self._fresh_s = fresh_s
        self._left: defaultdict[tuple[str, int], list[LookUp]] = defaultdict(list)

    def addresses(self, host: str, port: int, timeout_s: float | None) -> list[Address]:
        """Return the addresses of *host*, the best first.

        Raises:
            NameLookUpError: There are none, or no answer within *timeout_s*.
        """
        made = self._left_over(host, port) or self._asked(host, port)
        if not made.ended.wait(timeout_s):
            self._left[host, port].append(made)
            raise NameLookUpError(host, hangs=True)
        if isinstance(made.answer, list) and made.answer:
            return made.answer
        raise NameLookUpError(host, hangs=False)

    def _left_over(self, host: str, port: int) -> LookUp | None:
        """Return a look-up that an earlier caller did not wait for; whoever takes it has it."""
        left = self._left[host, port]
        with suppress(IndexError):
            while (made := left.pop()).older_than(self._fresh_s):
                pass
            return made
        return None

    def _asked(self, host: str, port: int) -> LookUp:
        made = LookUp()
        ask = partial(made.make, self._resolve, host, port)
        thread = threading.Thread(target=ask, name=THREAD, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # No thread starts while the interpreter exits: better without a bound than not at all.
            ask()
        return made


def is_address(host: str) -> bool:
    """Tell whether *host* is an address already: nobody has to be asked for it."""
    return ":" in host or host.replace(".", "").isdigit()
