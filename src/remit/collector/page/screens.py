"""The table of the pages: method, path, handler."""

from __future__ import annotations

from typing import Final

from remit.collector.page import home, run_csv, runs, runs_new
from remit.collector.page.visits import Handler

SCREENS: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("GET", "/", home.home),
    ("GET", "/runs", runs.runs),
    ("POST", "/runs", runs.choose),
    ("GET", "/runs/new", runs_new.new_runs),
    ("GET", "/runs.csv", run_csv.table),
)
"""Pages, forms and data: anything that needs a session."""
