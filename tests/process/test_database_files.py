"""Files of databases: commands that read change none, and those of other programs are refused."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner, Result

from remit.cli import main
from remit.collector import open_store
from tests.collecting import World
from tests.spooling import Spooled, in_child, item, stored_run
from tests.subtests import each

MARK: Final = 0x524D5443
SPOOL_MARK: Final = 0x524D5453
READING: Final = {
    "list": ("runs", "list"),
    "show": ("runs", "show"),
    "tail": ("runs", "tail"),
    "tokens": ("token", "list"),
    "backup": ("db", "backup", "{folder}/copy.db"),
}
WRITING: Final = {
    "token": ("token", "create"),
    "retain": ("db", "retain", "--days", "1", "--yes"),
    "erase": ("db", "erase", "--run", "last", "--reason", "asked", "--yes"),
    "terminate": ("runs", "terminate", "last", "--reason", "enough"),
    "serve": ("serve", "--port", "0"),
}
MORE: Final = (
    "demo",
    "runs show last",
    "runs tail",
    "runs terminate last --reason enough",
    "spool send",
    "spool purge --yes",
    "token list",
    "db backup copy.db",
)
"""Commands that look at the data folder by the same function as others."""
each_reading = each("words", READING.values(), ids=READING)
each_command = each(
    "words",
    [*READING.values(), *WRITING.values()],
    ids=[*READING, *WRITING],
)


def remit(words: tuple[str, ...], db: Path) -> Result:
    """Run a command on a database; a copy is written beside its folder."""
    named = [word.format(folder=db.parent.parent) for word in words]
    return CliRunner().invoke(main, [*named, "--db", str(db)])


def record(db: Path) -> None:
    """Record a run."""
    store = open_store(db)
    World(store).account().instance("active", external_identifier="one")
    store.close()


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Return a database with one run."""
    path = tmp_path / "data" / "remit.db"
    path.parent.mkdir()
    record(path)
    return path


def content(folder: Path) -> dict[str, str]:
    """Return what lies in a folder."""
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def mark_of(db: Path) -> int:
    """Return the application_id of a file."""
    return int.from_bytes(db.read_bytes()[68:72])


def of_another_program(path: Path, mark: int, journal: str) -> None:
    """Make a database that is not remit's."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute(f"PRAGMA application_id = {mark}")
        connection.execute("CREATE TABLE moz_places (id INTEGER)")
        connection.commit()


@pytest.fixture(params=[(0, "delete"), (77, "wal")], ids=["bare", "marked"])
def foreign(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the database of another program."""
    path = tmp_path / "data" / "places.sqlite"
    path.parent.mkdir()
    of_another_program(path, *request.param)
    return path


@each_command
def test_the_database_of_another_program_is_refused_by_name_and_stays_as_it_is(
    foreign: Path, words: tuple[str, ...]
) -> None:
    """Its bytes are the same, and no file appears beside it."""
    before = content(foreign.parent)

    refused = remit(words, foreign)

    assert refused.exit_code == 1
    assert f"{foreign} cannot be" in refused.output
    assert "another program created it" in refused.output
    assert "moz_places" in refused.output
    assert content(foreign.parent) == before


@each_reading
def test_commands_that_read_leave_the_folder_as_it_is(db: Path, words: tuple[str, ...]) -> None:
    """While no program has the database open."""
    before = content(db.parent)

    done = remit(words, db)

    assert done.exit_code == 0, done.output
    assert content(db.parent) == before


def kill_while_open(db: Path) -> None:
    """Leave the database as a killed program does, with the last run in its log alone."""

    def write() -> None:
        World(open_store(db)).account().instance("active", external_identifier="in the log")

    in_child(write)


@pytest.fixture
def killed(db: Path) -> Path:
    """Return a database as a killed program leaves it."""
    kill_while_open(db)
    assert Path(f"{db}-wal").stat().st_size
    return db


@each_reading
def test_what_a_killed_program_left_in_its_log_is_read_and_stays_there(
    killed: Path, words: tuple[str, ...]
) -> None:
    """The database and its log are as they were."""
    before = content(killed.parent)

    done = remit(words, killed)

    assert done.exit_code == 0, done.output
    after = content(killed.parent)
    # Its index is SQLite's own, for all that have the file open.
    before.pop("remit.db-shm", None)
    after.pop("remit.db-shm", None)
    assert after == before
    if words == READING["list"]:
        assert f"\n2 of {killed}" in done.output


def test_a_backup_holds_what_stood_in_the_log(db: Path) -> None:
    """The copy is complete without a write-ahead log beside it."""
    kill_while_open(db)
    assert remit(READING["backup"], db).exit_code == 0

    copy = db.parent.parent / "copy.db"
    assert [path.name for path in copy.parent.glob("copy.db*")] == ["copy.db"]
    assert f"\n2 of {copy}" in remit(READING["list"], copy).output


def test_what_a_running_program_wrote_last_is_read(db: Path) -> None:
    """It has the database open all the while."""
    store = open_store(db)
    World(store).account().instance("active", external_identifier="just now")

    listed = remit(READING["list"], db)

    store.close()
    assert f"\n2 of {db}" in listed.output


