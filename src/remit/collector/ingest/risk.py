"""Risk: what spans were declared to do, and what was refused, exceeded or withheld.

Counting goes by kinds of spans, in the database; only those that are flagged are looked into.

The words are those of docs/reference/data-risk.md, the markers those of docs/reference/payloads.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, get_args

from remit.collector.ingest.context import Context
from remit.collector.ingest.flagged_spans import Marks, marks_in
from remit.collector.ingest.instances import instance_of
from remit.collector.ingest.resources import agent_of, required
from remit.collector.ingest.span_queries import window
from remit.collector.meaning import CompiledSpanType, Declarations
from remit.collector.store import (
    BAD_PAYLOAD,
    BAD_RESULT,
    MARKED,
    UNCHECKED_PAYLOAD,
    UNCHECKED_RESULT,
    UNDECLARED,
    InstanceRow,
    Page,
    Reading,
    SpanFilter,
    SpanKind,
)
from remit.collector.times import FIRST_US, US_PER_S, format_us
from remit.collector.views import success_answer
from remit.collector.wire import object_of
from remit.models.data_risk import Classification
from remit.models.risk import Exceeded, Refused, Risk, SchemaFindings, SpanTypeRisk

QUERY: Final = ("start_time", "end_time")
DEFAULT_WINDOW_US: Final = 30 * 24 * 3600 * US_PER_S
"""Without a start, an agent's risk is that of the last thirty days."""
MOST_TERMINATED: Final = 1000
MOST_REASONS: Final = 20
_CLASSES: Final = get_args(Classification)
_PARTS: Final = ("params_data_categories", "result_data_categories")


