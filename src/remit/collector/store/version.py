"""The schema of a database, its numbered changes, and the check that rejects other versions.

`schema/` has the tables of version 1. The change to version N is a file in `changes/`,
`NNNN_name.sql`, or where the databases differ two, `NNNN_name.sqlite.sql` and
`NNNN_name.postgres.sql`. A new database is made of version 1 and all changes, so that it equals
one that was upgraded. A change is never edited after its release: databases have it already.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from remit._base.sqlite import COLLECTOR_VERSION
from remit.errors import SettingsError

VERSION: Final = COLLECTOR_VERSION
"""Version of the schema that this remit reads and writes."""
OLDEST: Final = 1
"""Version of the first release; from it on, `remit db upgrade` changes a database."""
_STORE: Final = "remit.collector.store"


class Change(NamedTuple):
    """A change of the schema from the version before to this one."""

    version: int
    name: str
    sql: str


@cache
def statements(dialect: str) -> tuple[str, ...]:
    """Return the statements that make a new database of *dialect*, `sqlite` or `postgres`."""
    first = (files(_STORE) / "schema" / f"{dialect}.sql").read_text("utf-8")
    scripts = [first, *(change.sql for change in schema_changes(dialect))]
    return tuple(each for script in scripts for each in statements_of(script))


def statements_of(script: str) -> tuple[str, ...]:
    """Return the statements of a script, without the lines that are comments.

    `executescript` would commit first, which releases the lock.
    """
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("--")]
    parts = ("\n".join(lines) + "\n").split(";\n")
    return tuple(part.strip() for part in parts if part.strip())


def schema_changes(dialect: str) -> list[Change]:
    """Return the changes for *dialect*, in order."""
    read: list[Change] = []
    for path in (files(_STORE) / "changes").iterdir():
        name, _, ending = path.name.partition(".")
        if ending in {"sql", f"{dialect}.sql"}:
            number, _, words = name.partition("_")
            read.append(Change(int(number), words.replace("_", " "), path.read_text("utf-8")))
    return sorted(read)


def check_version(version: int, database: str) -> None:
    """Reject a database with another version of the schema.

    Raises:
        SettingsError: It has one.
    """
    if version > VERSION:
        raise _too_new(version, VERSION, database)
    if version < VERSION:
        raise SettingsError(
            f"the database {database} has schema version {version}, and this remit uses "
            f"{VERSION}. Stop the programs that write to it, and run: "
            f"remit db upgrade --db {shlex.quote(database)}"
        )


def check_upgradable(version: int, changes: Sequence[Change], database: str) -> None:
    """Check that *changes* lead from the version of a database to the newest one.

    Raises:
        SettingsError: They do not.
    """
    newest = changes[-1].version if changes else OLDEST
    if version > newest:
        raise _too_new(version, newest, database)
    if version < OLDEST:
        raise SettingsError(f"the database {database} has no tables of remit's: nothing to upgrade")


def _too_new(version: int, newest: int, database: str) -> SettingsError:
    return SettingsError(
        f"the database {database} has schema version {version}, and this remit supports at "
        f"most {newest}. A later version of remit wrote it, or one before the first release: "
        "upgrade remit, or use another database"
    )
