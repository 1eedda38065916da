"""The banner of the page of a run, and the four facts of a complete run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from remit._base.step_names import AGENT, GRAPH, StepName
from remit._policy.violations import denied_by
from remit._policy.words import ACTION, UNKNOWN
from remit.collector.domain.asks import REFUSED
from remit.collector.domain.context import Context
from remit.collector.domain.declared import Declared
from remit.collector.domain.findings import ASKED_SPAN, OF_REMIT
from remit.collector.domain.states import CANCELLED, COMPLETE, TERMINATED
from remit.collector.domain.waiting import WENT_ON
from remit.collector.page import formats
from remit.collector.page.declared import VERBS, verbs_of
from remit.collector.page.payload_tree import members, objects
from remit.collector.page.run.asked import Question
from remit.collector.page.run.facts import (
    FAILED,
    RunFacts,
    SpanFacts,
    request_of,
    still_waiting,
    version_name,
)
from remit.collector.page.scope import scope_in
from remit.collector.page.sides import limit_of
from remit.collector.page.visits import Visit
from remit.collector.store.questions.run_lists import RunCriteria, count_runs, oldest_run
from remit.collector.store.questions.run_steps import StepRecord
from remit.collector.store.rows import DENIED, AskRow, RunRow
from remit.collector.store.subjects import ROOT_SPAN

_EFFECTS: Final = (
    ("financial_transactions", "money moved"),
    ("destroy_data", "data was destroyed"),
    ("external_communication", "something was sent"),
    ("update_data", "data was changed"),
    ("create_data", "data was changed"),
)
"""What may have happened by an action of a failed step, the most serious first."""
_GRAVE: Final = ("update_data", "destroy_data", "financial_transactions")
_OUTSIDE: Final = ("financial_transactions", "destroy_data", "external_communication")
"""Actions that cannot be taken back."""
_MOST_NAMED: Final = 4


class Elsewhere(NamedTuple):
    """The runs of the agent that failed alike.

    Attributes:
        fingerprint: That of their failure, as the API writes it.
        version: The version of the oldest, if the agent has older ones; else None.
    """

    runs: int
    fingerprint: str
    since_us: int
    version: str | None


class Notice(NamedTuple):
    """The banner of the page of a run.

    Attributes:
        kind: `bad` (red), `warn` (amber), or empty (ink).
        case: The subject of the sentence; the template has its words.
        text: Message of the step or the run; None if it is hidden or there is none.
        effect: The effect that is not recorded, such as `money moved`; else empty.
    """

    kind: str
    case: str
    step: str = ""
    place: str = ""
    text: object = None
    effect: str = ""
    further: Sequence[str] = ()
    elsewhere: Elsewhere | None = None
    values: Mapping[str, Any] = {}


def effect_of(risks: Iterable[Declared]) -> str:
    """Return the most serious effect that steps may have had; empty if they declare none."""
    allowed = {action for risk in risks for action in risk.allowed}
    return next((effect for action, effect in _EFFECTS if action in allowed), "")


def notice_of(visit: Visit, facts: RunFacts, origin: SpanFacts | None) -> Notice | None:
    """Return the notice of a run; None if there is nothing to say.

    Args:
        origin: The step that failed first, with its payloads.
    """
    row = facts.row
    if row.erased_at is not None:
        return _erased(visit, facts)
    if row.status == TERMINATED:
        return _terminated(facts)
    if row.status == FAILED and facts.process_ended:
        return _process_ended(facts)
    first = facts.first_failed
    if row.status == FAILED and not (first is not None and first.flags & DENIED):
        notice = _failed(facts, origin)
        return notice._replace(elsewhere=visit.api.read(partial(_elsewhere, row=row)))
    return _quiet(visit, facts)


def _quiet(visit: Visit, facts: RunFacts) -> Notice | None:
    """Return the notice of a run that a denial ended, or that neither failed nor was terminated."""
    row = facts.row
    if facts.is_waiting:
        return _waiting(visit, facts)
    if facts.is_cancelled:
        went_on = facts.result.get("reason") == WENT_ON
        return Notice("", "went_on") if went_on else _cancelled(facts)
    limit = _limit(facts)
    if limit is not None:
        return limit
    if row.denied:
        denied = [step for step in facts.steps.values() if step.flags & DENIED]
        names = _counted(facts, denied)
        held = len(facts.held)
        kind = "warn" if held >= row.denied else "bad"
        return Notice(
            kind,
            "denied",
            further=_refused(facts),
            values={"count": row.denied, "names": names, "held": held},
        )
    if row.handled and row.status == COMPLETE:
        return _handled(facts)
    return _ran_after_a_yes(facts)


def _ran_after_a_yes(facts: RunFacts) -> Notice | None:
    """Return the notice of a run with a step that ran after a person's yes."""
    ran = [each for each in facts.questions if _has_run(facts, each)]
    if not ran:
        return None
    people = dict.fromkeys(each.answer.by for each in ran if each.answer and each.answer.by)
    names = Counter(each.subject for each in ran)
    counted = [f"{name} {formats.times(n)}" if n > 1 else name for name, n in names.items()]
    values: dict[str, object] = {
        "names": _named(counted),
        "by": _named(list(people)),
        "took_us": ran[0].waited_us if len(ran) == 1 else None,
    }
    return Notice("", "ran", values=values)


