"""The database of `--db`: an SQLite file by its path, or PostgreSQL by its URL."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from remit._base.text import install_extra
from remit.collector.store.base import Readable, Store
from remit.collector.store.sqlite import ReadOnlySqlite, SqliteStore
from remit.errors import SettingsError

# Imported by name: psycopg is an extra, and its import takes time that SQLite does not need.
_POSTGRES: Final = "remit.collector.store.postgres"
_DISTRIBUTION: Final = "remit.collector.store.distribution"
_POSTGRES_SCHEMES: Final = frozenset({"postgres", "postgresql"})


def open_store(database: Path | str, *, create: bool = True) -> Store:
    """Open a database.

    Args:
        database: Path of an SQLite file, or a URL `postgresql://...`.
        create: Whether to create the file or the tables if they do not exist.

    Raises:
        SettingsError: If the database was not created by remit, has another version, or does not
            exist.
    """
    if is_postgres(database):
        store: Store = _of_extra(_POSTGRES, "PostgresStore")(str(database), create=create)
        return store
    path = _path(database)
    if not create:
        check_exists(path)
    elif not path.parent.is_dir():
        raise SettingsError(
            f"there is no directory {path.parent} for the database {path.name}: create it first"
        )
    return SqliteStore(path)


def open_readable(database: Path | str) -> Readable:
    """Open a database to read it and change nothing.

    Args:
        database: Path of an SQLite file, or a URL `postgresql://...`.

    Raises:
        SettingsError: It is not a remit database, holds another schema, or does not exist.
    """
    if is_postgres(database):
        store: Readable = _of_extra(_POSTGRES, "PostgresStore")(str(database), read_only=True)
        return store
    path = _path(database)
    check_exists(path)
    return ReadOnlySqlite(path)


def distribute(url: str) -> int:
    """Distribute an empty PostgreSQL database over the nodes of a Citus cluster.

    Returns:
        The number of workers.

    Raises:
        SettingsError: It cannot be distributed; the message says what to do.
    """
    return int(_of_extra(_DISTRIBUTION, "distribute")(url))


def is_postgres(database: Path | str) -> bool:
    """Return whether a database is PostgreSQL, which several processes may serve."""
    return _scheme_of(database) in _POSTGRES_SCHEMES


def shown(database: Path | str) -> str:
    """Return the name of a database for people: a URL without its password."""
    text = str(database)
    if not _scheme_of(text):
        return text
    text = re.sub(r"(://[^:/@?]*):[^@/?]*@", r"\1@", text)
    return re.sub(r"([?&])password=[^&]*&?", r"\1", text).rstrip("?&")


def _scheme_of(database: Path | str) -> str:
    match = re.match(r"([a-z][a-z0-9+]*)://", str(database))
    return match[1] if match else ""


def _path(database: Path | str) -> Path:
    scheme = _scheme_of(database)
    if scheme:
        raise SettingsError(
            f"remit does not support {scheme}:// databases: use the path of an SQLite file, or "
            "postgresql://user@host/name"
        )
    return Path(database)


def check_exists(path: Path) -> None:
    """Check that there is a file with content.

    Raises:
        SettingsError: There is none, or it cannot be read.
    """
    try:
        missing = not path.is_file() or not path.stat().st_size
    except OSError as error:
        raise SettingsError(
            f"the database {path} cannot be read: {error.strerror or error}"
        ) from error
    if missing:
        raise SettingsError(
            f"there is no database at {path}: either nothing has been recorded yet, or the path is "
            "wrong"
        )


def _of_extra(module: str, name: str) -> Callable[..., Any]:
    """Return a name of a module that needs the extra for PostgreSQL."""
    try:
        named: Callable[..., Any] = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"a PostgreSQL database needs {error.name}, which is not installed: "
            + install_extra("postgres")
        ) from error
    return named
