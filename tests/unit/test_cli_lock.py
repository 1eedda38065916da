"""`remit lock`: what a program declares, in a file for review."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pydantic import VERSION

from remit._base.version import __version__
from remit.cli import main
from remit.config import OnViolation
from remit.errors import DeniedError
from remit.testing import isolated
from tests.subtests import each

pytestmark = pytest.mark.usefixtures("no_integrations")

DESK = '''
from typing import Annotated

import remit
from pydantic import BaseModel

class Customer(BaseModel):
    name: Annotated[str, remit.Sensitive("personal_identifiers")]
    city: str | None = None

@remit.span_type(data_risk=remit.risk(allows="read_data", gives="personal_identifiers"))
def find(number: int) -> Customer | None:
    """Find a customer."""

@remit.span_type(data_risk=remit.risk(allows="external_communication", forbids="others"))
def mail(to: Annotated[str, remit.Sensitive("contact_information")], text: str = "") -> None:
    """Send a mail."""

@remit.span_type(data_risk=remit.risk(forbids="others", excludes="others"))
def note(text: str) -> None: ...

@remit.span_type(capture={"token": {"name:token": True}})
def pay(token: str) -> None: ...

@remit.agent(
    data_risk=remit.risk(
        allows="external_communication", forbids="others", excludes="contact_information"
    ),
    limits=remit.limits(steps=200, external_communication=5),
)
def answer(question: str) -> str:
    """Answer."""

@remit.agent
def free(question: str) -> str:
    """Answer, too."""
'''
NOT_READ = ["create_data", "update_data", "destroy_data", "financial_transactions"]
MAIL = "contact_information"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, which has a module `locked_desk`."""
    (tmp_path / "locked_desk.py").write_text(DESK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    with isolated():
        yield tmp_path
    for name in sys.modules.keys() - known:
        if name.startswith("locked_"):
            del sys.modules[name]


def run(*words: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["lock", *words])


def written(path: str = "remit.lock.json") -> Any:
    """Return the lock in a file, which has the form that `remit lock` writes."""
    text = Path(path).read_text("utf-8")
    lock = json.loads(text)
    assert text == json.dumps(lock, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return lock


@pytest.mark.usefixtures("folder")
def test_a_lock_has_the_words_and_places_of_each_step_and_agent() -> None:
    """Words as one writes them, places by path."""
    result = run("locked_desk")
    assert (result.exit_code, result.stdout) == (0, "remit.lock.json: 2 agents, 4 steps\n")
    lock = written()
    registered = sys.modules["locked_desk"].answer.registration()["agent_schema_version"]
    agent = lock["agents"].pop("locked_desk:answer")
    assert lock["agents"].keys() == {"locked_desk:free"}
    assert agent["registers"] == registered["external_identifier"]
    assert agent["risk"] == {
        "allows": ["external_communication"],
        "excludes": [MAIL],
        "forbids": ["others"],
    }
    assert agent["limits"] == {"external_communication": 5, "steps": 200}
    assert agent["steps"] == {
        "allowed": ["locked_desk:note"],
        "undeclared": {
            "locked_desk:free": [*NOT_READ[:1], "read_data", *NOT_READ[1:], MAIL],
            "locked_desk:pay": [*NOT_READ[:1], "read_data", *NOT_READ[1:], MAIL],
        },
        "denied": {
            "locked_desk:find": ["read_data"],
            "locked_desk:mail": [f"{MAIL} in the params"],
        },
    }
    assert agent["leaves"] == {}
    steps = lock.pop("steps")
    assert steps["locked_desk:find"] == {
        "description": "Find a customer.",
        "risk": {"allows": ["read_data"], "gives": ["personal_identifiers"]},
        "params": {"number": "integer"},
        "result": {
            "": "object | null",
            "name": "string, redacted: type:Sensitive",
            "city?": "string | null",
        },
    }
    assert steps["locked_desk:mail"]["params"] == {
        "text?": "string",
        "to": "string, redacted: type:Sensitive",
    }
    assert steps["locked_desk:pay"] == {
        "params": {"token": "string, off: name:token"},
        "result": {"": "null"},
    }
    assert steps["locked_desk:free"]["description"] == "Answer, too."
    assert lock == {
        "remit_lock": 1,
        "made_with": {"pydantic": VERSION, "remit": __version__},
        "modules": ["locked_desk"],
        "agents": {
            "locked_desk:free": {
                "registers": registered["external_identifier"],
                "steps": {
                    "allowed": [
                        f"locked_desk:{name}" for name in ("answer", "find", "mail", "note", "pay")
                    ],
                    "undeclared": {},
                    "denied": {},
                },
                "leaves": {
                    "personal_identifiers": {
                        f"locked_desk:{name}": "not ruled out" for name in ("find", "mail", "pay")
                    },
                    "contact_information": {
                        "locked_desk:find": "not ruled out",
                        "locked_desk:mail": "declared",
                        "locked_desk:pay": "not ruled out",
                    },
                },
            }
        },
    }


def test_a_lock_is_what_the_policy_does(folder: Path) -> None:
    """Under `deny`, exactly the steps that are `allowed` run; `refused` is refused under any."""
    del folder
    run("locked_desk")
    module: Any = sys.modules["locked_desk"]
    steps: dict[str, Callable[[], object]] = {
        "locked_desk:find": lambda: module.find(1),
        "locked_desk:mail": lambda: module.mail("a@example.org"),
        "locked_desk:note": lambda: module.note("n"),
        "locked_desk:pay": lambda: module.pay("t"),
        "locked_desk:free": lambda: module.free("q"),
        "locked_desk:answer": lambda: module.answer("q"),
    }
    for agent in ("answer", "free"):
        expected = written()["agents"][f"locked_desk:{agent}"]["steps"]
        ran: dict[OnViolation, dict[str, bool]] = {"deny": {}, "observe": {}}
        for mode, outcomes in ran.items():
            with isolated(on_violation=mode) as recorder:
                for name in steps.keys() - {f"locked_desk:{agent}"}:
                    with getattr(module, agent).run():
                        try:
                            steps[name]()
                        except DeniedError:
                            outcomes[name] = False
                        else:
                            outcomes[name] = not recorder.spans(name)[-1].violations
        assert {name for name, allowed in ran["deny"].items() if allowed} == set(
            expected["allowed"]
        )
        assert {name for name, allowed in ran["observe"].items() if not allowed} == set(
            expected["denied"]
        )
        assert {name for name in ran["deny"] if ran["deny"][name] < ran["observe"][name]} == set(
            expected["undeclared"]
        )


def test_all_modules_of_a_package_are_imported(folder: Path) -> None:
    """But `__main__`, which runs the program."""
    package = folder / "locked_shop"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text("raise SystemExit(3)")
    (package / "desk.py").write_text(DESK)
    assert run("locked_shop", "-o", "a.json").exit_code == 0
    assert written("a.json")["modules"] == ["locked_shop"]
    assert written("a.json")["agents"].keys() == {
        "locked_shop.desk:answer",
        "locked_shop.desk:free",
    }
    assert run("locked_shop.desk", "locked_desk", "-o", "b.json").exit_code == 0
    assert written("b.json")["modules"] == ["locked_desk", "locked_shop.desk"]
    assert len(written("b.json")["agents"]) == 4


def test_an_agent_of_another_module_is_a_step_and_lets_nothing_out(folder: Path) -> None:
    """Its own steps do; it is not in the lock, because its module was not named."""
    package = folder / "locked_team"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "desk.py").write_text(DESK)
    (package / "boss.py").write_text(
        "import remit\nfrom locked_team import desk\n@remit.agent\ndef boss() -> None: ...\n"
    )
    assert run("locked_team.boss").exit_code == 0
    assert written()["agents"].keys() == {"locked_team.boss:boss"}
    agent = written()["agents"]["locked_team.boss:boss"]
    assert "locked_team.desk:answer" in agent["steps"]["allowed"]
    steps = [f"locked_team.desk:{name}" for name in ("find", "mail", "pay")]
    assert agent["leaves"] == {
        "personal_identifiers": dict.fromkeys(steps, "not ruled out"),
        "contact_information": dict.fromkeys(steps, "not ruled out")
        | {"locked_team.desk:mail": "declared"},
    }


def test_without_a_module_those_of_the_file_are_locked(folder: Path) -> None:
    """The next lock after a change takes no argument."""
    (folder / "kept.json").write_text(
        '{"remit_lock": 1, "modules": ["locked_desk"], "agents": {}, "steps": {}}'
    )
    assert run("-o", "kept.json").exit_code == 0
    assert written("kept.json")["steps"].keys() >= {"locked_desk:find"}
    assert not (folder / "remit.lock.json").exists()
    assert [path.name for path in folder.glob("kept*")] == ["kept.json"]


def test_a_file_that_is_no_lock_is_not_overwritten(folder: Path) -> None:
    """It may be the source of the program; a lock of another format is replaced."""
    source = (folder / "locked_desk.py").read_text()
    result = run("locked_desk", "-o", "locked_desk.py")
    assert result.exit_code == 2
    assert "locked_desk.py is not a lock and is not overwritten" in result.stderr
    assert (folder / "locked_desk.py").read_text() == source
    (folder / "old.json").write_text('{"remit_lock": 0}')
    assert run("locked_desk", "-o", "old.json").exit_code == 0


def test_a_lock_is_written_into_a_pipe_and_not_over_it(folder: Path) -> None:
    """As into a device, such as `/dev/null`."""
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as threads:
        text = threads.submit(pipe.read_text)
        assert run("locked_desk", "-o", "pipe").exit_code == 0
        assert json.loads(text.result())["modules"] == ["locked_desk"]
    assert pipe.is_fifo()


def test_a_check_prints_how_program_and_file_differ(folder: Path) -> None:
    """It writes nothing; the versions of libraries are no difference."""
    run("locked_desk")
    lock = written()
    lock["made_with"] = {"pydantic": "2.0"}
    (folder / "remit.lock.json").write_text(json.dumps(lock))
    same = run("--check")
    assert (same.exit_code, same.output) == (0, "")
    lock["steps"]["locked_desk:find"]["risk"]["allows"] = ["create_data"]
    text = json.dumps(lock)
    (folder / "remit.lock.json").write_text(text)
    differs = run("locked_desk", "--check")
    assert differs.exit_code == 1
    assert differs.stdout.splitlines()[:5] == [
        "step find",
        "  widens   read_data: unknown -> allowed",
        "  weakens  create_data: allowed -> unknown",
        "",
        "2 differences: 1 widens, 1 weakens.",
    ]
    assert (folder / "remit.lock.json").read_text() == text


@each(
    ("words", "files", "said"),
    [
        pytest.param(
            "no_such_module", {}, "there is no module 'no_such_module' on the path", id="no-module"
        ),
        pytest.param(
            "locked_broken",
            {"locked_broken.py": "1 / 0"},
            "importing locked_broken fails: ZeroDivisionError: division by zero",
            id="import",
        ),
        pytest.param(
            "locked_half",
            {"locked_half/__init__.py": DESK, "locked_half/other.py": "1 / 0"},
            "importing locked_half.other fails: ZeroDivisionError",
            id="import-below",
        ),
        pytest.param(
            "locked_exit",
            {"locked_exit.py": "raise SystemExit(0)"},
            "importing locked_exit ends the program",
            id="exit",
        ),
        pytest.param(
            "locked_wrong",
            {"locked_wrong.py": "import remit\nremit.risk(allows='red_data')"},
            "importing locked_wrong fails: DeclarationError",
            id="declaration",
        ),
        pytest.param("locked_desk json", {}, "json declares no agent: decorate", id="no-agent"),
        pytest.param("my-app", {}, "'my-app' is not the name of a module", id="no-name"),
        pytest.param("", {}, "there is no file remit.lock.json: write it with", id="no-lock"),
        pytest.param("--check", {}, "there is no file remit.lock.json", id="check-no-lock"),
        pytest.param(
            "locked_desk --check", {}, "there is no file remit.lock.json", id="check-module-no-lock"
        ),
        pytest.param(
            "--check", {"remit.lock.json": "{"}, "remit.lock.json is not JSON: ", id="no-json"
        ),
        pytest.param(
            "--check", {"remit.lock.json": "[" * 100_000}, "remit.lock.json is not JSON", id="deep"
        ),
        pytest.param(
            "--check", {"remit.lock.json": "[1]"}, "remit.lock.json is not a lock", id="other-json"
        ),
        pytest.param(
            "--check",
            {"remit.lock.json": '{"remit_lock": "2"}'},
            'remit.lock.json has the format "2", and this version of remit reads the format 1',
            id="format",
        ),
        pytest.param(
            "",
            {"remit.lock.json": '{"remit_lock": 1, "modules": [], "agents": {}, "steps": {}}'},
            "remit.lock.json lists no modules: specify them",
            id="no-modules",
        ),
        pytest.param(
            "",
            {"remit.lock.json": '{"remit_lock": 1, "modules": ["locked_desk", 1]}'},
            "remit.lock.json is not a lock as `remit lock` writes it",
            id="odd-modules",
        ),
        pytest.param(
            "locked_desk -o no/such.json",
            {},
            "no/such.json cannot be written: No such",
            id="folder",
        ),
        pytest.param("locked_desk --check --server", {}, "--check compares a program", id="both"),
    ],
)
def test_what_cannot_be_locked_or_compared_exits_with_2(
    words: str, files: dict[str, str], said: str, folder: Path
) -> None:
    """With one sentence, and without a lock: 1 means a difference."""
    for name in ("remit.lock.json", *files):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).unlink(missing_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    before = set(folder.rglob("*.json"))
    result = run(*words.split())
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.output
    assert set(folder.rglob("*.json")) == before


def test_a_failed_lock_leaves_the_file_as_it_was(folder: Path) -> None:
    """Nothing of the new one is left either."""
    run("locked_desk")
    before = written()
    (folder / "locked_broken.py").write_text("import locked_missing")
    assert run("locked_desk", "locked_broken").exit_code == 2
    assert written() == before
    assert [path.name for path in folder.glob("remit*")] == ["remit.lock.json"]


@each("version", ["before", "after"])
def test_the_locks_of_the_pull_request_are_those_of_its_programs(
    version: str, folder: Path
) -> None:
    """`remit diff` is tested with them (tests/unit/test_cli_diff.py)."""
    governed = Path(__file__).parents[1] / "data" / "governed"
    program = (governed / f"{version}.py").read_text()
    (folder / "locked_program.py").write_text(program)
    sys.modules.pop("locked_program", None)
    with isolated():
        assert run("locked_program").exit_code == 0
    expected = (governed / f"{version}.lock.json").read_text().replace("desk:", "locked_program:")
    lock, golden = written(), json.loads(expected)
    assert lock["steps"] == golden["steps"]
    for agent, entry in lock["agents"].items():
        assert entry | {"registers": ""} == golden["agents"][agent] | {"registers": ""}
