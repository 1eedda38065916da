"""The answers of every endpoint, on both stores, as the files in tests/data/golden have them.

`REMIT_TEST_GOLDEN=write pytest tests/contract/test_golden_answers.py` writes the files after an
intended change; review the difference like code.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from remit.collector import Settings, Store
from remit.testing import FakeClock
from tests.collecting import Api, Json
from tests.golden import PREFIX, Recorder, record, written
from tests.golden_calls import (
    COLUMNS,
    DOCUMENTS,
    FULL,
    LIMITED,
    NEVER_DONE,
    ROWS,
    THINGS,
    as_column,
)
from tests.stores import on_each_store

FOLDER: Final = Path(__file__).parents[1] / "data" / "golden"
WRITES: Final = os.environ.get("REMIT_TEST_GOLDEN") == "write"
LIMITS: Final = Settings(
    max_body_bytes=4096, max_body_values=200, max_bulk_items=3, max_answer_bytes=2000, max_depth=8
)


def check(name: str, value: Json) -> None:
    """Compare *value* with a golden file, which is written first if that was requested."""
    path = FOLDER / f"{name}.json"
    if WRITES:
        path.write_text(written(value))
    assert value == json.loads(path.read_text())


@on_each_store
@pytest.mark.parametrize("name", FULL)
def test_each_call_is_answered_as_recorded(name: str, store: Store, clock: FakeClock) -> None:
    """A file has the calls of one script, in order, with status, headers and body."""
    recorder = Recorder(store, clock, LIMITS if name in LIMITED else None)
    before, calls = FULL[name]
    record(recorder, before)
    check(name, record(recorder, calls))


@on_each_store
@pytest.mark.parametrize("column", COLUMNS)
def test_each_token_is_answered_as_recorded(column: str, store: Store, clock: FakeClock) -> None:
    """A file has the answer of every endpoint to one kind of token, about another's things."""
    recorder = Recorder(store, clock)
    record(recorder, THINGS)
    calls = as_column(ROWS, COLUMNS[column])
    check(f"token_{column}", {call.request: recorder.brief(call) for call in calls})


def test_no_endpoint_is_missing(api: Api) -> None:
    """The files have a success of every endpoint, but of those that a collector always refuses."""
    paths = api.get("/openapi").json()["paths"]
    served = sorted(
        f"{method.upper()} {path.removeprefix(PREFIX)}"
        for path, methods in paths.items()
        for method in methods
    )
    check("endpoints", served)
    done = {
        endpoint
        for name in FULL
        for entry in json.loads((FOLDER / f"{name}.json").read_text())
        if entry["response"]["status"] == 200
        and (endpoint := endpoint_of(entry["request"]["line"], served))
    }
    assert sorted({*served} - done) == sorted({*NEVER_DONE, *DOCUMENTS})


def endpoint_of(line: str, endpoints: Sequence[str]) -> str | None:
    """Return the endpoint that a request is for; one without an id in its path goes first."""
    target = line.partition("?")[0]
    for endpoint in sorted(endpoints, key=lambda endpoint: "{id}" in endpoint):
        if re.fullmatch(re.escape(endpoint).replace(r"\{id\}", "[^/]+"), target):
            return endpoint
    return None
