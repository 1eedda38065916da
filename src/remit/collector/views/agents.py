"""Agents on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from remit.collector.store import AgentRow
from remit.collector.times import format_us

_STATUSES: Final = ("pending", "active", "complete", "failed", "cancelled", "terminated")
_UNFINISHED: Final = ("pending", "active")


def agent_view(row: AgentRow, counts: Mapping[str, int]) -> dict[str, object]:
    """Return an agent.

    Args:
        row: The agent.
        counts: How many of its instances stand where, by status; absent means none.
    """
    retired = row.status == "retired"
    total = sum(counts.values())
    return {
        "type": "agent",
        "id": row.id,
        "account_id": row.account_id,
        "name": row.name,
        "description": row.description,
        "external_identifier": row.external_identifier,
        "status": row.status,
        "owner_person_id": row.owner_person_id,
        "risk_profile_id": row.risk_profile_id,
        "team_id": row.team_id,
        "inserted_at": format_us(row.inserted_at),
        "updated_at": format_us(row.updated_at),
        "available_actions": {
            "update": not retired,
            "retire": not retired,
            "reinstate": retired,
            "delete": total == 0,
        },
        "instance_counts": {
            "total": total,
            **{status: counts.get(status, 0) for status in _STATUSES},
            "finished": total - sum(counts.get(status, 0) for status in _UNFINISHED),
        },
    }
