"""`remit runs tail`: spans as they come."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import click

from remit._registry import RUN_TYPE
from remit.cli._options import TEXT, Database, json_option, runs_option
from remit.cli._records import Run, Step
from remit.cli._source import runs_of, say_place
from remit.cli._terminal import (
    coloured,
    columns,
    cut,
    emit,
    emit_json,
    faint,
    lines,
    printable,
)
from remit.cli._tree import home_of, moment, name_of, took
from remit.cli._values import error_of, members
from remit.models.agent_span import AgentSpan

POLL_S: Final = 1.0
SHORT_CHARS: Final = 12


@click.command()
@click.argument("run", type=TEXT, required=False)
@runs_option
@click.option("--lines", "-n", "count", default=20, show_default=True, type=click.IntRange(0, 1000))
@click.option("--follow", "-f", is_flag=True, help="Wait for new spans until interrupted.")
@json_option
def tail(run: str | None, db: Database | None, count: int, *, follow: bool, as_json: bool) -> None:
    """Show the last spans of RUN, or of all runs, one line each, in the order of their start.

    With --follow, new spans are shown as they arrive, and every span again when it ends. JSON
    includes the root span `remit:run` of each run.
    """
    with runs_of(db) as runs:
        found = None if run is None else runs.find(run)
        fresh = runs.feed(found)
        if follow:
            # What is there already is not new.
            fresh()
        _show(runs.last(found, count, with_roots=as_json), as_json=as_json)
        say_place(runs, err=as_json or follow)
        waiting = threading.Event()
        with suppress(KeyboardInterrupt):
            while follow:
                waiting.wait(POLL_S)
                _show(fresh(), as_json=as_json)


def _show(steps: Iterable[Step], *, as_json: bool) -> None:
    for step in steps:
        if as_json:
            emit_json(step.span.model_dump(mode="json"), indent=None)
        elif step.span.schema_name != RUN_TYPE:
            emit(_line(step.span, step.run))


def _line(span: AgentSpan, run: Run) -> str:
    strokes = lines()
    head = f"{moment(span.started_at)[11:] or '':<8}  {run.handle[:SHORT_CHARS]}  "
    status = coloured(span.status, f"{span.status:<9}")
    lasted = f"{took(span.started_at, span.finished_at):>10}  "
    about = _about(span)
    name = name_of(span, home_of(run.agent))
    if span.schema_errors:
        name += f" ({len(span.schema_errors)} schema errors)"
    room = columns() - len(head) - 9 - 2 - len(lasted)
    return (
        faint(head) + status + "  " + lasted + cut(f"{name}  {about}".rstrip(), room, strokes.cut)
    )


def _about(span: AgentSpan) -> str:
    if span.summary:
        return printable(span.summary)
    error = error_of(span.result_payload) if span.status == "failed" else None
    return error or members(span.payload or {})