def _has_run(facts: RunFacts, question: Question) -> bool:
    """Return whether a step ran after a yes."""
    return any(
        question.let_run(step.schema_name, step.parent_id, step.started_at)
        and not step.flags & DENIED
        for step in facts.steps.values()
    )


def _refused(facts: RunFacts) -> list[str]:
    """Return sentences about the people who refused a step."""
    refused = Counter(
        (each.answer.by, each.subject)
        for each in facts.questions
        if each.answer is not None and each.status == REFUSED
    )
    expired = sum(each.status == "expired" for each in facts.questions)
    sentences = [
        f"{by} refused {name}{'' if count == 1 else f' {formats.times(count)}'}."
        for (by, name), count in list(refused.items())[:_MOST_NAMED]
    ]
    if expired:
        sentences.append(f"A request expired {formats.times(expired)}.")
    return sentences


def _limit(facts: RunFacts) -> Notice | None:
    """Return the notice of a run whose first denied step was beyond a limit."""
    span = facts.denied
    violations = None if span is None else denied_by(span.result)
    violation = limit_of(violations or ())
    if span is None or violation is None:
        return None
    step = facts.known[span.row.id]
    return Notice(
        "warn",
        "limit",
        step=facts.name(step),
        values={
            "violation": violation,
            "ended": facts.result.get("status") == TERMINATED,
            "denied": facts.row.denied,
        },
    )


def _waiting(visit: Visit, facts: RunFacts) -> Notice:
    """Return the notice of a run that waits for a person's answer."""
    waiting = [each for each in facts.questions if each.is_open]
    asked = [step for step in facts.steps.values() if step.schema_name == ASKED_SPAN]
    began = [step.started_at for step in asked if step.started_at is not None]
    since_us = waiting[0].at_us if waiting else max(began, default=None)
    open_questions = facts.row.asked - facts.row.answered
    first = waiting[0] if waiting else None
    values: dict[str, object] = {
        "count": open_questions,
        "since_us": since_us,
        "waits_us": None if since_us is None else visit.now_us - since_us,
        "may": "" if first is None else verbs_of(first.words),
        "request": None
        if first is None
        else visit.api.read(partial(_waiting_request, facts, first)),
    }
    step = first.subject if first is not None and first.step else ""
    return Notice("asks", "waiting", step=step, values=values)


def _waiting_request(facts: RunFacts, question: Question, ctx: Context) -> AskRow | None:
    return still_waiting(ctx, request_of(ctx, facts.row, question))


def _erased(visit: Visit, facts: RunFacts) -> Notice:
    response = visit.api.get("/api/remit/v1/erasures", run_id=facts.row.id)
    records = response["erasures"]
    step = facts.row.failure_step if facts.row.status == FAILED else None
    return Notice(
        "",
        "erased",
        step=formats.step(step) if step else "",
        place=_place(facts.row.failure_place),
        values={"record": records[-1] if records else None, "at_us": facts.row.erased_at},
    )


def _terminated(facts: RunFacts) -> Notice:
    opened = [step for step in facts.steps.values() if step.finished_at is None]
    parents = {step.parent_id for step in facts.steps.values()}
    names = _counted(facts, [step for step in opened if step.id not in parents])
    cut = [step for step in facts.steps.values() if step.status in {FAILED, CANCELLED}]
    effect = effect_of(facts.declared(step) for step in (*opened, *cut))
    return Notice(
        "warn",
        "terminated",
        text=facts.row.termination_reason,
        effect=effect,
        values={
            "at_us": facts.row.finished_at,
            "open": facts.open_steps,
            "names": names,
            "denied": facts.row.denied,
            "by": facts.row.terminated_by,
        },
    )


def _process_ended(facts: RunFacts) -> Notice:
    closed = [step for step in facts.known.values() if facts.was_open(step)]
    inner = facts.first_failed
    return Notice(
        "bad",
        "process_ended",
        step="" if inner is None else facts.name(inner),
        effect=effect_of(facts.declared(step) for step in closed),
        values={
            "process": _process(facts),
            "last_us": facts.row.finished_at,
            "open": len(closed),
        },
    )


