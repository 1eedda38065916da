"""`remit db info` and `remit db vacuum`: content and size of a database."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import click

from remit.cli._database import maintained, opened, opened_to_read
from remit.cli._failing import Failed
from remit.cli._local import client_on
from remit.cli._options import Database, db_option, json_option
from remit.cli._terminal import emit, emit_json, faint, size, when
from remit.cli._wire import get
from remit.collector.store.base import Readable, StoreUnavailableError
from remit.collector.store.open import is_postgres, shown
from remit.collector.store.read_only import ReadOnlyStore
from remit.collector.store.transaction import Transaction
from remit.collector.store.version import VERSION
from remit.models.remit_api import CountList, RunList

LABEL_COLUMNS: Final = 12
LOGS: Final = ("", "-wal", "-shm")
US_PER_DAY: Final = 24 * 3600 * 1_000_000
RETENTION: Final = "set by --retain of the server; see Account in its web UI"


class Content(NamedTuple):
    """Content of a database.

    Attributes:
        oldest: Day of the oldest run.
        newest: Time at which the newest run was stored.
        misdated: Number of runs that began more than a day before or after they were stored.
    """

    runs: int
    spans: int
    oldest: str | None
    newest: datetime | None
    misdated: int


@click.command()
@db_option
@json_option
def info(db: Database | None, *, as_json: bool) -> None:
    """Show the version, size and content of a database.

    The command shows the day on which the oldest run was stored, and the time of the newest run.
    It does not show the retention, which is a setting of the server.
    """
    path = maintained(db)
    with opened_to_read(path) as store:
        taken, content = _bytes(path, store), _content(store)
    if as_json:
        newest = content.newest and content.newest.isoformat().replace("+00:00", "Z")
        named = {**content._asdict(), "newest": newest}
        emit_json({"database": shown(path), "version": VERSION, "bytes": taken, **named})
        return
    rows = {
        "database": shown(path),
        "version": str(VERSION),
        "size": size(taken),
        "runs": f"{content.runs:,}",
        "spans": f"{content.spans:,}",
        "oldest": content.oldest or "none",
        "newest": when(content.newest) or "none",
        "retention": RETENTION,
    }
    if content.misdated:
        rows["clocks"] = misdated_note(content.misdated)
    for label, text in rows.items():
        emit(faint(f"{label:<{LABEL_COLUMNS}}") + text)


def _content(store: Readable) -> Content:
    client = client_on(ReadOnlyStore(store))
    runs = client.send(get("/counts", CountList, {"of": "runs", "by": "day"})).counts
    spans = client.send(get("/counts", CountList, {"of": "spans", "by": "status"})).counts
    newest = client.send(get("/runs", RunList, {"limit": "1"})).runs
    with store.reading() as tx:
        count = misdated(tx)
    return Content(
        sum(count.runs or 0 for count in runs),
        sum(count.spans or 0 for count in spans),
        runs[0].day if runs else None,
        newest[0].inserted_at if newest else None,
        count,
    )


def misdated(tx: Transaction) -> int:
    ((count,),) = tx.rows(
        "SELECT COUNT(*) FROM runs WHERE ABS(started_at - inserted_at) > ?", (US_PER_DAY,)
    )
    return int(count)


def misdated_note(count: int) -> str:
    runs, they_were = ("runs", "they were") if count > 1 else ("run", "it was")
    return (
        f"{count:,} {runs} began more than a day before or after {they_were} stored, because of "
        "late delivery or because the program's clock was wrong. Retention uses that clock."
    )


def _bytes(path: Database, store: Readable) -> int:
    if is_postgres(path):
        with store.reading() as tx:
            ((taken,),) = tx.rows("SELECT pg_database_size(current_database())")
        return int(taken)
    files = (Path(f"{path}{log}") for log in LOGS)
    return sum(file.stat().st_size for file in files if file.exists())


@click.command()
@db_option
def vacuum(db: Database | None) -> None:
    """Free the space of deleted data.

    The command rewrites an SQLite file. The disk needs room for a second copy, and a collector that
    serves the file waits until the command has finished. In PostgreSQL, new rows can use the space
    of deleted rows.
    """
    path = maintained(db)
    with opened_to_read(path) as store:
        before = _bytes(path, store)
    if sys.stderr.isatty():
        emit(faint(f"Vacuuming {shown(path)}, {size(before)} ..."), err=True)
    with opened(path) as store:
        try:
            store.scrub()
        except StoreUnavailableError as error:
            raise Failed(f"the database is in use: {error}") from error
    with opened_to_read(path) as store:
        after = _bytes(path, store)
    emit(f"Vacuumed {shown(path)}: {size(before)} before, {size(after)} now.")
