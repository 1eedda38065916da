"""Lists of runs and spans, numbers, and changes: endpoints that only remit has.

docs/reference/lists.md describes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Final, TypeAlias, get_args

import msgspec

from remit._base.ids import HASHES, is_short
from remit.collector.domain.conformance import schema_errors
from remit.collector.domain.context import Context
from remit.collector.domain.params import (
    Filter,
    Instant,
    Query,
    Switch,
    Text,
    agent_of,
    integer,
    one_of,
    row_of,
    run_of,
    text_like,
)
from remit.collector.domain.step_names import names_of_failures, names_of_listed
from remit.collector.errors import forbidden, invalid_field, not_found
from remit.collector.store.counts import RUN_COUNTS, US_PER_HOUR
from remit.collector.store.questions import count_lists, run_lists, span_lists
from remit.collector.store.questions.costs import GROUPS, costs_by, usage_of_runs
from remit.collector.store.questions.scope import FAILED, FLAGS, RunRef, Scope, run_ref_of, scope_of
from remit.collector.store.rows import INVALID, STATUSES, UNCHECKED, EnvironmentRow, RunWithAgent
from remit.collector.store.subjects import root_id
from remit.collector.times import format_us
from remit.collector.views.lists import (
    cost_group_view,
    count_view,
    fingerprint_of,
    listed_span,
    run_view,
)
from remit.collector.views.runs import named_agent
from remit.models._types import Purpose

MAX_RUNS: Final = 100
MAX_SPANS: Final = 1000
DEFAULT_SPANS: Final = 100
_PURPOSES: Final = get_args(Purpose)
_SPANS_BY: Final = ("hour", "day", "type", "category", "agent", "status")
_RUNS_BY: Final = ("hour", "day", "agent", "status")
_COSTS_BY: Final = tuple(GROUPS)
_REDACTED_BY: Final = ("rule", "type", "day")
_EPOCH: Final = date(1970, 1, 1).toordinal()
_PFID: Final = "[0-7][0-9a-hjkmnp-tv-z]{31}"
_OF_SAME_LIST: Final = "must be the `next` of a page with the same filters"

Answer: TypeAlias = dict[str, object]
Flag: TypeAlias = Annotated[str | None, one_of(*FLAGS, FAILED)]


class ScopeQuery(Query):
    """Whose runs, and when: at or after `since`, before `until`."""

    agent_id: Filter = None
    environment_id: Filter = None
    since: Instant = None
    until: Instant = None


class RunsQuery(ScopeQuery):
    """Which runs to list."""

    status: Annotated[str | None, one_of(*RUN_COUNTS, run_lists.WAITING)] = None
    purpose: Annotated[str | None, one_of(*_PURPOSES)] = None
    label: Filter = None
    conversation: Filter = None
    subject: Filter = None
    subject_hash: Filter = None
    on_behalf_of: Filter = None
    on_behalf_of_hash: Filter = None
    key: Filter = None
    caused_by: Filter = None
    fingerprint: Annotated[
        str | None, text_like("[0-9a-f]{16}", "must be 16 hexadecimal digits in lower case")
    ] = None
    flag: Flag = None
    before: Annotated[str | None, text_like(_PFID, "must be the `next` of a page")] = None
    limit: Annotated[int, integer(1, MAX_RUNS)] = MAX_RUNS
    total: Switch = False


class SpansQuery(ScopeQuery):
    """Which spans to list."""

    run_id: Filter = None
    type: Filter = None
    status: Annotated[str | None, one_of(*STATUSES)] = None
    flag: Flag = None
    before: Text = None
    limit: Annotated[int, integer(1, MAX_SPANS)] = DEFAULT_SPANS
    payloads: Switch = False


class CountsQuery(ScopeQuery):
    """Criteria of a count, and its grouping."""

    of: Annotated[str, one_of("spans", "runs")] = "spans"
    by: Annotated[str, one_of(*_SPANS_BY)] = "day"
    purpose: Annotated[str | None, one_of(*_PURPOSES)] = None


class RedactedQuery(ScopeQuery):
    """Which redacted values to count, and how to group them."""

    by: Annotated[str, one_of(*_REDACTED_BY)] = "rule"


class CostsQuery(ScopeQuery):
    """Which costs to add, and how to group them."""

    by: Annotated[str, one_of(*_COSTS_BY)] = "model"


class ChangesQuery(Query):
    """Which changes to list."""

    after: Annotated[
        str | None, text_like("[0-9]{1,18}-[0-9]{1,18}", "must be the `cursor` of a response")
    ] = None
    run_id: Filter = None
    limit: Annotated[int, integer(1, MAX_RUNS)] = MAX_RUNS


def list_runs(ctx: Context, query: RunsQuery) -> Answer:
    """Return a page of runs, newest first."""
    wanted = _run_criteria(ctx, query)
    runs = run_lists.runs(ctx.tx, wanted, before=query.before, limit=query.limit + 1)
    page = runs[: query.limit]
    return {
        "status": "success",
        "runs": run_views(ctx, page),
        "next": page[-1].id if len(runs) > len(page) else None,
        "total": run_lists.count_runs(ctx.tx, wanted) if query.total else None,
    }


def run_views(ctx: Context, runs: Sequence[RunWithAgent]) -> list[dict[str, object]]:
    """Return runs as a list has them."""
    names = names_of_failures(ctx, runs)
    prices, people = ctx.settings.prices, _people(ctx, runs)
    return [
        run_view(run, prices, names.get(run.failure_span or ""), people.get(run.id)) for run in runs
    ]


class _Root(msgspec.Struct):
    """The payload of a root span."""

    on_behalf_of: Any = None


_read_root: Final = msgspec.json.Decoder(_Root).decode


def _people(ctx: Context, runs: Sequence[RunWithAgent]) -> dict[str, str]:
    """Return on whose behalf runs were opened, by their ids, as their root spans say."""
    with_people = run_lists.with_people(ctx.tx, [run.ref for run in runs])
    roots = [root_id(run.id) for run in runs if run.ref in with_people]
    spans = ctx.tx.spans(ctx.caller.account_id, [root for root in roots if root is not None])
    said = {row.agent_instance_id: _read_root(row.payload).on_behalf_of for row in spans.values()}
    return {run_id: person for run_id, person in said.items() if isinstance(person, str)}


def rank_runs(ctx: Context, query: RunsQuery, measure: str) -> Answer:
    """Return the runs that took longest, or used most tokens, and whether all were compared."""
    ranking = run_lists.ranked_runs(ctx.tx, _run_criteria(ctx, query), measure, query.limit)
    return {
        "runs": run_views(ctx, ranking.runs),
        "is_whole": ranking.is_whole,
    }


def _run_criteria(ctx: Context, query: RunsQuery) -> run_lists.RunCriteria:
    key, ids = query.key, None
    if key is not None and is_short(key) and not ctx.tx.has_key(key):
        ids = tuple(ctx.tx.runs_ending(ctx.caller.account_id, key, MAX_RUNS))
    return run_lists.RunCriteria(
        scope=_scope(ctx, query.agent_id, query.environment_id),
        status=query.status,
        purpose=query.purpose,
        since_us=query.since,
        until_us=query.until,
        label=_label(query.label),
        conversation=query.conversation,
        subject_hash=_person_hash(query, "subject"),
        on_behalf_of_hash=_person_hash(query, "on_behalf_of"),
        key=key if ids is None else None,
        ids=ids,
        caused_by=query.caused_by,
        fingerprint=None if query.fingerprint is None else fingerprint_of(query.fingerprint),
        flag=query.flag,
    )


def _person_hash(query: RunsQuery, name: str) -> str | None:
    """Return the hash of a person whom a query names, by the text or by the hash.

    Raises:
        RequestError: 422, it has both.
    """
    text: str | None = getattr(query, name)
    hashed: str | None = getattr(query, f"{name}_hash")
    if text is not None and hashed is not None:
        raise invalid_field(f"{name}_hash", f"must be left out beside {name}")
    return hashed if text is None else HASHES[name](text)


def list_spans(ctx: Context, query: SpansQuery) -> Answer:
    """Return a page of spans, newest first. Payloads are included only if requested."""
    wanted = span_lists.SpanCriteria(
        scope=_scope(ctx, query.agent_id, query.environment_id),
        run=None if query.run_id is None else _run(ctx, query.run_id),
        schema_name=query.type,
        status=query.status,
        flag=query.flag,
        since_us=query.since,
        until_us=query.until,
    )
    before = None if query.before is None else _position(query.before, wanted)
    listed, following = _listed(ctx, wanted, before, query.limit, payloads=query.payloads)
    return {"status": "success", "spans": listed, "next": following and str(following)}


def spans_of_run(
    ctx: Context, run_id: str, after: span_lists.Position | None, limit: int
) -> tuple[list[dict[str, object]], span_lists.Position | None]:
    """Return spans of a run with their payloads, oldest first, and where the next ones begin.

    Args:
        after: The position after which they begin; None is the beginning.
        limit: The largest number of spans; they end before `max_response_bytes` of payloads.

    Raises:
        RequestError: 404, the run does not exist for this caller.
    """
    scope, run = _scope(ctx, None, None), _run(ctx, run_id)
    wanted = span_lists.SpanCriteria(scope=scope, run=run, oldest_first=True)
    return _listed(ctx, wanted, after, limit, payloads=True)


def _listed(
    ctx: Context,
    wanted: span_lists.SpanCriteria,
    before: span_lists.Position | None,
    limit: int,
    *,
    payloads: bool,
) -> tuple[list[dict[str, object]], span_lists.Position | None]:
    most_chars = ctx.settings.max_response_bytes if payloads else None
    page = span_lists.spans(ctx.tx, wanted, before=before, limit=limit, most_chars=most_chars)
    errors = _schema_errors(ctx, page.spans) if payloads else {}
    names = names_of_listed(ctx, page.spans)
    spans = [listed_span(span, names.get(span.id), errors.get(span.id, ())) for span in page.spans]
    return spans, page.next


def _schema_errors(ctx: Context, spans: Sequence[span_lists.SpanRecord]) -> dict[str, list[str]]:
    differing = [span for span in spans if span.flags & (INVALID | UNCHECKED)]
    runs = ctx.tx.runs(None, {span.run_id for span in differing})
    versions = {
        run.id: ctx.declarations.of(ctx.tx, run.agent_schema_version_id) for run in runs.values()
    }
    return {span.id: schema_errors(versions[span.run_id], span, ctx.budget) for span in differing}


def count(ctx: Context, query: CountsQuery) -> Answer:
    """Return counts of spans or runs per hour, day, type, category, agent or status."""
    if query.of == "runs" and query.by not in _RUNS_BY:
        raise invalid_field("by", f"must be one of {', '.join(_RUNS_BY)} for runs")
    wanted = _counted(ctx, query, query.purpose)
    read = count_lists.run_counts if query.of == "runs" else count_lists.span_counts
    counts = read(ctx.tx, wanted, query.by)
    return {
        "status": "success",
        "of": query.of,
        "by": query.by,
        "counts": [count_view(one, query.by, query.of, _group(one, query.by)) for one in counts],
    }


def count_redacted(ctx: Context, query: RedactedQuery) -> Answer:
    """Return the number of redacted values per rule, type or day."""
    counts = count_lists.redacted_counts(ctx.tx, _counted(ctx, query, None), query.by)
    return {
        "status": "success",
        "by": query.by,
        "redacted": [count_view(one, query.by, "times", _group(one, query.by)) for one in counts],
    }


def list_costs(ctx: Context, query: CostsQuery) -> Answer:
    """Return the tokens and costs of model calls per model, agent, version or day."""
    scope = _scope(ctx, query.agent_id, query.environment_id)
    runs, is_whole = usage_of_runs(ctx.tx, scope, query.since, query.until)
    groups = costs_by(runs, query.by, ctx.settings.prices)
    return {
        "status": "success",
        "by": query.by,
        "costs": [cost_group_view(group, query.by) for group in groups],
        "is_whole": is_whole,
    }


def list_changes(ctx: Context, query: ChangesQuery) -> Answer:
    """Return the runs that changed after a cursor, and the next cursor."""
    end = ctx.tx.end_of_changes()
    scope = _scope(ctx, None, None)
    run = None if query.run_id is None else _run(ctx, query.run_id)
    runs: list[RunWithAgent] = []
    if query.after is None:
        cursor = run_lists.newest_change(ctx.tx, end)
    else:
        after = run_lists.Cursor(*map(int, query.after.split("-")))
        runs, cursor = run_lists.changed_runs(ctx.tx, scope, after, end, run=run, limit=query.limit)
    return {
        "status": "success",
        "runs": run_views(ctx, runs),
        "cursor": f"{cursor.seq}-{cursor.run_ref}",
    }


def _scope(ctx: Context, agent_id: str | None, environment_id: str | None) -> Scope:
    caller = ctx.caller
    if agent_id is not None:
        agent_of(ctx, agent_id)
    if environment_id is not None:
        row_of(ctx, EnvironmentRow, environment_id, "environment")
        if caller.environment_id not in {None, environment_id}:
            raise forbidden("this token is for another environment: leave environment_id out")
    agent_id, environment_id = agent_id or caller.agent_id, environment_id or caller.environment_id
    scope = scope_of(ctx.tx, caller.account_id, agent_id, environment_id)
    if scope is None:
        # The token is for an agent or an environment that was deleted.
        raise not_found("agent")
    return scope


def _run(ctx: Context, run_id: str) -> RunRef:
    run_of(ctx, run_id)
    run = run_ref_of(ctx.tx, run_id)
    if run is None:
        raise not_found("agent_instance")
    return run


def _label(text: str | None) -> tuple[str, str | None] | None:
    if text is None:
        return None
    key, equals, value = text.partition("=")
    if not key:
        raise invalid_field("label", "must be KEY or KEY=VALUE")
    return key, value if equals else None


def _position(text: str, wanted: span_lists.SpanCriteria) -> span_lists.Position:
    position = span_lists.Position.parse(text)
    if position is None or (position.started_at is not None) != wanted.by_start:
        raise invalid_field("before", _OF_SAME_LIST)
    return position


def _counted(ctx: Context, query: ScopeQuery, purpose: str | None) -> count_lists.CountCriteria:
    return count_lists.CountCriteria(
        scope=_scope(ctx, query.agent_id, query.environment_id),
        purpose=purpose,
        since_us=query.since,
        until_us=query.until,
    )


def _group(counted: count_lists.Counted, by: str) -> object:
    if by == "hour":
        return format_us(int(counted.group) * US_PER_HOUR)
    if by == "day":
        return date.fromordinal(_EPOCH + int(counted.group)).isoformat()
    if by == "agent":
        return named_agent(counted.group, counted.title, counted.external_identifier)
    return counted.group
