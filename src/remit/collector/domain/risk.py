"""Risk of agents and runs, declared and recorded; and an agent's declarations in words.

The database counts spans by kind; only flagged spans are read.

The words are those of docs/reference/data-risk.md, the markers those of docs/reference/payloads.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypedDict, cast, get_args

from remit.collector.domain.context import Context
from remit.collector.domain.params import Instant, Query, agent_of, instance_of
from remit.collector.json_io import read_json
from remit.collector.store import (
    BAD_PAYLOAD,
    BAD_RESULT,
    MARKED,
    UNCHECKED_PAYLOAD,
    UNCHECKED_RESULT,
    UNDECLARED,
    AgentRow,
    InstanceRow,
    Page,
    SchemaVersionRow,
    SpanFilter,
    SpanKind,
    SpanRow,
    Transaction,
    VersionRow,
)
from remit.collector.times import FIRST_US, US_PER_S, format_us
from remit.collector.validation import (
    KEY,
    WITHHELD,
    CompiledSpanType,
    Declarations,
    exceeded,
    markers_in,
)
from remit.models.data_risk import ActionProfile, Classification, DataCategories
from remit.models.risk import Exceeded, Refused, Risk, SchemaFindings, SpanTypeRisk

DEFAULT_WINDOW_US: Final = 30 * 24 * 3600 * US_PER_S
"""Without a start, an agent's risk is that of the last thirty days."""
MOST_TERMINATED: Final = 1000
MOST_REASONS: Final = 20
_CLASSES: Final = get_args(Classification)
_PARTS: Final = ("params_data_categories", "result_data_categories")
_NEWEST: Final = Page(0, 1, "id", descending=True)
MOST_SPANS: Final = 10_000
"""Maximum number of flagged spans that are read, the newest."""
MOST_CHARS: Final = 64 * 1024 * 1024
"""Maximum number of characters of their payloads; reading them takes a quarter of a second."""
PAGE_SPANS: Final = 1000
PAGE_CHARS: Final = 8 * 1024 * 1024
"""Maximum number of spans and characters that are read at once."""


class RiskQuery(Query):
    """Period of an agent's risk."""

    start_time: Instant = None
    end_time: Instant = None


def of_instance(ctx: Context, instance_id: str) -> dict[str, object]:
    """Return the risk of an instance, as declared and as recorded."""
    instance = instance_of(ctx, instance_id)
    return risk_of_run(ctx.tx, ctx.declarations, instance).model_dump(mode="json")


def of_agent(ctx: Context, agent_id: str, query: RiskQuery) -> dict[str, object]:
    """Return the risk of all spans of an agent within a period."""
    agent = agent_of(ctx, agent_id)
    end_us = ctx.now_us if query.end_time is None else query.end_time
    start_us = query.start_time
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
    return risk.model_dump(mode="json")


