"""Commands whose output cannot be written: a full disk, and a pipe whose reader has ended."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.process.test_cli import ROOT, environment, remit

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


@contextmanager
def full_disk() -> Generator[IO[bytes]]:
    """Yield a file on a device without room."""
    with Path("/dev/full").open("wb", buffering=0) as device:
        yield device


@contextmanager
def closed_pipe() -> Generator[IO[bytes]]:
    """Yield the end to write of a pipe that nothing reads."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as pipe:
        yield pipe


def written_to(stdout: IO[bytes], home: Path, *words: str) -> tuple[int, str]:
    """Return the status of a command and what it writes to standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "remit", *words],
        cwd=ROOT,
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stderr.decode()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with the runs of the demo, and a token."""
    folder = tmp_path_factory.mktemp("home")
    assert remit(folder, "demo").returncode == 0
    assert remit(folder, "token", "create").returncode == 0
    return folder


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_full_disk_is_one_line(words: tuple[str, ...], home: Path) -> None:
    """Of the help as of every command; the status is 1."""
    with full_disk() as output:
        status, said = written_to(output, home, *words)
    assert said == "remit: standard output cannot be written: No space left on device\n"
    assert status == 1


@pytest.mark.parametrize("name", ["help", "doctor", "runs", "schema as JSON", "tail", "server"])
def test_a_closed_pipe_ends_a_command_silently(name: str, home: Path) -> None:
    """As behind `| head -1`, with the status that a shell has for SIGPIPE."""
    with closed_pipe() as output:
        status, said = written_to(output, home, *COMMANDS[name])
    assert (status, said) == (141, "")


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
    with full_disk() as output:
        status, said = written_to(output, tmp_path, "runs", "list")
    assert (status, said.count("\n")) == (1, 1)
    assert said.startswith("remit: there is no database at ")
