"""`remit db`: what an operator does to a database as a whole."""

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
    """The commands of `remit db` that stand in files of their own."""

    lazy: ClassVar[Mapping[str, tuple[str, str]]] = {
        "retain": ("remit.cli._db:retain", "Remove what is older than so many days, for good."),
        "erase": (
            "remit.cli._erase:erase",
            "Delete the payloads of runs, and record it.",
        ),
        "backup": ("remit.cli._backup:backup", "Copy a database that is being served."),
        "upgrade": ("remit.cli._db:upgrade", "Bring an earlier remit's database up to date."),
    }


@click.group(cls=Commands)
def db() -> None:
    """Look after a database: remove what is old, erase payloads, make a copy."""


@click.command()
@click.option(
    "--days",
    required=True,
    type=click.IntRange(1, MOST_DAYS),
    help="Keep what is not older than so many days.",
)
@db_option
@json_option
def retain(days: int, db: Database | None, *, as_json: bool) -> None:
    """Remove what is older than so many days, for good, and say what it was.

    Spans go by the time at which they began. A run goes when it ended before and has no span that
    stays; one that never ended stays. In PostgreSQL spans go a whole week at a time, when its last
    day is old enough; a collector may be serving the database meanwhile.
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
    """Bring the database of an earlier remit up to date.

    Commands that write do that by themselves. Commands that only read change nothing, and refuse
    an older database until this was done. An earlier remit cannot open it afterwards.
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
