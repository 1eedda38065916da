"""`remit db`: what an operator does to a database as a whole."""

from __future__ import annotations

import getpass
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from remit._base.sqlite import COLLECTOR
from remit.cli import main
from remit.collector import open_store
from remit.collector.store.base import StoreUnavailableError
from remit.collector.store.sqlite import SqliteStore
from tests.collecting import Api, World, details
from tests.stores import empty_database
from tests.subtests import each

CANARY = "canary-4711"


def run(*words: str, answer: str | None = None) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, ["db", *words], input=answer)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Return a database with two runs about one person, and one about another."""
    path = tmp_path / "remit.db"
    store = open_store(path)
    api = World(store).account()
    for subject, key in (("ann", "one"), ("ann", "two"), ("bob", "three")):
        record(api, subject, key)
    store.close()
    return path


def record(api: Api, subject: str, key: str) -> None:
    """Record a run about somebody."""
    made = api.instance("active", external_identifier=key)
    api.span(made["id"], schema_name="remit:run", payload={"subject": subject})
    api.span(made["id"], payload={"said": CANARY + key})


def payloads(db: Path) -> str:
    """Return all payloads in a database."""
    connection = sqlite3.connect(db)
    found = connection.execute("SELECT group_concat(payload) FROM span_payloads").fetchone()[0]
    connection.close()
    return str(found)


def shown(db: Path, key: str, *words: str) -> str:
    """Return what `remit runs show` says."""
    done = CliRunner().invoke(main, ["runs", "show", key, "--db", str(db), *words])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize(
    ("words", "told", "left"),
    [
        (["--run", "one"], "Erased 2 spans and 0 responses of 1 run in ", {"two", "three"}),
        (["--subject", "ann"], "Erased 4 spans and 0 responses of 2 runs in ", {"three"}),
        (["--agent", "Desk"], "Erased 6 spans and 0 responses of 3 runs in ", set()),
    ],
    ids=["run", "subject", "agent"],
)
def test_erase_deletes_the_payloads_of_what_is_named(
    db: Path, words: list[str], told: str, left: set[str]
) -> None:
    """And of nothing else; it says how many."""
    done = run("erase", *words, "--reason", "asked", "--yes", "--db", str(db))

    assert done.exit_code == 0, done.output
    assert done.output.startswith(told)
    text = payloads(db)
    assert {key for key in ("one", "two", "three") if CANARY + key in text} == left


def test_the_record_is_shown_with_the_run(db: Path) -> None:
    """For people and for programs; a run that was not erased has none."""
    run("erase", "--run", "one", "--reason", "a request of 12 May", "--yes", "--db", str(db))

    assert "Reason: a request of 12 May" in shown(db, "one")
    (record,) = json.loads(shown(db, "one", "--json"))["erasures"]
    assert (record["asked_for"], record["spans"]) == ("run", 2)
    assert record["erased_by"] == getpass.getuser()
    assert "Reason" not in shown(db, "two")
    assert json.loads(shown(db, "two", "--json"))["erasures"] == []


DELETING = {
    "erase": (("erase", "--subject", "ann", "--reason", "x"), "Erase the payloads of 2 runs in "),
    "retain": (("retain", "--days", "1"), "Delete spans and runs from before "),
}


@pytest.mark.parametrize(("words", "question"), DELETING.values(), ids=DELETING)
@pytest.mark.parametrize(("answer", "agreed"), [("y\n", True), ("n\n", False), ("", False)])
def test_what_deletes_asks_before(
    db: Path, words: tuple[str, ...], question: str, answer: str, *, agreed: bool
) -> None:
    """And does nothing without a yes, as in a job without a terminal."""
    done = run(*words, "--db", str(db), answer=answer)

    assert question in done.stderr
    assert f" {db}, for good? [y/N]" in done.stderr
    assert (done.exit_code, bool(done.stdout)) == ((0, True) if agreed else (1, False))
    if not agreed:
        assert CANARY + "one" in payloads(db)
        *_, last = done.stderr.splitlines()
        assert last == "remit: nothing was deleted; without a terminal, confirm with --yes"


@pytest.mark.parametrize(("words", "question"), DELETING.values(), ids=DELETING)
def test_nothing_is_asked_of_a_job_that_says_yes(
    db: Path, words: tuple[str, ...], question: str
) -> None:
    """As in a crontab."""
    done = run(*words, "--yes", "--db", str(db))
    assert (done.exit_code, done.stderr) == (0, ""), question


@each(
    ("words", "told"),
    [
        (["--reason", "x"], "Specify one of --run, --agent, --subject and --on-behalf-of"),
        (["--reason", "x", "--run", "one", "--subject", "ann"], "Specify one of"),
        (["--run", "one"], "Missing option '--reason'"),
        (["--run", "one", "--reason", " "], "must not be empty"),
        (["--run", "nine", "--reason", "x"], "there is no run 'nine'"),
        (["--agent", "nobody", "--reason", "x"], "there is no agent 'nobody'"),
        (["--subject", "carl", "--reason", "x"], "no run of the subject 'carl'"),
        (["--on-behalf-of", "ann", "--reason", "x"], "no run on behalf of 'ann'"),
    ],
)
def test_erase_says_what_it_cannot_do(db: Path, words: list[str], told: str) -> None:
    """And does nothing."""
    done = run("erase", *words, "--yes", "--db", str(db))

    assert done.exit_code != 0
    assert told in done.output
    assert payloads(db).count(CANARY) == 3


@pytest.mark.gate
def test_erase_counts_for_programs_and_on_postgres_says_what_remains(tmp_path: Path) -> None:
    """The log and the backups of the database are not remit's."""
    with empty_database("postgres", tmp_path) as named:
        store = open_store(named)
        record(World(store).account(), "ann", "one")
        store.close()
        words = ["erase", "--subject", "ann", "--reason", "x", "--yes", "--db", str(named)]
        spoken, counted = run(*words), run(*words[:2], "bob", *words[3:], "--json")
        again = run("erase", "--run", "one", *words[3:], "--json")

    assert "backups" in spoken.output
    assert counted.exit_code == 1
    assert json.loads(again.output) == {"runs": 1, "spans": 0, "responses": 0}


