"""A request for approval: what will run after a yes, what is not shown, and the answer.

The names and values of a request come from the program, which a model may control. They are data:
quoted, in a block of their own, and never a sentence of the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import msgspec

from remit._policy.asks import EXPIRED
from remit.collector.domain import asks
from remit.collector.domain.context import Context
from remit.collector.domain.declared import Declared
from remit.collector.errors import RequestError
from remit.collector.page import formats
from remit.collector.page.declared import remits_of, verbs_of
from remit.collector.page.payload_tree import Node, node_of
from remit.collector.page.run.conversation import conversation
from remit.collector.page.run.facts import (
    Gauge,
    RunRows,
    Said,
    conversation_runs,
    people_of,
)
from remit.collector.page.run.limits import limits_of
from remit.collector.page.run.messages import Message
from remit.collector.page.visits import Html, Redirect, Response, Visit
from remit.collector.store.ask_rows import WAITING
from remit.collector.store.rows import AskRow
from remit.collector.times import US_PER_S, parse_us
from remit.errors import STEPS
from remit.models.asks import ASKS

PATH: Final = "/waiting"
BIG_CHARS: Final = 40
"""Length up to which a value is large."""
MOST_LINES: Final = 6
"""Lines of a long text that are shown before it is unfolded."""
LINE_CHARS: Final = 80
MOST_NAME_CHARS: Final = 60
MOST_MESSAGES: Final = 6
"""Messages before a request that its page shows."""
NO_REASON: Final = "to refuse, say why. The model reads it."
_CONTROL: Final = re.compile(r"\[U\+[0-9A-F]{4,6}\]")


class Piece(NamedTuple):
    """A part of a text; `is_control` is whether it is a control character, as its code point."""

    text: str
    is_control: bool


class Value(NamedTuple):
    """An argument.

    Attributes:
        kind: `short`, `long`, `redacted`, or `tree` for an object or a list.
        text: The text, quoted if it is a string; the rule of a redacted value.
        head: Pieces of the beginning of the text, and `rest` those after it.
        note: Length of a long text, and what is shown as its code point.
        node: An object or a list.
    """

    name: str
    kind: str
    text: str = ""
    head: Sequence[Piece] = ()
    rest: Sequence[Piece] = ()
    note: str = ""
    node: Node | None = None


class Pair(NamedTuple):
    """A value that was shown before, and the value that is asked about."""

    name: str
    before: Value | None
    now: Value | None
    is_changed: bool


class Talk(NamedTuple):
    """The last messages before a request, from the last model call of its run.

    Attributes:
        address: Address of the model call.
        is_hidden: Whether its values are shown on request only.
        earlier: Number of messages before those that are shown.
    """

    address: str
    is_hidden: bool
    messages: Sequence[Message]
    earlier: int


class About(NamedTuple):
    """What the program said of the run of a request.

    Attributes:
        runs: Number of runs of its conversation.
    """

    said: Said
    conversation: str | None
    runs: int


def show(visit: Visit) -> Response:
    """Show a request."""
    return _page(visit)


def answer(visit: Visit) -> Response:
    """Answer a request, and show it."""
    ask_id = visit.named["id"]
    word = {"approve": asks.APPROVED, "refuse": asks.REFUSED}.get(visit.form.get("answer", ""), "")
    why = visit.form.get("why", "").strip()
    if word == asks.REFUSED and not why:
        return _page(visit, RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", NO_REASON))
    try:
        visit.api.post(f"{ASKS}/{ask_id}/answer", {"answer": word, "why": why or None})
    except RequestError as rejection:
        if rejection.status == HTTPStatus.NOT_FOUND:
            raise
        return _page(visit, rejection, why)
    return Redirect(f"{PATH}/{ask_id}")


def _page(visit: Visit, rejection: RequestError | None = None, why: str = "") -> Html:
    def work(ctx: Context) -> dict[str, object]:
        row = asks.find(ctx, visit.named["id"])
        view = asks.view(ctx, row)
        by, _ = asks.answerer(ctx)
        replaced = None if row.after is None else ctx.tx.ask(row.account_id, row.after)
        before = None if replaced is None else asks.view(ctx, replaced)
        after = ctx.tx.ask_after(row.account_id, row.run, row.id)
        rows = None if view["run_id"] is None else RunRows(ctx, view["run_id"])
        return {
            "ask": view,
            "effect": verbs_of(view["words"]),
            "is_waiting": view["status"] == WAITING,
            "values": given(view),
            "names": list(view["hidden"]),
            "declared": _declared(ctx, row),
            "talk": None if rows is None else _talk(rows, row),
            "about": None if rows is None else _about(rows),
            "limits": [] if rows is None else _limits(rows, row),
            "waits_us": ctx.now_us - row.asked_at,
            "limit_us": row.expires_at - row.asked_at,
            "expires_us": row.expires_at - ctx.now_us,
            "late": [(late, took(view, late["at"], view)) for late in view["late_answers"]],
            "expired": EXPIRED.format((row.expires_at - row.asked_at) / US_PER_S),
            "digest": _digest(row.seal),
            "before": before,
            "pairs": [] if before is None else _pairs(before, view),
            "after": None if after is None else after.id,
            "by": by,
            "barred": _barred(ctx, row, by),
        }

    values = visit.api.read(work)
    status = HTTPStatus.OK if rejection is None else rejection.status
    return Html("ask.html", {**values, "rejection": rejection, "why": why}, status)


def took(view: Mapping[str, Any], at: str, answered: Mapping[str, Any] | None = None) -> int:
    """Return the microseconds from a request, or from its first answer, to a time."""
    first = answered and answered["answer"]
    return parse_us(at) - parse_us(first["at"] if first else view["asked_at"])


def given(view: Mapping[str, Any]) -> list[Value]:
    """Return the arguments of a request, in the order of the program."""
    hidden: Mapping[str, str] = view["hidden"]
    return [
        _value(name, value, hidden.get(name)) for name, value in dict(view["arguments"]).items()
    ]


def _value(name: str, value: object, rule: str | None) -> Value:
    shown = formats.visible(name)
    name = shown if len(shown) <= MOST_NAME_CHARS else shown[:MOST_NAME_CHARS] + "…"
    if rule is not None:
        return Value(name, "redacted", rule)
    node = node_of(value)
    if node.kind == "redacted":
        return Value(name, "redacted", node.text)
    if isinstance(value, str):
        return _text(name, value)
    if node.nodes:
        return Value(name, "tree", node=node)
    return _text(name, node.text, quoted=False)


def _text(name: str, value: str, *, quoted: bool = True) -> Value:
    mark = '"' if quoted else ""
    text = f"{mark}{value}{mark}"
    if len(text) <= BIG_CHARS and "\n" not in text:
        return Value(name, "short", text, list(_pieces(text)))
    lines = text.splitlines(keepends=True)
    end = sum(map(len, lines[:MOST_LINES]))
    end = min(end, MOST_LINES * LINE_CHARS)
    controls = len(_CONTROL.findall(formats.visible(value))) - len(_CONTROL.findall(value))
    note = f"{len(value):,} characters in {_counted(len(lines), 'line')}"
    if controls:
        verb = "is" if controls == 1 else "are"
        note += f"; {_counted(controls, 'control character')} {verb} shown by number"
    head, rest = list(_pieces(text[:end])), list(_pieces(text[end:]))
    return Value(name, "long", text, head, rest, note)


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def _pieces(text: str) -> Iterator[Piece]:
    """Yield the parts of a text, each control character as a part of its own."""
    begin = 0
    for at, character in enumerate(text):
        shown = formats.visible(character)
        if shown != character:
            if at > begin:
                yield Piece(text[begin:at], is_control=False)
            yield Piece(shown, is_control=True)
            begin = at + 1
    if begin < len(text):
        yield Piece(text[begin:], is_control=False)


def _pairs(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Pair]:
    """Return the values of two requests side by side; the program compares the redacted ones."""
    old = {value.name: value for value in given(before)}
    pairs: list[Pair] = []
    for name, value in zip(now["arguments"], given(now), strict=True):
        differs = name in now["changed"] or _differs(name, before, now)
        pairs.append(Pair(value.name, old.pop(value.name, None), value, differs))
    return pairs + [Pair(value.name, value, None, is_changed=True) for value in old.values()]


def _differs(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    if name in now["hidden"] and name in before["hidden"]:
        return False
    return bool(before["arguments"].get(name) != now["arguments"].get(name))


def _declared(ctx: Context, row: AskRow) -> Declared | None:
    """Return the newest declaration of the step, if the agent is known."""
    if row.agent_id is None:
        return None
    remits = remits_of(ctx, row.agent_id)
    return next(filter(None, (remit.named(row.step) for remit in remits)), None)


def _about(rows: RunRows) -> About:
    return About(people_of(rows), rows.run.conversation, conversation_runs(rows))


def _limits(rows: RunRows, row: AskRow) -> list[Gauge]:
    """Return the limits that the step counts towards."""
    counted = {STEPS, *msgspec.json.decode(row.words)}
    return [gauge for gauge in limits_of(rows) if gauge.name in counted]


def _talk(rows: RunRows, row: AskRow) -> Talk | None:
    """Return the messages before a request; None if its run has no model call yet."""
    for span in rows.listed(1, until_us=row.asked_at):
        call = conversation(span)
        if call is not None:
            if span.schema_name in rows.hidden:
                return Talk(span.address, is_hidden=True, messages=(), earlier=0)
            messages = call.all[-MOST_MESSAGES:]
            earlier = max(0, call.total - len(messages))
            return Talk(span.address, is_hidden=False, messages=messages, earlier=earlier)
    return None


def _digest(seal: str | None) -> str | None:
    """Return the first 16 characters of a digest, in groups of four."""
    if seal is None:
        return None
    text = formats.visible(seal)[:16]
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def _barred(ctx: Context, row: AskRow, by: str) -> str | None:
    """Return why this person may not answer; None if the person may."""
    if not asks.may_answer(ctx.caller):
        return "this session may not approve: sign in with a token that may"
    return asks.barred(ctx, row, by)
