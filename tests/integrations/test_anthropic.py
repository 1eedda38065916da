"""Watched clients of anthropic: what is recorded, and what the program sees."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import anthropic
import pydantic
import pytest

import remit
from remit.integrations.anthropic import watch
from remit.testing import RecordedSpan, isolated
from tests.model_clients import FakeServer, HandWritten, all_of, http_library, outcome, resolved
from tests.scenarios import Scenario, Turn, check, desk, each_scenario_of

HTTP: Final = http_library(anthropic)
MODEL: Final = "claude-test"
TOKENS: Final = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
QUESTION: Final = {"role": "user", "content": "Where is it?"}
ASKED: Final[Any] = {"model": MODEL, "max_tokens": 100, "messages": [QUESTION]}


class Messages:
    """The API of messages."""

    def answer(self, turn: Turn, number: int) -> dict[str, Any]:
        """Return the answer of a turn."""
        content: list[dict[str, Any]] = []
        if turn.text is not None:
            content.append({"type": "text", "text": turn.text})
        for index, (name, arguments) in enumerate(turn.calls):
            call = {"type": "tool_use", "id": f"call-{number}-{index}"}
            content.append({**call, "name": name, "input": arguments})
        return {
            "id": f"message-{number}",
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "content": content,
            "stop_reason": "tool_use" if turn.calls else "end_turn",
            "stop_sequence": None,
            "usage": {
                "input_tokens": 8,
                "cache_read_input_tokens": 4,
                "cache_creation_input_tokens": 0,
                "output_tokens": 5,
            },
        }

    def events(self, turn: Turn, number: int) -> list[Any]:
        """Return the events of a streamed turn."""
        whole = self.answer(turn, number)
        begun = {**whole, "content": [], "stop_reason": None}
        begun["usage"] = {**whole["usage"], "output_tokens": 1}
        events: list[Any] = [{"type": "message_start", "message": begun}]
        for index, block in enumerate(whole["content"]):
            start = {**block, "text": ""} if block["type"] == "text" else {**block, "input": {}}
            events.append({"type": "content_block_start", "index": index, "content_block": start})
            for delta in self._deltas(block):
                event = {"type": "content_block_delta", "index": index, "delta": delta}
                events.append(event)
            events.append({"type": "content_block_stop", "index": index})
        end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
        usage = {"output_tokens": 5}
        events.append({"type": "message_delta", "delta": end, "usage": usage})
        return [*events, {"type": "message_stop"}]

    def _deltas(self, block: Mapping[str, Any]) -> list[dict[str, str]]:
        if block["type"] == "text":
            words = block["text"].split(" ")
            texts = [*(f"{word} " for word in words[:-1]), words[-1]]
            return [{"type": "text_delta", "text": text} for text in texts]
        text = json.dumps(block["input"])
        parts = text[:5], text[5:]
        return [{"type": "input_json_delta", "partial_json": part} for part in parts]

    async def ask(
        self,
        client: Any,
        messages: list[Any],
        tools: Sequence[str],
        *,
        stream: bool,
    ) -> tuple[str, list[tuple[str, str, Any]]]:
        """Ask the model, keep its answer, and return its text and its calls."""
        schema = {"type": "object"}
        functions = [{"name": name, "input_schema": schema} for name in tools]
        options: Any = {"model": MODEL, "max_tokens": 100, "messages": messages, "tools": functions}
        if not stream:
            message = await resolved(client.messages.create(**options))
        elif isinstance(client, anthropic.AsyncAnthropic):
            async with client.messages.stream(**options) as streamed:
                message = await streamed.get_final_message()
        else:
            with client.messages.stream(**options) as streamed:
                message = streamed.get_final_message()
        messages.append({"role": "assistant", "content": message.content})
        text = "".join(block.text for block in message.content if block.type == "text")
        calls = [
            (block.id, block.name, block.input)
            for block in message.content
            if block.type == "tool_use"
        ]
        return text, calls

    def output(self, call_id: str, output: object) -> object:
        """Return a result of a tool as a message."""
        block = {"type": "tool_result", "tool_use_id": call_id, "content": str(output)}
        return {"role": "user", "content": [block]}

    def read(self, body: Mapping[str, Any]) -> list[str]:
        """Return the results of tools that the model was given."""
        return [
            block["content"]
            for message in body["messages"]
            for block in message["content"]
            if isinstance(block, dict) and block["type"] == "tool_result"
        ]


API: Final = Messages()
SYNC: Final = HandWritten(anthropic, anthropic.Anthropic, watch, API)
DRIVERS: Final = (SYNC, HandWritten(anthropic, anthropic.AsyncAnthropic, watch, API))


@pytest.mark.parametrize("driver", DRIVERS, ids=repr)
@each_scenario_of(SYNC)
def test_scenario(scenario: Scenario, driver: HandWritten) -> None:
    """An agent that is written by hand does what agents of all integrations do."""
    check(scenario, driver)


# Ways to call a model


class Place(pydantic.BaseModel):
    """Where an order is."""

    place: str


PLACE: Final = Turn(text='{"place": "Ghent"}')


def answered(body: dict[str, Any], number: int) -> object:
    """Answer a request."""
    return API.events(PLACE, number) if body.get("stream") else API.answer(PLACE, number)


def client_of(cls: Any, answer: Callable[[dict[str, Any], int], object] = answered) -> Any:
    """Return a watched client."""
    return watch(FakeServer(HTTP, answer).connect(cls))


Way = Callable[[Any], Any]


def _messages(client: Any) -> Any:
    """Return the messages that can parse; those of earlier versions have no `parse`."""
    has_parse = hasattr(client.messages, "parse")
    return client.messages if has_parse else _Unparsed(client.messages)


class _Unparsed:
    def __init__(self, messages: Any) -> None:
        self._messages = messages

    def parse(self, *, output_format: object, **asked: Any) -> Any:
        del output_format
        return self._messages.create(**asked)


def _helped(client: Any) -> None:
    with client.messages.stream(**ASKED) as stream:
        assert "".join(stream.text_stream) == PLACE.text


def _streaming_response(read: Callable[[Any], object], **options: Any) -> Way:
    def call(client: Any) -> None:
        with client.messages.with_streaming_response.create(**ASKED, **options) as response:
            assert read(response)

    return call


WAYS: Final[Mapping[str, Way]] = {
    "create": lambda c: c.messages.create(**ASKED),
    "parse": lambda c: _messages(c).parse(**ASKED, output_format=Place),
    "beta": lambda c: c.beta.messages.create(**ASKED),
    "stream=True": lambda c: list(c.messages.create(**ASKED, stream=True)),
    "stream": _helped,
    "raw": lambda c: c.messages.with_raw_response.create(**ASKED).parse(),
    "raw, unread": lambda c: c.messages.with_raw_response.create(**ASKED),
    "raw stream": lambda c: list(c.messages.with_raw_response.create(**ASKED, stream=True).parse()),
    "streaming, parse": _streaming_response(lambda r: r.parse().content),
    "streaming, json": _streaming_response(lambda r: r.json()),
    "streaming, lines": _streaming_response(lambda r: list(r.iter_lines())),
    "streaming stream": _streaming_response(lambda r: list(r.parse()), stream=True),
    "streaming lines": _streaming_response(lambda r: list(r.iter_lines()), stream=True),
    "with_options": lambda c: c.with_options(timeout=3).messages.create(**ASKED),
    "copy": lambda c: c.copy().copy().messages.create(**ASKED),
    "post": lambda c: c.post("/v1/messages", body=ASKED, cast_to=object),
}


def assert_is_whole(span: RecordedSpan) -> None:
    """Assert that a span has the question, the answer and the tokens."""
    assert span.status == "complete"
    payload, result = span.payload, span.result or {}
    assert (payload["provider"], payload["model_name"]) == ("anthropic", MODEL)
    assert payload["inputs"]["messages"] == [QUESTION]
    assert set(payload["inputs"]) == {"model", "messages", "settings"}
    assert payload["inputs"]["settings"]["max_tokens"] == 100
    assert set(payload["inputs"]["settings"]) <= {"max_tokens", "output_config"}
    assert result["outputs"]["messages"] == [{"role": "assistant", "content": PLACE.text}]
    assert result["outputs"]["finish_reasons"] == ["end_turn"]
    assert result["token_usage"] == TOKENS
    assert result["usage_details"] == {"cache_read": 4}
    assert (result["response_model"], result["response_id"]) == (MODEL, "message-0")
    if payload.get("stream"):
        assert result["chunks"] >= 1
        assert result["first_token_ms"] >= 0


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_each_way_to_call_a_model_is_one_span(way: Way) -> None:
    """Question, answer and tokens are the same, whichever way the answer is read."""
    with isolated() as recorder:
        with desk.run():
            way(client_of(anthropic.Anthropic))
        (span,) = recorder.spans("anthropic:llm")
    assert_is_whole(span)


@pytest.mark.parametrize(
    "name", ["create", "parse", "beta", "stream=True", "stream", "raw", "lines"]
)
def test_each_way_to_call_an_async_client_is_one_span(name: str) -> None:
    """As with a client that is not async."""

    async def ask(client: Any) -> None:
        if name == "stream":
            async with client.messages.stream(**ASKED) as stream:
                assert "".join(await all_of(stream.text_stream)) == PLACE.text
        elif name == "stream=True":
            assert await all_of(await client.messages.create(**ASKED, stream=True))
        elif name == "raw":
            assert await client.messages.with_raw_response.create(**ASKED)
        elif name == "lines":
            api = client.messages.with_streaming_response
            async with api.create(**ASKED, stream=True) as response:
                assert await all_of(response.iter_lines())
        else:
            await resolved(WAYS[name](client))

    with isolated() as recorder:

        async def main() -> None:
            async with desk.run():
                await ask(client_of(anthropic.AsyncAnthropic))

        asyncio.run(main())
        (span,) = recorder.spans("anthropic:llm")
    assert_is_whole(span)


def test_other_requests_are_not_recorded() -> None:
    """Counting tokens is no model call."""
    with isolated() as recorder, desk.run():
        client = client_of(anthropic.Anthropic, lambda _body, _number: {"input_tokens": 3})
        assert client.messages.count_tokens(model=MODEL, messages=[QUESTION]).input_tokens == 3
        assert list(recorder.spans("anthropic:llm")) == []


# Streams that are not read to their end

WORDS: Final = Turn(text="It is in Ghent now.")


def _said(_body: dict[str, Any], number: int) -> object:
    return API.events(WORDS, number)


def _take(stream: Any, count: int) -> None:
    for _ in range(count):
        next(stream)


def _closed(client: Any) -> None:
    stream = client.messages.create(**ASKED, stream=True)
    _take(stream, 4)
    stream.close()


def _left(client: Any) -> None:
    with client.messages.stream(**ASKED) as stream:
        _take(stream.text_stream, 2)


def _collected(client: Any) -> None:
    _take(client.messages.create(**ASKED, stream=True), 4)
    gc.collect()


@pytest.mark.parametrize("leave", [_closed, _left, _collected])
def test_a_stream_that_is_left_is_cancelled_with_what_came(leave: Way) -> None:
    """It is so at once, not at the end of the run."""
    with isolated() as recorder, desk.run():
        leave(client_of(anthropic.Anthropic, _said))
        (span,) = recorder.spans("anthropic:llm")
        assert span.status == "cancelled"
        result = span.result or {}
        (message,) = result["outputs"]["messages"]
        assert message["content"] == "It is "
        assert result["token_usage"]["prompt_tokens"] == 12


def test_a_stream_that_fails_is_a_failed_span() -> None:
    """The error of the client reaches the program."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "overloaded"}}
    events = [*API.events(WORDS, 0)[:3], error]
    with isolated() as recorder, desk.run():
        client = client_of(anthropic.Anthropic, lambda _body, _number: events)
        with pytest.raises(anthropic.APIStatusError, match="overloaded"):
            list(client.messages.create(**ASKED, stream=True))
        (span,) = recorder.spans("anthropic:llm")
        assert span.status == "failed"


