"""A run as a row of a list: how it went, its marks and its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from remit._base.costs import Cost, explained, total
from remit._base.first_failure import DENIED
from remit._base.ids import SHORT_CHARS, hash_of_on_behalf_of
from remit._base.outcomes import StepCounts, step_counts
from remit._policy.asks import ASKED
from remit.collector.domain import asks
from remit.collector.domain.context import Context
from remit.collector.domain.lists import run_views
from remit.collector.errors import not_found
from remit.collector.page.declared import verbs_of
from remit.collector.page.formats import duration, missing, short_name, times, visible
from remit.collector.page.formats import steps as steps_of
from remit.collector.page.formats import words as spoken
from remit.collector.page.marks import ALL_MARKS, HELD, MARKS
from remit.collector.page.scope import run_in
from remit.collector.page.sides import held_actions, held_in, limit_of, summary_of
from remit.collector.page.visits import SPANS, Api, Visit
from remit.collector.store.ask_rows import EXPIRED, WAITING
from remit.collector.store.questions.denials import denials
from remit.collector.store.questions.run_lists import run_with_agent
from remit.collector.store.questions.run_requests import RunRequest, requests_of_runs
from remit.collector.store.subjects import ROOT_SPAN
from remit.collector.times import parse_us
from remit.errors import Violation

Run = Mapping[str, Any]
"""A run as the API lists it."""
MOST_OPEN: Final = 10
"""Running runs of which the open step is looked up."""
MOST_REQUESTS: Final = 1_000
"""Requests of the runs of one list that are read."""
MOST_CHARS: Final = 120
"""Characters of a step's name, a person's name or a reason in a row."""
ANSWERED: Final[Mapping[str, str]] = {
    asks.REFUSED: "refused by a person",
    EXPIRED: "expired without an answer",
    asks.APPROVED: "approved by a person",
}
"""How a request ends, and the words of its mark. A row names the first of these that it has."""
_ENDED: Final = "ProcessEnded"
_OPEN: Final = ("pending", "active")


class Outcome(NamedTuple):
    """What failed, or how it went.

    Attributes:
        tone: `failed`, `stopped`, `waiting`, `approved` or `quiet`. `stopped` is a run that a
            person terminated, a step beyond a limit or on hold, or a request without an answer.
        lead: What is said first: the step and the class of its failure.
    """

    tone: str
    lead: str
    text: str


class RunMark(NamedTuple):
    """A mark of a run; its number is None where only its presence is known."""

    name: str
    number: int | None
    words: str


class ListedRow(NamedTuple):
    """A run in a list.

    Attributes:
        began: When it began; when it was opened, if it has not.
        on_behalf_of: Who asked, as the program said; `person_hash` is the hash for an address.
        question: The first question, one line; `answer` is what was answered.
        cost: The sum of its costs; empty without one.
        cost_sources: Where they come from.
        took_us: How long it took, or has taken; None if that is not known.
    """

    id: str
    short: str
    status: str
    began: str
    agent_id: str
    agent: str
    outcome: Outcome | None
    on_behalf_of: str | None
    person_hash: str | None
    conversation: str | None
    question: str | None
    answer: str | None
    marks: Sequence[RunMark]
    steps: StepCounts
    tokens: int | None
    cost: str
    cost_sources: str
    took_us: int | None
    has_begun: bool


class RowFacts(NamedTuple):
    """What is known of a run beside the run of the API.

    Attributes:
        step: Name of the step that it is in.
        requests: Its requests on this server, the newest first, each with its status.
        denied: The violations of its denied steps, by their ids.
    """

    step: str | None = None
    requests: Sequence[tuple[str, RunRequest]] = ()
    denied: Mapping[str, Sequence[Violation]] = {}


_NO_FACTS: Final = RowFacts()


def rows_of(visit: Visit, runs: Sequence[Run]) -> list[ListedRow]:
    """Return runs as rows, the first running ones with their open step."""
    running = [run["id"] for run in runs if run["status"] == "active" and not run_waits(run)]
    steps = {run_id: _open_step(visit, run_id) for run_id in running[:MOST_OPEN]}
    asked = [run for run in runs if run["asked"]]
    requests = visit.api.read(lambda ctx: _requests(ctx, asked)) if asked else {}
    denied = _denials(visit, [run for run in runs if run["denied"]])
    rows: list[ListedRow] = []
    for run in runs:
        run_id = run["id"]
        of_run = requests.get((run["external_identifier"], run["agent"]["id"]), ())
        facts = RowFacts(steps.get(run_id), of_run, denied.get(run_id, {}))
        rows.append(row_of(run, visit.now_us, facts))
    return rows


def _denials(visit: Visit, runs: Sequence[Run]) -> dict[str, dict[str, list[Violation]]]:
    """Return the violations of the denied steps of runs, by run and step."""
    run_ids = [run["id"] for run in runs]
    failures = [run["failure"] for run in runs if _is_denial(run["failure"])]
    span_ids = [failure["span"] for failure in failures if failure["span"] is not None]
    return visit.api.read(lambda ctx: denials(ctx.tx, run_ids, span_ids)) if runs else {}


def row_of(run: Run, now_us: int, facts: RowFacts = _NO_FACTS) -> ListedRow:
    """Return a run of the API as a row."""
    tokens = [count for count in run["tokens"].values() if count is not None]
    steps, breakdown = steps_in(run), run["cost_breakdown"]
    person = run["on_behalf_of"]
    costs = [Cost(**cost)._replace(amount=Decimal(cost["amount"])) for cost in breakdown["costs"]]
    return ListedRow(
        id=run["id"],
        short=run["id"][-SHORT_CHARS:],
        status="waiting" if run_waits(run) else run["status"],
        began=run["started_at"] or run["inserted_at"],
        agent_id=run["agent"]["id"],
        agent=run["agent"]["name"],
        outcome=_outcome_now(run, facts) or outcome_of(run, facts),
        on_behalf_of=person,
        person_hash=person and hash_of_on_behalf_of(person),
        conversation=run["conversation"],
        question=run["question"],
        answer=run["answer"],
        marks=_marks(run, steps, facts),
        steps=steps,
        tokens=sum(tokens) if tokens else None,
        cost=total(costs),
        cost_sources=explained(costs, breakdown["calls_without_price"]),
        took_us=_took_us(run, now_us),
        has_begun=run["started_at"] is not None,
    )


def _outcome_now(run: Run, facts: RowFacts) -> Outcome | None:
    """Return what an open run waits for, or the step that it is in."""
    if run_waits(run):
        waiting = [request for status, request in facts.requests if status == WAITING]
        if not waiting:
            return Outcome("waiting", "waits for a person's answer", "")
        oldest = waiting[-1]
        may = verbs_of(msgspec.json.decode(oldest.words, type=list[str]))
        lead = f"waits for a yes: {_cut(short_name(oldest.step))}"
        return Outcome("waiting", lead, f"may {may}" if may else "")
    return Outcome("quiet", "", f"now in {facts.step}") if facts.step else None


def _requests(
    ctx: Context, runs: Sequence[Run]
) -> dict[tuple[str, str], list[tuple[str, RunRequest]]]:
    """Return the requests of each run, the newest first, by the run's key and its agent's id."""
    agents = {run["external_identifier"]: run["agent"]["id"] for run in runs}
    keys = agents.keys() - {None}
    requests: dict[tuple[str, str], list[tuple[str, RunRequest]]] = {}
    for each in requests_of_runs(ctx.tx, asks.seen(ctx.caller), keys, MOST_REQUESTS):
        of_run = requests.setdefault((each.run, each.agent_id or agents[each.run]), [])
        of_run.append((asks.status_of(each, ctx.now_us), each))
    return requests


def _marks(run: Run, steps: StepCounts, facts: RowFacts) -> list[RunMark]:
    statuses = [status for status, _ in facts.requests]
    marks = [
        RunMark(status, statuses.count(status), words)
        for status, words in ANSWERED.items()
        if status in statuses
    ]
    held = _held(facts)
    # A step that a person refused, or did not answer about, is denied as well.
    denied = run["denied"] - held - statuses.count(asks.REFUSED) - statuses.count(EXPIRED)
    marks += [RunMark(HELD, held, ALL_MARKS[HELD].words)] if held else []
    return marks + [
        RunMark(
            name,
            denied if name == "denied" else None,
            kind.words if name != "lost" or steps.recorded is None else missing(steps),
        )
        for name, kind in MARKS.items()
        if name in run["flags"] and (name != "denied" or denied > 0)
    ]


def _held(facts: RowFacts) -> int:
    """Return how many steps a hold denied."""
    return sum(bool(held_in(violations)) for violations in facts.denied.values())


def run_waits(run: Run) -> bool:
    """Return whether a run waits for a person's answer."""
    return bool(run["status"] == "active" and run["asked"] > run["answered"])


