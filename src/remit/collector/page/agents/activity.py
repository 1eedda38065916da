"""The declarations of an agent compared with its records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from remit._base.costs import explained, total
from remit._policy.words import ACTION, ACTIONS
from remit.collector.domain.context import Context
from remit.collector.domain.declared import NEVER, Declaration
from remit.collector.model_usage import ModelUsage
from remit.collector.page.agents.first_steps import code_of
from remit.collector.page.agents.rehearsal import undeclared_denials
from remit.collector.page.agents.subjects import MOST_RUNS, Subject
from remit.collector.page.declared import VERBS, short_names
from remit.collector.page.scope import scope_in
from remit.collector.page.visits import Html, Visit
from remit.collector.page.windows import DAY_US
from remit.collector.prices import Prices
from remit.collector.store.questions.conversations import count_conversations
from remit.collector.store.questions.costs import CostGroup, RunUsage, costs_by, usage_of_runs
from remit.collector.store.questions.durations import last_durations
from remit.collector.store.questions.versions import RuleCount, TokenSums, rules_by_type, tokens_of
from remit.collector.store.subjects import ROOT_SPAN

SECRETS: Final = "authentication_and_secrets"
LAST_STEPS: Final = 200
"""Number of the newest steps of a type from which its percentiles are computed."""
MOST_TYPES: Final = 40
"""Largest number of types with percentiles: those with the longest total duration."""
MOST_FAILED: Final = 4
"""Number of steps that the first sentence names."""
FEWEST_STEPS: Final = 20
"""Number of steps that the 95th percentile needs."""
_CATEGORY: Final = "category:"
_OF_SECRETS: Final = ("name:", "pattern:", "type:SecretStr")
_EXCEPT: Final = {"name:card_code": "financial_information", "name:ssn": "personal_identifiers"}
"""The rules for secrets that are about other data."""


class Redacted(NamedTuple):
    """Values that a rule redacted in spans of a type.

    Attributes:
        category: The category of data that the rule is about; None for other rules.
        word: What is declared about the category, as the remit shows it; empty if undeclared.
        by: What declares it: the agent, or the step.
    """

    numbers: RuleCount
    category: str | None
    word: str
    by: str


class CostRow(NamedTuple):
    """The model calls of a group.

    Attributes:
        cost: The sum of their costs; empty without one.
        sources: Where the costs come from.
    """

    name: str
    used: ModelUsage
    cost: str
    sources: str


_Costs: TypeAlias = Mapping[str, Sequence[CostRow]]
"""The model calls by model, version and day."""


class _Read(NamedTuple):
    rules: list[RuleCount]
    tokens: TokenSums
    usage: list[RunUsage]
    durations: dict[str, list[int]]
    conversations: int


class Unused(NamedTuple):
    """Something that is declared and did not happen in the time.

    Attributes:
        by: The steps that may take the action.
        before: How often it happened at any time.
    """

    name: str
    is_step: bool
    by: Sequence[str]
    may: Sequence[str]
    before: int


def activity(visit: Visit, subject: Subject) -> Html:
    """Show declarations and records of the agent."""
    declared = subject.declared
    ever = visit.api.get("/api/remit/v1/counts", by="type", agent_id=subject.id)["counts"]
    before = {one["type"]: int(one["spans"]) for one in ever}
    days = subject.period.since_us // DAY_US, visit.now_us // DAY_US + 1

    longest = sorted(subject.counts, key=lambda name: -int(subject.counts[name]["duration_us"]))

    measured = [ROOT_SPAN, *longest[:MOST_TYPES]]

    def read(ctx: Context) -> _Read:
        scope, since_us = scope_in(ctx, subject.id), subject.period.since_us
        return _Read(
            rules_by_type(ctx.tx, scope, days),
            tokens_of(ctx.tx, scope, since_us, most=MOST_RUNS),
            usage_of_runs(ctx.tx, scope, since_us, None)[0],
            last_durations(ctx.tx, scope, measured, since_us, most=LAST_STEPS),
            count_conversations(ctx.tx, scope, since_us, most=MOST_RUNS),
        )

    rules, tokens, usage, durations, conversations = visit.api.read(read)
    prices = visit.api.service.settings.prices
    redacted = [_redacted(count, declared) for count in rules]
    redacted.sort(key=lambda one: (one.word != NEVER, bool(one.word), -one.numbers.times))
    undeclared = [one for one in subject.counts.values() if one["undeclared"]]
    names = {*declared.steps, *subject.counts, *(one.numbers.type for one in redacted)}
    if declared.own is not None:
        names.add(declared.own.name)
    unused = _unused(subject, before)
    return Html(
        "agent_activity.html",
        {
            "redacted": redacted,
            "never": [one for one in redacted if one.word == NEVER],
            "unused": unused,
            "undeclared": undeclared,
            "undeclared_denied": undeclared_denials(declared, (one["type"] for one in undeclared)),
            "denied": subject.total("denied"),
            "violation": subject.total("violation"),
            "findings": _findings(subject),
            "timed": _timed(subject, longest, durations),
            "last": LAST_STEPS,
            "tokens": tokens,
            "costs": _costs(usage, prices),
            "cost": _total(usage, prices),
            "conversations": conversations,
            "most": MOST_RUNS,
            "spans": subject.total("spans"),
            "short": short_names(names),
            "first_steps": code_of(subject) if subject.is_undeclared else (),
            "actions": ACTIONS,
            "failed_runs": subject.runs_failed,
            "failed_steps": _failed(subject),
            "run_p50_us": _within(durations[ROOT_SPAN], 0.5) if durations.get(ROOT_SPAN) else None,
            "run_p95_us": _within(durations[ROOT_SPAN], 0.95)
            if len(durations.get(ROOT_SPAN, ())) >= FEWEST_STEPS
            else None,
        },
    )


def _failed(subject: Subject) -> list[tuple[str, int]]:
    """Return the steps that failed, and how often, the most frequent first."""
    failed = {name: int(one["failed"]) for name, one in subject.counts.items() if one["failed"]}
    return sorted(failed.items(), key=lambda step: (-step[1], step[0]))[:MOST_FAILED]


def _costs(runs: Sequence[RunUsage], prices: Prices | None) -> _Costs:
    return {
        by: [
            CostRow(
                _name(group, by),
                group.used,
                total(group.costs.amounts),
                explained(group.costs.amounts, group.costs.without_price),
            )
            for group in costs_by(runs, by, prices)
        ]
        for by in ("model", "version", "day")
    }


def _total(runs: Sequence[RunUsage], prices: Prices | None) -> str:
    """Return the cost of all model calls; empty without one."""
    groups = costs_by(runs, "model", prices)
    return total(amount for group in groups for amount in group.costs.amounts)


def _name(group: CostGroup, by: str) -> str:
    if by == "version":
        return group.first.version or group.key[-6:]
    return group.key or "not recorded"


def _redacted(count: RuleCount, declared: Declaration) -> Redacted:
    category = category_of(count.rule)
    if category is None:
        return Redacted(count, None, "", "")
    speakers = {"the agent": declared.own, "the step": declared.steps.get(count.type)}
    words = [
        Redacted(count, category, one.in_words(category), by)
        for by, one in speakers.items()
        if one is not None
    ]
    # A limit of the agent on one side only is weaker than the declaration of the step.
    words.sort(key=lambda one: (one.word.startswith(f"{NEVER} "), not one.word))
    return next((one for one in words if one.word), Redacted(count, category, "", ""))


def category_of(rule: str) -> str | None:
    """Return the category of data that a rule is about; None if it is about any."""
    if rule.startswith(_CATEGORY):
        return rule.removeprefix(_CATEGORY)
    if rule in _EXCEPT:
        return _EXCEPT[rule]
    return SECRETS if rule.startswith(_OF_SECRETS) else None


def _unused(subject: Subject, before: Mapping[str, int]) -> list[Unused]:
    """Return the actions that may be taken and the steps that are declared, but did not happen."""
    steps = subject.declared.steps
    unused: list[Unused] = []
    for action in ACTIONS:
        by = [name for name, step in steps.items() if step.word(ACTION, action) == "allowed"]
        allowed = subject.declared.effective.word(ACTION, action) == "allowed"
        if allowed and not any(subject.ran(name) for name in by):
            times = sum(before.get(name, 0) for name in by)
            unused.append(Unused(action, is_step=False, by=by, may=(), before=times))
    for name, step in steps.items():
        if not subject.ran(name):
            verbs = [VERBS[action] for action in step.allowed]
            times = before.get(name, 0)
            unused.append(Unused(name, is_step=True, by=(), may=verbs, before=times))
    return unused


def _findings(subject: Subject) -> list[tuple[str, str, int]]:
    """Return denied steps, violations, and steps not as declared: mark, name, times."""
    return [
        (flag, name, int(one[flag]))
        for flag in ("denied", "violation", "invalid")
        for name, one in subject.counts.items()
        if one[flag]
    ]


def _timed(
    subject: Subject, longest: Sequence[str], durations: Mapping[str, Sequence[int]]
) -> list[dict[str, object]]:
    """Return the numbers of the steps, the longest together first.

    `p50_us` and `p95_us` are percentiles of the last ones.
    """
    longest_us = max((int(one["duration_us"]) for one in subject.counts.values()), default=0)
    timed: list[dict[str, object]] = []
    for name in longest:
        counts, last = subject.counts[name], durations.get(name, ())
        timed.append(
            {
                "name": name,
                "counts": counts,
                "share": 100 * int(counts["duration_us"]) / longest_us if longest_us else 0,
                "ended": int(counts["spans"]) > int(counts["unfinished"]),
                "p50_us": _within(last, 0.5) if last else None,
                "p95_us": _within(last, 0.95) if len(last) >= FEWEST_STEPS else None,
            }
        )
    return timed


def _within(durations: Sequence[int], part: float) -> int:
    """Return the duration within which a part of the steps ended; *durations* are in order."""
    return durations[math.ceil(part * len(durations)) - 1]
