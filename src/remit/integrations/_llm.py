"""Payloads and results of model calls, the same for all integrations.

A payload has `operation`, `provider`, `model_name` and `inputs`; a result has `outputs`,
`token_usage` and other known fields. docs/reference/payloads.md lists the fields.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
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

_encode: Final = msgspec.json.Encoder(enc_hook=repr, order="sorted").encode


def checked_capture(value: object, where: str) -> CaptureMessages:
    """Return *value* if it is a way to capture messages.

    Raises:
        DeclarationError: It is not.
    """
    if value in get_args(CaptureMessages):
        return cast("CaptureMessages", value)
    raise DeclarationError(
        f"{where}: capture_messages is {describe_value(value)}; expected one of "
        f"{', '.join(get_args(CaptureMessages))}"
    )


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


def media(kind: object, data: str | bytes) -> dict[str, object]:
    """Return the record of an image, a sound or a file: type, size and digest."""
    content = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    digest = hashlib.sha256(content).hexdigest()[:DIGEST_CHARS]
    return {"type": kind, "size": len(content), "digest": digest}


def known_only(**fields: object) -> dict[str, object]:
    """Return the *fields* that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


class History:
    """The messages of the last model call below each parent; the next one records only new ones."""

    def __init__(self, capture: CaptureMessages) -> None:
        self.capture: Final = capture
        self._last: WeakKeyDictionary[OpenRun, dict[bytes, list[int]]] = WeakKeyDictionary()

    def new(
        self, parent: SpanContext | None, messages: Sequence[Message]
    ) -> tuple[Sequence[Message], int]:
        """Return the messages of a call below *parent* to record, and how many are left out."""
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
        by_parent: dict[bytes, list[int]] = {}
        if self.capture == "new" and parent is not None:
            parent = _around_model_call(parent)
            by_parent = self._last.get(parent.run, by_parent)
        if parent is not None and parent.key in by_parent:
            by_parent[parent.key] += [hash(_encode(each)) for each in messages]
        return messages


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


def text_or_parts(parts: Sequence[object]) -> object:
    """Return the joined text of *parts*, or the list of them if there are others than texts."""
    if all(isinstance(part, str) for part in parts):
        return "".join(cast("Sequence[str]", parts)) or None
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
