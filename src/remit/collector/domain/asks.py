"""Requests for a person's approval: created, answered, withdrawn, listed; and used seals.

A request waits until the first answer, until its time is over by the clock of the server, or until
its program or the end of its run withdraws it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final, NamedTuple, get_args

import msgspec

from remit._base.ids import (
    KEY_CHARS,
    PARTITION_CHARS,
    SHORT_CHARS,
    hash_of_on_behalf_of,
    is_short,
)
from remit._policy.words import ACTIONS
from remit.collector.domain.context import Caller, Context, Permission
from remit.collector.domain.params import Filter, Query, check_name, check_text, integer, one_of
from remit.collector.domain.runs import environment_for
from remit.collector.domain.states import UNFINISHED
from remit.collector.errors import (
    RequestError,
    ambiguous,
    forbidden,
    invalid_action,
    invalid_field,
    too_large,
)
from remit.collector.json_io import canonical, encode
from remit.collector.settings import KIB
from remit.collector.store.ask_rows import EXPIRED, WAITING, WITHDRAWN
from remit.collector.store.questions.run_lists import names_of_agents
from remit.collector.store.questions.run_requests import RunRequest
from remit.collector.store.rows import AskRow, LateAnswerRow, RunRow, SealRow, TokenRow
from remit.collector.store.statements import Where
from remit.collector.times import US_PER_S, format_us
from remit.collector.views.runs import time_view
from remit.models.asks import (
    MAX_WAIT_S,
    AnswerForCreate,
    AskForCreate,
    AskStatus,
    SealForCreate,
)

APPROVED: Final = "approved"
REFUSED: Final = "refused"
MAX_KEY_CHARS: Final = 200
MAX_WHY_CHARS: Final = 500
MAX_VALUES_BYTES: Final = 256 * KIB
"""Length of the arguments of a request, and of the names that it has, each as JSON."""
MAX_TIME_LIMIT_S: Final = 7 * 24 * 3600
MAX_LATE_ANSWERS: Final = 20
"""Number of late answers to one request that are kept."""
MAX_ASKS: Final = 100
MOST_NAMED: Final = 10
"""The most requests that an error lists if their ids have the same ending."""
WITHDRAWN_BY_PROGRAM: Final = "the program withdrew it"


class Answered(NamedTuple):
    """A request after an answer; `counted` is whether the answer is the one that counts."""

    row: AskRow
    counted: bool

    @property
    def id(self) -> str:
        """Id of the request."""
        return self.row.id


class AsksQuery(Query):
    """Which requests to list."""

    status: Annotated[str | None, one_of(*get_args(AskStatus))] = None
    run: Filter = None
    before: Filter = None
    limit: Annotated[int, integer(1, MAX_ASKS)] = MAX_ASKS


class AnswerQuery(Query):
    """How long to wait for the answer, in seconds."""

    wait_s: Annotated[int, integer(0, MAX_WAIT_S)] = 0


# The program


def create(ctx: Context, request: AskForCreate) -> AskRow:
    """Create a request; one with a known ticket is returned as it is."""
    _check(request)
    values = _values_of(request)
    hashed = hashlib.sha256(canonical([request.agent, request.step, *values.values()])).hexdigest()
    known = ctx.tx.ask_of_ticket(ctx.caller.account_id, request.run, request.ticket)
    if known is not None:
        if not _sees(ctx.caller, known) or known.body_hash != hashed:
            raise invalid_action(
                "the ticket was used for another request of this run: its step or its arguments "
                "differ"
            )
        return known
    run = _run_of(ctx, request)
    if run is not None and run.status not in UNFINISHED:
        raise invalid_action(f"the run is {run.status}: nothing can be asked in it")
    if run is not None and run.erased_at is not None:
        raise invalid_action("the run was erased: nothing can be asked in it")
    ctx.tx.expire_asks(ctx.caller.account_id, ctx.now_us)
    row = AskRow(
        id=ctx.new_id(),
        account_id=ctx.caller.account_id,
        agent_id=ctx.caller.agent_id or _agent_id(ctx, request, run),
        environment_id=_environment_id(ctx, request, run),
        agent=request.agent,
        run=request.run,
        ticket=request.ticket,
        step=request.step,
        words=values["words"],
        arguments=values["arguments"],
        hidden=values["hidden"],
        unbound=values["unbound"],
        changed=values["changed"],
        seal=request.seal,
        after=_before(ctx, request),
        body_hash=hashed,
        asked_by=ctx.caller.token_id,
        asked_at=ctx.now_us,
        expires_at=ctx.now_us + int(request.time_limit_s * US_PER_S),
        status=WAITING,
    )
    ctx.tx.add(row)
    return row


def state_view(ctx: Context, row: AskRow) -> dict[str, object]:
    """Return a request as the program reads it, without its values."""
    return {
        "id": row.id,
        "run": row.run,
        "ticket": row.ticket,
        "status": status_of(row, ctx.now_us),
        "expires_at": format_us(row.expires_at),
        "by": row.answered_by,
        "why": row.why,
    }


def find(ctx: Context, ask_id: str, *_: object) -> AskRow:
    """Return a request by its id, or the last 8 characters of it.

    Raises:
        RequestError: 404, it does not exist for this caller; 409, several ids end with it.
    """
    if is_short(ask_id):
        where = seen(ctx.caller)
        where.add(f"substr(id, {KEY_CHARS + PARTITION_CHARS - SHORT_CHARS + 1}) = ?", ask_id)
        rows = ctx.tx.asks(where, MOST_NAMED)
        if len(rows) > 1:
            raise ambiguous("requests", ask_id, [each.id for each in rows])
        row = rows[0] if rows else None
    else:
        row = ctx.tx.ask(ctx.caller.account_id, ask_id)
    if row is None or not _sees(ctx.caller, row):
        raise RequestError(HTTPStatus.NOT_FOUND, "unknown_ask", "there is no such request")
    return row


def await_answer(ctx: Context, ask_id: str, query: AnswerQuery) -> AskRow:
    """Return the state of a request. With `wait_s`, a server waits for an answer."""
    del query
    return find(ctx, ask_id)


def withdraw(ctx: Context, ask_id: str, *_: object) -> AskRow:
    """Withdraw a request that still waits; another one stays as it is."""
    row = find(ctx, ask_id)
    ctx.tx.withdraw_ask(row, WITHDRAWN_BY_PROGRAM, ctx.now_us)
    return find(ctx, row.id)


def use_seal(ctx: Context, request: SealForCreate) -> dict[str, object]:
    """Use a seal, once.

    Raises:
        RequestError: 409, it was used before.
    """
    for field in ("seal", "use"):
        _check_short(field, getattr(request, field))
    account_id = ctx.caller.account_id
    known = ctx.tx.used_seals(account_id, [request.seal]).get(request.seal)
    if known is None:
        known = SealRow(account_id, request.seal, request.use, ctx.now_us)
        # Of two that come at once, the second one meets the primary key and is repeated.
        ctx.tx.add(known)
    elif known.nonce != request.use:
        raise RequestError(
            HTTPStatus.CONFLICT,
            "seal_used",
            f"the approval was used at {format_us(known.used_at)}: ask again before the step runs "
            "again",
        )
    return {"status": "success", "used_at": format_us(known.used_at)}


# The person


def answer(ctx: Context, ask_id: str, request: AnswerForCreate) -> Answered:
    """Answer a request. The first answer counts; a later one is kept and changes nothing."""
    row = find(ctx, ask_id)
    why = (request.why or "").strip() or None
    check_text("why", why)
    if request.answer == REFUSED and why is None:
        raise invalid_field("why", "is required for a refusal; the model reads it")
    if why is not None and len(why) > MAX_WHY_CHARS:
        raise invalid_field("why", f"must have at most {MAX_WHY_CHARS} characters")
    by, how = answerer(ctx)
    reason = barred(ctx, row, by)
    if reason is not None:
        raise forbidden(reason)
    now = msgspec.structs.replace(row, answered_at=ctx.now_us)
    if ctx.tx.answer_ask(now, request.answer, (by, how, why)):
        return Answered(find(ctx, row.id), counted=True)
    if len(ctx.tx.late_answers([row.id])) < MAX_LATE_ANSWERS:
        late = LateAnswerRow(
            id=ctx.new_id(),
            account_id=row.account_id,
            ask_id=row.id,
            answer=request.answer,
            answered_by=by,
            answered_how=how,
            why=why,
            answered_at=ctx.now_us,
        )
        ctx.tx.add(late)
    return Answered(find(ctx, row.id), counted=False)


def answered_before(ctx: Context, ask_id: str, _: str, request: AnswerForCreate) -> Answered:
    """Return the response to an answer that is repeated with its idempotency key.

    The first response is not stored, because it contains the arguments of the request.
    """
    row = find(ctx, ask_id)
    first = row.status, row.answered_by, row.answered_how
    return Answered(row, counted=first == (request.answer, *answerer(ctx)))


def answered_view(ctx: Context, answered: Answered) -> dict[str, object]:
    """Return the response to an answer."""
    return {
        "status": "success",
        "details": view(ctx, answered.row),
        "counted": answered.counted,
    }


def barred(ctx: Context, row: AskRow, name: str) -> str | None:
    """Return why the caller may never answer a request; None if the caller may.

    Args:
        name: Name of the caller, see `answerer`.
    """
    if row.asked_by is not None and row.asked_by in _tokens_above(ctx):
        return (
            "the token that records this run asked for the approval, and cannot give it: answer "
            "with another token"
        )
    if works_for(ctx, row, name):
        return f"the run is on behalf of {name}: somebody else has to answer"
    return None


def may_answer(caller: Caller) -> bool:
    """Return whether the caller may answer requests at all."""
    return caller.may.permits(Permission.APPROVE)


def works_for(ctx: Context, row: AskRow, name: str) -> bool:
    """Return whether the run of a request is on behalf of the person called *name*.

    That is not known of a run that the server has not received, or that does not say it.
    """
    person = hash_of_on_behalf_of(name)
    runs = ctx.tx.runs_of_keys(row.account_id, [row.run])
    return any(
        ctx.tx.is_on_behalf_of(run_id, person)
        for _, agent_id, run_id in runs
        if row.agent_id in {None, agent_id}
    )


def answerer(ctx: Context) -> tuple[str, str]:
    """Return the name of the caller, and how the caller signed in."""
    caller = ctx.caller
    token = None
    if caller.token_id is not None:
        token = ctx.tx.row(TokenRow, caller.account_id, caller.token_id)
    if token is None:
        how = "web UI, one-time link" if caller.in_session else "command, with the database"
        return "the operator", how
    how = "web UI, session of a token" if caller.in_session else "API, token"
    return token.name or token.id, how


def list_asks(ctx: Context, query: AsksQuery) -> dict[str, object]:
    """Return a page of requests, the newest first."""
    where = seen(ctx.caller)
    if query.status is not None:
        add_status(where, query.status, ctx.now_us)
    where.add_known("run = ?", query.run)
    where.add_known("id < ?", query.before)
    rows = ctx.tx.asks(where, query.limit + 1)
    shown = rows[: query.limit]
    return {
        "status": "success",
        "asks": views(ctx, shown),
        "waiting": count_waiting(ctx),
        "next": shown[-1].id if len(rows) > query.limit else None,
    }


def count_waiting(ctx: Context) -> int:
    """Return the number of requests that wait for an answer."""
    where = seen(ctx.caller)
    add_status(where, WAITING, ctx.now_us)
    return ctx.tx.count_asks(where)


def seen(caller: Caller) -> Where:
    """Return the condition on the requests that a caller sees."""
    where = Where()
    where.add("account_id = ?", caller.account_id)
    where.add_known("agent_id = ?", caller.agent_id)
    where.add_known("environment_id = ?", caller.environment_id)
    return where


def add_status(where: Where, status: str, now_us: int) -> None:
    """Add the condition that requests have a status now."""
    if status == WAITING:
        where.add("status = 'waiting'")
        where.add("expires_at > ?", now_us)
    elif status == EXPIRED:
        where.add("(status = 'expired' OR (status = 'waiting' AND expires_at <= ?))", now_us)
    else:
        where.add("status = ?", status)


def status_of(row: AskRow | RunRequest, now_us: int) -> str:
    """Return the status of a request at a time of the server."""
    return EXPIRED if row.status == WAITING and row.expires_at <= now_us else row.status


def view(ctx: Context, row: AskRow) -> dict[str, Any]:
    """Return a request in full."""
    return views(ctx, [row])[0]


def views(ctx: Context, rows: Sequence[AskRow]) -> list[dict[str, Any]]:
    """Return requests in full."""
    account_id = ctx.caller.account_id
    runs = ctx.tx.runs_of_keys(account_id, {row.run for row in rows})
    used = ctx.tx.used_seals(account_id, {row.id for row in rows})
    late: dict[str, list[LateAnswerRow]] = {}
    for each in ctx.tx.late_answers({row.id for row in rows}):
        late.setdefault(each.ask_id, []).append(each)
    agent_ids = {row.agent_id for row in rows if row.agent_id is not None}
    agents = {agent_id: ctx.tx.agent(account_id, agent_id) for agent_id in agent_ids}
    names = names_of_agents(ctx.tx, {run_id for _, _, run_id in runs})
    found: list[dict[str, Any]] = []
    for row in rows:
        agent, run_id = agents.get(row.agent_id or ""), _run_id(row, runs)
        seal = used.get(row.id)
        found.append(
            {
                **state_view(ctx, row),
                "run_id": run_id,
                "agent": {
                    "id": row.agent_id,
                    "name": names.get(run_id or "", row.agent if agent is None else agent.name),
                },
                "step": row.step,
                "words": msgspec.json.decode(row.words),
                "arguments": msgspec.json.decode(row.arguments),
                "hidden": msgspec.json.decode(row.hidden),
                "unbound": msgspec.json.decode(row.unbound),
                "seal": row.seal,
                "after": row.after,
                "changed": msgspec.json.decode(row.changed),
                "asked_at": format_us(row.asked_at),
                "withdrawn_at": time_view(row.answered_at) if row.status == WITHDRAWN else None,
                "used_at": time_view(None if seal is None else seal.used_at),
                "answer": _first_answer(row),
                "late_answers": [_late_view(each) for each in late.get(row.id, ())],
            }
        )
    return found


def _first_answer(row: AskRow) -> dict[str, object] | None:
    if row.status not in {APPROVED, REFUSED}:
        return None
    return {
        "answer": row.status,
        "by": row.answered_by,
        "how": row.answered_how,
        "why": row.why,
        "at": time_view(row.answered_at),
    }


def _late_view(row: LateAnswerRow) -> dict[str, object]:
    return {
        "answer": row.answer,
        "by": row.answered_by,
        "how": row.answered_how,
        "why": row.why,
        "at": format_us(row.answered_at),
    }


def _sees(caller: Caller, row: AskRow) -> bool:
    return (
        row.account_id == caller.account_id
        and caller.agent_id in {None, row.agent_id}
        and caller.environment_id in {None, row.environment_id}
    )


def _tokens_above(ctx: Context) -> set[str]:
    """Return the caller's token and the tokens with which it was created, directly or not."""
    above: set[str] = set()
    token_id = ctx.caller.token_id
    while token_id is not None and token_id not in above:
        above.add(token_id)
        token = ctx.tx.row(TokenRow, ctx.caller.account_id, token_id)
        token_id = None if token is None else token.made_by
    return above


