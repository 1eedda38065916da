"""A conversation as text: the messages of its model calls, each once.

A model call sends the earlier messages again. A message of a turn is new if it does not follow
those that were sent again in the order in which they were first read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from remit.collector.page import formats, help_page
from remit.collector.page.conversations.turns import ShownTurn
from remit.collector.page.run.conversation import Conversation, conversation
from remit.collector.page.run.messages import Message, Step, linked
from remit.collector.page.run.reading import ReadMessage
from remit.collector.page.run.spans import ListedSpan

MOST_PAGES: Final = 3
"""Pages of a hundred steps that are read of a run, the latest ones."""


class TurnText(NamedTuple):
    """The messages of a turn.

    Attributes:
        again: How many earlier messages its first model call sent again.
        hidden: Addresses of model calls whose messages are shown on request only.
        inner: How many model calls inside other steps are not shown.
        unread: How many steps at the beginning of a long run were not read.
        is_line: Whether the messages are question and answer alone, because no model was called.
    """

    shown: ShownTurn
    again: int
    lines: Sequence[ReadMessage]
    hidden: Sequence[str]
    inner: int
    unread: int
    is_line: bool


class _Call(NamedTuple):
    span: ListedSpan
    call: Conversation


class Reader:
    """Reads turns in their order, and remembers the messages that it has read."""

    def __init__(self) -> None:
        """Begin before the first message."""
        self._places: dict[tuple[str, str], list[int]] = {}
        self._read = 0
        self._reasons: set[str] = set()

    def read(self, shown: ShownTurn) -> TurnText:
        """Return the messages of the next turn."""
        spans = [*shown.rows.listed(MOST_PAGES)][::-1]
        calls = [_Call(span, call) for span in spans if (call := conversation(span)) is not None]
        outer = _outermost(shown, calls)
        hidden = [each.call.read for each in outer if each.span.schema_name in shown.rows.hidden]
        steps = {
            str(span.payload["call_id"]): Step(span.address, formats.duration(span.took_us))
            for span in spans
            if "call_id" in span.payload
        }
        lines: list[ReadMessage] = []
        again: int | None = None
        for each in outer:
            if each.span.schema_name in shown.rows.hidden:
                continue
            fresh, repeated = self._fresh(each.call, is_first=again is None)
            again = repeated if again is None else again
            lines += self._lines(each.call, fresh, steps)
        is_line = not outer
        if is_line:
            lines = [ReadMessage(each) for each in (shown.question, shown.answer) if each]
        numbered = [
            replace(line, message=replace(line.message, number=number))
            for number, line in enumerate(lines, 1)
        ]
        inner = len(calls) - len(outer)
        unread = shown.facts.total - len(spans)
        return TurnText(shown, again or 0, numbered, hidden, inner, unread, is_line)

    def _fresh(self, call: Conversation, *, is_first: bool) -> tuple[list[Message], int]:
        """Return the messages of a call that were not read before, and how many others it sent.

        The question of a turn is new, even if it was asked before in the same words. So is every
        message of a call that leaves out those that an earlier call of its run recorded.
        """
        system = [] if call.system is None else [call.system]
        messages = [*system, *call.messages]
        asked = [at for at, message in enumerate(messages) if message.role == "user"]
        question = asked[-1] if asked and is_first else None
        fresh: list[Message] = []
        place = 0
        for at, message in enumerate(messages):
            known = self._places.get(_key(message), [])
            later = bisect_left(known, place)
            is_kept = bool(call.omitted) and message is not call.system
            if is_kept or at == question or message.gap or later == len(known):
                fresh.append(message)
            else:
                place = known[later] + 1
        again = len(messages) - len(fresh)
        fresh += call.answer
        for message in fresh:
            self._places.setdefault(_key(message), []).append(self._read)
            self._read += 1
        return fresh, again

    def _lines(
        self, call: Conversation, messages: Sequence[Message], steps: Mapping[str, Step]
    ) -> list[ReadMessage]:
        lines: list[ReadMessage] = []
        answers = {id(message) for message in call.answer}
        for message in messages:
            tokens = call.tokens_out if id(message) in answers else None
            notes = [] if tokens is None else [f"{formats.number(tokens)} tokens out"]
            reasons = dict.fromkeys(map(help_page.why, message.rules))
            notes += [reason for reason in reasons if reason not in self._reasons]
            self._reasons.update(reasons)
            lines.append(ReadMessage(linked(message, steps), notes=notes))
        return lines


def _key(message: Message) -> tuple[str, str]:
    return message.role, message.text


def _outermost(shown: ShownTurn, calls: Sequence[_Call]) -> list[_Call]:
    """Return the model calls with the fewest steps around them; others are those of inner agents.

    Calls whose surrounding steps were not read, late in a long run, are among them.
    """
    known = shown.facts.known
    levels = {
        each.span.id: len(shown.facts.above(known[each.span.id])) if each.span.id in known else 0
        for each in calls
    }
    least = min(filter(None, levels.values()), default=0)
    return [each for each in calls if levels[each.span.id] <= least]
