"""Records the model calls of an OpenAI client.

```python
from remit.integrations.openai import watch

client = watch(OpenAI())
```

Chat completions, responses, completions and embeddings of this client, and of the copies that it
makes of itself, are spans of the type `openai:llm` in the run that calls them, including calls with
`parse`, `stream`, `with_raw_response` and `with_streaming_response`. Other requests are not
recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from remit._adapters.declare import add_to_header, declare
from remit._adapters.spans import Status
from remit._base.version import __version__
from remit.integrations import _llm
from remit.integrations._clients import (
    Answer,
    Operation,
    Provider,
    Request,
    settings_of,
)
from remit.integrations._clients import watch as _watch
from remit.integrations._llm import first, get, listed, tokens_of
from remit.integrations._providers import AZURE_OPENAI, BEDROCK
from remit.integrations._responses import THOUGHTS, StreamedItems, chat_message, messages_of

LOWEST: Final = "1.66"

try:
    import openai
except ImportError:
    _llm.required("openai", LOWEST, None)
    raise
_llm.required("openai", LOWEST, openai.__version__)

C = TypeVar("C", bound="openai.OpenAI | openai.AsyncOpenAI")

SETTINGS: Final = (
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "max_output_tokens", "n",
    "stop", "seed", "presence_penalty", "frequency_penalty", "tool_choice", "parallel_tool_calls",
    "response_format", "text", "reasoning", "reasoning_effort", "verbosity", "service_tier",
    "truncation", "previous_response_id", "dimensions", "encoding_format",
)  # fmt: skip
"""Fields of a request that are recorded as settings."""


def watch(
    client: C,
    *,
    capture_messages: _llm.CaptureMessages = "new",
    capture_reasoning: bool = False,
) -> C:
    """Record the model calls of *client*, and of copies that `with_options` makes.

    Calls outside any run are neither recorded nor denied. If you call `watch` again for the same
    client, the new arguments replace the old ones, and each model call is still recorded only once.

    Args:
        client: An `OpenAI` or `AsyncOpenAI` client, or the corresponding client for Azure.
        capture_messages: `new` records the messages that the previous call under the same parent
            did not contain, `all` records all messages, and `none` records no messages.
        capture_reasoning: Whether the model's reasoning is recorded.

    Returns:
        The client.

    Raises:
        DeclarationError: If *client* is not a supported client, if another argument is wrong, or if
            the installed version of the library sends requests in a way that remit does not
            support.
    """
    watched: C = _watch(PROVIDER, client, capture_messages, capture_reasoning)
    return watched


# Chat completions


def _chat_request(body: Mapping[str, Any]) -> Request:
    messages = [chat_message(each) for each in listed(body, "messages")]
    return Request(messages, None, _tools(body), settings_of(body, SETTINGS))


def _tools(body: Mapping[str, Any]) -> list[dict[str, object]]:
    tools = [get(tool, "function") or tool for tool in listed(body, "tools")]
    return _llm.described(
        (get(tool, "name") or get(tool, "type"), get(tool, "description")) for tool in tools
    )


def _chat_answer(answer: object) -> Answer:
    choices = listed(answer, "choices")
    messages = [get(choice, "message") for choice in choices]
    return Answer(
        [chat_message(message) for message in messages if message is not None],
        [get(choice, "finish_reason") for choice in choices],
        tokens_of(get(answer, "usage")),
        get(answer, "model"),
        get(answer, "id"),
    )


class _Choices:
    """The chunks of a streamed chat completion, or of a completion."""

    status: Status = "complete"

    def __init__(self) -> None:
        self.is_finished = False
        self._texts: dict[object, list[str]] = {}
        self._thoughts: dict[object, list[str]] = {}
        self._calls: dict[object, dict[object, dict[str, Any]]] = {}
        self._reasons: dict[object, object] = {}
        self._fields: dict[str, Any] = {}

    def add(self, item: object) -> bool:
        has_part = False
        for name in ("id", "model", "usage"):
            value = get(item, name)
            if value is not None:
                self._fields[name] = value
        for choice in listed(item, "choices"):
            index, delta = get(choice, "index"), get(choice, "delta")
            texts = self._texts.setdefault(index, [])
            text = get(delta, "content") or get(delta, "refusal") or get(choice, "text")
            if isinstance(text, str) and text:
                texts.append(text)
                has_part = True
            thought = first(delta, *THOUGHTS)
            if isinstance(thought, str):
                self._thoughts.setdefault(index, []).append(thought)
            for part in listed(delta, "tool_calls"):
                self._add_call(self._calls.setdefault(index, {}), part)
                has_part = True
            reason = get(choice, "finish_reason")
            if reason:
                self._reasons[index] = reason
                self.is_finished = True
        return has_part

    def _add_call(self, calls: dict[object, dict[str, Any]], part: object) -> None:
        call = calls.setdefault(get(part, "index"), {"arguments": []})
        function = get(part, "function") or get(part, "custom")
        call["id"] = call.get("id") or get(part, "id")
        call["name"] = call.get("name") or get(function, "name")
        text = get(function, "arguments") or get(function, "input")
        if isinstance(text, str):
            call["arguments"].append(text)

    def answer(self) -> Answer:
        messages = [
            chat_message(
                {
                    "content": "".join(texts),
                    THOUGHTS[0]: "".join(self._thoughts.get(index, ())),
                    "tool_calls": [
                        {
                            "id": call.get("id"),
                            "function": {**call, "arguments": "".join(call["arguments"])},
                        }
                        for call in self._calls.get(index, {}).values()
                    ],
                }
            )
            for index, texts in self._texts.items()
        ]
        fields = self._fields
        reasons = list(self._reasons.values())
        return Answer(
            messages,
            reasons,
            tokens_of(fields.get("usage")),
            fields.get("model"),
            fields.get("id"),
        )


# Responses


def _response_request(body: Mapping[str, Any]) -> Request:
    messages = messages_of(body.get("input"))
    return Request(messages, body.get("instructions"), _tools(body), settings_of(body, SETTINGS))


def _response_answer(answer: object) -> Answer:
    error = get(answer, "error")
    return Answer(
        messages_of(listed(answer, "output")),
        [get(get(answer, "incomplete_details"), "reason") or get(answer, "status")],
        tokens_of(get(answer, "usage")),
        get(answer, "model"),
        get(answer, "id"),
        None if error is None else {"type": get(error, "code"), "message": get(error, "message")},
    )


def _status(response: object) -> Status | None:
    status = get(response, "status")
    if status in {"queued", "in_progress"}:
        return None
    return status if status in {"failed", "cancelled"} else "complete"


class _Events:
    """The events of a streamed response."""

    def __init__(self) -> None:
        self.is_finished = False
        self.status: Status = "complete"
        self._response: object = None
        self._items = StreamedItems()

    def add(self, item: object) -> bool:
        response = get(item, "response")
        if response is None:
            return self._items.add(item)
        self._response, self.status = response, _status(response) or "complete"
        self.is_finished = get(item, "type") in {
            "response.completed", "response.incomplete", "response.failed",
        }  # fmt: skip
        return False

    def answer(self) -> Answer:
        begun = _response_answer(self._response)
        if self.is_finished and begun.messages:
            return begun
        reasons = begun.finish_reasons if self.is_finished else ()
        return begun._replace(messages=self._items.messages(), finish_reasons=reasons)


# Completions and embeddings


def _texts_request(body: Mapping[str, Any], name: str) -> Request:
    asked = body.get(name)
    texts: Sequence[object] = [asked] if isinstance(asked, str) else listed(asked)
    if not all(isinstance(text, str) for text in texts):  # tokens
        texts = [{"type": "tokens", "count": len(texts)}]
    messages = [_llm.message("user", text) for text in texts]
    return Request(messages, settings=settings_of(body, SETTINGS))


def _completion_request(body: Mapping[str, Any]) -> Request:
    return _texts_request(body, "prompt")


def _embedding_request(body: Mapping[str, Any]) -> Request:
    return _texts_request(body, "input")


def _completion_answer(answer: object) -> Answer:
    choices = listed(answer, "choices")
    messages = [_llm.message("assistant", get(choice, "text")) for choice in choices]
    return _chat_answer(answer)._replace(messages=messages)


def _embedding_answer(answer: object) -> Answer:
    return Answer([], (), tokens_of(get(answer, "usage")), get(answer, "model"))


add_to_header(f"remit-openai@{__version__}")

PROVIDER: Final = Provider(
    "openai",
    declare("openai:llm", "llm", title="Model call", description="A call of an OpenAI client."),
    {
        "chat/completions": Operation("chat", _chat_request, _chat_answer, _Choices),
        "responses": Operation("responses", _response_request, _response_answer, _Events, _status),
        "responses/compact": Operation("compact", _response_request, _response_answer),
        "completions": Operation(
            "text_completion", _completion_request, _completion_answer, _Choices
        ),
        "embeddings": Operation("embeddings", _embedding_request, _embedding_answer),
    },
    (openai.OpenAI, openai.AsyncOpenAI),
    {
        getattr(openai, f"{prefix}{cls}"): name
        for cls, name in (("AzureOpenAI", AZURE_OPENAI), ("BedrockOpenAI", BEDROCK))
        for prefix in ("", "Async")
        if hasattr(openai, f"{prefix}{cls}")
    },
)