def steps_in(run: Run) -> StepCounts:
    """Return the numbers of a run's steps."""
    return step_counts(run["external_identifier"], run["status"], run["span_counts"])


def listed_run(api: Api, run_id: str) -> dict[str, Any]:
    """Return a run as a list has it.

    Raises:
        RequestError: 404, there is none with this id for this person.
    """

    def work(ctx: Context) -> dict[str, Any]:
        run = run_with_agent(ctx.tx, run_in(ctx, run_id).ref)
        if run is None:
            raise not_found("agent_instance")
        return run_views(ctx, [run])[0]

    return api.read(work)


def outcome_of(run: Run, facts: RowFacts = _NO_FACTS) -> Outcome | None:
    """Return the failure or the outcome of a run; None if nothing is known."""
    failure, status, denied = run["failure"], run["status"], run["denied"]
    if status == "terminated":
        reason = run["termination_reason"]
        return Outcome("stopped", f"“{reason}”" if reason else "no reason was given", "")
    # A run that the policy ended has a failure without a step and a class.
    if failure is not None and status == "failed":
        is_named = failure["step"] or failure["type"]
        if not denied or (is_named and not _is_denial(failure)):
            return _failed(failure)
    answered = _answered(facts.requests, denied=bool(denied))
    if answered is not None:
        return answered
    if failure is not None and denied and _is_denial(failure):
        return _denied(failure, facts.denied.get(failure["span"], ()))
    return _how_it_went(run, facts)


