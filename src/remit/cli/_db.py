"""`remit db`: maintenance of a database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import click

from remit._clock import SystemClock
from remit.cli._database import database, opened
from remit.cli._lazy import LazyGroup
from remit.cli._options import Database, db_option, json_option
from remit.cli._terminal import emit, emit_json
from remit.collector.store import Removed, shown
from remit.collector.times import format_us

NS_PER_US: Final = 1000
US_PER_DAY: Final = 24 * 3600 * 1_000_000
MOST_DAYS: Final = 36_500


class Commands(LazyGroup):
    """The commands of `remit db`."""

    lazy: ClassVar[Mapping[str, tuple[str, str]]] = {
        "retain": ("remit.cli._db:retain", "Delete old spans and runs."),
        "erase": (
            "remit.cli._erase:erase",
            "Delete the payloads of runs.",
        ),
        "backup": ("remit.cli._backup:backup", "Copy a database."),
        "upgrade": ("remit.cli._db:upgrade", "Upgrade the database of an earlier version."),
    }


@click.group(cls=Commands)
def db() -> None:
    """Database maintenance: retention, erasure, backup."""


@click.command()
@click.option(
    "--days",
    required=True,
    type=click.IntRange(1, MOST_DAYS),
    help="Age in days up to which spans and runs are kept.",
)
@db_option
@json_option
def retain(days: int, db: Database | None, *, as_json: bool) -> None:
    """Delete spans and runs that are older than the given number of days.

    The age of a span is the time since it began. A run is deleted if it ended before that time and
    none of its spans remains; a run that never ended remains. In PostgreSQL, spans are deleted by
    whole weeks. A collector may serve the database meanwhile.
    """
    path = database(db)
    before_us = SystemClock().wall_ns() // NS_PER_US - days * US_PER_DAY
    with opened(path) as store:
        removed = store.retain(before_us)
    before = format_us(before_us)
    if as_json:
        emit_json({"before": before, **removed._asdict()})
        return
    emit(f"Removed from {shown(path)} what is older than {before}: {_told(removed)}.")


@click.command()
@db_option
def upgrade(db: Database | None) -> None:
    """Upgrade the database of an earlier version of remit.

    Commands that write do so automatically. Commands that only read change nothing, and refuse an
    older database until it is upgraded. Earlier versions cannot open it afterwards.
    """
    path = database(db)
    with opened(path):
        emit(f"{shown(path)} is up to date.")


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
