"""Erasure: payloads of runs are removed for good, their skeleton and a record of it stay."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from typing import Final, NamedTuple

import msgspec

from remit._base.clock import NS_PER_US, Clock, SystemClock
from remit._base.ids import HASHES, partition_of
from remit.collector.domain.context import Context, IdSource
from remit.collector.domain.params import Filter, Query, agent_of, check_text, required, run_of
from remit.collector.errors import forbidden, invalid, invalid_field, not_found, too_large
from remit.collector.models.erasure import Erasure, ErasureForCreate
from remit.collector.store.base import Store, write
from remit.collector.store.rows import ErasureRow, RunRow, SpanRow, TokenRow
from remit.collector.store.statements import EMPTY, ERASED
from remit.collector.store.transaction import Transaction
from remit.collector.views.envelopes import success_response
from remit.collector.views.resources import row_view
from remit.collector.views.runs import instance_view

MAX_RUNS: Final = 1000
"""The number of runs that one request erases."""
SOMEBODY: Final = "unknown"


class AskedFor(StrEnum):
    """How the runs to be erased were chosen."""

    RUN = "run"
    AGENT = "agent"
    SUBJECT = "subject"
    ON_BEHALF_OF = "on_behalf_of"


_FIELDS: Final = {
    "run_id": AskedFor.RUN,
    "agent_id": AskedFor.AGENT,
    "subject": AskedFor.SUBJECT,
    "on_behalf_of": AskedFor.ON_BEHALF_OF,
}
"""The fields of a request that choose runs."""


class Erased(NamedTuple):
    """Counts of an erasure.

    Attributes:
        responses: Number of idempotency keys whose response and request hash were removed.
    """

    runs: int
    spans: int
    responses: int


def runs_of_person(tx: Transaction, kind: AskedFor, person: str) -> list[str]:
    """Return the ids of the runs about *person*, or on their behalf, oldest first.

    An erased run is not among them, because its hashes were erased too.
    """
    return tx.runs_of_person(HASHES[kind](person))


def erase(
    store: Store,
    run_ids: Sequence[str],
    asked_for: AskedFor,
    *,
    reason: str,
    erased_by: str,
    clock: Clock | None = None,
) -> Erased:
    """Erase the payloads of runs, one transaction for each.

    Their bytes may remain in the database's files until `Store.scrub` is called.

    Args:
        store: The database; a collector may be serving it.
        erased_by: Name of the operator, for the record.

    Raises:
        StoreUnavailableError: The database cannot be used now; the same may be done again.
    """
    clock = clock or SystemClock()
    ids = IdSource(clock)
    now_us = clock.wall_ns() // NS_PER_US
    runs = spans = responses = 0

    for run_id in run_ids:
        record = ErasureRow("", "", run_id, asked_for, reason, erased_by, 0, 0, now_us)
        done = write(store, partial(_erase_run, record=record, ids=ids))
        if done is not None:
            runs, spans, responses = runs + 1, spans + done.spans, responses + done.responses
    return Erased(runs, spans, responses)


def _erase_run(tx: Transaction, record: ErasureRow, ids: IdSource) -> ErasureRow | None:
    run_id = record.agent_instance_id
    tx.hold([run_id], [])
    row = tx.runs(None, [run_id]).get(run_id)
    if row is None:
        return None
    spans = tx.erase(row, record.inserted_at)
    after = tx.runs(None, [run_id])[run_id]
    responses = tx.replace_responses(run_id, success_response(instance_view(after)))
    record = msgspec.structs.replace(
        record,
        id=ids.new(partition_of(row.account_id) or 0),
        account_id=row.account_id,
        spans=spans,
        responses=responses,
    )
    tx.add(record)
    return record


# Operations of the API


class Selection(NamedTuple):
    """Arguments of `erase` from a request.

    Attributes:
        erased_by: Name or id of the token.
    """

    run_ids: list[str]
    asked_for: AskedFor
    reason: str
    erased_by: str


class ErasureQuery(Query):
    """Of which run to list the erasures."""

    run_id: Filter = None


def select(ctx: Context, request: ErasureForCreate) -> Selection:
    """Permanently erase the payloads of runs. The runs themselves are kept."""
    values = request.model_dump(include=set(_FIELDS), exclude_none=True)
    if len(values) != 1:
        raise invalid({field: ["expected exactly one of these four"] for field in _FIELDS})
    check_text("reason", request.reason)
    if not request.reason.strip():
        raise invalid_field("reason", "must not be empty")
    ((field, value),) = values.items()
    asked_for = _FIELDS[field]
    ids = _chosen(ctx, asked_for, value)
    if len(ids) > MAX_RUNS:
        raise too_large(
            f"more than {MAX_RUNS} runs match: erase them with `remit db erase` on the machine of "
            "the database, which has no limit"
        )
    token_id = ctx.caller.token_id
    token = None if token_id is None else ctx.tx.row(TokenRow, ctx.caller.account_id, token_id)
    return Selection(
        ids, asked_for, request.reason, SOMEBODY if token is None else token.name or token.id
    )


def _chosen(ctx: Context, asked_for: AskedFor, value: str) -> list[str]:
    """Return the ids of the runs, at most one more than a request may erase."""
    caller = ctx.caller
    if asked_for == AskedFor.RUN:
        return [run_of(ctx, value).id]
    within = {"account_id": caller.account_id}
    if caller.environment_id is not None:
        within["environment_id"] = caller.environment_id
    if asked_for == AskedFor.AGENT:
        if caller.agent_id not in {None, value}:
            raise forbidden("a deployment's token is for its agent only: use an account's token")
        agent_of(ctx, value)
        return ctx.tx.runs_of_agent(value, within, MAX_RUNS + 1)
    if caller.agent_id is not None:
        within["agent_id"] = caller.agent_id
    return ctx.tx.runs_of_person(HASHES[asked_for](value), within, MAX_RUNS + 1)


def list_erasures(ctx: Context, query: ErasureQuery) -> dict[str, object]:
    """List the erasures of a run, oldest first."""
    run_id, caller = required(query.model_dump(), "run_id"), ctx.caller
    row = ctx.tx.runs(caller.account_id, [run_id]).get(run_id)
    records = [one for one in ctx.tx.erasures(run_id) if one.account_id == caller.account_id]
    # The records of a deleted run do not have its agent.
    visible = caller.sees(row) if row is not None else bool(records) and caller.agent_id is None
    if not visible:
        raise not_found("agent_instance")
    return {"status": "success", "erasures": [row_view(Erasure, record) for record in records]}


# Payloads that arrive after an erasure


def without_payloads(row: RunRow) -> RunRow:
    """Return a run as it may be stored: an erased one has no payloads."""
    if row.erased_at is None or (row.quality_payloads == EMPTY and row.termination_reason is None):
        return row
    reason = None if row.termination_reason is None else ERASED
    return msgspec.structs.replace(row, quality_payloads=EMPTY, termination_reason=reason)


def span_without_payloads(row: SpanRow) -> SpanRow:
    """Return a span as it may be stored after its run was erased."""
    result = None if row.result_payload is None else EMPTY
    return msgspec.structs.replace(row, payload=EMPTY, result_payload=result)
