"""Opens and ends spans by hand, for frameworks that report steps by callbacks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import (
    ClassVar,
    Final,
    Literal,
    ParamSpec,
    Self,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    get_args,
)

import msgspec
from msgspec.structs import replace

from remit._adapters.declare import INPUTS, classified_tools
from remit._base.guard import guarded, handing_faults_to
from remit._base.ids import new_key
from remit._base.loops import is_own_thread
from remit._base.outcomes import CANCELLED, COMPLETE, FAILED, status_of
from remit._base.text import describe_value
from remit._capture.cut import encode
from remit._capture.errors import error_payload
from remit._capture.follow import count_classified, follow, follow_run
from remit._capture.walk import decode
from remit._declare.registry import StepKind
from remit._decorators.agent import AgentRuns, RunArguments
from remit._decorators.span_type import outside, outside_after
from remit._policy.limits import Ceiling, Ceilings, not_compared, under
from remit._policy.words import WITHOUT_EFFECT
from remit._record.about import suggested_texts, texts_of
from remit._record.approvals import ApprovalRequest, AskedCall
from remit._record.asking import ApprovalPending, ask_later, ask_now
from remit._record.context import (
    ReportedContext,
    check_terminated,
    denials,
    is_same_span,
    open_context,
    traceparent_of,
)
from remit._record.counts import give_back, reached
from remit._record.runs import (
    OBSERVE,
    OpenRun,
    Reservation,
    SpanContext,
    current_context,
    opened,
    set_context,
)
from remit._record.spans import OpenSpan, SpanRecorder
from remit._runtime import process
from remit.errors import DeniedError, Violation

P = ParamSpec("P")
T = TypeVar("T")
D = TypeVar("D")

Status: TypeAlias = Literal["complete", "failed", "cancelled"]
"""How a span ended."""

Content: TypeAlias = Mapping[str, object] | Callable[[], Mapping[str, object]]
"""A payload or a result: `inputs` or `outputs`, and other fields next to them. A function is called
only if it is recorded, and what it raises is contained."""

Parent: TypeAlias = SpanContext | Literal["current"] | None
"""The context around a span; None is outside any run."""


NOTHING: Final[Mapping[str, object]] = {}
COUNTS: Final = ("token_usage", "usage_details", "response_model", "response_id")
"""Fields in the result of a model call that stay if the call failed."""
NO_TOOLS: Final[Mapping[str, str]] = {}
"""Tools whose arguments are redacted where another step quotes them."""

LAST_NS: Final = 2**63 - 1
"""The last time that an item may have."""


class SpanEnd(TypedDict, total=False):
    """The keywords of `ManualSpan.end`."""

    status: Status | None
    error: BaseException | None
    ended_ns: float | None


def within(ceiling: Ceiling | None) -> SpanContext | None:
    """Return the current context with *ceiling* added, and make it current, to the end of the task.

    It is for the tools of an agent of a framework that has no span where its remit is known.
    """
    context = open_context()
    if context is not None and ceiling is not None and ceiling not in context.ceilings:
        context = replace(context, ceilings=under(context.ceilings, ceiling))
        set_context(context)
    return context


def collect_denials() -> list[DeniedError]:
    """Return a list to which the denials of steps in the rest of the task are added.

    It is for tools that have no span of the adapter's, because their function is decorated.
    """
    collected: list[DeniedError] = []
    denials.set(collected)
    return collected


def permit(
    recorder: SpanRecorder, payload: Content = NOTHING, *, parent: Parent = "current"
) -> None:
    """Check whether a step may run; a denial is recorded as a failed span.

    A step that violates a remit and runs, as violations are observed, is counted by its own call.
    So is one that has a limit: here it is denied if a limit is reached, and does not count.
    The own call of a decorated function also asks a person, if the step needs a yes. A step of an
    adapter is denied then, because nothing would ask.

    Raises:
        RunTerminated: The run was terminated, from outside or because this step violates it.
        DeniedError: The step violates the agent's remit.
    """
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    context = open_context() if isinstance(parent, str) else parent
    if context is None:
        outside(recorder)
    elif context.run.recorder.on_violation == OBSERVE:
        _check_terminated(context)
        recorder.check_held(context, _Call(recorder, payload, context.run))
    else:
        call = _Call(recorder, payload, context.run)
        verdict = recorder.judge(context, call)
        if verdict is None:
            return
        if verdict.counted:
            recorder.check_limits(context, verdict.counted, call)
        has_function = recorder.declared is not None and not recorder.declared.of_adapter
        if verdict.asked and not has_function:
            recorder.refuse_unasked(context, verdict.asked, call)


async def ask(
    recorder: SpanRecorder, payload: Content = NOTHING, *, parent: Parent = "current"
) -> Admission | None:
    """Check whether a step may run, and await a person's answer if it needs a yes.

    It is for adapters that are called in a coroutine; the result is an option of `start`, which
    would otherwise ask without awaiting the answer. None outside any run.

    Raises:
        RunTerminated, DeniedError: As `permit`.
        Exception: The approver pauses the framework by it.
    """
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    context = open_context() if isinstance(parent, str) else parent
    if context is None:
        return None
    replaced = _replaced(recorder, payload, context)
    if replaced is not None:
        context = replaced.around or context
        give_back(replaced.reservation)
    try:
        try:
            reservation = recorder.permit(context, _Call(recorder, payload, context.run), ask_later)
        except ApprovalPending as pending:
            asking = pending.asking
        else:
            return Admission(reservation)
        await asking.later()
    except DeniedError:
        if replaced is not None:
            replaced.discard()
        raise
    return Admission(asking.reservation)


@dataclass(frozen=True, slots=True)
class Admission:
    """A step that may run, because `ask` returned.

    Attributes:
        reservation: What the step counts for towards limits.
    """

    reservation: Reservation | None


def is_ruled_out(recorder: SpanRecorder, ceilings: Ceilings = ()) -> bool:
    """Return whether a step would be denied now; that is neither recorded nor counted.

    It is for a step whose single calls cannot be denied, as they run elsewhere. After a fault it
    is ruled out, unless violations are observed.

    Args:
        ceilings: The limits of an agent of the framework. Outside any run, only they apply.
    """
    ruled_out = _is_ruled_out(recorder, ceilings)
    return not process.is_permissive() if ruled_out is None else ruled_out


@guarded("the policy")
def _is_ruled_out(recorder: SpanRecorder, ceilings: Ceilings) -> bool:
    context, runtime = open_context(), process.current()
    if context is None and not ceilings:
        return runtime.denies_outside(recorder)
    if context is not None and context.run.recorder.holds and recorder.held(context):
        return True
    source = runtime.settings if context is None else context.run.recorder
    if source.on_violation == OBSERVE:
        return False
    if context is not None:
        ceilings = (*context.ceilings, *ceilings)
    verdict = recorder.verdict(ceilings)
    # Nobody can be asked about a single call either.
    return verdict is None or bool(verdict.violations or verdict.asked)


@guarded("the policy", ())
def asked_now(recorder: SpanRecorder, ceilings: Ceilings = ()) -> tuple[Violation, ...]:
    """Return the words for which a step needs a yes now, if no approver is set to ask for it.

    It is for a framework that asks by itself before it calls a step. Nothing is recorded or
    counted. A step that would be denied for another reason needs no yes.

    Args:
        ceilings: The limits of an agent of the framework. Outside any run, only they apply.
    """
    context, runtime = open_context(), process.current()
    source = runtime.settings if context is None else context.run.recorder
    if source.on_violation == OBSERVE or source.approver is not None:
        return ()
    if context is not None:
        if context.run.recorder.holds and recorder.held(context):
            return ()
        ceilings = (*context.ceilings, *ceilings)
    verdict = recorder.verdict(ceilings)
    if verdict is None or verdict.violations:
        return ()
    if context is not None and verdict.counted and reached(context, verdict.counted):
        return ()
    return verdict.asked


def request_of(
    recorder: SpanRecorder,
    payload: Content,
    asked: tuple[Violation, ...],
    ticket: str,
    run: OpenRun,
) -> ApprovalRequest:
    """Return the request about a step that a framework asks about, with its own *ticket*."""
    return ApprovalRequest(
        recorder.name,
        asked,
        run.feed.resumed_key or run.feed.key,
        cast("AskedCall", _Call(recorder, payload, run)),
        ticket,
        run.recorder.ask_timeout_s,
    )


def deny(
    recorder: SpanRecorder,
    payload: Content,
    asked: tuple[Violation, ...],
    by: str | None,
    why: str | None,
) -> None:
    """Deny a step that got no yes before; the denial is recorded as a failed span.

    Raises:
        DeniedError: Always.
    """
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    context = open_context()
    if context is None:
        raise DeniedError(recorder.name, asked, refused_by=by, why=why)
    recorder.refuse(context, _Call(recorder, payload, context.run), asked, by, why)


def judging(
    recorder: SpanRecorder, default: D, *, passes: tuple[type[Exception], ...] = (DeniedError,)
) -> Callable[[Callable[P, T]], Callable[P, T | D]]:
    """Return a decorator for a function of an integration that decides whether a step may run.

    It is for code before `start` or `permit`. A fault denies the step, under the name of
    *recorder*; if violations are observed, the function returns *default* instead.
    """
    return handing_faults_to(partial(react_to_fault, recorder=recorder), default, passes=passes)


def react_to_fault(error: Exception, recorder: SpanRecorder, parent: Parent = "current") -> None:
    """Contain a fault that kept a step from being judged; deny it unless they are observed.

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
        recorder.react_to_fault(error, context, _no_content)


