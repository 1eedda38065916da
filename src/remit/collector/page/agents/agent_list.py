"""All agents: those with failed runs, those with denied steps or violations, then the others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from remit._policy.words import CATEGORIES, UNKNOWN, sensitivity
from remit.collector.domain.context import Context
from remit.collector.domain.declared import Declaration, declaration_of
from remit.collector.page.formats import short_name
from remit.collector.page.scope import scope_in
from remit.collector.page.visits import COUNTS, RUNS, Html, Response, Visit
from remit.collector.page.windows import PERIODS, Period, local, period_of
from remit.collector.store.questions.versions import agents_of, last_runs, newest_declarations
from remit.collector.times import format_us

PAGE_AGENTS: Final = 100
MOST_AGENTS: Final = 10_000
"""Number of agents that are read, the oldest; later ones are not listed."""
SHORT_VERBS: Final = {
    "external_communication": "communicate",
    "financial_transactions": "move money",
    "destroy_data": "destroy",
    "create_data": "create",
    "update_data": "update",
    "read_data": "read",
}
"""The actions in a word, the most serious first."""
PARTS: Final = ("failed", "denied", "well")
Numbers = Mapping[str, Any]


class Summary(NamedTuple):
    """An agent, and the numbers of its runs and steps in the time.

    Attributes:
        lost: Number of the newest runs that lost a part of their record.
        step: The step in which most of its newest failed runs failed.
        failing_since: When the oldest of these failed; None if older ones were not read.
    """

    id: str
    name: str
    identifier: str | None
    description: str | None
    runs: Numbers
    spans: Numbers
    lost: int = 0
    step: str | None = None
    failing_since: str | None = None

    def count(self, name: str) -> int:
        """Return the number of its runs of a status."""
        return int(self.runs.get(name, 0))

    def spans_with(self, flag: str) -> int:
        """Return the number of its spans with a flag."""
        return int(self.spans.get(flag, 0))

    @property
    def is_idle(self) -> bool:
        """Whether it did nothing; steps of an earlier run count too."""
        return self.worst == "well" and not self.count("runs") and not self.spans_with("spans")

    @property
    def worst(self) -> str:
        """The worst: `failed`, `denied`, `violation`, `terminated`, `lost` or `well`."""
        if self.count("failed"):
            return "failed"
        for flag, word in (("denied", "denied"), ("violation", "violation")):
            if self.spans_with(flag):
                return word
        if self.count("terminated"):
            return "terminated"
        return "lost" if self.lost else "well"

    @property
    def part(self) -> str:
        """The part of the list that it belongs to."""
        worst = self.worst
        return worst if worst in PARTS else "denied"


class Card(NamedTuple):
    """A row of the list.

    Attributes:
        most_sensitive: The category of the highest class that a step handles.
    """

    agent: Summary
    owner: str | None
    purpose: str | None
    may: Sequence[str]
    most_sensitive: str | None
    more: int
    classification: str
    ruled_out: bool
    last: str | None


def agents(visit: Visit) -> Response:
    """List the agents."""
    period = period_of(visit)
    wanted = visit.query.get("agent", "").strip()
    first = visit.number("after", 0, "must be the number of agents on the previous pages")
    everyone = _summaries(visit, period)
    listed = [agent for agent in everyone if _is_named(agent, wanted)]
    listed.sort(
        key=lambda agent: (PARTS.index(agent.part), -agent.count("runs"), agent.name.casefold())
    )
    shown = listed[first : first + PAGE_AGENTS]
    cards = visit.api.read(lambda ctx: _cards(ctx, shown))
    parts = Counter(agent.part for agent in listed)
    return Html(
        "agents.html",
        {
            "cards": cards,
            "parts": parts,
            "worst": Counter(agent.worst for agent in everyone),
            "total": len(everyone),
            "matching": len(listed),
            "idle": sum(agent.is_idle for agent in everyone),
            "first": first,
            "next": first + PAGE_AGENTS if first + PAGE_AGENTS < len(listed) else None,
            "size": PAGE_AGENTS,
            "wanted": wanted,
            "names": sorted({agent.name for agent in everyone})[:1000],
            "period": period,
            "today": local(visit.now_us, visit.zone).date(),
            "periods": PERIODS,
        },
    )


def _is_named(agent: Summary, wanted: str) -> bool:
    text = wanted.casefold()
    return not text or wanted == agent.id or text in agent.name.casefold()


def _summaries(visit: Visit, period: Period) -> list[Summary]:
    """Return all agents of which the person sees something, in no order."""
    api = visit.api
    runs = api.get(COUNTS, of="runs", by="agent", since=period.since)["counts"]
    spans = api.get(COUNTS, of="spans", by="agent", since=period.since)["counts"]
    runs_of = {group["agent"]["id"]: group for group in runs}
    spans_of = {group["agent"]["id"]: group for group in spans}
    lost = api.get(RUNS, flag="lost", since=period.since)["runs"]
    lost_of = Counter(run["agent"]["id"] for run in lost)
    failed_of: dict[str, list[Numbers]] = defaultdict(list)
    for run in api.get(RUNS, status="failed", since=period.since)["runs"]:
        failed_of[run["agent"]["id"]].append(run)
    return [
        Summary(
            *agent,
            runs_of.get(agent.id, {}),
            spans_of.get(agent.id, {}),
            lost_of[agent.id],
            *_failing(failed_of[agent.id], runs_of.get(agent.id, {})),
        )
        for agent in api.read(lambda ctx: agents_of(ctx.tx, scope_in(ctx), most=MOST_AGENTS))
    ]


def _failing(failed: Sequence[Numbers], runs: Numbers) -> tuple[str | None, str | None]:
    """Return the step in which most runs failed, and since when; None where it is not known."""
    failures: list[Numbers] = [run["failure"] for run in failed if run["failure"] is not None]
    steps = Counter(str(failure["step"]) for failure in failures if failure["step"])
    since = failed[-1]["started_at"] if failed and len(failed) == runs.get("failed") else None
    return (short_name(steps.most_common(1)[0][0]) if steps else None), since


def _cards(ctx: Context, shown: Sequence[Summary]) -> list[Card]:
    ids = [agent.id for agent in shown]
    declarations, last = newest_declarations(ctx.tx, ids), last_runs(ctx.tx, scope_in(ctx), ids)
    return [
        _card(
            agent,
            declaration_of(declarations.get(agent.id), agent.identifier, agent.name),
            last.get(agent.id),
        )
        for agent in shown
    ]


def _card(agent: Summary, declared: Declaration, last_us: int | None) -> Card:
    classes = {name: declared.class_of(name) for name in declared.effective.included}
    highest = max(classes, key=lambda name: sensitivity(classes[name]), default=None)
    return Card(
        agent,
        declared.owner,
        agent.description or declared.description,
        [verb for name, verb in SHORT_VERBS.items() if name in declared.effective.allowed],
        highest,
        max(0, len(classes) - 1),
        UNKNOWN if highest is None else classes[highest],
        all(map(declared.effective.excludes, CATEGORIES)),
        None if last_us is None else format_us(last_us),
    )
