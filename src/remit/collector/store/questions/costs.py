"""Costs of model calls by model, agent, version or day."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from remit.collector.model_usage import ModelUsage, usage_in
from remit.collector.prices import Costs, Prices, costs_of, day_of
from remit.collector.store.ids import first_at
from remit.collector.store.questions.scope import AGENT_NAME, Scope, of_scope
from remit.collector.store.rows import RunRow
from remit.collector.store.transaction import Transaction

MOST_RUNS: Final = 10_000
"""Runs whose costs are added; of more, those of the newest."""


class RunUsage(NamedTuple):
    """A run with model calls.

    Attributes:
        began_us: When it began; when it was registered, if it has not.
        models: The use of each model.
        version: Name of the agent's version; None if it has none.
        version_agent: Name of the agent, as the version gave it.
    """

    began_us: int
    models: Sequence[ModelUsage]
    version_id: str
    version: str | None
    version_agent: str
    agent_id: str
    agent: str
    agent_identifier: str | None


GROUPS: Final[dict[str, Callable[[RunUsage, ModelUsage], str]]] = {
    "model": lambda _run, usage: usage.model,
    "agent": lambda run, _usage: run.agent_id,
    "version": lambda run, _usage: run.version_id,
    "day": lambda run, _usage: day_of(run.began_us).isoformat(),
}
"""The key of a model's use in a run, by the name of the grouping."""


class CostGroup(NamedTuple):
    """The use of models by one group, and what it costs.

    Attributes:
        first: One of its runs, with the names of its agent and version.
        used: The sum of its calls and tokens.
    """

    key: str
    first: RunUsage
    used: ModelUsage
    costs: Costs


def costs_by(runs: Sequence[RunUsage], by: str, prices: Prices | None) -> list[CostGroup]:
    """Return costs by group: days in order, others by their tokens, the most first."""
    key_of = GROUPS[by]
    used: dict[str, list[tuple[RunUsage, ModelUsage]]] = {}
    for run in runs:
        for usage in run.models:
            used.setdefault(key_of(run, usage), []).append((run, usage))
    groups = [_group(key, uses, prices) for key, uses in used.items()]
    if by == "day":
        return sorted(groups, key=lambda group: group.key)
    return sorted(groups, key=lambda group: (-group.used.tokens, group.key))


def costs_of_run(run: RunRow, prices: Prices | None) -> Costs:
    """Return the costs of the model calls of a run."""
    if run.model_usage is None:
        return Costs([], 0)
    began_us = run.inserted_at if run.started_at is None else run.started_at
    return costs_of(((usage, began_us) for usage in usage_in(run.model_usage)), prices)


def _group(
    key: str, uses: Sequence[tuple[RunUsage, ModelUsage]], prices: Prices | None
) -> CostGroup:
    total = ModelUsage(key)
    for _, usage in uses:
        total.add(usage)
    costs = costs_of(((usage, run.began_us) for run, usage in uses), prices)
    return CostGroup(key, uses[0][0], total, costs)


def usage_of_runs(
    tx: Transaction, scope: Scope, since_us: int | None, until_us: int | None
) -> tuple[list[RunUsage], bool]:
    """Return the runs with model calls among the newest `MOST_RUNS`, and whether these are all."""
    where = of_scope(scope)
    where.add_known("r.id >= ?", None if since_us is None else first_at(since_us))
    where.add_known("r.id < ?", None if until_us is None else first_at(until_us))
    newest = (
        "SELECT r.agent_ref, r.place_ref, r.model_usage, r.started_at, r.inserted_at "
        f"FROM runs AS r WHERE {where.text} ORDER BY r.id DESC LIMIT ?"
    )
    sql = (
        "SELECT COALESCE(n.started_at, n.inserted_at), n.model_usage, v.id, "
        f"COALESCE(v.external_identifier, v.name), {AGENT_NAME}, "
        "a.id, a.name, a.external_identifier "
        f"FROM ({newest}) AS n CROSS JOIN run_places AS p CROSS JOIN agents AS a "
        "CROSS JOIN agent_versions AS v WHERE n.model_usage IS NOT NULL AND p.ref = n.place_ref "
        "AND a.ref = n.agent_ref AND v.id = p.agent_version_id"
    )
    rows = tx.rows(sql, (*where.values, MOST_RUNS))
    counted = f"SELECT COUNT(*) FROM (SELECT 1 FROM runs AS r WHERE {where.text} LIMIT ?) AS n"
    ((count,),) = tx.rows(counted, (*where.values, MOST_RUNS + 1))
    runs = [RunUsage(int(began_us), usage_in(text), *rest) for began_us, text, *rest in rows]
    return runs, int(count) <= MOST_RUNS
