"""For integrations of agent frameworks, which get callbacks: opens and ends spans by hand.

A step that a framework reports has no function. It is declared by `declare`, opened by `start` and
ended by `ManualSpan.end`. `SpanTable` and `SessionTable` keep spans and runs by the framework's own
ids. Adapters use nothing else of recording; none of it is public.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Hashable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from types import TracebackType
from typing import (
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    ParamSpec,
    Self,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    get_args,
    overload,
)
from weakref import WeakKeyDictionary

from msgspec.structs import replace

from remit import _capture, _runtime
from remit._base.frames import caller as caller
from remit._base.guard import contain as contain
from remit._base.guard import guarded as guarded
from remit._base.guard import logger
from remit._base.ids import new_key
from remit._base.locks import SignalSafeLock
from remit._base.loops import is_own_thread
from remit._base.outcomes import CANCELLED, COMPLETE, FAILED, status_of
from remit._base.system import at_fork
from remit._base.text import describe_value
from remit._base.version import add_adapter
from remit._declare.registry import (
    AgentType,
    Registry,
    SpanType,
    StepKind,
    module_of_caller,
)
from remit._declare.risk import coerce, withholding
from remit._decorators.agent import AgentRuns as AgentRuns
from remit._decorators.checks import checked_name
from remit._decorators.span_type import outside, outside_after, recorder_of
from remit._inspect.introspection import layers
from remit._inspect.signature import CallKind
from remit._policy.limits import Ceiling, Ceilings, under, unjudged
from remit._policy.words import WITHOUT_EFFECT
from remit._record.context import (
    ReportedContext,
    check_terminated,
    is_same_span,
    open_context,
    refusals,
    traceparent_of,
)
from remit._record.runs import (
    OBSERVE,
    OpenRun,
    contributed_interrupts,
    current_context,
    opened,
    set_context,
)
from remit._record.runs import SpanContext as SpanContext
from remit._record.spans import BlockPlan, OpenSpan
from remit._record.spans import SpanRecorder as SpanRecorder
from remit.errors import DeclarationError, DeniedError, SettingsError, UsageError
from remit.models.data_risk import DataRisk

K = TypeVar("K", bound=Hashable)
P = ParamSpec("P")
T = TypeVar("T")
D = TypeVar("D")

Status: TypeAlias = Literal["complete", "failed", "cancelled"]
"""How a span ended."""

Content: TypeAlias = Mapping[str, object] | Callable[[], Mapping[str, object]]
"""A payload or a result: `inputs` or `outputs`, and other fields beside them. A function is called
only if it is recorded, and what it raises is contained."""

Parent: TypeAlias = SpanContext | Literal["current"] | None
"""The context around a span; None is outside any run."""

INPUTS: Final = "inputs"
"""Name of the one parameter of a step without a function."""

DEFINITIONS: Final = "$defs"
"""Key of the types that a JSON Schema refers to."""

NOTHING: Final[Mapping[str, object]] = {}

UNKNOWN_PLACE: Final = "<unknown>:0"

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
    place: str | None = None,
) -> SpanRecorder:
    """Declare a step without a function.

    The registrations of all agents include it. The name is `<adapter>:<step>`. A declaration with
    the same content returns the same recorder; another one of the name is a separate declaration,
    and replaces the earlier one in registrations. What is declared while a module is imported
    stays, also after `remit.testing.isolated`.

    Args:
        name: Span type.
        kind: A model, agent or retriever has no effect, so its unknown words are no violation.
        params: Type or JSON Schema of `inputs` in the payload.
        result: Type or JSON Schema of the result.
        title: As in `remit.span_type`, like the next three.
        description: See *title*.
        template: See *title*.
        data_risk: See *title*.
        place: File and line that messages name; by default those of the caller.

    Raises:
        DeclarationError: The name is reserved or a function's, or an argument is wrong.
    """
    checked_name(name, "adapters.declare")
    where = f"the step {name}"
    if kind not in get_args(StepKind):
        raise DeclarationError(
            f"{where}: kind is {describe_value(kind)}; expected one of "
            f"{', '.join(get_args(StepKind))}"
        )
    risk = coerce(data_risk, where)
    declared_at = place or caller() or UNKNOWN_PLACE

    def make() -> SpanType:
        def step(inputs: object) -> object: ...

        _place_at(step, declared_at)
        schema: dict[str, object] | None = None
        if not params or isinstance(params, Mapping):
            schema = _schema_of(cast("Mapping[str, object]", params or {}))
        else:
            step.__annotations__[INPUTS] = params
        return SpanType(
            step,
            kind=CallKind.FUNCTION,
            skip_first=False,
            explicit_name=name,
            data_risk=risk,
            title=title or name,
            description=description,
            template=template,
            params=schema,
            result=result,
            of_adapter="step",
            step_kind=kind,
        )

    registry = _runtime.registry()
    before = registry.span_type(name)
    content = (
        name, kind, title, description, template, *map(_comparable, (params, result, risk))
    )  # fmt: skip
    declared = registry.add_of_adapter(content, make, lasting=_in_module_body())
    is_new = declared is not before and declared is registry.span_type(name)
    if before is not None and is_new and before.place != declared.place:
        logger.warning(
            "%s is declared differently at %s and at %s; each declaration is used by its own tool, "
            "and registrations have the last one",
            name,
            before.place,
            declared.place,
        )
    return _recorder_of(declared)


def _schema_of(params: Mapping[str, object]) -> dict[str, object]:
    """Return the schema of a payload whose `inputs` are *params*, with its definitions outside.

    A reference in a schema is relative to the whole of it.
    """
    inputs = {key: value for key, value in params.items() if key != DEFINITIONS}
    schema: dict[str, object] = {"type": "object", "properties": {INPUTS: inputs}}
    definitions = params.get(DEFINITIONS)
    return schema if definitions is None else {**schema, DEFINITIONS: definitions}


def _comparable(value: object) -> Hashable:
    """Return a value that is equal for equal types, JSON Schemas and data risks."""
    if isinstance(value, DataRisk):
        return value.model_dump_json()
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True, default=repr)
    return value if type(value).__hash__ is not None else id(value)


def _in_module_body() -> bool:
    """Return whether the caller of the caller is the body of a module, which is being imported."""
    return sys._getframe(2).f_code.co_name == "<module>"  # noqa: SLF001 - documented


_recorders: Final[WeakKeyDictionary[SpanType, SpanRecorder]] = WeakKeyDictionary()
_agents: Final[WeakKeyDictionary[AgentType, AgentRuns]] = WeakKeyDictionary()


def _recorder_of(declared: SpanType) -> SpanRecorder:
    recorder = _recorders.get(declared)
    if recorder is None:
        recorder = _recorders[declared] = recorder_of(declared)
    return recorder


def _place_at(function: Any, place: str) -> None:  # noqa: ANN401 - `Callable` has no `__code__`
    """Give *function* the place of the adapter's declaration, which messages name."""
    file, _, line = place.rpartition(":")
    code = {"co_filename": file, "co_firstlineno": int(line)} if line.isdigit() else {}
    function.__code__ = function.__code__.replace(**code)


