"""Databases of older schema versions, as the collectors of those versions wrote them.

tests/data/old_database has the content of one of version 6 and what its collector answered about
it. Older versions hold the same rows, as far as they have tables and columns for them.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg

from tests.collecting import Json
from tests.inside_collector import WEEK_MS, bound_at, make_private_file, to_text
from tests.postgres import database

VERSIONS: Final = (3, 4, 5, 6)
DATA: Final = Path(__file__).parent / "data"
FOLDER: Final = DATA / "old_database"
MONDAY_MS: Final = 1_766_966_400_000
"""The week of most spans begins then."""
APPLICATION_ID: Final = int.from_bytes(b"RMTC")
# Unique in version 3, which knew no other content under a known identifier.
_ONCE: Final = {
    "agent_schema_versions": ("agent_id", "external_identifier"),
    "agent_instances": ("agent_id", "external_identifier"),
}


class Answered(NamedTuple):
    """What the collector of version 6 answered to one token.

    Attributes:
        secret: The token.
        now: When.
        answers: The answers by path.
    """

    secret: str
    now: datetime
    answers: dict[str, Json]


@contextmanager
def old_database(kind: str, folder: Path, version: int) -> Generator[Path | str]:
    """Return a block with what `--db` names: a database of a version."""
    if kind == "sqlite":
        path = folder / "remit.db"
        make_sqlite(path, version)
        yield path
        return
    with database() as url:
        make_postgres(url, version)
        yield url


@cache
def answered() -> list[Answered]:
    """Return what the collector of version 6 answered, one entry for each account."""
    entries = json.loads(gzip.decompress((FOLDER / "answers.json.gz").read_bytes()))
    return [
        Answered(entry["secret"], datetime.fromisoformat(entry["now"]), entry["answers"])
        for entry in entries
    ]


def migrations(dialect: str, version: int) -> Iterator[str]:
    """Yield the statements that make the tables of a version."""
    for path in sorted((DATA / "migrations" / dialect).iterdir())[:version]:
        lines = [line for line in path.read_text().splitlines() if not line.startswith("--")]
        for statement in ("\n".join(lines) + "\n").split(";\n"):
            if statement.strip():
                yield statement


def make_sqlite(path: Path, version: int) -> None:
    """Make an SQLite file of a version."""
    make_private_file(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode = WAL")
        for name, count in (("remit_subject_hash", 1), ("remit_content_hash", 2)):
            connection.create_function(name, count, lambda *_: None)
        for statement in migrations("sqlite", version):
            connection.execute(statement)
        connection.execute("BEGIN")
        for table, content in _content(version):
            existing = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            names = [name for name in content[0] if name in existing] if content else []
            sql = (
                f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' for _ in names)})"
            )
            connection.executemany(sql, [[row[name] for name in names] for row in content])
        connection.execute("COMMIT")
        connection.execute(f"PRAGMA user_version = {version}")


def make_postgres(url: str, version: int) -> None:
    """Make the tables and rows of a version in an empty PostgreSQL database."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        for statement in migrations("postgres", version):
            cursor.execute(statement.encode())
        cursor.execute("CREATE TABLE remit_schema (version bigint NOT NULL)")
        cursor.execute("INSERT INTO remit_schema VALUES (%s)", (version,))
        # A week of the spans, as the collectors made them.
        first, end = (f"'{to_text(bound_at(ms))}'" for ms in (MONDAY_MS, MONDAY_MS + WEEK_MS))
        cursor.execute(
            "CREATE TABLE agent_spans_20251229 PARTITION OF agent_spans "
            f"FOR VALUES FROM ({first}) TO ({end})".encode()
        )
        for table, content in _content(version):
            cursor.execute(f"SELECT * FROM {table} LIMIT 0".encode())
            assert cursor.description is not None
            existing = {column.name for column in cursor.description}
            names = [name for name in content[0] if name in existing] if content else []
            sql = (
                f"INSERT INTO {table} ({', '.join(names)}) "
                f"VALUES ({', '.join('%s' for _ in names)})"
            )
            cursor.executemany(sql.encode(), [[row[name] for name in names] for row in content])


def accounts(version: int) -> frozenset[str]:
    """Return the accounts whose rows a database of *version* can hold."""
    content = rows()
    every = frozenset(row["id"] for row in content["accounts"])
    if version > 3:
        return every
    more: set[str] = set()
    for table, key in _ONCE.items():
        seen: set[tuple[Any, ...]] = set()
        for row in content[table]:
            value = tuple(row[name] for name in key)
            if None not in value and value in seen:
                more.add(row["account_id"])
            seen.add(value)
    return every - more


def _content(version: int) -> Iterator[tuple[str, Sequence[dict[str, Any]]]]:
    """Yield the rows of each table that a version can hold."""
    kept = accounts(version)
    runs = {row["id"]: row["account_id"] for row in rows()["agent_instances"]}
    for table, every in rows().items():
        yield table, [row for row in every if _account_of(row, runs) in kept]


def _account_of(row: dict[str, Any], runs: dict[str, str]) -> str:
    if "account_id" in row:
        return str(row["account_id"])
    return runs[row["agent_instance_id"]] if "agent_instance_id" in row else str(row["id"])


@cache
def rows() -> dict[str, list[dict[str, Any]]]:
    """Return the rows of version 6 by table."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = sqlite3.Row
        connection.executescript(
            gzip.decompress((FOLDER / "version_6.sql.gz").read_bytes()).decode()
        )
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {
            name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")]
            for (name,) in names.fetchall()
        }