def _check(request: AskForCreate) -> None:
    for field in ("run", "ticket", "seal"):
        _check_short(field, getattr(request, field))
    for field in ("agent", "step"):
        check_name(field, getattr(request, field))
    wrong = next((word for word in request.words if word not in ACTIONS), None)
    if wrong is not None or not request.words:
        raise invalid_field("words", f"must be one or several of {', '.join(ACTIONS)}")
    if not 0 < request.time_limit_s <= MAX_TIME_LIMIT_S:
        raise invalid_field("time_limit_s", f"must be above 0 and at most {MAX_TIME_LIMIT_S}")


def _check_short(field: str, text: str | None) -> None:
    if text is None:
        return
    check_name(field, text)
    if len(text) > MAX_KEY_CHARS:
        raise invalid_field(field, f"must have at most {MAX_KEY_CHARS} characters")


def _values_of(request: AskForCreate) -> dict[str, str]:
    """Return the fields that are stored as JSON."""
    words = [word for word in ACTIONS if word in request.words]
    fields: dict[str, object] = {
        "words": words,
        "arguments": request.arguments,
        "hidden": request.hidden,
        "unbound": request.unbound,
        "changed": request.changed,
    }
    encoded = {name: encode(value) for name, value in fields.items()}
    length = sum(map(len, encoded.values()))
    if length > MAX_VALUES_BYTES:
        raise too_large(
            f"the arguments and their names have {length} bytes, and at most {MAX_VALUES_BYTES} "
            "are allowed"
        )
    return {name: value.decode() for name, value in encoded.items()}


