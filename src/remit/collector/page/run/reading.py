"""The reading view of a model call: the whole conversation, with the calls before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from remit.collector.errors import RequestError, invalid_field
from remit.collector.page import formats, help_page
from remit.collector.page.hiding import hidden_value
from remit.collector.page.run.conversation import Conversation, Number, conversation, shared_with
from remit.collector.page.run.exports import TEXT
from remit.collector.page.run.facts import RunRows, in_run, span_facts
from remit.collector.page.run.messages import Message, linked
from remit.collector.page.run.model_calls import (
    Earlier,
    call_before,
    called_steps,
    earlier_calls,
    joined,
)
from remit.collector.page.runs.rows import listed_run
from remit.collector.page.visits import Data, Html, Response, Visit
from remit.collector.times import format_us

MESSAGES: Final = 200
"""Messages of one page."""
SHOWN: Final = {
    "": "everything",
    "talk": "user and assistant",
    "tools": "tools",
    "redacted": "redacted",
}
"""What can be shown, by the word in the address."""


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """A message with its notes in the margin.

    Attributes:
        at: When its call began, at the first message that is new in it.
        notes: Tokens, and why something was redacted.
        begins: Number of messages before, where the call that is read begins.
    """

    message: Message
    at: int | None = None
    notes: Sequence[str] = ()
    begins: int | None = None

    @property
    def kind(self) -> str:
        """Its role, if the style sheet knows it."""
        role = self.message.role
        return role if role in {"system", "user", "assistant", "tool"} else "other"


def read(visit: Visit, *, opened: bool) -> Response:
    """Show a conversation, or return it as plain text; of a confidential step only its numbers.

    Args:
        opened: Whether to show that of a confidential step too; the access log has the request.

    Raises:
        RequestError: The run has no such step, the step has no messages, or their text is hidden.
    """
    show = visit.query.get("show", "")
    if show not in SHOWN:
        raise invalid_field("show", f"must be one of {', '.join(filter(None, SHOWN))}, or empty")
    return in_run(visit, partial(_read, opened=opened, show=show))


def _read(visit: Visit, rows: RunRows, *, opened: bool, show: str) -> Response:
    facts = span_facts(rows, visit.named["span"])
    span = facts.span.listed
    run = listed_run(visit.api, visit.named["id"])
    call = conversation(span)
    if call is None:
        why = "the run was erased" if run["erased_at"] else "it called no model"
        raise RequestError(HTTPStatus.NOT_FOUND, "not_found", f"this step has no messages: {why}")
    as_text = visit.query.get("as") == "text"
    took = Number(formats.duration(span.took_us), "took, streamed" if call.chunks else "took")
    if facts.declared is not None and facts.hidden.values and not opened:
        if as_text:
            raise hidden_value()
        counts = [number for number in call.numbers if number.is_count]
        shape = {
            "call": call,
            "classification": facts.declared.classification,
            "numbers": [Number(f"{call.total:,}", "messages"), *counts, took],
        }
        return Html("reading_hidden.html", {"run": run, "span": span, **shape})
    calls = joined(span, call, earlier_calls(rows, span))
    before = None if call.omitted else call_before(rows, span)
    begins = call.omitted if before is None else shared_with(call, before.call)
    lines = _lines(calls, begins, called_steps(rows, span, [each.call for each in calls]))
    if as_text:
        return Data(_plain(lines).encode(), TEXT)
    wanted = visit.query.get("q", "").strip()
    matching = [line for line in lines if _is_shown(line.message, show, wanted)]
    pages = max(1, -(-len(matching) // MESSAGES))
    number = min(visit.number("page", 1, "must be a whole number from 1"), pages)
    model = Number(call.model or "not recorded", "model")
    return Html(
        "reading.html",
        {
            "run": run,
            "span": span,
            "call": call,
            "numbers": [model, *call.numbers, took],
            "missing": calls[0].call.omitted,
            "lines": matching[(number - 1) * MESSAGES : number * MESSAGES],
            "summary": _summary(lines, call.total),
            "hits": len(matching),
            "filtered": bool(show or wanted),
            "show": show,
            "shown": SHOWN,
            "q": wanted,
            "number": number,
            "pages": pages,
            "iso": format_us,
        },
    )


def _lines(calls: Sequence[Earlier], begins: int, steps: Mapping[str, Any]) -> list[ReadMessage]:
    """Return the messages of all calls, each with its margin."""
    latest = calls[-1]
    lines: list[ReadMessage] = []
    if latest.call.system is not None:
        same = sum(_same_system(each.call, latest.call) for each in calls)
        note = [f"the same in all {same} calls shown here"] if 1 < same == len(calls) else []
        lines.append(ReadMessage(latest.call.system, notes=note))
    for each in calls:
        is_latest = each is latest
        fresh = [one for one in each.call.all if not is_latest or (one.number or 0) > begins]
        first = next((one.number for one in fresh if one.number is not None), None)
        answers = {one.number for one in each.call.answer}
        for message in each.call.all:
            number = message.number
            is_first = number is not None and number == first
            notes = _answered(each.call, is_latest=is_latest) if number in answers else []
            notes += [help_page.why(rule) for rule in message.rules]
            lines.append(
                ReadMessage(
                    linked(message, steps),
                    each.span.started_at if is_first else None,
                    notes,
                    begins if is_first and is_latest and begins else None,
                )
            )
    return _first_only(lines)


def _answered(call: Conversation, *, is_latest: bool) -> list[str]:
    tokens = "" if call.tokens_out is None else f"{formats.number(call.tokens_out)} tokens"
    if is_latest:
        return [", ".join(filter(None, ("the answer to this call", tokens)))]
    return [f"{tokens} out"] if tokens else []


def _first_only(lines: Sequence[ReadMessage]) -> list[ReadMessage]:
    """Return the lines, with each reason only where it first holds."""
    shown: set[str] = set()
    kept: list[ReadMessage] = []
    for line in lines:
        reasons = {help_page.why(rule) for rule in line.message.rules}
        notes = [note for note in line.notes if note not in shown or note not in reasons]
        shown |= reasons
        kept.append(ReadMessage(line.message, line.at, notes, line.begins))
    return kept


def _same_system(one: Conversation, other: Conversation) -> bool:
    return (
        one.system is not None
        and other.system is not None
        and one.system.says_the_same(other.system)
    )


def _is_shown(message: Message, show: str, wanted: str) -> bool:
    """Return whether a message is searched for."""
    if wanted and wanted.casefold() not in message.text.casefold():
        return False
    if show == "redacted":
        return bool(message.rules)
    if show == "talk":
        return message.role in {"user", "assistant"}
    calls = any(part.kind == "call" for part in message.parts)
    return show != "tools" or message.role == "tool" or calls


def _summary(lines: Sequence[ReadMessage], total: int) -> str:
    """Return how many messages there are: `60 messages: 1 system, 12 user`."""
    counts = Counter(line.message.role for line in lines if line.message.number is not None)
    roles = ", ".join(f"{count} {role}" for role, count in counts.items())
    redacted = sum(bool(line.message.rules) for line in lines)
    noun = "message" if total == 1 else "messages"
    words = f"{total:,} {noun}" + (f": {roles}" if roles else "")
    return words + (f" · {redacted} with redacted values" if redacted else "")


def _plain(lines: Sequence[ReadMessage]) -> str:
    """Return a conversation as plain text."""
    return "\n\n".join(
        f"{line.message.number or ''} {line.message.role}".strip() + f"\n{line.message.text}"
        if not line.message.gap
        else f"[{line.message.gap} messages are not recorded]"
        for line in lines
    )
