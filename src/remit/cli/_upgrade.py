"""`remit db upgrade`: copies a database of an earlier version."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import click

from remit.cli._database import maintained
from remit.cli._failing import Failed
from remit.cli._options import Database, db_option
from remit.cli._terminal import duration, emit
from remit.collector.store import StoreUnavailableError, shown
from remit.collector.store.version import VERSION
from remit.collector.upgrade import upgrade as upgrade_database


@click.command()
@click.option("--drop-old", is_flag=True, help="Delete the old data at the end.")
@db_option
def upgrade(db: Database | None, *, drop_old: bool) -> None:
    """Copy the database of an earlier version into this version.

    Stop collectors and programs that record into the database first; they refuse it until the copy
    is complete. If the command is interrupted, start it again: it continues. The old data remains,
    with its payloads, until it is deleted.
    """
    path = maintained(db)
    begun = time.monotonic()
    try:
        with _progress() as report:
            upgraded = upgrade_database(path, drop_old=drop_old, report=report)
    except StoreUnavailableError as error:
        raise Failed(f"the upgrade stopped ({error}): start it again, and it continues") from error
    if upgraded.version == VERSION:
        emit(f"{shown(path)} is up to date.")
    else:
        emit(
            f"Upgraded {shown(path)} from version {upgraded.version} to {VERSION} in "
            f"{duration(time.monotonic() - begun)}: {upgraded.runs} runs, {upgraded.spans} spans, "
            f"{upgraded.keys} idempotency keys."
        )
    if upgraded.dropped:
        emit(f"Deleted the old data: {upgraded.dropped}.")
    elif drop_old:
        emit("There was no old data to delete.")
    if upgraded.kept:
        command = f"remit db upgrade --drop-old --db {shlex.quote(shown(path))}"
        emit(f"The old data, with its payloads, is kept as {upgraded.kept}. Delete it: {command}")


@contextmanager
def _progress() -> Generator[Callable[[int, int], None]]:
    """Return a block with a function that shows the progress, if there is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    with click.progressbar(length=1, label="Copying", file=sys.stderr) as bar:

        def report(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        yield report
