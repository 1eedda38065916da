"""The limits of a run's agent, and how much of each the run has used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from remit._policy.violations import denied_by
from remit._policy.words import ACTION, UNKNOWN
from remit.collector.domain.declared import Declared
from remit.collector.domain.findings import OF_REMIT
from remit.collector.page.run.facts import Gauge, RunRows, SpanFacts
from remit.collector.page.sides import limit_of
from remit.collector.store.questions.run_types import run_types
from remit.collector.store.rows import DENIED
from remit.collector.store.subjects import ROOT_SPAN
from remit.errors import STEPS

_MOST_TYPES: Final = 100
"""Most types of steps that are looked up among the agents."""


def gauges_of(rows: RunRows, facts: SpanFacts) -> Sequence[Gauge]:
    """Return the limits for the panel of a run, and of a step that was beyond one; else none."""
    if facts.span.row.schema_name != ROOT_SPAN:
        violations = denied_by(facts.span.result) if facts.span.row.flags & DENIED else None
        if limit_of(violations or ()) is None:
            return ()
    return list(limits_of(rows))


def limits_of(rows: RunRows) -> Iterator[Gauge]:
    """Yield the limits of a run."""
    run, tx = rows.run, rows.ctx.tx
    if not any(span_type.has_limits for span_type in rows.version.types.values()):
        return
    own, steps = rows.declaration.own, rows.declaration.steps
    if own is None or not own.numbers:
        return
    identifier = None if rows.agent is None else rows.agent.external_identifier
    prefix = (identifier or "").removesuffix(own.name)
    ran = {
        name: (steps.get(name) or Declared(name), counts.steps - counts.denied)
        for name, counts in run_types(tx, rows.ref).items()
        if name not in OF_REMIT and name != own.name
    }
    # Agents, model calls and retrievers do not count.
    named = [f"{prefix}{name}" for name in list(ran)[:_MOST_TYPES]]
    agents = {
        agent.external_identifier for agent in tx.agents_of_identifiers(run.account_id, named)
    }
    counted = [
        each for name, each in ran.items() if f"{prefix}{name}" not in agents and not each[0].kind
    ]
    for name, number in own.numbers.items():
        words = {"allowed": 0, UNKNOWN: 0}
        for step, times in counted:
            word = "allowed" if name == STEPS else step.word(ACTION, name)
            if word in words:
                words[word] += times
        yield Gauge(name, words["allowed"], words[UNKNOWN], number)
