"""An agent as people name it: by external identifier, id or name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from remit.cli._failing import Failed
from remit.collector.store import AgentRow, Page, Reading

MOST_AGENTS: Final = 10_000


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
