"""`remit schema check`: what has no schema, or one that says little, with file and line."""

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

pytestmark = pytest.mark.usefixtures("no_integrations")

PACKAGE = '''
from typing import Any

import remit
from PACKAGE import steps

@remit.agent
def answer(question: str) -> str:
    """Answer."""
    return steps.look(question)
'''
STEPS = '''
import remit

@remit.span_type
def look(word, most: int = 3) -> dict:
    """Look a word up."""

@remit.span_type("tidy")
def tidy_up(words: list[str]) -> None:
    """Leave nothing open."""
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package in the current folder, which is not on the path otherwise."""
    name = "remit_test_package"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(PACKAGE.replace("PACKAGE", name))
    (tmp_path / name / "steps.py").write_text(STEPS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with isolated():
        yield name
    for module in (name, f"{name}.steps"):
        sys.modules.pop(module, None)


def check(*words: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["schema", "check", *words])


def test_what_is_left_open_is_listed_with_file_and_line(package: str) -> None:
    """By parameter, with how much is missing and why; what leaves nothing open is not named."""
    result = check(package)
    assert result.output.splitlines() == [
        f"{package}/steps.py:4  {package}.steps:look",
        "  word    none  no annotation",
        "  return  weak  an object whose members may be anything",
        "",
        f"{package}: 3 span types; 1 place without a schema, 1 with a weak one",
    ]
    assert result.exit_code == 0


def test_programs_read_it_as_json(package: str) -> None:
    """Every span type is in it, also one that leaves nothing open."""
    by_name = {each["span_type"]: each for each in json.loads(check(package, "--json").output)}
    look = by_name[f"{package}.steps:look"]
    assert look["line"] == 4
    assert Path(look["file"]).name == "steps.py"
    assert look["found"][0] == {"place": "word", "grade": "none", "why": "no annotation"}
    assert by_name["tidy"]["found"] == []
    assert set(by_name) == {f"{package}:answer", f"{package}.steps:look", "tidy"}


@each(
    ("words", "status"),
    [
        pytest.param(("{}",), 0, id="without the option"),
        pytest.param(("{}", "--fail-on", "none"), 1, id="something has none"),
        pytest.param(("{}.steps", "--fail-on", "weak"), 1, id="something is weak or has none"),
    ],
)
def test_it_fails_on_request(package: str, words: tuple[str, ...], status: int) -> None:
    """So that a pipeline can hold a line."""
    assert check(*(each.format(package) for each in words)).exit_code == status


def test_it_does_not_fail_for_a_weak_schema_when_asked_for_missing_ones(
    package: str, tmp_path: Path
) -> None:
    """The two are told apart."""
    path = tmp_path / package / "steps.py"
    path.write_text(STEPS.replace("word,", "word: str,"))
    assert check(package, "--fail-on", "none").exit_code == 0
    assert check(package, "--fail-on", "weak").exit_code == 1


def test_a_step_that_is_open_for_an_agent_fails_on_request(package: str, tmp_path: Path) -> None:
    """It is listed by agent with the words; complete declarations pass."""
    agent = PACKAGE.replace("PACKAGE", package)
    limited = agent.replace(
        "@remit.agent", '@remit.agent(data_risk=remit.risk(forbids="read_data"))'
    )
    (tmp_path / package / "__init__.py").write_text(limited)
    result = check(package, "--fail-on", "undeclared")
    assert result.exit_code == 1
    assert result.output.splitlines()[:4] == [
        f"These steps of {package}:answer would be denied, because they do not declare",
        f"  {package}.steps:look: read_data",
        "  tidy: read_data",
        "",
    ]
    assert [
        each.get("undeclared")
        for each in json.loads(check(package, "--fail-on", "undeclared", "--json").output)
    ] == [
        {},
        {f"{package}:answer": ["read_data"]},
        {f"{package}:answer": ["read_data"]},
    ]
    assert check(package).exit_code == 0


def test_steps_are_open_only_for_what_an_agent_forbids(package: str) -> None:
    """This one forbids nothing; a module without an agent cannot be compared."""
    assert check(package, "--fail-on", "undeclared").exit_code == 0
    result = check(f"{package}.steps", "--fail-on", "undeclared")
    assert result.exit_code == 1
    assert f"{package}.steps declares no agent" in result.stderr


def test_a_module_without_declarations_is_an_error(tmp_path: Path, package: str) -> None:
    """It says what to do; so does one that is not there."""
    (tmp_path / "remit_test_empty.py").write_text("")
    result = check("remit_test_empty")
    assert result.exit_code == 1
    assert "declares no span type" in result.output
    assert "there is no module" in check(f"{package}_missing").output
    assert "is not the name of a module" in check("a b").output


def test_a_module_that_ends_the_program_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scripts do, when they are imported."""
    (tmp_path / "remit_test_script.py").write_text("raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    result = check("remit_test_script")
    assert result.exit_code == 1
    assert "importing remit_test_script ends the program (SystemExit)" in result.stderr


def test_a_function_of_a_library_is_checked_where_it_is_decorated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would look for it in the library."""
    source = 'import json, remit\nload = remit.span_type("load")(json.loads)\n'
    (tmp_path / "remit_test_loader.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with isolated():
        result = check("remit_test_loader")
    sys.modules.pop("remit_test_loader")
    assert "  load\n" in result.output
    assert "remit_test_loader: 1 span type" in result.output


SHOP = {
    "__init__": "",
    "__main__": "raise SystemExit('it runs')",
    "agents": "import remit\n@remit.agent\ndef answer(question: str) -> str: ...\n",
    "tools/__init__": "",
    "tools/deep": "import remit\n@remit.span_type\ndef look(word) -> str: ...\n",
}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package whose modules import nothing from each other."""
    folder = tmp_path / "remit_test_shop"
    for name, source in SHOP.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with isolated():
        yield folder
    for name in [name for name in sys.modules if name.startswith(("remit_test_shop", "beside_"))]:
        sys.modules.pop(name)


def test_the_modules_of_a_package_are_imported(shop: Path) -> None:
    """All but `__main__`, which runs the program."""
    result = check(shop.name)
    assert result.output.splitlines()[-1] == (
        "remit_test_shop: 2 span types; 1 place without a schema, 0 with a weak one"
    )
    assert "remit_test_shop/tools/deep.py:2  remit_test_shop.tools.deep:look" in result.output
    assert (result.exit_code, result.stderr) == (0, "")


def test_each_module_that_cannot_be_imported_is_named(shop: Path) -> None:
    """The others are checked."""
    (shop / "broken.py").write_text("1 / 0")
    (shop / "tools" / "needing.py").write_text("import no_such_library")
    result = check(shop.name)
    assert result.exit_code == 1
    for line in (
        "importing remit_test_shop.broken fails: ZeroDivisionError: division by zero",
        "importing remit_test_shop.tools.needing fails: ModuleNotFoundError: No mod",
    ):
        assert line in result.stderr
    assert "remit_test_shop: 2 span types" in result.stdout
    assert "remit_test_shop.tools.deep:look" in check(shop.name, "--json").stdout


def checked(module: str) -> list[str]:
    """Return the names of the span types that the command checks."""
    return sorted(each["span_type"] for each in json.loads(check(module, "--json").stdout))


@pytest.mark.parametrize("options", ["", "(span_types=['remit_test_shop.tools'])"])
def test_what_the_agents_of_a_module_register_is_checked(shop: Path, options: str) -> None:
    """Also steps of other modules; of a module without an agent its own."""
    (shop.parent / "beside_it.py").write_text(SHOP["tools/deep"])
    (shop.parent / "beside_agent.py").write_text(
        f"import beside_it, {shop.name}.tools.deep\n{SHOP['agents']}".replace(
            "@remit.agent", f"@remit.agent{options}"
        )
    )
    registered = ["beside_agent:answer", "remit_test_shop.tools.deep:look"]
    if not options:
        registered.insert(1, "beside_it:look")
    assert checked("beside_agent") == registered
    payload = sys.modules["beside_agent"].answer.registration()
    names = [each["name"] for each in payload["agent_schema_version"]["span_type_schemas"]]
    assert [name for name in names if not name.startswith("remit:")] == registered
    assert checked("remit_test_shop.tools") == registered[-1:]


def test_the_agents_of_a_packages_modules_are_named(shop: Path) -> None:
    """`schema show` shows the agents of one module."""
    result = CliRunner().invoke(main, ["schema", "show", shop.name])
    assert result.exit_code == 1
    assert "remit_test_shop declares no agent; its modules do: remit_test_shop.agents:answer" in (
        result.stderr
    )
