"""`remit db backup`: a copy of a database while it is in use."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from remit.cli._database import database, opened_to_read
from remit.cli._failing import Failed
from remit.cli._options import Database, db_option
from remit.cli._terminal import emit
from remit.collector.store import SqliteReader, is_postgres, shown


@click.command()
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@db_option
def backup(target: Path, db: Database | None) -> None:
    """Copy the database to TARGET, a new file that only its owner can read.

    The copy is a consistent state of the database; a collector may write it meanwhile. Data that
    is erased later remains in the copy.
    """
    path = database(db)
    if is_postgres(path):
        raise Failed(
            "a PostgreSQL database is copied by its own tool: pg_dump --format=custom "
            f"--file={shlex.quote(str(target))} {shlex.quote(shown(path))}"
        )
    with opened_to_read(path) as store:
        assert isinstance(store, SqliteReader)  # noqa: S101 - there are two kinds
        try:
            store.copy_to(target)
        except FileExistsError as error:
            raise Failed(f"{target} exists already: name another file") from error
        except OSError as error:
            raise Failed(f"{target} cannot be written: {error.strerror or error}") from error
    emit(f"Copied {shown(path)} to {target}, {target.stat().st_size} bytes.")
