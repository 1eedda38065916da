"""`remit db`: maintenance of a database."""

from __future__ import annotations

import getpass
import shlex
from pathlib import Path
from typing import Final

import click

from remit._base.clock import NS_PER_US, SystemClock
from remit.cli._backup import copy_database
from remit.cli._database import agent_called, find, maintained, opened
from remit.cli._failing import Failed
from remit.cli._options import (
    TEXT,
    Database,
    confirm_deletion,
    db_option,
    json_option,
    yes_option,
)
from remit.cli._terminal import emit, emit_json
from remit.collector.domain import AskedFor, runs_about
from remit.collector.domain import erase as erase_runs
from remit.collector.store import (
    Removed,
    Store,
    StoreUnavailableError,
    Transaction,
    is_postgres,
    shown,
)
from remit.collector.times import format_us

US_PER_DAY: Final = 24 * 3600 * 1_000_000
MOST_DAYS: Final = 36_500
SOMEBODY: Final = "unknown"


@click.group()
def db() -> None:
    """Database maintenance: retention, erasure, backup."""


@db.command()
@click.option(
    "--days",
    required=True,
    type=click.IntRange(1, MOST_DAYS),
    help="Age in days up to which spans and runs are kept.",
)
@yes_option
@db_option
@json_option
def retain(days: int, db: Database | None, *, yes: bool, as_json: bool) -> None:
    """Delete old spans and runs.

    The age of a span is the time since it began. A run is deleted if it ended before that time and
    none of its spans remains; a run that never ended remains. In PostgreSQL, spans are deleted by
    whole weeks. A collector may serve the database meanwhile.
    """
    path = maintained(db)
    before_us = SystemClock().wall_ns() // NS_PER_US - days * US_PER_DAY
    before = format_us(before_us)
    with opened(path) as store:
        what = f"Delete spans and runs from before {before} in {shown(path)}, for good?"
        confirm_deletion(what, yes=yes)
        removed = store.retain(before_us)
    if as_json:
        emit_json({"before": before, **removed._asdict()})
        return
    emit(f"Removed from {shown(path)} what is older than {before}: {_told(removed)}.")


@db.command()
@db_option
def upgrade(db: Database | None) -> None:
    """Upgrade the database of an earlier version.

    Commands that write do so automatically. Commands that only read change nothing, and refuse an
    older database until it is upgraded. Earlier versions cannot open it afterwards.
    """
    path = maintained(db)
    with opened(path):
        emit(f"{shown(path)} is up to date.")


@db.command()
@click.option(
    "--run", type=TEXT, metavar="RUN", help="One run: its key, its id, or the beginning of one."
)
@click.option(
    "--agent", type=TEXT, metavar="AGENT", help="All runs of an agent: id, identifier or name."
)
@click.option(
    "--subject", type=TEXT, metavar="VALUE", help="All runs that were opened with this subject."
)
@click.option(
    "--reason", type=TEXT, metavar="TEXT", required=True, help="Reason; it is kept in the record."
)
@yes_option
@db_option
@json_option
def erase(
    run: str | None,
    agent: str | None,
    subject: str | None,
    reason: str,
    db: Database | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete the payloads of runs for good.

    The command deletes parameters, results, quality payloads, reasons, and stored answers that hold
    them, and keeps a record of the erasure. Names, times and states remain, and `remit runs show`
    shows what was erased, when, why and by whom. Items that arrive for such a run later are stored
    without their payloads.
    """
    named = {AskedFor.RUN: run, AskedFor.AGENT: agent, AskedFor.SUBJECT: subject}
    asked = [(kind, value) for kind, value in named.items() if value is not None]
    if len(asked) != 1:
        raise click.UsageError("Give one of --run, --agent and --subject.")
    if not reason.strip():
        raise click.UsageError("--reason must say something.")
    ((kind, value),) = asked
    path = maintained(db)
    with opened(path) as store:
        ids = _instances(store, kind, value)
        if not ids:
            raise Failed(f"{shown(path)} has no run of the {kind} {value!r}: nothing was erased")
        what = f"Erase the payloads of {_counted(len(ids), 'run')} in {shown(path)}, for good?"
        confirm_deletion(what, yes=yes)
        done = erase_runs(store, ids, kind, reason=reason, erased_by=_user())
        _scrub(store, ids[0])
    if as_json:
        emit_json(done._asdict())
        return
    emit(
        f"Erased {_counted(done.spans, 'span')} and {_counted(done.answers, 'answer')} "
        f"of {_counted(done.runs, 'run')} in {shown(path)}."
    )
    if is_postgres(path):
        emit("Its write-ahead log and its backups still hold them until they are gone themselves.")


def _scrub(store: Store, instance_id: str) -> None:
    try:
        store.scrub()
    except StoreUnavailableError as error:
        raise Failed(
            f"the payloads are deleted, but their bytes may still stand in the file ({error}): "
            "stop what uses the database, and then do the same again, by "
            f"--run {instance_id}"
        ) from error


def _instances(store: Store, kind: AskedFor, value: str) -> list[str]:
    with store.reading() as source:
        if kind == AskedFor.RUN:
            return [find(source, value).id]
        if kind == AskedFor.SUBJECT:
            return runs_about(source, value)
        return source.instances_of_agent(_agent_id(source, value))


def _agent_id(source: Transaction, value: str) -> str:
    found = agent_called(source, value)
    if found is None:
        raise Failed(f"there is no agent {value!r}: `remit runs list` shows those that ran")
    return found.id


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
    database, with the schema that it has, also that of an earlier version; a collector may write it
    meanwhile. Data that is erased later remains in the copy.
    """
    path = maintained(db)
    if is_postgres(path):
        raise Failed(
            "a PostgreSQL database is copied by its own tool: pg_dump --format=custom "
            f"--file={shlex.quote(str(target))} {shlex.quote(shown(path))}"
        )
    copy_database(Path(path), target)
    emit(f"Copied {shown(path)} to {target}, {target.stat().st_size} bytes.")


def _told(removed: Removed) -> str:
    things = [
        _counted(removed.spans, "span"),
        _counted(removed.instances, "run"),
        _counted(removed.keys, "idempotency key"),
    ]
    weeks = f" ({_counted(len(removed.parts), 'week')} of spans dropped whole)"
    return f"{', '.join(things[:-1])} and {things[-1]}{weeks if removed.parts else ''}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
