"""A span processor that records the GenAI spans of OpenTelemetry as steps of the current run."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

from remit._adapters import spans
from remit._adapters.declare import add_to_header, declare, declare_agent
from remit._adapters.spans import NOTHING, ManualSpan
from remit._adapters.tables import MAX_OPEN
from remit._base.frames import caller
from remit._base.guard import contain, guarded
from remit._base.text import describe_value
from remit._base.version import __version__
from remit._record.context import open_context
from remit._record.runs import SpanContext
from remit._record.spans import SpanRecorder
from remit.errors import DeclarationError, DeniedError
from remit.integrations import _llm
from remit.integrations._llm import CaptureMessages, known_only
from remit.models.data_risk import DataRisk
from remit.otel.conventions import (
    OPERATIONS,
    Attributes,
    Kind,
    as_object,
    kind_of,
    read,
    read_text,
    settings_of,
)
from remit.otel.messages import messages_of, system_of, tools_of

SDK: Final = "opentelemetry-sdk"
_llm.required(SDK, "1.25", _llm.installed(SDK), "remit.otel")

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import StatusCode

MAX_TOOLS: Final = 1_000
"""Tools that one bridge declares; further ones are recorded as `otel:tool`."""
MAX_DEFINITIONS: Final = 64
"""Lists of tool definitions that one bridge remembers having read."""

RECORDERS: Final[Mapping[Kind, SpanRecorder]] = {
    "llm": declare("otel:llm", "llm", title="Model call"),
    "agent": declare("otel:agent", "agent", title="Agent"),
    "retriever": declare("otel:retriever", "retriever", title="Retrieval"),
    "tool": declare("otel:tool", "tool", title="Tool"),
}
add_to_header(f"remit-otel@{__version__}")


@dataclass(frozen=True, slots=True)
class _Opened:
    """A span of OpenTelemetry that is a step.

    Attributes:
        manual: Its span of remit; without a context if nothing is recorded.
        asked: The values of attributes that its payload was made of.
        outer: Id of its parent in OpenTelemetry.
    """

    manual: ManualSpan
    kind: Kind
    recorder: SpanRecorder
    asked: tuple[object, ...]
    around: SpanContext | None
    outer: int | None


# Shared by all bridges, so that a span is recorded once where there are two.
_opened: Final[dict[int, _Opened]] = {}
_others: Final[dict[int, int | None]] = {}
"""The open spans that are not steps, by id, with the id of their parent."""
models: Final[dict[bytes, tuple[int, SpanContext | None]]] = {}
"""Id and context of the open model calls, by the key of their span."""
parents: Final[dict[bytes, bytes]] = {}
"""The parents of the open spans of bridges, by key: these spans are not exported again."""


class Bridge(SpanProcessor):
    """A span processor that records the GenAI spans of a tracer provider as steps.

    The span types are `otel:agent:<name>`, `otel:llm:<name>`, `otel:retriever:<name>` and
    `otel:tool:<name>`. Other spans, such as HTTP requests, are not recorded, and their children
    become children of the nearest recorded span. Outside any run, the outermost agent opens a run.
    """

    def __init__(
        self,
        enforce: bool = False,  # noqa: FBT001, FBT002 - `Bridge(enforce=True)`
        *,
        risks: Mapping[str, DataRisk | Mapping[str, object]] | None = None,
        capture_messages: CaptureMessages = "new",
        capture_reasoning: bool = False,
    ) -> None:
        """Make a span processor for `TracerProvider.add_span_processor`.

        Args:
            enforce: Whether a denial or termination raises an exception when a span starts, so that
                the step does not run. Otherwise violations are only recorded.
            risks: Risk declarations for tools, by name.
            capture_messages: `new` records the messages that the previous call under the same
                parent did not contain, `all` records all messages, and `none` records no messages.
            capture_reasoning: Whether the models' reasoning is recorded.

        Raises:
            DeclarationError: If an argument is wrong.
        """
        if not isinstance(cast("object", enforce), bool):
            raise DeclarationError(
                f"Bridge: enforce is {describe_value(enforce)}; expected True or False"
            )
        if not isinstance(cast("object", risks), Mapping | None):
            raise DeclarationError(
                f"Bridge: risks is {describe_value(risks)}; expected a mapping of names of tools "
                "to remit.risk(...)"
            )
        self._enforce = enforce
        self._risks = dict(risks or {})
        self._history = _llm.history("Bridge", capture_messages, capture_reasoning)
        self._place = caller()
        self._definitions: set[str] = set()
        self._tools = {name: self._declare(name) for name in self._risks}

    # The start

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Open a span of remit if this is a step.

        Raises:
            DeniedError: The step violates the agent's remit or cannot be judged, and *enforce* was
                given.
            RunTerminated: The run was terminated, and *enforce* was given.
        """
        try:
            self._start(span)
        except DeniedError:
            raise
        except Exception as error:
            fault = error
        else:
            return
        if self._enforce:
            spans.react_to_fault(fault, RECORDERS["tool"])
        else:
            contain("the start of a span of OpenTelemetry", fault)

    def _start(self, span: Span) -> None:
        key, outer = _ids(span)
        if key is None or key in _opened or key in _others:
            return
        attributes = _attributes_of(span)
        kind = kind_of(attributes, span.name)
        if kind is None:
            _add(_others, key, outer)
            return
        around = _context_of(outer)
        opens_run = kind == "agent" and around is None
        recorder = self._recorder(kind, attributes, span.name)
        manual = spans.start(
            recorder,
            partial(_beginning, kind, attributes, span.name),
            parent=around,
            agent=self._agent(attributes, span.name) if opens_run else None,
            deny=self._enforce,
            announce=False,
            started_ns=span.start_time,
        )
        with manual.ended_by_errors():
            asked = _asked(kind, attributes)
            _add(_opened, key, _Opened(manual, kind, recorder, asked, around, outer))
            context = manual.context
            if context is None:
                return
            if kind == "llm":
                _add(models, context.key, (key, around))
            _add(parents, context.key, context.run.context.key if around is None else around.key)
            manual.make_current()

    def _agent(self, attributes: Attributes, name: str) -> Any:
        """Return the agent whose run an outermost agent opens."""
        agent = _agent_name(attributes, name)
        return declare_agent(f"otel.agents:{agent}", name=agent, place=self._place)

    def _recorder(self, kind: Kind, attributes: Attributes, name: str) -> SpanRecorder:
        if kind != "tool":
            return RECORDERS[kind]
        tool = _tool_name(attributes, name)
        if tool is None:
            return RECORDERS["tool"]
        known = self._tools.get(tool)
        if known is None:
            if len(self._tools) >= MAX_TOOLS:
                return RECORDERS["tool"]
            description = read_text(attributes, "description")
            known = self._tools[tool] = self._declare(tool, description)
        return known

    def _declare(
        self, tool: str, description: str | None = None, params: object = None
    ) -> SpanRecorder:
        try:
            return declare(
                f"otel:tool:{tool}",
                "tool",
                title=tool,
                params=params,
                description=description,
                data_risk=self._risks.get(tool),
                place=self._place,
            )
        except DeclarationError:
            if tool in self._risks:
                raise
            return RECORDERS["tool"]  # its name is not valid for a span type

    # The end

    @guarded("the end of a span of OpenTelemetry")
    def on_end(self, span: ReadableSpan) -> None:
        """End the span of remit with the known data."""
        key, outer = _ids(span)
        if key is None:
            return
        attributes = _attributes_of(span)
        opened = _opened.pop(key, None)
        if opened is None:
            kind, is_other = kind_of(attributes, span.name), key in _others
            _others.pop(key, None)
            if is_other and kind is not None:
                self._record(kind, span, attributes, outer)
            return
        manual = opened.manual
        if manual.context is not None:
            models.pop(manual.context.key, None)
        kind = kind_of(attributes, span.name) or opened.kind
        recorder = self._recorder(kind, attributes, span.name)
        known = recorder is opened.recorder and _asked(kind, attributes) == opened.asked != ()
        self._end(manual, kind, span, attributes, opened.around, None if known else recorder)
        if manual.context is not None:
            parents.pop(manual.context.key, None)

    def _record(
        self, kind: Kind, span: ReadableSpan, attributes: Attributes, outer: int | None
    ) -> None:
        """Record a step that was recognised at its end, as a sibling of the steps below it."""
        around = _context_of(outer)
        recorder = self._recorder(kind, attributes, span.name)
        manual = spans.start(
            recorder,
            NOTHING,
            parent=around,
            deny=False,
            announce=False,
            started_ns=span.start_time,
        )
        self._end(manual, kind, span, attributes, around, recorder)

    def _end(
        self,
        manual: ManualSpan,
        kind: Kind,
        span: ReadableSpan,
        attributes: Attributes,
        around: SpanContext | None,
        recorder: SpanRecorder | None,
    ) -> None:
        """End a span, described by *recorder*; None if its payload is known since its start."""
        if kind in {"llm", "agent"}:
            self._declare_tools(attributes)
        if recorder is not None:
            manual.describe(partial(self._payload, kind, attributes, span, around), recorder)
        failed, error = span.status.status_code is StatusCode.ERROR, _error_of(span)
        result = partial(self._result, kind, attributes, span, around)
        if failed and error is None:
            manual.end(partial(_failure, manual, span), status="failed", ended_ns=span.end_time)
        else:
            manual.end(result, error=error, ended_ns=span.end_time)

    def _declare_tools(self, attributes: Attributes) -> None:
        """Declare the tools that a model may call, with their schemas."""
        text = read_text(attributes, "tools")
        if text is None or text in self._definitions:
            return
        if len(self._definitions) >= MAX_DEFINITIONS:
            self._definitions.clear()
        self._definitions.add(text)
        for tool in tools_of(text):
            if len(self._tools) < MAX_TOOLS:
                name, schema = tool["name"], as_object(tool.get("parameters"))
                self._tools[name] = self._declare(name, tool.get("description"), schema)

    # Recorded contents

    def _payload(
        self, kind: Kind, attributes: Attributes, span: ReadableSpan, around: SpanContext | None
    ) -> Mapping[str, object]:
        if kind in {"tool", "retriever"}:
            return _beginning(kind, attributes, span.name)
        messages = messages_of(attributes, "messages", span.events)
        recorded, omitted = self._history.new(around, messages) if kind == "llm" else (messages, 0)
        if kind == "agent":
            recorded = _llm.without_reasoning(recorded)
        if self._history.capture == "none":
            recorded = ()
        if kind == "agent":
            named = {"agent_name": _agent_name(attributes, span.name)}
            return {**named, "inputs": {"messages": list(recorded)} if recorded else {}}
        operation = read_text(attributes, "operation") or "chat"
        return _llm.payload(
            OPERATIONS.get(operation, operation),
            read_text(attributes, "provider") or "unknown",
            read_text(attributes, "model"),
            recorded,
            omitted=omitted,
            system=None if self._history.capture == "none" else system_of(attributes),
            tools=_llm.described(
                (tool["name"], tool.get("description"))
                for tool in tools_of(read(attributes, "tools"))
            ),
            settings=settings_of(attributes),
            stream=read(attributes, "stream") is True,
        )

    def _result(
        self, kind: Kind, attributes: Attributes, span: ReadableSpan, around: SpanContext | None
    ) -> Mapping[str, object]:
        if kind == "tool":
            return {"outputs": known_only(output=_llm.json_of(read(attributes, "output")))}
        if kind == "retriever":
            return {"outputs": known_only(documents=_llm.json_of(read(attributes, "documents")))}
        answer = messages_of(attributes, "answer", span.events)
        if kind == "agent":
            shown = [] if self._history.capture == "none" else _llm.without_reasoning(answer)
            return {"outputs": {"messages": shown} if shown else {}}
        first_s = read(attributes, "first_chunk_s")
        return _llm.result(
            self._history.answered(around, answer),
            _listed(read(attributes, "finish_reasons")),
            tokens=_llm.token_usage(
                read(attributes, "prompt_tokens"),
                read(attributes, "completion_tokens"),
                read(attributes, "total_tokens"),
                cache_read=read(attributes, "cache_read"),
                cache_write=read(attributes, "cache_write"),
                reasoning=read(attributes, "reasoning"),
            ),
            response_model=read(attributes, "response_model"),
            response_id=read(attributes, "response_id"),
            first_token_ms=first_s * 1_000 if isinstance(first_s, int | float) else None,
        )


