"""`remit db upgrade`: numbered changes, killed and started again, and what it refuses."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from click.testing import CliRunner, Result

from remit.cli import main
from remit.collector import Store, open_store
from remit.errors import SettingsError
from tests.inside_collector import (
    COLLECTOR,
    VERSION,
    Change,
    is_postgres,
    open_readable,
    schema_changes,
    statements,
    statements_of,
    upgrade,
)
from tests.postgres import database
from tests.stores import empty_database, on_each_store

NOTES: Final = [
    Change(VERSION + 1, "notes", "-- A table.\nCREATE TABLE notes (text TEXT);\n"),
    Change(
        VERSION + 2,
        "words",
        "CREATE TABLE words (text TEXT);\n"
        "ALTER TABLE runs ADD COLUMN note TEXT;\n"
        "INSERT INTO notes VALUES ('one');\n",
    ),
    Change(VERSION + 3, "more words", "INSERT INTO words VALUES ('one');\n"),
]
"""Changes that no release has."""

NO_PART: Final = "!~ '_[0-9]{8}$'"
"""No part of a table by weeks, which a store makes when it is opened."""
KILLED: Final = """
import json, os, signal, sys
from remit.collector.store import version
from remit.collector.store.version import Change
from remit.collector.upgrade import sqlite
from remit.collector.upgrade.database import upgrade
from remit.collector.upgrade import postgres

database, changes = sys.argv[1], [Change(*each) for each in json.loads(sys.argv[2])]
left = int(sys.argv[3])

def statements_of(sql):
    global left
    for statement in version.statements_of(sql):
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        yield statement