def test_a_file_of_which_somebody_reads_an_older_state_cannot_be_scrubbed(db: Path) -> None:
    """The store says so when it has waited."""
    store = SqliteStore(db, busy_timeout_s=0.01)
    with closing(sqlite3.connect(db, isolation_level=None)) as reader, closing(store):
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM spans").fetchall()
        record(World(store).account(), "dora", "four")
        with pytest.raises(StoreUnavailableError, match="another process reads an older state"):
            store.scrub()


# The command waits for ten seconds before it gives up.
@pytest.mark.full
@pytest.mark.gate
def test_an_erasure_that_others_are_in_the_way_of_says_so(db: Path) -> None:
    """Somebody reads an older state: the payloads are gone, the pages are not yet."""
    reader = sqlite3.connect(db, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM spans").fetchall()
    done = run("erase", "--run", "one", "--reason", "x", "--yes", "--db", str(db))
    reader.close()

    again = run("erase", "--run", "one", "--reason", "x", "--yes", "--db", str(db))

    assert done.exit_code == 1
    assert "run this again" in done.output
    assert CANARY + "one" not in payloads(db)
    assert again.exit_code == 0


def test_backup_copies_a_database_in_use(db: Path, tmp_path: Path) -> None:
    """With what was written a moment ago; for its owner only; the copy needs no other file."""
    store = open_store(db)
    api = World(store).account()
    record(api, "dora", "four")
    target = tmp_path / "copy.db"

    done = run("backup", str(target), "--db", str(db))

    assert done.exit_code == 0, done.output
    assert target.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.glob("copy.db*")] == ["copy.db"]
    # The two bytes that say whether a file needs its log beside it: 2 for yes.
    assert target.read_bytes()[18:20] == b"\x01\x01"
    assert CANARY + "four" in payloads(target)
    assert details(api.post("/agent", {"details": {"name": "goes on"}}))
    store.close()
    assert "active" in shown(target, "four").splitlines()[0]


def test_backup_leaves_alone_what_is_there(db: Path, tmp_path: Path) -> None:
    """Also the database itself."""
    other = tmp_path / "other"
    other.write_text("mine")

    for target in (other, db):
        done = run("backup", str(target), "--db", str(db))
        assert done.exit_code == 1
        assert "exists already" in done.output
    assert other.read_text() == "mine"
    assert "cannot be written" in run("backup", str(tmp_path / "no" / "x"), "--db", str(db)).output


@pytest.mark.parametrize("version", [1, 99])
def test_backup_copies_a_database_of_any_version(version: int, tmp_path: Path) -> None:
    """Also one that this remit does not read."""
    db, target = tmp_path / "old.db", tmp_path / "copy.db"
    with closing(sqlite3.connect(db)) as connection:
        connection.executescript(
            f"CREATE TABLE spans (id TEXT); PRAGMA application_id = {COLLECTOR}; "
            f"PRAGMA user_version = {version};"
        )
        connection.execute("INSERT INTO spans VALUES (?)", (CANARY,))
        connection.commit()
    before = db.read_bytes()

    done = run("backup", str(target), "--db", str(db))

    assert done.exit_code == 0, done.output
    with closing(sqlite3.connect(target)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (version,)
        assert connection.execute("SELECT id FROM spans").fetchall() == [(CANARY,)]
    assert db.read_bytes() == before


def test_backup_of_what_is_no_database_leaves_no_copy(tmp_path: Path) -> None:
    """There is nothing, another program's file, or a damaged one."""
    other, damaged = tmp_path / "other.db", tmp_path / "damaged.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE songs (id TEXT)")
    open_store(damaged).close()
    with damaged.open("r+b") as file:
        file.truncate(5000)

    for path, sentence in (
        (tmp_path / "none.db", "there is no database at "),
        (other, "another program created it"),
        (damaged, "is malformed"),
    ):
        done = run("backup", str(tmp_path / "copy.db"), "--db", str(path))
        assert done.exit_code == 1
        assert sentence in done.output
        assert not (tmp_path / "copy.db").exists()


def test_backup_of_postgres_says_how(tmp_path: Path) -> None:
    """The command, without the password."""
    url = "postgresql://remit:secret@db.example/remit"
    done = run("backup", str(tmp_path / "my copy"), "--db", url)

    assert done.exit_code == 1
    assert f"pg_dump --format=custom --file='{tmp_path}/my copy'" in done.output
    assert "postgresql://remit@db.example/remit" in done.output
    assert "secret" not in done.output
