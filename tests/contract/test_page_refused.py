"""The list of what was refused, as a table for a spreadsheet."""

from __future__ import annotations

import csv
import io

import pytest

from remit.collector import Store
from tests.collecting import World
from tests.inside import httpx
from tests.signing_in import signed_in


@pytest.fixture
def http(store: Store) -> httpx.Client:
    """Return somebody who is signed in."""
    return signed_in(store)


def _rows(http: httpx.Client) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(http.get("/refused.csv?kind=terminated&from=all").text)))


def test_the_table_goes_on_after_the_first_page(
    world: World, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says so where it ends."""
    api = world.account()
    runs = {api.instance("terminated")["id"] for _ in range(103)}
    assert {row["run"] for row in _rows(http)} == runs
    monkeypatch.setattr("remit.collector.page.refused.MOST_LINES", 102)
    *rows, last = _rows(http)
    assert len(rows) == 102
    assert last["what"].startswith("only the newest 102 are here")
