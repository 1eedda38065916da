"""Draws a run: a head with what holds for all of it, then the tree of its spans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final, cast

import click

from remit._capture import split_violations
from remit._capture.short import (
    MARK,
    described,
    error_in,
    members,
    named,
    place_of,
    row,
    short,
    whole,
)
from remit.cli._records import Placed, Record, called, first_failed
from remit.cli._terminal import (
    Lines,
    bold,
    coloured,
    columns,
    cut,
    duration,
    faint,
    lines,
    milliseconds,
    number_of,
    padded,
    printable,
)
from remit.models.agent import Agent
from remit.models.agent_span import AgentSpan

STATUS_COLUMNS: Final = 10
TIME_COLUMNS: Final = 12
SIDE_COLUMNS: Final = STATUS_COLUMNS + 2 * TIME_COLUMNS + 2
MAX_LEVELS: Final = 8
"""Deeper ones are moved to the left: a tree that leaves the screen shows nothing."""
MAX_NAME_COLUMNS: Final = 48
MIN_VALUE_COLUMNS: Final = 16
LABEL_COLUMNS: Final = 9
STREAM: Final = {"count", "items"}
NOTHING: Final = {"result": None}
_RELATIONS: Final = {"cause": "caused by", "context": "while handling"}
"""By the relation of a cause; a member of a group has none."""


def drawn(record: Record, *, full: bool = False) -> Iterator[str]:
    """Yield the lines that show *record*; values and messages whole if *full*."""
    strokes, wide = lines(), columns()
    first = first_failed(record.steps)
    yield from _head(record)
    for sign, text in _block_failure(record, strokes, full=full):
        yield f"  {sign}" + (text if full else cut(text, wide - 2 - len(click.unstyle(sign))))
    yield ""
    home = home_of(record.agent)
    placed = list(record.tree())
    names = [_prefix(each, strokes) + name_of(each.span, home) for each in placed]
    room = min(MAX_NAME_COLUMNS, wide - SIDE_COLUMNS, max(map(len, names), default=0))
    for each, name in zip(placed, names, strict=True):
        yield _first_line(each.span, name, room, record.instance.started_at)
        margin = _margin(each, strokes)
        most = max(MIN_VALUE_COLUMNS, wide - len(margin))
        details = _details(each.span, strokes, full=full)
        failure = () if each.span is not first else _failure(record, each.span, full=full)
        for sign, text in (*details, *failure):
            left = most - len(click.unstyle(sign))
            yield faint(margin) + sign + (text if full else cut(text, left, strokes.cut))


def took(start: datetime | None, end: datetime | None) -> str:
    """Return how long it was between the two; empty if one is not known."""
    if start is None or end is None:
        return ""
    return duration((end - start) / timedelta(seconds=1))


def moment(when: datetime | None) -> str:
    """Return a time as the clock on this machine's wall shows it, to the second."""
    return "" if when is None else f"{when.astimezone():%Y-%m-%d %H:%M:%S}"


def _head(record: Record) -> Iterator[str]:
    run, root = record.instance, record.root
    reason = run.termination_reason or ((root and root.result_payload) or {}).get("reason")
    told = f"{bold(printable(record.agent.name))}  {coloured(record.run.status)}"
    yield f"{told}  {printable(str(reason))}" if reason else told
    yield from _rows(
        {
            "run": called(run.external_identifier, run.id),
            "started": f"{moment(run.started_at)}, took {took(run.started_at, run.finished_at)}"
            if run.finished_at
            else moment(run.started_at),
            "spans": _counted(record),
            **_about(root),
            **{
                f"quality {printable(name)}": members(payload)
                for name, payload in (run.quality_payloads or {}).items()
            },
        }
    )
    for name, errors in (run.quality_errors or {}).items():
        for wrong in errors:
            mark = coloured("cancelled", "! ")
            yield f"  {mark}quality {printable(name)} not as declared: {printable(wrong)}"


def _about(root: AgentSpan | None) -> dict[str, str]:
    payload = (root.payload if root is not None else None) or {}
    return {
        name: members(cast("dict[str, object]", value))
        if isinstance(value, dict)
        else printable(value)
        if isinstance(value, str)
        else short(value)
        for name in ("purpose", "subject", "labels")
        if (value := payload.get(name)) is not None
    }


def _rows(rows: Mapping[str, str]) -> Iterator[str]:
    wide = max(LABEL_COLUMNS, *(len(name) + 2 for name in rows))
    for name, text in rows.items():
        if text:
            yield faint(f"  {name:<{wide}}") + cut(text, columns() - wide - 2, lines().cut)


def _counted(record: Record) -> str:
    parts = [str(len(record.steps))]
    for status in ("failed", "cancelled", "active"):
        count = sum(span.status == status for span in record.steps)
        if count:
            parts.append(coloured(status, f"{count} {status}"))
    return ", ".join(parts)


def home_of(agent: Agent) -> str:
    """Return the module of the agent, which the names of its steps leave out."""
    # In local mode the folder of the project precedes it.
    module, colon, _ = (agent.external_identifier or "").rpartition("/")[2].partition(":")
    return module + colon


def name_of(span: AgentSpan, home: str) -> str:
    """Return the name of a step for people, without the module of its agent."""
    return printable(span.schema_name.removeprefix(home) or span.schema_name)


