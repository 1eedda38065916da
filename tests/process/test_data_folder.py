"""The data folder: for its owner only, not used where others may write, and without links."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.spooling import Spooled, in_child, item, record

PROGRAM: Final = """
import remit

@remit.agent
def bot(number: int) -> int:
    return number

assert [bot(number) for number in range(3)] == [0, 1, 2]
remit.flush(0.3)
"""
SERVER: Final = {"REMIT_API_URL": "http://127.0.0.1:9", "REMIT_API_TOKEN": "x"}
OTHER_USER: Final = 65534
COMMANDS: Final = {
    "list": ("runs", "list"),
    "token": ("token", "create"),
    "status": ("spool", "status"),
    "send": ("spool", "send"),
    "purge": ("spool", "purge", "--yes"),
    "doctor": ("doctor",),
}


def python(
    *words: str, env: Mapping[str, str], umask: int = 0o022
) -> subprocess.CompletedProcess[str]:
    """Run Python with nothing of remit's in the environment but *env*."""
    kept = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("REMIT_", "PREFACTOR_", "XDG_"))
    }
    return subprocess.run(
        [sys.executable, *words],
        env={**kept, "REMIT_EXIT_TIMEOUT_S": "0.5", **env},
        umask=umask,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def modes(home: Path) -> dict[str, int]:
    """Return who may use what lies in a home."""
    found = {path.relative_to(home).as_posix(): path for path in home.rglob("*")}
    return {name: stat.S_IMODE(path.stat().st_mode) for name, path in found.items()}


@pytest.mark.parametrize("umask", [0o000, 0o022], ids=["umask-0", "umask-022"])
@pytest.mark.parametrize("server", [{}, SERVER], ids=["local", "remote"])
def test_the_data_folder_is_made_for_its_owner_only(
    tmp_path: Path, umask: int, server: dict[str, str]
) -> None:
    """With the folders above it that are missing, and what is in it."""
    done = python("-c", PROGRAM, env={"HOME": str(tmp_path), **server}, umask=umask)

    assert done.returncode == 0, done.stderr
    found = modes(tmp_path)
    assert found.pop(".local/state/remit") == 0o700
    assert all(mode in (0o600, 0o700) for mode in found.values()), found


def of_all(folder: Path) -> None:
    """Let other users write to a folder."""
    folder.chmod(0o777)


def of_another(folder: Path) -> None:
    """Give a folder to another user."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(folder, OTHER_USER, OTHER_USER)


each_shared = pytest.mark.parametrize("share", [of_all, of_another])


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """Return a data folder in which an ended process left something for the server."""
    folder = tmp_path / "data"
    spooled = Spooled(folder, target=SERVER["REMIT_API_URL"], token="x")
    in_child(lambda: spooled.outbox().put([item(1)], [record()]))
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """Return all that lies in a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@each_shared
@pytest.mark.parametrize("server", [{}, SERVER], ids=["local", "remote"])
def test_a_folder_that_others_may_write_to_is_not_used(
    left: Path, share: Callable[[Path], None], server: dict[str, str]
) -> None:
    """The program goes on, and one line of the spool's says why nothing is kept."""
    share(left)
    before = content(left)

    done = python("-c", PROGRAM, env={"REMIT_DATA_DIR": str(left), **server})

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert content(left) == before
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("the spool in ")]
    assert f"the folder {left} belongs to another user" in said or (
        f"other users may write to the folder {left}" in said
    )


def test_a_folder_that_cannot_be_made_is_named_and_the_program_goes_on() -> None:
    """In /proc making a folder says that there is no such folder, although the parent exists."""
    done = python("-c", PROGRAM, env={"REMIT_DATA_DIR": "/proc/remit"})

    assert done.returncode == 0, done.stderr
    assert "a fault inside remit" not in done.stderr
    assert "/proc/remit/remit.db cannot be opened" in done.stderr


@each_shared
def test_a_spool_that_others_may_write_to_is_not_sent(
    left: Path, share: Callable[[Path], None]
) -> None:
    """What lies in it may be anybody's."""
    share(left / "spool")
    before = content(left)

    assert python("-c", PROGRAM, env={"REMIT_DATA_DIR": str(left), **SERVER}).returncode == 0
    assert content(left) == before


@each_shared
@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_command_says_that_others_may_write_to_the_folder(
    left: Path, words: tuple[str, ...], share: Callable[[Path], None]
) -> None:
    """As an error, with what to do, and does nothing."""
    share(left)
    before = content(left)

    done = python("-m", "remit", *words, env={"REMIT_DATA_DIR": str(left)})

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert "belongs to another user" in said or "other users may write to" in said
    assert content(left) == before


def test_links_in_the_data_folder_are_not_followed(left: Path, tmp_path: Path) -> None:
    """Of a database, of a spool file, of a lock."""
    (spooled,) = (left / "spool").glob("*.db")
    lock = spooled.with_suffix(".lock")
    lock.unlink(missing_ok=True)
    for number, link in enumerate((left / "remit.db", lock, left / "spool" / "planted.db")):
        link.symlink_to(tmp_path / f"victim-{number}")
    (tmp_path / "victim-2").write_bytes(spooled.read_bytes())

    program = python("-c", PROGRAM, env={"REMIT_DATA_DIR": str(left)})
    sent = python("-m", "remit", "spool", "send", env={"REMIT_DATA_DIR": str(left), **SERVER})

    assert program.returncode == 0, program.stderr
    assert "remit.db is a symbolic link to" in program.stderr
    assert "Traceback" not in sent.stderr
    assert [path.name for path in tmp_path.glob("victim-*")] == ["victim-2"]


def test_an_access_log_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    """The server does not start."""
    log = tmp_path / "access.log"
    log.symlink_to(tmp_path / "victim")
    words = ("serve", "--port", "0", "--db", str(tmp_path / "remit.db"), "--access-log", str(log))

    served = python("-m", "remit", *words, env={"HOME": str(tmp_path)})

    assert served.returncode == 1
    assert f"{log} is a symbolic link to {tmp_path / 'victim'}" in served.stderr
    assert not (tmp_path / "victim").exists()
