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
from remit.collector.domain import asks
from remit.collector.domain.context import Context
from remit.collector.domain.lists import run_views
from remit.collector.errors import not_found
from remit.collector.page.declared import effect
from remit.collector.page.formats import missing, short_name
from remit.collector.page.marks import ALL_MARKS, HELD, MARKS
from remit.collector.page.scope import run_in
from remit.collector.page.visits import SPANS, Api, Visit
from remit.collector.store.ask_rows import WAITING
from remit.collector.store.questions.holds import held_steps
from remit.collector.store.questions.run_lists import run_with_agent
from remit.collector.store.rows import AskRow
from remit.collector.store.subjects import ROOT_SPAN
from remit.collector.times import parse_us

Run = Mapping[str, Any]
"""A run as the API lists it."""
MOST_OPEN: Final = 10
"""Running runs of which the open step is looked up."""
MOST_REQUESTS: Final = 200
"""Open requests of the runs of one list that are read."""
_ENDED: Final = "ProcessEnded"
_OPEN: Final = ("pending", "active")


class Outcome(NamedTuple):
    """What failed, or how it went.

    Attributes:
        tone: `failed`, `terminated`, `waiting` or `quiet`.
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


def rows_of(visit: Visit, runs: Sequence[Run]) -> list[ListedRow]:
    """Return runs as rows, the first running ones with their open step."""
    waiting = [run for run in runs if run_waits(run)]
    asked = visit.api.read(lambda ctx: _open_requests(ctx, waiting)) if waiting else {}
    running = [run["id"] for run in runs if run["status"] == "active" and not run_waits(run)]
    steps = {run_id: _open_step(visit, run_id) for run_id in running[:MOST_OPEN]}
    denied = [run["id"] for run in runs if run["denied"]]
    held = visit.api.read(lambda ctx: held_steps(ctx.tx, denied)) if denied else {}
    return [
        row_of(
            run,
            visit.now_us,
            steps.get(run["id"]),
            held=len(held.get(run["id"], ())),
            request=asked.get((run["external_identifier"], run["agent"]["id"])),
        )
        for run in runs
    ]


def row_of(
    run: Run,
    now_us: int,
    step: str | None = None,
    *,
    held: int = 0,
    request: AskRow | None = None,
) -> ListedRow:
    """Return a run of the API as a row.

    Args:
        step: Name of the step that it is in.
        held: How many of its steps holds denied.
        request: Its oldest request that waits for an answer on this server.
    """
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
        outcome=_outcome_now(run, step, request) or outcome_of(run),
        on_behalf_of=person,
        person_hash=person and hash_of_on_behalf_of(person),
        conversation=run["conversation"],
        question=run["question"],
        answer=run["answer"],
        marks=_marks(run, steps, held),
        steps=steps,
        tokens=sum(tokens) if tokens else None,
        cost=total(costs),
        cost_sources=explained(costs, breakdown["calls_without_price"]),
        took_us=_took_us(run, now_us),
        has_begun=run["started_at"] is not None,
    )


def _outcome_now(run: Run, step: str | None, request: AskRow | None) -> Outcome | None:
    """Return what an open run waits for, or the step that it is in."""
    if run_waits(run):
        if request is None:
            return Outcome("waiting", "waits for a person's answer", "")
        may = effect(msgspec.json.decode(request.words, type=list[str]))
        lead = f"waits for a yes: {short_name(request.step)}"
        return Outcome("waiting", lead, f"may {may}" if may else "")
    return Outcome("quiet", "", f"now in {step}") if step else None


def _open_requests(ctx: Context, runs: Sequence[Run]) -> dict[tuple[str, str], AskRow]:
    """Return the oldest open request of each run, by the run's key and its agent's id."""
    keys = {run["external_identifier"] for run in runs} - {None}
    where = asks.seen(ctx.caller)
    asks.add_status(where, WAITING, ctx.now_us)
    among, values = ctx.tx.among("run", keys)
    where.add(among, *values)
    newest_first = ctx.tx.asks(where, MOST_REQUESTS) if keys else []
    agents = {run["external_identifier"]: run["agent"]["id"] for run in runs}
    return {(row.run, row.agent_id or agents[row.run]): row for row in newest_first}


def _marks(run: Run, steps: StepCounts, held: int) -> list[RunMark]:
    denied = run["denied"] - held
    marks = [RunMark(HELD, held, ALL_MARKS[HELD].words)] if held else []
    return marks + [
        RunMark(
            name,
            denied if name == "denied" else None,
            kind.words if name != "lost" or steps.recorded is None else missing(steps),
        )
        for name, kind in MARKS.items()
        if name in run["flags"] and (name != "denied" or denied > 0)
    ]


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


def outcome_of(run: Run) -> Outcome | None:
    """Return the failure or the outcome of a run; None if nothing is known."""
    failure, status, denied = run["failure"], run["status"], run["denied"]
    if status == "terminated":
        reason = run["termination_reason"]
        return Outcome("terminated", f"“{reason}”" if reason else "no reason was given", "")
    if failure is not None and (status == "failed" or (denied and failure["type"] == DENIED)):
        return _failed(failure)
    if denied:
        return Outcome("failed", f"denied: {denied} step{'s' if denied > 1 else ''}", "")
    if failure is not None and not run["summary"]:
        handled = "handled " if status == "complete" else ""
        return Outcome("quiet", "", f"{handled}{_named(failure)}")
    return Outcome("quiet", "", run["summary"]) if run["summary"] else None


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
