"""`remit.collector.ingest.states`: the whole table, state by state."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from remit.collector.ingest.states import (
    finish_instance,
    finish_span,
    start_instance,
    terminate_instance,
)
from remit.collector.refusals import Refusal
from remit.collector.store import SENSITIVE, InstanceRow, SpanRow
from tests.subtests import each

STARTED_US, AT_US, NOW_US = 1_000, 2_000, 3_000
ENDS = ("complete", "failed", "cancelled")
INSTANCE = InstanceRow(
    id="i",
    account_id="a",
    agent_id="g",
    agent_version_id="v",
    agent_schema_version_id="s",
    environment_id="e",
    agent_deployment_id="d",
    external_identifier=None,
    purpose="live",
    body_hash="",
    inserted_at=0,
    status="pending",
    start_seen=0,
    started_at=None,
    finished_at=None,
    termination_reason=None,
    quality_payloads="{}",
    updated_at=0,
)
SPAN = SpanRow(
    agent_instance_id="i",
    id="s",
    parent_span_id=None,
    schema_name="n",
    status="active",
    created_status="active",
    flags=0,
    started_at=STARTED_US,
    finished_at=None,
    inserted_at=0,
    updated_at=0,
    create_key=None,
    finish_key=None,
    payload="{}",
    result_payload=None,
)

Step = Callable[[InstanceRow], InstanceRow]


def instance(status: str, *, start_seen: bool = True) -> InstanceRow:
    """Return an instance that stands at *status*."""
    return msgspec.structs.replace(
        INSTANCE,
        status=status,
        start_seen=int(start_seen and status != "pending"),
        started_at=None if status == "pending" else STARTED_US,
        finished_at=AT_US if status in (*ENDS, "terminated") else None,
    )


def start(row: InstanceRow) -> InstanceRow:
    """Start it."""
    return start_instance(row, AT_US, NOW_US)


def complete(row: InstanceRow) -> InstanceRow:
    """Finish it well."""
    return finish_instance(row, "complete", AT_US, NOW_US)


def cancel(row: InstanceRow) -> InstanceRow:
    """Cancel it."""
    return finish_instance(row, "cancelled", AT_US, NOW_US)


def terminate(row: InstanceRow) -> InstanceRow:
    """End it from outside."""
    return terminate_instance(row, "enough", NOW_US)


TABLE: dict[tuple[str, Step], str | None] = {
    ("pending", start): "active",
    ("pending", complete): "complete",
    ("pending", cancel): "cancelled",
    ("pending", terminate): None,
    ("active", start): None,
    ("active", complete): "complete",
    ("active", cancel): "cancelled",
    ("active", terminate): "terminated",
    **{
        (status, step): None
        for status in (*ENDS, "terminated")
        for step in (start, complete, cancel, terminate)
    },
}


@each(
    ("before", "step", "after"),
    [(before, step, after) for (before, step), after in TABLE.items()],
    ids=[f"{before} {step.__name__}" for before, step in TABLE],
)
def test_each_step_from_each_state(before: str, step: Step, after: str | None) -> None:
    """To the state in the table, or a conflict."""
    row = instance(before)
    if after is None:
        with pytest.raises(Refusal) as refused:
            step(row)
        assert (refused.value.status, refused.value.code) == (409, "invalid_action")
    else:
        assert step(row).status == after
        assert step(row).updated_at == NOW_US


def test_a_finish_of_a_pending_instance_is_its_start_too() -> None:
    """And a start that comes later tells when it really was, once."""
    finished = complete(instance("pending"))
    late = start_instance(finished, STARTED_US, NOW_US)

    assert (finished.started_at, finished.finished_at) == (AT_US, AT_US)
    assert (late.status, late.started_at, late.finished_at) == ("complete", STARTED_US, AT_US)
    with pytest.raises(Refusal):
        start(late)


def test_a_termination_keeps_when_it_began_and_says_why() -> None:
    """It ends now."""
    ended = terminate(instance("active"))

    assert (ended.started_at, ended.finished_at) == (STARTED_US, NOW_US)
    assert ended.termination_reason == "enough"


@each("before", ["pending", "active", *ENDS])
@each("status", ENDS)
def test_each_finish_of_a_span_from_each_state(before: str, status: str) -> None:
    """An active one ends in any way, a pending one can be cancelled only."""
    row = msgspec.structs.replace(
        SPAN, status=before, started_at=None if before == "pending" else STARTED_US
    )
    allowed = before == "active" or (before == "pending" and status == "cancelled")
    if not allowed:
        with pytest.raises(Refusal):
            finish_span(row, status, AT_US, NOW_US, result=None, sensitive=False)
        return

    done = finish_span(row, status, AT_US, NOW_US, result='{"a":1}', sensitive=True)

    assert (done.status, done.finished_at, done.updated_at) == (status, AT_US, NOW_US)
    assert done.started_at == (AT_US if before == "pending" else STARTED_US)
    assert (done.result_payload, done.flags) == ('{"a":1}', SENSITIVE)
    assert done.created_status == "active"
