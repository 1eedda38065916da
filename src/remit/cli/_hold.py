"""`remit hold`: hold actions, list the holds and lift them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

import click

from remit._base.text import number_of
from remit._policy.words import ACTIONS
from remit.cli._ages import FutureType
from remit.cli._failing import Failed
from remit.cli._options import TEXT, Database, json_option, read_option
from remit.cli._reader import ApiReader
from remit.cli._source import printed, reader_of, say_place, supported
from remit.cli._terminal import bold, emit, emit_json, faint, printable, when
from remit.cli._wire import get, post
from remit.models.remit_api import Hold, HoldList, HoldResponse

NEW: Final = "ACTION"
"""Name of the command that makes a hold, as the help shows it; it is not typed."""
MIN_END_CHARS: Final = 4
HOLDS: Final = "does not have holds"


class HoldGroup(click.Group):
    """A group whose first word may be an action in place of a command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {*self.commands, *self.get_help_option_names(ctx)}
        if args and args[0] not in known:
            args = [NEW, *args]
        return super().parse_args(ctx, args)


class UntilType(FutureType):
    """A time in the future; also a time of the day, in local time: the next one."""

    _examples = "09:00, 2h or 2027-01-01"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            at = time.fromisoformat(str(value)) if ":" in str(value)[:3] else None
        except ValueError:
            at = None
        if at is None:
            return super().convert(value, param, ctx)
        now = datetime.now().astimezone()
        moment = datetime.combine(now.date(), at).astimezone()
        if moment <= now:
            moment = datetime.combine(now.date() + timedelta(days=1), at).astimezone()
        return moment.astimezone(UTC)


@click.group(cls=HoldGroup)
def hold() -> None:
    """Hold actions: deny them in all running programs, until somebody lifts the hold."""


class ActionsArgument(click.Argument):
    """The actions. The usage line has the first of them from the group."""

    def get_error_hint(self, ctx: click.Context | None) -> str:  # noqa: ARG002 - click's signature
        """Return how an error message calls it."""
        return "'ACTION'"


@hold.command(NEW)
@click.argument(
    "actions",
    cls=ActionsArgument,
    type=click.Choice(ACTIONS),
    nargs=-1,
    required=True,
    metavar="...",
)
@click.option(
    "--agent",
    "agents",
    type=TEXT,
    multiple=True,
    metavar="AGENT",
    help="Only this agent: its id, external identifier or name. Repeatable. Default: all agents.",
)
@click.option(
    "--reason",
    type=TEXT,
    required=True,
    help="Reason, which is recorded, and which programs and their models read.",
)
@click.option(
    "--until",
    type=UntilType(),
    metavar="TIME",
    help="End of the hold: 09:00 (the next one), 2h, or 2027-01-01. Default: until it is lifted.",
)
@click.option(
    "--declared-only",
    is_flag=True,
    help="Deny only steps that declare the action. By default, steps that do not declare it are "
    "denied too.",
)
@read_option
@json_option
def new(
    actions: tuple[str, ...],
    agents: tuple[str, ...],
    reason: str,
    until: datetime | None,
    db: Database | None,
    *,
    declared_only: bool,
    as_json: bool,
) -> None:
    """Deny every step that takes ACTION, or does not declare it, whatever on_violation says.

    ACTION is create_data, read_data, update_data, destroy_data, financial_transactions or
    external_communication; several may be given. Programs with an open run know of the hold within
    2 seconds. A program that does not reach the server does not know of it. The command needs a
    token that may stop.
    """
    if not reason.strip():
        raise click.UsageError("--reason must not be empty.")
    body: dict[str, Any] = {"actions": list(actions), "reason": reason, "agents": list(agents)}
    body |= {"declared_only": declared_only}
    if until is not None:
        body["until"] = until.isoformat()
    with reader_of(db, writing=True) as reader, supported(reader, HOLDS):
        made = reader.client.send(post("/holds", HoldResponse, body)).hold
    if as_json:
        emit_json(made.model_dump(mode="json"))
        return
    emit(f"{bold('Held')}: {_what(made)}. {_end(made)}")
    emit(faint(f"In {reader.place}; lift it: remit hold lift {made.id}"))


@hold.command("list")
@click.option("--all", "with_earlier", is_flag=True, help="Also list the holds of 90 days.")
@read_option
@json_option
def list_holds(db: Database | None, *, with_earlier: bool, as_json: bool) -> None:
    """List the holds in force, newest first, with the number of steps that they denied."""
    with reader_of(db) as reader, supported(reader, HOLDS):
        holds = _listed(reader, in_force=not with_earlier)
    if printed(reader, holds, as_json=as_json, nothing="Nothing is on hold"):
        return
    for each in holds:
        emit(f"{bold(_what(each))}: {printable(each.reason)}")
        emit(f"  by {printable(each.held_by)}, {when(each.held_at)}. {_end(each)}")
        steps, runs = number_of(each.denied or 0, "step"), number_of(each.runs or 0, "run")
        emit(f"  {steps} denied in {runs}")
        emit(faint(f"  {each.id}"))
    say_place(reader, err=False)


@hold.command()
@click.argument("hold_id", type=TEXT, metavar="ID")
@read_option
@json_option
def lift(hold_id: str, db: Database | None, *, as_json: bool) -> None:
    """Lift a hold; `remit hold list` shows its ID, whose end is enough."""
    with reader_of(db, writing=True) as reader, supported(reader, HOLDS):
        chosen = _chosen(_listed(reader, in_force=True), hold_id, reader.place)
        lifted = reader.client.send(post(f"/holds/{chosen.id}/lift", HoldResponse, {})).hold
    if as_json:
        emit_json(lifted.model_dump(mode="json"))
        return
    emit(f"{bold('Lifted')}: {_what(lifted)}.")
    emit(faint(f"In {reader.place}; programs with an open run know of it within 2 seconds."))


def _listed(reader: ApiReader, *, in_force: bool) -> list[Hold]:
    query = {"counts": "true", **({"in_force": "true"} if in_force else {})}
    return reader.client.send(get("/holds", HoldList, query)).holds


def _chosen(holds: Sequence[Hold], reference: str, place: str) -> Hold:
    matching = [
        each
        for each in holds
        if each.id == reference or (len(reference) >= MIN_END_CHARS and each.id.endswith(reference))
    ]
    if len(matching) != 1:
        ids = ", ".join(each.id for each in matching or holds)
        expected = f"use one of {ids}" if ids else "nothing is on hold"
        raise Failed(f"{len(matching)} holds in force in {place} match {reference!r}: {expected}")
    return matching[0]


def _what(each: Hold) -> str:
    agents = ", ".join(printable(agent.name) for agent in each.agents) or "all agents"
    only = ", declared steps only" if each.declared_only else ""
    return f"{', '.join(each.actions)} of {agents}{only}"


def _end(each: Hold) -> str:
    if each.lifted_at is not None:
        return f"Lifted by {printable(each.lifted_by or '')}, {when(each.lifted_at)}."
    if each.until is None:
        return "Until it is lifted."
    return f"{'Until' if each.in_force else 'Ended'} {when(each.until)}."
