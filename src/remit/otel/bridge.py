"""A span processor that records OpenTelemetry's GenAI spans as steps of the current run."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

from remit._adapters import spans
from remit._adapters.declare import AgentIdentity, add_to_header, declare, declare_agent
from remit._adapters.spans import NOTHING, ManualSpan, Status
from remit._adapters.tables import MAX_OPEN
from remit._base.guard import contain, guarded, logger
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
    OPENINFERENCE,
    OPERATIONS,
    Attributes,
    Kind,
    as_object,
    cost_of,
    finish_reasons_of,
    is_streamed,
    kind_of,
    read,
    read_text,
    settings_of,
    unread,
)
from remit.otel.messages import (
    definitions_of,
    documents_of,
    messages_of,
    model_messages_of,
    system_of,
    tools_of,
)

SDK: Final = "opentelemetry-sdk"
TESTED: Final = "1.25 to 1.45"
"""SDK versions with which the tests of `Bridge(enforce=True)` pass."""
_llm.required(SDK, "1.25", _llm.installed(SDK), "remit.otel")

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import StatusCode

UNNAMED: Final = "agent"
"""Name of an agent without one."""
MAX_TOOLS: Final = 1_000
"""Maximum number of tools that one bridge declares. Further tools are recorded as `otel:tool`."""
UUID: Final = re.compile(r"_?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""An ID in a span name, which is different in each run."""
MAX_DEFINITIONS: Final = 64
"""Maximum number of tool definition lists that one bridge remembers."""

RECORDERS: Final[Mapping[Kind, SpanRecorder]] = {
    "llm": declare("otel:llm", "llm", title="Model call"),
    "agent": declare("otel:agent", "agent", title="Agent"),
    "chain": declare("otel:chain", "agent", title="Chain"),
    "retriever": declare("otel:retriever", "retriever", title="Retrieval"),
    "tool": declare("otel:tool", "tool", title="Tool"),
}
add_to_header(f"remit-otel@{__version__}")


@dataclass(frozen=True, slots=True)
class _Opened:
    """An OpenTelemetry span that is a step.

    Attributes:
        manual: The step's remit span. It has no context if nothing is recorded.
        asked: The attribute values from which the step's payload was made.
        outer: ID of the span's parent in OpenTelemetry.
    """

    manual: ManualSpan
    kind: Kind
    recorder: SpanRecorder
    asked: tuple[object, ...]
    around: SpanContext | None
    outer: int | None


@dataclass(frozen=True, slots=True)
class _Other:
    """An OpenTelemetry span that is not recorded, or is recorded only when it ends.

    Attributes:
        outer: ID of the span's parent in OpenTelemetry.
        native: The integration's span that was current when this span started.
        is_same: Whether both spans are the same step, which the integration records.
    """

    outer: int | None
    native: ManualSpan | None
    is_same: bool


# Shared by all bridges, so that two bridges record a span only once.
_opened: Final[dict[int, _Opened]] = {}
_others: Final[dict[int, _Other]] = {}
"""The other open spans, by ID."""
models: Final[dict[bytes, tuple[int, SpanContext | None]]] = {}
"""ID and context of each open model call, by the key of its span."""
parents: Final[dict[bytes, bytes]] = {}
"""The parents of the bridges' open spans, by span key. These spans are not exported again."""


