"""Denied steps, violations, terminated runs, and steps that are not as declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from remit._policy.violations import denied_by, violations_in
from remit.collector.domain.context import Context
from remit.collector.domain.declared import Declaration, Declared, declaration_of, is_named
from remit.collector.errors import invalid_field
from remit.collector.page.formats import listed as listed_words
from remit.collector.page.formats import short_name, words
from remit.collector.page.marks import MARKS
from remit.collector.page.payload_tree import members
from remit.collector.page.scope import run_in
from remit.collector.page.sides import (
    Sides,
    held_in,
    held_reason,
    of_one_agent,
    reason_of,
    sides_of,
    summary_of,
    to_model,
)
from remit.collector.page.visits import Api
from remit.collector.store.ids import ms_of
from remit.collector.store.questions.run_lists import names_of_agents
from remit.collector.store.questions.span_lists import Position
from remit.collector.store.rows import SchemaVersionRow, VersionRow
from remit.collector.times import LAST_US, format_us, parse_us
from remit.errors import Violation

MOST_CASES: Final = 50
"""Most cases on a page."""
DENIED: Final = "denied"
VIOLATION: Final = "violation"
INVALID: Final = "invalid"
TERMINATED: Final = "terminated"
KINDS: Final = {
    name: MARKS[name].words if name in MARKS else name
    for name in (DENIED, VIOLATION, TERMINATED, INVALID)
}
"""Words of the API for the kinds, and as a reader sees them."""
_MOST_CHARS: Final = 300
_PAGE: Final = 100
"""Runs or spans that one question asks for."""


class Case(NamedTuple):
    """One case in the list.

    Attributes:
        kind: A key of `KINDS`.
        at: When the step began, or the run was registered.
        span_id: The span; None for a terminated run.
        step: The name of the step; empty for a terminated run.
        ended: When the run was terminated; None for a span.
    """

    kind: str
    at: str
    agent_id: str
    agent: str
    run_id: str
    span_id: str | None
    step: str
    text: str
    ended: str | None = None


class Cases(NamedTuple):
    """Cases of a page, the newest first, and where the next page begins; None on the last one."""

    cases: Sequence[Case]
    next: str | None


class Detail(NamedTuple):
    """One case whole.

    Attributes:
        setting: The setting of `on_violation`, as far as it is known.
        reason: How the step violates the words of its agent.
        sides: Both declarations; None if no violation names a word.
        agent_said: The agent whose remit it violates.
        message: The message to the model; None without one.
        hidden: Whether its class or article 9 keeps the differences from being shown.
    """

    case: Case
    version: str | None
    schema_name: str
    setting: str | None
    reason: str
    violations: Sequence[Violation]
    sides: Sides | None
    agent_said: str
    message: str | None
    differences: Sequence[str]
    hidden: bool


class _Registered(NamedTuple):
    """Agent, version and span types of a run."""

    identifier: str | None
    name: str
    version: str | None
    span_types: str | None

    def declaration(self, identifier: str | None) -> Declaration:
        """Return the declaration of the agent with an external identifier."""
        return declaration_of(self.span_types, identifier, self.name)

    def remit(self, identifier: str) -> Declared | None:
        """Return the span type of the agent that ruled a step out, if it is declared."""
        own = self.declaration(identifier).own
        is_agent = identifier == self.identifier or (own is not None and is_named(own, identifier))
        return own if is_agent else None


class _Record(NamedTuple):
    """A span or a run of a case, with its place in the list.

    Attributes:
        kind: A key of `KINDS`.
        at_us: When the span began, or the run was registered: the lists of the API have this order.
    """

    kind: str
    at_us: int
    fields: Mapping[str, Any]

    @property
    def run_id(self) -> str:
        """The id of its run."""
        return str(self.fields["id" if self.kind == TERMINATED else "agent_instance_id"])

    @property
    def key(self) -> tuple[int, bool, str]:
        """What the list is sorted by, backwards; runs come before spans of the same time."""
        return self.at_us, self.kind == TERMINATED, self.fields["id"]

    @property
    def place(self) -> str:
        """Its place, after which a page begins: a position in the list of runs, or of spans."""
        record_id = str(self.fields["id"])
        return record_id if self.kind == TERMINATED else f"{self.at_us}-{record_id}"


def listed(
    api: Api,
    wanted: Mapping[str, str | None],
    kind: str,
    most: int,
    before: str = "",
) -> Cases:
    """Return the newest cases.

    Args:
        wanted: Agent and time, as the API reads them.
        kind: Only this kind; empty for all.
        most: The largest number of cases; a span that is several cases may exceed it.
        before: The `next` of a page, after which this one begins; empty for the first page.

    Raises:
        RequestError: 422, *before* is not the `next` of a page.
    """
    of_runs, of_spans = _after(before)
    records: list[_Record] = []
    for name in [kind] if kind else KINDS:
        if name == TERMINATED:
            runs = _newest(api, "runs", {**wanted, "status": name, **of_runs}, most + 1)
            records += [_Record(name, ms_of(run["id"]) * 1000, run) for run in runs]
        else:
            spans = _newest(api, "spans", {**wanted, "flag": name, **of_spans}, most + 1)
            records += [_Record(name, _began_us(span), span) for span in spans]
    records.sort(key=lambda record: record.key, reverse=True)
    shown = records[:most]
    # A position does not tell the cases of one span apart: they stay together.
    shown += [record for record in records[most:] if record.place == shown[-1].place]
    has_more = len(records) > len(shown)
    names = api.read(lambda ctx: names_of_agents(ctx.tx, {record.run_id for record in shown}))
    return Cases(
        [_case(api, names.get(record.run_id, ""), record) for record in shown],
        shown[-1].place if has_more else None,
    )


def _after(place: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return where the lists of runs and of spans go on after a place in the list of cases."""
    if not place:
        return {}, {}
    position = Position.parse(place)
    if position is None or (position.started_at or 0) > LAST_US:
        raise invalid_field("before", "must be the value from a link to older entries")
    if position.started_at is not None:
        # Only whole milliseconds of an id are known: runs of this time came before.
        until_us = -(-position.started_at // 1000) * 1000
        return {"until": format_us(until_us)}, {"before": place}
    return {"before": place}, {"until": format_us(ms_of(place) * 1000 + 1)}


def _newest(
    api: Api, what: str, query: Mapping[str, str | None], most: int
) -> list[dict[str, Any]]:
    """Return the newest runs or spans, up to a number."""
    pages = api.pages(f"/api/remit/v1/{what}", **{**query, "limit": str(min(most, _PAGE))})
    return list(islice((record for page in pages for record in page[what]), most))


def _case(api: Api, agent: str, record: _Record) -> Case:
    fields = record.fields
    if record.kind != TERMINATED:
        span = api.get(f"/api/v1/agent_spans/{fields['id']}")["details"]
        return _span_case(span, record.kind, agent)
    reason = str(fields["termination_reason"] or "")
    text = f"“{reason[:_MOST_CHARS]}”" if reason else "no reason was given"
    ended = fields["finished_at"] or fields["updated_at"]
    at, agent_id = format_us(record.at_us), str(fields["agent_id"])
    return Case(record.kind, at, agent_id, agent, record.run_id, None, "", text, ended)


def _began_us(span: Mapping[str, Any]) -> int:
    """Return when a span began, or was sent while it waits: the lists have this order."""
    return parse_us(span["started_at"] or span["inserted_at"])


def _span_case(span: Mapping[str, Any], kind: str, agent: str) -> Case:
    at = span["started_at"] or span["inserted_at"]
    step = short_name(span["schema_name"])
    text = _text(span, kind, agent)
    run_id = span["agent_instance_id"]
    return Case(kind, at, span["agent_id"], agent, run_id, span["id"], step, text)


def _text(span: Mapping[str, Any], kind: str, agent: str) -> str:
    if kind == INVALID:
        sides = sorted({_side(difference) for difference in span["schema_errors"]})
        are = "are" if len(sides) > 1 else "is"
        return f"{' and '.join(sides) or 'the recorded data'} {are} not as declared"
    violations = _violations(span, kind)
    named = of_one_agent(violations)
    if named:
        text = summary_of(named[0], agent=agent)
    elif held := held_in(violations):
        actions = dict.fromkeys(words(violation.name) for violation in held)
        text = f"denied by a hold on {listed_words(list(actions))}"
    elif violations:
        text = violations[0].sentence[:_MOST_CHARS]
    else:
        text = "violates the agent's remit; the violations are no longer kept"
    return f"{text}. It ran, because the setting is observe" if kind == VIOLATION else text


def _side(difference: str) -> str:
    return "the result" if difference.startswith("result_payload") else "the payload"


def _violations(span: Mapping[str, Any], kind: str) -> Sequence[Violation]:
    """Return the violations in the payloads of a span, as a case of this kind."""
    if kind == DENIED:
        return denied_by(members(span["result_payload"])) or ()
    return violations_in(members(span["payload"])) or () if kind == VIOLATION else ()


def detail(api: Api, span_id: str, kind: str | None) -> Detail:
    """Return a case with all details.

    Args:
        kind: Its kind; None finds it.

    Raises:
        RequestError: 404, the span does not exist.
    """
    span = api.get(f"/api/v1/agent_spans/{span_id}")["details"]
    kind = kind or _kind_of(span)
    registered = api.read(lambda ctx: _registered(ctx, span["agent_instance_id"]))
    case = _span_case(span, kind, registered.name)
    violations = _violations(span, kind)
    named = of_one_agent(violations)
    step = registered.declaration(None).named(span["schema_name"])
    message = members(members(span["result_payload"]).get("error")).get("message")
    hidden = step is not None and step.is_hidden
    return Detail(
        case=case,
        version=registered.version,
        schema_name=span["schema_name"],
        setting={DENIED: "deny", VIOLATION: "observe"}.get(kind) if named else None,
        reason=reason_of(named) or held_reason(violations),
        violations=violations,
        sides=sides_of(step, registered.remit(named[0].agent), named) if named else None,
        agent_said=named[0].agent if named else "",
        message=to_model(message) if kind == DENIED and isinstance(message, str) else None,
        differences=[] if hidden or kind != INVALID else span["schema_errors"],
        hidden=hidden and kind == INVALID,
    )


def _kind_of(span: Mapping[str, Any]) -> str:
    for kind in (DENIED, VIOLATION):
        if _violations(span, kind):
            return kind
    return INVALID


def _registered(ctx: Context, run_id: str) -> _Registered:
    run = run_in(ctx, run_id).row
    account_id = ctx.caller.account_id
    agent = ctx.tx.agent(account_id, run.agent_id)
    schema = ctx.tx.row(SchemaVersionRow, account_id, run.agent_schema_version_id)
    version = ctx.tx.row(VersionRow, account_id, run.agent_version_id)
    return _Registered(
        None if agent is None else agent.external_identifier,
        names_of_agents(ctx.tx, [run_id]).get(run_id, run.agent_id),
        None if version is None else version.external_identifier,
        None if schema is None else schema.span_type_schemas,
    )