def declare_agent(
    identifier: str,
    *,
    name: str | None = None,
    description: str | None = None,
    version: str | None = None,
    data_risk: DataRisk | Mapping[str, object] | None = None,
    span_types: tuple[object, ...] = (),
    place: str | None = None,
) -> AgentRuns:
    """Declare an agent without a function; the returned object opens its runs.

    An equal declaration returns the same object. *identifier* is `module:name`, by which a server
    recognises it; *place* is that of `declare`; the other arguments are those of `remit.agent`. The
    registration includes the steps of the caller's program.

    Raises:
        DeclarationError: The data risk is wrong.
    """
    risk = coerce(data_risk, f"the agent {identifier}")
    declared_at, module = place or caller() or UNKNOWN_PLACE, module_of_caller()

    def make() -> AgentType:
        def answer(inputs: object) -> object: ...

        _place_at(answer, declared_at)
        answer.__module__, _, answer.__qualname__ = identifier.rpartition(":")
        span_type = SpanType(
            answer,
            kind=CallKind.FUNCTION,
            skip_first=False,
            explicit_name=identifier,
            data_risk=risk,
            description=description,
            declared_in=module,
            of_adapter="agent",
        )
        return AgentType(span_type, explicit_name=name, version=version, span_types=span_types)

    content = (identifier, name, description, version, _comparable(risk), span_types)
    declared = _runtime.registry().add_of_adapter(content, make, lasting=_in_module_body())
    runs = _agents.get(declared)
    if runs is None:
        runs = _agents[declared] = AgentRuns(declared)
    return runs


