"""Draws a run: a summary, then the tree of its spans."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar, cast

from remit._base.costs import explained
from remit._base.first_failure import DENIED, PROCESS_ENDED
from remit._base.ids import KEY_CHARS
from remit._capture.short import described, error_in, members, place_of, short
from remit._capture.tree import (
    FAINT,
    Drawing,
    Step,
    failed_branches,
    name_of,
    short_name,
    statuses_of,
    took,
)
from remit.cli._records import Links, ListedRun, NamedAgent, Record, called, costs_in
from remit.cli._terminal import (
    bold,
    coloured,
    columns,
    cut,
    faint,
    lines,
    printable,
)
from remit.models.agent_span import StepName

__all__ = ["drawn", "home_of", "listed_name", "moment", "name_of", "short_name", "took"]

S = TypeVar("S", bound=Step)

LABEL_COLUMNS: Final = 9
LINK_COLUMNS: Final = 11
UNLINKED: Final = Links()
_HOW: Final[Mapping[object, str]] = {
    DENIED: "{} was denied",
    PROCESS_ENDED: "The process ended while {} was open",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """Which parts of a run are shown.

    Attributes:
        full: Complete values and messages, and all frames.
        failed: Only failed steps and the steps around them.
        depth: Number of levels; None for all.
    """

    full: bool = False
    failed: bool = False
    depth: int | None = None


def drawn(record: Record[S], links: Links = UNLINKED, shown: Shown = Shown()) -> Iterator[str]:
    drawing = Drawing(lines(), columns(), _paint, shown.full)
    steps = record.steps
    yield from _head(record, links)
    for detail in drawing.block_failure(record.root, steps):
        yield f"  {drawing.line(detail, drawing.columns - 2)}"
    yield from _why(record)
    yield ""
    if shown.failed:
        steps = failed_branches(steps)
        if not steps:
            yield "No step failed."
    begin, home = record.instance.started_at, home_of(record.agent)
    first = record.first_failed
    yield from drawing.tree(steps, record.spans, first, begin, home, shown.depth)


def _why(record: Record[S]) -> Iterator[str]:
    """Yield where and why a run failed in a step, with the whole message, as the page does."""
    failure, home = record.run.failure, home_of(record.agent)
    step = next((span for span in record.steps if span.id == record.first_failed), None)
    if record.run.status != "failed":
        return
    if step is not None:
        name, error = name_of(step, home), error_in(step.result_payload) or {}
    elif failure is not None and failure.step is not None:
        name = listed_name(failure.step_name, failure.step, home)
        error = {"type": failure.type, "message": failure.text, "at": failure.place}
    else:
        return
    how = _HOW.get(error.get("type"), "{} failed").format(name)
    place = place_of(error).partition(" in ")[0]
    message = error.get("message")
    first, *further = message.splitlines() if isinstance(message, str) and message else [message]
    why = described({**error, "message": first})
    for line in (f"{how}{place and f' in {place}'}: {why}", *map(printable, map(str, further))):
        yield from (f"  {part}" for part in textwrap.wrap(line, columns() - 2))


def _paint(style: str, text: str) -> str:
    return faint(text) if style == FAINT else coloured(style, text)


def moment(when: datetime | None) -> str:
    return "" if when is None else f"{when.astimezone():%Y-%m-%d %H:%M:%S}"


def _head(record: Record[S], links: Links) -> Iterator[str]:
    run, root = record.instance, record.root
    result = None if root is None else root.result_payload
    reason = run.termination_reason or (result or {}).get("reason")
    line = f"{bold(printable(record.agent.name))}  {coloured(record.run.status)}"
    yield f"{line}  {printable(str(reason))}" if reason else line
    yield from _rows(
        {
            "run": called(run.external_identifier, run.id),
            "started": f"{moment(run.started_at)}, took {took(run.started_at, run.finished_at)}"
            if run.finished_at
            else moment(run.started_at),
            "spans": _counted(record),
            "cost": explained(costs_in(record.run.costs), record.run.costs.calls_without_price),
            **_about(root),
            **{
                f"score {printable(name)}": members(payload)
                for name, payload in (run.quality_payloads or {}).items()
            },
        }
    )
    for name, errors in (run.quality_errors or {}).items():
        for wrong in errors:
            mark = coloured("cancelled", "! ")
            yield f"  {mark}score {printable(name)} not as declared: {printable(wrong)}"
    yield from _linked(links)


def _linked(links: Links) -> Iterator[str]:
    if links.cause is not None:
        yield _link("caused by", links.cause)
    elif links.trace is not None:
        yield faint(f"  {'caused by':<{LINK_COLUMNS}}") + f"trace {links.trace}"
    for place, run in enumerate(links.caused):
        yield _link("" if place else "caused", run)
    if links.more:
        yield faint(f"  {'':<{LINK_COLUMNS}}{links.more} more")


def _link(label: str, run: ListedRun) -> str:
    room = max(LABEL_COLUMNS, columns() - LINK_COLUMNS - KEY_CHARS - LABEL_COLUMNS * 2)
    name = cut(printable(run.agent.name), room, lines().cut)
    return faint(f"  {label:<{LINK_COLUMNS}}") + f"{run.handle}  {name}  {coloured(run.status)}"


def _about(root: Step | None) -> dict[str, str]:
    payload = (root.payload if root is not None else None) or {}
    return {
        name.replace("_", " "): members(cast("dict[str, object]", value))
        if isinstance(value, dict)
        else printable(value)
        if isinstance(value, str)
        else short(value)
        for name in ("purpose", "conversation", "subject", "on_behalf_of", "labels")
        if (value := payload.get(name)) is not None
    }


def _rows(rows: Mapping[str, str]) -> Iterator[str]:
    wide = max(LABEL_COLUMNS, *(len(name) + 2 for name in rows))
    for name, text in rows.items():
        if text:
            yield faint(f"  {name:<{wide}}") + cut(text, columns() - wide - 2, lines().cut)


def _counted(record: Record[S]) -> str:
    recorded = record.run.steps().recorded
    here = len(record.steps)
    parts = [str(here) if recorded is None else f"{here} of {recorded} steps received"]
    statuses = statuses_of(record.spans)
    counts = Counter(statuses[step.id] for step in record.steps)
    shown = ("failed", "cancelled", "suspended", "active")
    parts += [coloured(name, f"{counts[name]} {name}") for name in shown if counts[name]]
    return ", ".join(parts)


def listed_name(name: StepName | None, schema_name: str, home: str) -> str:
    """Return the name of a step in a list, without its payload."""
    return short_name(schema_name, home) if name is None else printable(f"{name.text} {name.word}")


def home_of(agent: NamedAgent) -> str:
    """Return the module of the agent, which is left out of the names of its steps."""
    # The project precedes it.
    module, colon, _ = (agent.external_identifier or "").rpartition("/")[2].partition(":")
    return module + colon
