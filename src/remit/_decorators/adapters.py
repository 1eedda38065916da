"""For integrations of agent frameworks, which get callbacks: opens and ends spans by hand.

A step that a framework reports has no function. It is declared by `declare`, opened by `start` and
ended by `ManualSpan.end`; one that is reported when it is over is recorded by `record`. `SpanTable`
and `SessionTable` keep spans and runs by the framework's own ids. Adapters use nothing else of
recording; none of it is public yet.

A list that is too long for a payload becomes a marker that holds its first elements. Of a
conversation, the last ones count: a step that is declared with `newest=["messages"]` keeps the last
elements of every list under `messages`, in the payload and in the result. Such a list stays a list;
what was cut is a marker in front, `{"$remit": "cut", "of": 10000, "unit": "items"}`. The other
fields are captured first, so that a long conversation does not displace them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Hashable, Mapping
from hashlib import sha256
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar, cast

from remit import _capture, _runtime
from remit._base.guard import guarded
from remit._base.ids import KEY_BYTES, TIME_BYTES
from remit._base.locks import SignalSafeLock
from remit._base.outcomes import CANCELLED, COMPLETE, FAILED, status_of
from remit._base.version import add_adapter
from remit._declare.registry import AgentType, SpanType
from remit._declare.risk import coerce
from remit._decorators.agent import AgentRuns
from remit._decorators.span_type import recorder_of
from remit._inspect.signature import CallKind
from remit._record.context import use_context
from remit._record.runs import (
    OpenRun,
    SpanContext,
    contributed_interrupts,
    current_context,
    opened,
)
from remit._record.spans import OpenSpan, SpanRecorder, StepKind
from remit.errors import DeniedError
from remit.models.data_risk import DataRisk

K = TypeVar("K", bound=Hashable)

INPUTS: Final = "inputs"
"""Name of the one parameter of a step without a function."""

MAX_OPEN: Final = 10_000
"""Entries of one table at most, in case a framework never ends its steps."""


def declare(  # noqa: PLR0913 - what a decorator takes
    name: str,
    kind: StepKind = "step",
    *,
    params: object = None,
    result: object = None,
    title: str | None = None,
    description: str | None = None,
    template: str | None = None,
    data_risk: DataRisk | Mapping[str, object] | None = None,
    newest: Collection[str] = (),
) -> SpanRecorder:
    """Declare a step without a function, for the registrations of later runs.

    A later declaration under the same name replaces an earlier one. The arguments are those of
    `remit.span_type`, but *params* is a type or a JSON Schema of the whole payload, which is
    recorded under `inputs`. A *kind* of model, agent or retriever has no effect, so its unknown
    words are no violation. *newest* names the fields of payload and result whose lists keep their
    last elements; `inputs` is the whole payload, `result` the whole result.

    Raises:
        DeclarationError: The name is reserved or another function's, or the data risk is wrong.
    """

    def step(inputs: object) -> object: ...

    schema: dict[str, object] | None = None
    if isinstance(params, Mapping):
        inputs = cast("Mapping[str, object]", params)
        schema = {"type": "object", "properties": {INPUTS: inputs}, "required": [INPUTS]}
    elif params is not None:
        step.__annotations__[INPUTS] = params
    declared = SpanType(
        step,
        kind=CallKind.FUNCTION,
        skip_first=False,
        explicit_name=name,
        data_risk=coerce(data_risk, f"the step {name}"),
        title=title or name,
        description=description,
        template=template,
        params=schema,
        result=result,
        newest=frozenset(newest),
    )
    _runtime.registry().add_span_type(declared)
    return recorder_of(declared, kind=kind)


def declare_agent(
    identifier: str,
    *,
    name: str | None = None,
    description: str | None = None,
    version: str | None = None,
    data_risk: DataRisk | Mapping[str, object] | None = None,
    span_types: tuple[object, ...] = (),
) -> AgentRuns:
    """Declare an agent without a function; the returned object opens its runs.

    *identifier* is `module:name`, by which a server recognises it; the other arguments are those of
    `remit.agent`.

    Raises:
        DeclarationError: The data risk is wrong.
    """

    def answer(inputs: object) -> object: ...

    answer.__module__, _, answer.__qualname__ = identifier.rpartition(":")
    span_type = SpanType(
        answer,
        kind=CallKind.FUNCTION,
        skip_first=False,
        explicit_name=identifier,
        data_risk=coerce(data_risk, f"the agent {identifier}"),
        description=description,
    )
    declared = AgentType(span_type, explicit_name=name, version=version, span_types=span_types)
    _runtime.registry().add_agent(declared)
    return AgentRuns(declared)


def announce(name: str) -> None:
    """Add the adapter, such as `remit-langchain@0.1.0`, to the user agent of later clients."""
    add_adapter(name)


def interrupts(*types: type[BaseException]) -> None:
    """Add exception types by which a framework pauses: they cancel spans and leave runs open."""
    contributed_interrupts.extend(cls for cls in types if cls not in contributed_interrupts)


class ManualSpan:
    """A span that an adapter starts and ends; any thread may end it.

    It does not keep its run open: if it is open when the run's block ends, it is cancelled. As a
    block, for hooks that wrap a call, it is current and ends with the exception that passes
    through, if any.

    Attributes:
        context: The context inside it, the parent of other spans; None if nothing is recorded.
        refused: The refusal of a step beneath it, in case a framework hides the exception.
    """

    __slots__ = ("_current", "_lock", "_span", "context", "refused")

    def __init__(self, span: OpenSpan | None) -> None:
        """Keep *span*; None records nothing."""
        self._span = span
        self.context: SpanContext | None = None if span is None else span.context
        self.refused: DeniedError | None = None
        self._current: use_context | None = None
        self._lock = SignalSafeLock()
        if span is not None:
            span.context.run.reported[span.context.key] = self

    def make_current(self) -> Self:
        """Make the span current until it ends; then the previous context is restored by value."""
        if self.context is not None and self._current is None:
            self._current = use_context(self.context)
            self._current.__enter__()
        return self

    # Unguarded: called by the adapter's `with`.
    def __enter__(self) -> Self:
        """Make the span current."""
        return self.make_current()

    # Unguarded: as above.
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the span."""
        self.end(error=error)

    @guarded("the description of a span")
    def describe(self, payload: Mapping[str, object], recorder: SpanRecorder | None = None) -> None:
        """Replace the payload of an open span, and with *recorder* also its type.

        A span that was sent as `active` already, after some seconds, keeps what was sent.
        """
        with self._lock:
            span = self._span
            if span is not None:
                recorder = recorder or span.recorder
                body = recorder.plan().params((payload,), {}, span.context.run.rules)
                recorder.describe(span, body)

    @guarded("the end of a span")
    def end(
        self,
        result: Mapping[str, object] | None = None,
        *,
        status: str = COMPLETE,
        error: BaseException | None = None,
        ended_ns: int | None = None,
    ) -> None:
        """End the span, once; later calls do nothing.

        Args:
            result: The result.
            status: `complete`, `failed` or `cancelled`; an *error* decides by its type.
            error: The exception that ended it; by default an interrupt that is being handled.
            ended_ns: When it ended, as wall time; None is now.
        """
        if self._current is not None:
            self._current.__exit__()
        with self._lock:
            span, self._span = self._span, None
        if span is None:
            return
        run = span.context.run
        run.reported.pop(span.context.key, None)
        handled = sys.exception()
        if error is None and handled is not None:
            error = handled if status_of(handled, run.recorder.interrupts) == CANCELLED else None
        body = _captured(span.recorder, result, span.context)
        if error is not None:
            status = status_of(error, run.recorder.interrupts)
            if status == FAILED:
                rule = span.recorder.plan().error_rule
                body = _capture.error_payload(error, run.rules, rule)
        span.end(status, body, ended_ns)

    def cancel(self, ended_ns: int | None = None) -> None:
        """End the span because no end will be reported."""
        self.end(status=CANCELLED, ended_ns=ended_ns)


