"""A run and its steps as text: to be copied, saved, or read whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from remit.collector.errors import invalid_field
from remit.collector.page import formats
from remit.collector.page.payload_tree import Node
from remit.collector.page.run_facts import closed_value, read_run, read_span
from remit.collector.page.span_panel import Cause, Panel, panel_of
from remit.collector.page.visits import SPANS, Answer, Data, Visit

TEXT: Final = "text/plain; charset=utf-8"
NDJSON: Final = "application/x-ndjson"
MOST_BYTES: Final = 64 * 1024 * 1024
"""An export ends after so many bytes, and says so in its last line."""
_PAGE: Final = "1000"
_PAYLOADS: Final = {"payload": "payload", "result": "result_payload"}


def as_text(visit: Visit) -> Answer:
    """Answer a step as text: its failure, where in the code, and the address."""
    facts, run = read_span(visit, visit.named["span"]), read_run(visit)
    panel = panel_of(facts, opened=False, quality={})
    address = f"/runs/{facts.run.id}?span={facts.row.id}"
    began = facts.row.started_at
    lines = [
        f"{panel.name} {panel.status}, run {facts.run.id} of {run.agent}, version {run.version}",
        *([] if began is None else [f"began {formats.stamp(began)}"]),
        *_failure(panel),
        address,
    ]
    return Data(formats.visible("\n".join(lines) + "\n").encode(), TEXT)


def whole(visit: Visit) -> Answer:
    """Answer a whole payload as text, as it was recorded.

    Raises:
        RequestError: 403, the payload is shown only on request.
    """
    return _whole(visit, opened=False)


def whole_opened(visit: Visit) -> Answer:
    """Answer a whole payload of any step; the access log has the request."""
    return _whole(visit, opened=True)


def _whole(visit: Visit, *, opened: bool) -> Answer:
    wanted = visit.query.get("of", "payload")
    if wanted not in _PAYLOADS:
        raise invalid_field("of", f"must be one of {', '.join(_PAYLOADS)}")
    facts = read_span(visit, visit.named["span"])
    if facts.closes(wanted) and not opened:
        raise closed_value()
    value = facts.view[_PAYLOADS[wanted]]
    return Data(msgspec.json.format(msgspec.json.encode(value), indent=2), TEXT)


def export(visit: Visit) -> Answer:
    """Answer a run and its steps as NDJSON, as the API shows them."""
    run_id = visit.named["id"]
    run = visit.api.get(f"/api/v1/agent_instance/{run_id}")["details"]
    spans: list[bytes] = []
    size, before = 0, None
    while size < MOST_BYTES:
        page = visit.api.get(SPANS, run_id=run_id, payloads="true", limit=_PAGE, before=before)
        lines = [msgspec.json.encode(span) for span in page["spans"]]
        spans += lines
        size += sum(map(len, lines))
        before = page["next"]
        if before is None:
            break
    end = [] if before is None else [{"type": "incomplete", "before": before}]
    # The API lists the newest first.
    body = b"\n".join(
        [msgspec.json.encode(run), *reversed(spans), *map(msgspec.json.encode, end), b""]
    )
    return Data(body, NDJSON, f"{run_id}.ndjson")


def _failure(panel: Panel) -> Iterator[str]:
    if panel.refusal is not None:
        yield from panel.refusal.sentences
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
    message = "the message is closed: confidential" if cause.closed else "no message"
    if cause.message is not None:
        message = _plain(cause.message)
    yield f"{_plain(cause.type)}: {message}"
    if cause.at is not None:
        yield f"  at {_plain(cause.at)}"


def _plain(node: Node) -> str:
    """Return a value in one text; withheld stays withheld."""
    if node.kind == "withheld":
        return f"<withheld: {node.text}>"
    return node.text