def _ids(span: ReadableSpan) -> tuple[int | None, int | None]:
    own, parent = span.get_span_context(), span.parent
    return None if own is None else own.span_id, None if parent is None else parent.span_id


def _attributes_of(span: ReadableSpan) -> Attributes:
    """Return a copy of the attributes; each look at those of an open span takes a lock."""
    attributes: Any = span.attributes
    copy = getattr(attributes, "copy", None)
    if copy is None:
        return attributes or {}
    copied: Attributes = copy()
    return copied


def _add(entries: dict[Any, Any], key: object, value: object) -> None:
    """Add an entry; a full table, of spans that never end, loses its oldest one."""
    if len(entries) >= MAX_OPEN:
        entries.pop(next(iter(entries)), None)
    entries[key] = value


def _context_of(outer: int | None) -> SpanContext | None:
    """Return the context of the nearest step at or above the span *outer*, else the current one."""
    key = outer
    for _ in range(MAX_OPEN):
        if key is None:
            break
        opened = _opened.get(key)
        if opened is None:
            key = _others.get(key)
        elif opened.manual.context is None or not opened.manual.is_open:
            key = opened.outer
        else:
            return opened.manual.context
    context = open_context()
    # A model call whose answer is being streamed is current here, and not in OpenTelemetry.
    while context is not None and context.key in models and models[context.key][0] != outer:
        context = models[context.key][1]
    return context


