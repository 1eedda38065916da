"""Watched clients of openai: what is recorded, and what the program sees."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import openai
import pydantic
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState

import remit
from remit.errors import DeclarationError
from remit.integrations.openai import watch
from remit.testing import RecordedSpan, RecordingSink, isolated
from tests.inside import declare, start
from tests.model_clients import FakeServer, HandWritten, all_of, http_library, outcome, resolved
from tests.scenarios import LOOK_UP, Scenario, Turn, check, desk, each_scenario_of

HTTP: Final = http_library(openai)
MODEL: Final = "gpt-test"
USAGE: Final = {
    "prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17,
    "prompt_tokens_details": {"cached_tokens": 4},
}  # fmt: skip
TOKENS: Final = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
ASKED: Final[Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Where is it?"}]}
INPUT: Final[Any] = {"model": MODEL, "input": "Where is it?"}


class Chat:
    """Chat completions."""

    def answer(self, turn: Turn, number: int) -> dict[str, Any]:
        """Return the answer of a turn."""
        calls = self._calls(turn, number)
        return {
            "id": f"chat-{number}",
            "object": "chat.completion",
            "created": 1,
            "model": MODEL,
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "tool_calls" if calls else "stop",
                    "message": {"role": "assistant", "content": turn.text}
                    | ({"tool_calls": calls} if calls else {}),
                }
            ],
            "usage": USAGE,
        }

    def events(self, turn: Turn, number: int) -> list[Any]:
        """Return the chunks of a streamed turn."""
        calls = self._calls(turn, number)
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": f"{word} "} for word in (turn.text or "").split()]
        for index, call in enumerate(calls):
            function = call["function"]
            start, end = function["arguments"][:5], function["arguments"][5:]
            head = {**call, "index": index, "function": {**function, "arguments": start}}
            deltas.append({"tool_calls": [head]})
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": end}}]})
        if turn.text:
            deltas[-1]["content"] = deltas[-1]["content"].rstrip()
        chunk = {"id": f"chat-{number}", "object": "chat.completion.chunk", "model": MODEL}
        choices: list[dict[str, Any]] = [
            {"index": 0, "delta": delta, "finish_reason": None} for delta in deltas
        ]
        choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
        chunks = [{**chunk, "created": 1, "choices": [choice]} for choice in choices]
        return [*chunks, {**chunk, "created": 1, "choices": [], "usage": USAGE}, "[DONE]"]

    def _calls(self, turn: Turn, number: int) -> list[dict[str, Any]]:
        return [
            {
                "id": f"call-{number}-{index}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for index, (name, arguments) in enumerate(turn.calls)
        ]

    async def ask(
        self,
        client: Any,
        messages: list[Any],
        tools: Sequence[str],
        *,
        stream: bool,
    ) -> tuple[str, list[tuple[str, str, Any]]]:
        """Ask the model, keep its answer, and return its text and its calls."""
        functions = [{"type": "function", "function": {"name": name}} for name in tools]
        answer = await resolved(
            client.chat.completions.create(
                model=MODEL, messages=messages, tools=functions, stream=stream
            )
        )
        if stream:
            state: Any = ChatCompletionStreamState()
            for chunk in await all_of(answer):
                state.handle_chunk(chunk)
            answer = state.get_final_completion()
        message = answer.choices[0].message
        messages.append(message.model_dump(exclude_none=True, include=KEPT))
        calls = [
            (call.id, call.function.name, json.loads(call.function.arguments))
            for call in message.tool_calls or ()
        ]
        return message.content or "", calls

    def output(self, call_id: str, output: object) -> object:
        """Return a result of a tool as a message."""
        return {"role": "tool", "tool_call_id": call_id, "content": str(output)}

    def read(self, body: Mapping[str, Any]) -> list[str]:
        """Return the results of tools that the model was given."""
        return [each["content"] for each in body["messages"] if each["role"] == "tool"]


KEPT: Final = {"role", "content", "tool_calls"}


class Responses:
    """Responses."""

    def answer(self, turn: Turn, number: int) -> dict[str, Any]:
        """Return the answer of a turn."""
        items: list[dict[str, Any]] = [
            {
                "type": "function_call",
                "id": f"item-{number}-{index}",
                "call_id": f"call-{number}-{index}",
                "name": name,
                "arguments": json.dumps(arguments),
                "status": "completed",
            }
            for index, (name, arguments) in enumerate(turn.calls)
        ]
        if turn.text is not None:
            text = {"type": "output_text", "text": turn.text, "annotations": []}
            items.append({
                "type": "message", "id": f"item-{number}", "role": "assistant",
                "status": "completed", "content": [text],
            })  # fmt: skip
        return {
            "id": f"response-{number}",
            "object": "response",
            "created_at": 1,
            "model": MODEL,
            "status": "completed",
            "output": items,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": {
                "input_tokens": 12,
                "output_tokens": 5,
                "total_tokens": 17,
                "input_tokens_details": {"cached_tokens": 4},
                "output_tokens_details": {"reasoning_tokens": 0},
            },
        }

    def events(self, turn: Turn, number: int) -> list[Any]:
        """Return the events of a streamed turn."""
        response = self.answer(turn, number)
        begun: dict[str, Any] = {**response, "status": "in_progress", "output": [], "usage": None}
        events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
        for index, item in enumerate(response["output"]):
            place: dict[str, Any] = {"output_index": index, "item_id": item["id"]}
            empty: dict[str, Any] = (
                {"content": []} if item["type"] == "message" else {"arguments": ""}
            )
            added = {**item, **empty, "status": "in_progress"}
            events.append({"type": "response.output_item.added", **place, "item": added})
            if item["type"] == "message":
                part = {"type": "output_text", "text": "", "annotations": []}
                place["content_index"] = 0
                events.append({"type": "response.content_part.added", **place, "part": part})
                kind, text = "response.output_text.delta", item["content"][0]["text"]
            else:
                kind, text = "response.function_call_arguments.delta", item["arguments"]
            half = len(text) // 2
            events += [
                {"type": kind, **place, "delta": delta, "logprobs": []}
                for delta in (text[:half], text[half:])
            ]
            events.append({"type": "response.output_item.done", **place, "item": item})
        events.append({"type": "response.completed", "response": response})
        return [{**event, "sequence_number": n} for n, event in enumerate(events)]

    async def ask(
        self,
        client: Any,
        messages: list[Any],
        tools: Sequence[str],
        *,
        stream: bool,
    ) -> tuple[str, list[tuple[str, str, Any]]]:
        """Ask the model, keep its answer, and return its text and its calls."""
        functions = [{"type": "function", "name": name} for name in tools]
        response = await resolved(
            client.responses.create(model=MODEL, input=messages, tools=functions, stream=stream)
        )
        if stream:
            response = (await all_of(response))[-1].response
        messages.extend(response.output)
        calls = [
            (item.call_id, item.name, json.loads(item.arguments))
            for item in response.output
            if item.type == "function_call"
        ]
        return response.output_text, calls

    def output(self, call_id: str, output: object) -> object:
        """Return a result of a tool as an item."""
        return {"type": "function_call_output", "call_id": call_id, "output": str(output)}

    def read(self, body: Mapping[str, Any]) -> list[str]:
        """Return the results of tools that the model was given."""
        kind = "function_call_output"
        return [each["output"] for each in body["input"] if each.get("type") == kind]


CHAT: Final = Chat()
RESPONSES: Final = Responses()
SYNC: Final = HandWritten(openai, openai.OpenAI, watch, CHAT)
ASYNC: Final = HandWritten(openai, openai.AsyncOpenAI, watch, CHAT)
DRIVERS: Final = (
    SYNC,
    ASYNC,
    HandWritten(openai, openai.OpenAI, watch, RESPONSES),
    HandWritten(openai, openai.AsyncOpenAI, watch, RESPONSES),
)


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
    """Answer a request of any kind."""
    if "messages" in body:
        api: Any = CHAT
    elif "prompt" in body:
        choice = {"index": 0, "text": PLACE.text, "finish_reason": "stop", "logprobs": None}
        whole = {"id": "c", "object": "text_completion", "created": 1, "model": MODEL}
        whole |= {"choices": [choice], "usage": USAGE}
        return [whole, "[DONE]"] if body.get("stream") else whole
    elif "dimensions" in body:
        vector = {"object": "embedding", "index": 0, "embedding": [0.5]}
        usage = {"prompt_tokens": 12, "total_tokens": 12}
        return {"object": "list", "model": MODEL, "data": [vector], "usage": usage}
    else:
        api = RESPONSES
    return api.events(PLACE, number) if body.get("stream") else api.answer(PLACE, number)


def client_of(cls: Any, answer: Callable[[dict[str, Any], int], object] = answered) -> Any:
    """Return a watched client."""
    return watch(FakeServer(HTTP, answer).connect(cls))


Way = Callable[[Any], Any]


def _chat(client: Any) -> Any:
    """Return the chat completions with `parse` and `stream`; earlier versions have them in beta."""
    chat = client.chat.completions
    return chat if hasattr(chat, "parse") else client.beta.chat.completions


def _streamed(open_stream: Callable[[Any], Any]) -> Way:
    def call(client: Any) -> None:
        with open_stream(client) as stream:
            assert list(stream)

    return call


def _streaming_response(read: Callable[[Any], object], **options: Any) -> Way:
    def call(client: Any) -> None:
        api = client.chat.completions.with_streaming_response
        with api.create(**ASKED, **options) as response:
            assert read(response)

    return call


WAYS: Final[Mapping[str, Way]] = {
    "create": lambda c: c.chat.completions.create(**ASKED),
    "parse": lambda c: _chat(c).parse(**ASKED, response_format=Place),
    "stream=True": lambda c: list(c.chat.completions.create(**ASKED, stream=True)),
    "stream=True, next": lambda c: _all_by_next(c.chat.completions.create(**ASKED, stream=True)),
    "stream=True, with": _streamed(lambda c: c.chat.completions.create(**ASKED, stream=True)),
    "stream": _streamed(lambda c: _chat(c).stream(**ASKED, response_format=Place)),
    "raw": lambda c: c.chat.completions.with_raw_response.create(**ASKED).parse(),
    "raw, unread": lambda c: c.chat.completions.with_raw_response.create(**ASKED),
    "raw stream": lambda c: list(
        c.chat.completions.with_raw_response.create(**ASKED, stream=True).parse()
    ),
    "streaming, parse": _streaming_response(lambda r: r.parse().choices),
    "streaming, read": _streaming_response(lambda r: r.read()),
    "streaming, text": _streaming_response(lambda r: r.text()),
    "streaming, json": _streaming_response(lambda r: r.json()),
    "streaming, lines": _streaming_response(lambda r: list(r.iter_lines())),
    "streaming, bytes": _streaming_response(lambda r: list(r.iter_bytes(7))),
    "streaming, chars": _streaming_response(lambda r: list(r.iter_text())),
    "streaming stream": _streaming_response(lambda r: list(r.parse()), stream=True),
    "streaming lines": _streaming_response(lambda r: list(r.iter_lines()), stream=True),
    "with_options": lambda c: c.with_options(timeout=3).chat.completions.create(**ASKED),
    "copy": lambda c: c.copy().copy().chat.completions.create(**ASKED),
    "post": lambda c: c.post("/chat/completions", body=ASKED, cast_to=object),
    "responses": lambda c: c.responses.create(**INPUT),
    "responses.parse": lambda c: c.responses.parse(**INPUT, text_format=Place),
    "responses stream=True": lambda c: list(c.responses.create(**INPUT, stream=True)),
    "responses.stream": _streamed(lambda c: c.responses.stream(**INPUT, text_format=Place)),
    "responses raw": lambda c: c.responses.with_raw_response.create(**INPUT),
    "completions": lambda c: c.completions.create(model=MODEL, prompt="Where is it?"),
    "completions stream=True": lambda c: list(
        c.completions.create(model=MODEL, prompt="Where is it?", stream=True)
    ),
}


def _all_by_next(stream: Iterator[Any]) -> None:
    while next(stream, None) is not None:
        pass


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_each_way_to_call_a_model_is_one_span(way: Way) -> None:
    """Question, answer and tokens are the same, whichever way the answer is read."""
    with isolated() as recorder:
        with desk.run():
            way(client_of(openai.OpenAI))
        (span,) = recorder.spans("openai:llm")
    assert_is_whole(span)


def assert_is_whole(span: RecordedSpan) -> None:
    """Assert that a span has the question, the answer and the tokens."""
    assert span.status == "complete"
    payload, result = span.payload, span.result or {}
    assert (payload["provider"], payload["model_name"]) == ("openai", MODEL)
    assert payload["inputs"]["messages"] == [{"role": "user", "content": "Where is it?"}]
    assert set(payload["inputs"]) <= {"model", "messages", "settings"}
    assert set(payload["inputs"].get("settings", ())) <= {"text", "response_format"}
    assert result["outputs"]["messages"] == [{"role": "assistant", "content": PLACE.text}]
    assert result["token_usage"] == TOKENS
    assert result["usage_details"] == {"cache_read": 4}
    assert result["response_model"] == MODEL
    assert result["outputs"]["finish_reasons"] in (["stop"], ["completed"])
    if payload.get("stream"):
        assert result["chunks"] >= 1
        assert result["first_token_ms"] >= 0


ASYNC_WAYS: Final = (
    "create", "parse", "stream=True", "stream", "raw", "raw stream", "streaming, parse",
    "streaming, read", "streaming, text", "streaming, json", "streaming, lines",
    "streaming, bytes", "streaming, chars", "streaming stream", "streaming lines", "copy",
    "responses", "responses.parse", "responses.stream", "completions",
)  # fmt: skip


@pytest.mark.parametrize("name", ASYNC_WAYS)
def test_each_way_to_call_an_async_client_is_one_span(name: str) -> None:
    """As with a client that is not async."""

    async def ask(client: Any) -> None:
        kind, _, reading = name.partition(", ")
        chat = client.copy().chat.completions if name == "copy" else client.chat.completions
        if kind == "streaming" or name in {"streaming stream", "streaming lines"}:
            stream = kind != "streaming"
            reading = reading or name.removeprefix("streaming ")
            async with chat.with_streaming_response.create(**ASKED, stream=stream) as response:
                await READ[reading](response)
        elif name == "stream":
            async with _chat(client).stream(**ASKED, response_format=Place) as stream:
                assert await stream.get_final_completion()
        elif name == "responses.stream":
            async with client.responses.stream(**INPUT, text_format=Place) as stream:
                assert await stream.get_final_response()
        elif name == "raw":
            assert (await chat.with_raw_response.create(**ASKED)).parse()
        elif name == "raw stream":
            raw = await chat.with_raw_response.create(**ASKED, stream=True)
            assert await all_of(raw.parse())
        elif name == "stream=True":
            async with await chat.create(**ASKED, stream=True) as stream:
                assert await all_of(stream)
        else:
            await resolved(WAYS[name](client))

    with isolated() as recorder:

        async def main() -> None:
            async with desk.run():
                await ask(client_of(openai.AsyncOpenAI))

        asyncio.run(main())
        (span,) = recorder.spans("openai:llm")
    assert_is_whole(span)


async def _lines(response: Any) -> None:
    assert await all_of(response.iter_lines())


async def _parsed(response: Any) -> None:
    assert await all_of(await response.parse())


READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "parse": lambda r: r.parse(),
    "read": lambda r: r.read(),
    "text": lambda r: r.text(),
    "json": lambda r: r.json(),
    "lines": _lines,
    "bytes": lambda r: all_of(r.iter_bytes()),
    "chars": lambda r: all_of(r.iter_text()),
    "stream": _parsed,
}


def test_embeddings_are_recorded_without_their_vectors() -> None:
    """The texts and the tokens are."""
    with isolated() as recorder:
        with desk.run():
            client = client_of(openai.OpenAI)
            client.embeddings.create(
                model=MODEL, input=["a", "b"], dimensions=1, encoding_format="float"
            )
        (span,) = recorder.spans("openai:llm")
    assert span.payload["operation"] == "embeddings"
    assert [each["content"] for each in span.payload["inputs"]["messages"]] == ["a", "b"]
    assert span.result == {
        "outputs": {"messages": [], "finish_reasons": []},
        "token_usage": {"prompt_tokens": 12, "completion_tokens": 0, "total_tokens": 12},
        "response_model": MODEL,
    }


def test_other_requests_are_not_recorded() -> None:
    """Files, models and stored completions are no model calls."""
    with isolated() as recorder:
        with desk.run():
            client = client_of(openai.OpenAI, lambda _body, _number: {"id": "m", "data": []})
            assert client.models.retrieve("m").id == "m"
            client.chat.completions.list()
            client.responses.retrieve("m")
        assert list(recorder.spans("openai:llm")) == []
    assert recorder.runs[0].status == "complete"


def test_a_long_conversation_of_the_responses_api_is_read() -> None:
    """Calls and their results are messages; items without a message are named or left out."""
    items: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "Where is it?"}]},
        {"type": "reasoning", "id": "r", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "find", "arguments": '{"order": 1}'},
        {"type": "custom_tool_call", "call_id": "c2", "name": "shell", "input": "ls"},
        {"type": "function_call_output", "call_id": "c1", "output": "Ghent"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [
            {"type": "input_text", "text": "a"}, {"type": "input_image", "file_id": "file-1"},
        ]},
        {"type": "item_reference", "id": "i"},
    ]  # fmt: skip
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    with isolated() as recorder, desk.run():
        client = client_of(openai.OpenAI, lambda _body, n: {**RESPONSES.answer(PLACE, n), **cut})
        client.responses.create(model=MODEL, input=items)
        (span,) = recorder.spans("openai:llm")
    assert (span.result or {})["outputs"]["finish_reasons"] == ["max_output_tokens"]
    image = {"type": "input_image", "id": "file-1"}
    assert span.payload["inputs"]["messages"] == [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Where is it?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "name": "find", "args": {"order": 1}},
                {"id": "c2", "name": "shell", "args": "ls"},
            ],
        },
        {"role": "tool", "content": "Ghent", "tool_call_id": "c1"},
        {"role": "tool", "content": [{"type": "text", "text": "a"}, image], "tool_call_id": "c2"},
        {"role": "assistant", "content": [{"type": "item_reference", "id": "i"}]},
    ]


# Streams that are not read to their end

WORDS: Final = Turn(text="It is in Ghent now.")


def streamed(client: Any) -> Any:
    """Return a streamed chat completion of five words."""
    return client.chat.completions.create(**ASKED, stream=True)


def _said(_body: dict[str, Any], number: int) -> object:
    return CHAT.events(WORDS, number)


def _take(stream: Any, count: int) -> None:
    for _ in range(count):
        next(stream)


def _left(client: Any) -> None:
    for number, _ in enumerate(streamed(client)):
        if number == 2:
            break
    gc.collect()


def _closed(client: Any) -> None:
    stream = streamed(client)
    _take(stream, 3)
    stream.close()


def _left_in_block(client: Any) -> None:
    with streamed(client) as stream:
        _take(stream, 3)


def _left_by_helper(client: Any) -> None:
    with _chat(client).stream(**ASKED) as stream:
        for event in stream:
            if event.type == "content.delta" and event.snapshot.startswith("It is"):
                break


def _collected(client: Any) -> None:
    _take(streamed(client), 3)
    gc.collect()


def _raw_left(client: Any) -> None:
    api = client.chat.completions.with_streaming_response
    with api.create(**ASKED, stream=True) as response:
        lines = response.iter_lines()
        _take(lines, 6)


@pytest.mark.parametrize(
    "leave", [_left, _closed, _left_in_block, _left_by_helper, _collected, _raw_left]
)
def test_a_stream_that_is_left_is_cancelled_with_what_came(leave: Way) -> None:
    """It is so at once, not at the end of the run."""
    with isolated() as recorder, desk.run():
        leave(client_of(openai.OpenAI, _said))
        (span,) = recorder.spans("openai:llm")
        assert span.status == "cancelled"
        (message,) = (span.result or {})["outputs"]["messages"]
        assert str(message["content"]).strip() == "It is"


@pytest.mark.parametrize(
    ("turn", "count", "message"),
    [
        (WORDS, 4, {"role": "assistant", "content": "It is in "}),
        (
            LOOK_UP,
            3,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call-0-0", "name": "look_up", "args": '{"order_i'}],
            },
        ),
        (WORDS, 1, None),
    ],
    ids=["text", "call", "nothing"],
)
def test_a_streamed_response_that_is_left_has_what_came(
    turn: Turn, count: int, message: object
) -> None:
    """Half of a text, half of the arguments of a call, or nothing yet."""
    with isolated() as recorder, desk.run():
        client = client_of(openai.OpenAI, lambda _body, number: RESPONSES.events(turn, number))
        with client.responses.create(**INPUT, stream=True) as stream:
            _take(stream, count)
        (span,) = recorder.spans("openai:llm")
        outputs = (span.result or {})["outputs"]
        assert span.status == "cancelled"
        assert outputs["messages"] == ([] if message is None else [message])
        assert outputs["finish_reasons"] == []


def test_a_stream_that_outlives_its_run_is_cancelled_with_what_came() -> None:
    """It can be read on, unrecorded."""
    with isolated() as recorder:
        with desk.run():
            stream = streamed(client_of(openai.OpenAI, _said))
            for number, _ in enumerate(stream):
                if number == 2:
                    break
        (span,) = recorder.spans("openai:llm")
        assert span.status == "cancelled"
        assert (span.result or {})["outputs"]["messages"][0]["content"] == "It is "
        assert list(stream)
        assert recorder.runs[0].status == "complete"


def test_an_async_stream_that_is_left_is_cancelled_with_what_came() -> None:
    """By a block, by `close`, and by the cancellation of its task."""

    async def leave(client: Any, way: str) -> None:
        stream = await streamed(client)
        for _ in range(3):
            await anext(stream)
        if way == "aclose" and hasattr(stream, "aclose"):
            await stream.aclose()
        elif way == "response":
            await stream.response.aclose()
        elif way == "block":
            async with stream:
                pass
        elif way == "close":
            await stream.close()
        del stream
        gc.collect()

    with isolated() as recorder:

        async def main() -> None:
            async with desk.run():
                client = client_of(openai.AsyncOpenAI, _said)
                for way in ("block", "close", "aclose", "response", "collected"):
                    await leave(client, way)
                    span = recorder.spans("openai:llm")[-1]
                    assert span.status == "cancelled"
                    (message,) = (span.result or {})["outputs"]["messages"]
                    assert message["content"] == "It is "

        asyncio.run(main())
    assert len(recorder.spans("openai:llm")) == 5


def test_a_stream_that_is_closed_after_the_answer_is_complete() -> None:
    """The model had finished; the program does not wait for the end of the response."""
    with isolated() as recorder, desk.run():
        for chunk in streamed(client_of(openai.OpenAI, _said)):
            if chunk.choices[0].finish_reason:
                break
        gc.collect()
        (span,) = recorder.spans("openai:llm")
        assert span.status == "complete"


def test_a_stream_goes_on_after_a_loop_that_was_left() -> None:
    """A loop that reads the first chunk does not end the stream."""
    with isolated() as recorder, desk.run():
        stream = streamed(client_of(openai.OpenAI, _said))
        for _ in stream:
            break
        assert list(stream)
        (span,) = recorder.spans("openai:llm")
        assert (span.result or {})["outputs"]["messages"][0]["content"] == WORDS.text


def test_a_stream_is_what_it_is_without_remit() -> None:
    """Its class, its response and its attributes are those of the client."""
    with isolated(), desk.run():
        stream = streamed(client_of(openai.OpenAI, _said))
        assert isinstance(stream, openai.Stream)
        assert repr(stream).startswith("<openai.Stream object at ")
        assert isinstance(stream.response, HTTP.Response)
        assert stream.response.status_code == 200
        stream.close()
        assert stream.response.is_closed


def test_a_stream_that_fails_is_a_failed_span() -> None:
    """The error of the client reaches the program."""
    events: list[Any] = [*CHAT.events(WORDS, 0)[:3], {"error": {"message": "overloaded"}}]
    with isolated() as recorder, desk.run():
        with pytest.raises(openai.APIError, match="overloaded"):
            list(streamed(client_of(openai.OpenAI, lambda _body, _number: events)))
        (span,) = recorder.spans("openai:llm")
        assert span.status == "failed"


def test_a_step_beside_an_open_stream_is_not_beneath_it() -> None:
    """Nor is another model call, which is recorded."""
    with isolated() as recorder:
        with desk.run():
            client = client_of(openai.OpenAI, _said)
            first = streamed(client)
            next(first)
            list(streamed(client))
            list(first)
        spans = recorder.spans("openai:llm")
        root = recorder.runs[0].root.key
    assert [(span.parent, span.status) for span in spans] == [(root, "complete")] * 2


# What the program sees


def test_outside_any_run_a_call_is_neither_recorded_nor_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The first one is logged, with the line of the program and what to add."""
    with isolated(on_violation="deny") as recorder:
        client = client_of(openai.OpenAI)
        for _ in range(2):
            client.chat.completions.create(**ASKED)
            list(streamed(client))
        assert recorder.runs == []
        assert remit.status().outside_run == {"openai:llm": 4}
    (line,) = [each.getMessage() for each in caplog.records if each.name.startswith("remit")]
    assert f"openai:llm was called outside any run at {__file__}:" in line
    assert "`import remit`, and `@remit.agent` on the function around it" in line


