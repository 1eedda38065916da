"""Declarations in real processes: hash seeds, `python -m`, scripts, spawned children, reload."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.data.corpus import GOLDEN_HASH

ROOT = Path(__file__).parents[2]

ALL_SEEDS = 20
"""Processes that `REMIT_TEST_FULL=1` compares; a few are enough at the desk."""

SEEDS = range(ALL_SEEDS if os.environ.get("REMIT_TEST_FULL") else 2)

REGISTER = """
from tests.data.corpus import CASES, hash_of, registration

print(hash_of(registration()))
"""

REVERSED = """
import typing
# Made first, in the other order: typing hands these out to whoever asks for an equal one.
typing.List[typing.Union[str, int]], typing.Optional[typing.List[int]]
typing.Union[None, str, int], typing.Literal["no", "yes"]
""" + REGISTER.replace("registration())", "registration(reversed(CASES)))")

PROGRAM = '''
"""A program that declares a step in its main module."""

import json
import multiprocessing

from remit._declare.registry import Registry, SpanType
from remit._inspect.signature import CallKind


def step() -> None:
    """Do something."""


NAME = SpanType(step, kind=CallKind.FUNCTION, skip_first=False).name


def tell(answers: "multiprocessing.Queue[str]") -> None:
    answers.put(NAME)


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    child = context.Process(target=tell, args=(answers,))
    child.start()
    print(json.dumps([NAME, answers.get(timeout=60)]))
    child.join()
'''

TYPED = PROGRAM.partition("def tell")[0] + "print(NAME)"

RELOAD = """
import importlib
from pathlib import Path

import declaring

declaring.registry = declaring.Registry()
declaring.declare(declaring.registry)
first = declaring.registry.span_types()
kept = declaring.registry
path = Path(declaring.__file__)
path.write_text("\\n\\n" + path.read_text())
importlib.reload(declaring)
declaring.declare(kept)
(again,) = kept.span_types()
print(again.name, again.line - first[0].line, again is not first[0])
"""

DECLARING = '''
from remit._declare.registry import Registry, SpanType
from remit._inspect.signature import CallKind


def step() -> None:
    """Do something."""


def declare(registry: Registry) -> None:
    registry.add_span_type(
        SpanType(step, kind=CallKind.FUNCTION, skip_first=False, explicit_name="search")
    )
'''


def run(*arguments: str, cwd: Path = ROOT, **environment: str) -> str:
    """Return what a Python process prints."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    answer = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        check=True,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment},
    )
    return answer.stdout.strip()


def test_every_process_registers_the_same(tmp_path: Path) -> None:
    """The whole corpus, whatever the hash seed, and whatever was declared or made before."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        hashes = set(threads.map(lambda seed: run("-c", REGISTER, PYTHONHASHSEED=str(seed)), SEEDS))
    hashes.add(run("-c", REVERSED, cwd=tmp_path, PYTHONHASHSEED="4711"))
    assert hashes == {GOLDEN_HASH.read_text().strip()}


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("-m", "shop.desk"), "shop.desk:step"),
        (("shop/desk.py",), "desk:step"),
    ],
    ids=["python -m", "script"],
)
def test_a_step_of_the_main_module_has_one_name_everywhere(
    tmp_path: Path, arguments: tuple[str, ...], name: str
) -> None:
    """The program and the children that it spawns use the same name."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "desk.py").write_text(PROGRAM)
    assert json.loads(run(*arguments, cwd=tmp_path)) == [name, name]


