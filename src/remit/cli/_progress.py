"""A progress bar on standard error for operations of more than a second."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Final

import click

from remit._base.clock import NS_PER_S, Clock, SystemClock

SHOWN_AFTER_NS: Final = NS_PER_S
"""Shorter operations need no bar."""


class Progress:
    """Counts completed items, and shows them after a second on a terminal."""

    def __init__(self, label: str, total: int, clock: Clock, stack: ExitStack) -> None:
        self.done = 0
        self._label = label
        self._total = total
        self._clock = clock
        self._begun_ns = clock.monotonic_ns()
        self._stack = stack
        self._show: Callable[[int], None] | None = None

    def add(self, count: int) -> None:
        self.done += count
        if self._show is not None:
            self._show(count)
        elif self._clock.monotonic_ns() - self._begun_ns > SHOWN_AFTER_NS and sys.stderr.isatty():
            bar = click.progressbar(length=self._total, label=self._label, file=sys.stderr)
            self._show = self._stack.enter_context(bar).update
            self._show(self.done)


@contextmanager
def progress(label: str, total: int, clock: Clock | None = None) -> Generator[Progress]:
    with ExitStack() as stack:
        yield Progress(label, total, clock or SystemClock(), stack)
