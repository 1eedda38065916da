"""Which steps an agent registers: those below its source root, in every process and in each run."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.stored import SPANS

MAIN = """
import remit
import tools

@remit.agent({options})
def bot(question: str) -> str:
    for use in tools.ALL:
        use(question)
    return "Done."

if __name__ == "__main__":
    for _ in range(2):
        bot("What?")
    print(bot.registration()["agent_schema_version"]["external_identifier"])
    raise SystemExit(not remit.flush(60))
"""
TOOLS = """
import remit
{imports}

@remit.span_type(data_risk=remit.risk(allows="destroy_data"))
def pay(question: str) -> None: ...

ALL = [pay, {more}]
"""
STEP = """
import remit

@remit.span_type
def tidy(question: str) -> None: ...
"""
FORBIDS = 'data_risk=remit.risk(forbids="destroy_data")'


def flat(folder: Path, *, options: str = "", imports: str = "", more: str = "") -> None:
    """Write a program of two modules side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.py").write_text(MAIN.replace("{options}", options))
    (folder / "tools.py").write_text(TOOLS.replace("{imports}", imports).replace("{more}", more))


def python(
    folder: Path, *words: str, path: tuple[Path, ...] = (), check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run Python in *folder*, with other folders on the path."""
    return subprocess.run(
        [sys.executable, *words],
        check=check,
        capture_output=True,
        text=True,
        cwd=folder,
        env={
            **{name: text for name, text in os.environ.items() if not name.startswith("REMIT_")},
            "PYTHONPATH": os.pathsep.join(map(str, path)),
            "REMIT_DATA_DIR": str(folder / "data"),
        },
        timeout=60,
    )


def registered_in(folder: Path, *, path: tuple[Path, ...] = ()) -> list[str]:
    """Return the names of the span types that `remit schema show` prints for the agent."""
    shown = python(folder, "-m", "remit", "schema", "show", "main:bot", "--json", path=path).stdout
    types = json.loads(shown)["agent_schema_version"]["span_type_schemas"]
    return [each["name"] for each in types if not each["name"].startswith("remit:")]


def recorded_in(folder: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the identifiers of the schema versions that runs have, and the payloads of steps."""
    with closing(sqlite3.connect(folder / "data" / "remit.db")) as store:
        versions = store.execute("SELECT external_identifier FROM agent_schema_versions").fetchall()
        payloads = store.execute(
            f"SELECT payload FROM {SPANS} WHERE schema_name LIKE '%:tidy' ORDER BY id"
        ).fetchall()
    return [version for (version,) in versions], [json.loads(payload) for (payload,) in payloads]


def test_the_steps_of_a_module_beside_the_agents_are_its_own(tmp_path: Path) -> None:
    """`schema show --risk` names the one that does what the agent forbids."""
    flat(tmp_path, options=FORBIDS)
    shown = python(tmp_path, "-m", "remit", "schema", "show", "main:bot", "--risk").stdout
    assert "tools:pay" in shown
    assert "denied     tools:pay: destroy_data" in shown
    assert "violations " in shown


def test_each_run_of_each_process_registers_the_same(tmp_path: Path) -> None:
    """The first run and later ones, of a script and of `python -m`."""
    flat(tmp_path)
    printed = {python(tmp_path, *words).stdout.strip() for words in (("main.py",), ("-m", "main"))}
    versions, _ = recorded_in(tmp_path)
    assert versions == list(printed)


def test_a_package_beside_the_agents_module_is_its_own(tmp_path: Path) -> None:
    """Also through a symbolic link to the folder, which Python follows for `sys.path` alone."""
    project, link = tmp_path / "project", tmp_path / "link"
    flat(project, imports="from shop.deep import more", more="more.tidy")
    (project / "shop" / "deep").mkdir(parents=True)
    (project / "shop" / "deep" / "more.py").write_text(STEP)
    assert registered_in(project) == ["main:bot", "shop.deep.more:tidy", "tools:pay"]
    link.symlink_to(project, target_is_directory=True)
    python(tmp_path, str(link / "main.py"))
    with closing(sqlite3.connect(tmp_path / "data" / "remit.db")) as store:
        (named,) = store.execute("SELECT span_type_schemas FROM agent_schema_versions").fetchone()
    assert "tools:pay" in str(named)


@pytest.mark.parametrize(
    ("folder", "installed"),
    [
        pytest.param("project/.venv/lib/site-packages", False, id="a virtual environment below"),
        pytest.param("project", True, id="a folder with installed distributions"),
    ],
)
def test_what_is_elsewhere_is_said_once_with_the_line_to_add(
    tmp_path: Path, folder: str, *, installed: bool
) -> None:
    """It is marked in the record, registered in no run, and registered once the line is added."""
    project, other = tmp_path / "project", tmp_path / folder
    flat(project, imports="from library import tidy", more="tidy, tidy")
    other.mkdir(parents=True, exist_ok=True)
    (other / "library.py").write_text(STEP)
    if installed:
        (project / "library-1.0.dist-info").mkdir()
    own = ["main:bot"] if installed else ["main:bot", "tools:pay"]
    assert registered_in(project, path=(other,)) == own
    ended = python(project, "main.py", path=(other,))
    members = "'library:'" if installed else "'library:', 'tools:'"
    line = f"@remit.agent(span_types=[{members}])"
    assert ended.stderr.count(line) == ended.stderr.count("library:tidy") == 1
    assert ended.stderr.count("@remit.agent(span_types=['tools:'])") == installed
    versions, payloads = recorded_in(project)
    assert versions == [ended.stdout.strip()]
    marked = {"question": "What?", "$remit": {"unregistered": True}}
    assert payloads == [marked] * 4
    shown = python(project, "-m", "remit", "runs", "show", "last").stdout
    assert "library:tidy" in shown
    assert "! not in the agent's registration (span_types=)" in shown

    flat(
        project,
        options="span_types=['library:', 'tools:']",
        imports="from library import tidy",
        more="tidy, tidy",
    )
    assert registered_in(project, path=(other,)) == ["library:tidy", "main:bot", "tools:pay"]
    assert python(project, "main.py", path=(other,)).stderr == ""


def test_an_agent_that_names_span_types_has_them_and_its_own_package(tmp_path: Path) -> None:
    """Not all of its source root."""
    flat(
        tmp_path,
        options="span_types=['more']",
        imports="import more, rest",
        more="more.tidy, rest.tidy",
    )
    for name in ("more", "rest"):
        (tmp_path / f"{name}.py").write_text(STEP)
    assert registered_in(tmp_path) == ["main:bot", "more:tidy"]


def test_a_module_that_is_imported_after_the_first_run_joins_the_next(tmp_path: Path) -> None:
    """As a new registration, which is right: the declarations are others."""
    flat(tmp_path, more="lambda question: __import__('later').tidy(question)")
    (tmp_path / "later.py").write_text(STEP)
    ended = python(tmp_path, "main.py")
    versions, payloads = recorded_in(tmp_path)
    assert (len(versions), ended.stderr) == (2, "")
    assert payloads == [{"question": "What?"}] * 2


def test_functions_of_others_belong_where_they_are_decorated(tmp_path: Path) -> None:
    """A step, and an agent, made of a library's function."""
    (tmp_path / "main.py").write_text(
        "import json, textwrap, remit, tools\nbot = remit.agent(textwrap.indent)\n"
    )
    (tmp_path / "tools.py").write_text("import json, remit\nload = remit.span_type(json.loads)\n")
    assert registered_in(tmp_path) == ["json:loads", "textwrap:indent"]


def test_a_zip_archive_is_a_source_root(tmp_path: Path) -> None:
    """Its modules are beside each other in it."""
    flat(tmp_path / "inside")
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        for name in ("main.py", "tools.py"):
            archive.write(tmp_path / "inside" / name, name)
    assert registered_in(tmp_path, path=(tmp_path / "app.zip",)) == ["main:bot", "tools:pay"]


def test_code_without_a_file_belongs_to_the_current_folder(tmp_path: Path) -> None:
    """As at a prompt or in a notebook."""
    flat(tmp_path)
    lines = (
        "import remit, tools; bot = remit.agent(lambda question: question); "
        "print([each['name'] for each in "
        "bot.registration()['agent_schema_version']['span_type_schemas']])"
    )
    assert "'tools:pay'" in python(tmp_path, "-c", lines).stdout
