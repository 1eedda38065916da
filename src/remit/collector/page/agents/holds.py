"""Holds: the form, the holds in force, earlier ones, and the programs that know of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from http import HTTPStatus
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from remit._policy.words import ACTION, ACTIONS, UNKNOWN, WITHOUT_EFFECT
from remit.collector.domain.context import Context, Permission
from remit.collector.domain.runs import named_caller
from remit.collector.domain.tokens import TokenScope
from remit.collector.errors import RequestError, invalid_field
from remit.collector.page.declared import remits_of
from remit.collector.page.scope import processes_in
from remit.collector.page.visits import Html, Redirect, Response, Visit
from remit.collector.store.rows import HoldProcessRow
from remit.collector.times import US_PER_S, format_us

PATH: Final = "/hold"
_API: Final = "/api/remit/v1/holds"
GLOSSES: Final = {
    "external_communication": "something is sent",
    "financial_transactions": "money moves",
    "destroy_data": "data is deleted",
    "update_data": "data is changed",
    "create_data": "data is created",
    "read_data": "data is read",
}
"""The actions in the order of the form, each in words."""
_FIELDS: Final = ("agent", "until", "reason", "declared_only")
_REJECTED: Final = ("actions", "agents", "until", "reason")
"""The fields that the API may reject."""
_AT_ONCE_US: Final = 90 * US_PER_S
"""A program with an open run reports every minute."""
_MOST_NAMED: Final = 3
"""Most programs that are named."""
_AGE: Final = re.compile(r"(\d{1,4}) ?(m|min|h|d)")
_UNITS: Final = {"m": "minutes", "min": "minutes", "h": "hours", "d": "days"}


class Choice(NamedTuple):
    """An action of the form.

    Attributes:
        steps: How many steps a hold on it denies.
        undeclared: How many of them do not declare it.
    """

    action: str
    gloss: str
    steps: int
    undeclared: int
    chosen: bool


class Program(NamedTuple):
    """A process that reported which holds it knows."""

    agents: str
    host: str
    seen: str


class Reach(NamedTuple):
    """The processes of the last day.

    Attributes:
        at_once: How many spoke in the last minute.
        later: How many were silent longer.
        silent: Some of those, the last seen first.
        knowing: How many know the holds as they are.
        since: When the last of those learned of them.
        unknowing: How many do not.
        unknown_to: Some of those, the last seen first.
    """

    at_once: int
    later: int
    silent: Sequence[Program]
    knowing: int
    since: str | None
    unknowing: int
    unknown_to: Sequence[Program]


def show(visit: Visit) -> Response:
    """Show the holds; the form too, if there are none or the address asks for it."""
    return _page(visit, {"agent": visit.query.get("agent", "")}, None)


def make(visit: Visit) -> Response:
    """Hold actions."""
    form = visit.form
    try:
        body = {
            "actions": [action for action in GLOSSES if form.get(action)],
            "agents": [name] if (name := form.get("agent", "").strip()) else [],
            "declared_only": bool(form.get("declared_only")),
            "reason": form.get("reason", ""),
            "until": _until(form.get("until", "").strip(), visit),
        }
        if not body["actions"]:
            raise invalid_field("actions", "choose at least one action")
        visit.api.post(_API, body)
    except RequestError as rejection:
        return _page(visit, form, rejection)
    return Redirect(PATH)


def lift(visit: Visit) -> Response:
    """Lift a hold."""
    visit.api.post(f"{_API}/{visit.named['id']}/lift", {})
    return Redirect(PATH)


def _page(visit: Visit, form: Mapping[str, str], rejection: RequestError | None) -> Html:
    listed = visit.api.get(_API, counts="true")
    current = [hold for hold in listed["holds"] if hold["in_force"]]
    choices, names = visit.api.read(lambda ctx: _choices(ctx, form))
    number = int(listed["number"])
    values: dict[str, object] = {
        "current": current,
        "earlier": [hold for hold in listed["holds"] if not hold["in_force"]],
        "reach": visit.api.read(lambda ctx: _reach(ctx, number)),
        "caller": visit.api.read(named_caller),
        "choices": choices,
        "names": names,
        "form": {**dict.fromkeys(_FIELDS, ""), **form},
        "rejection": rejection,
        "wrong": _wrong(rejection),
        "asks": not current or bool(visit.query.get("new")) or rejection is not None,
        "may_stop": may_stop(visit),
    }
    return Html("hold.html", values, HTTPStatus.OK if rejection is None else rejection.status)


def may_stop(visit: Visit) -> bool:
    """Return whether the person may hold actions."""
    caller = visit.api.caller
    return caller.scope == TokenScope.ACCOUNT and caller.may.permits(Permission.STOP)


def _wrong(rejection: RequestError | None) -> dict[str, str]:
    """Return what is wrong, by field of the form."""
    errors = {} if rejection is None else rejection.errors or {}
    return {
        **dict.fromkeys(_REJECTED, ""),
        **{name.partition(".")[0]: "; ".join(texts) for name, texts in errors.items()},
    }


def _choices(ctx: Context, form: Mapping[str, str]) -> tuple[list[Choice], list[str]]:
    """Return the actions with the steps that each would deny, and the names of the agents."""
    remits = remits_of(ctx)
    words: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for remit in remits:
        for name, step in remit.steps.items():
            for action in ACTIONS:
                word = step.word(ACTION, action)
                if word == "allowed" or (word == UNKNOWN and step.kind not in WITHOUT_EFFECT):
                    words[action].setdefault(name, word)
    choices = [
        Choice(
            action,
            gloss,
            len(words[action]),
            sum(word == UNKNOWN for word in words[action].values()),
            bool(form.get(action)),
        )
        for action, gloss in GLOSSES.items()
    ]
    return choices, sorted({remit.agent.name for remit in remits})


def _reach(ctx: Context, number: int) -> Reach:
    rows = processes_in(ctx)
    knowing = [row for row in rows if row.number == number]
    unknowing = [row for row in rows if row.number != number]
    silent = [row for row in rows if row.seen_at < ctx.now_us - _AT_ONCE_US]
    return Reach(
        at_once=len(rows) - len(silent),
        later=len(silent),
        silent=[_program(ctx, row) for row in silent[:_MOST_NAMED]],
        knowing=len(knowing),
        since=format_us(max(row.known_at for row in knowing)) if knowing else None,
        unknowing=len(unknowing),
        unknown_to=[_program(ctx, row) for row in unknowing[:_MOST_NAMED]],
    )


def _program(ctx: Context, row: HoldProcessRow) -> Program:
    names: list[str] = []
    for identifier in filter(None, row.agents.split(",")):
        agent = ctx.tx.agent_of_identifier(row.account_id, identifier)
        names.append(identifier if agent is None else agent.name)
    return Program(", ".join(names) or "a program", row.host, format_us(row.seen_at))


def _until(text: str, visit: Visit) -> str | None:
    """Return the end of a hold as the API reads it: `18:00`, `2h` or ISO 8601.

    Raises:
        RequestError: 422, it is none of these.
    """
    if not text:
        return None
    now = datetime.fromisoformat(format_us(visit.now_us)).astimezone(visit.zone)
    age = _AGE.fullmatch(text)
    if age is not None:
        return (now + timedelta(**{_UNITS[age[2]]: int(age[1])})).isoformat()
    try:
        if len(text) <= len("hh:mm"):
            return _next(time.fromisoformat(text), now, visit.zone).isoformat()
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise invalid_field("until", "must be like 18:00, 2h or 2027-01-31 18:00") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=visit.zone)).isoformat()


def _next(at: time, now: datetime, zone: ZoneInfo) -> datetime:
    moment = datetime.combine(now.date(), at, zone)
    return moment if moment > now else datetime.combine(now.date() + timedelta(days=1), at, zone)
