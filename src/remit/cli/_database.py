"""Opens the database of a command."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import Final

from remit import config
from remit.cli._failing import Failed
from remit.cli._files import private_folder
from remit.cli._options import Database
from remit.cli._terminal import emit
from remit.collector.store.base import Reader, Store, StoreUnavailableError, TooSlowError
from remit.collector.store.open import open_reader, open_store, shown

FILE: Final = "remit.db"


def database(given: Database | None, *, create: bool = False) -> Database:
    """Return the database that `--db` names, else the one of local mode.

    Args:
        given: What `--db` names.
        create: Whether to make the data folder if it is needed and there is none.

    Raises:
        Failed: The data folder cannot be made, or is open to other users.
    """
    return given or private_folder(config.load({}).data_dir, create=create) / FILE


def maintained(given: Database | None, *, create: bool = False) -> Database:
    """Return the database as `database` does, for a command that never works on a server.

    Name it on standard error if it is that of local mode while the environment names a server.
    """
    path = database(given, create=create)
    settings = config.load({})
    if given is None and settings.mode != "local" and settings.api_url:
        variable, _ = config.environment_sources()["api_url"]
        emit(
            f"This works on {shown(path)}, not on the server of {variable}; --db names another "
            "database.",
            err=True,
        )
    return path


@contextmanager
def opened(path: Database, *, create: bool = False) -> Generator[Store]:
    """Open the database at *path* to read and write it, and close it after the block.

    Raises:
        Failed: Another process keeps it locked.
    """
    with closing(open_store(path, create=create)) as store, _failing():
        yield store


@contextmanager
def opened_to_read(path: Database) -> Generator[Reader]:
    """Open the database at *path* to read it only, and close it after the block.

    Raises:
        Failed: Another process keeps it locked.
    """
    with closing(open_reader(path)) as store, _failing():
        yield store


@contextmanager
def _failing() -> Generator[None]:
    try:
        yield
    except TooSlowError as error:
        raise Failed(f"the database took too long to answer ({error}): ask for less") from error
    except StoreUnavailableError as error:
        raise Failed(f"the database cannot be used now ({error}): try again later") from error
