"""How long one request may spend on comparisons with schemas and on summaries."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from time import thread_time
from typing import Final

HEAVY_S: Final = 0.1
"""So long may all slow comparisons and all summaries take together."""
COMPILES_S: Final = 0.2
"""So long may compiling schemas take; one takes 0.2 to 5 ms, with large patterns up to 80."""


class Budget:
    """What one request may still do."""

    __slots__ = ("_compiles_left_s", "_left_s")

    def __init__(
        self,
        *,
        heavy_s: float = HEAVY_S,
        compiles_s: float = COMPILES_S,
    ) -> None:
        """Allow as much as one request may take.

        Args:
            heavy_s: For slow comparisons and summaries, in seconds.
            compiles_s: For compiling schemas, in seconds.
        """
        self._left_s = heavy_s
        self._compiles_left_s = compiles_s

    @property
    def spent(self) -> bool:
        """Whether there is nothing left."""
        return self._left_s <= 0

    def spend(self, seconds: float) -> None:
        """Take something off."""
        self._left_s -= seconds

    @property
    def may_compile(self) -> bool:
        """Whether another schema may be compiled."""
        return self._compiles_left_s > 0

    def compiled(self, seconds: float) -> None:
        """Take off what compiling a schema took."""
        self._compiles_left_s -= seconds

    @contextmanager
    def charged(self) -> Generator[None]:
        """Subtract the time that the block takes."""
        begin = thread_time()
        try:
            yield
        finally:
            self.spend(thread_time() - begin)