def _process(facts: RunFacts) -> dict[str, object]:
    """Return process and host of a run, as far as its root span names them."""
    payload = {} if facts.root is None else facts.root.payload
    return {name: payload.get(name) for name in ("pid", "host")}


def _failed(facts: RunFacts, origin: SpanFacts | None) -> Notice:
    row, step = facts.row, facts.first_failed
    error: Mapping[str, object] = {} if origin is None else origin.span.error
    if step is None:
        return _not_here(facts)
    is_root = step.schema_name == ROOT_SPAN
    hidden = origin is not None and origin.hidden.message(error)
    risks = [facts.declared(step)]
    if not risks[0].data_risk:
        around = (facts.declared(above) for above in facts.above(step))
        risks = [next((risk for risk in around if risk.data_risk), risks[0])]
    message = facts.result.get("reason") if is_root and not error else error.get("message")
    return Notice(
        "bad",
        "failed",
        step="" if is_root else facts.name(step),
        place=_place(error.get("at") or row.failure_place),
        text=None if hidden else message,
        effect=effect_of(risks),
        further=[*_group(origin), *_before(facts, step)],
        values={
            "type": error.get("type") or row.failure_type or "",
            "agent": _sub_agent(facts, step),
        },
    )


def _sub_agent(facts: RunFacts, step: StepRecord) -> StepName | None:
    """Return the name of the nearest agent or graph around a step, if it is inside another one."""
    names = [facts.names.get(above.id) for above in facts.above(step)]
    agents = [name for name in names if name is not None and name.word in {AGENT, GRAPH}]
    return agents[0] if len(agents) > 1 else None


def _not_here(facts: RunFacts) -> Notice:
    """Return the failure that a run keeps, if the step that failed first is not kept any more."""
    row = facts.row
    if row.failure_us is None:
        return Notice("bad", "failed_run", text=facts.result.get("reason"))
    return Notice(
        "bad",
        "failed",
        step=formats.step(row.failure_step) if row.failure_step else "",
        place=_place(row.failure_place),
        text=row.failure_text,
        values={"type": row.failure_type or "", "agent": None},
    )


def _elsewhere(ctx: Context, row: RunRow) -> Elsewhere | None:
    """Return the runs of the agent that failed as this one did, if there are others."""
    if row.fingerprint is None:
        return None
    scope = scope_in(ctx, row.agent_id)
    alike = RunCriteria(scope=scope, fingerprint=row.fingerprint, status=FAILED)
    runs = count_runs(ctx.tx, alike)
    oldest = oldest_run(ctx.tx, alike) if runs > 1 else None
    if oldest is None:
        return None
    before = oldest_run(ctx.tx, RunCriteria(scope=scope))
    older = before is not None and before.agent_version_id != oldest.agent_version_id
    return Elsewhere(
        runs,
        f"{row.fingerprint % 2**64:016x}",
        oldest.inserted_at if oldest.started_at is None else oldest.started_at,
        version_name(ctx, oldest) if older else None,
    )


def _place(place: object) -> str:
    return place.partition(" in ")[0] if isinstance(place, str) else ""


def _group(origin: SpanFacts | None) -> list[str]:
    """Return how the other steps of a group ended."""
    if origin is None:
        return []
    group = next((span for span in origin.ancestors if "members" in span.error), None)
    if group is None:
        return []
    error = group.error
    count = error.get("of")
    others = (count if isinstance(count, int) else len(objects(error.get("members")))) - 1
    steps = "1 more parallel step" if others == 1 else f"{others:,} more parallel steps"
    sentences = [f"{steps} failed after it."] if others > 0 else []
    names = [
        origin.name(span).text
        for span in origin.cancelled
        if span.row.parent_span_id == group.row.id
    ]
    if names:
        was = "was" if len(names) == 1 else "were"
        sentences.append(f"{_named(names)} {was} cancelled by the group.")
    return sentences


def _before(facts: RunFacts, failed: StepRecord) -> list[str]:
    """Return the declared actions of steps that began before the failure."""
    if not facts.is_whole or failed.finished_at is None:
        return []
    around = {step.id for step in facts.above(failed)}
    ended = [
        facts.declared(step)
        for step in facts.steps.values()
        if step.id != failed.id
        and step.id not in around
        and step.schema_name not in OF_REMIT
        and not step.flags & DENIED
        and step.started_at is not None
        and step.started_at <= failed.finished_at
    ]
    counts = Counter(action for risk in ended for action in risk.allowed)
    done = [f"{VERBS[action]} ({times:,})" for action, times in counts.most_common()]
    never = [VERBS[action] for action in _GRAVE if action not in counts]
    undeclared = sum(any(risk.word(ACTION, name) == UNKNOWN for name in _GRAVE) for risk in ended)
    sentences = (
        [f"Steps that may {formats.listed(done)} started before the failure."] if done else []
    )
    if never and ended:
        does = "does" if undeclared == 1 else "do"
        more = f" {undeclared:,} of these steps {does} not declare this." if undeclared else ""
        may = formats.listed(never, "or")
        sentences.append(f"No step before the failure declares that it may {may}.{more}")
    return sentences


