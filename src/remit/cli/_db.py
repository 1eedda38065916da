"""`remit db`: maintenance of a database."""

from __future__ import annotations

import getpass
import shlex
import sqlite3
import sys
import time
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import click

from remit._base import sqlite
from remit._base.clock import NS_PER_US, SystemClock
from remit._base.files import make_private_file
from remit.cli._ages import MOST_DAYS, AgeType
from remit.cli._database import maintained, opened, opened_to_read
from remit.cli._failing import Failed
from remit.cli._local import client_on, reader_on
from remit.cli._options import (
    TEXT,
    Database,
    confirm_deletion,
    db_option,
    json_option,
    yes_option,
)
from remit.cli._terminal import duration, emit, emit_json, faint, number_of, size, when
from remit.cli._wire import get
from remit.collector.domain.erasure import AskedFor, runs_of_person
from remit.collector.domain.erasure import erase as erase_runs
from remit.collector.store.base import Readable, Store, StoreUnavailableError
from remit.collector.store.filters import Removed
from remit.collector.store.open import check_exists, is_postgres, shown
from remit.collector.store.open import distribute as distribute_database
from remit.collector.store.read_only import ReadOnlyStore
from remit.collector.store.retention import due
from remit.collector.store.transaction import Transaction
from remit.collector.store.version import VERSION, Change
from remit.collector.times import format_us
from remit.collector.upgrade.database import upgrade as upgrade_database
from remit.models.remit_api import CountList, RunList

LABEL_COLUMNS: Final = 12
LOGS: Final = ("", "-wal", "-shm")
US_PER_DAY: Final = 24 * 3600 * 1_000_000
RETENTION: Final = "set by --retain of the server; see Account in its web UI"
SOMEBODY: Final = "unknown"


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


@click.group()
def db() -> None:
    """Database maintenance: size, retention, erasure, backup."""


@db.command()
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


@db.command()
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


