"""The page of a conversation: where it stands, its numbers, and its turns or its messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Final, NamedTuple

from remit._base.costs import Cost, total
from remit.collector.domain.context import Context
from remit.collector.domain.states import FAILED, UNFINISHED
from remit.collector.errors import invalid_field
from remit.collector.model_usage import usage_in
from remit.collector.page import formats
from remit.collector.page.conversations.texts import Reader
from remit.collector.page.conversations.turns import ShownTurn, shown
from remit.collector.page.run.conversation import Number
from remit.collector.page.run.facts import Said
from remit.collector.page.scope import scope_in
from remit.collector.page.visits import RUNS, Html, Response, Visit
from remit.collector.page.windows import local
from remit.collector.prices import Prices, costs_of
from remit.collector.store.questions.conversations import Turn, turns_of
from remit.collector.store.questions.run_lists import WAITING
from remit.collector.times import format_us

PATH: Final = "/conversations/{id:path}"
TURNS: Final = 20
"""Turns of a page."""
TEXTS: Final = 10
"""Turns of a page of messages."""
MOST_NAMED: Final = 5
"""Turns, people, agents or models that a sentence names."""


class Noted(NamedTuple):
    """Turns that a notice names.

    Attributes:
        turns: The first of them, each with its address.
        more: How many others there are.
    """

    turns: Sequence[tuple[int, str]]
    more: int

    @property
    def total(self) -> int:
        """The number of all."""
        return len(self.turns) + self.more


def show(visit: Visit) -> Response:
    """Show a conversation turn by turn, or its messages.

    Raises:
        RequestError: 422, there is no such view.
    """
    view = visit.query.get("view", "")
    if view not in {"", "text"}:
        raise invalid_field("view", "must be text, or empty")
    values = visit.at_once(partial(_read, is_text=view == "text"))
    if values is None:
        named = {"conversation": visit.named["id"]}
        return Html("conversation_not_found.html", named, HTTPStatus.NOT_FOUND)
    return Html("conversation_text.html" if view else "conversation.html", values)


def _read(visit: Visit, ctx: Context, *, is_text: bool) -> dict[str, object] | None:
    """Return the values of the page; None if the reader sees no run of the conversation."""
    name = visit.named["id"]
    turns = turns_of(ctx.tx, scope_in(ctx), name)
    if not turns:
        return None
    size = TEXTS if is_text else TURNS
    pages = -(-len(turns) // size)
    number = _page_number(visit, turns, size, pages)
    begin = (number - 1) * size
    # The turn before knows the messages that the first one of the page sends again.
    before = 1 if is_text and begin else 0
    read = _shown(visit, ctx, turns, begin - before, begin + size)
    page = read[before:]

    def address(turn: Turn) -> str:
        at = (turn.number - turns[0].number) // TURNS + 1
        return f"{formats.conversation(name)}{f'?page={at}' if at > 1 else ''}#{turn.id}"

    reader = Reader()
    said = [each.facts.said for each in page]
    runs = turns[-1].number
    return {
        "name": name,
        "turns": page,
        "texts": [reader.read(each) for each in read][before:] if is_text else (),
        "runs": runs,
        "unread": turns[0].number - 1,
        "state": _state(turns),
        "agents": list(dict.fromkeys((turn.agent_id, turn.agent) for turn in turns)),
        "people": _people(said, lambda each: (each.on_behalf_of, each.person_hash)),
        "subjects": _people(said, lambda each: (each.subject, each.subject_hash)),
        "first": turns[0],
        "last_us": _last_us(turns),
        "numbers": _numbers(turns, runs, visit.api.service.settings.prices, visit.now_us),
        "waiting": _noted(turns, address, lambda turn: bool(turn.is_waiting)),
        "failed": _noted(turns, address, lambda turn: turn.status == FAILED),
        "denied": _noted(turns, address, lambda turn: turn.denied > 0),
        "number": number,
        "pages": pages,
        "now_us": visit.now_us,
        "today": local(visit.now_us, visit.zone).date(),
        "iso": format_us,
        "most_named": MOST_NAMED,
    }


def _page_number(visit: Visit, turns: Sequence[Turn], size: int, pages: int) -> int:
    """Return the page of the address, or that of the run that it names."""
    wanted = visit.query.get("run")
    at = next((place for place, turn in enumerate(turns) if turn.id == wanted), None)
    if at is not None:
        return at // size + 1
    return min(visit.number("page", 1, "must be a whole number from 1"), pages)


def _shown(
    visit: Visit, ctx: Context, turns: Sequence[Turn], begin: int, end: int
) -> list[ShownTurn]:
    """Return the turns from *begin* to before *end*."""
    part = turns[begin:end]
    after = turns[end].id if end < len(turns) else None
    name = visit.named["id"]
    listed = visit.api.get(RUNS, conversation=name, before=after, limit=str(len(part)))["runs"]
    runs = {run["id"]: run for run in listed}
    return [shown(ctx, turn, runs[turn.id], turns[-1].number) for turn in part if turn.id in runs]


def _state(turns: Sequence[Turn]) -> str:
    """Return the status of the last turn, or that one of the turns waits."""
    return WAITING if any(turn.is_waiting for turn in turns) else turns[-1].status


def _last_us(turns: Sequence[Turn]) -> int | None:
    """Return when the last turn ended; None while a turn goes on."""
    if any(turn.status in UNFINISHED for turn in turns):
        return None
    return max(turn.began_us if turn.finished_at is None else turn.finished_at for turn in turns)


def _people(
    said: Sequence[Said], person: Callable[[Said], tuple[str | None, str]]
) -> list[tuple[str, str]]:
    """Return the people of the turns of a page, each with the hash for an address."""
    people = dict(map(person, said))
    return [(name, hashed) for name, hashed in people.items() if name is not None]


def _noted(
    turns: Sequence[Turn], address: Callable[[Turn], str], is_meant: Callable[[Turn], bool]
) -> Noted:
    meant = [turn for turn in turns if is_meant(turn)]
    named = [(turn.number, address(turn)) for turn in meant[:MOST_NAMED]]
    return Noted(named, len(meant) - len(named))


def _numbers(turns: Sequence[Turn], runs: int, prices: Prices | None, now_us: int) -> list[Number]:
    """Return the numbers of a conversation, each with the turns of which it is known."""
    tokens = [turn.tokens for turn in turns if turn.tokens is not None]
    costs: list[Cost] = []
    priced = 0
    models: Mapping[str, None] = {}
    for turn in turns:
        if turn.model_usage is not None:
            used = usage_in(turn.model_usage)
            models = {**models, **dict.fromkeys(usage.model for usage in used)}
            amounts, without_price = costs_of(((usage, turn.began_us) for usage in used), prices)
            costs += amounts
            priced += bool(amounts) and not without_price
    took = [
        turn.finished_at - turn.started_at
        for turn in turns
        if turn.finished_at is not None and turn.started_at is not None
    ]
    last_us = _last_us(turns)
    lasts = (now_us if last_us is None else last_us) - turns[0].began_us

    def of_turns(known: int) -> str:
        return f"{known:,} of {runs:,} turn{'' if runs == 1 else 's'}"

    numbers: list[Number] = []
    if tokens:
        label = "tokens" if len(tokens) == runs else f"tokens, {of_turns(len(tokens))}"
        numbers.append(Number(formats.number(sum(tokens)), label))
    if costs:
        numbers.append(Number(total(costs), f"cost, {of_turns(priced)}"))
    if took:
        numbers.append(Number(formats.duration(sum(took)), "in its turns"))
    end = "now" if last_us is None else "the last"
    numbers.append(Number(formats.duration(lasts), f"from the first turn to {end}"))
    if models:
        named = [*models][:MOST_NAMED]
        more = [f"{len(models) - MOST_NAMED:,} others"] if len(models) > MOST_NAMED else []
        label = "model" if len(models) == 1 else "models"
        numbers.append(Number(formats.listed([*named, *more]), label))
    return numbers
