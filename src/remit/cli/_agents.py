"""`remit agents`: list and show agents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click

from remit.cli._options import TEXT, Database, json_option, read_option
from remit.cli._records import names_of
from remit.cli._source import print_json, printed, reader_of, say_place
from remit.cli._terminal import (
    bold,
    coloured,
    columns,
    cut,
    emit,
    faint,
    lines,
    padded,
    printable,
    when,
    when_columns,
    width,
)
from remit.models.agent import Agent, AgentInstanceCounts
from remit.models.data_risk import DataRisk

ID_CHARS: Final = 32
LABEL_COLUMNS: Final = 14
ENDED: Final = ("complete", "failed", "cancelled", "terminated")
GOING_ON: Final = ("pending", "active")


@click.group()
def agents() -> None:
    """List and show agents."""


@agents.command("list")
@read_option
@json_option
def list_agents(db: Database | None, *, as_json: bool) -> None:
    """List agents, oldest first."""
    with reader_of(db) as reader, reader.listing("agents"):
        found = reader.agents()
    if printed(reader, found, as_json=as_json, nothing="No agents yet"):
        return
    names = {agent_id: printable(name) for (agent_id, _), name in names_of(found).items()}
    room = columns() - ID_CHARS - 8 - 9 - when_columns() - 4 * 2
    room = min(max(map(width, names.values())), max(room, len("AGENT")))
    head = f"{'AGENT':<{room}}  {'ID':<{ID_CHARS}}  {'STATUS':<8}  {'RUNS':>9}  CREATED"
    emit(faint(head))
    for agent in found:
        runs = "" if agent.instance_counts is None else f"{agent.instance_counts.total:,}"
        name = padded(cut(names[agent.id], room, lines().cut), room)
        created = when(agent.inserted_at)
        emit(f"{bold(name)}  {agent.id:<{ID_CHARS}}  {agent.status:<8}  {runs:>9}  {created}")
    emit()
    say_place(reader, err=False)


@agents.command()
@click.argument("agent", type=TEXT)
@read_option
@json_option
def show(agent: str, db: Database | None, *, as_json: bool) -> None:
    """Show an agent: its runs, and the declared actions and data of its steps.

    AGENT is its name, its identifier or its id.
    """
    with reader_of(db) as reader:
        found = reader.agent_with_risk(reader.known_agent(agent).id)
    if as_json:
        print_json(reader, found.model_dump(mode="json"))
        return
    emit(f"{bold(printable(found.name))}  {found.status}")
    for label, text in _rows(found):
        if text:
            room = columns() - LABEL_COLUMNS - 2
            emit(faint(f"  {label:<{LABEL_COLUMNS}}") + cut(text, room, lines().cut))
    emit()
    say_place(reader, err=False)


def _rows(agent: Agent) -> Iterator[tuple[str, str]]:
    yield "id", agent.id
    yield "identifier", printable(agent.external_identifier or "")
    yield "description", printable(agent.description or "")
    yield "created", when(agent.inserted_at)
    if agent.instance_counts is not None:
        yield "runs", _runs(agent.instance_counts)
    if agent.risk_rollup is not None:
        yield from _risk(agent.risk_rollup)


def _runs(counts: AgentInstanceCounts) -> str:
    by_status = [
        coloured(status, f"{count:,} {status}")
        for status in (*ENDED, *GOING_ON)
        if (count := getattr(counts, status))
    ]
    return ", ".join([f"{counts.total:,}", *by_status])


def _risk(risk: DataRisk) -> Iterator[tuple[str, str]]:
    for label, part, word in (
        ("may", risk.action_profile, "allowed"),
        ("must not", risk.action_profile, "disallowed"),
        ("takes", risk.params_data_categories, "included"),
        ("gives", risk.result_data_categories, "included"),
    ):
        yield label, ", ".join(name for name, value in part if value == word)
