"""Which store a `--db` names."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

from remit.collector.store.naming import is_postgres, scheme_of
from remit.collector.store.protocol import Store
from remit.collector.store.sqlite import SqliteStore
from remit.errors import SettingsError

# By name, because psycopg is an extra, and costs every SQLite user its import otherwise.
_POSTGRES: Final = "remit.collector.store.postgres"


def open_store(database: Path | str, *, create: bool = True) -> Store:
    """Open the database that *database* names, brought up to date if need be.

    Args:
        database: Path of an SQLite file, or `postgresql://...`.
        create: Whether to make the file, or the tables, if there are none.

    Raises:
        SettingsError: It is no database of remit's, holds a newer schema, or does not exist.
    """
    if is_postgres(database):
        return _postgres()(str(database), create=create)
    scheme = scheme_of(database)
    if scheme:
        raise SettingsError(
            f"remit keeps its data in an SQLite file or in PostgreSQL, and knows no {scheme}:// "
            "database: give the path of a file, or postgresql://user@host/name"
        )
    path = Path(database)
    if not create and not path.is_file():
        raise SettingsError(
            f"there is no database at {path}: nothing was recorded there yet, or another "
            "path is meant"
        )
    return SqliteStore(path)


def _postgres() -> Callable[..., Store]:
    """Return the class of the PostgreSQL store, which needs the extra.

    Raises:
        SettingsError: The extra is not installed.
    """
    try:
        found: Callable[..., Store] = import_module(_POSTGRES).PostgresStore
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"a PostgreSQL database needs {error.name}, which is not installed: "
            "pip install 'remit[postgres]'"
        ) from error
    return found
