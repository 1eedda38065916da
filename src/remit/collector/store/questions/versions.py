"""Declarations of agents, and which runs used them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from remit.collector.store.ids import ID_BYTES, first_at, time_of
from remit.collector.store.questions.scope import Scope, of_scope
from remit.collector.store.statements import Value, Where
from remit.collector.store.transaction import Transaction

MOST_RULES: Final = 200
_LAST_ID: Final = b"\xff" * (ID_BYTES + 1)
"""Larger than the ids of all runs."""


class ListedAgent(NamedTuple):
    """An agent of an account."""

    id: str
    name: str
    external_identifier: str | None
    description: str | None


class VersionUse(NamedTuple):
    """A version of an agent together with a schema version, and its runs.

    Attributes:
        runs: Number of its runs among those that were counted.
        last_us: When the newest of them was registered; None without one.
    """

    version_id: str
    schema_version_id: str
    runs: int
    last_us: int | None


class RuleCount(NamedTuple):
    """How often a rule redacted a value in spans of a type."""

    type: str
    rule: str
    times: int


class TokenSums(NamedTuple):
    """Tokens of some runs."""

    runs: int
    counted: int
    tokens_in: int
    tokens_out: int


def version_uses(tx: Transaction, scope: Scope, *, most: int) -> list[VersionUse]:
    """Return the versions of an agent, the last used first.

    Args:
        most: The number of runs that are counted, the newest.
    """
    of_run = of_scope(scope)
    of_place = Where()
    of_place.add("p.agent_ref = ?", scope.agent_ref)
    of_place.add_known("p.environment_ref = ?", scope.environment_ref)
    sql = (
        "SELECT p.agent_version_id, p.agent_schema_version_id, COALESCE(SUM(n.runs), 0), "
        "MAX(n.last_us) FROM run_places AS p LEFT JOIN (SELECT k.place_ref, COUNT(*) AS runs, "
        "MAX(k.inserted_at) AS last_us FROM (SELECT r.place_ref, r.inserted_at "
        f"FROM runs AS r WHERE {of_run.text} ORDER BY r.id DESC LIMIT ?) AS k "
        "GROUP BY k.place_ref) AS n "
        f"ON n.place_ref = p.ref WHERE {of_place.text} "
        "GROUP BY p.agent_version_id, p.agent_schema_version_id"
    )
    rows = tx.rows(sql, (*of_run.values, most, *of_place.values))
    uses = [
        VersionUse(version, schema, int(runs), None if last is None else int(last))
        for version, schema, runs, last in rows
    ]
    return sorted(uses, key=lambda use: (use.last_us or 0, use.schema_version_id), reverse=True)


def agents_of(tx: Transaction, scope: Scope, *, most: int) -> list[ListedAgent]:
    """Return agents, at most *most*, the oldest first."""
    where = Where()
    where.add("a.account_id = ?", scope.account_id)
    where.add_known("a.ref = ?", scope.agent_ref)
    sql = (
        "SELECT a.id, a.name, a.external_identifier, a.description FROM agents AS a "
        f"WHERE {where.text} ORDER BY a.id LIMIT ?"
    )
    return [ListedAgent(*row) for row in tx.rows(sql, (*where.values, most))]


def newest_declarations(tx: Transaction, agent_ids: Sequence[str]) -> dict[str, str]:
    """Return the span types of the newest schema version of each agent, as JSON."""
    if not agent_ids:
        return {}
    placeholders = ", ".join("?" * len(agent_ids))
    sql = (
        "SELECT v.agent_id, v.span_type_schemas FROM agent_schema_versions AS v WHERE v.id IN "
        f"(SELECT MAX(n.id) FROM agent_schema_versions AS n WHERE n.agent_id IN ({placeholders}) "
        "GROUP BY n.agent_id)"
    )
    return dict(tx.rows(sql, tuple(agent_ids)))


def last_runs(tx: Transaction, scope: Scope, agent_ids: Sequence[str]) -> dict[str, int]:
    """Return when the newest run of each agent was registered, in microseconds since 1970."""
    if not agent_ids:
        return {}
    placeholders = ", ".join("?" * len(agent_ids))
    where = Where()
    where.add("a.account_id = ?", scope.account_id)
    where.add_known("a.ref = ?", scope.agent_ref)
    where.add(f"a.id IN ({placeholders})", *agent_ids)
    if tx.distributed:
        # Citus rejects a query for each row of a table that all nodes have.
        where.add_known("r.environment_ref = ?", scope.environment_ref)
        sql = (
            "SELECT a.id, MAX(r.inserted_at) FROM runs AS r JOIN agents AS a "
            f"ON a.ref = r.agent_ref WHERE {where.text} GROUP BY a.id"
        )
        return {agent_id: int(last_us) for agent_id, last_us in tx.rows(sql, where.values)}
    values: list[Value]
    if scope.environment_ref is None:
        # The comparison of rows keeps PostgreSQL from walking through the runs of all agents.
        newest = (
            "SELECT CASE WHEN r.agent_ref = a.ref THEN r.id END FROM runs AS r "
            "WHERE (r.agent_ref, r.id) <= (a.ref, ?) ORDER BY r.agent_ref DESC, r.id DESC LIMIT 1"
        )
        values = [_LAST_ID]
    else:
        newest = (
            "SELECT r.id FROM runs AS r WHERE r.agent_ref = a.ref AND r.environment_ref = ? "
            "ORDER BY r.id DESC LIMIT 1"
        )
        values = [scope.environment_ref]
    sql = f"SELECT a.id, ({newest}) FROM agents AS a WHERE {where.text}"
    return {
        agent_id: time_of(bytes(run_id))
        for agent_id, run_id in tx.rows(sql, (*values, *where.values))
        if run_id is not None
    }


def rules_by_type(tx: Transaction, scope: Scope, days: tuple[int, int]) -> list[RuleCount]:
    """Return how often rules redacted values in spans of each type, the most frequent first.

    Args:
        days: The first day since 1970 and the one after the last.
    """
    where = Where()
    where.add("c.bucket >= ? AND c.bucket < ?", *days)
    where.add("c.agent_ref = ?", scope.agent_ref)
    where.add_known("c.environment_ref = ?", scope.environment_ref)
    tables = ["redacted_days"]
    if tx.dialect == "postgres":
        tables.append("redacted_increments")
    counted = " UNION ALL ".join(
        f"SELECT c.type_ref, c.rule, c.times FROM {table} AS c WHERE {where.text}"
        for table in tables
    )
    sql = (
        f"SELECT t.name, g.rule, SUM(g.times) FROM ({counted}) AS g "
        "JOIN span_types AS t ON t.ref = g.type_ref "
        "GROUP BY t.name, g.rule ORDER BY 3 DESC, t.name, g.rule LIMIT ?"
    )
    rows = tx.rows(sql, (*(where.values * len(tables)), MOST_RULES))
    return [RuleCount(name, rule, int(times)) for name, rule, times in rows]


def tokens_of(tx: Transaction, scope: Scope, since_us: int, *, most: int) -> TokenSums:
    """Return the tokens of the runs since a time; of more than *most*, those of the newest."""
    where = of_scope(scope)
    where.add("r.id >= ?", first_at(since_us))
    sums = ", ".join(
        f"CAST(COALESCE(SUM(n.{name}), 0) AS bigint)" for name in ("tokens_in", "tokens_out")
    )
    sql = (
        f"SELECT COUNT(*), COUNT(COALESCE(n.tokens_in, n.tokens_out)), {sums} FROM "
        f"(SELECT r.tokens_in, r.tokens_out FROM runs AS r WHERE {where.text} "
        "ORDER BY r.id DESC LIMIT ?) AS n"
    )
    ((runs, counted, tokens_in, tokens_out),) = tx.rows(sql, (*where.values, most))
    return TokenSums(int(runs), int(counted), int(tokens_in), int(tokens_out))