def ceiling_of(
    agent: str, data_risk: DataRisk | Mapping[str, object] | None, place: str | None = None
) -> Ceiling | None:
    """Return the ceiling of a framework's agent, for `start`; None if it forbids nothing.

    Raises:
        DeclarationError: The data risk is wrong.
    """
    return Ceiling.of(agent, place or caller() or UNKNOWN_PLACE, coerce(data_risk, agent))


# Unguarded: assignments, and a context variable.
def within(ceiling: Ceiling | None) -> SpanContext | None:
    """Return the current context with *ceiling* added, and make it current, to the end of the task.

    It is for the tools of an agent of a framework that has no span where its remit is known.
    """
    context = open_context()
    if context is not None and ceiling is not None and ceiling not in context.ceilings:
        context = replace(context, ceilings=under(context.ceilings, ceiling))
        set_context(context)
    return context


# Unguarded: a context variable.
def collect_refusals() -> list[DeniedError]:
    """Return a list to which the refusals of steps in the rest of the task are added.

    It is for tools that have no span of the adapter's, because their function is decorated.
    """
    collected: list[DeniedError] = []
    refusals.set(collected)
    return collected


# Unguarded: comparisons.
def step_of(function: object) -> SpanRecorder | None:
    """Return the recorder of a decorated function, also of one that others wrap; else None."""
    for layer in layers(function):
        recorder: SpanRecorder | None = getattr(layer, "_self_recorder", None)
        if recorder is not None:
            return recorder
    return None


def permit(
    recorder: SpanRecorder, payload: Content = NOTHING, *, parent: Parent = "current"
) -> None:
    """Check whether a step may run; a refusal is recorded as a failed span.

    A step that exceeds a remit and runs, as violations are observed, is counted by its own call.

    Raises:
        RunTerminated: The run was terminated, from outside or because this step exceeds it.
        DeniedError: The step exceeds the agent's remit.
    """
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    context = open_context() if isinstance(parent, str) else parent
    if context is None:
        outside(recorder)
    elif context.run.recorder.on_violation == OBSERVE:
        _check_terminated(context)
    else:
        recorder.permit(context, partial(_captured_inputs, recorder, payload, context.run))


def undeclared(name: str, kind: StepKind) -> SpanRecorder:
    """Return the recorder of a step that is not declared and not registered, for `judging`."""
    return SpanRecorder(name, BlockPlan, kind=kind)