# What the program sees


@pytest.mark.parametrize(
    "answer",
    [
        {"id": "a", "content": None, "usage": 7},
        {"id": "a", "content": [3, {"type": "text", "text": None}], "usage": {"input_tokens": "3"}},
        {"id": "a", "content": [{"type": "tool_use", "input": None}], "stop_reason": None},
        {},
    ],
    ids=repr,
)
def test_an_answer_of_another_shape_is_a_complete_span(answer: object) -> None:
    """The program gets what it gets without remit."""
    with isolated() as recorder:
        with desk.run():
            server = FakeServer(HTTP, lambda _body, _number: answer)
            bare, client = (server.connect(anthropic.Anthropic) for _ in range(2))
            expected = outcome(lambda: bare.messages.create(**ASKED))
            assert outcome(lambda: watch(client).messages.create(**ASKED)) == expected
        (span,) = recorder.spans("anthropic:llm")
        assert span.status == ("failed" if "Error(" in expected else "complete")
        assert remit.status().faults == {}


def test_a_conversation_with_parts_is_recorded_without_their_media() -> None:
    """Results of tools are messages of their own; thinking is not recorded."""
    image = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"},
    }
    call = {"type": "tool_use", "id": "call-1", "name": "find", "input": {"order": "A-1"}}
    result = {
        "type": "tool_result",
        "tool_use_id": "call-1",
        "content": [{"type": "text", "text": "R"}],
    }
    conversation: Any = [
        {"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm."}, call]},
        {"role": "user", "content": [result, {"type": "text", "text": "Well?"}]},
    ]
    with isolated() as recorder, desk.run():
        client_of(anthropic.Anthropic).messages.create(
            model=MODEL,
            max_tokens=100,
            messages=conversation,
            system=[{"type": "text", "text": "Be brief."}],
            tools=[{"name": "find", "description": "Find an order.", "input_schema": {}}],
        )
        (span,) = recorder.spans("anthropic:llm")
    inputs = span.payload["inputs"]
    assert inputs["system"] == "Be brief."
    assert inputs["tools"] == [{"name": "find", "description": "Find an order."}]
    asked, called, read, more = inputs["messages"]
    assert asked["content"][0] == {"type": "text", "text": "What is it?"}
    assert (asked["content"][1]["type"], asked["content"][1]["size"]) == ("image", 4)
    assert called["content"] is None
    assert called["tool_calls"] == [{"id": "call-1", "name": "find", "args": {"order": "A-1"}}]
    assert read == {"role": "tool", "content": "R", "tool_call_id": "call-1"}
    assert more == {"role": "user", "content": "Well?"}


# Declarations
