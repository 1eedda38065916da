"""Opens the database of a command."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import Final

from remit import config
from remit.cli._failing import Failed
from remit.cli._files import private_directory
from remit.cli._options import Database
from remit.cli._terminal import emit
from remit.collector.store.base import Readable, Store, StoreUnavailableError, TooSlowError
from remit.collector.store.open import open_readable, open_store, shown

FILE: Final = "remit.db"


def database(db: Database | None, *, create: bool = False) -> Database:
    """Return the database of `--db`, else that of local mode.

    Args:
        create: Whether to create the data directory if it is needed.

    Raises:
        Failed: The data directory cannot be created, or other users can open it.
    """
    return db or private_directory(config.load({}).data_dir, create=create) / FILE


def maintained(db: Database | None, *, create: bool = False) -> Database:
    """Return the database as `database` does, for a command that cannot use a server.

    Write a notice to standard error if that is local mode's database, but a server is configured.
    """
    if db is not None:
        return db  # without the settings: a container's user may have no data directory
    path = database(db, create=create)
    settings = config.load({})
    if settings.mode != "local" and settings.api_url:
        variable, _ = config.environment_sources()["api_url"]
        emit(
            f"This uses {shown(path)}, not the server of {variable}; use --db for another one.",
            err=True,
        )
    return path


@contextmanager
def opened(path: Database, *, create: bool = False) -> Generator[Store]:
    """Open the database at *path* to read and write it, and close it after the block.

    Raises:
        Failed: Another process has locked it.
    """
    with closing(open_store(path, create=create)) as store, _failing():
        yield store


@contextmanager
def opened_to_read(path: Database) -> Generator[Readable]:
    """Open the database at *path* to read it only, and close it after the block.

    Raises:
        Failed: Another process has locked it.
    """
    with closing(open_readable(path)) as store, _failing():
        yield store


@contextmanager
def _failing() -> Generator[None]:
    try:
        yield
    except TooSlowError as error:
        raise Failed(f"the database took too long to respond ({error}): ask for less") from error
    except StoreUnavailableError as error:
        raise Failed(f"the database cannot be used now ({error}): try again later") from error
