"""A runtime for one test: in memory, independent of the environment."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from remit import config
from remit._base.clock import Clock
from remit._runtime import setup
from remit.testing._recording import RecordingSink


@contextmanager
def isolated(*, clock: Clock | None = None, **settings: object) -> Generator[RecordingSink]:
    """Record into memory within this block: no thread, no file, no socket, no environment.

    What is declared in the block is forgotten after it, and a fault inside remit raises, so that
    a test sees it. `remit.configure()` in the block changes settings, but neither the sink nor the
    mode.

    Args:
        clock: The time, for instance a `FakeClock`.
        **settings: Settings by name, as for `remit.configure`; the environment is not read.

    Yields:
        The sink: `.runs`, `.spans(name)`, `.tree()`.

    Raises:
        SettingsError: A setting is unknown or its value is not allowed.
    """
    sink = RecordingSink()
    with setup.isolated(config.from_overrides(settings), sink=sink, clock=clock):
        yield sink