def _agent_name(attributes: Attributes, name: str) -> str:
    return read_text(attributes, "agent") or name.partition(" ")[2] or "agent"


def _tool_name(attributes: Attributes, name: str) -> str | None:
    return read_text(attributes, "tool") or name.partition(" ")[2] or None


def _beginning(kind: Kind, attributes: Attributes, name: str) -> Mapping[str, object]:
    """Return the payload that is known when a span starts."""
    if kind == "tool":
        arguments = _llm.json_of(read(attributes, "arguments"))
        inputs = as_object(arguments)
        inputs = known_only(input=arguments) if inputs is None else inputs
        named = known_only(
            tool_name=_tool_name(attributes, name), call_id=read(attributes, "call_id")
        )
        return {**named, "inputs": inputs}
    if kind == "retriever":
        return {"inputs": known_only(query=read(attributes, "query"))}
    if kind == "agent":
        return {"agent_name": _agent_name(attributes, name), "inputs": {}}
    return NOTHING


def _asked(kind: Kind, attributes: Attributes) -> tuple[object, ...]:
    """Return the values that decide the payload of a tool or a retriever."""
    fields = {"tool": ("arguments", "call_id"), "retriever": ("query",)}.get(kind, ())
    return tuple(read(attributes, field) for field in fields)


