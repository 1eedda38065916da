"""For integrations of agent frameworks, which get callbacks: opens and ends spans by hand.

A step that a framework reports has no function. It is declared by `declare`, opened by `start` and
ended by `ManualSpan.end`; one that is reported when it is over is recorded by `record`. `SpanTable`
and `SessionTable` keep spans and runs by the framework's own ids. Adapters use nothing else of
recording; none of it is public yet.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from hashlib import sha256
from types import TracebackType
from typing import (
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    Self,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    get_args,
)

from remit import _capture, _runtime
from remit._base.frames import caller
from remit._base.guard import guarded
from remit._base.ids import KEY_BYTES, TIME_BYTES
from remit._base.locks import SignalSafeLock
from remit._base.outcomes import CANCELLED, COMPLETE, FAILED, status_of
from remit._base.text import describe_value
from remit._base.version import add_adapter
from remit._declare.registry import AgentType, SpanType
from remit._declare.risk import coerce
from remit._decorators.agent import AgentRuns
from remit._decorators.checks import checked_name
from remit._decorators.span_type import outside, recorder_of
from remit._inspect.signature import CallKind
from remit._record.context import ReportedContext, first_open, is_same_span, leave_ended
from remit._record.runs import (
    OpenRun,
    SpanContext,
    contributed_interrupts,
    current_context,
    set_context,
)
from remit._record.spans import OpenSpan, SpanRecorder, StepKind
from remit.errors import DeclarationError, DeniedError, SettingsError, UsageError
from remit.models.data_risk import DataRisk

K = TypeVar("K", bound=Hashable)

Status: TypeAlias = Literal["complete", "failed", "cancelled"]
"""How a span ended."""

Parent: TypeAlias = SpanContext | Literal["current"] | None
"""The context around a span; None is outside any run."""

INPUTS: Final = "inputs"
"""Name of the one parameter of a step without a function."""

MAX_OPEN: Final = 10_000
"""Entries of one table at most, in case a framework never ends its steps."""

LAST_NS: Final = 2**63 - 1
"""The last time that an item may have."""


class SpanEnd(TypedDict, total=False):
    """The keywords of `ManualSpan.end`."""

    status: Status | None
    error: BaseException | None
    ended_ns: float | None


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
) -> SpanRecorder:
    """Declare a step without a function.

    The registrations of all agents include it. The name is `<adapter>:<step>`.
    A later declaration under the same name replaces an earlier one. The arguments are those of
    `remit.span_type`, but *params* is a type or a JSON Schema of the whole payload, which is
    recorded under `inputs`. A *kind* of model, agent or retriever has no effect, so its unknown
    words are no violation.

    Raises:
        DeclarationError: The name is reserved or another function's, or an argument is wrong.
    """
    checked_name(name, "adapters.declare")
    where = f"the step {name}"
    if kind not in get_args(StepKind):
        raise DeclarationError(
            f"{where}: kind is {describe_value(kind)}; expected one of "
            f"{', '.join(get_args(StepKind))}"
        )

    def step(inputs: object) -> object: ...

    _place_at_caller(step)
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
        data_risk=coerce(data_risk, where),
        title=title or name,
        description=description,
        template=template,
        params=schema,
        result=result,
        of_adapter=True,
    )
    _runtime.registry().add_span_type(declared)
    return recorder_of(declared, kind=kind)


def _place_at_caller(function: Any) -> None:  # noqa: ANN401 - `Callable` has no `__code__`
    """Give *function* the place of the adapter's declaration, which messages name."""
    file, _, line = (caller() or "<unknown>:0").rpartition(":")
    function.__code__ = function.__code__.replace(co_filename=file, co_firstlineno=int(line))


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

    _place_at_caller(answer)
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