def _before(ctx: Context, request: AskForCreate) -> str | None:
    """Return the id of the request that this one replaces, if it is one of the run."""
    if request.after is None:
        return None
    before = ctx.tx.ask_of_ticket(ctx.caller.account_id, request.run, request.after)
    if before is None or not _sees(ctx.caller, before):
        raise invalid_field("after", "must be the ticket of an earlier request of the same run")
    return before.id


def _run_of(ctx: Context, request: AskForCreate) -> RunRow | None:
    """Return the newest run with the key that the caller sees, locked; None if there is none."""
    known = ctx.tx.runs_of_keys(ctx.caller.account_id, [request.run])
    rows = ctx.tx.runs(ctx.caller.account_id, [run_id for _, _, run_id in known])
    seen_rows = [row for row in rows.values() if ctx.caller.sees(row)]
    return max(seen_rows, key=lambda row: row.id, default=None)


def _agent_id(ctx: Context, request: AskForCreate, run: RunRow | None) -> str | None:
    if run is not None:
        return run.agent_id
    agent = ctx.tx.agent_of_identifier(ctx.caller.account_id, request.agent)
    return None if agent is None else agent.id


def _environment_id(ctx: Context, request: AskForCreate, run: RunRow | None) -> str:
    """Return the environment of *run*; of an unknown run, that which its registration will get."""
    if run is not None:
        return run.environment_id
    agent = ctx.tx.agent_of_identifier(ctx.caller.account_id, request.agent)
    return environment_for(ctx, request.environment_id, agent)


def _run_id(row: AskRow, runs: Iterable[tuple[str, str, str]]) -> str | None:
    ids = {agent_id: run_id for key, agent_id, run_id in runs if key == row.run}
    if row.agent_id is not None:
        return ids.get(row.agent_id)
    return next(iter(ids.values()), None)
