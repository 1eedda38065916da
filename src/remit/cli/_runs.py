"""`remit runs`: list, show, export, follow and terminate runs."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final, get_args

import click

from remit._base.costs import total
from remit._base.ids import SHORT_CHARS
from remit._capture.short import error_of, kind_of, members
from remit._declare.registry import RUN_TYPE
from remit.cli._failing import Failed
from remit.cli._feed import Feed
from remit.cli._filters import (
    agent_option,
    denied_option,
    failed_option,
    limit_option,
    options,
    query,
    since_option,
    until_option,
)
from remit.cli._options import TEXT, Database, json_option, read_option
from remit.cli._progress import Progress, progress
from remit.cli._records import ListedRun, Record, RunSpan, costs_in, names_of
from remit.cli._risk import drawn_risk
from remit.cli._source import printed, reader_of, say_place
from remit.cli._span_file import StoredSpan
from remit.cli._terminal import (
    bold,
    coloured,
    columns,
    cut,
    emit,
    emit_json,
    emit_json_list,
    emit_line,
    emit_paged,
    faint,
    is_terminal,
    lines,
    padded,
    printable,
    when,
    when_columns,
)
from remit.cli._tree import Shown, drawn, home_of, listed_name, moment, name_of, took
from remit.models._types import Purpose
from remit.models.agent_instance import Failure
from remit.models.agent_span import AgentSpan

STATUSES: Final = ("active", "cancelled", "complete", "failed", "pending", "terminated", "waiting")
# Status, "99, 9 failed", and the gaps between the columns.
OTHER_COLUMNS: Final = 10 + 12 + 4 * 2
COLUMNS_OF: Final = {"FOR": 12, "CONVERSATION": 16, "TOOK": 8, "TOKENS": 7, "COST": 12}
"""Width of what is said of a run, of a duration, of tokens, and of a cost."""
SAID: Final = {"FOR": "on_behalf_of", "CONVERSATION": "conversation"}
"""Columns of texts, which are cut, with the member of a run."""
MIN_AGENT_COLUMNS: Final = 9
ROOM_FOR_AGENT: Final = 16
"""Columns that an agent keeps if columns of texts are shown."""
POLL_S: Final = 1.0


@click.group()
def runs() -> None:
    """List, show, export, follow and terminate runs."""


@runs.command("list")
@options(
    agent_option,
    click.option(
        "--status",
        type=click.Choice(STATUSES),
        help="List runs with this status. A run whose block was cancelled has the status complete.",
    ),
    since_option(),
    until_option,
    click.option("--label", type=TEXT, metavar="KEY[=VALUE]", help="List runs with this label."),
    click.option(
        "--conversation", type=TEXT, metavar="VALUE", help="List runs of this conversation."
    ),
    click.option("--subject", type=TEXT, metavar="VALUE", help="List runs with this subject."),
    click.option(
        "--on-behalf-of", type=TEXT, metavar="VALUE", help="List runs on behalf of this person."
    ),
    click.option(
        "--purpose", type=click.Choice(get_args(Purpose)), help="List runs with this purpose."
    ),
    failed_option("List runs with a failed step."),
    denied_option("List runs with a denied step."),
    limit_option("runs"),
    read_option,
    json_option,
)
def list_runs(db: Database | None, limit: int, *, as_json: bool, **filters: Any) -> None:
    """List runs, newest first."""
    with reader_of(db) as reader:
        selected = query(reader, **filters)
        found = reader.runs(selected, limit)
    nothing = "No such runs" if selected else "No runs yet"
    if printed(reader, found, as_json=as_json, nothing=nothing, form=ListedRun.as_json):
        return
    names = names_of(run.agent for run in found)
    wanted = {"TOOK": True, "TOKENS": any(run.tokens is not None for run in found)}
    wanted["COST"] = any(run.costs.costs for run in found)
    shown = [name for name, is_wanted in wanted.items() if is_wanted]
    texts = [name for name, member in SAID.items() if any(run.said(member) for run in found)]
    shown = [*_fitting(texts, shown), *shown]
    head = dict(zip(shown, shown, strict=True))
    emit(faint(_line("RUN", "AGENT", f"{'STATUS':<10}", "STARTED", head, "SPANS")))
    for run in found:
        emit(_listed(run, names[run.agent.id, run.agent.name], shown))
        if run.failure is not None:
            emit(_failure_line(run.failure, run))
        if is_terminal() and run.said("question"):
            emit(_exchange_line(run))
    emit(faint(f"\n{len(found)} of {reader.place}; show one: remit runs show RUN"))


@runs.command()
@click.argument("run", type=TEXT, default="last")
@click.option("--full", is_flag=True, help="Show complete values and messages, and all frames.")
@click.option("--failed", is_flag=True, help="Show only failed steps and the steps around them.")
@click.option(
    "--depth",
    type=click.IntRange(1),
    metavar="LEVELS",
    help="Show at most LEVELS levels of the tree.",
)
@click.option("--risk", "with_risk", is_flag=True, help="Also show the declared risk of its steps.")
@read_option
@json_option
def show(
    run: str,
    db: Database | None,
    *,
    with_risk: bool,
    as_json: bool,
    **shown: Any,
) -> None:
    """Show one run as a tree of its steps.

    RUN is its key, its id, the beginning or the last 8 characters of either, or `last`, which is
    the default. The output shows where and why the first failed step failed. It also lists the runs
    that are linked by remit.trace_headers(): the run that caused this run, and the runs that this
    run caused.

    On a terminal, long output opens in a pager ($PAGER). With --json the command prints the
    complete run.
    """
    with reader_of(db) as reader:
        found = reader.find(run)
        with _reading(found) as progress:
            record = reader.record(found, progress.add)
        links, erasures = reader.links(record), reader.erasures(found)
        terminated_by = reader.terminated_by(found)
        risk = reader.risk(found) if with_risk else None
        if as_json:
            more: dict[str, object] = {} if risk is None else {"risk": risk.model_dump(mode="json")}
            more |= {"erasures": erasures, "terminated_by": terminated_by}
            _emit_record(record, {**links.as_json(), **more})
            say_place(reader, err=True)
            return
        parts = (
            drawn(record, links, Shown(**shown)),
            () if terminated_by is None else (f"Terminated by {printable(terminated_by)}.",),
            map(_erasure_line, erasures),
            () if risk is None else ("", *drawn_risk(risk, len(record.steps))),
            ("", faint(f"Read from {reader.place}.")),
        )
        emit_paged(chain.from_iterable(parts))


@runs.command()
@click.argument("run", type=TEXT)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write an HTML file without values, which opens without a server.",
)
@click.option(
    "--values",
    is_flag=True,
    help="With --html: add values, except the values of confidential steps.",
)
@read_option
def export(run: str, db: Database | None, html: Path | None, *, values: bool) -> None:
    """Print a run and its spans as JSON, one object per line.

    RUN is its key, its id, the beginning or the last 8 characters of either, or `last`. The run
    comes first, then its spans in the order of their ids. The objects have the same format as in
    the API: the run has the type agent_instance, and each span has the type agent_span.

    With --html the command writes the run as one file for a browser. The file shows the steps,
    their declarations and the place of the failure. It contains no script and loads nothing from
    a server.
    """
    if values and html is None:
        raise click.UsageError(
            "--values needs --html: without --html the command prints all values."
        )
    if html is not None:
        _export_html(run, db, html, values=values)
        return
    with reader_of(db) as reader, TemporaryFile() as file:
        found = reader.find(run)
        sizes = array("Q")
        with _reading(found) as progress:
            for rows in reader.span_pages(found):
                sizes.extend(map(file.write, rows))
                progress.add(len(rows))
        emit_line(reader.raw_run(found))
        offset = file.tell()
        for size in reversed(sizes):
            offset -= size
            file.seek(offset)
            emit_line(file.read(size))
    say_place(reader, err=True)


def _export_html(run: str, db: Database | None, file: Path, *, values: bool) -> None:
    with reader_of(db) as reader:
        found = reader.find(run)
        html = reader.html(found, values=values)
    try:
        file.write_bytes(html)
    except OSError as error:
        raise Failed(f"{file} cannot be written: {error.strerror or error}") from error
    emit(f"Wrote {printable(str(file))}, {len(html) // 1024:,} KB.")


def _reading(run: ListedRun) -> AbstractContextManager[Progress]:
    counts = run.instance.span_counts
    return progress("Reading spans", 0 if counts is None else counts.total)


def _emit_record(record: Record[StoredSpan], more: dict[str, object]) -> None:
    spans = (span.whole().model_dump(mode="json") for span in record.spans)
    emit_json_list({**record.run.as_json(), **more}, "spans", spans)


@runs.command()
@click.argument("run", type=TEXT, required=False)
@read_option
@click.option(
    "--lines",
    "-n",
    "count",
    default=20,
    show_default=True,
    type=click.IntRange(0, 1000),
    help="Number of earlier spans to show.",
)
@click.option("--follow", "-f", is_flag=True, help="Wait for new spans until interrupted.")
@json_option
def tail(run: str | None, db: Database | None, count: int, *, follow: bool, as_json: bool) -> None:
    """Show the last spans of RUN, or of all runs.

    Each line is a span, and the lines are in the order in which the spans started. With --follow
    the command shows a new span when it arrives, and again when it ends. JSON includes the root
    span `remit:run` of each run.
    """
    with reader_of(db) as reader:
        found = None if run is None else reader.find(run)
        feed = Feed(reader, found) if follow else None
        _emit_steps(reader.last(found, count, with_roots=as_json), as_json=as_json)
        say_place(reader, err=as_json or follow)
        waiting = threading.Event()
        with suppress(KeyboardInterrupt):
            while feed is not None:
                waiting.wait(POLL_S)
                _emit_steps(feed.fresh(), as_json=as_json)


@runs.command()
@click.argument("run", type=TEXT)
@click.option(
    "--reason",
    type=TEXT,
    required=True,
    help="Reason, which is recorded and sent to the program.",
)
@read_option
def terminate(run: str, reason: str, db: Database | None) -> None:
    """Terminate a run.

    RUN is its key, its id, the beginning or the last 8 characters of either, or `last`. After the
    program has received the termination, it stops at its next step or at the next item of a stream.
    A program that is sending records or streaming receives the termination within its flush
    interval. Other programs receive it within their poll interval.
    """
    if not reason.strip():
        raise click.UsageError("--reason must not be empty.")
    with reader_of(db, writing=True) as reader:
        found = reader.find(run)
        reader.terminate(found, reason)
    emit(f"Terminated {bold(printable(found.handle))}: {printable(reason)}")
    how = "its program stops at its next step or the next item of a stream."
    emit(faint(f"In {reader.place}; {how}"))


def _listed(run: ListedRun, agent: str, shown: Sequence[str]) -> str:
    instance, steps = run.instance, run.steps()
    numbers = {
        "TOOK": took(instance.started_at, instance.finished_at),
        "TOKENS": "" if run.tokens is None else str(run.tokens),
        "COST": total(costs_in(run.costs)),
        **{
            name: cut(printable(run.said(member) or ""), COLUMNS_OF[name])
            for name, member in SAID.items()
        },
    }
    return _line(
        bold(run.short),
        printable(agent),
        coloured(run.status, f"{run.status:<10}"),
        when(instance.started_at),
        {name: numbers[name] for name in shown},
        f"{steps}, {steps.failed} failed" if steps.failed else str(steps),
    )


def _failure_line(failure: Failure, run: ListedRun) -> str:
    margin, strokes = " " * (SHORT_CHARS + 2), lines()
    step = failure.step
    where = "the block of the run"
    if step is not None:
        where = listed_name(failure.step_name, step, home_of(run.agent))
    kind = kind_of({"type": failure.type or "failed"})
    room = columns() - len(margin) - len(strokes.cross) - 1
    return f"{margin}{coloured('failed', strokes.cross)} " + cut(f"{kind} in {where}", room)


def _exchange_line(run: ListedRun) -> str:
    """Return the line with the first question of a run and its answer."""
    margin, strokes = " " * (SHORT_CHARS + 2), lines()
    question, answer = (printable(run.said(name) or "") for name in ("question", "answer"))
    room = columns() - len(margin)
    if not answer:
        return faint(margin + cut(f'"{question}"', room, strokes.cut))
    asked = cut(f'"{question}"', max(room * 3 // 5, room - len(answer) - 4), strokes.cut)
    return faint(margin + asked + cut(f" {strokes.arrow} {answer}", room - len(asked), strokes.cut))


def _line(
    run: str,
    agent: str,
    status: str,
    started: str,
    numbers: Mapping[str, str],
    steps: str,
) -> str:
    """Return a line of the list; *numbers* are in the columns of `COLUMNS_OF`."""
    counted = "".join(
        f"{padded(number, COLUMNS_OF[name]) if name in SAID else number.rjust(COLUMNS_OF[name])}  "
        for name, number in numbers.items()
    )
    taken = SHORT_CHARS + when_columns() + OTHER_COLUMNS + len(counted)
    room = max(MIN_AGENT_COLUMNS, columns() - taken)
    run += " " * (SHORT_CHARS - len(click.unstyle(run)))
    head = f"{run}  {padded(cut(agent, room), room)}  {status}  {started:<{when_columns()}}"
    return f"{head}  {counted}{steps}".rstrip()


def _fitting(texts: Sequence[str], shown: Sequence[str]) -> list[str]:
    """Return the columns of texts for which there is room beside the others."""
    room = columns() - SHORT_CHARS - when_columns() - OTHER_COLUMNS - ROOM_FOR_AGENT
    room -= sum(COLUMNS_OF[name] + 2 for name in shown)
    fitting: list[str] = []
    for name in texts:
        room -= COLUMNS_OF[name] + 2
        if room >= 0:
            fitting.append(name)
    return fitting


def _erasure_line(erasure: Mapping[str, object]) -> str:
    when = str(erasure["inserted_at"])[:16].replace("T", " ")
    spans = "1 span" if erasure["spans"] == 1 else f"{erasure['spans']} spans"
    return (
        f"Erased {when} by {printable(str(erasure['erased_by']))}: the payloads of {spans}, "
        f"selected by {erasure['asked_for']}. "
        f"Reason: {printable(str(erasure['reason']))}"
    )


def _emit_steps(steps: Iterable[RunSpan], *, as_json: bool) -> None:
    for step in steps:
        if as_json:
            emit_json(step.span.model_dump(mode="json"), indent=None)
        elif step.span.schema_name != RUN_TYPE:
            emit(_step_line(step.span, step.run))


def _step_line(span: AgentSpan, run: ListedRun) -> str:
    strokes = lines()
    head = f"{moment(span.started_at)[11:] or '':<8}  {run.short}  "
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