@overload
def judging(
    recorder: SpanRecorder, *, passes: tuple[type[Exception], ...] = ...
) -> Callable[[Callable[P, T]], Callable[P, T | None]]: ...
@overload
def judging(
    recorder: SpanRecorder, default: D, *, passes: tuple[type[Exception], ...] = ...
) -> Callable[[Callable[P, T]], Callable[P, T | D]]: ...
def judging(
    recorder: SpanRecorder,
    default: D | None = None,
    *,
    passes: tuple[type[Exception], ...] = (DeniedError,),
) -> Callable[[Callable[P, T]], Callable[P, T | D | None]]:
    """Return a decorator for a function of an integration that decides whether a step may run.

    It is for what comes before `start` or `permit`. A fault refuses the step, under the name of
    *recorder*; if violations are observed, the function returns *default* instead.

    Args:
        recorder: The recorder that a refusal is recorded by, as the step is not known.
        default: What the decorated function returns after a fault that refuses nothing.
        passes: Exception types that are raised to the caller.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T | D | None]:
        @wraps(function)
        def judged(*args: P.args, **kwargs: P.kwargs) -> T | D | None:
            __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
            try:
                return function(*args, **kwargs)
            except passes:
                raise
            except Exception as error:  # noqa: BLE001 - a guard
                fault = error
            refuse_after(fault, recorder)
            return default

        return judged

    return decorate


# Unguarded: a refusal.
def refuse_after(error: Exception, recorder: SpanRecorder, parent: Parent = "current") -> None:
    """Contain a fault that kept a step from being judged; refuse it unless they are observed.

    Raises:
        RunTerminated: The setting says to terminate.
        DeniedError: The setting says to deny; outside any run, it does not let all steps run.
        RecursionError: The program is too deep in a recursion to decide.
    """
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    context = open_context() if isinstance(parent, str) else parent
    if context is None:
        outside_after(recorder, error)
    else:
        recorder.refuse_after(error, context, _no_content)


# Unguarded: assignments of a context variable.
@contextmanager
def inside(context: SpanContext | None) -> Generator[None]:
    """Make *context* current within the block, for a step that has a separate span."""
    previous = current_context()
    set_context(context)
    try:
        yield
    finally:
        set_context(previous)


# Unguarded: a comparison.
def declarations() -> object:
    """Return what holds the declarations of now; in a block of `isolated` another object."""
    return _runtime.registry()


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
        context: The context inside it, the parent of other spans, also after a fault, when the span
            itself is not recorded. None outside any run, and for a model call that is the same as
            the one around it.
        refused: The refusal of a step beneath it, in case a framework hides the exception.
        on_end: Called when the span has ended; a table then removes its entry.
        so_far: The result if the span is cancelled because no end was reported.
    """

    __slots__ = (
        "_announced", "_classified", "_owns_run", "_recorder", "_span", "context", "on_end",
        "refused", "so_far",
    )  # fmt: skip

    # Unguarded: assignments.
    def __init__(
        self,
        recorder: SpanRecorder | None = None,
        context: SpanContext | None = None,
        span: OpenSpan | None = None,
        *,
        announced: bool = True,
        owns_run: bool = False,
        classified: int = 0,
    ) -> None:
        """Keep *context*, and *span* if it is recorded.

        Args:
            recorder: The recorder of the step.
            context: The context inside it.
            span: The span.
            announced: The sink has its start.
            owns_run: The run ends with the span.
            classified: How many values were withheld for their classification before.
        """
        self._recorder = recorder
        self._span = span
        self._announced = announced
        self._owns_run = owns_run
        self.context = context
        self.refused: DeniedError | None = None
        self.on_end: Callable[[], object] | None = None
        self.so_far: Content | None = None
        self._classified = classified
        if context is not None:
            run, key = context.run, context.key
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
        context, previous = self.context, open_context()
        if context is not None and self.is_open and not is_same_span(context, previous):
            run, key, name = context.run, context.key, context.name
            ceilings, outer = context.ceilings, context.outer_runs
            set_context(ReportedContext(run, key, name, ceilings, outer, previous))
        return self

    # Unguarded: assignments, and a context variable.
    def make_previous_current(self) -> None:
        """Make current what was before the span, in the context of the caller; it stays open."""
        current = open_context()
        if isinstance(current, ReportedContext) and is_same_span(current, self.context):
            set_context(current.previous)

    # Unguarded: contains its own faults.
    def narrow(self, ceiling: Ceiling | None) -> None:
        """Add what an agent of the framework forbids to the steps that begin below the span.

        Raises:
            RunTerminated: As `start`, after a fault.
            DeniedError: As `start`, after a fault.
        """
        context, current = self.context, open_context()
        if context is None or self._recorder is None or ceiling is None:
            return
        self.context = self._recorder.within(context, ceiling, _no_content)
        if current is not None and is_same_span(current, context):
            set_context(replace(current, ceilings=self.context.ceilings))

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
    def describe(self, payload: Content, recorder: SpanRecorder | None = None) -> None:
        """Replace the payload of an open span, and with *recorder* also its type.

        A span that is open for some seconds is sent as `active`, and keeps what was sent, unless
        it was started with `announce=False`. A step that exceeds a remit is marked, not refused.
        """
        span = self._span
        if span is not None and self.is_open:
            recorder = recorder or span.recorder
            recorder.describe(span, _captured_inputs(recorder, payload, span.context.run))

    # Unguarded: an assignment.
    def leave_open(self, *, leave: bool = True) -> None:
        """Leave the run of the span open after its end, to be resumed; False takes that back."""
        if self.context is not None and leave:
            self.context.run.leave_open()
        elif self.context is not None:
            self.context.run.left_open = False

    # Unguarded: a block.
    @contextmanager
    def ended_by_errors(self) -> Generator[None]:
        """End the span with the exception that leaves the block, if one does."""
        try:
            yield
        except BaseException as error:
            self.end(error=error)
            raise

    # Unguarded: contains its own faults.
    def end(
        self,
        result: Content | None = None,
        *,
        status: Status | None = None,
        error: BaseException | None = None,
        ended_ns: float | None = None,
    ) -> None:
        """End the span, once; it is no longer current in the context of any caller.

        In a finalizer that runs on a thread of remit, the writer ends it at its next pass.

        Args:
            result: The result.
            status: How it ended; by default complete, or cancelled while an interrupt is handled.
                An *error* decides by its type.
            error: The exception that ended it.
            ended_ns: When it ended, as wall time; None is now.
        """
        span = self._span
        if span is None:
            self._leave(error)
        elif self.is_open:
            ending = _Ending(self, span, result, status, error, ended_ns)
            if is_own_thread():
                span.context.run.recorder.close(ending, span.now_ns())
            else:
                ending.cancel()
        open_context()

    def cancel(self, ended_ns: int | None = None) -> None:
        """End the span because no end will be reported."""
        span = self._span
        if span is None:
            self._leave()
        elif self.is_open:
            _Ending(self, span, self.so_far, CANCELLED, None, None).cancel(ended_ns)
        open_context()

    @guarded("the end of a span")
    def _leave(self, error: BaseException | None = None) -> None:
        """End a span that is not recorded, and with it its run if it opened that."""
        context = self.context
        if context is None or context.run.reported.pop(context.key, None) is None:
            return
        if self.on_end is not None:
            self.on_end()
        if self._owns_run:
            context.run.exit(error or sys.exception())

    def classified_inside(self, run: OpenRun) -> str | None:
        """Return the rule of a classification that withheld a value since the span began."""
        if _count_classified(run) == self._classified:
            return None
        return next(iter(run.rules.classified or ()), None)

    def finish(self, span: OpenSpan, status: str, body: bytes | None, ended_ns: int) -> bool:
        """End *span*, and with it its run if it opened that; return whether this was the end."""
        run = span.context.run
        if run.reported.pop(span.context.key, None) is None:
            return False  # another thread was faster
        if not self._announced:
            run.recorder.sink.start_span(span.start)
        span.end(status, body, max(ended_ns, span.start.started_ns or 0))
        if self.on_end is not None:
            self.on_end()
        return self._owns_run


