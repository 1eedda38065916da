"""An agent as people name it: by external identifier, id or name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from remit.cli._failing import Failed
from remit.collector.store import AgentRow, Page, Reading
from remit.models.agent import Agent

MOST_AGENTS: Final = 10_000


def names_of(agents: Iterable[Agent]) -> dict[str, str]:
    """Return the name of each agent by its id; equal names with what tells the agents apart.

    That is the folder of the project in local mode, else the identifier.
    """
    by_name: dict[str, dict[str, str]] = {}
    for each in agents:
        by_name.setdefault(each.name, {})[each.id] = each.external_identifier or each.id
    return {
        key: f"{name} ({apart})" if len(identifiers) > 1 else name
        for name, identifiers in by_name.items()
        for key, apart in _apart(identifiers).items()
    }


def _apart(identifiers: dict[str, str]) -> dict[str, str]:
    """Return the shortest part of each identifier in which all differ."""
    folders = {key: each.rpartition("/")[0] for key, each in identifiers.items()}
    projects = {key: each.rpartition("/")[2] for key, each in folders.items()}
    shorter = (each for each in (projects, folders) if len(set(each.values())) == len(each))
    found = next(shorter, identifiers)
    return {key: each or identifiers[key] for key, each in found.items()}


def agent_called(source: Reading, agent: str) -> AgentRow | None:
    """Return the agent that *agent* names.

    Raises:
        Failed: Several have that name.
    """
    page = Page(0, MOST_AGENTS, "id", descending=False)
    rows = [
        row
        for account in source.accounts()
        for row in source.list_rows(AgentRow, account.id, {}, page).rows
    ]
    matches: tuple[Callable[[AgentRow], bool], ...] = (
        lambda row: row.external_identifier == agent,
        lambda row: row.id == agent,
        lambda row: row.name == agent,
        lambda row: (row.external_identifier or "").endswith(f"/{agent}"),
    )
    for match in matches:
        found = list(filter(match, rows))
        if len(found) > 1:
            ids = ", ".join(row.id for row in found)
            raise Failed(f"{len(found)} agents are called {agent!r}: give the id of one ({ids})")
        if found:
            return found[0]
    return None