class Bridge(SpanProcessor):
    """A span processor that records the GenAI spans of a tracer provider as steps.

    The span types are `otel:agent`, `otel:chain`, `otel:llm`, `otel:retriever` and
    `otel:tool:<name>`. Other spans, such as HTTP requests, are not recorded, and their children
    become children of the nearest recorded span. Outside any run, the outermost agent or chain
    opens a run.
    """

    def __init__(
        self,
        enforce: bool = False,  # noqa: FBT001, FBT002 - `Bridge(enforce=True)`
        *,
        risks: Mapping[str, DataRisk | Mapping[str, object]] | None = None,
        capture_messages: CaptureMessages = "new",
        capture_reasoning: bool = False,
        agent_id: str | None = None,
        external_identifier: str | None = None,
    ) -> None:
        """Make a span processor for `TracerProvider.add_span_processor`.

        Args:
            enforce: Whether a denial or termination raises an exception when a span starts, so that
                the step does not run. Otherwise violations are only recorded.
            risks: Risk declarations for tools, by name.
            capture_messages: `new` records the messages that the previous call under the same
                parent did not contain, `all` records all messages, and `none` records no messages.
            capture_reasoning: Whether the models' reasoning is recorded.
            agent_id: ID on the server of the agent whose runs this processor opens. It overrides
                *external_identifier* and the setting `agent_id`.
            external_identifier: Identifier by which the server finds that agent.

        Raises:
            DeclarationError: If an argument is wrong, or if *enforce* is true and the installed SDK
                does not pass exceptions from span processors on to the caller.
        """
        if not isinstance(cast("object", enforce), bool):
            raise DeclarationError(
                f"Bridge: enforce is {describe_value(enforce)}; expected True or False"
            )
        if not isinstance(cast("object", risks), Mapping | None):
            raise DeclarationError(
                f"Bridge: risks is {describe_value(risks)}; expected a mapping of tool names "
                "to remit.risk(...)"
            )
        if enforce and not _passes_exceptions_on():
            raise DeclarationError(
                f"Bridge(enforce=True): saw {SDK} {_llm.installed(SDK)}, which does not pass an "
                f"exception from a span processor on to the code that starts the span, so no step "
                f"would be denied; expected a version that does, such as {TESTED}. Install one of "
                f"these versions, unset OTEL_SDK_DISABLED, or use Bridge(), which only records"
            )
        self._enforce = enforce
        self._risks = dict(risks or {})
        self._history = _llm.history("Bridge", capture_messages, capture_reasoning)
        self._identity = AgentIdentity.of_caller(
            "otel",
            UNNAMED,
            where="Bridge",
            agent_id=agent_id,
            external_identifier=external_identifier,
        )
        self._definitions: set[object] = set()
        self._is_warned = False
        self._tools = {name: self._declare(name) for name in self._risks}

    # The start

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Start a remit span if this OpenTelemetry span is a step.

        Raises:
            DeniedError: If *enforce* is true, and the step violates the agent's remit or cannot be
                judged.
            RunTerminated: If *enforce* is true, and the run was terminated.
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
        kind, native = kind_of(attributes, span.name), _native()
        if kind is None:
            _add(_others, key, _Other(outer, native, is_same=False))
            return
        recorder = self._recorder(kind, attributes, span.name)
        if _is_step_of(native, recorder, attributes, span.name):
            _add(_others, key, _Other(outer, native, is_same=True))
            return
        around = _context_of(outer)
        opens_run = kind in {"agent", "chain"} and around is None
        manual = spans.start(
            recorder,
            partial(_beginning, kind, attributes, span.name),
            parent=around,
            agent=self._agent(attributes, span.name) if opens_run else None,
            deny=self._enforce,
            started_ns=span.start_time,
            replaceable=True,
            suggested={} if spans.reported_span(around) else _known_of_run(attributes),
        )
        with manual.ended_by_errors():
            asked = _asked(kind, attributes)
            _add(_opened, key, _Opened(manual, kind, recorder, asked, around, outer))
            context = manual.context
            if context is None:
                return
            manual.on_replaced = partial(parents.pop, context.key, None)
            if kind == "llm":
                _add(models, context.key, (key, around))
            _add(parents, context.key, context.run.context.key if around is None else around.key)
            manual.make_current()

    def _agent(self, attributes: Attributes, name: str) -> Any:
        """Return the agent of the run that an outermost agent opens."""
        agent = _agent_name(attributes, name)
        return declare_agent(self._identity.of(agent), name=agent, identity=self._identity)

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
                place=self._identity.place,
            )
        except DeclarationError:
            if tool in self._risks:
                raise
            return RECORDERS["tool"]  # its name is not valid for a span type

    # The end

    @guarded("the end of a span of OpenTelemetry")
    def on_end(self, span: ReadableSpan) -> None:
        """End the remit span with the data that is known."""
        key, _ = _ids(span)
        if key is None:
            return
        attributes = _attributes_of(span)
        opened = _opened.pop(key, None)
        if opened is None:
            kind, other = kind_of(attributes, span.name), _others.pop(key, None)
            if other is not None and kind is not None and not other.is_same:
                self._record(kind, span, attributes, other)
            elif kind is None:
                self._warn_unread(span, attributes)
            return
        manual = opened.manual
        if manual.context is not None:
            models.pop(manual.context.key, None)
        if manual.replaced_by is not None:
            manual.replaced_by.make_previous_current()
            return
        kind = kind_of(attributes, span.name) or opened.kind
        recorder = self._recorder(kind, attributes, span.name)
        known = recorder is opened.recorder and _asked(kind, attributes) == opened.asked != ()
        self._end(manual, kind, span, attributes, opened.around, None if known else recorder)
        if manual.context is not None:
            parents.pop(manual.context.key, None)

    def _record(
        self, kind: Kind, span: ReadableSpan, attributes: Attributes, other: _Other
    ) -> None:
        """Record a step that was recognised at its end, as a sibling of its inner steps."""
        recorder = self._recorder(kind, attributes, span.name)
        if _is_step_of(other.native, recorder, attributes, span.name):
            return
        around = _context_of(other.outer)
        manual = spans.start(
            recorder,
            NOTHING,
            parent=around,
            deny=False,
            started_ns=span.start_time,
            replaceable=True,
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
        """End a span. If *recorder* is not None, it also describes the payload."""
        if kind in {"llm", "agent"}:
            self._declare_tools(attributes)
        if recorder is not None:
            manual.describe(partial(self._payload, kind, attributes, span, around), recorder)
        failed, error = span.status.status_code is StatusCode.ERROR, _error_of(span)
        result = partial(self._result, kind, attributes, span, around)
        if failed and error is None:
            manual.end(partial(_failure, manual, span), status="failed", ended_ns=span.end_time)
        else:
            # A denial after the response can close the generator that made the model call.
            answered = kind == "llm" and not failed and any(finish_reasons_of(attributes))
            status: Status | None = "complete" if answered else None
            manual.end(result, status=status, error=error, ended_ns=span.end_time)

    def _warn_unread(self, span: ReadableSpan, attributes: Attributes) -> None:
        """Log once that a span is not recorded although it seems to be a model call."""
        attribute = None if self._is_warned else unread(attributes, span.name)
        if attribute is not None:
            self._is_warned = True
            logger.warning(
                "the span %r of %s has the attribute %s, but no operation that remit.otel.Bridge "
                "recognises; this span and similar spans are not recorded",
                span.name,
                _scope(span),
                attribute,
            )

    def _declare_tools(self, attributes: Attributes) -> None:
        """Declare the tools that a model can call, with their schemas."""
        definitions = definitions_of(attributes)
        if not definitions or definitions in self._definitions:
            return
        if len(self._definitions) >= MAX_DEFINITIONS:
            self._definitions.clear()
        self._definitions.add(definitions)
        for tool in tools_of(definitions):
            if len(self._tools) < MAX_TOOLS:
                name, schema = tool["name"], as_object(tool.get("parameters"))
                self._tools[name] = self._declare(name, tool.get("description"), schema)

    # Recorded contents

    def _payload(
        self, kind: Kind, attributes: Attributes, span: ReadableSpan, around: SpanContext | None
    ) -> Mapping[str, object]:
        if kind in {"tool", "retriever"}:
            return _beginning(kind, attributes, span.name)
        read_messages = model_messages_of if kind == "llm" else messages_of
        messages = read_messages(attributes, "messages", span.events)
        recorded, omitted = self._history.new(around, messages) if kind == "llm" else (messages, 0)
        if kind == "agent":
            recorded = _llm.without_reasoning(recorded)
        if self._history.capture == "none":
            recorded = ()
        if kind in {"agent", "chain"}:
            inputs: Mapping[str, object] = {"messages": list(recorded)} if recorded else {}
            if not recorded and self._history.capture != "none":
                inputs = _inputs(read(attributes, "input"))
            return {f"{kind}_name": _agent_name(attributes, span.name), "inputs": inputs}
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
                for tool in tools_of(definitions_of(attributes))
            ),
            settings=settings_of(attributes),
            stream=is_streamed(attributes),
        )

    def _result(
        self, kind: Kind, attributes: Attributes, span: ReadableSpan, around: SpanContext | None
    ) -> Mapping[str, object]:
        if kind == "tool":
            return {"outputs": known_only(output=_llm.json_of(read(attributes, "output")))}
        if kind == "retriever":
            return {"outputs": known_only(documents=documents_of(attributes))}
        read_messages = model_messages_of if kind == "llm" else messages_of
        answer = read_messages(attributes, "answer", span.events)
        if kind in {"agent", "chain"}:
            if self._history.capture == "none":
                return {"outputs": {}}
            output = _llm.json_of(attributes.get("output.value"))
            shown = _llm.without_reasoning(answer)
            return {"outputs": {"messages": shown} if shown else known_only(output=output)}
        first_s = read(attributes, "first_chunk_s")
        return _llm.result(
            self._history.answered(around, answer),
            finish_reasons_of(attributes),
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
            cost=cost_of(attributes, _scope(span)),
            first_token_ms=first_s * 1_000 if isinstance(first_s, int | float) else None,
        )


