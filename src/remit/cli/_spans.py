"""`remit spans`: list spans of many runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import click

from remit._base.ids import SHORT_CHARS
from remit._declare.registry import RUN_TYPE
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
from remit.cli._reader import ApiReader
from remit.cli._records import RunSpan
from remit.cli._source import printed, reader_of, say_place
from remit.cli._terminal import (
    coloured,
    columns,
    cut,
    emit,
    faint,
    lines,
    printable,
    when,
    when_columns,
)
from remit.cli._tree import home_of, listed_name, took
from remit.models.agent_span import AgentSpan

OTHER_COLUMNS: Final = SHORT_CHARS + 9 + 10 + 4 * 2


@click.group()
def spans() -> None:
    """List spans."""


@spans.command("list")
@options(
    agent_option,
    click.option("--run", type=TEXT, metavar="RUN", help="List the spans of this run."),
    click.option("--type", type=TEXT, metavar="TYPE", help="List spans of this span type."),
    click.option(
        "--status",
        type=click.Choice(["active", "cancelled", "complete", "failed", "pending"]),
        help="List spans with this status.",
    ),
    since_option(),
    until_option,
    failed_option("List failed spans."),
    denied_option("List denied spans."),
    limit_option("spans"),
    read_option,
    json_option,
)
def list_spans(
    run: str | None,
    limit: int,
    db: Database | None,
    *,
    as_json: bool,
    **filters: Any,
) -> None:
    """List spans without their values, newest first.

    RUN is a key, an id, the beginning or the last 8 characters of either, or `last`. The root span
    `remit:run` of a run is listed only with --json or --type.
    """
    with reader_of(db) as reader:
        run_id = None if run is None else reader.find(run).instance.id
        selected = query(reader, run_id=run_id, **filters)
        with_roots = as_json or "type" in selected
        found = list(_newest(reader, selected, limit, with_roots=with_roots))
        if printed(reader, found, as_json=as_json, nothing="No such spans"):
            return
        emit(
            faint(
                f"{'STARTED':<{when_columns()}}  {'RUN':<{SHORT_CHARS}}  STATUS     "
                f"{'TOOK':>10}  STEP"
            )
        )
        for step in reader.with_runs(found, in_order=False):
            emit(_line(step))
    emit()
    say_place(reader, err=False)


def _newest(
    reader: ApiReader, filters: dict[str, str], limit: int, *, with_roots: bool
) -> Iterator[AgentSpan]:
    with reader.listing("spans"):
        for span in reader.spans(filters):
            if with_roots or span.schema_name != RUN_TYPE:
                yield span
                limit -= 1
            if not limit:
                return


def _line(step: RunSpan) -> str:
    span, run = step.span, step.run
    name = listed_name(span.step_name, span.schema_name, home_of(run.agent))
    about = f"{name}  {printable(span.summary or '')}".rstrip()
    return (
        faint(f"{when(span.started_at):<{when_columns()}}  {run.short}")
        + f"  {coloured(span.status, f'{span.status:<9}')}"
        + f"  {took(span.started_at, span.finished_at):>10}  "
        + cut(about, columns() - when_columns() - OTHER_COLUMNS, lines().cut)
    )
