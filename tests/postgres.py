"""A PostgreSQL server of the tests' own: started when a test first needs it, gone with them.

It runs where the server's binaries are installed; elsewhere the tests that need it are skipped.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import sql

from remit.collector import open_store

NEEDED: Final = ("initdb", "postgres")
PLACES: Final = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql*/bin")
START_TRIES: Final = 1200
# What the machine loses in a power cut does not matter here, and syncing costs most of the time.
HASTE: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "64MB",
    "autovacuum": "off",
    # Who waits for each other is looked for so soon.
    "deadlock_timeout": "50ms",
}
WAITING: Final = (
    "SELECT COUNT(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
"""Counts who waits for somebody else's lock in the database that is asked."""
LOCK_TRIES: Final = 1500
BINARIES: Final = "REMIT_TEST_POSTGRES"
"""The variable that names the folder of another server's binaries."""
CITUS: Final = "REMIT_TEST_CITUS"
"""The variable that names a distributed database, whose rows the tests delete."""
# Stops the server when the standard input ends: also when the tests are killed.
WATCHED: Final = '"$@" & read -r _; kill -INT $!; wait'


def binaries() -> Path | None:
    """Return the folder of the named or the newest server's binaries, None where there is none."""
    if BINARIES in os.environ:
        return Path(os.environ[BINARIES])
    found = [path for place in PLACES for path in Path("/").glob(place)]
    found.sort(key=lambda path: [int(text) for text in str(path).split("/") if text.isdigit()])
    on_path = shutil.which(NEEDED[0])
    folders = [*([Path(on_path).resolve().parent] if on_path else []), *found]
    able = [path for path in folders if all((path / name).is_file() for name in NEEDED)]
    return able[-1] if able else None


def _other_user() -> str | None:
    """Return whose process the server is: it refuses to be root's."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class Server:
    """One server in a folder of its own, reached through a socket there."""

    def __init__(self, folder: Path, options: Mapping[str, str]) -> None:
        """Find the server's binaries.

        Args:
            folder: An empty folder.
            options: Settings of the server.

        Raises:
            Skipped: There are none.
        """
        found = binaries()
        if found is None:
            pytest.skip("no PostgreSQL server is installed (initdb and postgres on PATH)")
        self._binaries = found
        self._folder = folder
        self._options = {
            "listen_addresses": "",
            "max_connections": "200",
            "unix_socket_directories": str(folder),
            **options,
        }
        self._user = _other_user()
        self._process: subprocess.Popen[bytes] | None = None
        self._log = (folder / "log").open("ab")
        if self._user is not None:
            shutil.chown(folder, self._user)

    def create(self) -> None:
        """Make the server's files."""
        arguments = ["-U", "remit", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        command = [str(self._binaries / "initdb"), *arguments, "-D", str(self._folder / "data")]
        subprocess.run(
            command, check=True, user=self._user, cwd=self._folder, stdout=subprocess.DEVNULL
        )

    def start(self) -> None:
        """Start, and wait until connections are taken."""
        command = [str(self._binaries / "postgres"), "-D", str(self._folder / "data")]
        for name, value in self._options.items():
            command += ["-c", f"{name}={value}"]
        self._process = subprocess.Popen(
            ["sh", "-c", WATCHED, "sh", *command],
            user=self._user,
            cwd=self._folder,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
        )
        for attempt in range(START_TRIES):
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                if attempt == START_TRIES - 1:
                    raise
                threading.Event().wait(0.05)
            else:
                return

    def stop(self) -> None:
        """Stop at once; whoever is connected loses the connection."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(60)
            self._process = None

    def remove(self) -> None:
        """Stop, and remove the files."""
        self.stop()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://remit@/{database}?host={self._folder}"

    def execute(self, statement: sql.Composed) -> None:
        """Carry out a statement outside any transaction."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


@cache
def server() -> Server:
    """Return the server of this process, started.

    Raises:
        Skipped: No server is installed.
    """
    # A socket's path may have about 100 characters: not in the tests' own deep folders.
    made = Server(Path(tempfile.mkdtemp(prefix="remit-pg-")), HASTE)
    atexit.register(made.remove)
    made.create()
    made.start()
    return made


def await_waiting(url: str) -> None:
    """Return when somebody waits for another one's lock in the database at *url*."""
    with psycopg.connect(url, autocommit=True) as other:
        for _ in range(LOCK_TRIES):
            if other.execute(WAITING).fetchall() != [(0,)]:
                return
            threading.Event().wait(0.02)
    raise AssertionError("nobody waits for a lock")


_numbers = count(1)
_ROWS_OF: Final = """
    SELECT string_agg(format('DELETE FROM %I', relname), '; ') FROM pg_class
    WHERE relkind IN ('r', 'p') AND NOT relispartition AND relname <> 'remit_schema'
    AND relnamespace = 'public'::regnamespace
"""


def _create(name: str, template: str) -> None:
    text = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    server().execute(text.format(sql.Identifier(name), sql.Identifier(template)))


@cache
def _shared() -> str:
    """Return the URL of a database that tests use one after the other, with remit's tables."""
    _create("shared", "template0")
    open_store(server().url("shared")).close()
    return server().url("shared")


@contextmanager
def emptied() -> Generator[str]:
    """Return a block with the URL of a database that has remit's tables and nothing in them.

    It is the same each time, which takes 2 ms where a new one takes 100.
    """
    yield from _emptied(_shared())


@contextmanager
def emptied_cluster() -> Generator[str]:
    """Return a block with the URL of the distributed database, with nothing in it."""
    url = cluster()
    if url is None:
        pytest.skip(f"{CITUS} names no distributed database")
    yield from _emptied(url)


def _emptied(url: str) -> Generator[str]:
    yield url
    with psycopg.connect(url, autocommit=True) as connection:
        ((statements,),) = connection.execute(_ROWS_OF).fetchall()
        connection.execute(statements)


@cache
def _filled(fill: Callable[[str], object]) -> str:
    """Return the name of a database that *fill* was called with, to be copied."""
    name = f"d{next(_numbers)}"
    _create(name, "template0")
    fill(server().url(name))
    return name


@contextmanager
def database(fill: Callable[[str], object] | None = None) -> Generator[str]:
    """Return a block with the URL of a new database.

    It has nothing in it, or what *fill* makes in the first of its kind; a copy takes a third of the
    time.
    """
    name = f"d{next(_numbers)}"
    _create(name, "template0" if fill is None else _filled(fill))
    try:
        yield server().url(name)
    finally:
        server().execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def cluster() -> str | None:
    """Return the URL of a database that `remit db distribute` has distributed, if one is named."""
    return os.environ.get(CITUS)
