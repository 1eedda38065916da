"""The pytest plugin: tests record into memory, and never send by accident.

Loaded by its entry point. In a test session remit records only where a test asks for it, into
memory. `remit.configure()` by the code under test changes neither that nor the mode: credentials of
a developer or of CI never send test runs to production, and nothing is written to the data folder.
Only `remit.configure(transport=...)` delivers. None of this applies to a process that a test starts
in another way than by a fork.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from remit._runtime import setup
from remit.testing._recording import RecordingSink, isolated


def pytest_configure() -> None:
    """Switch recording off for the session."""
    setup.stay_quiet()


@pytest.fixture
def remit_recorder() -> Iterator[RecordingSink]:
    """A pytest fixture that records a test's runs in memory and returns a `RecordingSink`.

    The test uses its own runtime and its own copy of the declarations. The settings of an earlier
    `remit.configure()` apply, except for the target and the mode.
    """
    with isolated() as recorder:
        yield recorder
