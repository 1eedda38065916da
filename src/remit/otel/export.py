"""Passes ended spans to an OpenTelemetry span processor: `remit.configure(span_processor=...)`.

The caller's thread only creates an `ExportedSpan`. The name, attributes and status are read from
the item's bytes when they are first used, which is usually on the exporter's thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, get_args
from weakref import WeakValueDictionary

import msgspec
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from remit._base.guard import contain, guarded
from remit._base.outcomes import ACTIVE, CANCELLED, FAILED, TERMINATED
from remit._base.version import __version__
from remit._declare.inference import effective
from remit._declare.registry import Registry, StepKind
from remit._policy.violations import denied_by
from remit._record.items import Item, ItemKind, RunFeed, Sink
from remit._record.runs import OpenRun
from remit.errors import RunTerminated
from remit.models.data_risk import ActionProfile, Classification, DataCategories, DataRisk
from remit.otel.bridge import parents
from remit.otel.conventions import CAPTURE, CAPTURES, NAMES, SETTINGS, as_list, as_object
from remit.otel.messages import written

SPAN_ID_BYTES: Final = 8
MAX_TYPES: Final = 1_000
"""Maximum number of span types whose kind and risk are cached, because block names are unbounded.
"""
OWN_SPANS: Final = "otel:"
"""Prefix of the span types that came from OpenTelemetry. They are not exported again."""
LEFT_OPEN: Final = "open"
TRACEPARENT_PARTS: Final = 4
TERMINATION: Final = f"{RunTerminated.__module__}.{RunTerminated.__qualname__}"

_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_SCOPE: Final = InstrumentationScope("remit", __version__)
_UNSET: Final = Status(StatusCode.UNSET)
_FIELDS: Final = frozenset({
    "_name", "_parent", "_kind", "_start_time", "_end_time", "_attributes", "_events", "_links",
    "_status", "_resource", "_instrumentation_info", "_instrumentation_scope",
})  # fmt: skip


class ExportSink:
    """Passes items to another sink, and each ended span to a span processor."""

    def __init__(self, processor: Any, sink: Sink, registry: Registry) -> None:
        """Export to *processor*, with the kinds and risks in *registry*."""
        self.start_span: Callable[[Item], None] = sink.start_span
        self._sink = sink
        self._processor = processor
        self._types = _Types(registry)
        # Read now, because a process that is ending cannot start threads to detect resources.
        self._types.resource = Resource.create({})
        self._traces: dict[str, _Trace] = {}
        # Ended runs, because a span can outlive its run and refers to it.
        self._ended: WeakValueDictionary[str, OpenRun] = WeakValueDictionary()

    def open_run(self, item: Item, feed: RunFeed) -> None:
        """Pass on a new run. Its root span determines the trace ID."""
        self._traces[feed.key] = _Trace(feed, int.from_bytes(item.key), self._types)
        self._sink.open_run(item, feed)

    def end_span(self, start: Item, finished_ns: int, status: str, result: bytes | None) -> None:
        """Pass on the end of a span, and export the span."""
        # Before the sink, because the sink can change the item.
        try:
            self._export(start, finished_ns, status, result)
        except Exception as error:
            contain("the export of a span", error)
        finally:
            self._sink.end_span(start, finished_ns, status, result)

    def put(self, item: Item) -> None:
        """Pass on any other item. If the item ends a run, export the run's root span."""
        try:
            if item.kind == ItemKind.FINISH and item.parent is None:
                self._export(item, item.finished_ns or 0, item.status or "", item.result)
            elif item.kind == ItemKind.CLOSE:
                if item.status is None:  # left open, so the root span did not end
                    self._export(item, item.finished_ns or 0, ACTIVE, None)
                ended = self._traces.pop(item.run_key, None)
                run = None if ended is None else ended.feed.run()
                if run is not None:
                    self._ended[item.run_key] = run
        except Exception as error:
            contain("the export of a span", error)
        finally:
            self._sink.put(item)

    def _export(self, item: Item, finished_ns: int, status: str, result: bytes | None) -> None:
        span_trace = self._traces.get(item.run_key) or self._late(item.run_key)
        parent = item.parent
        if span_trace is None or (item.name or "").startswith(OWN_SPANS):
            return
        while parent in parents:
            parent = parents[parent]
        self._processor.on_end(ExportedSpan(span_trace, item, parent, finished_ns, status, result))

    def _late(self, run_key: str) -> _Trace | None:
        run = self._ended.get(run_key)
        if run is None:
            return None
        return _Trace(run.feed, int.from_bytes(run.feed.root), self._types)

    def begin_flush(self, timeout_s: float) -> Callable[[float], None]:
        """Start to flush the processor, and return a function that waits up to some seconds."""
        thread = threading.Thread(
            target=self._flush, args=(timeout_s,), name="remit-export", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the process cannot start a thread
            return lambda _: self._flush(timeout_s)
        return thread.join

    @guarded("the flush of a span processor")
    def _flush(self, timeout_s: float) -> None:
        self._processor.force_flush(int(timeout_s * 1_000))


@dataclass(frozen=True, slots=True)
class _Trace:
    """Data that all spans of one run share."""

    feed: RunFeed
    trace_id: int
    types: _Types


class ExportedSpan(ReadableSpan):
    """An ended span. Its parts are read when one of them is first used."""

    def __init__(
        self,
        span_trace: _Trace,
        item: Item,
        parent: bytes | None,
        finished_ns: int,
        status: str,
        result: bytes | None,
    ) -> None:
        """Store the source. `ReadableSpan.__init__` is called on first use."""
        self._trace = span_trace
        self._item = item
        self._parent_key = parent
        self._finished_ns = finished_ns
        self._outcome = (status, result)
        self._context = _context(span_trace.trace_id, item.key)

    def __getattr__(self, name: str) -> Any:
        """Read all parts when one is missing."""
        if name not in _FIELDS:
            raise AttributeError(name)
        item, span_trace, parent = self._item, self._trace, self._parent_key
        status, result = self._outcome
        read = _read(item, span_trace, status, result) or _Read(item.name or "")
        super().__init__(
            read.name,
            context=self._context,
            parent=None if parent is None else _context(span_trace.trace_id, parent),
            resource=span_trace.types.resource_now(),
            attributes=read.attributes,
            links=read.links,
            kind=read.kind,
            status=read.status,
            start_time=item.started_ns,
            end_time=self._finished_ns,
            instrumentation_scope=_SCOPE,
        )
        return self.__dict__[name]


def _context(trace_id: int, key: bytes) -> SpanContext:
    return SpanContext(
        trace_id, int.from_bytes(key[-SPAN_ID_BYTES:]), is_remote=False, trace_flags=_SAMPLED
    )


class _Types:
    """Kinds and risks of span types, and the export settings."""

    def __init__(self, registry: Registry) -> None:
        """Read kinds and risks from *registry*."""
        self.registry: Final = registry
        self.contents: Final = os.environ.get(CAPTURE, "").strip().lower() in CAPTURES
        self.resource: Resource | None = None
        self._known: dict[str, tuple[StepKind, Mapping[str, Any]]] = {}

    def resource_now(self) -> Resource | None:
        """Return the resource of the program's tracer provider, if the SDK provides it."""
        resource = getattr(trace.get_tracer_provider(), "resource", None)
        return resource if isinstance(resource, Resource) else self.resource

    def of(self, name: str) -> tuple[StepKind, Mapping[str, Any]]:
        """Return the kind of a span type, and the attributes that describe its risk."""
        known = self._known.get(name)
        if known is None:
            declared = self.registry.span_type(name)
            kind: StepKind = "step" if declared is None else declared.step_kind
            if kind == "step" and self.registry.agent(name) is not None:
                kind = "agent"
            risk = None if declared is None else effective(declared)
            known = kind, {} if risk is None else _risk_attributes(risk)
            if len(self._known) >= MAX_TYPES:
                self._known.clear()
            self._known[name] = known
        return known


def _risk_attributes(risk: DataRisk) -> dict[str, Any]:
    taken, given = risk.params_data_categories, risk.result_data_categories
    levels = list(get_args(Classification))
    attributes: dict[str, Any] = {
        "remit.risk.allows": _words(risk.action_profile, "allowed"),
        "remit.risk.takes": _words(taken, "included"),
        "remit.risk.gives": _words(given, "included"),
    }
    attributes = {name: words for name, words in attributes.items() if words}
    strictest = max(taken.classification, given.classification, key=levels.index)
    if strictest != levels[0]:
        attributes["remit.risk.classification"] = strictest
    return attributes


def _words(profile: ActionProfile | DataCategories, word: str) -> list[str]:
    return [name for name, value in profile if value == word]


@dataclass(frozen=True, slots=True)
class _Read:
    """The parts of a span that are read from its bytes."""

    name: str
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Mapping[str, Any] | None = None
    status: Status = _UNSET
    links: tuple[Link, ...] = ()


@guarded("the export of a span")
def _read(item: Item, span_trace: _Trace, status: str, result_json: bytes | None) -> _Read:
    types, name = span_trace.types, item.name or ""
    payload, result = _object(item.payload), _object(result_json)
    if item.parent is None:
        read = _read_run(payload, span_trace)
    else:
        kind, risk = types.of(name)
        if name == span_trace.feed.agent.external_identifier:
            kind = "step"  # the call of the run's own agent, which the root span already represents
        read = _READERS[kind](name, payload, result, types)
        read = replace(read, attributes={"remit.span_type": name, **risk, **_known(read)})
    attributes = dict(read.attributes or {})
    ending = _status(status, result, attributes)
    return replace(read, attributes=attributes, status=ending)


def _known(read: _Read) -> dict[str, Any]:
    """Return the attributes that have a value, converted to types that OpenTelemetry accepts."""
    attributes = read.attributes or {}
    return {name: _plain(value) for name, value in attributes.items() if value is not None}


def _plain(value: object) -> object:
    """Return a value that is valid for an attribute, or the JSON of any other value."""
    if isinstance(value, str | bool | int | float):
        return value
    items = as_list(value)
    is_texts = items is not None and all(isinstance(each, str) for each in items)
    return value if is_texts else _json(value)


def _json(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _object(data: bytes | None) -> dict[str, Any]:
    return as_object(msgspec.json.decode(data) if data else None) or {}


def _within(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a member if it is an object."""
    return as_object(value.get(name)) or {}


def _attributes(**fields: object) -> dict[str, Any]:
    """Return the attributes of *fields* under their newest names."""
    return {NAMES[field][0]: value for field, value in fields.items() if value is not None}


_ABOUT_RUN: Final = {
    "conversation": "gen_ai.conversation.id",
    "on_behalf_of": "remit.run.on_behalf_of",
    "subject": "remit.run.subject",
}
"""Attributes for what a program says of a run, by member of the payload."""


def _read_run(payload: dict[str, Any], span_trace: _Trace) -> _Read:
    feed = span_trace.feed
    attributes = _attributes(
        operation="invoke_agent", agent=feed.agent.name, agent_id=feed.agent.external_identifier
    )
    attributes |= {"remit.run.key": feed.key, "remit.run.purpose": feed.purpose}
    if span_trace.types.contents:
        attributes |= {
            attribute: _plain(payload[name])
            for name, attribute in _ABOUT_RUN.items()
            if payload.get(name) is not None
        }
    link = _link(payload.get("traceparent"))
    return _Read(
        f"invoke_agent {feed.agent.name}",
        attributes=attributes,
        links=() if link is None else (link,),
    )


def _link(traceparent: object) -> Link | None:
    """Return a link to the span of a W3C `traceparent`, or None if it is malformed."""
    parts = traceparent.split("-") if isinstance(traceparent, str) else []
    if len(parts) < TRACEPARENT_PARTS:
        return None
    try:
        trace_id, span_id, flags = (int(part, 16) for part in parts[1:TRACEPARENT_PARTS])
        outer = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    except ValueError:
        return None
    return Link(outer) if outer.is_valid else None


def _read_step(name: str, payload: dict[str, Any], result: dict[str, Any], types: _Types) -> _Read:
    if not types.contents:
        return _Read(name)
    shown = None if "error" in result else _json(result)
    return _Read(name, attributes=_attributes(arguments=_json(payload), output=shown))


def _read_tool(name: str, payload: dict[str, Any], result: dict[str, Any], types: _Types) -> _Read:
    tool = payload.get("tool_name") or name.rpartition(":")[2]
    attributes = _attributes(operation="execute_tool", tool=tool, call_id=payload.get("call_id"))
    if types.contents:
        output = _within(result, "outputs").get("output")
        attributes |= _attributes(arguments=_json(payload.get("inputs")), output=_json(output))
    return _Read(f"execute_tool {tool}", attributes=attributes)


def _read_agent(name: str, payload: dict[str, Any], result: dict[str, Any], types: _Types) -> _Read:
    declared = types.registry.agent(name)
    own = name.rpartition(":")[2] if declared is None else declared.name
    agent = payload.get("agent_name") if declared is None else own
    agent = agent if isinstance(agent, str) else own
    attributes = _attributes(operation="invoke_agent", agent=agent)
    if types.contents:
        attributes |= _contents(payload, result)
    return _Read(f"invoke_agent {agent}", attributes=attributes)


def _read_retriever(
    name: str, payload: dict[str, Any], result: dict[str, Any], types: _Types
) -> _Read:
    attributes = _attributes(operation="retrieval")
    if types.contents:
        inputs, outputs = payload.get("inputs"), _within(result, "outputs")
        query = _within(payload, "inputs").get("query", inputs)
        attributes |= _attributes(query=query, documents=_json(outputs.get("documents")))
    return _Read(f"retrieval {name}", attributes=attributes)


def _read_model_call(
    name: str, payload: dict[str, Any], result: dict[str, Any], types: _Types
) -> _Read:
    inputs, outputs = _within(payload, "inputs"), _within(result, "outputs")
    usage, details = _within(result, "token_usage"), _within(result, "usage_details")
    operation, model = payload.get("operation") or "chat", payload.get("model_name")
    first_ms = result.get("first_token_ms")
    attributes = _attributes(
        operation=operation,
        provider=payload.get("provider"),
        model=model,
        stream=payload.get("stream"),
        finish_reasons=outputs.get("finish_reasons") or None,
        response_model=result.get("response_model"),
        response_id=result.get("response_id"),
        first_chunk_s=first_ms / 1_000 if isinstance(first_ms, int | float) else None,
        prompt_tokens=usage.get("prompt_tokens"),
        completion_tokens=usage.get("completion_tokens"),
        cache_read=details.get("cache_read"),
        cache_write=details.get("cache_write"),
        reasoning=details.get("reasoning"),
    )
    settings = {"temperature": payload.get("temperature"), **_within(inputs, "settings")}
    attributes |= {
        SETTINGS[setting]: value for setting, value in settings.items() if setting in SETTINGS
    }
    if types.contents:
        attributes |= _contents(payload, result)
        attributes |= _attributes(tools=_json(inputs.get("tools")))
        system = inputs.get("system")
        if system is not None:
            attributes |= _attributes(system=_json([{"type": "text", "content": system}]))
    return _Read(f"{operation} {model or name}", SpanKind.CLIENT, attributes)


def _contents(payload: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """Return the messages of a model call or an agent as attributes."""
    asked = written(_within(payload, "inputs").get("messages"))
    answer = written(_within(result, "outputs").get("messages"))
    return _attributes(messages=_json(asked or None), answer=_json(answer or None))


_READERS: Final[Mapping[str, Callable[[str, dict[str, Any], dict[str, Any], _Types], _Read]]] = {
    "step": _read_step,
    "tool": _read_tool,
    "agent": _read_agent,
    "retriever": _read_retriever,
    "llm": _read_model_call,
}


def _status(status: str, result: dict[str, Any], attributes: dict[str, Any]) -> Status:
    """Return the status of a span, and add other data about its end to *attributes*."""
    if result.get("status") == TERMINATED:
        attributes |= {"remit.status": TERMINATED, **_attributes(error=TERMINATION)}
        return Status(StatusCode.ERROR, _text(result.get("reason")))
    if status == FAILED:
        error = _within(result, "error")
        attributes |= _attributes(error=_text(error.get("type")) or "failed")
        violations = denied_by(result)
        if violations is not None:
            reason = "; ".join(map(str, violations))
            attributes |= {"remit.verdict": "deny", "remit.verdict_reason": reason}
        message = error.get("message", result.get("reason"))
        return Status(StatusCode.ERROR, _text(message))
    if status == CANCELLED:
        attributes["remit.status"] = CANCELLED
    elif status == ACTIVE:
        attributes["remit.status"] = LEFT_OPEN
    return _UNSET


def _text(value: object) -> str | None:
    plain = _plain(value)
    return plain if isinstance(plain, str) else None
