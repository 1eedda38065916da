"""Items of OpenAI's Responses API: a watched client and OpenAI Agents record them alike."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any, Final, NamedTuple

import openai
import pytest
from agents import set_trace_processors
from agents.tracing import generation_span, trace

from remit.integrations.openai import watch
from remit.integrations.openai_agents import RemitProcessor
from remit.testing import isolated
from tests.integrations.test_openai import RESPONSES
from tests.model_clients import FakeServer, http_library
from tests.scenarios import Turn, desk

PICTURE: Final = base64.b64encode(b"picture" * 300).decode()
GO: Final[Any] = {"role": "user", "content": "Go on."}
SHELL: Final = {"commands": ["rm -rf build"], "timeout_ms": 9}
PATCH: Final = {"type": "delete_file", "path": "a.py"}
CLICK: Final = {"type": "click", "button": "left", "x": 3, "y": 4}
SEARCH: Final = {"type": "search", "query": "order A-1"}
EXIT: Final = {"type": "exit", "exit_code": 0}
LOCAL: Final = {"type": "exec", "command": ["ls"], "env": {}}


class Case(NamedTuple):
    """An item, with what is recorded of it: a call, and what was returned, if anything."""

    item: dict[str, Any]
    call: dict[str, Any] | None
    returned: Any = None


CASES: Final = {
    "function": Case(
        {"type": "function_call", "call_id": "c", "name": "find", "arguments": '{"order": 1}'},
        {"id": "c", "name": "find", "args": {"order": 1}},
    ),
    "custom": Case(
        {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "select 1"},
        {"id": "c", "name": "sql", "args": "select 1"},
    ),
    "shell": Case(
        {"type": "shell_call", "id": "i", "call_id": "c", "action": SHELL, "status": "completed"},
        {"id": "c", "name": "shell_call", "args": SHELL},
    ),
    "local shell": Case(
        {"type": "local_shell_call", "id": "i", "call_id": "c", "action": LOCAL},
        {"id": "c", "name": "local_shell_call", "args": LOCAL},
    ),
    "patch": Case(
        {"type": "apply_patch_call", "id": "i", "call_id": "c", "operation": PATCH},
        {"id": "c", "name": "apply_patch_call", "args": PATCH},
    ),
    "computer": Case(
        {"type": "computer_call", "id": "i", "call_id": "c", "action": CLICK},
        {"id": "c", "name": "computer_call", "args": CLICK},
    ),
    "computer, several": Case(
        {"type": "computer_call", "id": "i", "call_id": "c", "actions": [CLICK]},
        {"id": "c", "name": "computer_call", "args": [CLICK]},
    ),
    "web": Case(
        {"type": "web_search_call", "id": "i", "action": SEARCH, "status": "completed"},
        {"id": "i", "name": "web_search_call", "args": SEARCH},
    ),
    "files": Case(
        {"type": "file_search_call", "id": "i", "queries": ["q"], "results": [
            {"file_id": "f", "filename": "a.txt", "text": "Ghent", "score": 0.5},
        ]},
        {"id": "i", "name": "file_search_call", "args": ["q"]},
        "Ghent",
    ),
    "code": Case(
        {"type": "code_interpreter_call", "id": "i", "code": "print(1)", "container_id": "k",
         "outputs": [{"type": "logs", "logs": "1"}, {"type": "image", "url": "https://a/b.png"}]},
        {"id": "i", "name": "code_interpreter_call", "args": "print(1)"},
        [{"type": "logs", "logs": "1"}, {"type": "image", "url": "https://a/b.png"}],
    ),
    "mcp": Case(
        {"type": "mcp_call", "id": "i", "name": "find", "server_label": "shop",
         "arguments": '{"order": 1}', "output": "Ghent"},
        {"id": "i", "name": "find", "args": {"order": 1}},
        "Ghent",
    ),
    "mcp approval": Case(
        {"type": "mcp_approval_request", "id": "i", "name": "pay", "server_label": "shop",
         "arguments": '{"amount": 5}'},
        {"id": "i", "name": "mcp_approval_request",
         "args": {"name": "pay", "args": {"amount": 5}}},
    ),
    "picture": Case(
        {"type": "image_generation_call", "id": "i", "result": PICTURE, "status": "completed"},
        {"id": "i", "name": "image_generation_call", "args": None},
        [{"type": "image_generation_call", "size": len(PICTURE), "digest": "..."}],
    ),
    "function output": Case(
        {"type": "function_call_output", "call_id": "c", "output": "Ghent"}, None, "Ghent"
    ),
    "custom output": Case(
        {"type": "custom_tool_call_output", "call_id": "c", "output": [
            {"type": "input_text", "text": "a"}, {"type": "input_image", "file_id": "file-1"},
        ]},
        None,
        [{"type": "text", "text": "a"}, {"type": "input_image", "id": "file-1"}],
    ),
    "shell output": Case(
        {"type": "shell_call_output", "call_id": "c", "output": [
            {"stdout": "gone", "stderr": "", "outcome": EXIT},
        ]},
        None,
        [{"type": "shell_call_output", "stdout": "gone", "stderr": "", "outcome": EXIT}],
    ),
    "local shell output": Case(
        {"type": "local_shell_call_output", "id": "c", "output": "a.py"}, None, "a.py"
    ),
    "patch output": Case(
        {"type": "apply_patch_call_output", "call_id": "c", "status": "failed"}, None, "failed"
    ),
    "computer output": Case(
        {"type": "computer_call_output", "call_id": "c", "output": {
            "type": "computer_screenshot", "image_url": "https://a/b.png",
        }},
        None,
        [{"type": "computer_screenshot", "url": "https://a/b.png"}],
    ),
    "mcp approved": Case(
        {"type": "mcp_approval_response", "approval_request_id": "c", "approve": False,
         "reason": "no"},
        None,
        [{"type": "mcp_approval_response", "approve": False, "reason": "no"}],
    ),
}  # fmt: skip


def expected(case: Case) -> list[dict[str, Any]]:
    """Return the messages of an item."""
    messages: list[dict[str, Any]] = []
    if case.call is not None:
        messages.append({"role": "assistant", "content": None, "tool_calls": [case.call]})
    if case.returned is not None:
        call_id = "c" if case.call is None else case.call["id"]
        messages.append({"role": "tool", "content": case.returned, "tool_call_id": call_id})
    return messages


def without_digests(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return messages whose digests are taken away."""
    for message in messages:
        for part in message["content"] if isinstance(message["content"], list) else ():
            part.pop("digest", None)
    return messages


