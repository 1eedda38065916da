"""The start of the page."""

from __future__ import annotations

from remit.collector.page.visits import Answer, Page, Redirect, Visit


def home(visit: Visit) -> Answer:
    """Lead to the runs."""
    del visit
    return Redirect("/runs")


def runs(visit: Visit) -> Answer:
    """Show the newest runs."""
    answer = visit.api.get("/api/remit/v1/runs", limit="100")
    return Page("runs.html", {"runs": answer["runs"]})