def unprivileged(
    *words: str | Path, home: Path, data: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `remit` as a user whom the permissions of files hold."""
    before: tuple[str, ...] = ()
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root reads and writes everything")
        dropped = "-dac_override,-dac_read_search"
        before = ("setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}")
    kept = {name: text for name, text in os.environ.items() if not name.startswith("REMIT_")}
    return subprocess.run(
        [*before, sys.executable, "-m", "remit", *map(str, words)],
        env={**kept, "HOME": str(home), "REMIT_DATA_DIR": str(data or home / "none")},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_database_that_may_only_be_read_can_be_read(db: Path, tmp_path: Path) -> None:
    """A file, in a folder, that may not be written to; `remit serve` says what it would need."""
    db.chmod(0o400)
    db.parent.chmod(0o500)
    try:
        listed = unprivileged("runs", "list", "--json", "--db", db, home=tmp_path)
        tokens = unprivileged("token", "list", "--db", db, home=tmp_path)
        served = unprivileged("serve", "--port", "0", "--db", db, home=tmp_path)
    finally:
        db.parent.chmod(0o700)

    assert [each["run"]["external_identifier"] for each in json.loads(listed.stdout)] == ["one"]
    assert (tokens.returncode, tokens.stderr) == (0, "")
    assert served.returncode == 1
    assert "is writable" in served.stderr


@each(
    "words",
    [
        *("doctor", "runs list", "spool status", "token create"),
        *(MORE if "REMIT_TEST_FULL" in os.environ else ()),
    ],
)
def test_a_folder_that_may_not_be_read_is_an_error_without_a_traceback(
    words: str, tmp_path: Path
) -> None:
    """Each command ends with status 1 and names the folder."""
    folder = tmp_path / "data"
    folder.mkdir(exist_ok=True)
    folder.chmod(0)
    try:
        done = unprivileged(*words.split(), home=tmp_path, data=folder)
    finally:
        folder.chmod(0o700)

    told = done.stdout + done.stderr
    assert done.returncode == 1
    assert "Traceback" not in told
    assert str(folder) in told


def test_a_spool_that_may_only_be_read_is_listed(tmp_path: Path) -> None:
    """The list includes what a killed program left in the log of SQLite."""
    spooled = Spooled(tmp_path / "data")
    in_child(lambda: spooled.outbox().put([item(1)], [stored_run()]))
    before = content(spooled.folder.path)
    spooled.folder.path.chmod(0o500)
    try:
        status = unprivileged("spool", "status", "--json", home=tmp_path, data=tmp_path / "data")
    finally:
        spooled.folder.path.chmod(0o700)

    assert status.returncode == 0, status.stderr
    (listed,) = json.loads(status.stdout)["files"]
    assert (listed["items"], listed["state"]) == (1, "waiting")
    assert content(spooled.folder.path) == before


@pytest.mark.parametrize("mark", [0, 77], ids=["bare", "marked"])
def test_the_database_of_another_program_in_the_spool_stays_as_it_is(
    tmp_path: Path, mark: int
) -> None:
    """It is neither sent nor listed, nor deleted."""
    spooled = Spooled(tmp_path / "data")
    spooled.outbox().put([item(1)], [stored_run()])
    spooled.end()
    for path in spooled.folder.path.iterdir():
        path.unlink()
    foreign = spooled.folder.path / "6fa459ea-ee8a-3ca4-894e-db77e160355e.db"
    of_another_program(foreign, mark, "wal")
    before = content(foreign.parent)

    assert spooled.files.take() is None
    status = CliRunner().invoke(
        main, ["spool", "status"], env={"REMIT_DATA_DIR": str(tmp_path / "data")}
    )
    purged = CliRunner().invoke(
        main, ["spool", "purge", "--yes"], env={"REMIT_DATA_DIR": str(tmp_path / "data")}
    )

    assert "No items wait" in status.output
    assert "nothing to delete" in purged.output
    assert content(foreign.parent) == before


def test_a_spool_file_has_a_mark(tmp_path: Path) -> None:
    """By it remit identifies its own files."""
    spooled = Spooled(tmp_path / "data")
    in_child(lambda: spooled.outbox().put([item(1)], [stored_run()]))
    (path,) = spooled.folder.files(".db")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (SPOOL_MARK,)


def test_a_database_has_a_mark(db: Path) -> None:
    """By it other programs, such as `file`, identify it."""
    assert mark_of(db) == MARK


@each("words", WRITING.values(), ids=WRITING)
def test_no_command_makes_a_folder_for_a_database(tmp_path: Path, words: tuple[str, ...]) -> None:
    """A mistyped path is an error, not a new folder."""
    refused = remit(words, tmp_path / "data" / "remit.db")

    assert refused.exit_code == 1
    assert "there is no" in refused.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", [True, False], ids=["database", "nothing"])
@each_command
def test_a_link_in_the_place_of_a_database_is_not_followed(
    db: Path, words: tuple[str, ...], *, there: bool
) -> None:
    """It may lead to a database or to nothing."""
    aim = db if there else db.parent / "victim"
    link = db.parent / "link.db"
    if not link.is_symlink():
        link.symlink_to(aim)
    before = sorted(path.name for path in db.parent.iterdir())

    refused = remit(words, link)

    assert refused.exit_code == 1
    assert ("links are not followed" if there else "there is no database") in refused.output or (
        words in (WRITING["token"], WRITING["serve"]) and "links are not followed" in refused.output
    )
    assert sorted(path.name for path in db.parent.iterdir()) == before
