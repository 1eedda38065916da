"""Migrations: numbered SQL files, applied in order, once, by whoever opens the database first."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import NamedTuple


class Migration(NamedTuple):
    """One step of the schema.

    Attributes:
        number: Schema version that the database has afterwards.
        name: The file's name.
        statements: SQL statements, without their semicolons.
    """

    number: int
    name: str
    statements: tuple[str, ...]


def migrations(dialect: str) -> Sequence[Migration]:
    """Return the migrations of *dialect*, which is the name of a folder, in order."""
    folder = files("remit.collector.store") / "migrations" / dialect
    found = [
        Migration(int(file.name.partition("_")[0]), file.name, statements(file.read_text("utf-8")))
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    ]
    return sorted(found)


def statements(script: str) -> tuple[str, ...]:
    """Return the statements of *script*; a semicolon at the end of a line ends one.

    `executescript` would do this too, but it commits first, and so gives up the lock.
    """
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("--")]
    parts = ("\n".join(lines) + "\n").split(";\n")
    return tuple(part.strip() for part in parts if part.strip())
