"""A minimal page of a run."""

from __future__ import annotations

from remit.collector.page.visits import Answer, Page, Visit


def run(visit: Visit) -> Answer:
    """Show a run."""
    answer = visit.api.get(f"/api/v1/agent_instance/{visit.named['id']}")
    return Page("run_dev.html", {"run": answer["details"]})


def part(visit: Visit) -> Answer:
    """Show a step."""
    return Page("run_dev_part.html", {"span": visit.named["span"]})
