"""`remit runs`: what was recorded."""

from __future__ import annotations

from typing import Final

import click

from remit.cli._agents import names_of
from remit.cli._database import (
    agent_of,
    database,
    find,
    handle,
    instance_of,
    newest,
    reading,
    record_of,
)
from remit.cli._erasures import erasure_json, erasure_line
from remit.cli._options import TEXT, Database, db_option, json_option
from remit.cli._records import agent_json
from remit.cli._risk import drawn_risk
from remit.cli._tail import tail
from remit.cli._terminal import (
    bold,
    coloured,
    columns,
    cut,
    emit,
    emit_json,
    faint,
    padded,
    printable,
)
from remit.cli._terminate import terminate
from remit.cli._tree import drawn, moment, took
from remit.collector.ingest.risk import risk_of_run
from remit.collector.meaning import Declarations
from remit.collector.store import InstanceRow, Reading, shown

# Ten of a key's characters are its time, to the millisecond.
SHORT_CHARS: Final = 12
# Status, start, duration, "99, 9 failed", and what stands between the columns.
OTHER_COLUMNS: Final = 10 + 16 + 10 + 12 + 5 * 2
MIN_AGENT_COLUMNS: Final = 10


@click.group()
def runs() -> None:
    """Look at what was recorded, and end a run."""


@runs.command("list")
@db_option
@click.option("--limit", "-n", default=20, show_default=True, type=click.IntRange(1, 100_000))
@json_option
def list_runs(db: Database | None, limit: int, *, as_json: bool) -> None:
    """List the newest runs, the newest first."""
    path = database(db)
    with reading(path) as source:
        found = newest(source, limit)
        if as_json:
            emit_json([_row_json(source, row) for row in found])
            return
        if not found:
            emit(f"No runs yet in {shown(path)}.")
            return
        chars = _unique_chars([handle(row) for row in found])
        names = names_of(agent_of(source, row) for row in found)
        emit(faint(_line("RUN", "AGENT", f"{'STATUS':<10}", "STARTED", "TOOK", "SPANS", chars)))
        for row in found:
            emit(_listed(row, names[row.agent_id], chars))
    emit(faint(f"\n{len(found)} of {shown(path)}; look into one: remit runs show RUN"))


@runs.command()
@click.argument("run", type=TEXT, default="last")
@click.option("--risk", "with_risk", is_flag=True, help="Also what its steps may do, and did not.")
@db_option
@json_option
def show(run: str, db: Database | None, *, with_risk: bool, as_json: bool) -> None:
    """Show one run as a tree of its steps.

    RUN is its key, its id, the beginning of one of them, or `last`, which is also the default.
    """
    with reading(database(db)) as source:
        row = find(source, run)
        record, erasures = record_of(source, row), source.erasures(row.id)
        risk = risk_of_run(source, Declarations(), row) if with_risk else None
    if as_json:
        more = {} if risk is None else {"risk": risk.model_dump(mode="json")}
        listed = [erasure_json(each) for each in erasures]
        emit_json({**record.as_json(), "erasures": listed, **more})
        return
    for line in (*drawn(record), *map(erasure_line, erasures)):
        emit(line)
    for line in ("", *drawn_risk(risk)) if risk is not None else ():
        emit(line)


runs.add_command(tail)
runs.add_command(terminate)


def _row_json(source: Reading, row: InstanceRow) -> dict[str, object]:
    return {
        "agent": agent_json(agent_of(source, row)),
        "run": instance_of(row).model_dump(mode="json"),
    }


def _listed(row: InstanceRow, agent: str, chars: int) -> str:
    run = instance_of(row)
    total = run.span_counts.total if run.span_counts else 0
    failed = f", {row.spans_failed} failed" if row.spans_failed else ""
    return _line(
        bold(handle(row)[:chars]),
        printable(agent),
        coloured(run.status, f"{run.status:<10}"),
        moment(run.started_at)[:16],
        took(run.started_at, run.finished_at),
        f"{total}{failed}",
        chars,
    )


def _line(
    run: str, agent: str, status: str, started: str, duration: str, spans: str, chars: int
) -> str:
    room = max(MIN_AGENT_COLUMNS, columns() - chars - OTHER_COLUMNS)
    run += " " * (chars - len(click.unstyle(run)))
    return (
        f"{run}  {padded(cut(agent, room), room)}  {status}  {started:<16}  {duration:>10}  {spans}"
    ).rstrip()


def _unique_chars(handles: list[str]) -> int:
    """Return how much of each must be shown to tell them apart."""
    longest = max(map(len, handles))
    for chars in range(min(SHORT_CHARS, longest), longest):
        if len({each[:chars] for each in handles}) == len(handles):
            return chars
    return longest
