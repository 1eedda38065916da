"""`remit`, asked with odd words and about runs that somebody named to harm who looks at them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result

from remit.cli import main
from remit.collector import Store, open_store
from tests.collecting import Api, World
from tests.subtests import each

EVIL: Final = "run\x1b]0;owned\x07\x1b[31m\r\x9b2J\u202e"
"""What sets a terminal's title, colours it, moves back, clears it and turns what follows around."""


def run(*words: str) -> Result:
    """Run a command, its colours left in."""
    return CliRunner().invoke(main, list(words), color=True)


def harmless(text: str) -> bool:
    """Return whether *text* does not steer a terminal, but for the colours of remit's own."""
    bare = text
    for code in ("0", "1", "2", "31", "32", "33", "36"):
        bare = bare.replace(f"\x1b[{code}m", "")
    return all(char.isprintable() or char == "\n" for char in bare)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Return the path of a database."""
    return tmp_path / "remit.db"


@pytest.fixture
def store(db: Path) -> Store:
    """Return the store in it."""
    return open_store(db)


@pytest.fixture
def api(store: Store) -> Api:
    """Return the view of an account's token."""
    return World(store).account()


def test_no_name_steers_the_terminal_of_who_looks(api: Api, db: Path) -> None:
    """Nor in a sentence that says what is wrong; such a run is asked for by its id."""
    agent = api.post("/agent", {"details": {"name": EVIL, "external_identifier": EVIL}}).json()
    api.agent_id = agent["details"]["id"]
    made = api.instance("terminated", external_identifier=EVIL)
    api.instance("terminated", external_identifier=EVIL + "2")
    api.span(made["id"], schema_name=EVIL)
    token = {"token_scope": "agent_deployment", "agent_id": api.agent_id}
    api.post("/api_token", {"details": token})
    named = ("--db", str(db))

    for words in (
        ("runs", "list"),
        ("runs", "show", made["id"], "--risk"),
        ("runs", "tail"),
        ("runs", "show", "run\x1b"),
        ("runs", "terminate", made["id"], "--reason", EVIL),
        ("token", "list"),
        ("db", "erase", "--run", made["id"], "--reason", EVIL, "--yes"),
    ):
        result = run(*words, *named)
        assert harmless(result.output), (words, result.output)
        assert result.output
    assert made["id"] in run("runs", "show", made["id"], *named).output


def test_no_json_steers_the_terminal_and_programs_read_what_was_recorded(
    api: Api, db: Path
) -> None:
    """Control and bidirectional characters are escaped, letters of any script stay readable."""
    text = f"{EVIL}\x7f\u2028 Größe 大きさ"
    agent = api.post("/agent", {"details": {"name": text, "external_identifier": text}}).json()
    api.agent_id = agent["details"]["id"]
    made = api.instance("active", external_identifier=text)
    api.span(made["id"], schema_name=text, payload={text: text})
    commands: dict[tuple[str, ...], Callable[[Any], str]] = {
        ("runs", "list"): lambda found: found[0]["agent"]["name"],
        ("runs", "show", made["id"]): lambda found: found["spans"][0]["payload"][text],
        ("runs", "tail"): lambda found: found["payload"][text],
    }

    for words, told in commands.items():
        written = run(*words, "--json", "--db", str(db)).stdout
        assert harmless(written), (words, written)
        assert "大きさ" in written
        assert told(json.loads(written)) == text


@each(
    "words",
    [
        ("db", "erase", "--run", "", "--reason", "x", "--yes"),
        ("runs", "terminate", "", "--reason", "x"),
        ("runs", "show", ""),
    ],
    ids=["erase", "terminate", "show"],
)
def test_an_empty_text_is_no_run(api: Api, db: Path, words: tuple[str, ...]) -> None:
    """Every key begins with one: a variable of a script that is not set names nothing."""
    made = api.instance("active")

    result = run(*words, "--db", str(db))

    assert result.exit_code == 1
    assert "an empty string matches no run" in result.output
    assert api.shown(made["id"])["status"] == "active"
    assert "Erased" not in run("runs", "show", made["id"], "--db", str(db)).output


def test_a_key_that_several_runs_have_names_none(api: Api, db: Path) -> None:
    """A key is unique in an agent; whoever erases one must not think that it was all of them."""
    first = api.instance(external_identifier="order-17")
    other = api.post("/agent", {"details": {"name": "Other"}}).json()["details"]["id"]
    second = Api(api.http, other).instance(external_identifier="order-17")
    words = ("db", "erase", "--run", "order-17", "--reason", "x", "--yes", "--db", str(db))

    result = run(*words)

    assert result.exit_code == 1
    assert "2 runs are called 'order-17'" in result.output
    assert first["id"] in result.output
    assert second["id"] in result.output


@each(
    "words",
    [
        ("db", "erase", "--subject", "\udcff", "--reason", "x", "--yes"),
        ("db", "erase", "--run", "\udcff", "--reason", "x", "--yes"),
        ("db", "erase", "--agent", "a", "--reason", "\udcff", "--yes"),
        ("runs", "show", "\udcff"),
        ("runs", "tail", "\udcff"),
        ("runs", "terminate", "\udcff", "--reason", "x"),
        ("token", "create", "--scope", "agent_deployment", "--agent", "\udcff"),
        ("token", "create", "--scope", "agent_deployment", "--agent", ""),
        ("token", "revoke", "\udcff"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("api")
def test_what_is_no_text_is_said_so(db: Path, words: tuple[str, ...]) -> None:
    """An argument may be any bytes; those that are no text are refused in a sentence."""
    result = run(*words, "--db", str(db))

    assert result.exit_code == 2
    assert "UTF-8" in result.output or "must not be empty" in result.output