def of_instance(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Return the risk of an instance, as declared and as recorded."""
    del key
    instance = instance_of(ctx, object_of(params, ctx.settings.max_depth))
    return success_answer(risk_of_run(ctx.tx, ctx.declarations, instance).model_dump(mode="json"))


def of_agent(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Return the risk of all spans of an agent within a period."""
    del key
    values = object_of(params, ctx.settings.max_depth)
    agent = agent_of(ctx, required(values, "agent_id"))
    start_us, end_us = window(values)
    end_us = ctx.now_us if end_us is None else end_us
    if start_us is None:
        start_us = max(FIRST_US, end_us - DEFAULT_WINDOW_US)
    wanted = SpanFilter(
        account_id=ctx.caller.account_id,
        agent_id=agent.id,
        environment_id=ctx.caller.environment_id,
        started_from_us=start_us,
        started_to_us=end_us,
    )
    terminated = _terminated(ctx, agent.id, start_us, end_us)
    risk = _risk(ctx.tx, ctx.declarations, wanted, agent.id, terminated)
    risk.start_time, risk.end_time = format_us(start_us), format_us(end_us)
    return success_answer(risk.model_dump(mode="json"))


def risk_of_run(tx: Reading, declarations: Declarations, instance: InstanceRow) -> Risk:
    """Return the risk of one run."""
    wanted = SpanFilter(agent_instance_id=instance.id)
    terminated = [instance] if instance.status == "terminated" else []
    risk = _risk(tx, declarations, wanted, instance.agent_id, terminated)
    risk.agent_instance_id = instance.id
    return risk


def _terminated(ctx: Context, agent_id: str, start_us: int, end_us: int) -> list[InstanceRow]:
    equal = {"agent_id": agent_id, "status": "terminated"}
    if ctx.caller.environment_id is not None:
        equal["environment_id"] = ctx.caller.environment_id
    page = Page(0, MOST_TERMINATED, "finished_at", descending=True)
    rows = ctx.tx.list_instances(ctx.caller.account_id, equal, page).rows
    return [row for row in rows if start_us <= (row.finished_at or row.updated_at) <= end_us]


def _risk(
    tx: Reading,
    declarations: Declarations,
    wanted: SpanFilter,
    agent_id: str,
    terminated: Sequence[InstanceRow],
) -> Risk:
    kinds = tx.span_kinds(wanted)
    types = [
        (kind, declarations.of(tx, kind.agent_schema_version_id).types.get(kind.schema_name))
        for kind in kinds
    ]
    by_type = _by_type(types)
    marked = sum(kind.spans for kind in kinds if kind.flags & MARKED)
    found = marks_in(tx, replace(wanted, flags=MARKED)) if marked else Marks()
    return Risk(
        agent_id=agent_id,
        spans=sum(kind.spans for kind in kinds),
        allows=_counts((one.allows, one.spans) for one in by_type),
        takes=_counts((one.takes, one.spans) for one in by_type),
        gives=_counts((one.gives, one.spans) for one in by_type),
        classification=_closest([one.classification for one in by_type]),
        span_types=by_type,
        refused=_refused(found, terminated),
        exceeded=Exceeded(spans=found.exceeding, violations=dict(found.excesses.most_common())),
        withheld=dict(found.withheld.most_common()),
        schema_findings=SchemaFindings(
            invalid=_flagged(kinds, BAD_PAYLOAD | BAD_RESULT),
            undeclared=_flagged(kinds, UNDECLARED),
            unchecked=_flagged(kinds, UNCHECKED_PAYLOAD | UNCHECKED_RESULT),
        ),
        complete=found.spans >= marked,
    )


def _by_type(types: Sequence[tuple[SpanKind, CompiledSpanType | None]]) -> list[SpanTypeRisk]:
    """Return the span types by name; several versions of one are taken together."""
    found: dict[str, SpanTypeRisk] = {}
    for kind, declared in types:
        one = found.get(kind.schema_name)
        if one is None:
            one = found[kind.schema_name] = _declared(kind.schema_name, declared)
        elif declared is not None:
            _widen(one, _declared(kind.schema_name, declared))
        one.spans += kind.spans
        one.failed += kind.spans if kind.status == "failed" else 0
    return [found[name] for name in sorted(found)]


def _declared(name: str, declared: CompiledSpanType | None) -> SpanTypeRisk:
    risk = (declared.data_risk if declared is not None else None) or {}
    actions = risk.get("action_profile") or {}
    params, result = (risk.get(part) or {} for part in _PARTS)
    without = [word for word in _said(params, "excluded") if result.get(word) == "excluded"]
    return SpanTypeRisk(
        schema_name=name,
        schema_title=name if declared is None else declared.title,
        declared=declared is not None,
        spans=0,
        failed=0,
        allows=_said(actions, "allowed"),
        forbids=_said(actions, "disallowed"),
        takes=_said(params, "included"),
        gives=_said(result, "included"),
        excludes=without,
        classification=_closest([each.get("classification", "") for each in (params, result)]),
    )


def _widen(one: SpanTypeRisk, other: SpanTypeRisk) -> None:
    """Take into *one* what another version of the same type says: what one allows is allowed."""
    one.declared = True
    for name in ("allows", "takes", "gives"):
        setattr(one, name, sorted({*getattr(one, name), *getattr(other, name)}))
    one.forbids = sorted({*one.forbids, *other.forbids} - {*one.allows})
    one.excludes = sorted({*one.excludes, *other.excludes} - {*one.takes, *one.gives})
    one.classification = _closest([one.classification, other.classification])


def _said(words: Mapping[str, str], word: str) -> list[str]:
    return sorted(name for name, said in words.items() if said == word)


def _closest(classes: Sequence[str]) -> str:
    known = [_CLASSES.index(each) for each in classes if each in _CLASSES]
    return str(_CLASSES[max(known, default=0)])


def _counts(words: Iterator[tuple[list[str], int]]) -> dict[str, int]:
    counts = Counter[str]()
    for some, spans in words:
        for each in some:
            counts[each] += spans
    return dict(counts.most_common())


def _flagged(kinds: Sequence[SpanKind], flags: int) -> int:
    return sum(kind.spans for kind in kinds if kind.flags & flags)


def _refused(found: Marks, terminated: Sequence[InstanceRow]) -> Refused:
    reasons = [row.termination_reason for row in terminated if row.termination_reason]
    return Refused(
        spans=found.refused,
        violations=dict(found.violations.most_common()),
        terminated_runs=len(terminated),
        termination_reasons=reasons[:MOST_REASONS],
    )
