"""Payloads and results of model calls, the same for all integrations.

A payload has `operation`, `provider`, `model_name` and `inputs`; a result has `outputs`,
`token_usage` and other known fields. docs/reference/payloads.md lists the fields.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Literal, TypeAlias, cast, get_args
from weakref import WeakKeyDictionary

import msgspec

from remit._adapters import spans
from remit._base.text import describe_value
from remit._record.runs import OpenRun, SpanContext
from remit.errors import DeclarationError

CaptureMessages: TypeAlias = Literal["new", "all", "none"]
"""Which messages of a model call are recorded: the messages that the previous call below the same
parent did not have, all, or none."""

Message: TypeAlias = dict[str, object]
"""`role`, `content` (a text or None), and perhaps `tool_calls` and `tool_call_id`."""

MAX_PARENTS: Final = 1_000
"""Parents in one run whose previous model call is remembered."""
DIGEST_CHARS: Final = 16
REFERENCES: Final = ("http://", "https://", "gs://", "s3://")
"""Beginnings of a URL that refers to a file; others hold its content."""
TEXT: Final = "text"
REASONING: Final = "reasoning"
"""Type of a part with the reasoning of a model."""

_encode: Final = msgspec.json.Encoder(enc_hook=repr, order="sorted").encode


def history(where: str, messages: object, reasoning: object) -> History:
    """Return the history of an integration's model calls, by its arguments.

    Args:
        where: The function or class that takes the arguments.
        messages: Its `capture_messages`.
        reasoning: Its `capture_reasoning`.

    Raises:
        DeclarationError: An argument has a wrong value.
    """
    if messages not in get_args(CaptureMessages):
        raise DeclarationError(
            f"{where}: capture_messages is {describe_value(messages)}; expected one of "
            f"{', '.join(get_args(CaptureMessages))}"
        )
    if not isinstance(reasoning, bool):
        raise DeclarationError(
            f"{where}: capture_reasoning is {describe_value(reasoning)}; expected True or False"
        )
    return History(cast("CaptureMessages", messages), reasoning=reasoning)


def required(package: str, lowest: str, found: str | None, module: str | None = None) -> None:
    """Check that a framework is installed and new enough.

    Args:
        package: Its distribution.
        lowest: The lowest supported version.
        found: The version that is installed, if any.
        module: The integration; by default `remit.integrations.<package>`.

    Raises:
        DeclarationError: It is missing or too old.
    """
    if found is not None and _numbers(found) >= _numbers(lowest):
        return
    module = module or f"remit.integrations.{package.replace('-', '_')}"
    seen = f"{package} is not installed" if found is None else f"found {found}"
    raise DeclarationError(
        f"{module} needs {package}>={lowest}; {seen}; pip install '{package}>={lowest}'"
    )


TESTED: Final[Mapping[str, str]] = {
    "anthropic": "2.14.0",
    "claude-agent-sdk": "0.2.189",
    "crewai": "1.15.28",
    "google-adk": "2.13.0",
    "langchain": "1.5.2",
    "langchain-core": "1.8.3",
    "langgraph": "1.2.24",
    "mcp": "2.3.0",
    "openai": "3.57.0",
    "openai-agents": "0.24.0",
    "opentelemetry-sdk": "1.45.1",
    "pydantic-ai-slim": "2.68.0",
}
"""The version of each framework with which this version of remit is tested, by distribution."""


def check_relied_on(where: str, package: str, missing: Iterable[str]) -> None:
    """Check that a framework has the parts on which the denial of a step relies.

    Args:
        where: The function or class that checks, for the message.
        package: The distribution of the framework.
        missing: The parts that it lacks, as `lacks` yields them.

    Raises:
        DeclarationError: It lacks one, so nothing would be denied.
    """
    for part in missing:
        raise DeclarationError(
            f"{where}: found {package} {installed(package)} without {part}, on which the policy "
            f"relies; tested with {package} {TESTED[package]}; "
            f"pip install '{package}=={TESTED[package]}'"
        )


def lacks(owner: type, *names: str) -> Iterator[str]:
    """Yield the attributes and fields of a class that it does not have."""
    fields = getattr(owner, "__dataclass_fields__", ())
    for name in names:
        if name not in fields and not hasattr(owner, name):
            yield f"{owner.__name__}.{name}"


def installed(package: str) -> str | None:
    """Return the version of a distribution; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _numbers(version_text: str) -> list[int]:
    match = re.match(r"\d+(?:\.\d+)*", version_text)
    numbers = [] if match is None else [int(each) for each in match[0].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers


def payload(  # noqa: PLR0913 - the fields
    operation: str,
    provider: str,
    model: str | None,
    messages: Sequence[Message],
    *,
    omitted: int = 0,
    system: object = None,
    tools: Sequence[Mapping[str, object]] = (),
    settings: Mapping[str, object] | None = None,
    stream: bool | None = None,
) -> dict[str, object]:
    """Return the payload of a model call, without unknown and empty fields.

    Args:
        operation: `chat`, `text_completion`, `embeddings` or `responses`.
        provider: As `gen_ai.provider.name` of OpenTelemetry, such as `openai`.
        model: The requested model.
        messages: The recorded messages.
        omitted: Number of earlier messages that are left out.
        system: The system prompt, where it is not a message.
        tools: Name and description of each tool.
        settings: Settings of the call, such as `max_tokens`.
        stream: Whether the answer is streamed.
    """
    inputs = known_only(
        model=model,
        system=system,
        messages=list(messages),
        omitted={"count": omitted} if omitted else None,
        tools=list(tools) or None,
        settings=dict(settings) if settings else None,
    )
    temperature = None if settings is None else settings.get("temperature")
    return known_only(
        operation=operation,
        provider=provider,
        model_name=model,
        temperature=temperature,
        stream=stream or None,
        inputs=inputs,
    )


def result(
    messages: Sequence[Message],
    finish_reasons: Iterable[object] = (),
    *,
    tokens: Mapping[str, object] | None = None,
    **fields: object,
) -> dict[str, object]:
    """Return the result of a model call, with `token_usage` and other known *fields*."""
    reasons = [str(reason) for reason in finish_reasons if reason]
    outputs: dict[str, object] = {"messages": list(messages), "finish_reasons": reasons}
    return {"outputs": outputs, **(tokens or {}), **known_only(**fields)}


TOKENS: Final[Mapping[str, tuple[str, ...]]] = {
    "prompt": ("prompt_tokens", "input_tokens"),
    "completion": ("completion_tokens", "output_tokens"),
    "total": ("total_tokens",),
    "cache_read": (
        "prompt_tokens_details.cached_tokens",  # openai, chat completions
        "input_tokens_details.cached_tokens",  # openai, responses
        "cache_read_input_tokens",  # anthropic
        "input_token_details.cache_read",  # LangChain
        "cache_read_tokens",  # Pydantic AI
        "prompt_cache_hit_tokens",  # DeepSeek
    ),
    "cache_write": (
        "prompt_tokens_details.cache_write_tokens",
        "input_tokens_details.cache_write_tokens",
        "cache_creation_input_tokens",
        "input_token_details.cache_creation",
        "cache_write_tokens",
    ),
    "reasoning": (
        "completion_tokens_details.reasoning_tokens",
        "output_tokens_details.reasoning_tokens",
        "output_tokens_details.thinking_tokens",
        "output_token_details.reasoning",
        "output_reasoning_tokens",
        "details.reasoning_tokens",
        "details.thinking_tokens",
        "details.thoughts_tokens",
    ),
    "audio_input": (
        "prompt_tokens_details.audio_tokens",
        "input_tokens_details.audio_tokens",
        "input_token_details.audio",
        "input_audio_tokens",
    ),
    "audio_output": (
        "completion_tokens_details.audio_tokens",
        "output_tokens_details.audio_tokens",
        "output_token_details.audio",
        "output_audio_tokens",
    ),
}
"""Names of each count of tokens, by provider or framework: the first that is set counts."""
BESIDE: Final = ("cache_read_input_tokens", "cache_creation_input_tokens")
"""Counts that anthropic gives next to its `input_tokens`; all others are parts of the prompt."""


def tokens_of(usage: object) -> dict[str, object]:
    """Return `token_usage` and `usage_details` of the usage that a provider reports."""
    counts = {name: _count(usage, paths) for name, paths in TOKENS.items()}
    prompt, completion = counts.pop("prompt"), counts.pop("completion")
    if prompt is not None:
        prompt += sum(_count(usage, (name,)) or 0 for name in BESIDE)
    return token_usage(prompt, completion, counts.pop("total"), **counts)


def _count(usage: object, paths: Iterable[str]) -> int | None:
    """Return the first count at one of *paths* that is set; one that is not 0 goes first."""
    known: int | None = None
    for path in paths:
        value = usage
        for name in path.split("."):
            value = get(value, name)
        if type(value) is int:
            if value:
                return value
            known = 0
    return known


def token_usage(
    prompt: object, completion: object, total: object = None, **details: object
) -> dict[str, object]:
    """Return `token_usage`, with exactly three counts, and `usage_details`; nothing if unknown.

    The *details* are `cache_read`, `cache_write`, `reasoning` and others.
    """
    counts = [value if type(value) is int else None for value in (prompt, completion, total)]
    before, after, both = counts
    if before is None and after is None:
        return {}
    usage: dict[str, object] = {
        "prompt_tokens": before or 0,
        "completion_tokens": after or 0,
        "total_tokens": both if both is not None else (before or 0) + (after or 0),
    }
    details = {name: value for name, value in details.items() if type(value) is int and value}
    return known_only(token_usage=usage, usage_details=details or None)


def message(
    role: object,
    content: object,
    *,
    tool_calls: Sequence[Mapping[str, object]] = (),
    tool_call_id: object = None,
) -> Message:
    return {
        "role": str(role),
        "content": content,
        **known_only(tool_calls=list(tool_calls) or None, tool_call_id=tool_call_id),
    }


def tool_call(call_id: object, name: object, arguments: object) -> dict[str, object]:
    """Return one call of a tool in a message; *arguments* may be a JSON text."""
    return {"id": call_id, "name": name, "args": json_of(arguments)}


def json_of(value: object) -> object:
    """Return the value of a JSON text, or *value* itself if it is not JSON."""
    if isinstance(value, str | bytes):
        # The decoder takes no subclass, such as the texts of smolagents.
        text = str.__str__(value) if isinstance(value, str) else value
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return value
    return value


def media(kind: object, source: str | bytes) -> dict[str, object]:
    """Return the record of an image, a sound or a file: its URL, or type, size and digest."""
    if isinstance(source, str) and source.startswith(REFERENCES):
        return {"type": kind, "url": source}
    content = source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source
    digest = hashlib.sha256(content).hexdigest()[:DIGEST_CHARS]
    return {"type": kind, "size": len(content), "digest": digest}


def known_only(**fields: object) -> dict[str, object]:
    """Return the *fields* that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


class History:
    """The messages of the last model call below each parent; the next one records only new ones.

    Attributes:
        capture: Which messages are recorded.
        reasoning: Whether the models' reasoning is recorded.
    """

    def __init__(self, capture: CaptureMessages, *, reasoning: bool = False) -> None:
        self.capture: Final = capture
        self.reasoning: Final = reasoning
        self._last: WeakKeyDictionary[OpenRun, dict[bytes, list[int]]] = WeakKeyDictionary()

    def new(
        self, parent: SpanContext | None, messages: Sequence[Message]
    ) -> tuple[Sequence[Message], int]:
        """Return the messages of a call below *parent* to record, and how many are left out."""
        messages = self._shown(messages)
        if self.capture == "none":
            return (), len(messages)
        if self.capture == "all" or parent is None:
            return messages, 0
        parent = _around_model_call(parent)
        digests = [hash(_encode(each)) for each in messages]
        by_parent = self._last.setdefault(parent.run, {})
        before = by_parent.get(parent.key, ())
        same = 0
        for one, other in zip(before, digests, strict=False):
            if one != other:
                break
            same += 1
        if len(by_parent) >= MAX_PARENTS:
            by_parent.clear()
        by_parent[parent.key] = digests
        return messages[same:], same

    def answered(
        self, parent: SpanContext | None, messages: Sequence[Message]
    ) -> Sequence[Message]:
        """Return the messages of an answer that are recorded; the next call has them as well."""
        if self.capture == "none":
            return ()
        messages = self._shown(messages)
        by_parent: dict[bytes, list[int]] = {}
        if self.capture == "new" and parent is not None:
            parent = _around_model_call(parent)
            by_parent = self._last.get(parent.run, by_parent)
        if parent is not None and parent.key in by_parent:
            by_parent[parent.key] += [hash(_encode(each)) for each in messages]
        return messages

    def _shown(self, messages: Sequence[Message]) -> Sequence[Message]:
        return messages if self.reasoning else without_reasoning(messages)


def _around_model_call(parent: SpanContext) -> SpanContext:
    """Return *parent*, or the context around it if it is the same model call, reported before."""
    span = spans.reported_span(parent)
    return parent if span is None or span.kind != "llm" else span.around or parent


def described(tools: Iterable[tuple[object, Any]]) -> list[dict[str, object]]:
    """Return `name` and `description` of tools, as a payload has them."""
    return [known_only(name=name, description=text or None) for name, text in tools]


def get(value: object, name: str) -> Any:
    """Return a field of an object or a mapping; None without one."""
    if type(value) is dict or isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value).get(name)
    return getattr(value, name, None)


def listed(value: object, name: str | None = None) -> list[Any]:
    """Return a list, or the field *name* of *value* that is a list; anything else is empty."""
    field = value if name is None else get(value, name)
    return list(cast("Sequence[Any]", field)) if isinstance(field, list | tuple) else []


def first(value: object, *names: str) -> Any:
    """Return the first of several fields that is not None."""
    for name in names:
        field = get(value, name)
        if field is not None:
            return field
    return None


def plain(value: object) -> Any:
    """Return an object of a client as the JSON that it sends, and any other value as it is."""
    if isinstance(value, list | tuple):
        return [plain(each) for each in cast("Sequence[object]", value)]
    dump = getattr(value, "model_dump", None)
    return value if dump is None else dump(mode="json", exclude_unset=True, warnings=False)


# Contents: a text, or parts


def text_part(text: object) -> dict[str, object]:
    return {"type": TEXT, "text": text}


def reasoning(text: str) -> dict[str, object]:
    """Return a part with the reasoning of a model; see `History`."""
    return {"type": REASONING, "text": text}


def text_parts(content: object) -> list[object]:
    """Return the parts of a content; a text is one part."""
    items = listed(content)
    is_text = content is not None and not isinstance(content, list | tuple)
    parts: list[object] = [content] if is_text else items
    return [text_part(part) if isinstance(part, str) else part for part in parts]


def text_or_parts(parts: Iterable[object], separator: str = "") -> object:
    """Return the joined texts of *parts*, or a list of parts if some are not texts.

    A text in the list is `{"type": "text", "text": ...}`; without any part, it is None.
    """
    typed = text_parts(list(parts))
    if all(_is(part, TEXT) for part in typed):
        return separator.join(str(get(part, "text")) for part in typed) or None
    return typed


def is_without_text(content: object) -> bool:
    """Return whether a content is empty, or only reasoning."""
    return all(_is(part, REASONING) for part in text_parts(content))


def without_reasoning(messages: Iterable[Message]) -> list[Message]:
    """Return *messages* without the reasoning of models."""
    shown: list[Message] = []
    for each in messages:
        parts = listed(each, "content")
        kept = [part for part in parts if not _is(part, REASONING)]
        if len(kept) == len(parts):
            shown.append(each)
        elif kept or "tool_calls" in each:
            shown.append({**each, "content": text_or_parts(kept)})
    return shown


def _is(part: object, kind: str) -> bool:
    return isinstance(part, dict) and cast("dict[str, object]", part).get("type") == kind
