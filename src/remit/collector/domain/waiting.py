"""Runs that wait for a person's answer: more questions than answers, while they are active.

A question and its answer are two complete spans, `remit:asked` and `remit:answered`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from remit.collector.domain.context import Context
from remit.collector.domain.findings import ASKED_SPAN
from remit.collector.domain.params import Filter, Query, run_of
from remit.collector.domain.states import ACTIVE, CANCELLED
from remit.collector.errors import invalid_field, not_found
from remit.collector.store.filters import SpanFilter
from remit.collector.store.questions import run_lists
from remit.collector.store.questions.scope import scope_of
from remit.collector.store.rows import AgentRow, RunRow, SpanRow
from remit.collector.store.transaction import Transaction

NEW_INPUT: Final = "new_input"
"""Member of the payload of a root span: the run does not answer what waits in its conversation."""
FRAMEWORKS: Final = frozenset({"interrupt", "breakpoint", "deferred"})
"""How frameworks ask, whose questions new input drops. An approver's question is answered."""
WENT_ON: Final = "the conversation went on"
RESULT: Final = msgspec.json.encode({"reason": WENT_ON, "status": CANCELLED}).decode()
MOST_ENDED: Final = 10
"""Waiting runs of one conversation that a new run ends."""
MOST_QUESTIONS: Final = 1_000


class WaitingQuery(Query):
    """The conversation whose waiting run is wanted, and its agent."""

    agent: Filter = None
    agent_id: Filter = None
    conversation: Filter = None


def waits(run: RunRow) -> bool:
    """Return whether a run waits for a person's answer."""
    return run.status == ACTIVE and run.asked > run.answered


def find(ctx: Context, query: WaitingQuery) -> RunRow:
    """Return the newest waiting run of an agent in a conversation.

    Raises:
        RequestError: 404, there is none.
    """
    if query.conversation is None:
        raise invalid_field("conversation", "is required")
    agent_id = query.agent_id or ctx.caller.agent_id
    if agent_id is None:
        if query.agent is None:
            raise invalid_field("agent", "or agent_id is required")
        agent = _agent(ctx, query.agent)
        if agent is None:
            raise not_found("agent")
        agent_id = agent.id
    run_ids = _waiting(ctx, agent_id, query.conversation, 1)
    if not run_ids:
        raise not_found("agent_instance")
    return run_of(ctx, run_ids[0])


def _agent(ctx: Context, identifier: str) -> AgentRow | None:
    """Return the agent of an identifier, or of the identifier without its project."""
    bare = identifier.partition("/")[2]
    found = (
        ctx.tx.agent_of_identifier(ctx.caller.account_id, each)
        for each in filter(None, (identifier, bare))
    )
    return next(filter(None, found), None)


def _waiting(ctx: Context, agent_id: str, conversation: str, most: int) -> list[str]:
    """Return the ids of the waiting runs of an agent in a conversation, newest first."""
    caller = ctx.caller
    scope = scope_of(ctx.tx, caller.account_id, agent_id, caller.environment_id)
    if scope is None:
        return []
    wanted = run_lists.RunCriteria(scope=scope, status=run_lists.WAITING, conversation=conversation)
    return [run.id for run in run_lists.runs(ctx.tx, wanted, limit=most)]


def dropped_by(ctx: Context, run: RunRow, in_batch: Iterable[RunRow]) -> list[RunRow]:
    """Return the runs whose questions the framework dropped, because *run* has new input.

    Args:
        in_batch: The runs of the batch, as they are to be written.
    """
    conversation = run.conversation
    if conversation is None:
        return []
    known = {row.id: row for row in in_batch}
    stored = _waiting(ctx, run.agent_id, conversation, MOST_ENDED)
    read = ctx.tx.runs(run.account_id, [each for each in stored if each not in known])
    others = [*known.values(), *read.values()]
    return [
        row
        for row in others
        if waits(row)
        and row.id < run.id
        and (row.agent_id, row.environment_id) == (run.agent_id, run.environment_id)
        and row.conversation == conversation
        and _is_of_framework(ctx.tx, row)
    ]


def _is_of_framework(tx: Transaction, run: RunRow) -> bool:
    """Return whether a framework asks the questions of a run."""
    wanted = SpanFilter(agent_instance_id=run.id, schema_name=ASKED_SPAN)
    questions = tx.some_spans(wanted, MOST_QUESTIONS)
    return bool(questions) and all(_how(span) in FRAMEWORKS for span in questions)


class _Asked(msgspec.Struct):
    how: object = None


_read: Final = msgspec.json.Decoder(_Asked).decode


def _how(span: SpanRow) -> str:
    how = _read(span.payload).how
    return how if isinstance(how, str) else ""