@dataclass(frozen=True, slots=True)
class _Ending:
    """The end of a span, with the arguments of `ManualSpan.end`."""

    manual: ManualSpan
    span: OpenSpan
    result: Content | None
    status: Status | None
    error: BaseException | None
    ended_ns: float | None

    @guarded("the end of a span")
    def cancel(self, ended_ns: int | None = None) -> None:
        """End the span, as of *ended_ns* if the adapter gives no time.

        After a fault it stays open.
        """
        span, error = self.span, self.error
        run = span.context.run
        body = _captured(span.recorder, self.result, span.context)
        rule = self.manual.classified_inside(run) if span.recorder.kind == "tool" else None
        if rule is not None:
            body = None if body is None else _follow(body, rule, run)
            arguments = _follow(span.start.payload or b"{}", rule, run)
            # Another item: the one before may be on its way.
            span.start = replace(span.start, payload=arguments)
        status = self._status()
        if error is not None and status == FAILED:
            body = _capture.error_payload(error, run.rules, span.recorder.plan().error_rule)
        at_ns = self.ended_ns if self.ended_ns is not None else ended_ns
        finished_ns = span.now_ns() if at_ns is None else _nanoseconds(at_ns)
        if self.manual.finish(span, status, body, finished_ns):
            run.exit(error or sys.exception())

    def _status(self) -> str:
        interrupts = self.span.context.run.recorder.interrupts
        if self.error is not None:
            return status_of(self.error, interrupts)
        if self.status is not None:
            return _checked(self.status)
        handled = sys.exception()
        interrupted = handled is not None and status_of(handled, interrupts) == CANCELLED
        return CANCELLED if interrupted else COMPLETE


class StartOptions(TypedDict, total=False):
    """The keywords of `start` that the tables pass on."""

    agent: AgentRuns | None
    ceiling: Ceiling | None
    refuse: bool
    announce: bool
    started_ns: float | None