@pytest.mark.parametrize("name", CASES)
def test_an_item_is_recorded_as_a_call_and_as_what_it_returned(name: str) -> None:
    """By a watched client, in requests and in answers, and by OpenAI Agents."""
    case = CASES[name]

    def answer(_body: dict[str, Any], number: int) -> object:
        return {**RESPONSES.answer(Turn(), number), "output": [case.item]}

    with isolated() as recorder, desk.run():
        client = watch(FakeServer(http_library(openai), answer).connect(openai.OpenAI))
        asked = [case.item, GO]
        response = client.responses.create(model="m", input=asked)
        if case.call is not None:  # as an answer has it
            client.responses.create(model="m", input=[*asked, *response.output])
        set_trace_processors([RemitProcessor()])
        with trace("t"), generation_span(input=[case.item], output=response.output, model="m"):
            pass
        set_trace_processors([])
        first, *later = recorder.spans("openai:llm")
        (third,) = recorder.spans("openai-agents:llm")
    messages = without_digests(expected(case))
    assert without_digests(first.payload["inputs"]["messages"]) == [*messages, GO]
    assert without_digests((first.result or {})["outputs"]["messages"]) == messages
    assert without_digests(third.payload["inputs"]["messages"]) == messages
    assert without_digests((third.result or {})["outputs"]["messages"]) == messages
    for second in later:  # the client sends the item as it was
        assert second.payload["inputs"]["messages"] == []


def test_a_text_after_the_calls_of_an_answer_is_with_them() -> None:
    """An answer with a web search is one message; another text is another one."""
    items: list[Any] = [
        {"type": "web_search_call", "id": "w", "action": SEARCH},
        {"role": "assistant", "content": [{"type": "output_text", "text": "In Ghent."}]},
        {"role": "assistant", "content": "Or not."},
        {"type": "item_reference", "id": "i"},
    ]
    with isolated() as recorder, desk.run():
        client = watch(
            FakeServer(http_library(openai), lambda _b, n: RESPONSES.answer(Turn(), n)).connect(
                openai.OpenAI
            )
        )
        client.responses.create(model="m", input=items)
        (span,) = recorder.spans("openai:llm")
    call = {"id": "w", "name": "web_search_call", "args": SEARCH}
    assert span.payload["inputs"]["messages"] == [
        {"role": "assistant", "content": "In Ghent.", "tool_calls": [call]},
        {"role": "assistant", "content": "Or not."},
        {"role": "assistant", "content": [{"type": "item_reference", "id": "i"}]},
    ]