def _how_it_went(run: Run, facts: RowFacts) -> Outcome | None:
    """Return the outcome of a run that neither its failure nor an answer explains."""
    failure, denied, summary = run["failure"], run["denied"], run["summary"]
    if denied:
        is_by_hold = _held(facts) >= denied
        tone, lead = ("stopped", "denied by a hold") if is_by_hold else ("failed", "denied")
        limits = filter(None, map(_limit, facts.denied.values()))
        return next(limits, Outcome(tone, f"{lead}: {steps_of(denied)}", ""))
    if failure is not None and not summary:
        handled = "handled " if run["status"] == "complete" else ""
        return Outcome("quiet", "", f"{handled}{_named(failure)}")
    if summary:
        return Outcome("quiet", "", summary)
    if run["asked"] and run["status"] != "failed":
        return Outcome("quiet", "", f"asked a person {times(run['asked'])}")
    return None


def _answered(requests: Sequence[tuple[str, RunRequest]], *, denied: bool) -> Outcome | None:
    """Return how a request of a run ended: the newest one about its step.

    Args:
        denied: Whether a step was denied, which matters more than an approval.
    """
    newest: dict[str, tuple[str, RunRequest]] = {}
    for status, each in requests:
        newest.setdefault(each.step, (status, each))
    first = next(
        (of_step for word in ANSWERED for of_step in newest.values() if of_step[0] == word), None
    )
    if first is None or (denied and first[0] == asks.APPROVED):
        return None
    status, request = first
    others = len(requests) - 1
    more = f"; {others:,} other request{'s' if others > 1 else ''}" if others else ""
    step = _cut(short_name(request.step))
    by = _cut(request.answered_by or "")
    if status == asks.REFUSED:
        return Outcome("failed", f"refused by {by}:", f"“{_cut(request.why or '')}”{more}")
    if status == EXPIRED:
        allowed = duration(request.expires_at - request.asked_at)
        return Outcome("stopped", f"expired: {step},", f"no answer within {allowed}{more}")
    after = duration((request.answered_at or request.asked_at) - request.asked_at)
    return Outcome("approved", f"approved: {step}", f"by {by}, after {after}{more}")


