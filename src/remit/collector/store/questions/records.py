"""Agents with their last declarations, and erasures."""

from __future__ import annotations

from typing import Final, NamedTuple

from remit.collector.store.questions.scope import Scope
from remit.collector.store.rows import ErasureRow
from remit.collector.store.statements import SELECT, Where
from remit.collector.store.transaction import Transaction

_NEWEST: Final = (
    "(SELECT MAX(x.id) FROM agent_schema_versions AS x WHERE x.agent_id = a.id)",
    "(SELECT MAX(y.id) FROM agent_versions AS y WHERE y.agent_id = a.id)",
)


class AgentRecord(NamedTuple):
    """An agent with its last declaration.

    Attributes:
        span_types: The span types of its newest schema version as JSON; None without one.
    """

    id: str
    name: str
    description: str | None
    external_identifier: str | None
    inserted_at: int
    version: str | None
    span_types: str | None


def agents(tx: Transaction, scope: Scope, most: int) -> list[AgentRecord]:
    """Return the agents of an account, or the one of the scope, newest first, at most *most*."""
    where = Where()
    where.add("a.account_id = ?", scope.account_id)
    where.add_known("a.ref = ?", scope.agent_ref)
    schema, version = _NEWEST
    sql = (
        "SELECT a.id, a.name, a.description, a.external_identifier, a.inserted_at, "
        "v.external_identifier, s.span_type_schemas FROM agents AS a "
        f"LEFT JOIN agent_schema_versions AS s ON s.id = {schema} "
        f"LEFT JOIN agent_versions AS v ON v.id = {version} "
        f"WHERE {where.text} ORDER BY a.id DESC LIMIT ?"
    )
    return [AgentRecord(*row) for row in tx.rows(sql, (*where.values, most))]


def erasures(tx: Transaction, account_id: str, since_us: int, most: int) -> list[ErasureRow]:
    """Return the erasures of an account since a time, newest first, at most *most*."""
    sql = (
        f"{SELECT[ErasureRow]} WHERE account_id = ? AND inserted_at >= ? "
        "ORDER BY inserted_at DESC, id DESC LIMIT ?"
    )
    return [ErasureRow(*row) for row in tx.rows(sql, (account_id, since_us, most))]