sqlite.statements_of = postgres.statements_of = statements_of
upgrade(database, read_changes=lambda dialect: changes)
"""
"""Kills itself before the n-th statement of all changes."""


def reading(changes: Sequence[Change]) -> Callable[[str], Sequence[Change]]:
    """Return a reader of these changes, the same for both databases."""
    return lambda _dialect: changes


@contextmanager
def made_by_version_1(kind: str, folder: Path) -> Generator[Path | str]:
    """Return a block with a database of the first version, in which an account is."""
    last = sum(len(statements_of(change.sql)) for change in schema_changes(kind))
    schema = statements(kind)[:-last]
    account = "INSERT INTO accounts VALUES (1, 'a', 'kept', 0, 0)"
    if kind == "postgres":
        with database() as named:
            with psycopg.connect(named, autocommit=True) as connection:
                for statement in (*schema, account):
                    connection.execute(statement.encode())
                connection.execute("CREATE TABLE remit_schema (version bigint NOT NULL)")
                connection.execute("INSERT INTO remit_schema VALUES (1)")
            yield named
    else:
        path = folder / "old.db"
        path.touch(0o600)
        with closing(sqlite3.connect(path)) as file:
            file.executescript(";\n".join((*schema, account, "PRAGMA user_version = 1")))
            file.execute(f"PRAGMA application_id = {COLLECTOR}")
        yield path


def shape_of(named: Path | str) -> list[tuple[Any, ...]]:
    """Return tables with their columns in order, and indexes."""
    with asking(named) as ask:
        if is_postgres(named):
            return ask(
                "SELECT table_name, ordinal_position, column_name, data_type, is_nullable, "
                "column_default, collation_name FROM information_schema.columns "
                f"WHERE table_schema = 'public' AND table_name {NO_PART} ORDER BY 1, 2"
            ) + ask(
                "SELECT indexdef FROM pg_indexes "
                f"WHERE schemaname = 'public' AND tablename {NO_PART} ORDER BY 1"
            )
        tables = ask("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        indexes = ask(
            "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'index' ORDER BY 1"
        )
        return indexes + [
            (name, *column) for (name,) in tables for column in ask(f"PRAGMA table_info({name})")
        ]


def version_of(named: Path | str) -> int:
    """Return the version of the schema in a database."""
    with asking(named) as ask:
        sql = "SELECT version FROM remit_schema" if is_postgres(named) else "PRAGMA user_version"
        return int(ask(sql)[0][0])


@contextmanager
def made_by_this_version(kind: str, folder: Path) -> Generator[Path | str]:
    """Return a block with a database of its own; other tests share the one of `empty_database`."""
    if kind == "postgres":
        with database() as named:
            open_store(named).close()
            yield named
    else:
        with empty_database(kind, folder) as named:
            yield named


@contextmanager
def asking(named: Path | str) -> Generator[Callable[[str], list[tuple[Any, ...]]]]:
    """Return a block with a function that asks a database."""
    if is_postgres(named):
        with psycopg.connect(str(named), autocommit=True) as connection:
            yield lambda sql: connection.execute(sql.encode()).fetchall()
    else:
        with closing(sqlite3.connect(named)) as file:
            yield lambda sql: file.execute(sql).fetchall()


@on_each_store
def test_changes_are_applied_in_order_and_once(store_kind: str, tmp_path: Path) -> None:
    """Those that the database lacks; what is in it stays."""
    told: list[int] = []
    with made_by_this_version(store_kind, tmp_path) as named:
        for count in (1, 3, 3):
            upgrade(
                named,
                read_changes=reading(NOTES[:count]),
                report=lambda change: told.append(change.version),
            )
        with asking(named) as ask:
            assert ask("SELECT text FROM notes") == [("one",)]
            assert ask("SELECT text FROM words") == [("one",)]
            assert ask("SELECT note FROM runs") == []
        assert told == [VERSION + 1, VERSION + 2, VERSION + 3]
        assert version_of(named) == VERSION + 3


@on_each_store
@pytest.mark.parametrize("statements", range(1, 5))
def test_an_upgrade_that_is_killed_continues(
    store_kind: str, tmp_path: Path, statements: int
) -> None:
    """Each change is there whole or not at all, with its version."""
    with made_by_this_version(store_kind, tmp_path) as named:
        command = [sys.executable, "-c", KILLED, str(named), json.dumps(NOTES), str(statements)]
        killed = subprocess.run(command, check=False)
        assert killed.returncode == -signal.SIGKILL
        assert version_of(named) == VERSION + (1 if statements < 4 else 2)

        assert upgrade(named, read_changes=reading(NOTES))[1] == VERSION + 3

        with asking(named) as ask:
            assert ask("SELECT text FROM notes") == ask("SELECT text FROM words") == [("one",)]


@on_each_store
def test_an_old_database_becomes_as_a_new_one(store_kind: str, tmp_path: Path) -> None:
    """From version 1, with its rows: tables, columns in their order, and indexes."""
    with (
        made_by_version_1(store_kind, tmp_path) as old,
        made_by_this_version(store_kind, tmp_path) as new,
    ):
        with pytest.raises(SettingsError, match=r"schema version 1.*remit db upgrade"):
            open_store(old)
        assert upgrade(old) == (1, VERSION)
        assert shape_of(old) == shape_of(new)
        with asking(old) as ask:
            assert ask("SELECT name FROM accounts") == [("kept",)]
        open_store(old).close()


@on_each_store
def test_an_old_database_is_upgraded_after_a_kill(store_kind: str, tmp_path: Path) -> None:
    """Before the first statement of the first change, and before its last one."""
    with (
        made_by_version_1(store_kind, tmp_path) as old,
        made_by_this_version(store_kind, tmp_path) as new,
    ):
        dialect = "postgres" if is_postgres(old) else "sqlite"
        changes = schema_changes(dialect)
        end = Change(VERSION + 1, "end", "SELECT 1;\n")
        all_statements = sum(len(statements_of(change.sql)) for change in changes)
        for statements, version in ((0, 1), (all_statements, VERSION)):
            command = [sys.executable, "-c", KILLED, str(old), json.dumps([*changes, end])]
            killed = subprocess.run([*command, str(statements)], check=False)
            assert killed.returncode == -signal.SIGKILL
            assert version_of(old) == version
        assert upgrade(old) == (VERSION, VERSION)
        assert shape_of(old) == shape_of(new)


@on_each_store
def test_a_database_that_a_process_uses_is_not_changed(store_kind: str, tmp_path: Path) -> None:
    """A collector has a connection, even if it does nothing."""
    with made_by_this_version(store_kind, tmp_path) as named:
        with closing(open_store(named)) as store, in_use(store):
            with pytest.raises(SettingsError, match="stop collectors"):
                upgrade(named, read_changes=reading(NOTES))
            assert upgrade(named) == (VERSION, VERSION)
        assert version_of(named) == VERSION


@contextmanager
def in_use(store: Store) -> Generator[None]:
    """Return a block in which a store has a connection."""
    with store.reading():
        yield


@on_each_store
def test_a_newer_database_is_refused(store_kind: str, tmp_path: Path) -> None:
    """Also by the upgrade of a remit that does not know its version."""
    with made_by_this_version(store_kind, tmp_path) as named:
        upgrade(named, read_changes=reading(NOTES))
        for opening in (open_store, open_readable, upgrade):
            with pytest.raises(SettingsError, match=f"schema version {VERSION + 3}.*upgrade remit"):
                opening(named)


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    """There is nothing to do for a database of this version, and none to upgrade elsewhere."""
    with empty_database("sqlite", tmp_path) as named:
        done = remit("db", "upgrade", "--db", str(named))
    other = tmp_path / "other.db"
    other.touch(0o600)

    assert (done.exit_code, done.stdout) == (0, f"{named} is up to date.\n")
    assert "nothing to upgrade" in remit("db", "upgrade", "--db", str(other)).output


def test_the_changes_lead_to_this_version() -> None:
    """Without a gap, for both databases alike."""
    for dialect in ("sqlite", "postgres"):
        numbers = [change.version for change in schema_changes(dialect)]
        assert numbers == list(range(2, VERSION + 1))


def remit(*words: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, words)
