"""`remit costs`: the tokens and costs of model calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import click

from remit._base.costs import total, unpriced
from remit.cli._filters import grouped, query
from remit.cli._options import Database, json_option
from remit.cli._records import costs_in
from remit.cli._source import print_json, reader_of, say_place
from remit.cli._terminal import (
    columns,
    cut,
    emit,
    faint,
    lines,
    padded,
    printable,
    width,
)
from remit.cli._wire import get
from remit.models.remit_api import CostGroup, CostList

NUMBER_COLUMNS: Final = 12
COST_COLUMNS: Final = 16
OTHER_COLUMNS: Final = 4 * (NUMBER_COLUMNS + 2) + COST_COLUMNS + 2
MIN_NAME_COLUMNS: Final = 12
_HEADINGS: Final = ("CALLS", "TOKENS IN", "CACHED", "TOKENS OUT")


@click.command()
@grouped("Group by model, agent, agent version or day.", "model", "agent", "version", "day")
@json_option
def costs(by: str, db: Database | None, *, as_json: bool, **filters: Any) -> None:
    """Show the total tokens and costs of model calls.

    For a server, the costs come from the price file of `remit serve --prices`. For the local
    database, they come from the price file that REMIT_PRICES names. If a model has no price, the
    cost that a library reported is used.
    """
    with reader_of(db) as reader, reader.listing("costs"):
        response = reader.client.send(get("/costs", CostList, query(reader, by=by, **filters)))
    if as_json:
        print_json(reader, response.model_dump(mode="json", by_alias=True, exclude={"status"}))
        return
    if not response.costs:
        emit(f"No matching model calls in {reader.place}.")
        return
    names = [printable(_name(group)) for group in response.costs]
    room = max(MIN_NAME_COLUMNS, min(max(map(width, names)), columns() - OTHER_COLUMNS))
    emit(faint(_line(by.upper(), room, _HEADINGS, "COST")))
    for name, group in zip(names, response.costs, strict=True):
        tokens = group.tokens
        numbers = (group.calls, tokens.in_ or 0, tokens.cached, tokens.out or 0)
        counts = [f"{number:,}" for number in numbers]
        emit(_line(name, room, counts, total(costs_in(group.cost_breakdown)) or "no price"))
    emit()
    for note in _notes(response):
        emit(faint(note))
    say_place(reader, err=False)


def _notes(response: CostList) -> Iterable[str]:
    without = sum(group.cost_breakdown.calls_without_price for group in response.costs)
    if without:
        yield f"Not included: {unpriced(without)}. `remit prices init` writes a price file."
    if not response.is_whole:
        yield "Only the newest 10,000 runs of this period are included."


def _name(group: CostGroup) -> str:
    if group.agent is not None:
        return group.agent.name
    if group.version is not None:
        return f"{group.version.agent} {group.version.name or group.version.id[-6:]}"
    return group.day or group.model or "not recorded"


def _line(name: str, room: int, counts: Iterable[str], cost: str) -> str:
    numbers = "  ".join(f"{count:>{NUMBER_COLUMNS}}" for count in counts)
    return f"{padded(cut(name, room, lines().cut), room)}  {numbers}  {cost:>{COST_COLUMNS}}"
