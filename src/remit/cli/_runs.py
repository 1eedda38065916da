"""`remit runs`: what was recorded."""

from __future__ import annotations

from typing import Final

import click

from remit.cli._erasures import erasure_line
from remit.cli._options import TEXT, Database, json_option, runs_option
from remit.cli._records import Run, names_of
from remit.cli._risk import drawn_risk
from remit.cli._source import runs_of, say_place
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

# Ten of a key's characters are its time, to the millisecond.
SHORT_CHARS: Final = 12
# Status, start, duration, "99, 9 failed", and what stands between the columns.
OTHER_COLUMNS: Final = 10 + 16 + 10 + 12 + 5 * 2
MIN_AGENT_COLUMNS: Final = 10


@click.group()
def runs() -> None:
    """List, show and terminate runs."""


@runs.command("list")
@runs_option
@click.option("--limit", "-n", default=20, show_default=True, type=click.IntRange(1, 100_000))
@json_option
def list_runs(db: Database | None, limit: int, *, as_json: bool) -> None:
    """List the newest runs, newest first."""
    with runs_of(db) as source:
        found = source.newest(limit)
    if as_json:
        emit_json([run.as_json() for run in found])
        say_place(source, err=True)
        return
    if not found:
        emit(f"No runs yet in {source.place}.")
        return
    chars = _unique_chars([run.handle for run in found])
    names = names_of(run.agent for run in found)
    emit(faint(_line("RUN", "AGENT", f"{'STATUS':<10}", "STARTED", "TOOK", "SPANS", chars)))
    for run in found:
        emit(_listed(run, names[run.agent.id], chars))
    emit(faint(f"\n{len(found)} of {source.place}; look into one: remit runs show RUN"))


@runs.command()
@click.argument("run", type=TEXT, default="last")
@click.option("--risk", "with_risk", is_flag=True, help="Show the declared risk of its steps, too.")
@runs_option
@json_option
def show(run: str, db: Database | None, *, with_risk: bool, as_json: bool) -> None:
    """Show one run as a tree of its steps.

    RUN is its key, its id, the beginning of either, or `last`, which is the default.
    """
    with runs_of(db) as source:
        found = source.find(run)
        record, erasures = source.record(found), source.erasures(found)
        risk = source.risk(found) if with_risk else None
    if as_json:
        more = {} if risk is None else {"risk": risk.model_dump(mode="json")}
        emit_json({**record.as_json(), "erasures": erasures, **more})
        say_place(source, err=True)
        return
    for line in (*drawn(record), *map(erasure_line, erasures)):
        emit(line)
    if risk is not None:
        emit()
        for line in drawn_risk(risk, risk.spans - (record.root is not None)):
            emit(line)
    emit()
    say_place(source, err=False)


runs.add_command(tail)
runs.add_command(terminate)


def _listed(run: Run, agent: str, chars: int) -> str:
    instance, (total, failed) = run.instance, run.steps()
    return _line(
        bold(run.handle[:chars]),
        printable(agent),
        coloured(instance.status, f"{instance.status:<10}"),
        moment(instance.started_at)[:16],
        took(instance.started_at, instance.finished_at),
        f"{total}, {failed} failed" if failed else str(total),
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
