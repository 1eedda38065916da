"""Risk of agents and runs, declared and recorded; and an agent's declarations in words.

The numbers of an agent are sums of the counts by hour and day; those of a run are counted.

The words are those of docs/reference/data-risk.md, the markers those of docs/reference/payloads.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, cast

from remit._policy.words import ACTION, CATEGORIES, Words, most_sensitive
from remit.collector.domain.context import Context
from remit.collector.domain.declared import Declared, declaration_of
from remit.collector.domain.findings import Findings
from remit.collector.domain.params import Instant, Query, agent_of, run_of
from remit.collector.json_io import read_json
from remit.collector.store.counts import HOURS_PER_DAY, US_PER_HOUR
from remit.collector.store.filters import Page, SpanFilter, TypeCounts
from remit.collector.store.questions.run_lists import names_of_agents
from remit.collector.store.questions.versions import newest_declarations
from remit.collector.store.rows import (
    DENIED,
    NO_REPR,
    REDACTED,
    VIOLATION,
    AgentRow,
    RunRow,
    SchemaVersionRow,
    VersionRow,
)
from remit.collector.store.transaction import Transaction
from remit.collector.times import FIRST_US, US_PER_S, format_us
from remit.collector.validation.declarations import read_span_types
from remit.models.risk import Denied, Observed, Risk, SchemaFindings, SpanTypeRisk

DEFAULT_WINDOW_US: Final = 30 * 24 * 3600 * US_PER_S
"""Without a start, an agent's risk is that of the last thirty days."""
MOST_TERMINATED: Final = 1000
MOST_REASONS: Final = 20
MOST_SENTENCES: Final = 1000
MOST_SPANS: Final = 10_000
"""Maximum number of spans of a run whose payloads are read, the newest."""
MOST_CHARS: Final = 64 * 1024 * 1024
"""Maximum number of characters of their payloads; reading them takes a quarter of a second."""
PAGE_SPANS: Final = 1000
PAGE_CHARS: Final = 8 * 1024 * 1024
"""Maximum number of spans and characters that are read at once."""


class RiskQuery(Query):
    """Period of an agent's risk."""

    start_time: Instant = None
    end_time: Instant = None


def of_run(ctx: Context, run_id: str) -> dict[str, object]:
    """Return the declared and recorded risk of a run."""
    run = run_of(ctx, run_id)
    return risk_of_run(ctx.tx, run).model_dump(mode="json")


def of_agent(ctx: Context, agent_id: str, query: RiskQuery) -> dict[str, object]:
    """Return the risk of an agent's spans in a period, which is extended to whole hours."""
    agent = agent_of(ctx, agent_id)
    end_us = ctx.now_us if query.end_time is None else query.end_time
    start_us = query.start_time
    if start_us is None:
        start_us = max(FIRST_US, end_us - DEFAULT_WINDOW_US)
    hours = start_us // US_PER_HOUR, end_us // US_PER_HOUR + 1
    days = hours[0] // HOURS_PER_DAY, -(-hours[1] // HOURS_PER_DAY)
    environment_id = ctx.caller.environment_id
    tx = ctx.tx

    def sentences(kind: int) -> dict[str, int]:
        return tx.sentences(
            kind,
            agent_id=agent.id,
            environment_id=environment_id,
            period_us=(hours[0] * US_PER_HOUR, hours[1] * US_PER_HOUR - 1),
            most=MOST_SENTENCES,
        )

    risk = _risk(
        agent.id,
        tx.types_of_agent(agent.id, environment_id, hours),
        _terminated(ctx, agent.id, start_us, end_us),
        denied=sentences(DENIED),
        observed=sentences(VIOLATION),
        redacted=tx.redacted(agent.id, environment_id, days),
    )
    risk.start_time, risk.end_time = format_us(start_us), format_us(end_us)
    return risk.model_dump(mode="json")


def risk_of_run(tx: Transaction, run: RunRow) -> Risk:
    """Return the risk of one run."""
    types = tx.types_in_run(run.id)
    # To look for such spans takes time in a long run.
    some_redacted = run.flags & (REDACTED | NO_REPR)
    redacted, complete = _redacted_in(tx, run) if some_redacted else ({}, True)
    risk = _risk(
        run.agent_id,
        types,
        [run] if run.status == "terminated" else [],
        denied=tx.sentences(DENIED, run_id=run.id, most=MOST_SENTENCES),
        observed=tx.sentences(VIOLATION, run_id=run.id, most=MOST_SENTENCES),
        redacted=redacted,
    )
    risk.agent_instance_id, risk.complete = run.id, complete
    return risk


def _terminated(ctx: Context, agent_id: str, start_us: int, end_us: int) -> list[RunRow]:
    rows = ctx.tx.newest_terminated(agent_id, ctx.caller.environment_id, MOST_TERMINATED)
    within = [row for row in rows if start_us <= (row.finished_at or row.updated_at) <= end_us]
    return sorted(within, key=lambda row: row.finished_at or row.updated_at, reverse=True)


def _risk(
    agent_id: str,
    types: Sequence[TypeCounts],
    terminated: Sequence[RunRow],
    *,
    denied: dict[str, int],
    observed: dict[str, int],
    redacted: dict[str, int],
) -> Risk:
    by_type = _by_type(types)
    reasons = [row.termination_reason for row in terminated if row.termination_reason]
    return Risk(
        agent_id=agent_id,
        spans=sum(each.spans for each in types),
        allows=_counts((one.allows, one.spans) for one in by_type),
        takes=_counts((one.takes, one.spans) for one in by_type),
        gives=_counts((one.gives, one.spans) for one in by_type),
        classification=most_sensitive([one.classification for one in by_type]),
        span_types=by_type,
        denied=Denied(
            spans=sum(each.denied for each in types),
            violations=denied,
            terminated_runs=len(terminated),
            termination_reasons=reasons[:MOST_REASONS],
        ),
        observed=Observed(spans=sum(each.violation for each in types), violations=observed),
        redacted=redacted,
        schema_findings=SchemaFindings(
            invalid=sum(each.invalid for each in types),
            undeclared=sum(each.undeclared for each in types),
            unchecked=sum(each.unchecked for each in types),
        ),
        complete=True,
    )


