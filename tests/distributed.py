"""A distributed database on one PostgreSQL server, and notes of the statements that it gets.

Functions with the names of Citus' make four parts of each table of runs, by its shard.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, cast

import psycopg
from typing_extensions import override

from tests.inside_collector import distribute
from tests.postgres import database

FUNCTIONS: Final = (Path(__file__).parent / "data" / "citus.sql").read_bytes()
PART: Final = re.compile(r"(.+)_shard([0-3])")
VERB: Final = re.compile(
    r"INSERT INTO (?P<INSERT>\w+)|UPDATE (?P<UPDATE>\w+) (?:AS \w+ )?SET"
    r"|DELETE FROM (?P<DELETE>\w+)"
)
LOCKS: Final = re.compile(r"FOR (NO KEY UPDATE|UPDATE|KEY SHARE|SHARE)\b")


def _add_functions(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(FUNCTIONS)


def _distribute(url: str) -> None:
    _add_functions(url)
    distribute(url)


@contextmanager
def with_functions() -> Generator[str]:
    """Return a block with the URL of a new database that can be distributed."""
    with database(_add_functions) as url:
        yield url


@contextmanager
def distributed() -> Generator[str]:
    """Return a block with the URL of a new distributed database."""
    with database(_distribute) as url:
        yield url


class Statement(NamedTuple):
    """A statement and its values.

    Attributes:
        sql: Its text.
        values: Its values.
    """

    sql: str
    values: Sequence[Any]

    def writes(self) -> set[tuple[str, str]]:
        """Return what it inserts, updates, deletes and locks: verbs and tables."""
        written = {
            (verb, table)
            for match in VERB.finditer(self.sql)
            for verb, table in match.groupdict().items()
            if table is not None
        }
        if LOCKS.search(self.sql):
            written |= {("LOCK", table) for table in re.findall(r"\bFROM (\w+)", self.sql)}
        return written

    def parts(self, connection: psycopg.Connection[Any]) -> set[tuple[str, int]]:
        """Return the tables of which its plan names parts, and the numbers of these parts."""
        sql = f"EXPLAIN (FORMAT JSON) {self.sql}".encode()
        ((plans,),) = connection.execute(sql, self.values, prepare=False).fetchall()
        named = re.findall(r'"Relation Name": "(\w+)"', json.dumps(plans))
        return {(match[1], int(match[2])) for match in map(PART.fullmatch, named) if match}


class Noting(psycopg.Cursor[Any]):
    """A cursor that notes the statements it sends, for all connections of a pool."""

    noted: ClassVar[list[Statement]] = []

    @override
    def execute(self, query: Any, params: Any = None, **more: Any) -> Noting:
        self.noted.append(Statement(_text(query), params or ()))
        return super().execute(query, params, **more)

    @override
    def executemany(
        self, query: Any, params_seq: Iterable[Any], *, returning: bool = False
    ) -> None:
        rows = list(params_seq)
        self.noted.extend(Statement(_text(query), row) for row in rows)
        super().executemany(query, rows, returning=returning)

    @classmethod
    def about(cls, tables: Iterable[str]) -> Iterator[Statement]:
        """Yield the statements that write or lock one of *tables*."""
        wanted = set(tables)
        for statement in cls.noted:
            if wanted & {re.sub(r"_other$", "", table) for _, table in statement.writes()}:
                yield statement


def noting(connection: psycopg.Connection[Any]) -> Noting:
    """Return a cursor of *connection* that notes its statements."""
    return Noting(connection)


def _text(query: object) -> str:
    return query.decode() if isinstance(query, bytes) else str(cast("str", query))