def start(
    recorder: SpanRecorder,
    payload: Mapping[str, object],
    *,
    parent: SpanContext | None = None,
    started_ns: int | None = None,
    ident: str | None = None,
) -> ManualSpan:
    """Start a span, after checking whether the step may run.

    Args:
        recorder: The recorder that `declare` returned.
        payload: The inputs.
        parent: The context around it; None is the current one. Without a run nothing is recorded.
        started_ns: When it began, as wall time; None is now.
        ident: The framework's id, from which the key is derived, as by `context_of`.

    Raises:
        RunTerminated: The run was terminated, from outside or because this step exceeds it.
        DeniedError: The step exceeds the agent's remit. Both were recorded.
    """
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    parent = current_context() if parent is None else parent
    if parent is None:
        return ManualSpan(None)
    key = None if ident is None else context_of(parent, ident).key
    span = recorder.start(parent, (payload,), {}, key=key, started_ns=started_ns)
    return ManualSpan(span if isinstance(span, OpenSpan) else None)


@guarded("a span that is over")
def record(  # noqa: PLR0913 - a whole span
    recorder: SpanRecorder,
    payload: Mapping[str, object],
    result: Mapping[str, object] | None,
    *,
    parent: SpanContext,
    started_ns: int,
    ended_ns: int,
    status: str = COMPLETE,
    ident: str | None = None,
) -> None:
    """Record a span that has ended, with the arguments of `start` and `ManualSpan.end`.

    Its children may be recorded before it, under the context that `context_of` returns.
    """
    if not parent.run.recording:
        return
    key = None if ident is None else context_of(parent, ident).key
    body = recorder.plan().params((payload,), {}, parent.run.rules)
    span = recorder.open(parent, body, key, started_ns)
    span.end(status, _captured(recorder, result, span.context), ended_ns)