def test_outside_any_run_an_async_call_is_logged_with_the_line_of_the_program(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Frames of the client and of the event loop do not count."""

    async def main() -> None:
        await client_of(openai.AsyncOpenAI).chat.completions.create(**ASKED)

    with isolated():
        asyncio.run(main())
    line = main.__code__.co_firstlineno + 1
    assert f"outside any run at {__file__}:{line}," in caplog.text


def test_a_decorated_function_around_it_records_it() -> None:
    """The two lines that the log names are enough."""

    @remit.agent
    def answer(question: str) -> str:
        completion = client.chat.completions.create(**ASKED)
        return question + str(completion.choices[0].message.content)

    with isolated() as recorder:
        client = client_of(openai.OpenAI)
        answer("Where?")
        assert len(recorder.spans("openai:llm")) == 1


def test_a_client_that_is_watched_twice_is_recorded_once() -> None:
    """So is a copy of a watched client."""
    with isolated() as recorder, desk.run():
        client = client_of(openai.OpenAI)
        assert watch(client) is client
        watch(watch(client.copy())).chat.completions.create(**ASKED)
        client.chat.completions.create(**ASKED)
        assert len(recorder.spans("openai:llm")) == 2


def test_a_call_beneath_the_model_call_of_a_framework_is_not_recorded_again() -> None:
    """Tokens are counted once where both a framework and its client are recorded."""
    with isolated() as recorder, desk.run():
        recorder_of_framework = declare("fake:llm", "llm")
        client = client_of(openai.OpenAI)
        with start(recorder_of_framework, {}):
            client.chat.completions.create(**ASKED)
            list(streamed(client))
        assert [span.name for span in recorder.spans()] == ["fake:llm"]


def test_a_client_of_azure_is_recorded() -> None:
    """It sends the same calls to other addresses."""
    with isolated() as recorder, desk.run():
        server = FakeServer(HTTP, answered)
        options = {"azure_endpoint": "https://desk.example.com", "api_version": "2024-10-21"}
        client = watch(server.connect(openai.AzureOpenAI, **options))
        client.chat.completions.create(**ASKED)
        client.responses.create(**INPUT)
        assert [span.status for span in recorder.spans("openai:llm")] == ["complete"] * 2


def test_another_client_is_not_watched() -> None:
    """`watch` is for one client and its copies, not for the class."""
    with isolated() as recorder, desk.run():
        server = FakeServer(HTTP, answered)
        watch(server.connect(openai.OpenAI))
        server.connect(openai.OpenAI).chat.completions.create(**ASKED)
        assert list(recorder.spans("openai:llm")) == []


@pytest.mark.parametrize(("capture", "shown"), [("new", [1, 1]), ("all", [1, 3]), ("none", [0, 0])])
def test_capture_messages_decides_what_of_the_history_is_recorded(
    capture: Any,
    shown: list[int],
) -> None:
    """By default a call has what the one before beneath the same parent did not have."""
    again = [*ASKED["messages"], {"role": "assistant", "content": PLACE.text}]
    with isolated() as recorder, desk.run():
        server = FakeServer(HTTP, answered)
        client = watch(server.connect(openai.OpenAI), capture_messages=capture)
        client.chat.completions.create(**ASKED)
        asked: Any = [*again, {"role": "user", "content": "And now?"}]
        client.chat.completions.create(model=MODEL, messages=asked)
        spans = recorder.spans("openai:llm")
        inputs = [span.payload["inputs"] for span in spans]
        assert [len(each["messages"]) for each in inputs] == shown
        if capture == "new":
            assert inputs[1]["messages"] == [{"role": "user", "content": "And now?"}]
            assert inputs[1]["omitted"] == {"count": 2}
        answers = [len((span.result or {})["outputs"]["messages"]) for span in spans]
        assert answers == [int(capture != "none")] * 2


@pytest.mark.parametrize(
    "answer",
    [
        {"id": "a", "choices": None, "usage": 7},
        {"id": "a", "choices": [{"message": None}], "usage": {"prompt_tokens": "many"}},
        {"id": "a", "choices": [3, "four"], "usage": []},
        {"id": "a", "choices": {"message": {}}},
        {"id": "a", "choices": [{"message": {"content": 5, "tool_calls": [{"function": None}]}}]},
        b'["no", "object"]',
        b"this is no JSON",
    ],
    ids=repr,
)
def test_an_answer_of_another_shape_is_a_complete_span(answer: object) -> None:
    """The program gets what it gets without remit; compatible servers answer in many ways."""
    with isolated() as recorder:
        with desk.run():
            server = FakeServer(HTTP, lambda _body, _number: answer)
            bare, client = (server.connect(openai.OpenAI) for _ in range(2))
            expected = outcome(lambda: bare.chat.completions.create(**ASKED))
            assert outcome(lambda: watch(client).chat.completions.create(**ASKED)) == expected
        (span,) = recorder.spans("openai:llm")
        assert span.status == ("failed" if "Error(" in expected else "complete")
        assert remit.status().faults == {}


def test_parts_of_messages_are_recorded_without_their_media() -> None:
    """An image has its type, size and digest; a text beside it stays."""
    content = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
    ]
    with isolated() as recorder, desk.run():
        messages: Any = [{"role": "user", "content": content}]
        client_of(openai.OpenAI).chat.completions.create(model=MODEL, messages=messages)
        (span,) = recorder.spans("openai:llm")
        text, image, link, sound = span.payload["inputs"]["messages"][0]["content"]
        assert text == {"type": "text", "text": "What is it?"}
        assert (image["type"], image["size"]) == ("image_url", 26)
        assert link == {"type": "image_url", "url": "https://example.com/a.png"}
        assert (sound["type"], sound["size"]) == ("input_audio", 4)
        assert "QUJD" not in str(span.payload)


def test_tools_and_settings_are_recorded() -> None:
    """Of a tool its name and description."""
    function = {"name": "find", "description": "Find an order.", "parameters": {}}
    with isolated() as recorder, desk.run():
        client = client_of(openai.OpenAI)
        client.chat.completions.create(
            **ASKED,
            temperature=0.5,
            max_tokens=9,
            tools=[{"type": "function", "function": function}],
        )
        client.responses.create(
            **INPUT, instructions="Be brief.", tools=[{"type": "function", **function}]
        )
        chat, response = recorder.spans("openai:llm")
        assert chat.payload["temperature"] == 0.5
        assert chat.payload["inputs"]["settings"] == {"temperature": 0.5, "max_tokens": 9}
        assert response.payload["inputs"]["system"] == "Be brief."
        for span in (chat, response):
            tools = span.payload["inputs"]["tools"]
            assert tools == [{"name": "find", "description": "Find an order."}]


# Declarations


@pytest.mark.parametrize(
    ("wrong", "seen"),
    [
        (5, "an object of type int"),
        (openai.OpenAI, "the class OpenAI"),
        (openai, "an object of type module"),
        (None, "an object of type NoneType"),
    ],
    ids=repr,
)
def test_something_else_is_no_client(wrong: Any, seen: str) -> None:
    """The message says what was seen and what was expected."""
    with pytest.raises(DeclarationError) as caught:
        watch(wrong)
    message = str(caught.value)
    assert message == (
        f"remit.integrations.openai.watch: saw {seen}; expected a client: OpenAI, AsyncOpenAI"
    )


def test_a_wrong_way_to_capture_messages_is_refused() -> None:
    """It names the three ways."""
    client = FakeServer(HTTP, answered).connect(openai.OpenAI)
    wrong: Any = "some"
    with pytest.raises(DeclarationError, match="'some'; expected one of new, all, none"):
        watch(client, capture_messages=wrong)


def recorder_of_failed_requests(status: int) -> RecordingSink:
    """Return what is recorded of a request that the server refuses."""

    def answer(_request: object) -> Any:
        headers = {"retry-after-ms": "1"}
        return HTTP.Response(status, headers=headers, json={"error": {"message": "no"}})

    http_client = HTTP.Client(transport=HTTP.MockTransport(answer))
    client = watch(openai.OpenAI(api_key="none", http_client=http_client, max_retries=1))
    with isolated() as recorder, desk.run(), pytest.raises(openai.APIStatusError):
        client.chat.completions.create(**ASKED)
    return recorder


def test_a_request_that_fails_is_one_failed_span_whatever_its_retries() -> None:
    """The client's own retries are within the call."""
    for status in (400, 500):
        (span,) = recorder_of_failed_requests(status).spans("openai:llm")
        assert span.status == "failed"
