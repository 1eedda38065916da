"""`remit db upgrade`: changes the schema of a database to that of this version."""

from __future__ import annotations

import time

import click

from remit.cli._database import maintained
from remit.cli._failing import Failed
from remit.cli._options import Database, db_option
from remit.cli._terminal import duration, emit
from remit.collector.store.base import StoreUnavailableError
from remit.collector.store.open import shown
from remit.collector.store.version import Change
from remit.collector.upgrade.database import upgrade as upgrade_database


@click.command()
@db_option
def upgrade(db: Database | None) -> None:
    """Upgrade the schema of a database to this version.

    First stop collectors and programs that record into the database, and make a backup. Each
    change is one transaction. If the command is interrupted, start it again; it continues with the
    next change.
    """
    path = maintained(db)
    begun = time.monotonic()

    def report(change: Change) -> None:
        emit(
            f"Version {change.version}: {change.name}, after {duration(time.monotonic() - begun)}."
        )

    try:
        before, after = upgrade_database(path, report=report)
    except StoreUnavailableError as error:
        raise Failed(f"the upgrade stopped ({error}): start it again, and it continues") from error
    if before == after:
        emit(f"{shown(path)} is up to date.")
    else:
        emit(f"Upgraded {shown(path)} from version {before} to {after}.")
