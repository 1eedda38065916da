"""Migrations: numbered SQL files that the first process to open a database applies in order."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from remit.errors import SettingsError


class Migration(NamedTuple):
    """One step of the schema.

    Attributes:
        number: The schema version of the database afterwards.
        name: The file's name.
        statements: SQL statements, without their semicolons.
    """

    number: int
    name: str
    statements: tuple[str, ...]


@cache
def migrations(dialect: str) -> Sequence[Migration]:
    """Return the migrations of *dialect*, which is the name of a folder, in order."""
    folder = files("remit.collector.store") / "migrations" / dialect
    steps = [
        Migration(int(file.name.partition("_")[0]), file.name, statements(file.read_text("utf-8")))
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    ]
    return sorted(steps)


def statements(script: str) -> tuple[str, ...]:
    """Return the statements of *script*; a semicolon at the end of a line ends one.

    `executescript` is no alternative: it commits first, which releases the lock.
    """
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("--")]
    parts = ("\n".join(lines) + "\n").split(";\n")
    return tuple(part.strip() for part in parts if part.strip())


def refuse_newer(version: int, newest: int, database: str) -> None:
    """Refuse a database with a newer schema.

    Raises:
        SettingsError: The schema is newer.
    """
    if version > newest:
        raise SettingsError(
            f"the database {database} has schema version {version}, this remit knows up to "
            f"{newest}: upgrade remit, or name another database"
        )


def refuse_older(version: int, newest: int, database: str) -> None:
    """Refuse to read a database with an older schema.

    Raises:
        SettingsError: The schema is older.
    """
    if version < newest:
        raise SettingsError(
            f"the database {database} has schema version {version}, and this remit reads "
            f"{newest}; a command that reads changes nothing. Bring it up to date: "
            f"remit db upgrade --db {shlex.quote(database)}"
        )