@guarded("the result of a span")
def _captured(
    recorder: SpanRecorder, result: Mapping[str, object] | None, context: SpanContext
) -> bytes | None:
    return None if result is None else recorder.plan().result(result, context.run.rules)


def context_of(parent: SpanContext, ident: str) -> SpanContext:
    """Return the context of the span with the framework's id *ident* in the run of *parent*.

    Its key is derived from both, so that a child may be recorded before its parent.
    """
    root = parent.run.context.key
    digest = sha256(root + ident.encode("utf-8", "surrogatepass")).digest()
    key = root[:TIME_BYTES] + digest[: KEY_BYTES - TIME_BYTES]
    return SpanContext(parent.run, key, ident, parent.ceilings, parent.outer_runs)


def traceparent(context: SpanContext | None = None) -> str | None:
    """Return the W3C `traceparent` of a span, of the current one without *context*."""
    context = current_context() if context is None else context
    if context is None:
        return None
    return f"00-{context.run.context.key.hex()}-{context.key[-8:].hex()}-01"


class SpanTable(Generic[K]):
    """Open spans by a framework's own ids; bounded, used from any thread."""

    def __init__(self) -> None:
        """Start empty."""
        self._spans: dict[K, ManualSpan] = {}
        self._aliases: dict[K, K] = {}
        self._lock = SignalSafeLock()

    def start(
        self,
        key: K,
        recorder: SpanRecorder,
        payload: Mapping[str, object],
        *parents: K,
        current: bool = False,
    ) -> ManualSpan:
        """Start the span of *key* under the first of *parents* that is open, else the current one.

        *current* makes it current until it ends. Raises what `start` raises.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        span = start(recorder, payload, parent=self.context(*parents))
        with self._lock:
            if len(self._spans) < MAX_OPEN:
                self._spans[key] = span
        return span.make_current() if current else span

    def alias(self, key: K, parent: K) -> None:
        """Map *key*, a node of the framework without a span, to *parent*."""
        with self._lock:
            if len(self._aliases) < MAX_OPEN:
                self._aliases[key] = parent

    def get(self, key: K) -> ManualSpan | None:
        """Return the open span of *key*."""
        return self._spans.get(key)

    def context(self, *keys: K) -> SpanContext | None:
        """Return the context of the first of *keys* that is open, else the current one."""
        with self._lock:
            for key in keys:
                span = self._spans.get(self._resolved(key))
                if span is not None and span.context is not None:
                    return span.context
        return current_context()

    def _resolved(self, key: K) -> K:
        seen: set[K] = set()
        while key not in self._spans and key in self._aliases and key not in seen:
            seen.add(key)
            key = self._aliases[key]
        return key

    def end(
        self,
        key: K,
        result: Mapping[str, object] | None = None,
        **how: Any,  # noqa: ANN401 - as `ManualSpan.end`
    ) -> None:
        """End the span of *key*, as `ManualSpan.end`; an unknown key does nothing."""
        with self._lock:
            span = self._spans.pop(key, None)
            self._aliases.pop(key, None)
        if span is not None:
            span.end(result, **how)


class SessionTable(Generic[K]):
    """Runs without a block, one for each session of a server, by a framework's own ids.

    A run that was not used for `idle_s` seconds ends at the writer's next pass.
    """

    def __init__(self, idle_s: float = 3600.0) -> None:
        """Start empty."""
        self._idle_ns = int(idle_s * 1_000_000_000)
        self._runs: dict[K, OpenRun] = {}
        self._lock = SignalSafeLock()

    def context(self, key: K, open_run: Callable[[], OpenRun]) -> SpanContext | None:
        """Return the context of the run of *key*, which *open_run* opens at the first use.

        Raises:
            DeniedError: As opening a run.
        """
        with self._lock:
            run = self._runs.get(key)
            if run is None or run.exited:
                run = opened(open_run)
                if run is None:
                    return None
                self._runs = {key: run for key, run in self._runs.items() if not run.exited}
                if len(self._runs) < MAX_OPEN:
                    self._runs[key] = run
            run.expires_ns = run.monotonic_ns() + self._idle_ns
        return run.context

    def end(self, key: K, error: BaseException | None = None) -> None:
        """End the run of *key*, as its block would; an unknown key does nothing."""
        with self._lock:
            run = self._runs.pop(key, None)
        if run is not None and not run.exited:
            run.exit(error)
