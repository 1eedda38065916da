"""The table of the pages: method, path, handler."""

from __future__ import annotations

from typing import Final

from remit.collector.page import compare, help_page, home, reading
from remit.collector.page.visits import Handler

SCREENS: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("GET", "/", home.home),
    ("GET", "/runs", home.runs),
    ("GET", "/runs/compare", compare.compare),  # before the run with this id
    ("GET", "/runs/{id}/spans/{span}/read", reading.read),
    ("GET", "/help", help_page.show_help),
)
"""Pages, forms and data: anything that needs a session."""