def _prefix(placed: Placed, strokes: Lines) -> str:
    if not placed.follows:
        return ""
    return _beside(placed.follows[:-1], strokes) + (
        strokes.fork if placed.follows[-1] else strokes.last
    )


def _margin(placed: Placed, strokes: Lines) -> str:
    stem = strokes.beside if placed.parents else "   "
    return f"{_beside(placed.follows, strokes)}{stem}  "


def _beside(follows: tuple[bool, ...], strokes: Lines) -> str:
    left_out = len(follows) - MAX_LEVELS
    shown = "".join(
        strokes.beside if more else " " * len(strokes.beside) for more in follows[-MAX_LEVELS:]
    )
    return f"{strokes.cut}{left_out} {shown}" if left_out > 0 else shown


def _first_line(span: AgentSpan, name: str, room: int, begin: datetime | None) -> str:
    after = took(begin, span.started_at)
    return (
        padded(cut(name, room, lines().cut), room)
        + "  "
        + coloured(span.status, f"{span.status:<{STATUS_COLUMNS}}")
        + faint(f"{after and '+' + after:>{TIME_COLUMNS}}")
        + f"{took(span.started_at, span.finished_at):>{TIME_COLUMNS}}"
    ).rstrip()


def _details(span: AgentSpan, strokes: Lines, *, full: bool) -> Iterator[tuple[str, str]]:
    """Yield the lines below a span: the sign that stands before each, and its text."""
    given, exceeds = split_violations(span.payload or {})
    if full and MARK not in given:
        yield from (("", f"{named(name)}={whole(value)}") for name, value in given.items())
    elif given:
        yield "", whole(given) if full else members(given)
    for wrong in span.schema_errors or ():
        yield coloured("cancelled", "! "), f"not as declared: {printable(wrong)}"
    for violation in exceeds:
        yield coloured("failed", f"{strokes.cross} "), f"exceeds the remit: {printable(violation)}"
    result = span.result_payload
    error = error_in(result) if span.status == "failed" else None
    if error is not None:
        yield coloured("failed", f"{strokes.cross} "), described(error, whole if full else short)
    elif result and result != NOTHING:
        yield f"{strokes.arrow} ", whole(result) if full else _result(result)


def _block_failure(record: Record, strokes: Lines, *, full: bool) -> Iterator[tuple[str, str]]:
    """Yield the lines on the error in the block of a run, which no step has."""
    root = record.root
    error = None if root is None or root.status != "failed" else error_in(root.result_payload)
    if root is None or error is None:
        return
    if not any(_is_same(error, error_in(span.result_payload)) for span in record.steps):
        yield coloured("failed", f"{strokes.cross} "), described(error, whole if full else short)
        yield from _failure(record, root, full=full)


def _failure(record: Record, span: AgentSpan, *, full: bool) -> Iterator[tuple[str, str]]:
    """Yield the lines that say where a span failed, and what caused it."""
    error = error_in(span.result_payload) or {}
    form = whole if full else short
    if place := place_of(error):
        yield "  ", f"at {place}"
    shown = _objects(error.get("members"))
    for other in (*_objects(error.get("causes")), *shown):
        relation = _RELATIONS.get(str(other.get("relation")), "member")
        yield "  ", f"{relation} {described(other, form)}"
        if place := place_of(other):
            yield "    ", f"at {place}"
    count = error.get("of")
    if isinstance(count, int) and count > len(shown):
        yield "  ", f"and {number_of(count - len(shown), 'more member')}"
    frames = list(_frames(record, span, error)) if full else []
    if frames:
        yield "  ", "frames, the innermost first:"
        yield from (("    ", line) for line in frames)


def _frames(record: Record, span: AgentSpan, error: Mapping[str, object]) -> Iterator[str]:
    """Yield the frames of a failure, as far out as the spans around *span* have recorded it."""
    by_id = {each.id: each for each in record.spans}
    frames = error.get("frames")
    parent = by_id.pop(span.parent_span_id or "", None)
    while parent is not None and _is_same(error, outer := error_in(parent.result_payload)):
        frames = (outer or {}).get("frames")
        parent = by_id.pop(parent.parent_span_id or "", None)
    for frame in _objects(frames):
        if MARK in frame:
            yield short(frame)
        else:
            file, function = frame.get("file"), frame.get("function")
            yield f"{_plain(file)}:{frame.get('line')} in {_plain(function)}"


def _plain(name: object) -> str:
    return printable(name) if isinstance(name, str) else short(name)


def _is_same(error: Mapping[str, object], other: Mapping[str, object] | None) -> bool:
    """Return whether both are the same failure, as two nested spans record it."""
    return other is not None and all(error.get(key) == other.get(key) for key in ("type", "at"))


def _objects(value: object) -> list[dict[str, object]]:
    """Return the objects in a list: a server returns what its clients sent."""
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, object]", item) for item in items if isinstance(item, dict)]


def _result(result: dict[str, object]) -> str:
    if result.keys() == {"result"}:
        return short(result["result"])
    count = result.get("count")
    if result.keys() >= STREAM and isinstance(count, int):
        first = result.get("first_item_ms")
        when = f", the first after {milliseconds(first)}" if isinstance(first, int | float) else ""
        return f"{number_of(count, 'item')}{when}: {row(result['items'])}"
    return members(result)