def _listed(value: object) -> Sequence[object]:
    return cast("Sequence[object]", value) if isinstance(value, list | tuple) else (value,)


def _type_of_failure(span: ReadableSpan) -> tuple[str, str | None]:
    """Return the type and message of the exception that failed a span."""
    for event in reversed(span.events):
        attributes = event.attributes or {}
        if event.name == "exception" and attributes.get("exception.type"):
            message = attributes.get("exception.message")
            return str(attributes["exception.type"]), None if message is None else str(message)
    kind = read_text(span.attributes or {}, "error")
    return kind or "failed", span.status.description


def _error_of(span: ReadableSpan) -> BaseException | None:
    """Return the exception that is being handled if it is the one that failed the span."""
    handled = sys.exception()
    if handled is None or span.status.status_code is not StatusCode.ERROR:
        return None
    kind = _type_of_failure(span)[0].rpartition(".")[2]
    return handled if type(handled).__name__ == kind else None


def _failure(manual: ManualSpan, span: ReadableSpan) -> Mapping[str, object]:
    """Return the result of a failed span whose exception is not at hand."""
    kind, message = _type_of_failure(span)
    context = manual.context
    if context is not None and context.run.rules.classified:
        message = None  # it may quote what was redacted
    return {"error": known_only(type=kind, message=message)}
