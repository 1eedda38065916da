"""Commands whose output cannot be written: a full disk, and a pipe whose reader has ended."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.process.test_cli import ROOT, environment, remit
from tests.processes import Ended, forked

COMMANDS = {
    "help": ("--help",),
    "version": ("--version",),
    "help of a command": ("db", "retain", "--help"),
    "doctor": ("doctor",),
    "doctor as JSON": ("doctor", "--json"),
    "demo": ("demo",),
    "schema": ("schema", "show", "examples.support_desk:support"),
    "schema as JSON": ("schema", "show", "examples.support_desk:support", "--json"),
    "check": ("schema", "check", "examples.support_desk"),
    "spool": ("spool", "status"),
    "token": ("token", "create", "--quiet"),
    "tokens": ("token", "list"),
    "runs": ("runs", "list"),
    "run": ("runs", "show", "last"),
    "tail": ("runs", "tail"),
    "upgrade": ("db", "upgrade"),
    "server": ("serve", "--port", "0"),
}


IMPORTS = """
from importlib import import_module
from remit.cli._main import Commands, main
import examples.support_desk, remit.collector.local, remit.collector.server.app, uvicorn
for place, _ in Commands.lazy.values():
    import_module(place.partition(":")[0])
"""
BODY = """
import os
os.chdir({root!r})
reader, writer = os.pipe()
os.close(reader)
os.dup2(os.open("/dev/full", os.O_WRONLY) if sys.argv.pop(1) == "full" else writer, 1)
main(prog_name="python -m remit")
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with the runs of the demo, and a token."""
    folder = tmp_path_factory.mktemp("home")
    assert remit(folder, "demo").returncode == 0
    assert remit(folder, "token", "create").returncode == 0
    return folder


def each_written_to(
    output: str, names: Iterable[str], home: Path, folder: Path
) -> dict[str, Ended]:
    """Run each command in a copy of *home*, and return how it ended."""
    cases: dict[str, tuple[dict[str, str], list[str]]] = {}
    for name in names:
        shutil.copytree(home, folder / name)
        cases[name] = environment(folder / name), [output, *COMMANDS[name]]
    return forked(IMPORTS, BODY.format(root=str(ROOT)), cases)


def test_a_full_disk_is_one_line(home: Path, tmp_path: Path) -> None:
    """Of the help as of every command; the status is 1."""
    said = "remit: standard output cannot be written: No space left on device\n"
    ended = each_written_to("full", COMMANDS, home, tmp_path)
    assert ended == dict.fromkeys(COMMANDS, Ended(1, "", said))


def test_a_closed_pipe_ends_a_command_silently(home: Path, tmp_path: Path) -> None:
    """As behind `| head -1`, with the status that a shell has for SIGPIPE."""
    names = ("help", "doctor", "runs", "schema as JSON", "tail", "server")
    ended = each_written_to("pipe", names, home, tmp_path)
    assert ended == dict.fromkeys(names, Ended(141, "", ""))


def test_a_copy_that_does_not_fit_is_one_line_and_leaves_no_file(home: Path) -> None:
    """A limit of the size of files fails as a full disk does."""
    copy = home / "copy.db"
    command = f"ulimit -f 8; {sys.executable} -m remit db backup {copy}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        check=False,
        timeout=60,
        text=True,
    )
    assert done.returncode == 1
    assert f"cannot be copied to {copy}: " in done.stderr
    assert done.stderr.count("\n") == 1
    assert not copy.exists()


@pytest.mark.smoke
def test_a_full_disk_does_not_hide_why_a_command_fails(tmp_path: Path) -> None:
    """Nothing was to be written."""
    home = tmp_path / "home"
    home.mkdir()
    (ended,) = each_written_to("full", ["runs"], home, tmp_path).values()
    assert (ended.code, ended.errors.count("\n")) == (1, 1)
    assert ended.errors.startswith("remit: there is no database at ")
