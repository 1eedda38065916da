"""`remit db upgrade` as a process: killed and started again, and beside programs that record."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result

from remit.cli import main
from remit.collector import open_store
from remit.errors import SettingsError
from tests.inside_collector import Transaction, open_reader, upgrade
from tests.old_databases import make_sqlite, old_database, rows
from tests.processes import HEIR
from tests.stores import on_each_store

KILLED: Final = """
import os, signal, sys
from remit.collector.upgrade import copying, postgres, sqlite, upgrade

database, point = sys.argv[1:]
copying.RUNS = copying.KEYS = 3
calls = 0

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def report(done, total):
    global calls
    calls += 1
    if point.isdigit() and calls == int(point):
        kill()

def audit(event, arguments):
    # `Path.replace` has the event of a renaming.
    if event == point:
        kill()

def around(kind, name):
    method = getattr(kind, name)

    def wrapped(self, *arguments):
        if point == f"before {name}":
            kill()
        method(self, *arguments)
        if point == f"after {name}":
            kill()

    setattr(kind, name, wrapped)

for kind in (postgres.PostgresUpgrade, sqlite.SqliteUpgrade):
    around(kind, "begin")
    around(kind, "finish")
sys.addaudithook(audit)
upgrade(database, report=report)
"""
"""Kills itself at the n-th report, before or after a step, or at an event of the interpreter."""
POINTS: Final = ("after begin", "2", "20", "10", "before finish", "os.link", "os.rename")
"""Where an upgrade is killed, one after the other."""


RECORDS: Final = """
import remit

@remit.agent(name="late")
def late(number: int) -> int:
    return number

for number in range(3):
    with late.run():
        late(number)
remit.flush(timeout_s=60)
print(remit.status().sent, "sent")
"""


@on_each_store
def test_an_upgrade_that_is_killed_continues(store_kind: str, tmp_path: Path) -> None:
    """What is there in the end is what an upgrade in one go makes."""
    with old_database(store_kind, tmp_path, 5) as named:
        killed = [point for point in POINTS if kill(named, point)]
        # The last two are of files.
        assert killed == list(POINTS if store_kind == "sqlite" else POINTS[:-2])
        upgraded = upgrade(named) if store_kind == "sqlite" else None
        with closing(open_store(named)) as store, store.reading() as tx:
            continued = content(tx)
    assert upgraded is None or upgraded[1:4] == (47, 107, 64)
    (tmp_path / "whole").mkdir()
    with old_database(store_kind, tmp_path / "whole", 5) as named:
        upgrade(named)
        with closing(open_store(named)) as store, store.reading() as tx:
            assert content(tx) == continued
    assert len(continued["spans"]) == len(rows()["agent_spans"])
    if store_kind == "sqlite":
        assert {path.name for path in tmp_path.iterdir()} == {"remit.db", "remit.db.v5", "whole"}


@on_each_store
def test_a_collector_refuses_what_is_half_copied(store_kind: str, tmp_path: Path) -> None:
    """The message says what to run."""
    with old_database(store_kind, tmp_path, 6) as named:
        assert kill(named, "20")
        for opening in (open_store, open_reader):
            with pytest.raises(SettingsError, match="remit db upgrade --db"):
                opening(named)


def test_local_mode_keeps_the_record_until_the_database_is_upgraded(tmp_path: Path) -> None:
    """The program logs once what to run, and the next one delivers its record."""
    db = tmp_path / "remit.db"
    make_sqlite(db, 6)
    tmp_path.chmod(0o700)
    environment = {**os.environ, "REMIT_MODE": "local", "REMIT_DATA_DIR": str(tmp_path)}

    def run(program: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True)

    recorded = run(RECORDS)

    assert recorded.stderr.count(f"remit db upgrade --db {db}") == 1
    assert recorded.stdout == "0 sent\n"
    done = remit("db", "upgrade", "--db", str(db))
    assert done.exit_code == 0
    assert "from version 6 to 7" in done.stdout
    assert "47 runs, 107 spans, 64 idempotency keys" in done.stdout
    assert f"is kept as {db}.v6. Delete it: remit db upgrade --drop-old" in done.stdout
    run(HEIR)
    with closing(open_store(db)) as store, store.reading() as tx:
        assert list(tx.rows("SELECT COUNT(*) FROM runs")) == [(47 + 3,)]


@pytest.mark.parametrize(
    "words", [("serve",), ("token", "create"), ("db", "retain", "--days=9", "--yes")]
)
def test_commands_that_write_refuse_an_older_database(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    """They name the command, and change nothing."""
    db = tmp_path / "remit.db"
    make_sqlite(db, 6)
    before = db.read_bytes()
    refused = remit(*words, "--db", str(db))
    assert refused.exit_code == 1
    assert "has schema version 6, and this remit uses 7. Stop what writes" in refused.output
    assert f"remit db upgrade --db {db}" in refused.output
    assert db.read_bytes() == before


def test_an_erasure_names_the_old_data(tmp_path: Path) -> None:
    """It still holds what was erased."""
    db = tmp_path / "remit.db"
    make_sqlite(db, 6)
    remit("db", "upgrade", "--db", str(db))

    def erase(subject: str) -> str:
        named = ("--subject", subject, "--reason", "asked", "--yes", "--db", str(db))
        done = remit("db", "erase", *named)
        assert done.exit_code == 0
        return done.stderr

    assert f"{db}.v6, still holds them" in erase("customer-1")
    dropped = ("db", "upgrade", "--drop-old", "--db", str(db))
    assert remit(*dropped).stdout == f"{db} is up to date.\nDeleted the old data: {db}.v6.\n"
    assert remit(*dropped).stdout == f"{db} is up to date.\nThere was no old data to delete.\n"
    assert "still holds" not in erase("customer-9")


def remit(*words: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, words)


def kill(named: Path | str, point: str) -> bool:
    """Start an upgrade; return whether it was killed, else it ended well."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(named), point], check=False)
    assert done.returncode in {0, -signal.SIGKILL}
    return done.returncode != 0


def content(tx: Transaction) -> dict[str, list[Any]]:
    """Return the rows of the tables, without the numbers by which they refer to each other."""
    return {
        name: sorted(map(tuple, tx.rows(sql)), key=repr)
        for name, sql in {
            "runs": "SELECT id, status, spans_complete, flags, handled, tokens_in FROM runs",
            "spans": "SELECT id, parent_id, status, flags, summary FROM spans",
            "payloads": ("SELECT payload, result FROM span_payloads"),
            "keys": "SELECT account_id, operation, key, answer FROM idempotency_keys",
            "findings": "SELECT kind, span_id, number, sentence FROM span_findings",
            "subjects": "SELECT subject_hash, run_id FROM run_subjects",
            "labels": "SELECT key, value, run_id FROM run_labels",
            "types": "SELECT name, hash FROM span_types",
            "hours": (
                "SELECT bucket, purpose, name, unfinished, complete, failed, duration_us "
                "FROM span_hours AS h JOIN span_types AS t ON t.ref = h.type_ref"
            ),
            "tokens": "SELECT id, token_hash, last_used_at FROM api_tokens",
            "erasures": "SELECT id, agent_instance_id, reason FROM erasures",
        }.items()
    }
