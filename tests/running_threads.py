"""Which of remit's threads a test has started."""

from __future__ import annotations

import threading
from typing import Final
from weakref import WeakSet

threads_before: Final[WeakSet[threading.Thread]] = WeakSet()
"""The threads that ran when the test began."""


def threads() -> set[str]:
    """Return the names of remit's threads that were started in this test and run."""
    return {
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith("remit-") and thread not in threads_before
    }
