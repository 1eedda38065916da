"""`remit schema show`: the registration of a program, without running it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from remit.cli import main
from remit.testing import isolated
from tests.subtests import each

PROGRAM = '''
import remit
from typing import TypedDict

class Page(TypedDict):
    number: int

@remit.span_type(data_risk=remit.risk(allows="read_data", forbids="destroy_data"))
def look(word: str, tags: list[str], most: int | None = None) -> dict[str, int]:
    """Look a word up.

    More about it.
    """

@remit.span_type(capture={"token": {"name:token": True}, "word": False, "return": False})
def keep(token: str, word: str) -> str | dict[str, str]: ...

@remit.span_type
def listed(page: Page | None) -> Page: ...

@remit.span_type
def bare() -> dict: ...

@remit.span_type
def anything(): ...

@remit.agent(quality={"service": {"type": "object", "properties": {"solved": {"type": "boolean"}}}})
def answer(question: str) -> str:
    """Answer."""

class Desk:
    @remit.agent
    async def serve(self, question: str) -> str:
        """Serve."""

number = 7
'''


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module in the current folder, which is not on the path otherwise."""
    name = "remit_test_program"
    (tmp_path / f"{name}.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with isolated():
        yield name
    sys.modules.pop(name, None)


def show(*words: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["schema", "show", *words])


def test_an_agents_payload_is_shown_as_it_is_registered(program: str) -> None:
    """As JSON, with sorted keys."""
    result = show(f"{program}:answer", "--json")
    payload = json.loads(result.stdout)
    assert payload == sys.modules[program].answer.registration()
    assert result.stdout == json.dumps(payload, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def test_without_an_agent_all_of_the_module_are_shown(program: str) -> None:
    """Agents that are methods too; by their names."""
    assert list(json.loads(show(program, "--json").stdout)) == ["Desk.serve", "answer"]
    assert show(program, "--json").exit_code == 0


def test_people_read_what_each_step_takes_gives_and_may(program: str) -> None:
    """In a few lines for each span type."""
    shown = show(f"{program}:answer").stdout
    assert f"  {program}:look\n    about  Look a word up.\n" in shown
    assert "    takes  most?: integer | null, tags: string[], word: string\n" in shown
    assert "    gives  {string: integer}\n    may    read_data, never destroy_data\n" in shown
    assert "    takes  token: string (off: name:token), word: string (redacted: capture)\n" in shown
    assert "    gives  {string: string} | result: string (redacted: capture)\n" in shown
    assert "    takes  page: Page | null\n    gives  number: integer\n" in shown
    assert f"  {program}:bare\n    gives  object\n" in shown
    assert f"  {program}:anything\n\n" in shown
    assert "  service  score\n    fields solved?: boolean\n" in shown


@each(
    ("target", "exit_code", "said"),
    [
        pytest.param("no_such.module", 1, "there is no module 'no_such'", id="no-module"),
        pytest.param(
            "{}:nobody", 1, "does not exist in {}; its agents: Desk.serve, answer", id="name"
        ),
        pytest.param("{}:Desk.nobody", 1, "its agents: Desk.serve, answer", id="no-member"),
        pytest.param("{}:number.real", 1, "its agents: Desk.serve, answer", id="no-namespace"),
        pytest.param("{}:look", 1, "'look' is not an agent", id="no-agent"),
        pytest.param("json", 1, "json declares no agent: decorate", id="none-at-all"),
        pytest.param("json:dumps", 1, "its agents: none", id="none-to-name"),
        pytest.param("a-b.py", 2, "expected MODULE[:AGENT]", id="a-file"),
    ],
)
def test_what_cannot_be_shown_is_told_in_a_sentence(
    target: str, exit_code: int, said: str, program: str
) -> None:
    """With what there is instead, and no traceback."""
    result = show(target.format(program))
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert said.format(program) in result.stderr
    assert "Traceback" not in result.stderr


@each(
    ("source", "said"),
    [
        pytest.param("1 / 0", "ZeroDivisionError: division by zero", id="fails"),
        pytest.param("import no_such_library", "No module named 'no_such_library'", id="needs"),
        pytest.param("def (", "SyntaxError", id="no-python"),
    ],
)
def test_a_module_that_cannot_be_imported_says_why(source: str, said: str, program: str) -> None:
    """The user's own mistake is told as such."""
    del program
    name = "remit_test_broken"
    Path(f"{name}.py").write_text(source)
    result = show(name)
    assert result.exit_code == 1
    assert f"importing {name} fails: " in result.stderr
    assert said in result.stderr


def test_agents_that_are_class_or_static_methods_are_found(program: str, tmp_path: Path) -> None:
    """Whether the decorator stands above or below the one that makes them so."""
    (tmp_path / f"{program}.py").write_text(
        """
import remit

class Desk:
    @remit.agent
    @classmethod
    def above(cls, question: str) -> str: ...

    @classmethod
    @remit.agent
    def below(cls, question: str) -> str: ...

    @remit.agent
    @staticmethod
    def of_nothing(question: str) -> str: ...
"""
    )
    known = ["Desk.above", "Desk.below", "Desk.of_nothing"]
    assert list(json.loads(show(program, "--json").stdout)) == known
    for path in known:
        (call,) = [
            each
            for each in json.loads(show(f"{program}:{path}", "--json").stdout)[
                "agent_schema_version"
            ]["span_type_schemas"]
            if each["name"].endswith(path)
        ]
        assert list(call["params_schema"]["properties"]) == ["question"]