def _denied(failure: Mapping[str, Any], violations: Sequence[Violation]) -> Outcome:
    """Return why the step at which a failure began was denied."""
    if held_in(violations):
        step = failure["step"] and _shown(failure["step"], failure["step_name"])
        lead = f"denied by a hold: {step}" if step else "denied by a hold"
        return Outcome("stopped", lead, held_actions(violations))
    denied = _failed(failure)
    return _limit(violations) or denied._replace(text=_reason(violations) or denied.text)


def _limit(violations: Sequence[Violation]) -> Outcome | None:
    """Return the limit that a denied step was beyond; None if it was beyond none."""
    limit = limit_of(violations)
    if limit is None:
        return None
    number = f"{limit.number:,}"
    return Outcome("stopped", f"limit reached: {spoken(limit.name)}", f"{number} of {number}")


def _reason(violations: Sequence[Violation]) -> str:
    """Return how a step violates the remit of its agent; empty if that is not known."""
    named = next((violation for violation in violations if violation.name), None)
    if named is None:
        return ""
    if named.limit == ASKED:
        return "needs a person's yes and got none"
    return summary_of(named, agent="the agent")


def _is_denial(failure: Mapping[str, Any] | None) -> bool:
    return failure is not None and failure["type"] == DENIED


def _cut(text: str) -> str:
    """Return a text that a program or a person wrote, in one line, cut at its end."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= MOST_CHARS else f"{line[:MOST_CHARS]}…"


def _open_step(visit: Visit, run_id: str) -> str | None:
    """Return the name of the step that a run is in; None if it is in none."""
    response = visit.api.get_in_time(SPANS, run_id=run_id, status="active", limit="1")
    if response is None or not response["spans"]:
        return None
    span = response["spans"][0]
    name = span["schema_name"]
    return None if name == ROOT_SPAN else _shown(name, span["step_name"])


def _shown(step: str, name: Mapping[str, str] | None) -> str:
    """Return the name of a step for people; *name* is what an integration recorded."""
    return short_name(step) if name is None else " ".join(name.values())


def _failed(failure: Mapping[str, Any]) -> Outcome:
    step = failure["step"] and _shown(failure["step"], failure["step_name"])
    if _kind(failure) == _ENDED:
        return Outcome("failed", "process ended", f"while {step} was open" if step else "")
    if failure["type"] == DENIED and step:
        return Outcome("failed", f"denied: {step}", failure["text"] or "")
    return Outcome("failed", _named(failure), failure["text"] or "")


def _named(failure: Mapping[str, Any]) -> str:
    """Return the step and the class of a failure, without their modules."""
    step = failure["step"] and _shown(failure["step"], failure["step_name"])
    parts = (step, _kind(failure))
    return ": ".join(part for part in parts if part) or "failed"


def _kind(failure: Mapping[str, Any]) -> str:
    return (failure["type"] or "").rpartition(".")[2]


def _took_us(run: Run, now_us: int) -> int | None:
    began = run["started_at"]
    ended_unknown = run["failure"] is not None and _kind(run["failure"]) == _ENDED
    if began is None or (run["status"] == "failed" and ended_unknown):
        return None
    ended = run["finished_at"]
    if ended is None and run["status"] not in _OPEN:
        return None
    return max(0, (now_us if ended is None else parse_us(ended)) - parse_us(began))