@db.command()
@click.option(
    "--days",
    type=click.IntRange(1, MOST_DAYS),
    help="Maximum age of spans and runs in days.",
)
@click.option(
    "--payloads",
    type=AgeType(timedelta(hours=1)),
    metavar="AGE",
    help="Maximum age of the payloads of spans, such as 30d or 12h.",
)
@yes_option
@db_option
@json_option
def retain(
    days: int | None,
    payloads: timedelta | None,
    db: Database | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete old spans and runs, or the payloads of old spans.

    The age of a span is the time since it began. A run is deleted if it ended longer ago than that
    age and has no spans left. A run that has not ended is kept. With --payloads, the parameters
    and results of spans are deleted, but their names, times and states are kept. PostgreSQL
    deletes whole weeks. A collector may use the database at the same time. `remit serve --retain`
    and `--retain-payloads` do the same every hour.
    """
    if days is None and payloads is None:
        raise click.UsageError("Specify --days, --payloads or both.")
    path = maintained(db)
    now_us = SystemClock().wall_ns() // NS_PER_US
    before_us = None if days is None else now_us - days * US_PER_DAY
    payloads_us = None if payloads is None else now_us - payloads // timedelta(microseconds=1)
    if not yes:
        with opened_to_read(path) as reader, reader.reading() as tx:
            _describe(due(tx, before_us, payloads_us), by_weeks=is_postgres(path))
            if count := misdated(tx):
                emit(misdated_note(count), err=True)
    with opened(path) as store:
        selected = _selected(before_us, payloads_us)
        confirm_deletion(f"Delete {selected} in {shown(path)}, for good?", yes=yes)
        removed = store.retain(before_us, payloads_us)
    if as_json:
        times = {"before": before_us, "payloads_before": payloads_us}
        shown_times = {name: at and format_us(at) for name, at in times.items()}
        emit_json({**shown_times, **removed._asdict()})
        return
    emit(f"Removed {selected} in {shown(path)}: {_counted(removed)}.")


def _selected(before_us: int | None, payloads_us: int | None) -> str:
    data: list[str] = []
    if before_us is not None:
        data.append(f"spans and runs from before {format_us(before_us)}")
    if payloads_us is not None:
        data.append(f"payloads of spans from before {format_us(payloads_us)}")
    return " and ".join(data)


def _describe(removed: Removed, *, by_weeks: bool) -> None:
    spans, runs = number_of(removed.spans, "span"), number_of(removed.runs, "run")
    payloads = f"the payloads of {number_of(removed.payloads, 'further span')}"
    weeks = ", at most: PostgreSQL deletes whole weeks" if by_weeks else ""
    emit(f"These are {spans}, {runs} and {payloads}{weeks}.", err=True)


@db.command()
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


@db.command()
@db_option
def distribute(db: Database | None) -> None:
    """Distribute an empty PostgreSQL database over several machines, with Citus.

    The URL must name the database on the coordinator. Each node must have the extension `citus` in
    a database of the same name, and the coordinator must know the workers. Afterwards a collector
    uses the database like any other.
    """
    url = str(maintained(db))
    if not is_postgres(url):
        raise Failed(
            f"{shown(url)} is an SQLite file: use --db postgresql://user@host/name with the "
            "database on the coordinator"
        )
    workers = distribute_database(url)
    emit(f"Distributed {shown(url)} over {number_of(workers, 'worker')}.")


@db.command()
@click.option(
    "--run",
    type=TEXT,
    metavar="RUN",
    help="Erase this run: its key, its id, or the beginning or the last 8 characters of either.",
)
@click.option(
    "--agent",
    type=TEXT,
    metavar="AGENT",
    help="Erase all runs of this agent: id, identifier or name.",
)
@click.option("--subject", type=TEXT, metavar="VALUE", help="Erase all runs with this subject.")
@click.option(
    "--on-behalf-of",
    type=TEXT,
    metavar="VALUE",
    help="Erase all runs on behalf of this person.",
)
@click.option(
    "--reason",
    type=TEXT,
    metavar="TEXT",
    required=True,
    help="Reason; the erasure record contains it.",
)
@yes_option
@db_option
@json_option
def erase(
    reason: str,
    db: Database | None,
    *,
    yes: bool,
    as_json: bool,
    **named: str | None,
) -> None:
    """Delete the payloads of runs for good.

    The command deletes parameters, results, scores, reasons, and stored responses that contain
    them, and keeps a record of the erasure. Names, times and states are kept, and `remit runs show`
    shows what was erased, when, why and by whom. Items that arrive later for such a run are stored
    without their payloads.
    """
    asked = [(AskedFor(kind), value) for kind, value in named.items() if value is not None]
    if len(asked) != 1:
        raise click.UsageError("Specify one of --run, --agent, --subject and --on-behalf-of.")
    if not reason.strip():
        raise click.UsageError("--reason must not be empty.")
    ((kind, value),) = asked
    path = maintained(db)
    with opened(path) as store:
        ids = _instances(store, kind, value)
        if not ids:
            whose = "on behalf of" if kind == AskedFor.ON_BEHALF_OF else f"of the {kind}"
            raise Failed(f"{shown(path)} has no run {whose} {value!r}: nothing was erased")
        question = f"Erase the payloads of {number_of(len(ids), 'run')} in {shown(path)}, for good?"
        confirm_deletion(question, yes=yes)
        done = erase_runs(store, ids, kind, reason=reason, erased_by=_user())
        _scrub(store, ids[0])
    if as_json:
        emit_json(done._asdict())
        return
    emit(
        f"Erased {number_of(done.spans, 'span')} and {number_of(done.responses, 'response')} "
        f"of {number_of(done.runs, 'run')} in {shown(path)}."
    )
    if is_postgres(path):
        emit("Its write-ahead log and its backups contain them until they are deleted themselves.")


def _scrub(store: Store, instance_id: str) -> None:
    try:
        store.scrub()
    except StoreUnavailableError as error:
        raise Failed(
            f"the payloads are deleted, but their bytes may still be in the file ({error}): "
            f"stop the programs that use the database, then run this again with --run {instance_id}"
        ) from error


def _instances(store: Store, kind: AskedFor, value: str) -> list[str]:
    if kind == AskedFor.RUN:
        return [reader_on(store).find(value).instance.id]
    if kind in {AskedFor.SUBJECT, AskedFor.ON_BEHALF_OF}:
        with store.reading() as source:
            return runs_of_person(source, kind, value)
    agent = reader_on(store).known_agent(value)
    with store.reading() as source:
        return source.runs_of_agent(agent.id)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return SOMEBODY


@db.command()
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@db_option
def backup(target: Path, db: Database | None) -> None:
    """Copy the database to TARGET.

    TARGET is a new file that only its owner can read. The copy is a consistent state of the
    database. A collector may write to the database at the same time, and the schema may be that of
    an earlier version. Data that is erased later stays in the copy.
    """
    path = maintained(db)
    if is_postgres(path):
        raise Failed(
            "use PostgreSQL's own tool to copy its database: pg_dump --format=custom "
            f"--file={shlex.quote(str(target))} {shlex.quote(shown(path))}"
        )
    _copy_database(Path(path), target)
    emit(f"Copied {shown(path)} to {target}, {target.stat().st_size} bytes.")


def _copy_database(path: Path, target: Path) -> None:
    """Write a consistent copy of the database at *path* to *target*, readable by its owner only.

    The file and its directory are not changed.

    Raises:
        Failed: It cannot be read, or *target* exists or cannot be written.
        SettingsError: There is no database.
    """
    check_exists(path)
    try:
        sqlite.check_ours(path, sqlite.COLLECTOR)
    except (OSError, sqlite3.Error, sqlite.ForeignError) as error:
        raise Failed(
            f"the database {path} cannot be read: {error}. Use a database created by remit"
        ) from error
    try:
        if not make_private_file(target):
            raise Failed(f"{target} exists already: use another file")
    except OSError as error:
        raise Failed(f"{target} cannot be written: {error.strerror or error}") from error
    try:
        _copy(path, target)
    except BaseException as error:
        target.unlink()
        if isinstance(error, OSError | sqlite3.Error):
            raise Failed(f"{path} cannot be copied to {target}: {error}") from error
        raise


def _copy(path: Path, target: Path) -> None:
    try:
        with sqlite.reading(path) as source, closing(sqlite3.Connection(target)) as copy:
            source.backup(copy)
            # The copy is one file, without a write-ahead log.
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite.ChangedError as error:
        raise Failed(f"{path} was written to while it was copied: copy it again") from error


def _counted(removed: Removed) -> str:
    counts = [
        number_of(removed.spans, "span"),
        number_of(removed.runs, "run"),
        number_of(removed.keys, "idempotency key"),
    ]
    if removed.payloads:
        counts.append(f"the payloads of {number_of(removed.payloads, 'span')}")
    weeks = len({name.rpartition("_")[2] for name in removed.parts})
    dropped = f" ({number_of(weeks, 'week')} dropped whole)" if weeks else ""
    return f"{', '.join(counts[:-1])} and {counts[-1]}{dropped}"