def add_to_header(name: str) -> None:
    """Add the adapter, such as `remit-langchain@0.1.0`, to the header of later requests.

    Raises:
        DeclarationError: The name is not one word of printable ASCII characters.
    """
    if not (name.isascii() and name.isprintable() and len(name.split()) == 1):
        raise DeclarationError(
            f"the adapter {describe_value(name)}: expected one word of ASCII characters, such as "
            "remit-langchain@0.1.0"
        )
    add_adapter(name)


def interrupts(*types: type[BaseException]) -> None:
    """Add exception types by which a framework pauses: they cancel spans and leave runs open.

    Raises:
        DeclarationError: One of them is no exception type.
    """
    for cls in types:
        if not _is_exception_type(cls):
            raise DeclarationError(f"{describe_value(cls)} is no exception type")
    contributed_interrupts.extend(cls for cls in types if cls not in contributed_interrupts)


def _is_exception_type(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


class ManualSpan:
    """A span that an adapter starts and ends; any thread may end it.

    The block of its run does not wait for it: if it is open when the block ends, it is cancelled.
    One that starts later is cancelled when the run ends, and after that recorded only when it ends.
    As a block, for hooks that wrap a call, it is current and ends with the exception that passes
    through, if any.

    Attributes:
        context: The context inside it, the parent of other spans; None if nothing is recorded.
        refused: The refusal of a step beneath it, in case a framework hides the exception.
        on_end: Called when the span has ended; a table then removes its entry.
    """

    __slots__ = ("_announced", "_span", "context", "on_end", "refused")

    def __init__(self, span: OpenSpan | None = None, *, announced: bool = True) -> None:
        """Keep *span*; None records nothing. The sink has its start if it is *announced*."""
        self._span = span
        self._announced = announced
        self.context: SpanContext | None = None if span is None else span.context
        self.refused: DeniedError | None = None
        self.on_end: Callable[[], object] | None = None
        if span is not None:
            run, key = span.context.run, span.context.key
            run.reported[key] = self
            if run.exited:
                run.open.pop(key, None)  # the run does not wait for it

    @property
    def is_open(self) -> bool:
        """Whether the span has not ended."""
        context = self.context
        return context is not None and context.run.reported.get(context.key) is self

    # Unguarded: assignments, and a context variable.
    def make_current(self) -> Self:
        """Make the span current, in the context of the caller, until it ends.

        Then the nearest context before it is current that is open. A block of `remit.span` or of a
        run that is left earlier restores what was current before the block.
        """
        context, previous = self.context, first_open(current_context())
        if context is not None and self.is_open and not is_same_span(context, previous):
            run, key, name = context.run, context.key, context.name
            ceilings, outer = context.ceilings, context.outer_runs
            set_context(ReportedContext(run, key, name, ceilings, outer, previous))
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
        """End the span; on a thread of remit, which collects a generator, the writer ends it."""
        span = self._span
        if span is not None and issubclass(type(error), GeneratorExit):
            span.context.run.recorder.close(self, span.now_ns())
        else:
            self.end(error=error)

    @guarded("the description of a span")
    def describe(self, payload: Mapping[str, object], recorder: SpanRecorder | None = None) -> None:
        """Replace the payload of an open span, and with *recorder* also its type.

        A span that is open for some seconds is sent as `active`, and keeps what was sent, unless
        it was started with `announce=False`. A step that exceeds a remit is marked, not refused.
        """
        span = self._span
        if span is not None and self.is_open:
            recorder = recorder or span.recorder
            recorder.describe(span, _captured_inputs(recorder, payload, span.context.run))

    @guarded("the end of a span")
    def end(
        self,
        result: Mapping[str, object] | None = None,
        *,
        status: Status | None = None,
        error: BaseException | None = None,
        ended_ns: float | None = None,
    ) -> None:
        """End the span, once; it is no longer current in the context of any caller.

        Args:
            result: The result.
            status: How it ended; by default complete, or cancelled while an interrupt is handled.
                An *error* decides by its type.
            error: The exception that ended it.
            ended_ns: When it ended, as wall time; None is now.
        """
        try:
            span = self._span
            if span is not None and self.is_open:
                self._end(span, result, status, error, ended_ns)
        finally:
            leave_ended()

    def _end(
        self,
        span: OpenSpan,
        result: Mapping[str, object] | None,
        status: Status | None,
        error: BaseException | None,
        ended_ns: float | None,
    ) -> None:
        """End an open span; after a fault it stays open."""
        run, interrupts = span.context.run, span.context.run.recorder.interrupts
        body = _captured(span.recorder, result, span.context)
        handled = sys.exception()
        if error is not None:
            outcome = status_of(error, interrupts)
            if outcome == FAILED:
                body = _capture.error_payload(error, run.rules, span.recorder.plan().error_rule)
        elif status is not None:
            outcome = _checked(status)
        else:
            interrupted = handled is not None and status_of(handled, interrupts) == CANCELLED
            outcome = CANCELLED if interrupted else COMPLETE
        finished_ns = span.now_ns() if ended_ns is None else _nanoseconds(ended_ns)
        if run.reported.pop(span.context.key, None) is None:
            return  # another thread was faster
        if not self._announced:
            run.recorder.sink.start_span(span.start)
        span.end(outcome, body, max(finished_ns, span.start.started_ns or 0))
        if self.on_end is not None:
            self.on_end()

    def cancel(self, ended_ns: int | None = None) -> None:
        """End the span because no end will be reported."""
        self.end(status=CANCELLED, ended_ns=ended_ns)


def start(
    recorder: SpanRecorder,
    payload: Mapping[str, object],
    *,
    parent: Parent = "current",
    started_ns: float | None = None,
    ident: object = None,
    announce: bool = True,
) -> ManualSpan:
    """Start a span, after checking whether the step may run.

    Outside any run nothing is recorded. The step is counted, and refused if the settings say so,
    like a decorated one.

    Args:
        recorder: The recorder that `declare` returned.
        payload: The inputs.
        parent: The context around it.
        started_ns: When it began, as wall time; None is now.
        ident: The framework's id, from which the key is derived, as by `context_of`.
        announce: Send the span as `active` when it is open for some seconds. Without it the span is
            sent when it ends, with the type and the payload that `ManualSpan.describe` set.

    Raises:
        RunTerminated: The run was terminated, from outside or because this step exceeds it.
        DeniedError: The step exceeds the agent's remit.
    """
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    context = first_open(current_context()) if isinstance(parent, str) else parent
    if context is None:
        outside(recorder)
        return ManualSpan()
    return _start(recorder, payload, context, started_ns, ident, announce=announce)


@guarded("the start of a span", ManualSpan())
def _start(
    recorder: SpanRecorder,
    payload: Mapping[str, object],
    parent: SpanContext,
    started_ns: float | None,
    ident: object,
    *,
    announce: bool,
) -> ManualSpan:
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    recorder.permit(parent, partial(_captured_inputs, recorder, payload, parent.run))
    announced = announce and not parent.run.exited
    return _opened(recorder, payload, parent, started_ns, ident, announced=announced)


def _opened(
    recorder: SpanRecorder,
    payload: Mapping[str, object],
    parent: SpanContext,
    started_ns: float | None,
    ident: object,
    *,
    announced: bool,
) -> ManualSpan:
    run = parent.run
    key = None if ident is None else _key_of(run, ident, recorder)
    begin_ns = None if started_ns is None else _nanoseconds(started_ns)
    body = _captured_inputs(recorder, payload, run)
    span = recorder.open(parent, body, parent.ceilings, key, begin_ns, announced)
    return ManualSpan(span, announced=announced)


@guarded("a span that is over")
def record(  # noqa: PLR0913 - a whole span
    recorder: SpanRecorder,
    payload: Mapping[str, object],
    result: Mapping[str, object] | None,
    *,
    parent: SpanContext | None,
    started_ns: float,
    ended_ns: float,
    status: Status = COMPLETE,
    ident: object = None,
) -> None:
    """Record a span that has ended, with the arguments of `start` and `ManualSpan.end`.

    Its children may be recorded before it, under the context that `context_of` returns. A step that
    exceeds a remit is marked, not refused.
    """
    if parent is not None and parent.run.recording:
        recorder.warn_unchecked(parent)
        span = _opened(recorder, payload, parent, started_ns, ident, announced=False)
        span.end(result, status=status, ended_ns=ended_ns)


def _captured_inputs(recorder: SpanRecorder, payload: Mapping[str, object], run: OpenRun) -> bytes:
    return recorder.params((payload,), {}, run.rules) if run.recording else b"{}"


@guarded("the result of a span")
def _captured(
    recorder: SpanRecorder, result: Mapping[str, object] | None, context: SpanContext
) -> bytes | None:
    if result is None or not context.run.recording:
        return None
    return recorder.plan().result(result, context.run.rules)


def _checked(status: Status) -> Status:
    if status not in get_args(Status):
        expected = ", ".join(get_args(Status))
        raise ValueError(f"saw the status {describe_value(status)}; expected one of {expected}")
    return status


def _nanoseconds(time_ns: float) -> int:
    """Return a time of a framework as an item holds it."""
    return int(min(max(time_ns, 0), LAST_NS))


def context_of(
    parent: SpanContext | None, ident: object, recorder: SpanRecorder
) -> SpanContext | None:
    """Return the context of the span with the framework's id *ident* in the run of *parent*.

    Its key is derived from the run, the adapter and the text of *ident*, so that a child may be
    recorded before its parent. The adapter is the first part of a recorder's name, before a colon:
    *recorder* is any of the adapter to which the span belongs.
    """
    if parent is None:
        return None
    key = _key_of(parent.run, ident, recorder)
    return SpanContext(parent.run, key, str(ident), parent.ceilings, parent.outer_runs)


def _key_of(run: OpenRun, ident: object, recorder: SpanRecorder) -> bytes:
    root, adapter = run.context.key, recorder.name.partition(":")[0]
    text = f"{adapter}:{ident}"
    digest = sha256(root + text.encode("utf-8", "surrogatepass")).digest()
    return root[:TIME_BYTES] + digest[: KEY_BYTES - TIME_BYTES]


def traceparent(context: Parent = "current") -> str | None:
    """Return the W3C `traceparent` of a span; None outside any run."""
    context = current_context() if isinstance(context, str) else context
    if context is None:
        return None
    return f"00-{context.run.context.key.hex()}-{context.key[-8:].hex()}-01"


class SpanTable(Generic[K]):
    """Open spans by a framework's own ids; used from any thread.

    An entry is removed when its span ends. A full table removes the oldest entry, whose span ends
    with its run.
    """

    _lock: ClassVar[SignalSafeLock] = SignalSafeLock()

    def __init__(self) -> None:
        """Start empty."""
        self._spans: dict[K, ManualSpan] = {}
        self._aliases: dict[K, K] = {}

    def start(
        self,
        key: K,
        recorder: SpanRecorder,
        payload: Mapping[str, object],
        *parents: K,
        current: bool = False,
        announce: bool = True,
    ) -> ManualSpan:
        """Start the span of *key* under the first of *parents* that is open, else the current one.

        An open span of the same key is cancelled before. *current* makes the span current until it
        ends; *announce* is that of `start`. Raises what `start` raises.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        self.end(key, status=CANCELLED)
        context = self.context(*parents)
        span = start(recorder, payload, parent=context, announce=announce)
        self._add(key, span)
        return span.make_current() if current else span

    @guarded("a table of spans")
    def _add(self, key: K, span: ManualSpan) -> None:
        if span.context is None:
            return
        with self._lock:
            _make_room(self._spans)
            self._spans[key] = span
        span.on_end = partial(self._remove, key, span)
        if not span.is_open:
            span.on_end()

    def _remove(self, key: K, span: ManualSpan) -> None:
        with self._lock:
            if self._spans.get(key) is span:
                del self._spans[key]

    @guarded("a table of spans")
    def alias(self, key: K, parent: K) -> None:
        """Map *key*, a node of the framework without a span, to *parent*."""
        with self._lock:
            _make_room(self._aliases)
            self._aliases[key] = parent

    @guarded("a table of spans")
    def get(self, key: K) -> ManualSpan | None:
        """Return the open span of *key*."""
        return self._spans.get(key)

    def context(self, *keys: K) -> SpanContext | None:
        """Return the context of the first of *keys* that is open, else the current one."""
        return self._context(keys) or first_open(current_context())

    @guarded("a table of spans")
    def _context(self, keys: tuple[K, ...]) -> SpanContext | None:
        with self._lock:
            for key in keys:
                span = self._spans.get(self._resolved(key))
                if span is not None:
                    return span.context
        return None

    def _resolved(self, key: K) -> K:
        seen: set[K] = set()
        while key not in self._spans and key in self._aliases and key not in seen:
            seen.add(key)
            key = self._aliases[key]
        return key

    @guarded("a table of spans")
    def end(
        self, key: K, result: Mapping[str, object] | None = None, **how: Unpack[SpanEnd]
    ) -> None:
        """End the span of *key*, as `ManualSpan.end`; one that has ended is no longer current."""
        with self._lock:
            span = self._spans.get(key)
            self._aliases.pop(key, None)
        if span is None:
            leave_ended()
        else:
            span.end(result, **how)


class SessionTable(Generic[K]):
    """Runs without a block, one for each session of a server, by a framework's own ids.

    A run is idle while none of its spans is open and `context` does not return it. One that is idle
    for `idle_s` seconds ends at the writer's next pass. A full table removes the oldest run, which
    ends when it is idle.
    """

    _lock: ClassVar[SignalSafeLock] = SignalSafeLock()

    def __init__(self, idle_s: float = 3600.0) -> None:
        """Start empty."""
        self._idle_ns = int(idle_s * 1_000_000_000)
        self._runs: dict[K, OpenRun] = {}

    @guarded("the run of a session", passes=(DeniedError, SettingsError, UsageError))
    def context(self, key: K, open_run: Callable[[], OpenRun]) -> SpanContext | None:
        """Return the context of the run of *key*, which *open_run* opens at the first use.

        It is None after a fault; a span with this parent is outside any run. Raises what *open_run*
        raises: of `AgentRuns.open` RunTerminated, SettingsError and UsageError.
        """
        with self._lock:
            run = self._runs.get(key)
            if run is None or run.exited:
                run = open_run()
                self._runs = {key: run for key, run in self._runs.items() if not run.exited}
                _make_room(self._runs)
                self._runs[key] = run
            run.idle_ns, run.used_ns = self._idle_ns, run.monotonic_ns()
        return run.context

    @guarded("the end of a session")
    def end(self, key: K, error: BaseException | None = None) -> None:
        """End the run of *key*, as its block would; an unknown key does nothing."""
        with self._lock:
            run = self._runs.pop(key, None)
        if run is not None and not run.exited:
            run.exit(error)


def _make_room(entries: dict[Any, Any]) -> None:
    """Remove the oldest entry of a full table."""
    if len(entries) >= MAX_OPEN:
        del entries[next(iter(entries))]


def _renew_locks() -> None:
    """Replace the locks in the child of a fork: a thread of the parent may hold them."""
    SpanTable._lock = SignalSafeLock()  # noqa: SLF001 - of this module
    SessionTable._lock = SignalSafeLock()  # noqa: SLF001 - of this module


os.register_at_fork(after_in_child=_renew_locks)
