"""`remit runs terminate`, `tail` and `show --risk`: a run is watched, judged and ended."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from remit._base.ids import new_key, pfid
from remit.cli import main
from remit.collector import open_store
from tests.collecting import Api, World
from tests.contract.test_collector_risk import DECLARED, EXCEEDS, recorded
from tests.stores import EACH_STORE, empty_database
from tests.subtests import each

Json = Any


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """The file of a database."""
    return tmp_path / "remit.db"


@pytest.fixture
def world(db: Path) -> Iterator[World]:
    """A collector over the database."""
    store = open_store(db)
    yield World(store)
    store.close()


@pytest.fixture
def api(world: World) -> Api:
    """Its account."""
    return world.account()


def run(*words: str, **env: str) -> Result:
    """Run a command, a hundred columns wide."""
    return CliRunner().invoke(main, ["runs", *words], env={"COLUMNS": "100", **env})


def test_a_run_is_shown_with_its_risk(api: Api, db: Path) -> None:
    """What its steps may do, and what was denied, violated or redacted."""
    run_id = recorded(api)
    shown = run("show", run_id, "--risk", "--db", str(db))
    assert shown.exit_code == 0, shown.output
    text = re.sub(r" {2,}", "  ", shown.stdout.partition("Risk")[2])
    for line in (
        "5 spans, as declared by their types",
        "may  read_data (4), financial_transactions (2)",
        "gives  contact_information (2), personal_identifiers (2)",
        "classification  confidential",
        f"denied  1 span\n  1 x {EXCEEDS}",
        f"violations  1 span\n  1 x {EXCEEDS}",
        "redacted  type:Sensitive (2), classification:secret (1)",
        "schemas  1 not as declared, 1 undeclared",
        "read: may read_data; must not destroy_data; takes contact_information",
    ):
        assert line in text, text
    assert "not as declared: payload" in shown.stdout
    assert "Risk" not in run("show", run_id, "--db", str(db)).stdout


def test_the_risk_is_json_for_programs(api: Api, db: Path) -> None:
    """As the API answers it."""
    run_id = recorded(api)
    found = json.loads(run("show", run_id, "--risk", "--json", "--db", str(db)).stdout)["risk"]
    assert found["agent_instance_id"] == run_id
    assert found["redacted"] == {"type:Sensitive": 2, "classification:secret": 1}
    assert "risk" not in json.loads(run("show", run_id, "--json", "--db", str(db)).stdout)


def test_a_run_is_terminated_in_a_database(api: Api, db: Path) -> None:
    """Its program is told with the answer to its next span."""
    run_id = api.instance()["id"]
    ended = run("terminate", run_id[:20], "--reason", "wrong customer", "--db", str(db))
    assert ended.exit_code == 0, ended.output
    assert f"Terminated {run_id}: wrong customer" in ended.stdout
    assert "its program stops at its next step or the next item of a stream." in ended.stdout
    answer = api.post("/agent_spans", api.span_body(run_id)).json()
    assert answer["control"] == {"terminate": True, "reason": "wrong customer"}
    shown = run("show", run_id, "--db", str(db)).stdout
    assert "Terminated by holder of the database." in shown
    again = run("terminate", run_id, "--reason", "twice", "--db", str(db))
    assert again.exit_code == 1
    assert "cannot be terminated, because it is terminated" in again.stderr


@each(
    ("words", "said"),
    [
        (("terminate", "last"), "Missing option '--reason'"),
        (("terminate", "last", "--reason", " "), "must not be empty"),
    ],
)
def test_a_termination_that_cannot_be_meant_says_so(words: tuple[str, ...], said: str) -> None:
    """Before anything is opened."""
    rejected = run(*words)
    assert rejected.exit_code == 2
    assert said in rejected.stderr


def test_the_last_spans_are_shown_a_line_each(api: Api, db: Path) -> None:
    """The oldest of them first; of one run, or of all."""
    declared = {"span_type_schemas": [{"name": "a", "params_schema": {}, "template": "<{{ n }}>"}]}
    one = api.instance(agent_schema_version=declared)["id"]
    other = api.instance(agent_schema_version=DECLARED)["id"]
    for number in range(3):
        api.span(one, schema_name="a", payload={"n": number}, status="complete")
    api.span(other, schema_name="pay", payload={"amount": 1})
    *lines, last = run("tail", "-n", "3", "--db", str(db)).stdout.splitlines()
    assert last == f"Read from {db}."
    assert [line.split("  ", 1)[1].split()[0] for line in lines] == [one[-8:], one[-8:], other[-8:]]
    assert lines[0].endswith("a  <1>")
    assert lines[2].endswith("pay (1 schema errors)  amount=1")
    assert len(run("tail", one, "--db", str(db)).stdout.splitlines()) == 3 + 1
    assert all(len(line) <= 100 for line in lines)


def test_the_last_spans_are_json_lines_for_programs(api: Api, db: Path) -> None:
    """One object a line, as the API answers it."""
    run_id = api.instance(agent_schema_version=DECLARED)["id"]
    made = [api.span(run_id, schema_name="plain")["id"] for _ in range(2)]
    lines = run("tail", "--json", "--db", str(db)).stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == made


def test_new_spans_are_shown_as_they_come(api: Api, db: Path) -> None:
    """And again when they end; what was there before is not new."""
    run_id = api.instance(agent_schema_version=DECLARED)["id"]
    known = [api.span(run_id, schema_name="plain")["id"] for _ in range(2)]
    command = [sys.executable, "-m", "remit", "runs", "tail", "-n", "1", "--follow", "--json"]
    with subprocess.Popen(
        [*command, "--db", str(db)], stdout=subprocess.PIPE, text=True, bufsize=1
    ) as following:
        try:
            assert following.stdout is not None
            first = json.loads(following.stdout.readline())
            made = api.span(run_id, schema_name="read")["id"]
            shown = [json.loads(following.stdout.readline())]
            api.post(f"/agent_spans/{made}/finish", {"status": "failed"})
            shown.append(json.loads(following.stdout.readline()))
        finally:
            following.terminate()
    assert first["id"] == known[1]
    assert [(each["id"], each["status"]) for each in shown] == [(made, "active"), (made, "failed")]


@pytest.mark.parametrize("kind", EACH_STORE)
def test_what_began_long_ago_is_shown_when_it_comes_or_ends(kind: str, tmp_path: Path) -> None:
    """Of all runs: a span of last year that ends now, and one that was not delivered till now."""
    ids = [pfid(new_key(1_767_225_600_000_000_000), 5) for _ in range(3)]
    with empty_database(kind, tmp_path) as named:
        store = open_store(named)
        api = World(store).account()
        old = api.instance()["id"]
        api.span(old, id=ids[0])
        done = api.instance("complete")["id"]
        command = [sys.executable, "-m", "remit", "runs", "tail", "-n", "1", "--follow", "--json"]
        with subprocess.Popen(
            [*command, "--db", str(named)], stdout=subprocess.PIPE, text=True, bufsize=1
        ) as following:
            try:
                assert following.stdout is not None
                shown = [json.loads(following.stdout.readline())]
                api.post(f"/agent_spans/{ids[0]}/finish", {})
                shown.append(json.loads(following.stdout.readline()))
                api.span(old, id=ids[1])
                shown.append(json.loads(following.stdout.readline()))
                api.span(done, id=ids[2], status="complete")
                shown.append(json.loads(following.stdout.readline()))
            finally:
                following.terminate()
        store.close()

    assert [(each["id"], each["status"]) for each in shown] == [
        (ids[0], "active"),
        (ids[0], "complete"),
        (ids[1], "active"),
        (ids[2], "complete"),
    ]