def _cancelled(facts: RunFacts) -> Notice:
    cut = [step for step in facts.steps.values() if step.status == CANCELLED]
    inner = facts.innermost_cancelled
    error = members(facts.result.get("error"))
    return Notice(
        "",
        "cancelled",
        step="" if inner is None else facts.name(inner),
        place=str(error.get("at") or ""),
        effect=effect_of(facts.declared(step) for step in cut),
        values={
            "type": str(error.get("type") or ""),
            "open": len(cut),
            "failed": facts.row.spans_failed,
        },
    )


def _handled(facts: RunFacts) -> Notice:
    handled = [step for step in facts.steps.values() if facts.is_handled(step)]
    handled = [step for step in handled if not step.flags & DENIED]
    effect = effect_of(facts.declared(step) for step in handled)
    by_effect = [step for step in handled if effect_of([facts.declared(step)]) == effect]
    return Notice(
        "",
        "handled",
        effect=effect,
        values={
            "count": facts.row.handled,
            "total": facts.counts.here,
            "names": _counted(facts, handled),
            "by": _named(list(dict.fromkeys(map(facts.name, by_effect)))),
        },
    )


def _counted(facts: RunFacts, steps: Iterable[StepRecord]) -> str:
    """Return names of steps and how often each is there: `charge 3 times, search_help twice`."""
    names = Counter(map(facts.name, steps))
    if len(names) == 1 and names.total() == 1:
        return next(iter(names))
    return _named(
        [
            f"{name} {formats.times(count)}" if count > 1 else name
            for name, count in names.most_common()
        ]
    )


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    shown = [*names[:_MOST_NAMED], *([f"{more:,} others"] if more > 0 else [])]
    return formats.listed(shown)


# Ledger


class Ledger(NamedTuple):
    """Four facts: declared actions, data, redacted values, violations of the remit.

    Attributes:
        violations: The number of steps that violated the remit and ran.
        done: A sentence about completed steps with a serious action; empty for none.
        asked: How many questions to a person have each status.
    """

    allows: Mapping[str, int]
    data: Mapping[str, int]
    redacted: Mapping[str, int]
    denied: int
    violations: int
    undeclared: int
    done: str
    asked: Mapping[str, int]


def ledger_of(visit: Visit, facts: RunFacts) -> Ledger | None:
    """Return the facts of a complete run; None of another."""
    if facts.row.status != COMPLETE:
        return None
    risk = visit.api.get(f"/api/v1/agent_instance/{facts.row.id}/risk")["details"]
    allows, data = Counter[str](risk["allows"]), Counter[str]()
    for span_type in risk["span_types"]:
        for category in dict.fromkeys((*span_type["takes"], *span_type["gives"])):
            data[category] += span_type["spans"]
    # A denied step did not run.
    for step in facts.steps.values():
        if step.flags & DENIED:
            declared = facts.declared(step)
            allows -= Counter(declared.allowed)
            data -= Counter({*declared.takes, *declared.gives})
    return Ledger(
        dict(allows.most_common()),
        dict(data.most_common()),
        risk["redacted"],
        risk["denied"]["spans"],
        risk["observed"]["spans"],
        risk["schema_findings"]["undeclared"],
        _done(facts),
        Counter(each.status for each in facts.questions),
    )


def _done(facts: RunFacts) -> str:
    """Return which completed steps may have had an effect outside; empty for none.

    The step of the agent itself is left out: it declares the actions of the steps below it.
    """
    if not facts.is_whole:
        return ""
    above = {step.parent_id for step in facts.steps.values()}
    roots = {step.id for step in facts.steps.values() if step.schema_name == ROOT_SPAN}
    ended = [
        step
        for step in facts.steps.values()
        if step.status == COMPLETE
        and step.schema_name not in OF_REMIT
        and not (step.parent_id in roots and step.id in above)
    ]
    parts: list[str] = []
    for action in _OUTSIDE:
        names = [facts.name(step) for step in ended if action in facts.declared(step).allowed]
        if names:
            parts.append(f"{VERBS[action]} ({len(names):,}: {_named(list(dict.fromkeys(names)))})")
    return f"Steps that may {formats.listed(parts)} succeeded." if parts else ""
