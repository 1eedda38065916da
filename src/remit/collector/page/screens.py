"""The table of the pages: method, path, handler."""

from __future__ import annotations

from typing import Final

from remit.collector.page import agent, agents, home, versions
from remit.collector.page.visits import Handler

SCREENS: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("GET", "/", home.home),
    ("GET", "/runs", home.runs),
    ("GET", "/agents", agents.agents),
    ("GET", "/agents/{id}", agent.agent),
    ("GET", "/agents/{id}/versions.json", versions.both),
)
"""Pages, forms and data: anything that needs a session."""
