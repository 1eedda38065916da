"""The pytest plugin: tests record into memory, and never send by accident.

Loaded by its entry point. Unless `REMIT_MODE` is set, the session runs in mode `off`: a token in
the environment of a developer or of CI never sends test runs to production. A test that wants to
send says so by `remit.configure(mode=...)` or the variable.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from remit.testing._isolated import isolated
from remit.testing._recording import RecordingSink


def pytest_configure() -> None:
    """Switch remit off for the session, unless the environment says what to do."""
    os.environ.setdefault("REMIT_MODE", "off")


@pytest.fixture
def remit_recorder() -> Iterator[RecordingSink]:
    """Record into memory what the test's agents do: `.runs`, `.spans(name)`, `.tree()`.

    The test has its own runtime and its own copy of the registry.
    """
    with isolated() as recorder:
        yield recorder
