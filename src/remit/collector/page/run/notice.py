"""The banner of the page of a run, and the four facts of a complete run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from remit._policy.words import ACTION, UNKNOWN
from remit.collector.domain.states import CANCELLED, COMPLETE, TERMINATED
from remit.collector.json_io import read_json
from remit.collector.page import formats
from remit.collector.page.declared import VERBS, Declared
from remit.collector.page.payload_tree import members, objects
from remit.collector.page.run.facts import FAILED, RunFacts, SpanFacts, error_of
from remit.collector.page.run.step_tree import Tree
from remit.collector.page.visits import Visit
from remit.collector.store.questions.run_steps import StepRecord
from remit.collector.store.rows import DENIED
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
_WITHOUT_EFFECT: Final = frozenset({ROOT_SPAN, "remit:loss"})
_MOST_NAMED: Final = 4


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
    values: Mapping[str, Any] = {}


def effect_of(risks: Iterable[Declared]) -> str:
    """Return the most serious effect that steps may have had; empty if they declare none."""
    allowed = {action for risk in risks for action in risk.allowed}
    return next((effect for action, effect in _EFFECTS if action in allowed), "")


def notice_of(visit: Visit, facts: RunFacts, tree: Tree, origin: SpanFacts | None) -> Notice | None:
    """Return the notice of a run; None if there is nothing to say.

    Args:
        origin: The step that failed first, with its payloads.
    """
    row = facts.row
    if row.erased_at is not None:
        return _erased(visit, facts)
    if row.status == TERMINATED:
        return _terminated(facts, tree)
    is_denial = tree.origin is not None and tree.origin.flags & DENIED
    if row.status == FAILED and not is_denial:
        return _process_ended(facts, tree) if facts.process_ended else _failed(facts, tree, origin)
    return _quiet(facts, tree)


def _quiet(facts: RunFacts, tree: Tree) -> Notice | None:
    """Return the notice of a run that a denial ended, or that neither failed nor was terminated."""
    row = facts.row
    if facts.is_cancelled:
        return _cancelled(facts, tree)
    if row.denied:
        names = _counted(step for step in facts.steps.values() if step.flags & DENIED)
        return Notice("bad", "denied", values={"count": row.denied, "names": names})
    return _handled(facts, tree) if row.handled and row.status == COMPLETE else None


def _erased(visit: Visit, facts: RunFacts) -> Notice:
    answer = visit.api.get("/api/remit/v1/erasures", run_id=facts.row.id)
    records = answer["erasures"]
    step = facts.row.failure_step if facts.row.status == FAILED else None
    return Notice(
        "",
        "erased",
        step=formats.step(step) if step else "",
        place=_place(facts.row.failure_place),
        values={"record": records[-1] if records else None, "at_us": facts.row.erased_at},
    )


def _terminated(facts: RunFacts, tree: Tree) -> Notice:
    opened = [step for step in facts.steps.values() if step.finished_at is None]
    names = _counted(step for step in opened if not tree.children.get(step.id))
    cut = [step for step in facts.steps.values() if step.status in {FAILED, CANCELLED}]
    effect = effect_of(facts.declared(step.schema_name) for step in (*opened, *cut))
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


def _process_ended(facts: RunFacts, tree: Tree) -> Notice:
    closed = [step for step in tree.known.values() if tree.was_open(step)]
    inner = tree.origin
    return Notice(
        "bad",
        "process_ended",
        step="" if inner is None else formats.step(inner.schema_name),
        effect=effect_of(facts.declared(step.schema_name) for step in closed),
        values={
            "process": _process(facts),
            "last_us": facts.row.finished_at,
            "open": len(closed),
        },
    )


def _process(facts: RunFacts) -> dict[str, object]:
    """Return process and host of a run, as far as its root span names them."""
    payload = {} if facts.root is None else members(read_json(facts.root.payload))
    return {name: payload.get(name) for name in ("pid", "host")}


def _failed(facts: RunFacts, tree: Tree, origin: SpanFacts | None) -> Notice:
    row, step = facts.row, tree.origin
    error: Mapping[str, object] = origin.error if origin is not None else {}
    if step is None:
        return _not_here(facts)
    is_root = step.schema_name == ROOT_SPAN
    hidden = origin is not None and (origin.hidden or origin.hidden_errors.has(error))
    risks = [facts.declared(step.schema_name)]
    if not risks[0].data_risk:
        around = (facts.declared(above.schema_name) for above in tree.above(step))
        risks = [next((risk for risk in around if risk.data_risk), risks[0])]
    message = facts.outcome.get("reason") if is_root and not error else error.get("message")
    return Notice(
        "bad",
        "failed",
        step="" if is_root else formats.step(step.schema_name),
        place=_place(error.get("at") or row.failure_place),
        text=None if hidden else message,
        effect=effect_of(risks),
        further=[*_group(origin), *_before(facts, tree, step)],
        values={"type": error.get("type") or row.failure_type or ""},
    )


def _not_here(facts: RunFacts) -> Notice:
    """Return what a run keeps of the step that failed first, which is not in the database."""
    row = facts.row
    if row.failure_us is None:
        return Notice("bad", "failed_run", text=facts.outcome.get("reason"))
    return Notice(
        "bad",
        "failed",
        step=formats.step(row.failure_step) if row.failure_step else "",
        place=_place(row.failure_place),
        text=row.failure_text,
        values={"type": row.failure_type or ""},
    )


def _place(place: object) -> str:
    return place.partition(" in ")[0] if isinstance(place, str) else ""


def _group(origin: SpanFacts | None) -> list[str]:
    """Return what happened to the other steps of a group."""
    if origin is None:
        return []
    group = next((row for row in origin.ancestors if "members" in error_of(row)), None)
    if group is None:
        return []
    error = error_of(group)
    count = error.get("of")
    others = (count if isinstance(count, int) else len(objects(error.get("members")))) - 1
    steps = "1 more parallel step" if others == 1 else f"{others:,} more parallel steps"
    sentences = [f"{steps} failed after it."] if others > 0 else []
    names = [
        formats.step(row.schema_name) for row in origin.cancelled if row.parent_span_id == group.id
    ]
    if names:
        was = "was" if len(names) == 1 else "were"
        sentences.append(f"{_named(names)} {was} cancelled by the group.")
    return sentences


def _before(facts: RunFacts, tree: Tree, failed: StepRecord) -> list[str]:
    """Return what steps that ended before the failure may have done, as they declare it."""
    if not facts.is_whole or failed.finished_at is None:
        return []
    around = {step.id for step in tree.above(failed)}
    ended = [
        facts.declared(step.schema_name)
        for step in facts.steps.values()
        if step.id != failed.id
        and step.id not in around
        and step.schema_name not in _WITHOUT_EFFECT
        and not step.flags & DENIED
        and step.started_at is not None
        and step.started_at <= failed.finished_at
    ]
    counts = Counter(action for risk in ended for action in risk.allowed)
    done = [f"{VERBS[action]} ({times:,})" for action, times in counts.most_common()]
    never = [VERBS[action] for action in _GRAVE if action not in counts]
    undeclared = sum(any(risk.word(ACTION, name) == UNKNOWN for name in _GRAVE) for risk in ended)
    sentences = [f"Begun before it: steps that may {formats.listed(done)}."] if done else []
    if never and ended:
        does = "does" if undeclared == 1 else "do"
        more = f"; {undeclared:,} {does} not declare it" if undeclared else ""
        start = "None" if done else "No step before it"
        sentences.append(f"{start} that may {formats.listed(never, 'or')}{more}.")
    return sentences


def _cancelled(facts: RunFacts, tree: Tree) -> Notice:
    cut = [step for step in facts.steps.values() if step.status == CANCELLED]
    inner = max(cut, key=lambda step: len(tree.above(step)), default=None)
    error = members(facts.outcome.get("error"))
    return Notice(
        "",
        "cancelled",
        step="" if inner is None else formats.step(inner.schema_name),
        place=str(error.get("at") or ""),
        effect=effect_of(facts.declared(step.schema_name) for step in cut),
        values={
            "type": str(error.get("type") or ""),
            "open": len(cut),
            "failed": facts.row.spans_failed,
        },
    )


def _handled(facts: RunFacts, tree: Tree) -> Notice:
    handled = [step for step in facts.steps.values() if tree.is_handled(step)]
    handled = [step for step in handled if not step.flags & DENIED]
    effect = effect_of(facts.declared(step.schema_name) for step in handled)
    by_effect = [
        step for step in handled if effect_of([facts.declared(step.schema_name)]) == effect
    ]
    return Notice(
        "",
        "handled",
        effect=effect,
        values={
            "count": facts.row.handled,
            "total": facts.counts.here,
            "names": _counted(handled),
            "by": _named(list(dict.fromkeys(formats.step(step.schema_name) for step in by_effect))),
        },
    )


def _counted(steps: Iterable[StepRecord]) -> str:
    """Return names of steps and how often each is there: `charge 3 times, search_help twice`."""
    names = Counter(formats.step(step.schema_name) for step in steps)
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
    """Four facts: what steps may do, with which data, what was redacted, what violated the remit.

    Attributes:
        violations: The number of steps that violated the remit and ran.
        done: A sentence about completed steps with a serious action; empty for none.
    """

    allows: Mapping[str, int]
    data: Mapping[str, int]
    redacted: Mapping[str, int]
    denied: int
    violations: int
    undeclared: int
    done: str


def ledger_of(visit: Visit, facts: RunFacts) -> Ledger | None:
    """Return the facts of a complete run; None of another."""
    if facts.row.status != COMPLETE:
        return None
    risk = visit.api.get(f"/api/v1/agent_instance/{facts.row.id}/risk")["details"]
    allows, data = Counter[str](risk["allows"]), Counter[str]()
    for span_type in risk["span_types"]:
        for category in dict.fromkeys((*span_type["takes"], *span_type["gives"])):
            data[category] += span_type["spans"]
    # A denied step did nothing of what it declares.
    for step in facts.steps.values():
        if step.flags & DENIED:
            declared = facts.declared(step.schema_name)
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
    )


def _done(facts: RunFacts) -> str:
    """Return which completed steps may have had an effect outside; empty for none.

    The step of the agent itself is left out: it declares what the steps below it may do.
    """
    if not facts.is_whole:
        return ""
    above = {step.parent_id for step in facts.steps.values()}
    roots = {step.id for step in facts.steps.values() if step.schema_name == ROOT_SPAN}
    ended = [
        step
        for step in facts.steps.values()
        if step.status == COMPLETE
        and step.schema_name not in _WITHOUT_EFFECT
        and not (step.parent_id in roots and step.id in above)
    ]
    parts: list[str] = []
    for action in _OUTSIDE:
        names = [
            formats.step(step.schema_name)
            for step in ended
            if action in facts.declared(step.schema_name).allowed
        ]
        if names:
            parts.append(f"{VERBS[action]} ({len(names):,}: {_named(list(dict.fromkeys(names)))})")
    return f"Succeeded: steps that may {formats.listed(parts)}." if parts else ""