def test_a_package_that_is_run_has_the_name_of_its_main(tmp_path: Path) -> None:
    """The name is that of its specification."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__main__.py").write_text(TYPED)
    assert run("-m", "shop", cwd=tmp_path) == "shop.__main__:step"


def test_a_step_typed_into_python_is_of_a_notebook() -> None:
    """There is neither a file nor a module."""
    assert run("-c", TYPED) == "notebook:step"


def test_a_reload_after_an_edit_declares_the_same_step(tmp_path: Path) -> None:
    """The function moved two lines down, and is the same."""
    (tmp_path / "declaring.py").write_text(DECLARING)
    assert run("-c", RELOAD, cwd=tmp_path, PYTHONDONTWRITEBYTECODE="1") == "search 2 True"


AGENT = '''
import remit


@remit.agent
def bot() -> None:
    """Answer."""


if __name__ == "__main__":
    bot()
    flushed = remit.flush(60)
    assert flushed, (flushed, remit.status())
'''


def test_two_projects_with_one_agents_name_are_told_apart(tmp_path: Path) -> None:
    """Local mode writes one file for all of them; a project's agent is one however it starts."""
    environ = {**os.environ, "HOME": str(tmp_path), "REMIT_MODE": "local"}
    environ |= {"REMIT_DATA_DIR": str(tmp_path / "data"), "REMIT_EXIT_TIMEOUT_S": "60"}
    # In a narrow table names are cut.
    environ["COLUMNS"] = "120"
    remit = [sys.executable, "-m", "remit"]

    def out(*words: str, cwd: Path = tmp_path) -> str:
        done = subprocess.run(
            words, cwd=cwd, env=environ, capture_output=True, text=True, check=False, timeout=100
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    for project in ("shop", "bank"):
        (tmp_path / project / "app").mkdir(parents=True)
        (tmp_path / project / "pyproject.toml").write_text(f'[project]\nname = "{project}"\n')
        (tmp_path / project / "app" / "main.py").write_text(AGENT)
        out(sys.executable, "-m", "app.main", cwd=tmp_path / project)
    assert sorted(re.findall(r"Bot \(\w+\)", out(*remit, "runs", "list"))) == [
        "Bot (bank)",
        "Bot (shop)",
    ]
    out(sys.executable, "-c", "from app.main import bot; bot()", cwd=tmp_path / "shop")
    listed = json.loads(out(*remit, "runs", "list", "--json"))
    identifiers = [each["agent"]["external_identifier"] for each in listed]
    assert identifiers == [f"{each}/app.main:bot" for each in ("shop", "bank", "shop")]


STEPS = """
import remit


@remit.span_type
def {step}() -> None:
    pass


@remit.agent{arguments}
def bot() -> None:
    {step}()


bot()
assert remit.flush(60)
print(*remit.status().collisions.values())
"""


def test_two_programs_with_one_identifier_are_reported(tmp_path: Path) -> None:
    """In one log line, in the status and by `remit doctor`; a given identifier parts them."""
    folder = tmp_path / "data"
    environ = {**os.environ, "REMIT_MODE": "local", "REMIT_DATA_DIR": str(folder)}

    def told(name: str, step: str, arguments: str = "") -> subprocess.CompletedProcess[str]:
        place = tmp_path / name
        place.mkdir(exist_ok=True)
        (place / "main.py").write_text(STEPS.format(step=step, arguments=arguments))
        command = [sys.executable, "main.py"]
        return subprocess.run(
            command, cwd=place, env=environ, capture_output=True, text=True, check=True, timeout=60
        )

    assert told("shop", "pay").stderr == ""
    second = told("bank", "read")
    assert second.stdout == "another program declares main:pay\n"
    assert second.stderr.count("another program registered the agent main:bot") == 1
    doctor = [sys.executable, "-m", "remit", "doctor"]
    checks = subprocess.run(
        doctor, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=60
    ).stdout
    assert "2 programs use the identifier main:bot" in " ".join(checks.split())
    assert told("third", "write", '(external_identifier="third-bot")').stderr == ""
    command = [sys.executable, "-m", "remit", "agents", "list", "--json"]
    listed = subprocess.run(command, env=environ, capture_output=True, check=True, timeout=60)
    identifiers = {each["external_identifier"] for each in json.loads(listed.stdout)}
    assert identifiers == {"main:bot", "third-bot"}


def test_a_run_is_recorded_where_the_current_folder_is_gone(tmp_path: Path) -> None:
    """The project of an agent is looked for there, and not found."""
    environ = {**os.environ, "REMIT_MODE": "local", "REMIT_DATA_DIR": str(tmp_path / "data")}
    gone = tmp_path / "gone"
    gone.mkdir()
    leave = f"import os\nos.chdir({str(gone)!r})\nos.rmdir({str(gone)!r})\n"
    program = [sys.executable, "-c", leave + AGENT]
    subprocess.run(program, env=environ, check=True, timeout=60)
    command = [sys.executable, "-m", "remit", "runs", "list", "--json"]
    told = subprocess.run(command, env=environ, capture_output=True, check=True, timeout=60)
    assert [each["run"]["status"] for each in json.loads(told.stdout)] == ["complete"]
