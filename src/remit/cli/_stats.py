"""`remit stats`: counts of spans by type, category of data, or agent."""

from __future__ import annotations

from operator import methodcaller
from typing import Any, Final

import click

from remit.cli._filters import grouped, query
from remit.cli._options import Database, json_option
from remit.cli._source import printed, reader_of, say_place
from remit.cli._terminal import (
    columns,
    cut,
    duration,
    emit,
    faint,
    lines,
    padded,
    printable,
    width,
)
from remit.cli._wire import get
from remit.models.remit_api import Count, CountList

US_PER_S: Final = 1_000_000
COUNT_COLUMNS: Final = 9
TIME_COLUMNS: Final = 10
OTHER_COLUMNS: Final = 4 * (COUNT_COLUMNS + 2) + 2 * (TIME_COLUMNS + 2)
MIN_NAME_COLUMNS: Final = 12


@click.command()
@grouped("Count by span type, by category of data, or by agent.", "type", "category", "agent")
@json_option
def stats(by: str, db: Database | None, *, as_json: bool, **filters: Any) -> None:
    """Count spans, failures, denials and redacted values, and show durations.

    The period is extended to whole hours. With --by category, a span counts for each
    category of data that its type declares for its parameters or its result.
    """
    with reader_of(db) as reader, reader.listing("counts"):
        selected = query(reader, by=by, **filters)
        rows = reader.client.send(get("/counts", CountList, selected)).counts
    form = methodcaller("model_dump", mode="json", exclude_unset=True)
    if printed(reader, rows, as_json=as_json, nothing="No such spans", form=form):
        return
    names = [printable(_name(row)) for row in rows]
    room = max(MIN_NAME_COLUMNS, min(max(map(width, names)), columns() - OTHER_COLUMNS))
    emit(faint(_line(by.upper(), room, ["SPANS", "FAILED", "DENIED", "REDACTED"], "MEAN", "MAX")))
    for name, row in zip(names, rows, strict=True):
        counts = [f"{count or 0:,}" for count in (row.spans, row.failed, row.denied, row.redacted)]
        ended = (row.complete or 0) + (row.failed or 0) + (row.cancelled or 0)
        mean = duration((row.duration_us or 0) / ended / US_PER_S) if ended else ""
        longest = duration((row.duration_max_us or 0) / US_PER_S) if ended else ""
        emit(_line(name, room, counts, mean, longest))
    emit()
    say_place(reader, err=False)


def _name(row: Count) -> str:
    return row.type or row.category or (row.agent.name if row.agent is not None else "")


def _line(name: str, room: int, counts: list[str], mean: str, longest: str) -> str:
    numbers = "  ".join(f"{count:>{COUNT_COLUMNS}}" for count in counts)
    times = f"{mean:>{TIME_COLUMNS}}  {longest:>{TIME_COLUMNS}}"
    if width(name) > room:
        # Types differ in their ends.
        name = cut(lines().cut + name[len(name) - room + len(lines().cut) :], room)
    return f"{padded(name, room)}  {numbers}  {times}".rstrip()
