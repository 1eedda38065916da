"""`remit lock --server`: the lock of what was registered is that of the program."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr

from remit.cli import main
from remit.collector import Store, create_token
from remit.config import Settings
from remit.testing import isolated
from tests.collecting import World, on_a_port
from tests.inside import setup
from tests.served import PATIENCE
from tests.stores import on_each_store
from tests.subtests import each

pytestmark = pytest.mark.usefixtures("no_integrations")

SHARED = '''
from typing import Annotated

import remit

@remit.span_type(data_risk=remit.risk(allows="read_data", gives="personal_identifiers"))
def find(name: Annotated[str, remit.Sensitive("personal_identifiers")]) -> dict[str, str | None]:
    """Find "Zoë" \\U0001f600."""
    return {}

@remit.span_type(data_risk={"action_profile": {"read_data": "allowed"}, "reviewed": ["May", 1]})
def send(text: str, most: int = 3) -> None: ...
'''
DESK = '''
import remit
from served_desk import steps

@remit.agent(data_risk=remit.risk(allows="read_data", forbids="others"))
def answer(question: str) -> str:
    """Answer."""
    steps.find(question)
    return question

@remit.agent
def free(question: str) -> str:
    steps.send(question)
    return question
'''


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A package with two agents in the current folder, and its lock."""
    package = tmp_path / "served_desk"
    package.mkdir()
    (package / "__init__.py").write_text(DESK)
    (package / "steps.py").write_text(SHARED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with isolated():
        assert lock("served_desk").exit_code == 0
        yield sys.modules["served_desk"]
    for name in ("served_desk", "served_desk.steps"):
        sys.modules.pop(name, None)


@pytest.fixture
def server(store: Store, desk: Any, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a person who uses a server where both agents ran."""
    secret = create_token(store, "account").secret
    with on_a_port(World(store).app) as url:
        record(desk, Settings(api_url=url, api_token=SecretStr(secret), data_dir=tmp_path / "data"))
        yield {"REMIT_API_URL": url, "REMIT_API_TOKEN": secret}


def record(desk: Any, settings: Settings) -> None:
    """Run both agents."""
    with setup.isolated(settings) as runtime:
        desk.answer("why")
        desk.free("why")
        assert runtime.flush(60)


def lock(*words: str, **env: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["lock", *words], env=env)


def read(name: str) -> Any:
    """Return the lock in a file."""
    return json.loads(Path(name).read_text("utf-8"))


@on_each_store
def test_the_lock_of_a_server_is_that_of_the_program(server: dict[str, str]) -> None:
    """All that a registration says arrives; how the lock was made is another thing."""
    result = lock("--server", "-o", "live.json", **server)
    assert (result.exit_code, result.output) == (0, "live.json: 2 agents, 2 steps\n")
    live, reviewed = read("live.json"), read("remit.lock.json")
    assert live.pop("modules") == []
    assert reviewed.pop("modules") == ["served_desk"]
    del reviewed["made_with"]
    assert live == reviewed
    assert live["steps"]["served_desk.steps:send"]["risk"]["extra"] == {"reviewed": ["May", 1]}


def test_without_a_file_the_lock_is_printed(server: dict[str, str]) -> None:
    """The reviewed lock is not overwritten by what runs."""
    before = Path("remit.lock.json").read_text()
    result = lock("served_desk", "--server", **server)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["agents"] == read("remit.lock.json")["agents"]
    assert Path("remit.lock.json").read_text() == before


def test_the_newest_schema_version_counts(
    server: dict[str, str],
    desk: Any,
    tmp_path: Path,
) -> None:
    """Of each agent by itself; MODULE selects agents."""
    newer = isolated()
    with newer:
        namespace: dict[str, Any] = {"__name__": "served_desk.steps"}
        exec(SHARED.replace("most: int = 3", "least: int"), namespace)
        secret = SecretStr(server["REMIT_API_TOKEN"])
        with setup.isolated(
            Settings(api_url=server["REMIT_API_URL"], api_token=secret, data_dir=tmp_path / "new")
        ) as runtime:
            desk.free("why")
            assert runtime.flush(60)
    live = json.loads(lock("--server", **server).stdout)
    reviewed = read("remit.lock.json")
    answer, free = "served_desk:answer", "served_desk:free"
    assert live["agents"][answer] == reviewed["agents"][answer]
    assert live["agents"][free]["registers"] != reviewed["agents"][free]["registers"]
    assert live["steps"]["served_desk.steps:send"]["params"] == {
        "least": "integer",
        "text": "string",
    }
    one = json.loads(lock("--server", answer, **server).stdout)
    assert one["agents"] == {answer: reviewed["agents"][answer]}


def test_in_local_mode_the_database_is_read(desk: Any, tmp_path: Path) -> None:
    """Agents have their names there, without the folder of the project."""
    record(desk, Settings(mode="local", data_dir=tmp_path / "local"))
    local = {"REMIT_MODE": "local", "REMIT_DATA_DIR": str(tmp_path / "local")}
    assert lock("--server", "-o", "live.json", **local).exit_code == 0
    live, reviewed = read("live.json"), read("remit.lock.json")
    assert (live["agents"], live["steps"]) == (reviewed["agents"], reviewed["steps"])


def test_two_projects_of_local_mode_are_told_apart(desk: Any, tmp_path: Path) -> None:
    """Both have an agent of the same name."""
    data_dir = tmp_path / "local"
    record(desk, Settings(mode="local", data_dir=data_dir, project="first"))
    local = {"REMIT_MODE": "local", "REMIT_DATA_DIR": str(data_dir)}
    with isolated():
        other = tmp_path / "other"
        (tmp_path / "served_desk").rename(tmp_path / "moved")
        other.mkdir()
        (tmp_path / "moved").rename(other / "served_desk")
        (other / "pyproject.toml").write_text('[project]\nname = "other"\n')
        for name in ("served_desk", "served_desk.steps"):
            sys.modules.pop(name)
        sys.path.insert(0, str(other))
        from served_desk import answer  # type: ignore[import-not-found]  # noqa: PLC0415 - written above

        with setup.isolated(Settings(mode="local", data_dir=data_dir)) as runtime:
            answer("why")
            assert runtime.flush(60)
    both = lock("--server", **local)
    assert both.exit_code == 2
    assert "has two agents 'served_desk:answer': select one by its full identifier, " in both.stderr
    identifier = both.stderr.rpartition(" or ")[2].strip().strip("'")
    one = lock("--server", identifier, **local)
    assert list(json.loads(one.stdout)["agents"]) == ["served_desk:answer"]


@each(
    ("words", "env", "said"),
    [
        pytest.param(
            "nothing", {}, "has no schema version of an agent whose name begins", id="none"
        ),
        pytest.param("", {"REMIT_API_TOKEN": "no_token"}, "token", id="token"),
        pytest.param("", {"REMIT_API_URL": "http://127.0.0.1:9"}, "127.0.0.1:9", id="no-server"),
        pytest.param("", {"REMIT_MODE": "loud"}, "REMIT_MODE", id="settings"),
        pytest.param(
            "",
            {"REMIT_MODE": "local", "REMIT_DATA_DIR": "nowhere"},
            "remit.db",
            id="no-database",
        ),
    ],
)
def test_what_cannot_be_read_exits_with_2(
    words: str, env: dict[str, str], said: str, server: dict[str, str]
) -> None:
    """With one sentence, as without a server."""
    result = lock("--server", *words.split(), **{**server, **env})
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.output


def test_the_token_of_a_deployment_may_not_read_it(server: dict[str, str], store: Store) -> None:
    """The endpoint is for tokens of the account."""
    secret = create_token(store, "agent_deployment", agent="served_desk:answer").secret
    result = lock("--server", **{**server, "REMIT_API_TOKEN": secret})
    assert result.exit_code == 2
    assert "may not list schema versions" in result.stderr
    assert "Use a token of scope account" in result.stderr


FRAMEWORK = """
import remit
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from remit.integrations.pydantic_ai import Remit

def pay(cents: int) -> str:
    return "paid"

careful = Remit(
    risks={{"pay": remit.risk(allows="financial_transactions")}},
    data_risk=remit.risk(forbids="financial_transactions"),
)
desk = Agent(TestModel(), {name}tools=[pay], capabilities=[careful])

if __name__ == "__main__":
    desk.run_sync("pay")
    assert remit.flush(30)
"""


@pytest.mark.gate
@each("name", ["", 'name="desk", '], ids=["without a name", "named"])
def test_an_agent_of_a_framework_is_locked(name: str, tmp_path: Path) -> None:
    """An agent is declared when it has a name: until it runs, the command says how to lock it."""
    module = f"paying_desk{len(name)}"
    (tmp_path / f"{module}.py").write_text(FRAMEWORK.format(name=name))
    env = {**os.environ, **PATIENCE, "REMIT_DATA_DIR": str(tmp_path / module)}

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=env, capture_output=True, text=True,
            check=False, timeout=120,
        )  # fmt: skip

    locked = command("-m", "remit", "lock", module, "-o", f"{module}.json")
    assert command("-m", module).returncode == 0
    server = ["lock", "--server", "pydantic-ai", module]
    if name:
        assert locked.returncode == 0, locked.stderr
        there = json.loads(command("-m", "remit", *server).stdout)
        here = json.loads((tmp_path / f"{module}.json").read_text())
        assert (here["agents"], here["steps"]) == (there["agents"], there["steps"])
    else:
        assert locked.returncode == 2
        assert f"{module} declares no agent: decorate its entry point with" in locked.stderr
        advised = locked.stderr.partition("`remit ")[2].partition("`")[0]
        assert shlex.split(advised) == server
        there = json.loads(command("-m", "remit", *server).stdout)
    (agent,) = there["agents"].values()
    assert agent["risk"]["forbids"] == ["financial_transactions"]
    assert list(agent["steps"]["denied"]) == ["pydantic-ai:tool:pay"]
