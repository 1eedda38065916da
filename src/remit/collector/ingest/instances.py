"""Steps on an instance: start, finish, terminate, qualities; and looking at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, cast

import msgspec

from remit.collector.ingest.checks import check_name, check_text, instant, validated
from remit.collector.ingest.context import Context
from remit.collector.ingest.erased import without_payloads
from remit.collector.ingest.keys import Done, once
from remit.collector.ingest.lists import page_of, text_in
from remit.collector.ingest.resources import agent_of, equal_to
from remit.collector.ingest.states import (
    COMPLETE,
    finish_instance,
    start_instance,
    terminate_instance,
)
from remit.collector.ingest.validation import judged_qualities
from remit.collector.refusals import invalid_field, not_found
from remit.collector.settings import KIB
from remit.collector.store import InstanceRow
from remit.collector.views import (
    detail_view,
    instance_view,
    list_answer,
    success_answer,
    summary_view,
)
from remit.collector.wire import encode, object_of, read_json
from remit.models.agent_instance import (
    FinishInstanceRequest,
    InstanceForUpdate,
    RecordQualityRequest,
    TerminateInstanceRequest,
    TimestampRequest,
)

LEGACY_QUALITY: Final = "quality"
MAX_QUALITY_BYTES: Final = 400 * KIB
"""Length of all quality payloads of one run. Every answer about the run holds them, one of them
twice, and must stay below the 1 MiB that the SDK reads."""
SORTABLE: Final = (
    "id",
    "inserted_at",
    "updated_at",
    "started_at",
    "finished_at",
    "status",
    "purpose",
)
FILTERS: Final = ("agent_version_id", "environment_id", "agent_deployment_id")
IDENTIFYING: Final = ("external_identifier", "caused_by")
"""Filters of few instances, of one agent or of all."""

Step = Callable[[InstanceRow, Mapping[str, object]], InstanceRow]


def start(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Start an instance."""

    def step(row: InstanceRow, values: Mapping[str, object]) -> InstanceRow:
        request = validated(TimestampRequest, values)
        return start_instance(row, instant("timestamp", request.timestamp, ctx.now_us), ctx.now_us)

    return _changed(ctx, "agent_instances/start", params, key, step)


def finish(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Finish an instance."""

    def step(row: InstanceRow, values: Mapping[str, object]) -> InstanceRow:
        request = validated(FinishInstanceRequest, values)
        at_us = instant("timestamp", request.timestamp, ctx.now_us)
        return finish_instance(row, request.status or COMPLETE, at_us, ctx.now_us)

    return _changed(ctx, "agent_instances/finish", params, key, step)


def terminate(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Terminate an instance."""

    def step(row: InstanceRow, values: Mapping[str, object]) -> InstanceRow:
        request = validated(TerminateInstanceRequest, values)
        check_text("reason", request.reason)
        return terminate_instance(row, request.reason, ctx.now_us)

    return _changed(ctx, "agent_instances/terminate", params, key, step)


def record_quality(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Set or remove the quality payload of one name."""

    def step(row: InstanceRow, values: Mapping[str, object]) -> InstanceRow:
        request = validated(RecordQualityRequest, values)
        check_name("name", request.name)
        return _with_quality(row, request.name, request.payload, ctx.now_us)

    return _changed(ctx, "agent_instances/record_quality", params, key, step)


def update(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Replace the one quality payload of older clients, kept under the name `quality`."""

    def step(row: InstanceRow, values: Mapping[str, object]) -> InstanceRow:
        request = validated(InstanceForUpdate, values)
        if "quality_payload" not in request.model_fields_set:
            return row
        return _with_quality(row, LEGACY_QUALITY, request.quality_payload, ctx.now_us)

    return _changed(ctx, "agent_instances/update", params, key, step)


def show(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Return an instance."""
    del key
    values = object_of(params, ctx.settings.max_depth)
    row = instance_of(ctx, values)
    return success_answer(detail_view(row, *_qualities(ctx, row)))


def list_instances(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Return a page of the instances of an agent, or of those that a filter identifies."""
    del key
    values = object_of(params, ctx.settings.max_depth)
    agent_id = text_in(values, "agent_id") or ctx.caller.agent_id
    identifying = equal_to(values, IDENTIFYING)
    if agent_id is None and not identifying:
        raise invalid_field("agent_id", "is required")
    if agent_id is not None and ctx.caller.agent_id not in {None, agent_id}:
        agent_of(ctx, agent_id)
    equal = {**identifying, **equal_to(values, FILTERS)}
    if agent_id is not None:
        equal["agent_id"] = agent_id
    if ctx.caller.environment_id is not None:
        equal["environment_id"] = ctx.caller.environment_id
    page = page_of(values, SORTABLE)
    listed = ctx.tx.list_instances(ctx.caller.account_id, equal, page)
    return list_answer([summary_view(row) for row in listed.rows], page, listed.total)


def _changed(ctx: Context, operation: str, params: bytes, key: str | None, step: Step) -> bytes:
    """Take *step* on the instance that *params* name, once for each *key*."""
    values = object_of(params, ctx.settings.max_depth)

    def do() -> Done:
        before = instance_of(ctx, values)
        after = without_payloads(step(before, values))
        answer = success_answer(instance_view(after, *_qualities(ctx, after)))
        if after is not before:
            if after.id in ctx.instances:
                ctx.instances[after.id] = ctx.changed[after.id] = after
            else:
                ctx.tx.change(after)
        return Done(answer, after.id)

    return once(ctx, operation, key, values, do)


def instance_of(ctx: Context, values: Mapping[str, object]) -> InstanceRow:
    """Return the instance that *values* name.

    Raises:
        RequestError: 404, there is none for this caller; 422, none is named.
    """
    instance_id = text_in(values, "agent_instance_id")
    if instance_id is None:
        raise invalid_field("agent_instance_id", "is required")
    if instance_id in ctx.instances:
        row = ctx.instances[instance_id]
    else:
        row = ctx.tx.instances(ctx.caller.account_id, [instance_id]).get(instance_id)
    if row is None or not ctx.caller.sees(row):
        raise not_found("agent_instance")
    return row


def write_changed(ctx: Context) -> None:
    """Write the instances that operations of a bulk request have changed so far."""
    if ctx.changed:
        ctx.tx.change_instances(ctx.changed.values())
        ctx.changed.clear()


def _qualities(
    ctx: Context, row: InstanceRow
) -> tuple[dict[str, str | None], dict[str, list[str]]]:
    return judged_qualities(ctx.tx, ctx.declarations, row, ctx.budget)


def _with_quality(row: InstanceRow, name: str, payload: object, now_us: int) -> InstanceRow:
    qualities = cast("dict[str, object]", read_json(row.quality_payloads))
    qualities.pop(name, None)
    if payload is not None:
        qualities[name] = payload
    encoded = encode(qualities)
    if payload is not None and len(encoded) > MAX_QUALITY_BYTES:
        raise invalid_field(
            "payload",
            f"makes the quality payloads of the run longer than {MAX_QUALITY_BYTES} bytes together",
        )
    return msgspec.structs.replace(row, quality_payloads=encoded.decode(), updated_at=now_us)