def test_a_conversation_that_is_made_smaller_is_recorded() -> None:
    """By `responses.compact`, which calls a model: with its tokens."""
    usage = RESPONSES.answer(Turn(), 0)["usage"]
    compacted = {
        "id": "r", "object": "response.compaction", "created_at": 1, "usage": usage, "output": [
            {"type": "message", "id": "m", "role": "user", "status": "completed", "content": [
                {"type": "input_text", "text": "Where is it?"},
            ]},
            {"type": "compaction", "id": "k", "encrypted_content": "x"},
        ],
    }  # fmt: skip
    with isolated() as recorder, desk.run():
        client = watch(
            FakeServer(http_library(openai), lambda *_: compacted).connect(openai.OpenAI)
        )
        client.responses.compact(model="m", input="Where is it?")
        (span,) = recorder.spans("openai:llm")
    assert span.payload["operation"] == "compact"
    assert (span.result or {})["token_usage"]["prompt_tokens"] == 12
    assert [each["content"] for each in (span.result or {})["outputs"]["messages"]] == [
        "Where is it?", [{"type": "compaction", "id": "k"}],
    ]  # fmt: skip


# Responses in the background

QUEUED: Final = {**RESPONSES.answer(Turn(), 0), "status": "queued", "usage": None}
DONE: Final = RESPONSES.answer(Turn(text="In Ghent."), 0)


def background(*answers: Any) -> Any:
    """Return a watched client of a server that answers in turn."""
    server = FakeServer(http_library(openai), lambda _body, number: answers[number])
    return watch(server.connect(openai.OpenAI))


def ask(client: Any) -> str:
    """Ask in the background; return the id of the response."""
    identifier: str = client.responses.create(model="m", input="Where?", background=True).id
    return identifier


def test_a_response_in_the_background_ends_when_it_is_retrieved() -> None:
    """Its span has the answer and the tokens; looking at it before changes nothing."""
    with isolated() as recorder, desk.run():
        client = background(QUEUED, {**QUEUED, "status": "in_progress"}, DONE, DONE)
        identifier = ask(client)
        client.responses.retrieve(identifier)
        (span,) = recorder.spans("openai:llm")
        assert span.status == "active"
        client.with_options(timeout=5).responses.retrieve(identifier)
        client.responses.retrieve(identifier)
        (span,) = recorder.spans("openai:llm")
    assert span.status == "complete"
    outputs = (span.result or {})["outputs"]
    assert outputs["messages"] == [{"role": "assistant", "content": "In Ghent."}]
    assert outputs["finish_reasons"] == ["completed"]
    assert (span.result or {})["token_usage"]["total_tokens"] == 17


def test_a_response_in_the_background_ends_when_its_stream_does() -> None:
    """A stream that is left is not its end."""
    events = RESPONSES.events(Turn(text="In Ghent."), 0)
    with isolated() as recorder, desk.run():
        client = background(QUEUED, events, events)
        identifier = ask(client)
        with client.responses.retrieve(identifier, stream=True) as stream:
            next(stream)
        (span,) = recorder.spans("openai:llm")
        assert span.status == "active"
        list(client.responses.retrieve(identifier, stream=True))
        (span,) = recorder.spans("openai:llm")
    assert span.status == "complete"
    assert (span.result or {})["outputs"]["messages"][0]["content"] == "In Ghent."
    assert 0 < (span.result or {})["first_token_ms"] < 60_000


def test_a_failed_retrieval_is_not_the_end_of_a_response() -> None:
    """A failed response is: its span has the error of the server."""
    error = {"code": "server_error", "message": "Sorry."}
    with isolated() as recorder, desk.run():
        client = background(QUEUED, b"{", {**DONE, "status": "failed", "error": error})
        identifier = ask(client)
        with suppress(openai.OpenAIError, ValueError):
            client.responses.retrieve(identifier)
        (span,) = recorder.spans("openai:llm")
        assert span.status == "active"
        client.responses.retrieve(identifier)
        (span,) = recorder.spans("openai:llm")
    assert span.status == "failed"
    assert (span.result or {})["error"] == {"type": "server_error", "message": "Sorry."}


@pytest.mark.parametrize(
    ("status", "ended"), [("cancelled", "cancelled"), ("incomplete", "complete")]
)
def test_a_response_that_is_cancelled_ends_its_span(status: str, ended: str) -> None:
    """The answer of `cancel` has its status."""
    with isolated() as recorder, desk.run():
        client = background(QUEUED, {**DONE, "status": status})
        client.responses.cancel(ask(client))
        (span,) = recorder.spans("openai:llm")
    assert span.status == ended


def test_a_response_that_is_never_retrieved_ends_with_the_run() -> None:
    """It is cancelled, with what was answered first."""
    with isolated() as recorder:
        with desk.run():
            ask(background(QUEUED))
        (span,) = recorder.spans("openai:llm")
    assert span.status == "cancelled"
    assert (span.result or {})["outputs"] == {"messages": [], "finish_reasons": ["queued"]}
