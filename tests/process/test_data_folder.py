"""The data folder: for its owner only, not used where others may write, and without links."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result

import remit
from remit.cli import main
from remit.config import Mode
from tests.processes import output_of, runs_in, settings, start, told_by, wait_until
from tests.served import collector
from tests.spooling import Spooled, in_child, item, stored_run
from tests.unconfigured import unconfigured

PROGRAM: Final = """
import os, time
import remit

os.umask(0)

@remit.agent
def bot() -> None:
    pass

bot()
remit.flush(0.3)
while (now := remit.status()).writer_lag_s or now.pending != now.spooled:
    time.sleep(0.01)
"""
HOMELESS: Final = """
import pwd
import remit

pwd.getpwuid = {}.__getitem__

@remit.agent
def bot() -> None:
    pass

"""
DOCTOR: Final = """
from remit.cli import main

main(["doctor", "--json"])
"""
HOMES: Final = ("REMIT_DATA_DIR", "XDG_STATE_HOME", "HOME")
"""Variables that give a user a data directory."""
URL: Final = "http://127.0.0.1:9"
SERVER: Final = {"api_url": URL, "api_token": "x"}
OTHER_USER: Final = 65534
COMMANDS: Final = {
    "list": ("runs", "list"),
    "token": ("token", "create"),
    "status": ("spool", "status"),
    "send": ("spool", "send"),
    "purge": ("spool", "purge", "--yes"),
    "doctor": ("doctor",),
}


@remit.agent
def bot(number: int) -> int:
    """Do nothing."""
    return number


def recorded(folder: Path, words: str, caplog: pytest.LogCaptureFixture, **settings: Any) -> None:
    """Have a process record that keeps its files in *folder*, until its log has *words*."""
    with unconfigured():
        mode: Mode = "remote" if settings else "local"
        # The local collector is imported by then, which takes seconds on a busy machine.
        exit_timeout_s = 0.5 if settings else 10
        remit.configure(mode=mode, data_dir=folder, exit_timeout_s=exit_timeout_s, **settings)
        assert [bot(number) for number in range(3)] == [0, 1, 2]

        def is_logged() -> bool:
            remit.flush(0.1)
            return words in caplog.text

        wait_until(is_logged)


def run(*words: str, folder: Path, **more: str) -> Result:
    """Run a command of remit's on a data folder."""
    return CliRunner().invoke(main, words, env={"REMIT_DATA_DIR": str(folder), **more})


def modes(home: Path) -> dict[str, int]:
    """Return who may use what lies in a home."""
    found = {path.relative_to(home).as_posix(): path for path in home.rglob("*")}
    return {name: stat.S_IMODE(path.stat().st_mode) for name, path in found.items()}


@pytest.mark.parametrize("mode", ["local", "remote"])
def test_the_data_folder_is_made_for_its_owner_only(tmp_path: Path, mode: str) -> None:
    """The same holds for missing folders above it, and for its files."""
    # The local collector is imported by then, which takes seconds on a busy machine.
    environ = settings(tmp_path, URL, "x", exit_timeout_s=0.5 if mode == "remote" else 10)
    environ |= {"REMIT_MODE": mode, "HOME": str(tmp_path)}
    for name in ("REMIT_DATA_DIR", "XDG_STATE_HOME"):
        environ.pop(name, None)
    told_by(start(PROGRAM, environ))
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
each_server = pytest.mark.parametrize("server", [{}, SERVER], ids=["local", "remote"])


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """Return a data folder in which an ended process left something for the server."""
    folder = tmp_path / "data"
    spooled = Spooled(folder, target=URL, token="x")
    in_child(lambda: spooled.outbox().put([item(1)], [stored_run()]))
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """Return all that lies in a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@each_shared
@each_server
def test_a_folder_that_others_may_write_to_is_not_used(
    left: Path,
    share: Callable[[Path], None],
    server: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The program goes on, and one line of the spool's says why nothing is kept."""
    share(left)
    before = content(left)

    recorded(left, "the spool in ", caplog, **server)

    assert content(left) == before
    (said,) = [line for line in caplog.messages if line.startswith("the spool in ")]
    assert f"the directory {left} belongs to another user" in said or (
        f"other users may write to the directory {left}" in said
    )


