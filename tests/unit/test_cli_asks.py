"""`remit asks`: what people and programs see of requests for approval, and how they answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result

from remit.cli import main
from remit.collector import create_token, open_store
from tests.collecting import World, details, on_a_port
from tests.doctored import api
from tests.loopback import serving
from tests.subtests import each

ASKS: Final = "/api/remit/v1/asks"


def run(*words: str, **env: str) -> Result:
    """Run a command."""
    return CliRunner(env=env).invoke(main, ["asks", *words])


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Return the path of a database."""
    return tmp_path / "remit.db"


@pytest.fixture
def world(db: Path) -> Iterator[World]:
    """Return a collector."""
    store = open_store(db)
    yield World(store)
    store.close()


def asked(world: World, **more: Any) -> str:
    """Return the id of a new request."""
    secret = create_token(world.store, "account", may="record").secret
    body = {
        "run": "run-key-1",
        "ticket": "ticket-1",
        "agent": "shop:desk",
        "step": "shop:refund",
        "words": ["financial_transactions"],
        "arguments": {"order": "1021", "note": "line\u202e\x1b[31m", "to": {"$redacted": 1}},
        "hidden": {"to": "regex:iban"},
        "time_limit_s": 120,
        **more,
    }
    with world.http(secret) as http:
        return str(details(http.post(ASKS, json=body))["id"])


def test_the_end_of_an_id_names_a_request(
    world: World, db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each command. An ending that several requests share is an error with their ids."""
    ask_id, other = asked(world), asked(world, ticket="ticket-2")
    assert ask_id in run("show", ask_id[-8:], "--db", str(db)).stdout
    assert run("approve", ask_id[-8:], "--db", str(db)).exit_code == 0
    assert run("refuse", other[-8:], "--why", "no", "--db", str(db)).exit_code == 0
    assert "there is no request" in run("show", "zzzzzzzz", "--db", str(db)).stderr

    twins = [f"01m87w83jt{start}aaaaaaaaaaaaaazzyyxxww"[:32] for start in "bc"]
    assert len({twin[-8:] for twin in twins}) == 1
    ids = iter(twins)
    monkeypatch.setattr("remit.collector.domain.context.Context.new_id", lambda _: next(ids))
    for number in (3, 4):
        asked(world, ticket=f"ticket-{number}")
    refused = run("approve", twins[0][-8:], "--db", str(db))
    assert refused.exit_code == 1
    assert "2 requests end with" in refused.stderr
    assert all(twin in refused.stderr for twin in twins)


def test_a_person_looks_and_approves(world: World, db: Path) -> None:
    """The request is listed, shown and answered; the values cannot control the terminal."""
    ask_id = asked(world)
    line = run("list", "--db", str(db)).stdout.splitlines()[1]
    assert line.split()[:2] == [ask_id, "waiting"]
    assert "shop:refund" in line

    shown = run("show", ask_id, "--db", str(db)).stdout
    assert 'order = "1021"' in shown
    assert "to by regex:iban; you answer without it" in shown
    assert "\x1b[31m" not in shown
    assert "\u202e" not in shown

    assert run("approve", ask_id, "--db", str(db)).exit_code == 0
    again = run("refuse", ask_id, "--why", "no", "--db", str(db))
    assert again.exit_code == 1
    assert "the operator has approved it at" in again.stderr
    assert "your answer is kept, and changes nothing" in again.stderr
    assert "refused by the operator" in run("show", ask_id, "--db", str(db)).stdout


def test_programs_read_json(world: World, db: Path) -> None:
    """A list with the same members for each request, and everything about one."""
    ask_id = asked(world)
    (listed,) = json.loads(run("list", "--json", "--db", str(db)).stdout)
    assert listed.pop("asked_at")
    assert listed == {
        "id": ask_id,
        "status": "waiting",
        "step": "shop:refund",
        "words": ["financial_transactions"],
        "agent": "shop:desk",
        "run": "run-key-1",
    }
    shown = json.loads(run("show", ask_id, "--json", "--db", str(db)).stdout)
    assert shown["hidden"] == {"to": "regex:iban"}
    assert json.loads(run("list", "--json", "--status", "expired", "--db", str(db)).stdout) == []


def test_a_server_is_asked_with_a_token(world: World) -> None:
    """A token that may approve needs no other permission; others get the rule."""
    ask_id = asked(world)
    with on_a_port(world.app) as url:
        for may, code in (("write", 1), ("approve", 0)):
            secret = create_token(world.store, "account", may=may, name=may).secret
            server = {"REMIT_API_URL": url, "REMIT_API_TOKEN": secret}
            answered = run("refuse", ask_id, "--why", "no receipt", **server)
            assert answered.exit_code == code, answered.output
            assert ask_id in run("list", **server).stdout
        assert "refused by approve (API, token)" in run("show", ask_id, **server).stdout


def test_another_server_takes_no_requests() -> None:
    """The command says so, as the program does."""
    with serving(api({})) as url:
        listed = run("list", REMIT_API_URL=url, REMIT_API_TOKEN="token")
    assert listed.exit_code == 1
    assert "does not take requests for approval: it is not a remit collector" in listed.output


@each(
    ("words", "said"),
    [
        (["show", "013xrzp12g3nqk8nzzzzzzzzzzzzzzzz"], "there is no request"),
        (["approve", "013xrzp12g3nqk8nzzzzzzzzzzzzzzzz"], "there is no request"),
        (["refuse", "013xrzp12g3nqk8nzzzzzzzzzzzzzzzz"], "Missing option '--why'"),
    ],
)
def test_a_mistake_is_said(world: World, db: Path, words: list[str], said: str) -> None:
    """An unknown request, and a refusal without a reason."""
    asked(world, ticket=words[0])
    failed = run(*words, "--db", str(db))
    assert failed.exit_code != 0
    assert said in failed.stderr
