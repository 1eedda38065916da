"""The time that one request may spend on compiling, on slow comparisons and on summaries."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from time import thread_time
from typing import Final

MAX_S: Final = 0.2
"""A schema takes 0.2 to 5 ms to compile, with large patterns up to 80; a usual summary 0.02 ms."""


class Budget:
    """The remaining time of one request; quick comparisons are not counted."""

    __slots__ = ("_left_s",)

    def __init__(self, seconds: float = MAX_S) -> None:
        """Allow *seconds* of the thread's CPU time."""
        self._left_s = seconds

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self._left_s <= 0

    @contextmanager
    def charged(self) -> Generator[None]:
        """Subtract the time that the block takes."""
        begin = thread_time()
        try:
            yield
        finally:
            self._left_s -= thread_time() - begin
