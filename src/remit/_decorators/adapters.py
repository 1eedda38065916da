"""For integrations of agent frameworks, which get callbacks: opens and ends spans by hand.

A step that a framework reports has no function. It is declared by `declare`, opened by `start` and
ended by `ManualSpan.end`; one that is reported when it is over is recorded by `record`. `SpanTable`
and `RunTable` keep spans and runs by the framework's own ids. Adapters use nothing else of
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

from msgspec import Struct

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
from remit._record.context import is_same_span, use_context
from remit._record.runs import (
    OpenRun,
    SpanContext,
    contributed_interrupts,
    current_context,
    opened,
    set_context,
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

    A later declaration under the same name replaces an earlier one.

    Args:
        name: Span type.
        kind: Kind of step. Models, agents and retrievers have no effect, so that their
            unknown words are no violation.
        params: A type or a JSON Schema of the payload, which is recorded under `inputs`.
        result: A type or a JSON Schema of the result.
        title: Title for people.
        description: Description.
        template: Liquid template of a span's summary.
        data_risk: What it may do and whose data flows through it.
        newest: Fields of the payload and the result whose lists keep their last elements when they
            are cut; `inputs` is the whole payload, `result` the whole result.

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

    Args:
        identifier: `module:name`, by which a server recognises it.
        name: Display name.
        description: Description.
        version: External identifier of its version; by default the hash of its schemas.
        data_risk: Its remit: no step of its runs may exceed it.
        span_types: Prefixes of the names of additional span types.

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

    It does not keep its run open: if it is open when the run's block ends, it is cancelled.

    Attributes:
        context: The context inside it, the parent of other spans; None if nothing is recorded.
        refused: The refusal of a step beneath it, in case a framework hides the exception.
    """

    __slots__ = ("_entered", "_lock", "_previous", "_span", "context", "refused")

    def __init__(self, span: OpenSpan | None) -> None:
        """Keep *span*; None records nothing."""
        self._span = span
        self.context: SpanContext | None = None if span is None else span.context
        self.refused: DeniedError | None = None
        self._entered: use_context | None = None
        self._previous: tuple[SpanContext | None] | None = None
        self._lock = SignalSafeLock()
        if span is not None:
            span.context.run.reported[span.context.key] = self

    def make_current(self) -> Self:
        """Make the span current until it ends; then the previous context is restored by value."""
        if self.context is not None and self._previous is None:
            self._previous = (current_context(),)
            set_context(self.context)
        return self

    @guarded("the description of a span")
    def describe(self, payload: Mapping[str, object], recorder: SpanRecorder | None = None) -> None:
        """Replace the payload of an open span, and with *recorder* also its type.

        A span that was sent as `active` already, after some seconds, keeps what was sent.
        """
        with self._lock:
            span = self._span
            if span is None:
                return
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
        self._restore()
        with self._lock:
            span, self._span = self._span, None
        if span is None:
            return
        run = span.context.run
        run.reported.pop(span.context.key, None)
        types = run.recorder.interrupts
        if error is None:
            handled = sys.exception()
            if handled is not None and status_of(handled, types) == CANCELLED:
                error = handled
        body = _captured(span.recorder, result, span.context)
        if error is not None:
            status = status_of(error, types)
            if status == FAILED:
                rule = span.recorder.plan().error_rule
                body = _capture.error_payload(error, run.rules, rule)
        span.end(status, body, ended_ns)

    def cancel(self, ended_ns: int | None = None) -> None:
        """End the span because no end will be reported."""
        self.end(status=CANCELLED, ended_ns=ended_ns)

    def _restore(self) -> None:
        previous, self._previous = self._previous, None
        if previous is not None and is_same_span(current_context(), self.context):
            set_context(previous[0])

    # Unguarded: called by the adapter's `with`.
    def __enter__(self) -> Self:
        """Make the span current in a block, which ends it; for hooks that wrap a call."""
        if self.context is not None:
            self._entered = use_context(self.context)
            self._entered.__enter__()
        return self

    # Unguarded: as above.
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the span with the exception that passes through, if any."""
        if self._entered is not None:
            self._entered.__exit__()
        self.end(error=error)


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
) -> SpanContext:
    """Record a span that has ended; return its context, the parent of other spans.

    Args:
        recorder: The recorder that `declare` returned.
        payload: The inputs.
        result: The result.
        parent: The context around it.
        started_ns: When it began, as wall time.
        ended_ns: When it ended.
        status: `complete`, `failed` or `cancelled`.
        ident: The framework's id, from which the key is derived, as by `context_of`.
    """
    context = parent if ident is None else context_of(parent, ident)
    key = None if ident is None else context.key
    span = _opened(recorder, payload, parent, started_ns, key)
    if span is None:
        return context
    span.end(status, _captured(recorder, result, span.context), ended_ns)
    return span.context


@guarded("the result of a span")
def _captured(
    recorder: SpanRecorder, result: Mapping[str, object] | None, context: SpanContext
) -> bytes | None:
    return None if result is None else recorder.plan().result(result, context.run.rules)


@guarded("a span that is over")
def _opened(
    recorder: SpanRecorder,
    payload: Mapping[str, object],
    parent: SpanContext,
    started_ns: int,
    key: bytes | None,
) -> OpenSpan | None:
    if not parent.run.recording:
        return None
    body = recorder.plan().params((payload,), {}, parent.run.rules)
    return recorder.open(parent, body, key, started_ns)


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

        Args:
            key: The framework's id.
            recorder: The recorder that `declare` returned.
            payload: The inputs.
            *parents: Ids of possible parents.
            current: Whether to make it current until it ends.

        Raises:
            RunTerminated: As `start`.
            DeniedError: As `start`.
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

    def end_all(self, status: str = CANCELLED) -> None:
        """End every open span, the latest first."""
        with self._lock:
            spans, self._spans, self._aliases = list(self._spans.values()), {}, {}
        for span in reversed(spans):
            span.end(status=status)


class _TableEntry(Struct):
    """A run in a table, with the time of its last use."""

    run: OpenRun
    used_ns: int

    @property
    def idle_ns(self) -> int:
        return self.run.monotonic_ns() - self.used_ns


class RunTable(Generic[K]):
    """Runs without a block, such as sessions of a server, by a framework's own ids.

    A run that was not used for `idle_s` seconds ends at the writer's next pass.
    """

    def __init__(self, idle_s: float = 3600.0) -> None:
        """Start empty."""
        self._idle_ns = int(idle_s * 1_000_000_000)
        self._runs: dict[K, _TableEntry] = {}
        self._lock = SignalSafeLock()

    def context(self, key: K, open_run: Callable[[], OpenRun]) -> SpanContext | None:
        """Return the context of the run of *key*, which *open_run* opens at the first use.

        Raises:
            DeniedError: As opening a run.
        """
        with self._lock:
            entry = self._runs.get(key)
            if entry is None:
                run = opened(open_run)
                if run is None or len(self._runs) >= MAX_OPEN:
                    return None if run is None else run.context
                entry = self._runs[key] = _TableEntry(run, 0)
                run.recorder.tables.add(self)
            entry.used_ns = entry.run.monotonic_ns()
        return entry.run.context

    def end_idle(self) -> None:
        """End the runs that were not used for long enough; the writer calls it."""
        # Not while another thread opens a run, which may wait for the writer.
        if not self._lock.acquire(blocking=False):
            return
        try:
            idle = [key for key, entry in self._runs.items() if entry.idle_ns > self._idle_ns]
            runs = [self._runs.pop(key).run for key in idle]
        finally:
            self._lock.release()
        for run in runs:
            run.exit(None)

    def end(self, key: K, error: BaseException | None = None) -> None:
        """End the run of *key*, as its block would; an unknown key does nothing."""
        with self._lock:
            entry = self._runs.pop(key, None)
        if entry is not None:
            entry.run.exit(error)
