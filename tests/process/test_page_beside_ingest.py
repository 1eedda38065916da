"""How long a bulk of spans takes while three tabs of the page read."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks import collector
from benchmarks.storage import beside
from tests.serving import serving, token_of

BULKS: Final = 100
MOST: Final = 4.0
"""Twice the budget, which is twice the time without readers: machines of CI are shared."""
LEAST_MS: Final = 20.0
"""A pause of the machine, below which a ratio says nothing."""
TRIES: Final = 3
"""One of so many must be within it."""


def test_three_tabs_hold_up_no_bulk_for_long(tmp_path: Path) -> None:
    """One shows the list, one opens a run of 50,000 steps, one looks at what changes."""
    db = tmp_path / "remit.db"
    token = token_of(db)
    with serving(db) as served, served.client(token) as http:
        target = beside.Target(served.url, token)
        agent = http.post("/api/v1/agent", json={"details": {"name": "Desk"}}).json()
        environments = http.get("/api/v1/environment").json()["summaries"]
        place = {"agent_id": agent["details"]["id"], "environment_id": environments[0]["id"]}
        tabs = beside.tabs(http, target, place)
        beside.write(target, collector.bodies(http, collector.WARM_BULKS, place))
        measured: list[tuple[float, float]] = []
        for _ in range(TRIES):
            alone, read = (
                beside.beside(target, collector.bodies(http, BULKS, place), readers)
                for readers in ((), tabs)
            )
            assert read["reads"] > len(tabs)
            measured.append((alone["p95_ms"], read["p95_ms"]))
            if read["p95_ms"] <= max(MOST * alone["p95_ms"], LEAST_MS):
                return
    raise AssertionError(measured)