def start(
    recorder: SpanRecorder,
    payload: Content,
    *,
    parent: Parent = "current",
    **options: Unpack[StartOptions],
) -> ManualSpan:
    """Start a span, after checking whether the step may run.

    Outside any run nothing is recorded, unless an *agent* is given. The step is counted, and
    refused if the settings say so, like a decorated one. A model call directly beneath another one
    is the same call, and not recorded again.

    A fault before the step is judged refuses it, unless violations are observed. A fault afterwards
    loses the record: the span has a context with all ceilings and is ended as usual. If the run of
    an *agent* with a ceiling cannot be opened, the step is refused too.

    Args:
        recorder: The recorder that `declare` returned.
        payload: The payload, or a function that returns it, which is called only if it is recorded.
        parent: The context around it.
        agent: Outside any run, opens one, which ends with the span.
        ceiling: What an agent of the framework forbids to the steps beneath the span.
        refuse: False records a step that cannot be stopped: it is marked if it exceeds a remit.
        announce: Send the span as `active` when it is open for some seconds. Without it the span is
            sent when it ends, with the type and the payload that `ManualSpan.describe` set.
        started_ns: When it began, as wall time; None is now.

    Raises:
        RunTerminated: The run was terminated, from outside or because this step exceeds it.
        DeniedError: The step exceeds the agent's remit.
    """
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    context = open_context() if isinstance(parent, str) else parent
    if context is not None:
        return _start(recorder, payload, context, options)
    agent = options.get("agent")
    if agent is None:
        outside(recorder, refuse=options.get("refuse", True))
        return ManualSpan()
    run = opened(agent.open)
    if run is None:  # after a fault
        ceiling = options.get("ceiling") or agent.ceiling
        if ceiling is not None and not _runtime.is_permissive():
            raise DeniedError(recorder.name, (unjudged(recorder.name),))
        return ManualSpan()
    try:
        return _start(recorder, payload, run.context, options, owns_run=True)
    except BaseException as error:
        run.exit(error)
        raise


# Unguarded: contains its own faults.
def _start(
    recorder: SpanRecorder,
    payload: Content,
    parent: SpanContext,
    options: StartOptions,
    *,
    owns_run: bool = False,
) -> ManualSpan:
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    if _is_repeated(recorder, parent):
        return ManualSpan()
    params, ceiling = (
        partial(_captured_inputs, recorder, payload, parent.run),
        options.get("ceiling"),
    )
    if options.get("refuse", True):
        recorder.permit(parent, params)
    else:
        _warn_unchecked(recorder, parent)
    context = parent if ceiling is None else recorder.within(parent, ceiling, params)
    span = _recorded(recorder, params, parent, context.ceilings, options, owns_run=owns_run)
    if span is not None:
        return span
    # With a key, which tells whether the span is open.
    run, key = parent.run, new_key(parent.run.now_ns())
    context = SpanContext(run, key, recorder.name, context.ceilings, context.outer_runs)
    return ManualSpan(recorder, context, owns_run=owns_run)


@guarded("the start of a span")
def _recorded(
    recorder: SpanRecorder,
    params: Callable[[], bytes],
    parent: SpanContext,
    ceilings: Ceilings,
    options: StartOptions,
    *,
    owns_run: bool,
) -> ManualSpan:
    """Open the span of a step that may run; *ceilings* are those inside it."""
    started_ns, announce = options.get("started_ns"), options.get("announce", True)
    announced = announce and not parent.run.exited
    classified = _count_classified(parent.run)
    span = recorder.open(
        parent,
        params(),
        ceilings,
        started_ns=None if started_ns is None else _nanoseconds(started_ns),
        announced=announced,
        judged=options.get("refuse", True),
    )
    return ManualSpan(
        recorder,
        span.context,
        span,
        announced=announced,
        owns_run=owns_run,
        classified=classified,
    )


@guarded("the log of a step that exceeds a remit")
def _warn_unchecked(recorder: SpanRecorder, parent: SpanContext) -> None:
    recorder.warn_unchecked(parent)


@guarded("the start of a span", default=False)
def _is_repeated(recorder: SpanRecorder, parent: SpanContext) -> bool:
    """Return whether a step is a model call directly below another one."""
    return _is_model_call(recorder) and _is_model_call(_recorder_in(parent))


def _recorder_in(context: SpanContext) -> SpanRecorder | None:
    """Return the recorder of the open span of *context*."""
    span = context.run.open.get(context.key)
    return span.recorder if isinstance(span, OpenSpan) else None


def _is_model_call(recorder: SpanRecorder | None) -> bool:
    return recorder is not None and recorder.kind == "llm"


@guarded("the policy")
def _check_terminated(context: SpanContext) -> None:
    check_terminated(context)


def _no_content() -> bytes:
    return b"{}"


@guarded("the payload of a span", b"{}")
def _captured_inputs(recorder: SpanRecorder, payload: Content, run: OpenRun) -> bytes:
    if not run.recording:
        return b"{}"
    data = recorder.params((), payload() if callable(payload) else payload, run)
    if recorder.kind == "tool":
        rule = _classified_tools().get(recorder.name.rpartition(":")[2])
        return (
            data if rule is None else _capture.follow(data, rule, {}, run.rules.max_payload_bytes)
        )
    return _followed(recorder, data, run)


