"""The agent in whose runs the steps of tests are called."""

from __future__ import annotations

import remit


@remit.agent
def agent() -> None:
    """Hold the runs of a test."""
