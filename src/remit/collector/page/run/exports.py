"""A run and its steps as text: to be copied, saved, or read whole."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

import msgspec

from remit.collector.domain.context import Context
from remit.collector.domain.lists import spans_of_run
from remit.collector.errors import RequestError, invalid_field
from remit.collector.page import formats
from remit.collector.page.hiding import hidden_value
from remit.collector.page.payload_tree import Node
from remit.collector.page.run.facts import (
    RunFacts,
    RunRows,
    SpanFacts,
    in_run,
    run_facts,
    span_facts,
)
from remit.collector.page.run.span_panel import Cause, Panel, panel_of
from remit.collector.page.visits import Api, Data, Pieces, Response, Visit
from remit.collector.store.questions.span_lists import Position

TEXT: Final = "text/plain; charset=utf-8"
NDJSON: Final = "application/x-ndjson"
_PAGE: Final = 1000
"""Steps that are read at once for an export."""
_PAYLOADS: Final = ("payload", "result")


def as_text(visit: Visit) -> Response:
    """Return a step as text: its failure, where in the code, and the address."""

    def work(_: Visit, rows: RunRows) -> tuple[SpanFacts, RunFacts]:
        return span_facts(rows, visit.named["span"]), run_facts(rows)

    facts, run = in_run(visit, work)
    panel = panel_of(facts, opened=False)
    address = f"/runs/{facts.run.id}?span={visit.named['span']}"
    began, step = facts.span.row.started_at, panel.name.text
    lines = [
        f"{step} {panel.status}, run {facts.run.id} of {run.agent}, version {run.version}",
        *([] if began is None else [f"began {formats.stamp(began)}"]),
        *_failure(panel),
        address,
    ]
    return Data(formats.visible("\n".join(lines) + "\n").encode(), TEXT)


def whole(visit: Visit, *, opened: bool) -> Response:
    """Return a whole payload as text, as it was recorded.

    Args:
        opened: Whether the payload of a confidential step is shown; the access log has the request.

    Raises:
        RequestError: 403, the payload is shown only on request.
    """
    wanted = visit.query.get("of", "payload")
    if wanted not in _PAYLOADS:
        raise invalid_field("of", f"must be one of {', '.join(_PAYLOADS)}")
    facts = in_run(visit, lambda _, rows: span_facts(rows, visit.named["span"]))
    span = facts.span
    if facts.hidden.part(wanted, span.error) and not opened:
        raise hidden_value()
    text = span.row.payload if wanted == "payload" else span.row.result_payload or "null"
    return Data(msgspec.json.format(text.encode(), indent=2), TEXT)


def export(visit: Visit) -> Response:
    """Return a run and its steps as NDJSON, as the API shows them, oldest first.

    Raises:
        RequestError: 404, there is none for this person.
    """
    run_id = visit.named["id"]
    run = visit.api.get(f"/api/v1/agent_instance/{run_id}")["details"]
    return Pieces(_lines(visit.api, run_id, run), NDJSON, f"{run_id}.ndjson")


def _lines(api: Api, run_id: str, run: object) -> Iterator[bytes]:
    """Yield a line of JSON for the run, and the lines of one page of steps after the other.

    If a page cannot be read, the last line says so.
    """
    yield msgspec.json.encode(run) + b"\n"
    after: Position | None = None
    while True:
        try:
            page, after = api.read(partial(_page, run_id, after))
        except RequestError as rejection:
            end = {"type": "incomplete", "after": after and str(after), "code": rejection.code}
            yield msgspec.json.encode(end) + b"\n"
            return
        yield page
        if after is None:
            return


def _page(run_id: str, after: Position | None, ctx: Context) -> tuple[bytes, Position | None]:
    spans, following = spans_of_run(ctx, run_id, after, _PAGE)
    return msgspec.json.Encoder().encode_lines(spans), following


def _failure(panel: Panel) -> Iterator[str]:
    if panel.denial is not None:
        yield from map(str, panel.denial.violations)
    if panel.process_ended:
        yield "its process ended"
    for cause in panel.chain:
        yield from _cause(cause)
    if panel.frames is not None:
        yield f"frames, the innermost first, {panel.frames.kept} of {panel.frames.total}:"
        for frame in panel.frames.own:
            yield f"  {_plain(frame.file)}:{frame.line} in {_plain(frame.function)}"
        if panel.frames.libraries:
            yield f"  {len(panel.frames.libraries)} more in {panel.frames.named}"


def _cause(cause: Cause) -> Iterator[str]:
    if cause.how:
        yield cause.how
    message = "the message is hidden: confidential" if cause.hidden else "no message"
    if cause.message is not None:
        message = _plain(cause.message)
    yield f"{_plain(cause.type)}: {message}"
    if cause.at is not None:
        yield f"  at {_plain(cause.at)}"


def _plain(node: Node) -> str:
    """Return a value in one text; redacted stays redacted."""
    if node.kind == "redacted":
        return f"<redacted: {node.text}>"
    return node.text
