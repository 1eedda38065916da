"""A process that has configured nothing and runs no tests: what `configure()` says counts."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import remit
from remit.config import Settings
from tests.inside import setup


@contextmanager
def unconfigured() -> Generator[None]:
    """Give a block such a process; faults inside remit raise."""
    with setup.isolated(Settings(mode="off")):
        remit.shutdown()
        yield
        remit.shutdown(0)