def _by_type(types: Sequence[TypeCounts]) -> list[SpanTypeRisk]:
    """Return the span types by name; several declarations of one are taken together."""
    known: dict[str, SpanTypeRisk] = {}
    for counts in sorted(types, key=lambda each: not each.declared):
        declared = _declared(counts)
        one = known.setdefault(counts.name, declared)
        if counts.declared and one is not declared:
            _widen(one, declared)
        one.spans += counts.spans
        one.failed += counts.failed
    return [known[name] for name in sorted(known)]


def _declared(counts: TypeCounts) -> SpanTypeRisk:
    text = counts.data_risk
    declared = Declared(counts.name, data_risk=None if text is None else read_json(text))
    return SpanTypeRisk(
        schema_name=counts.name,
        schema_title=counts.title,
        declared=counts.declared,
        spans=0,
        failed=0,
        allows=sorted(declared.allowed),
        forbids=sorted(limit.name for limit in declared.limits if limit.part == ACTION),
        takes=sorted(declared.takes),
        gives=sorted(declared.gives),
        excludes=sorted(filter(declared.excludes, CATEGORIES)),
        classification=declared.classification,
    )


def _widen(one: SpanTypeRisk, other: SpanTypeRisk) -> None:
    """Merge another version of the same type into *one*: allowed by one of them is allowed."""
    one.declared = True
    for name in ("allows", "takes", "gives"):
        setattr(one, name, sorted({*getattr(one, name), *getattr(other, name)}))
    one.forbids = sorted({*one.forbids, *other.forbids} - {*one.allows})
    one.excludes = sorted({*one.excludes, *other.excludes} - {*one.takes, *one.gives})
    one.classification = most_sensitive([one.classification, other.classification])


def _counts(words: Iterator[tuple[list[str], int]]) -> dict[str, int]:
    counts = Counter[str]()
    for some, spans in words:
        for each in some:
            counts[each] += spans
    return dict(counts.most_common())


def _redacted_in(tx: Transaction, run: RunRow) -> tuple[dict[str, int], bool]:
    """Return how often each rule redacted a value in a run, and whether all spans were read."""
    rules = Counter[str]()
    spans = chars = 0
    wanted = SpanFilter(agent_instance_id=run.id, flags=REDACTED | NO_REPR)
    while spans < MOST_SPANS and chars < MOST_CHARS:
        # A span may be as long as a request, so they are read in pages.
        page = Page(spans, min(PAGE_SPANS, MOST_SPANS - spans), "id", descending=True)
        listed = tx.list_spans(wanted, page, most_chars=min(PAGE_CHARS, MOST_CHARS - chars))
        for row in listed.rows:
            findings = Findings()
            findings.take_payload(_object(row.payload))
            findings.take_result(_object(row.result_payload), failed=False, held=True)
            rules.update(findings.rules)
            chars += len(row.payload) + len(row.result_payload or "")
        spans += len(listed.rows)
        if not listed.rows or spans >= listed.total:
            return dict(rules.most_common()), True
    return dict(rules.most_common()), False


def _object(text: str | None) -> dict[str, object]:
    return cast("dict[str, object]", read_json(text)) if text else {}


# Declarations


def declared_risk(ctx: Context, agent: AgentRow) -> Words:
    """Return the risk that the newest schema version of an agent declares.

    What the agent forbids or excludes, it may not. Any other action is allowed if it or one of its
    steps may take it, and disallowed if none of its steps may. The same holds for categories of
    data; the highest sensitivity wins.
    """
    declared = newest_declarations(ctx.tx, [agent.id]).get(agent.id)
    return declaration_of(declared, agent.external_identifier, agent.name).effective.words


def agent_context(ctx: Context, run_id: str) -> dict[str, object]:
    """Return a description of a run's agent, for a language model."""
    body = "\n".join(_lines(ctx, run_of(ctx, run_id)))
    return {"status": "success", "agent_context": {"body": body}}


def span_type_names(ctx: Context, schema_version_id: str) -> list[str]:
    """Return the names of the span types of a schema version."""
    row = ctx.tx.row(SchemaVersionRow, ctx.caller.account_id, schema_version_id)
    return [] if row is None else [one.name for one in read_span_types(row.span_type_schemas)]


def _lines(ctx: Context, run: RunRow) -> Iterator[str]:
    tx, account_id = ctx.tx, run.account_id
    agent = tx.agent(account_id, run.agent_id)
    version = tx.row(VersionRow, account_id, run.agent_version_id)
    schema = tx.row(SchemaVersionRow, account_id, run.agent_schema_version_id)
    if agent is not None:
        yield f"# {names_of_agents(tx, [run.id]).get(run.id, agent.name)}"
        yield from ("", agent.description) if agent.description else ()
    if version is not None:
        named = version.name or version.external_identifier or version.id
        yield from ("", f"Version: {named}")
        yield from ("", version.description) if version.description else ()
    types = [] if schema is None else read_span_types(schema.span_type_schemas)
    if types:
        yield from ("", "## Span types", "")
    for one in types:
        title = f" ({one.title})" if one.title else ""
        description = f": {one.description}" if one.description else ""
        yield f"- `{one.name}`{title}{description}"
