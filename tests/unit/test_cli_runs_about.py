"""What a run was about, in the commands that list and show runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import remit
from remit.cli import main
from remit.config import Settings
from tests.inside import setup
from tests.terminals import on_a_terminal


@remit.agent("Clerk")
def clerk(question: str) -> str:
    """Answer a question."""
    return "It is shipped." if question else ""


@pytest.fixture
def db(tmp_path: Path) -> str:
    """Return a database with one run."""
    with setup.isolated(Settings(mode="local", data_dir=tmp_path)) as runtime:
        with remit.about(conversation="thread-9", on_behalf_of="user-42"):
            clerk("Where\nis it?")
        assert runtime.flush(60)
    return str(tmp_path / "remit.db")


def test_the_question_and_its_answer_are_a_second_line_on_a_terminal(db: str) -> None:
    """Programs read them in the JSON."""
    shown = on_a_terminal("runs", "list", "--db", db)
    assert re.search(r'\n +"Where is it\?" (→|->) It is shipped\.\r?\n', shown), shown
    plain = CliRunner().invoke(main, ["runs", "list", "--db", db]).stdout
    assert "Where" not in plain
    result = CliRunner().invoke(main, ["runs", "list", "--json", "--db", db])
    (run,) = json.loads(result.stdout)
    assert (run["question"], run["answer"]) == ("Where is it?", "It is shipped.")
    assert (run["conversation"], run["on_behalf_of"]) == ("thread-9", "user-42")


def test_the_head_of_a_run_says_what_the_program_said(db: str) -> None:
    """As lines of their own."""
    shown = CliRunner().invoke(main, ["runs", "show", "--db", db]).stdout
    assert re.search(r"\n  conversation +thread-9\n", shown), shown
    assert re.search(r"\n  on behalf of +user-42\n", shown), shown
