"""`remit runs tail`: spans as they come."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import click

from remit._clock import SystemClock
from remit.cli._database import database, find, handle, opened, spans_of
from remit.cli._options import TEXT, Database, db_option, json_option
from remit.cli._terminal import coloured, columns, cut, emit, faint, lines, printable
from remit.cli._tree import moment, took
from remit.cli._values import error_of, members
from remit.collector.meaning import Declarations
from remit.collector.store import Page, Reading, SpanFilter, SpanRow
from remit.collector.store.retention import bound_at
from remit.models.agent_span import AgentSpan

POLL_S: Final = 1.0
LOOK_BACK_MS: Final = 60_000
"""Spans come some time after they began; so far back is looked for them."""
MOST_AT_ONCE: Final = 1000
SHORT_CHARS: Final = 12
NS_PER_MS: Final = 1_000_000


@dataclass
class Feed:
    """Which spans were shown, and how they stood.

    Attributes:
        wanted: Which spans are looked at.
        declarations: What schema versions say.
        seen: When each that was shown was last changed, by id.
    """

    wanted: SpanFilter
    declarations: Declarations = field(default_factory=Declarations)
    seen: dict[str, int] = field(default_factory=dict[str, int])

    def fresh(self, source: Reading) -> list[SpanRow]:
        """Return those of the newest spans that are new or changed, oldest first."""
        page = Page(0, MOST_AT_ONCE, "id", descending=True)
        newest = source.list_spans(self.wanted, page).rows
        found = [row for row in reversed(newest) if self.seen.get(row.id) != row.updated_at]
        self.seen = {row.id: row.updated_at for row in newest}
        return found


@click.command()
@click.argument("run", type=TEXT, required=False)
@db_option
@click.option("--lines", "-n", "count", default=20, show_default=True, type=click.IntRange(0, 1000))
@click.option("--follow", "-f", is_flag=True, help="Wait for more, until interrupted.")
@json_option
def tail(run: str | None, db: Database | None, count: int, *, follow: bool, as_json: bool) -> None:
    """Show the last spans of RUN, or of all runs, a line each.

    With --follow further ones are shown as they come, and those that end once more; without a RUN
    only those that began in the last minute.
    """
    with opened(database(db)) as store:
        with store.reading() as source:
            wanted = SpanFilter(agent_instance_id=find(source, run).id) if run else SpanFilter()
            feed = Feed(wanted)
            known = feed.fresh(source)
            last = known[len(known) - min(count, len(known)) :]
            for line in _shown(feed, source, last, as_json=as_json):
                emit(line)
        waiting = threading.Event()
        while follow:
            try:
                waiting.wait(POLL_S)
            except KeyboardInterrupt:
                return
            if run is None:
                now_ms = SystemClock().wall_ns() // NS_PER_MS
                feed.wanted = replace(wanted, first_id=bound_at(now_ms - LOOK_BACK_MS))
            with store.reading() as source:
                for line in _shown(feed, source, feed.fresh(source), as_json=as_json):
                    emit(line)


def _shown(feed: Feed, source: Reading, rows: list[SpanRow], *, as_json: bool) -> Iterator[str]:
    runs = source.instances(None, {row.agent_instance_id for row in rows})
    for row in rows:
        run = runs[row.agent_instance_id]
        (span,) = spans_of(source, feed.declarations, run, [row])
        if as_json:
            yield json.dumps(span.model_dump(mode="json"), sort_keys=True)
        else:
            yield _line(span, handle(run)[:SHORT_CHARS])


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
