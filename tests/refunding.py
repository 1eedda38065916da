"""A person who decides about refunds, and what a run records of the decisions."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import remit
from remit.testing import RecordingSink

WHY: Final = "At most 50 euros without a manager."


async def decide(request: remit.ApprovalRequest) -> remit.Approved | remit.Refused:
    """Stand in for a person, for whom the event loop does not wait."""
    await asyncio.sleep(0)
    euros: Any = request.arguments["euros"]
    if euros <= 50:
        return remit.Approved(by="dana")
    return remit.Refused(by="dana", why=WHY)


def decide_now(request: remit.ApprovalRequest) -> remit.Approved | remit.Refused:
    """Decide the same in a thread."""
    return asyncio.run(decide(request))


def record_of(recorder: RecordingSink) -> list[tuple[object, ...]]:
    """Return the amount, decision, person and reason of each question."""
    answered = {span.payload["ticket"]: span.payload for span in recorder.spans("remit:answered")}
    assert len(answered) == len(recorder.spans("remit:answered"))
    rows: list[tuple[object, ...]] = []
    for span in recorder.spans("remit:asked"):
        answer = answered.get(span.payload["ticket"], {})
        fields = (answer.get(name) for name in ("decision", "by", "why"))
        arguments = span.payload["arguments"]
        rows.append((arguments.get("inputs", arguments)["euros"], *fields))
    return rows