def test_a_folder_that_cannot_be_made_is_named_and_the_program_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In /proc making a folder says that there is no such folder, although the parent exists."""
    recorded(Path("/proc/remit"), "/proc/remit/remit.db cannot be opened", caplog)

    assert "a fault inside remit" not in caplog.text


def test_a_user_without_a_home_folder_delivers_from_memory(tmp_path: Path) -> None:
    """As in a container whose user has no entry in passwd: one line, and `doctor` says it too."""
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token)
        for name in HOMES:
            environ.pop(name, None)
        # Plugins of pydantic may need a home folder.
        environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
        told, said = told_by(start(HOMELESS + "print(bot(), remit.flush(60).pending)", environ))
        checks, _ = output_of(start(HOMELESS + DOCTOR, environ))
        (run,) = runs_in(tmp_path)
    assert (told, run) == ("None 0\n", "complete")
    (line,) = said.splitlines()
    assert "the spool in /dev/null/no-home-folder/spool cannot be used" in line
    assert "in memory only" in line
    (check,) = [each for each in json.loads(checks)["checks"] if each["code"] == "data_dir"]
    assert "no home directory" in check["message"]


def test_a_user_without_a_home_folder_creates_a_token(tmp_path: Path) -> None:
    """As in a container of the collector; `--db` names the database, so no directory is needed."""
    environ = {name: value for name, value in os.environ.items() if name not in HOMES}
    arguments = ["token", "create", "--quiet", "--db", str(tmp_path / "remit.db")]
    source = f"{HOMELESS}from remit.cli import main\n\nmain({arguments!r})\n"

    secret, said = told_by(start(source, environ))

    assert (secret[:6], said) == ("remit_", "")


@each_shared
def test_a_spool_that_others_may_write_to_is_not_sent(
    left: Path, share: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Another user may have written its items."""
    share(left / "spool")
    before = content(left)

    recorded(left, "the spool in ", caplog, **SERVER)

    assert content(left) == before


@each_shared
@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_command_says_that_others_may_write_to_the_folder(
    left: Path, words: tuple[str, ...], share: Callable[[Path], None]
) -> None:
    """The error says what to do, and the command does nothing else."""
    share(left)
    before = content(left)

    done = run(*words, folder=left)

    assert done.exit_code == 1
    said = " ".join(done.output.split())
    assert "belongs to another user" in said or "other users may write to" in said
    assert content(left) == before


def test_links_in_the_data_folder_are_not_followed(
    left: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The links are in place of a database, a spool file and a lock."""
    (spooled,) = (left / "spool").glob("*.db")
    lock = spooled.with_suffix(".lock")
    lock.unlink(missing_ok=True)
    for number, link in enumerate((left / "remit.db", lock, left / "spool" / "planted.db")):
        link.symlink_to(tmp_path / f"victim-{number}")
    (tmp_path / "victim-2").write_bytes(spooled.read_bytes())

    recorded(left, "remit.db is a symbolic link to", caplog)
    run("spool", "send", folder=left, REMIT_API_URL=URL, REMIT_API_TOKEN="x")

    assert [path.name for path in tmp_path.glob("victim-*")] == ["victim-2"]


def test_an_access_log_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    """The server does not start."""
    log = tmp_path / "access.log"
    log.symlink_to(tmp_path / "victim")
    words = ("serve", "--port", "0", "--db", str(tmp_path / "remit.db"), "--access-log", str(log))

    served = run(*words, folder=tmp_path)

    assert served.exit_code == 1
    said = " ".join(served.output.split())
    assert f"{log} is a symbolic link to {tmp_path / 'victim'}" in said
    assert not (tmp_path / "victim").exists()
