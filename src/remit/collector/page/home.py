"""The start of the page."""

from __future__ import annotations

from remit.collector.page.visits import Answer, Redirect, Visit


def home(visit: Visit) -> Answer:
    """Redirect to the runs."""
    del visit
    return Redirect("/runs")
