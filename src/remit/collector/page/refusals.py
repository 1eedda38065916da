"""What the policy refused, what exceeded a remit, what was terminated, what is not as declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from remit.collector.domain import Context
from remit.collector.domain.params import instance_of
from remit.collector.page.declared import Declaration, Declared, declaration_of, is_named
from remit.collector.page.formats import short_name
from remit.collector.page.payload_tree import items, members
from remit.collector.page.sides import Sides, clashes_in, sides_of, summary_of, verdict_of
from remit.collector.page.visits import Api
from remit.collector.store import AgentRow, SchemaVersionRow, VersionRow
from remit.collector.validation import KEY

MOST_CASES: Final = 50
"""Most cases on a page."""
DENIED: Final = "denied"
BEYOND: Final = "beyond"
INVALID: Final = "invalid"
TERMINATED: Final = "terminated"
KINDS: Final = {
    DENIED: "refused",
    BEYOND: "beyond",
    TERMINATED: "terminated",
    INVALID: "not as declared",
}
"""Words of the API for the kinds, and as a reader sees them."""
_MOST_CHARS: Final = 300
_PAGE: Final = 100
"""Runs or spans that one question asks for."""


class Case(NamedTuple):
    """One case in the list.

    Attributes:
        kind: A key of `KINDS`.
        at: When.
        agent_id: The agent.
        agent: Its name.
        run_id: The run.
        span_id: The span; None for a terminated run.
        step: The name of the step; empty for a terminated run.
        text: What happened, after the name of the step.
    """

    kind: str
    at: str
    agent_id: str
    agent: str
    run_id: str
    span_id: str | None
    step: str
    text: str


class Detail(NamedTuple):
    """One case whole.

    Attributes:
        case: The case.
        version: The version of the agent.
        schema_name: The span type.
        setting: The setting of `on_violation`, as far as the record tells it.
        verdict: What contradicts, in words.
        sentences: The sentences of the policy.
        sides: Both declarations; None if they contradict nowhere.
        agent_said: The agent that ruled it out.
        told: What the model was told; None if it was told nothing.
        differences: How the span differs from its declaration.
        closed: Whether its class or article 9 keeps the differences from being shown.
    """

    case: Case
    version: str | None
    schema_name: str
    setting: str | None
    verdict: str
    sentences: Sequence[str]
    sides: Sides | None
    agent_said: str
    told: str | None
    differences: Sequence[str]
    closed: bool


class _Registered(NamedTuple):
    """What a run was registered with: its agent, version and span types."""

    agent: AgentRow | None
    version: str | None
    span_types: str | None

    def declaration(self, identifier: str | None) -> Declaration:
        """Return the declaration of the agent with an external identifier."""
        name = None if self.agent is None else self.agent.name
        return declaration_of(self.span_types, identifier, name)

    def remit(self, identifier: str) -> Declared | None:
        """Return the span type of the agent that ruled a step out, if it is declared."""
        own = self.declaration(identifier).own
        is_agent = self.agent is not None and self.agent.external_identifier == identifier
        return own if own is not None and (is_agent or is_named(own, identifier)) else None


def listed(
    api: Api,
    names: Mapping[str, str],
    wanted: Mapping[str, str | None],
    kind: str,
    most: int = MOST_CASES,
) -> tuple[list[Case], bool]:
    """Return the newest cases, and whether there are older ones.

    Args:
        api: The API.
        names: The names of the agents.
        wanted: Agent and time, as the API reads them.
        kind: Only this kind; empty for all.
        most: The largest number of cases.
    """
    kinds = [kind] if kind else list(KINDS)
    records: list[tuple[str, str, dict[str, Any]]] = []
    for name in kinds:
        if name == TERMINATED:
            runs = _newest(api, "runs", {**wanted, "status": TERMINATED}, most + 1)
            records += [(run["finished_at"] or run["updated_at"], name, run) for run in runs]
        else:
            spans = _newest(api, "spans", {**wanted, "flag": name}, most + 1)
            records += [(span["started_at"] or span["inserted_at"], name, span) for span in spans]
    records.sort(key=lambda record: record[0], reverse=True)
    return [_case(api, names, *record) for record in records[:most]], len(records) > most


def _newest(
    api: Api, what: str, wanted: Mapping[str, str | None], most: int
) -> list[dict[str, Any]]:
    """Return the newest runs or spans, up to a number, in pages of the API."""
    records: list[dict[str, Any]] = []
    before: str | None = None
    while len(records) < most:
        limit = str(min(most - len(records), _PAGE))
        answer = api.get(f"/api/remit/v1/{what}", **wanted, limit=limit, before=before)
        records += answer[what]
        before = answer["next"]
        if before is None:
            break
    return records


def _case(
    api: Api, names: Mapping[str, str], at: str, kind: str, record: Mapping[str, Any]
) -> Case:
    agent_id = str(record["agent_id"])
    agent = names.get(agent_id, agent_id)
    if kind == TERMINATED:
        reason = str(record["termination_reason"] or "")
        text = f"“{reason[:_MOST_CHARS]}”" if reason else "no reason was given"
        return Case(kind, at, agent_id, agent, str(record["id"]), None, "", text)
    span = api.get(f"/api/v1/agent_spans/{record['id']}")["details"]
    return _span_case(span, kind, agent, at)


def _span_case(span: Mapping[str, Any], kind: str, agent: str, at: str) -> Case:
    step = short_name(span["schema_name"])
    text = _text(span, kind, agent)
    run_id = span["agent_instance_id"]
    return Case(kind, at, span["agent_id"], agent, run_id, span["id"], step, text)


def _text(span: Mapping[str, Any], kind: str, agent: str) -> str:
    if kind == INVALID:
        sides = sorted({_side(difference) for difference in span["schema_errors"]})
        return f"{' and '.join(sides) or 'what is recorded'} is not as declared"
    sentences = _sentences(span, kind)
    clashes = clashes_in(sentences)
    if clashes:
        text = summary_of(clashes[0], agent=agent)
    elif sentences:
        text = sentences[0][:_MOST_CHARS]
    else:
        text = "exceeds the remit of the agent; why is not kept any more"
    return f"{text}. It ran: observe" if kind == BEYOND else text


def _side(difference: str) -> str:
    return "what came out" if difference.startswith("result_payload") else "what went in"


def _sentences(span: Mapping[str, Any], kind: str) -> list[str]:
    """Return the sentences of the policy in the payloads of a span."""
    if kind == DENIED:
        sentences = _error(span).get("violations")
    else:
        sentences = members(members(span["payload"]).get(KEY)).get("exceeds")
    return [sentence for sentence in items(sentences) if isinstance(sentence, str)]


def _error(span: Mapping[str, Any]) -> dict[str, Any]:
    return members(members(span["result_payload"]).get("error"))


def detail(api: Api, names: Mapping[str, str], span_id: str, kind: str | None) -> Detail:
    """Return a case whole.

    Args:
        api: The API.
        names: The names of the agents.
        span_id: The span.
        kind: Its kind; None finds it.

    Raises:
        RequestError: 404, there is no such span.
    """
    span = api.get(f"/api/v1/agent_spans/{span_id}")["details"]
    kind = kind or _kind_of(span)
    agent = names.get(span["agent_id"], span["agent_id"])
    registered = api.read(lambda ctx: _registered(ctx, span["agent_instance_id"]))
    case = _span_case(span, kind, agent, span["started_at"] or span["inserted_at"])
    sentences = [] if kind == INVALID else _sentences(span, kind)
    clashes = clashes_in(sentences)
    step = registered.declaration(None).named(span["schema_name"])
    told = _error(span).get("message")
    closed = step is not None and step.is_closed
    return Detail(
        case=case,
        version=registered.version,
        schema_name=span["schema_name"],
        setting={DENIED: "deny", BEYOND: "observe"}.get(kind),
        verdict=verdict_of(clashes),
        sentences=sentences,
        sides=sides_of(step, registered.remit(clashes[0].agent), clashes) if clashes else None,
        agent_said=clashes[0].agent if clashes else "",
        told=told if kind == DENIED and isinstance(told, str) else None,
        differences=[] if closed or kind != INVALID else span["schema_errors"],
        closed=closed and kind == INVALID,
    )


def _kind_of(span: Mapping[str, Any]) -> str:
    for kind in (DENIED, BEYOND):
        if _sentences(span, kind):
            return kind
    return INVALID


def _registered(ctx: Context, run_id: str) -> _Registered:
    run = instance_of(ctx, run_id)
    account_id = ctx.caller.account_id
    schema = ctx.tx.row(SchemaVersionRow, account_id, run.agent_schema_version_id)
    version = ctx.tx.row(VersionRow, account_id, run.agent_version_id)
    return _Registered(
        ctx.tx.agent(account_id, run.agent_id),
        None if version is None else version.external_identifier,
        None if schema is None else schema.span_type_schemas,
    )