def risk_of_run(tx: Transaction, declarations: Declarations, instance: InstanceRow) -> Risk:
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
    tx: Transaction,
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
    without = [word for word in _names_with("excluded", params) if result.get(word) == "excluded"]
    return SpanTypeRisk(
        schema_name=name,
        schema_title=name if declared is None else declared.title,
        declared=declared is not None,
        spans=0,
        failed=0,
        allows=_names_with("allowed", actions),
        forbids=_names_with("disallowed", actions),
        takes=_names_with("included", params),
        gives=_names_with("included", result),
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


def _names_with(value: str, declared: Mapping[str, str]) -> list[str]:
    return sorted(name for name, declaration in declared.items() if declaration == value)


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


# Flagged spans


@dataclass
class Marks:
    """Refusals, excesses and withheld values of flagged spans.

    Attributes:
        spans: Number of spans that were read.
        chars: Length of their payloads.
        refused: Number of refused spans.
        violations: Reasons of the refusals, counted by sentence.
        exceeding: Number of spans beyond their agent's remit.
        excesses: The excesses, counted by sentence.
        withheld: Number of withheld values, by rule.
    """

    spans: int = 0
    chars: int = 0
    refused: int = 0
    violations: Counter[str] = field(default_factory=Counter[str])
    exceeding: int = 0
    excesses: Counter[str] = field(default_factory=Counter[str])
    withheld: Counter[str] = field(default_factory=Counter[str])

    def take(self, row: SpanRow) -> None:
        """Count a span."""
        self.spans += 1
        self.chars += len(row.payload) + len(row.result_payload or "")
        payload, result = _object(row.payload), _object(row.result_payload)
        self._take_refusal(row.status, result.get("error"))
        beyond = exceeded(payload)
        self.exceeding += bool(beyond)
        self.excesses.update(beyond)
        self.withheld.update(
            str(each.get("rule", ""))
            for value in (payload, result)
            for each in markers_in(value)
            if each[KEY] == WITHHELD
        )

    def _take_refusal(self, status: str, error: object) -> None:
        violations = (
            cast("dict[str, object]", error).get("violations") if isinstance(error, dict) else None
        )
        if status == "failed" and isinstance(violations, list):
            self.refused += 1
            self.violations.update(str(each) for each in cast("list[object]", violations))


def marks_in(tx: Transaction, wanted: SpanFilter) -> Marks:
    """Return the counts of the newest spans that pass the filter.

    They are read in pages: a span may be as long as a request.
    """
    marks = Marks()
    while marks.spans < MOST_SPANS and marks.chars < MOST_CHARS:
        size = min(PAGE_SPANS, MOST_SPANS - marks.spans)
        page = Page(marks.spans, size, "id", descending=True)
        left = min(PAGE_CHARS, MOST_CHARS - marks.chars)
        listed = tx.list_spans(wanted, page, most_chars=left)
        for row in listed.rows:
            marks.take(row)
        if not listed.rows or marks.spans >= listed.total:
            break
    return marks


def _object(text: str | None) -> dict[str, object]:
    return cast("dict[str, object]", read_json(text)) if text else {}


# Declarations


class DeclaredSpanType(TypedDict):
    """A span type as stored in a schema version."""

    name: str
    title: str | None
    description: str | None
    data_risk: Mapping[str, Mapping[str, str]] | None


def declared_risk(ctx: Context, agent_id: str) -> dict[str, object]:
    """Return the risk that the newest schema version of an agent declares, over its span types.

    An action is allowed where one of them may take it and disallowed where none may; a category
    is included where one of them has it and excluded where none has; the closest class counts.
    """
    account_id = ctx.caller.account_id
    listed = ctx.tx.list_rows(SchemaVersionRow, account_id, {"agent_id": agent_id}, _NEWEST).rows
    newest = [ctx.tx.row(SchemaVersionRow, account_id, row.id) for row in listed]
    risks = [one["data_risk"] or {} for row in newest if row for one in _span_types(row)]
    actions = [risk.get("action_profile", {}) for risk in risks]
    rollup: dict[str, object] = {
        "action_profile": {
            name: _together([action.get(name) for action in actions], "allowed", "disallowed")
            for name in ActionProfile.model_fields
        }
    }
    for part in _PARTS:
        rollup[part] = _categories([risk.get(part, {}) for risk in risks])
    return rollup


def agent_context(ctx: Context, instance_id: str) -> dict[str, object]:
    """Return a description of the agent of an instance, for a language model."""
    instance = instance_of(ctx, instance_id)
    account_id = ctx.caller.account_id
    agent = ctx.tx.agent(account_id, instance.agent_id)
    version = ctx.tx.row(VersionRow, account_id, instance.agent_version_id)
    schema = ctx.tx.row(SchemaVersionRow, account_id, instance.agent_schema_version_id)
    body = "\n".join(_lines(agent, version, schema))
    return {"status": "success", "agent_context": {"body": body}}


def span_type_names(ctx: Context, schema_version_id: str) -> list[str]:
    """Return the names of the span types of a schema version."""
    row = ctx.tx.row(SchemaVersionRow, ctx.caller.account_id, schema_version_id)
    return [] if row is None else [one["name"] for one in _span_types(row)]


def _span_types(row: SchemaVersionRow) -> list[DeclaredSpanType]:
    return cast("list[DeclaredSpanType]", read_json(row.span_type_schemas))


def _categories(parts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    names = [name for name in DataCategories.model_fields if name != "classification"]
    classes = [_CLASSES.index(part.get("classification", "unknown")) for part in parts]
    return {
        **{
            name: _together([part.get(name) for part in parts], "included", "excluded")
            for name in names
        },
        "classification": _CLASSES[max(classes, default=0)],
    }


def _together(words: Sequence[str | None], some: str, none: str) -> str:
    if some in words:
        return some
    return none if words and all(word == none for word in words) else "unknown"


def _lines(
    agent: AgentRow | None, version: VersionRow | None, schema: SchemaVersionRow | None
) -> Iterator[str]:
    """Yield the lines of the text, in Markdown."""
    if agent is not None:
        yield f"# {agent.name}"
        yield from ("", agent.description) if agent.description else ()
    if version is not None:
        named = version.name or version.external_identifier or version.id
        yield from ("", f"Version: {named}")
        yield from ("", version.description) if version.description else ()
    types = [] if schema is None else _span_types(schema)
    if types:
        yield from ("", "## Span types", "")
    for one in types:
        title = f" ({one['title']})" if one["title"] else ""
        description = f": {one['description']}" if one["description"] else ""
        yield f"- `{one['name']}`{title}{description}"
