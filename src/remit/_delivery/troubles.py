"""What has to be tried again: growing waits, and no more than so many tries."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from remit._backoff import delays
from remit._clock import NS_PER_S, Clock
from remit._delivery.reactions import MAX_TRIES

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class _Trouble:
    waits: Iterator[float] = field(default_factory=delays)
    tries: int = 0
    due_ns: int = 0


class Troubles(Generic[K]):
    """Things that did not work and may work later, each by its key."""

    def __init__(self, clock: Clock) -> None:
        """Begin with none."""
        self._clock = clock
        self._found: dict[K, _Trouble] = {}

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._found)

    def __contains__(self, key: K) -> bool:
        """Tell whether *key* did not work the last time."""
        return key in self._found

    def again(self, key: K) -> bool:
        """Take note that *key* did not work; tell whether it is to be tried once more."""
        trouble = self._found.setdefault(key, _Trouble())
        trouble.tries += 1
        if trouble.tries >= MAX_TRIES:
            del self._found[key]
            return False
        trouble.due_ns = self._clock.monotonic_ns() + int(next(trouble.waits) * NS_PER_S)
        return True

    def waits(self, key: K) -> bool:
        """Tell whether it is too early for the next try."""
        trouble = self._found.get(key)
        return trouble is not None and trouble.due_ns > self._clock.monotonic_ns()

    def over(self, key: K) -> None:
        """Take note that *key* worked, or is not tried any more."""
        self._found.pop(key, None)

    def keep(self, keys: Collection[K]) -> None:
        """Forget all but *keys*: the others wait no longer."""
        for key in self._found.keys() - set(keys):
            del self._found[key]

    def wait_s(self) -> float | None:
        """Return the seconds until the next try is due; `None` if there is none to come."""
        if not self._found:
            return None
        due_ns = min(trouble.due_ns for trouble in self._found.values())
        return max(0.0, (due_ns - self._clock.monotonic_ns()) / NS_PER_S)
