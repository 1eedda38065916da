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
from tests.golden.recorder import PREFIX, Call, Recorder, record, record_briefly, written
from tests.golden.rows import COLUMNS, DOCUMENTS, NEVER_DONE, ROWS, THINGS, as_column
from tests.golden.scripts import BRIEF, FULL, LIMITED
from tests.stores import on_each_store

FOLDER: Final = Path(__file__).parents[1] / "data" / "golden"
PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "endpoints.md"
WRITES: Final = os.environ.get("REMIT_TEST_GOLDEN") == "write"
LIMITS: Final = Settings(
    max_body_bytes=4096, max_body_values=200, max_bulk_items=3, max_response_bytes=2000, max_depth=8
)


def check(name: str, value: Json, store_kind: str = "sqlite") -> None:
    """Compare *value* with a golden file; if that was requested, SQLite's is written first."""
    path = FOLDER / f"{name}.json"
    if WRITES and store_kind == "sqlite":
        path.write_text(written(value))
    same = value == json.loads(path.read_text())
    assert same, f"{path.name} differs: write it (see the module) and read the difference"


@on_each_store
@pytest.mark.parametrize("name", FULL)
def test_each_call_is_answered_as_recorded(
    name: str, store_kind: str, store: Store, clock: FakeClock
) -> None:
    """A file has the calls of one script, in order, with status, headers and body."""
    recorder = Recorder(store, clock, LIMITS if name in LIMITED else None)
    before, calls = FULL[name]
    record(recorder, before)
    check(name, record(recorder, calls), store_kind)


@on_each_store
@pytest.mark.parametrize("name", BRIEF)
def test_each_call_is_answered_in_a_line(
    name: str, store_kind: str, store: Store, clock: FakeClock
) -> None:
    """A file has one line for each call: its name, then status, code and reason."""
    recorder = Recorder(store, clock)
    before, calls = BRIEF[name]
    record(recorder, before)
    check(name, record_briefly(recorder, calls), store_kind)


@on_each_store
@pytest.mark.parametrize("column", COLUMNS)
def test_each_token_is_answered_as_recorded(
    column: str, store_kind: str, store: Store, clock: FakeClock
) -> None:
    """A file has the answer of every endpoint to one kind of token, about another's things."""
    recorder = Recorder(store, clock)
    record(recorder, THINGS)
    answers = record_briefly(recorder, as_column(ROWS, COLUMNS[column]))
    check(f"token_{column}", answers, store_kind)


@on_each_store
def test_the_metrics_have_the_recorded_names(
    store_kind: str, store: Store, clock: FakeClock
) -> None:
    """Names, kinds and labels are recorded, no numbers."""
    recorder = Recorder(store, clock)
    record(recorder, THINGS)
    recorder.brief(Call("a refusal", "GET /nothing"))
    response = recorder.send(Call("metrics", "GET //metrics"))
    lines = response.text.splitlines()
    samples = {re.sub(r'="[^"]*"', "", line.rpartition(" ")[0]) for line in lines if line[0] != "#"}
    value = {
        "content-type": response.headers["content-type"],
        "kinds": sorted(line for line in lines if line.startswith("# TYPE")),
        "samples": sorted(samples),
    }
    check("metrics", value, store_kind)


def test_the_document_describes_what_was_recorded(api: Api) -> None:
    """Paths, parameters, bodies and statuses are recorded; the schemas have tests of their own."""
    document = api.get("/openapi").json()
    assert document == api.get("/openapi.json").json()
    described = {
        f"{method.upper()} {path}": {
            "parameters": [
                f"{parameter['in']} {parameter['name']}" for parameter in operation["parameters"]
            ],
            "body": models_in(operation.get("requestBody")),
            "answer": models_in(operation["responses"]["200"]),
            "statuses": " ".join(sorted(operation["responses"])),
            **{name: operation[name] for name in ("operationId", "summary", "tags")},
        }
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    check("document", {**described, "schemas": sorted(document["components"]["schemas"])})


def models_in(described: Json) -> list[str]:
    """Return the names of the models that a part of the document refers to."""
    return re.findall(r"#/components/schemas/(\w+)", json.dumps(described))


def test_nothing_of_another_account_is_answered() -> None:
    """What the files have of another account's token names none of the first account's things."""
    for name in ("every_read_by_another_account", "another_account"):
        for entry in json.loads((FOLDER / f"{name}.json").read_text()):
            if entry["request"].get("token") == "other":
                assert "<account 1>" not in json.dumps(entry["response"])


def test_no_file_is_left_over() -> None:
    """Each file belongs to a script."""
    names = {*FULL, *BRIEF, *(f"token_{column}" for column in COLUMNS)}
    others = {"endpoints", "document", "metrics"}
    assert {path.stem for path in FOLDER.iterdir()} == names | others


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


def test_the_documentation_says_which_token_an_endpoint_needs() -> None:
    """The column of its tables agrees with the statuses of the files, for each kind of token."""
    rows = re.findall(r"^\| `([^`]+)` \| [^|]* \| (\w+) \| ", PAGE.read_text(), re.MULTILINE)
    needs = dict(rows)
    kinds = ("none", "unknown", "", "deployment", "other_account")
    none, unknown, account, deployment, other = map(statuses_of, kinds)
    documents = {f"GET {path.partition(' ')[2]}" for path in DOCUMENTS}
    assert {name for name, token in needs.items() if token == "none"} == documents
    assert needs.keys() - documents == none.keys()
    assert {*none.values(), *unknown.values()} == {401}
    denied = {name for name, status in deployment.items() if status == 403}
    erasing = {name for name, status in account.items() if status == 403}
    assert denied - erasing == {name for name, token in needs.items() if token == "account"}
    elsewhere = {name: status for name, status in other.items() if status != account[name]}
    assert {*elsewhere.values()} == {404}


def statuses_of(column: str) -> dict[str, int]:
    """Return the status of each endpoint for a kind of token, the account's if it is empty."""
    name = f"token_{column}" if column else "every_endpoint"
    endpoints = json.loads((FOLDER / "endpoints.json").read_text())
    entries = json.loads((FOLDER / f"{name}.json").read_text())
    if column:
        lines = {line: int(answer.partition(" ")[0]) for line, answer in entries.items()}
    else:
        rows = [each for each in entries if each["call"] == each["request"]["line"]]
        lines = {each["call"]: each["response"]["status"] for each in rows}
    return {str(endpoint_of(line, endpoints)): status for line, status in lines.items()}


def endpoint_of(line: str, endpoints: Sequence[str]) -> str | None:
    """Return the endpoint that a request is for; one without an id in its path goes first."""
    target = line.partition("?")[0].replace(" //", " /")
    for endpoint in sorted(endpoints, key=lambda endpoint: "{id}" in endpoint):
        if re.fullmatch(re.escape(endpoint).replace(r"\{id\}", "[^/]+"), target):
            return endpoint
    return None