class _Probe(SpanProcessor):
    """Span processor whose exception should reach the caller."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        raise _ProbeError


class _ProbeError(Exception):
    """The exception that should reach the caller."""


def _passes_exceptions_on() -> bool:
    """Return whether the SDK passes an exception from `on_start` to the code that starts a span."""
    provider = TracerProvider(
        sampler=ALWAYS_ON, resource=Resource.get_empty(), shutdown_on_exit=False
    )
    provider.add_span_processor(_Probe())
    try:
        provider.get_tracer("remit").start_span("probe")
    except _ProbeError:
        return True
    return False


def _known_of_run(attributes: Attributes) -> Mapping[str, object]:
    """Return what the attributes with which an outermost span starts say of its run."""
    return {
        "conversation": read_text(attributes, "conversation"),
        "on_behalf_of": read_text(attributes, "user"),
    }


def _ids(span: ReadableSpan) -> tuple[int | None, int | None]:
    own, parent = span.get_span_context(), span.parent
    return None if own is None else own.span_id, None if parent is None else parent.span_id


def _attributes_of(span: ReadableSpan) -> Attributes:
    """Return a copy of the attributes, because each read from an open span takes a lock."""
    attributes: Any = span.attributes
    copy = getattr(attributes, "copy", None)
    if copy is None:
        return attributes or {}
    copied: Attributes = copy()
    return copied


def _add(entries: dict[Any, Any], key: object, value: object) -> None:
    """Add an entry. If spans never end and the table is full, remove the oldest entry."""
    if len(entries) >= MAX_OPEN:
        entries.pop(next(iter(entries)), None)
    entries[key] = value


def _context_of(outer: int | None) -> SpanContext | None:
    """Return the context of the nearest step at or above span *outer*, or the current context."""
    key, reported = outer, None
    for _ in range(MAX_OPEN):
        if key is None or reported is not None:
            break
        opened, other = _opened.get(key), _others.get(key)
        if opened is not None:
            reported, key = _open_context_of(opened.manual), opened.outer
        elif other is not None:
            reported = _open_context_of(other.native) if other.is_same else None
            key = other.outer
        else:
            key = None
    if reported is not None:
        inner = _own_step()
        return inner if _is_below(inner, reported) else reported
    context = open_context()
    # A model call whose response is streaming is current in remit, but not in OpenTelemetry.
    while context is not None and context.key in models and models[context.key][0] != outer:
        context = models[context.key][1]
    return context


def _open_context_of(manual: ManualSpan | None) -> SpanContext | None:
    """Return the context of an open span, or of the span that replaced it."""
    if manual is not None and manual.replaced_by is not None:
        manual = manual.replaced_by
    return manual.context if manual is not None and manual.is_open else None


def _own_step() -> SpanContext | None:
    """Return the nearest current step that did not come from OpenTelemetry."""
    context = open_context()
    while (span := spans.reported_span(context)) is not None and span.on_replaced is not None:
        context = span.around
    return context


def _is_below(inner: SpanContext | None, outer: SpanContext) -> bool:
    """Return whether an open step is below *outer*."""
    if inner is None or inner.run is not outer.run:
        return False
    key: bytes | None = inner.key
    while key is not None and key != outer.key:
        span = inner.run.open.get(key)
        key = None if span is None else span.start.parent
    return key is not None


def _native() -> ManualSpan | None:
    """Return the current span if a remit integration created it."""
    span = spans.reported_span(open_context())
    return None if span is None or span.on_replaced is not None else span


def _is_step_of(
    native: ManualSpan | None, recorder: SpanRecorder, attributes: Attributes, name: str
) -> bool:
    """Return whether an OpenTelemetry span is the same step as *native*."""
    if native is None:
        return False
    if recorder is RECORDERS["chain"]:  # a part of the agent
        return native.kind == "agent"
    return native.is_step_of(recorder, _agent_name(attributes, name))


def _agent_name(attributes: Attributes, name: str) -> str:
    agent = read_text(attributes, "agent")
    if agent is None and OPENINFERENCE in attributes:
        agent = UUID.sub("", name)
    return agent or name.partition(" ")[2] or UNNAMED


def _tool_name(attributes: Attributes, name: str) -> str | None:
    tool = read_text(attributes, "tool")
    if tool is None and OPENINFERENCE in attributes:
        return name
    return tool or name.partition(" ")[2] or None


def _beginning(kind: Kind, attributes: Attributes, name: str) -> Mapping[str, object]:
    """Return the payload that is known when a span starts."""
    if kind == "tool":
        named = known_only(
            tool_name=_tool_name(attributes, name), call_id=read(attributes, "call_id")
        )
        return {**named, "inputs": _inputs(read(attributes, "arguments"))}
    if kind == "retriever":
        return {"inputs": known_only(query=read(attributes, "query"))}
    if kind in {"agent", "chain"}:
        return {f"{kind}_name": _agent_name(attributes, name), "inputs": {}}
    return NOTHING


def _asked(kind: Kind, attributes: Attributes) -> tuple[object, ...]:
    """Return the values that determine the payload of a tool or a retriever."""
    fields = {"tool": ("arguments", "call_id"), "retriever": ("query",)}.get(kind, ())
    return tuple(read(attributes, field) for field in fields)


def _inputs(value: object) -> Mapping[str, object]:
    """Return the inputs of a step. A value that is not an object is returned as `input`."""
    decoded = _llm.json_of(value)
    inputs = as_object(decoded)
    return known_only(input=decoded) if inputs is None else inputs


def _scope(span: ReadableSpan) -> str:
    """Return the name of the instrumentation that created a span."""
    scope = span.instrumentation_scope
    return "an instrumentation without a name" if scope is None or not scope.name else scope.name


def _type_of_failure(span: ReadableSpan) -> tuple[str, str | None]:
    """Return the type and message of the exception that made a span fail."""
    for event in reversed(span.events):
        attributes = event.attributes or {}
        if event.name == "exception" and attributes.get("exception.type"):
            message = attributes.get("exception.message")
            return str(attributes["exception.type"]), None if message is None else str(message)
    kind = read_text(span.attributes or {}, "error")
    return kind or "failed", span.status.description


def _error_of(span: ReadableSpan) -> BaseException | None:
    """Return the current exception if it made the span fail."""
    handled = sys.exception()
    if handled is None or span.status.status_code is not StatusCode.ERROR:
        return None
    kind = _type_of_failure(span)[0].rpartition(".")[2]
    return handled if type(handled).__name__ == kind else None


def _failure(manual: ManualSpan, span: ReadableSpan) -> Mapping[str, object]:
    """Return the result of a failed span whose exception object is not available."""
    kind, message = _type_of_failure(span)
    context = manual.context
    if context is not None and context.run.rules.classified:
        message = None  # it can quote redacted data
    return {"error": known_only(type=kind, message=message)}
