"""The schema of a database, and refusals of databases with another version of it."""

from __future__ import annotations

import shlex
from functools import cache
from importlib.resources import files
from typing import Final

from remit._base.sqlite import COLLECTOR_VERSION
from remit.errors import SettingsError

VERSION: Final = COLLECTOR_VERSION
"""Version of the schema that this remit reads and writes."""
OLDEST: Final = 3
"""Oldest version from which `remit db upgrade` copies."""
UPGRADING: Final = 1000
"""What is added to the version of a PostgreSQL database while `remit db upgrade` copies it."""


@cache
def statements(dialect: str) -> tuple[str, ...]:
    """Return the statements that create the tables of *dialect*, `sqlite` or `postgres`.

    `executescript` is no alternative: it commits first, which releases the lock.
    """
    script = (files("remit.collector.store") / "schema" / f"{dialect}.sql").read_text("utf-8")
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("--")]
    parts = ("\n".join(lines) + "\n").split(";\n")
    return tuple(part.strip() for part in parts if part.strip())


def refuse_other(version: int, database: str) -> None:
    """Refuse a database with another version of the schema.

    Raises:
        SettingsError: It has one.
    """
    if version > UPGRADING:
        raise SettingsError(
            f"the database {database} is being upgraded from schema version {version - UPGRADING}. "
            "Wait for remit db upgrade; if it was interrupted, start it again: "
            f"remit db upgrade --db {shlex.quote(database)}"
        )
    if version > VERSION:
        raise SettingsError(
            f"the database {database} has schema version {version}, this remit knows up to "
            f"{VERSION}: upgrade remit, or name another database"
        )
    if version < VERSION:
        raise SettingsError(
            f"the database {database} has schema version {version}, and this remit uses "
            f"{VERSION}. Stop what writes to it, and copy it: "
            f"remit db upgrade --db {shlex.quote(database)}"
        )


def check_upgradable(version: int, database: str) -> None:
    """Check that a database has a version from which an upgrade copies, or the current one.

    Raises:
        SettingsError: It has not.
    """
    if VERSION < version <= UPGRADING:
        refuse_other(version, database)
    if version < OLDEST:
        raise SettingsError(
            f"the database {database} has schema version {version}, and this remit upgrades from "
            f"{OLDEST} on: start with a new database, or read this one with the remit that wrote it"
        )
