"""The table of the pages: method, path, handler."""

from __future__ import annotations

from typing import Final

from remit.collector.page import home, outline, run_dev
from remit.collector.page.visits import Handler

SCREENS: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("GET", "/", home.home),
    ("GET", "/runs", home.runs),
    ("GET", "/runs/{id}/outline", outline.outline),
    ("GET", "/runs/{id}/find", outline.find),
    ("GET", "/live", outline.live),
    ("GET", "/runs/{id}", run_dev.run),
    ("GET", "/runs/{id}/spans/{span}/part", run_dev.part),
)
"""Pages, forms and data: anything that needs a session."""