@guarded("the result of a span")
def _captured(recorder: SpanRecorder, result: Content | None, context: SpanContext) -> bytes | None:
    if result is None or not context.run.recording:
        return None
    value = result() if callable(result) else result
    data = recorder.plan().result(value, context.run.rules)
    return _followed(recorder, data, context.run)


def _followed(recorder: SpanRecorder, data: bytes, run: OpenRun) -> bytes:
    """Return a payload or result without what was withheld in the run for its classification."""
    if recorder.kind not in WITHOUT_EFFECT:
        return data
    rule, tools = next(iter(run.rules.classified or ()), None), _classified_tools()
    if rule is None and not tools:
        return data
    limit = run.rules.max_payload_bytes
    return _capture.follow(data, rule, tools, limit, is_model_call=_is_model_call(recorder))


@guarded("the content of a tool", b"{}")
def _follow(data: bytes, rule: str, run: OpenRun) -> bytes:
    return _capture.follow(data, rule, {}, run.rules.max_payload_bytes)


def _count_classified(run: OpenRun) -> int:
    """Return how many values were withheld in a run for their classification."""
    return sum((run.rules.classified or {}).values())


def _classified_tools() -> Mapping[str, str]:
    """Return the rules that withhold the arguments of tools, by the name that a model uses."""
    registry = _runtime.registry()
    known = _tools.get(registry)
    if known is None or known[0] != registry.version:
        by_name: dict[str, str] = {}
        for span_type in registry.span_types():
            rule = withholding(span_type.data_risk).params_rule
            if rule is not None:
                name = span_type.name.rpartition(":")[2].rpartition(".")[2]
                by_name |= {name: rule, span_type.qualname.rpartition(".")[2]: rule}
        known = _tools[registry] = (registry.version, by_name)
    return {**known[1], **_named_tools} if _named_tools else known[1]


# Unguarded: an assignment.
def name_tool(recorder: SpanRecorder, name: str) -> None:
    """Note by which name models call a decorated step, as its arguments may be classified."""
    rule = withholding(recorder.find_risk()).params_rule
    if rule is not None:
        _named_tools[name] = rule


_tools: Final[WeakKeyDictionary[Registry, tuple[int, Mapping[str, str]]]] = WeakKeyDictionary()
_named_tools: Final[dict[str, str]] = {}


def _checked(status: Status) -> Status:
    if status not in get_args(Status):
        expected = ", ".join(get_args(Status))
        raise ValueError(f"saw the status {describe_value(status)}; expected one of {expected}")
    return status


def _nanoseconds(time_ns: float) -> int:
    """Return a time of a framework as an item holds it."""
    return int(min(max(time_ns, 0), LAST_NS))


def traceparent(context: Parent = "current") -> str | None:
    """Return the W3C `traceparent` of a span; None outside any run."""
    return traceparent_of(open_context() if isinstance(context, str) else context)


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
        payload: Content,
        *parents: K,
        current: bool = False,
        **options: Unpack[StartOptions],
    ) -> ManualSpan:
        """Start the span of *key* under the first of *parents* that is open, else the current one.

        An open span of the same key is cancelled before. *current* makes the span current until it
        ends; the *options* are those of `start`. Raises what `start` raises.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        self.end(key, status=CANCELLED)
        try:
            parent = self.context(*parents)
        except Exception as error:  # noqa: BLE001 - a guard
            refuse_after(error, recorder)
            parent = open_context()
        span = start(recorder, payload, parent=parent, **options)
        try:
            self._add(key, span)
        except Exception as error:  # noqa: BLE001 - a guard
            fault = error
        else:
            return span.make_current() if current else span
        with span.ended_by_errors():
            refuse_after(fault, recorder, span.context)
        return span.make_current() if current else span

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
        return self._context(keys) or open_context()

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
    def end(self, key: K, result: Content | None = None, **how: Unpack[SpanEnd]) -> None:
        """End the span of *key*, as `ManualSpan.end`; one that has ended is no longer current."""
        with self._lock:
            span = self._spans.get(key)
            self._aliases.pop(key, None)
        if span is None:
            open_context()
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


at_fork(after_in_child=_renew_locks)
