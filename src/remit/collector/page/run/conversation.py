"""The messages of a model call, read from the payloads of a step.

Steps of remit's integrations have `inputs` and `outputs` (docs/reference/payloads.md). Any
other step with an argument that is a list of chat messages is a model call too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from remit._base.markers import is_marker
from remit.collector.page import formats
from remit.collector.page.payload_tree import members
from remit.collector.page.run.messages import (
    Fields,
    Message,
    Part,
    Step,
    content_of,
    integer_of,
    is_chat,
    is_list,
    linked,
    message_of,
    messages_of,
    value_part,
)
from remit.collector.page.run.spans import ListedSpan
from remit.collector.page.run.values import Piece, folded, line_of

NO_CALLS: Final = (
    "agent_name",
    "node_name",
    "chain_name",
    "tool_name",
    "retriever_name",
    "guardrail_name",
)
"""Members of steps of integrations that are not model calls."""


class Number(NamedTuple):
    """A number of a model call, and its label.

    Attributes:
        is_count: Whether it is a number, without a text of the model call.
    """

    value: str
    label: str
    is_count: bool = True


@dataclass(frozen=True, slots=True)
class Conversation:
    """A model call.

    Attributes:
        omitted: Number of messages at the beginning that an earlier call recorded.
        shared: Number of messages at the beginning that the call before has as well.
    """

    read: str
    model: str | None
    numbers: Sequence[Number]
    chunks: int | None
    system: Message | None
    messages: Sequence[Message]
    answer: Sequence[Message]
    omitted: int
    shared: int
    before: str | None = None
    tokens_out: int | None = None

    @property
    def read_opened(self) -> str:
        """Address of the reading view that shows the texts of a confidential step."""
        return f"{self.read.removesuffix('/read')}/values/read"

    @property
    def all(self) -> list[Message]:
        """The messages that this step recorded, and its answer."""
        return [*self.messages, *self.answer]

    @property
    def new(self) -> list[Message]:
        """The messages that the call before does not have."""
        return [message for message in self.messages if (message.number or 0) > self.shared]

    @property
    def total(self) -> int:
        """The number of messages, with the answer and the messages of earlier calls."""
        return max((message.number or 0 for message in self.all), default=self.omitted)

    def linked(self, steps: Mapping[str, Step]) -> Conversation:
        """Return the call with the steps that it called, by id of the call."""
        return replace(
            self,
            messages=[linked(message, steps) for message in self.messages],
            answer=[linked(message, steps) for message in self.answer],
        )


def conversation(span: ListedSpan) -> Conversation | None:
    """Return the messages of a step, as the API shows the step; None if it is not a model call."""
    payload, result = span.payload, span.result
    if any(name in payload for name in NO_CALLS):
        return None
    inputs = members(payload.get("inputs"))
    listed = inputs.get("messages") if "operation" in payload else None
    if listed is None:
        listed = next(filter(is_chat, payload.values()), None)
    if listed is None and not ("operation" in payload and "model_name" in payload):
        return None
    omitted = integer_of(members(inputs.get("omitted")).get("count")) or 0
    messages = messages_of(listed, omitted)
    last = max((message.number or 0 for message in messages), default=omitted)
    usage = members(result.get("token_usage"))
    instructions = inputs.get("system") or payload.get("system")
    return Conversation(
        read=f"/runs/{span.run_id}/spans/{span.id}/read",
        model=_first_text(
            payload.get("model_name"),
            inputs.get("model"),
            payload.get("model"),
            result.get("response_model"),
        ),
        numbers=_numbers(result, usage),
        chunks=integer_of(
            result.get("chunks") or ("items" in result and result.get("count")) or None
        ),
        system=None if instructions is None else Message(None, "system", content_of(instructions)),
        messages=messages,
        answer=_answer(result, last),
        omitted=omitted,
        shared=omitted,
        tokens_out=integer_of(usage.get("completion_tokens")),
    )


def shared_with(call: Conversation, before: Conversation) -> int:
    """Return how many messages at the beginning of a call are those of the call before."""
    if call.omitted:
        return call.omitted
    count = 0
    for mine, other in zip(call.messages, before.all, strict=False):
        if not mine.says_the_same(other):
            break
        count += 1
    return count


def _numbers(result: Fields, usage: Fields) -> list[Number]:
    """Return the recorded numbers, in the order in which they are shown."""
    details, cost = members(result.get("usage_details")), members(result.get("cost"))
    outputs = members(result.get("outputs"))
    numbers: list[Number] = []

    def add(value: object, label: str) -> None:
        count = integer_of(value)
        if count is not None:
            numbers.append(Number(formats.number(count), label))

    add(usage.get("prompt_tokens"), "tokens in")
    add(details.get("cache_read"), "of them cached")
    add(usage.get("completion_tokens"), "tokens out")
    if not usage:
        numbers.append(Number("not recorded", "tokens"))
    for member, label in (("first_token_ms", "first token"), ("first_item_ms", "first item")):
        first = result.get(member)
        if isinstance(first, int | float):
            numbers.append(Number(formats.duration(round(first * formats.US_PER_MS)), label))
    reasons = outputs.get("finish_reasons")
    reason = ", ".join(map(str, reasons)) if is_list(reasons) else ""
    ended = _first_text(reason, result.get("stop_reason"), result.get("finish_reason"))
    if ended:
        numbers.append(Number(ended, "ended with", is_count=False))
    if isinstance(cost.get("amount"), str):
        amount = f"{cost['amount']} {cost.get('currency', '')}".strip()
        source = cost.get("source", "the library")
        numbers.append(Number(amount, f"cost, reported by {source}", is_count=False))
    return numbers


def _answer(result: Fields, before: int) -> list[Message]:
    """Return the messages of an answer, whatever shape the step returned it in."""
    if not result or set(result) <= {"error"}:
        return []
    outputs = members(result.get("outputs"))
    if outputs:
        return messages_of(outputs.get("messages"), before)
    if is_marker(result) or "items" in result:
        parts = content_of(result) if is_marker(result) else _stream(result)
        return [Message(before + 1, "assistant", parts)]
    return _returned(result.get("result", result), before)


def _returned(value: object, before: int) -> list[Message]:
    """Return the messages in the result of a step: messages, choices, one message, or a value."""
    fields = members(value)
    choices = fields.get("choices")
    if is_list(choices):
        chosen = [members(choice).get("message") for choice in choices]
        return messages_of([message for message in chosen if message is not None], before)
    listed = next(filter(is_chat, (value, fields.get("messages"))), None)
    if listed is not None:
        return messages_of(listed, before)
    if isinstance(fields.get("role"), str):
        return [message_of(value, before + 1)]
    if fields and not is_marker(value):
        value = {name: one for name, one in fields.items() if name not in _NOT_ANSWER}
    return [Message(before + 1, "assistant", content_of(value))] if value else []


_NOT_ANSWER: Final = frozenset({
    "error", "token_usage", "usage_details", "cost", "chunks", "first_token_ms", "response_model",
    "response_id", "outputs",
})  # fmt: skip
"""Members of a result that are shown elsewhere."""


def _stream(result: Fields) -> list[Part]:
    """Return the text of a stream; a value for each item if the items are not strings."""
    items = result["items"]
    if not is_list(items):
        return content_of(items)
    listed = items
    texts = [_item_text(item) for item in listed]
    if any(text is None for text in texts):
        return [value_part(items)]
    pieces = [text for text in texts if text is not None]
    words = all(piece.kind != "text" or piece.text == piece.text.strip() for piece in pieces)
    glue = " " if words else ""
    joined: list[Piece] = []
    for piece in pieces:
        if joined and joined[-1].kind == piece.kind == "text":
            joined[-1] = Piece(joined[-1].text + glue + piece.text)
        else:
            joined.append(piece)
    shown, rest, left = folded(joined)
    return [Part("text", shown, rest, left)]


def _item_text(item: object) -> Piece | None:
    """Return the text of one item of a stream."""
    if isinstance(item, str):
        return Piece(item)
    if is_marker(item):
        return next(iter(line_of(item)), None)
    fields = members(item)
    choices = fields.get("choices")
    if is_list(choices) and choices:
        fields = members(choices[0])
    delta = fields.get("delta")
    text = delta if isinstance(delta, str) else None
    for source in (members(delta), fields):
        for name in ("content", "text"):
            if text is None and isinstance(source.get(name), str):
                text = source[name]
    return None if text is None else Piece(text)


def _first_text(*values: object) -> str | None:
    return next((value for value in values if isinstance(value, str) and value), None)