@contextmanager
def inside(context: SpanContext | None) -> Generator[None]:
    """Make *context* current within the block, for a step that has a separate span."""
    previous = current_context()
    set_context(context)
    try:
        yield
    finally:
        set_context(previous)


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
        denied: The denial of a step below it, in case a framework hides the exception.
        on_end: Called when the span has ended; a table then removes its entry.
        on_replaced: Called when an integration that knows more takes the span over; None if the
            span is not replaceable.
        replaced_by: The span of that integration. It has the same key.
        around: The context around a span that is or was replaceable.
        reservation: What the step counts for towards limits; None if it counts for nothing.
        so_far: The result if the span is cancelled because no end was reported.
        suggested: What the framework knows of the run, which is in the payload of an agent's span.
    """

    __slots__ = (
        "_announced",
        "_classified",
        "_owns_run",
        "_recorder",
        "_span",
        "around",
        "context",
        "denied",
        "on_end",
        "on_replaced",
        "replaced_by",
        "reservation",
        "so_far",
        "suggested",
    )  # fmt: skip

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

        The sink has the start of a span that is *announced*. *classified* is how many values were
        redacted for their classification before.
        """
        self._recorder = recorder
        self._span = span
        self._announced = announced
        self._owns_run = owns_run
        self.context = context
        self.denied: DeniedError | None = None
        self.on_end: Callable[[], object] | None = None
        self.on_replaced: Callable[[], object] | None = None
        self.replaced_by: ManualSpan | None = None
        self.around: SpanContext | None = None
        self.reservation: Reservation | None = None
        self.so_far: Content | None = None
        self.suggested: Mapping[str, object] = NOTHING
        self._classified = classified
        if context is not None:
            run, key = context.run, context.key
            run.reported[key] = self
            if run.exited:
                run.open.pop(key, None)  # the run does not wait for it

    @property
    def is_open(self) -> bool:
        context = self.context
        return context is not None and context.run.reported.get(context.key) is self

    def make_current(self) -> Self:
        """Make the span current, in the context of the caller, until it ends.

        Then the nearest context before it is current that is open. A block of `remit.span` or of a
        run that is left earlier restores what was current before the block.
        """
        context, previous = self.context, open_context()
        if (
            context is not None
            and isinstance(previous, ReportedContext)
            and is_same_span(previous, context)
            and previous.name != context.name
        ):
            previous = previous.previous  # that of the span which this one took over
        if context is not None and self.is_open and not is_same_span(context, previous):
            run, key, name = context.run, context.key, context.name
            ceilings, outer = context.ceilings, context.outer_runs
            set_context(ReportedContext(run, key, name, ceilings, outer, previous))
        return self

    def make_previous_current(self) -> None:
        """Restore the context before the span, for the caller; the span stays open."""
        current = open_context()
        if isinstance(current, ReportedContext) and is_same_span(current, self.context):
            set_context(current.previous)

    def narrow(self, ceiling: Ceiling | None) -> None:
        """Add the limits of an agent of the framework to the steps that begin below the span.

        After a fault, raises what `start` raises.
        """
        context, current = self.context, open_context()
        if context is None or self._recorder is None or ceiling is None:
            return
        self.context = self._recorder.within(context, ceiling, _no_content)
        if current is not None and is_same_span(current, context):
            set_context(replace(current, ceilings=self.context.ceilings))

    def __enter__(self) -> Self:
        return self.make_current()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end(error=error)

    @guarded("the description of a span")
    def describe(self, payload: Content, recorder: SpanRecorder | None = None) -> None:
        """Replace the payload of an open span, and with *recorder* also its type.

        A span that is open for some seconds is sent as `active`, and keeps what was sent, unless
        it was started with `announce=False`. Violations are noted; the step is not denied.
        """
        span = self._span
        if span is not None and self.is_open:
            recorder = recorder or span.recorder
            if self.suggested:
                payload = partial(_with_suggested, payload, self.suggested, span.context.run)
            recorder.describe(span, _captured_inputs(recorder, payload, span.context.run))

    def leave_open(self, *, leave: bool = True) -> None:
        """Leave the run of the span open after its end, to be resumed; False takes that back."""
        if self.context is not None and leave:
            self.context.run.leave_open()
        elif self.context is not None:
            self.context.run.left_open = False

    @contextmanager
    def ended_by_errors(self) -> Generator[None]:
        """End the span with the exception that leaves the block before the step runs, if any."""
        try:
            yield
        except BaseException as error:
            give_back(self.reservation)
            self.end(error=error)
            raise

    def end(
        self,
        result: Content | None = None,
        *,
        status: Status | None = None,
        error: BaseException | None = None,
        ended_ns: float | None = None,
    ) -> None:
        """End the span; later calls have no effect. It stops being current for every caller.

        In a finalizer that runs on a thread of remit, the writer ends it at its next pass.

        By default it is complete, or cancelled while an interrupt is handled; an *error* decides by
        its type. *ended_ns* is wall time; None is now.
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

    def is_step_of(self, recorder: SpanRecorder, agent_name: object) -> bool:
        """Return whether another integration that reports a step of *recorder* means this span.

        It is of the same kind; a tool or an agent has the same name as well.
        """
        own = self._recorder
        if own is None or own.kind != recorder.kind:
            return False
        if own.kind == "tool":
            return own.name.rpartition(":")[2] == recorder.name.rpartition(":")[2]
        return own.kind != "agent" or self.agent_name == agent_name

    @property
    def kind(self) -> StepKind | None:
        """The kind of the step."""
        return None if self._recorder is None else self._recorder.kind

    @property
    def agent_name(self) -> object:
        """The name of the agent or chain in the payload."""
        payload = None if self._span is None else self._span.start.payload
        fields = msgspec.json.decode(payload or b"{}")
        return fields.get("agent_name", fields.get("chain_name"))

    def hand_over(
        self, recorder: SpanRecorder, payload: bytes, ceilings: Ceilings, *, announce: bool
    ) -> ManualSpan | None:
        """Return the span of *recorder* in place of this one, with the same key and start."""
        span, context = self._span, self.context
        if span is None or context is None:
            return None  # nothing is recorded
        context = replace(context, name=recorder.name, ceilings=ceilings)
        recorder.take_over(span, payload, context, self.around or context)
        announced = announce and not context.run.exited
        successor = ManualSpan(
            recorder,
            context,
            span,
            announced=announced,
            owns_run=self._owns_run,
            classified=self._classified,
        )
        successor.around, self.replaced_by = self.around, successor
        if self.on_replaced is not None:
            self.on_replaced()
        if announced:
            context.run.recorder.sink.start_span(span.start)
        return successor

    @guarded("the removal of a span")
    def discard(self) -> None:
        """Forget an open span that was not announced, because another span has its step."""
        context = self.context
        if context is None or self._owns_run or self._announced:
            return
        context.run.reported.pop(context.key, None)
        context.run.spans -= 1
        context.run.discard(context.key)
        open_context()

    def has_classified_inside(self, run: OpenRun) -> bool:
        """Return whether a rule of a classification redacted a value since the span began."""
        return count_classified(run.rules) != self._classified

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
        if span.recorder.kind == "tool" and self.manual.has_classified_inside(run):
            arguments = _follow(span.start.payload or b"{}", run)
            # Another item: the one before may be on its way.
            span.start = replace(span.start, payload=arguments)
        status = self._status()
        if error is not None and status == FAILED:
            failure = error_payload(error, run.rules, span.recorder.plan().error_rule)
            body = _with_counts(failure, body, run.rules.max_payload_bytes) or failure
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
    deny: bool
    announce: bool
    started_ns: float | None
    replaceable: bool
    suggested: Mapping[str, object]
    admission: Admission | None
    goes_on: bool | None


def start(
    recorder: SpanRecorder,
    payload: Content,
    *,
    parent: Parent = "current",
    **options: Unpack[StartOptions],
) -> ManualSpan:
    """Start a span, after checking whether the step may run.

    Outside any run nothing is recorded, unless an *agent* is given. The step is counted, and
    denied if the settings say so, like a decorated one. A model call directly below another one
    is the same call, and not recorded again. A step directly below a replaceable span of the same
    step takes that over.

    A fault before the step is judged denies it, unless violations are observed. A fault afterwards
    loses the record: the span has a context with all ceilings and is ended as usual. If the run of
    an *agent* with a ceiling cannot be opened, the step is denied too.

    Args:
        payload: The payload, or a function that returns it, which is called only if it is recorded.
        agent: Outside any run, opens one, which ends with the span.
        ceiling: The limits of an agent of the framework for the steps below the span.
        deny: False records a step that cannot be stopped: its violations are noted.
        announce: Send the span as `active` when it is open for some seconds. Without it the span is
            sent when it ends, with the type and the payload that `ManualSpan.describe` set.
        started_ns: When it began, as wall time; None is now. A step that opens a run begins now.
        replaceable: Whether an integration that knows more may take the span over. It implies
            `announce=False`.
        suggested: What the framework knows of the run: `conversation`, `on_behalf_of`, `subject`
            and `labels`, of any type; what is not valid is left out. A run that the span opens
            takes what the program does not say. In a run of the program's own, the three texts
            become members of the payload of an agent's span.
        admission: The result of `ask` for the same step. Without it, a step that needs a yes is
            asked about here, which blocks an event loop.
        goes_on: Whether a run that the span opens goes on with the one that waits for an answer in
            the conversation. False ends that wait, None leaves it.

    Raises:
        RunTerminated, DeniedError: As `permit`.
    """
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    context = open_context() if isinstance(parent, str) else parent
    suggested = options.get("suggested")
    if context is not None:
        if suggested and recorder.kind == "agent":
            payload = partial(_with_suggested, payload, suggested, context.run)
            span = _start(recorder, payload, context, options)
            span.suggested = suggested
            return span
        return _start(recorder, payload, context, options)
    agent = options.get("agent")
    if agent is None:
        outside(recorder, deny=options.get("deny", True))
        return ManualSpan()
    goes_on = options.get("goes_on")
    arguments = RunArguments() if not suggested else RunArguments(suggested=suggested)
    if goes_on is not None:
        arguments["goes_on"] = goes_on
    run = opened(partial(agent.open, **arguments))
    if run is None:  # after a fault
        ceiling = options.get("ceiling") or agent.ceiling
        if ceiling is not None and not process.is_permissive():
            raise DeniedError(recorder.name, (not_compared(recorder.name),))
        return ManualSpan()
    try:
        return _start(recorder, payload, run.context, options, owns_run=True)
    except BaseException as error:
        run.exit(error)
        raise


def _with_suggested(
    payload: Content, suggested: Mapping[str, object], run: OpenRun
) -> Mapping[str, object]:
    """Return the payload of an agent with what its framework knows and the run does not say."""
    fields, said = payload() if callable(payload) else payload, texts_of(run.about)
    texts = suggested_texts(suggested, run.rules.off)
    return {**fields, **{name: text for name, text in texts.items() if said.get(name) != text}}


def _start(
    recorder: SpanRecorder,
    payload: Content,
    parent: SpanContext,
    options: StartOptions,
    *,
    owns_run: bool = False,
) -> ManualSpan:
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    call = _Call(recorder, payload, parent.run)
    replaceable, ceiling = options.get("replaceable", False), options.get("ceiling")
    replaced = None if replaceable else _replaced(recorder, payload, parent)
    if replaced is None and _is_repeated(recorder, parent):
        return ManualSpan()
    around = parent if replaced is None else replaced.around or parent
    reservation: Reservation | None = None
    try:
        if replaced is not None:
            give_back(replaced.reservation)
        if (admission := options.get("admission")) is not None:
            reservation = admission.reservation
            _check_terminated(around)
        elif options.get("deny", True):
            reservation = recorder.permit(around, call, ask_now)
        else:
            _warn_unchecked(recorder, around)
            reservation = _count_unchecked(recorder, around)
    except DeniedError:
        if replaced is not None:
            replaced.discard()
        raise
    params = recorder.noting(reservation, call)
    context = around if ceiling is None else recorder.within(around, ceiling, params)
    if replaced is None:
        span = _recorded(recorder, params, around, context.ceilings, options, owns_run=owns_run)
    else:
        span = _taken_over(replaced, recorder, params, context.ceilings, options)
    if span is None:
        # With a key, which tells whether the span is open.
        run, key = parent.run, new_key(parent.run.now_ns())
        context = SpanContext(run, key, recorder.name, context.ceilings, context.outer_runs)
        span = ManualSpan(recorder, context, owns_run=owns_run)
    span.reservation = reservation
    return span


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
    started_ns, replaceable = options.get("started_ns"), options.get("replaceable", False)
    if owns_run:
        started_ns = None  # the run begins now, and no step begins before its run
    announced = options.get("announce", not replaceable) and not parent.run.exited
    classified = count_classified(parent.run.rules)
    span = recorder.open(
        parent,
        params(),
        ceilings,
        started_ns=None if started_ns is None else _nanoseconds(started_ns),
        announced=announced,
        judged=options.get("deny", True),
    )
    manual = ManualSpan(
        recorder,
        span.context,
        span,
        announced=announced,
        owns_run=owns_run,
        classified=classified,
    )
    manual.around = parent if replaceable else None
    return manual


@guarded("the start of a span")
def _replaced(recorder: SpanRecorder, payload: Content, parent: SpanContext) -> ManualSpan | None:
    """Return the replaceable span that reports the same step; *parent* is inside it."""
    span = reported_span(parent)
    if span is None or span.on_replaced is None or not span.is_open:
        return None
    name = None
    if recorder.kind == "agent":
        fields = payload() if callable(payload) else payload
        name = fields.get("agent_name", fields.get("chain_name"))
    return span if span.is_step_of(recorder, name) else None


@guarded("the start of a span")
def _taken_over(
    replaced: ManualSpan,
    recorder: SpanRecorder,
    params: Callable[[], bytes],
    ceilings: Ceilings,
    options: StartOptions,
) -> ManualSpan | None:
    return replaced.hand_over(recorder, params(), ceilings, announce=options.get("announce", True))


def reported_span(context: SpanContext | None) -> ManualSpan | None:
    """Return the open span of an adapter whose context is *context*."""
    span = None if context is None else context.run.reported.get(context.key)
    return span if isinstance(span, ManualSpan) else None


@guarded("the log of a step that violates a remit")
def _warn_unchecked(recorder: SpanRecorder, parent: SpanContext) -> None:
    recorder.warn_unchecked(parent)


@guarded("the count of a step")
def _count_unchecked(recorder: SpanRecorder, parent: SpanContext) -> Reservation | None:
    return recorder.count_unchecked(parent)


@guarded("the start of a span", default=False)
def _is_repeated(recorder: SpanRecorder, parent: SpanContext) -> bool:
    """Return whether a step is a model call directly below another one."""
    return _is_model_call(recorder) and _is_model_call(_recorder_in(parent))


def _recorder_in(context: SpanContext) -> SpanRecorder | None:
    span = context.run.open.get(context.key)
    return span.recorder if isinstance(span, OpenSpan) else None


def _is_model_call(recorder: SpanRecorder | None) -> bool:
    return recorder is not None and recorder.kind == "llm"


@guarded("the policy")
def _check_terminated(context: SpanContext) -> None:
    check_terminated(context)


def _no_content() -> bytes:
    return b"{}"


class _Call:
    """The call of a step of an adapter, for a judge.

    Attributes:
        by_type: Empty: all its inputs are read.
        file: The file of the tool is not known.
    """

    __slots__ = ("_payload", "_recorder", "_run")
    by_type: ClassVar[frozenset[str]] = frozenset()
    file: ClassVar[str | None] = None

    def __init__(self, recorder: SpanRecorder, payload: Content, run: OpenRun) -> None:
        self._recorder = recorder
        self._payload = payload
        self._run = run

    def __call__(self) -> bytes:
        """Return the captured payload."""
        return _captured_inputs(self._recorder, self._payload, self._run)

    def arguments(self) -> Mapping[str, object]:
        """Return the inputs by name, as they are now."""
        fields = self._payload() if callable(self._payload) else self._payload
        inputs = fields.get(INPUTS, fields)
        if not isinstance(inputs, Mapping):
            return {INPUTS: inputs}
        return cast("Mapping[str, object]", inputs)


@guarded("the payload of a span", b"{}")
def _captured_inputs(recorder: SpanRecorder, payload: Content, run: OpenRun) -> bytes:
    if not run.recording:
        return b"{}"
    data = recorder.params((), payload() if callable(payload) else payload, run)
    if recorder.kind == "tool":
        rule = classified_tools().get(recorder.name.rpartition(":")[2])
        if rule is not None:
            return follow(data, rule, {}, run.rules.max_payload_bytes)
    return _followed(recorder, data, run)


@guarded("the result of a span")
def _captured(recorder: SpanRecorder, result: Content | None, context: SpanContext) -> bytes | None:
    if result is None or not context.run.recording:
        return None
    value = result() if callable(result) else result
    data = recorder.plan().result(value, context.run.rules)
    return _followed(recorder, data, context.run)


def _followed(recorder: SpanRecorder, data: bytes, run: OpenRun) -> bytes:
    """Return a payload or result without values that the run redacted for their classification."""
    tools = classified_tools() if recorder.kind in WITHOUT_EFFECT else NO_TOOLS
    return follow_run(data, run.rules, tools, is_model_call=_is_model_call(recorder))


@guarded("the tokens of a failed call")
def _with_counts(failure: bytes, result: bytes | None, max_bytes: int) -> bytes | None:
    """Return the error of a model call with the tokens that it used."""
    fields = {} if result is None else cast("dict[str, object]", decode(result))
    counts = {name: fields[name] for name in COUNTS if name in fields}
    if not counts:
        return None
    counted = encode(cast("dict[str, object]", decode(failure)) | counts)
    return counted if len(counted) <= max_bytes else None


@guarded("the content of a tool", b"{}")
def _follow(data: bytes, run: OpenRun) -> bytes:
    return follow_run(data, run.rules, NO_TOOLS, is_model_call=False)


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
