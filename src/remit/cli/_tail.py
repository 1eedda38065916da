"""`remit runs tail`: spans as they come."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import click

from remit._clock import SystemClock
from remit.cli._database import database, every, find, handle, opened, spans_of
from remit.cli._options import TEXT, Database, db_option, json_option
from remit.cli._terminal import coloured, columns, cut, emit, emit_json, faint, lines, printable
from remit.cli._tree import moment, took
from remit.cli._values import error_of, members
from remit.collector.meaning import Declarations
from remit.collector.store import Page, Reading, SpanFilter, SpanRow
from remit.collector.store.retention import bound_at
from remit.models.agent_span import AgentSpan

POLL_S: Final = 1.0
LATE_US: Final = 60_000_000
"""A change may be seen so long after its time: it was being written, or a clock is behind."""
RECENT_MS: Final = 3_600_000
"""A run that ended is still looked at if it was registered so recently."""
SHORT_CHARS: Final = 12
NS_PER_US: Final = 1_000
US_PER_MS: Final = 1_000


@dataclass
class Feed:
    """Which spans were seen, and how they stood.

    Attributes:
        run_id: The run that is looked at; None looks at all.
        declarations: What schema versions say.
        moves: How much had happened in each run.
        seen: When each span that changed lately was last changed, by id.
        since_us: From when on changes are looked for.
    """

    run_id: str | None
    declarations: Declarations = field(default_factory=Declarations)
    moves: dict[str, int] = field(default_factory=dict[str, int])
    seen: dict[str, int] = field(default_factory=dict[str, int])
    since_us: int = field(default_factory=lambda: _now_us() - LATE_US)

    def last(self, source: Reading, count: int) -> list[SpanRow]:
        """Return the newest spans, oldest first."""
        page = Page(0, count, "id", descending=True)
        return list(source.list_spans(SpanFilter(agent_instance_id=self.run_id), page).rows)[::-1]

    def fresh(self, source: Reading) -> list[SpanRow]:
        """Return the spans that began or ended since this was last asked, in that order.

        Where nothing happened in a run, its spans are not read. What happened is found by when it
        did, not by when a span began: it may have begun long ago, or have come late.
        """
        now_us = _now_us()
        before = self.moves
        self.moves = source.span_moves(self.run_id, bound_at(now_us // US_PER_MS - RECENT_MS))
        changed = [
            row
            for run_id, moves in self.moves.items()
            if moves != before.get(run_id, 0)
            for row in self._changed(source, run_id)
        ]
        found = [row for row in changed if self.seen.get(row.id) != row.updated_at]
        self.since_us = now_us - LATE_US
        seen = {**self.seen, **{row.id: row.updated_at for row in changed}}
        self.seen = {row_id: at_us for row_id, at_us in seen.items() if at_us >= self.since_us}
        return sorted(found, key=lambda row: (row.updated_at, row.id))

    def _changed(self, source: Reading, run_id: str) -> Iterator[SpanRow]:
        wanted = SpanFilter(agent_instance_id=run_id, changed_from_us=self.since_us)
        return every(lambda page: source.list_spans(wanted, page), descending=False)


@click.command()
@click.argument("run", type=TEXT, required=False)
@db_option
@click.option("--lines", "-n", "count", default=20, show_default=True, type=click.IntRange(0, 1000))
@click.option("--follow", "-f", is_flag=True, help="Wait for more, until interrupted.")
@json_option
def tail(run: str | None, db: Database | None, count: int, *, follow: bool, as_json: bool) -> None:
    """Show the last spans of RUN, or of all runs, a line each.

    With --follow further ones are shown as they come, and each once more when it ends, whenever it
    began.
    """
    with opened(database(db)) as store:
        with store.reading() as source:
            feed = Feed(find(source, run).id if run else None)
            if follow:
                # What is there already is not new.
                feed.fresh(source)
            _show(feed, source, feed.last(source, count), as_json=as_json)
        waiting = threading.Event()
        while follow:
            try:
                waiting.wait(POLL_S)
            except KeyboardInterrupt:
                return
            with store.reading() as source:
                _show(feed, source, feed.fresh(source), as_json=as_json)


def _now_us() -> int:
    return SystemClock().wall_ns() // NS_PER_US


def _show(feed: Feed, source: Reading, rows: list[SpanRow], *, as_json: bool) -> None:
    runs = source.instances(None, {row.agent_instance_id for row in rows})
    for row in rows:
        run = runs[row.agent_instance_id]
        (span,) = spans_of(source, feed.declarations, run, [row])
        if as_json:
            emit_json(span.model_dump(mode="json"), indent=None)
        else:
            emit(_line(span, handle(run)[:SHORT_CHARS]))


def _line(span: AgentSpan, run: str) -> str:
    strokes = lines()
    head = f"{moment(span.started_at)[11:] or '':<8}  {run}  "
    status = coloured(span.status, f"{span.status:<9}")
    lasted = f"{took(span.started_at, span.finished_at):>10}  "
    about = _about(span)
    name = printable(span.schema_title or span.schema_name)
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
