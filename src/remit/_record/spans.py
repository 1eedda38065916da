"""Spans of decorated calls and blocks: whether a step may run, its start and its end.

Recording fails open: a fault loses the span, never the call. The policy fails closed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NoReturn, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from remit._base import guard
from remit._base.clock import NS_PER_MS
from remit._base.frames import caller
from remit._base.guard import guarded, logger
from remit._base.ids import KEY_BYTES, RANDOM_BITS, random_bits
from remit._base.markers import note_unregistered
from remit._base.outcomes import ACTIVE, CANCELLED, COMPLETE, FAILED, is_only, status_of
from remit._capture.encode import FAULT, Rules, capture_mapping
from remit._capture.errors import denial_payload, error_payload, merge_error
from remit._capture.excluded import redact_excluded
from remit._capture.plan import Plan
from remit._declare.registry import AgentType, SpanType, StepKind
from remit._inspect.decorated import SelfParameter
from remit._policy import holds, limits, maxima
from remit._policy.asks import unasked
from remit._policy.holds import Hold
from remit._policy.limits import Ceiling, Ceilings, Verdict, under
from remit._policy.maxima import Counted
from remit._policy.violations import add_violations
from remit._policy.words import WITHOUT_EFFECT, declared_words
from remit._record import counts
from remit._record.asking import (
    ApprovalPending,
    Ask,
    Asking,
    StepCall,
    ask_now,
    refuse_unasked,
)
from remit._record.context import (
    AGENT_STEP,
    agents_around,
    check_terminated,
    note_denial,
    open_context,
    terminate,
)
from remit._record.items import Item, ItemKind
from remit._record.runs import (
    MAX_LOGGED,
    OBSERVE,
    TERMINATE,
    OpenRun,
    Recorder,
    Reservation,
    SpanContext,
)
from remit.errors import DeniedError, RunTerminated, Violation, causes, denial
from remit.models.data_risk import DataRisk

# An agent made in a function has a new ceiling each time; at this bound the cache is cleared.
MAX_VERDICTS: Final = 64

NOTHING: Final[tuple[Counted, ...]] = ()
"""The limits that a step counts towards, or is beyond, if there are none."""
RUNS: Final = "it runs, because on_violation is observe"

START: Final = "the start of a call"
POLICY: Final = "the policy"
END: Final = "the end of a span"


class BlockPlan(Struct, frozen=True):
    """Captures the payload of a `remit.span` block, and the result that is set by hand.

    Attributes:
        declared: The plan of the span type that is declared under the name of the block.
        excluded: Data categories that the data risk of the block itself excludes from the payload;
            None without one.
    """

    declared: Plan | None = None
    excluded: frozenset[str] | None = None

    @property
    def excludes(self) -> frozenset[str]:
        """Data categories that are excluded from the payload."""
        if self.excluded is not None:
            return self.excluded
        return frozenset() if self.declared is None else self.declared.excludes

    def excluded_from(self, name: str) -> frozenset[str]:
        """Return the data categories that are excluded from the payload's member *name*."""
        if self.excluded is not None or self.declared is None:
            return self.excludes
        return self.declared.excluded_from(name)

    @property
    def error_rule(self) -> str | None:
        """The rule that redacts the message of every error, if one is declared."""
        return None if self.declared is None else self.declared.error_rule

    def params(self, args: tuple[object, ...], kwargs: Mapping[str, object], rules: Rules) -> bytes:
        """Return the payload, which is passed as *kwargs*."""
        if self.declared is not None:
            return self.declared.params(args, kwargs, rules)
        return capture_mapping(kwargs, rules)

    def result(self, value: object, rules: Rules) -> bytes:
        """Return the result that was set by hand, an empty object if *value* is None."""
        if self.declared is not None and value is not None:
            return self.declared.result(value, rules)
        return capture_mapping({} if value is None else value, rules)


class SpanRecorder(Struct, eq=False):
    """Records the spans of one declaration, and checks whether a step may run.

    Attributes:
        make_plan: Makes the capture plan at the first call: signatures are not read at import.
        ceiling: The ceiling that a call of an agent adds, if the agent has limits.
        kind: `step`; for an adapter also `agent`, `llm`, `tool` or `retriever`.
        agents: Identifiers of the agents in whose runs it was used and that register it.
        agent: The agent that its declaration declares, if any.
    """

    name: str
    make_plan: Callable[[], Plan | BlockPlan]
    declared: SpanType | None = None
    find_risk: Callable[[], DataRisk | None] = lambda: None
    ceiling: Ceiling | None = None
    kind: StepKind = "step"
    agents: set[str] = field(default_factory=set[str])
    agent: AgentType | None = None
    cached_plan: Plan | BlockPlan | None = None
    verdicts: dict[tuple[Ceilings, bool], Verdict] = field(
        default_factory=dict[tuple[Ceilings, bool], Verdict]
    )

    def plan(self) -> Plan | BlockPlan:
        if self.cached_plan is None:
            self.cached_plan = self.make_plan()
        return self.cached_plan

    @property
    def place(self) -> str:
        """File and line of the declaration; of a block, of the code that is entering it."""
        return (caller() or "<unknown>") if self.declared is None else self.declared.place

    @property
    def _is_agent(self) -> bool:
        return self.agent is not None or self.kind == AGENT_STEP

    # How a span starts

    def start(
        self,
        parent: SpanContext,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        owner: object = None,
        ask: Ask | None = ask_now,
        reservation: Reservation | None = None,
        /,
    ) -> AnySpan:
        """Start the span of a call, after checking whether it may run.

        In mode `off` and after a fault the span records nothing; an agent's remit still applies.
        *owner* is the object or class that a method is called on. Without *ask*, the step was
        admitted before, with this *reservation*. Raises what `permit` raises.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        run = parent.run
        if (
            parent.ceilings
            or parent.outer_runs
            or run.feed.terminated is not None
            or run.recorder.holds
        ):
            if ask is not None:
                reservation = self.permit(parent, self.call(args, kwargs, run, owner), ask)
            if reservation is not None:
                return self._start_counted(parent, args, kwargs, reservation)
        context = parent
        if self.ceiling is not None:
            params = partial(self.params, args, kwargs, run)
            context = self.within(parent, self.ceiling, params)
        try:
            if not run.recording:
                return NullSpan(self, context)
            plan = self.cached_plan or self.plan()
            payload = plan.params(args, kwargs, run.rules)
            if plan.excludes and (texts := run.rules.texts) is not None and texts.categorized:
                payload = self._without_excluded(payload, run)
            return self.open(parent, payload, context.ceilings)
        except Exception as error:
            guard.contain(START, error)
            return NullSpan(self, context)

    def _start_counted(
        self,
        parent: SpanContext,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        reservation: Reservation,
    ) -> AnySpan:
        """Start the span of an admitted call that counts towards limits; no agent does."""
        try:
            if not parent.run.recording:
                return NullSpan(self, parent)
            params = partial(self.params, args, kwargs, parent.run)
            return self.open(parent, self.noting(reservation, params)(), parent.ceilings)
        except Exception as error:
            guard.contain(START, error)
            return NullSpan(self, parent)

    def open(
        self,
        parent: SpanContext,
        payload: bytes,
        ceilings: Ceilings,
        key: bytes | None = None,
        started_ns: int | None = None,
        announced: bool = True,  # noqa: FBT001, FBT002 - a call without keywords is faster
        judged: bool = True,  # noqa: FBT001, FBT002
    ) -> OpenSpan:
        """Open a span under *parent* with captured arguments, now or as of *started_ns*.

        *ceilings* are those inside the span. If it is not *announced*, the sink gets its start from
        the caller, before its end. If it was not *judged*, it may violate the remit whatever the
        setting says.
        """
        run = parent.run
        recorder, feed = run.recorder, run.feed
        offset_ns = run.offset_ns
        if started_ns is None:
            read_ns = run.monotonic_ns  # called as a method it would be looked up more slowly
            started_ns = read_ns() + offset_ns
        if key is None:
            # As `new_key`, without the call.
            milliseconds = started_ns // NS_PER_MS << RANDOM_BITS
            key = (milliseconds | random_bits(RANDOM_BITS)).to_bytes(KEY_BYTES)
        if feed.agent.external_identifier not in self.agents and not self.is_registered(run):
            payload = note_unregistered(payload)
        if parent.ceilings and (recorder.on_violation == OBSERVE or not (announced and judged)):
            payload = self._noted(payload, parent, judged=judged)
        start = Item(
            ItemKind.SPAN,
            feed.key,
            key,
            parent.key,
            self.name,
            started_ns,
            None,
            ACTIVE,
            payload,
            None,
        )
        context = SpanContext(run, key, self.name, ceilings, parent.outer_runs)
        span = OpenSpan(self, context, start, offset_ns)
        run.spans += 1
        run.open[key] = span
        if announced:
            try:
                recorder.sink.start_span(start)
            except BaseException:
                run.open.pop(key, None)
                raise
        return span

    def describe(self, span: OpenSpan, payload: bytes) -> None:
        """Give an open span of an adapter this type, and another captured payload."""
        if self is not span.recorder:
            self.warn_unchecked(span.context)
        judged = self is span.recorder
        self.take_over(span, payload, span.context, span.context, judged=judged)

    def take_over(
        self,
        span: OpenSpan,
        payload: bytes,
        context: SpanContext,
        parent: SpanContext,
        *,
        judged: bool = True,
    ) -> None:
        """Give an open span this type, another captured payload and the *context* inside it.

        If it was *judged*, that was in *parent*.
        """
        if not self.is_registered(context.run):
            payload = note_unregistered(payload)
        if parent.ceilings:
            payload = self._noted(payload, parent, judged=judged)
        span.recorder, span.context = self, context
        # Another item: the one before may be on its way.
        span.start = replace(span.start, name=self.name, payload=payload)

    def is_registered(self, run: OpenRun) -> bool:
        """Return whether the agent of *run* registers this span type, and log it once if not."""
        agent = run.feed.agent.external_identifier
        if agent in self.agents:
            return True
        registered = run.recorder.registers(agent, self.name, self.declared)
        if registered:
            self.agents.add(agent)
        return registered

    def params(self, args: tuple[object, ...], kwargs: Mapping[str, object], run: OpenRun) -> bytes:
        """Return the captured arguments of a call."""
        plan = self.plan()
        payload = plan.params(args, kwargs, run.rules)
        return self._without_excluded(payload, run) if plan.excludes else payload

    @guarded("the search for excluded values", FAULT)
    def _without_excluded(self, payload: bytes, run: OpenRun) -> bytes:
        """Return *payload* without values that the run redacted as data that the step excludes.

        They are noted in the payload, counted and logged. The step runs whatever the setting says:
        values that were passed on in other words are not recognised, so a denial would promise too
        much.
        """
        payload, categories = redact_excluded(payload, self.plan(), run.rules)
        if not categories:
            return payload
        violations = [limits.excluded_value(self.name, category) for category in categories]
        self._warn_excluded(violations, run.recorder)
        return add_violations(payload, violations)

    @guarded("the log of an excluded value")
    def _warn_excluded(self, violations: Sequence[Violation], recorder: Recorder) -> None:
        """Count that the step was given values that it excludes, and log each category once."""
        self._count(recorder)
        for violation in violations:
            if recorder.is_first(violation.sentence):
                logger.warning("%s (%s): %s", self.name, self.place, violation)

    def _noted(self, payload: bytes, parent: SpanContext, *, judged: bool) -> bytes:
        """Return the payload of a step that runs in spite of its violations, with these noted."""
        observing = parent.run.recorder.on_violation == OBSERVE
        verdict = self.verdict(parent.ceilings, observing=observing)
        violations = verdict.violations if verdict is not None else ()
        if verdict is not None and (observing or not judged):
            violations += tuple(map(unasked, verdict.asked))
        return add_violations(payload, violations) if violations else payload

    # Whether it may run

    def warn_unchecked(self, parent: SpanContext) -> None:
        """Count and log how a step that was reported afterwards violates a remit."""
        recorder = parent.run.recorder
        verdict = self.verdict(parent.ceilings, observing=recorder.on_violation == OBSERVE)
        if verdict is not None and (verdict.violations or verdict.asked):
            self._warn(verdict, recorder, "it ran before it was reported")

    def permit(
        self,
        parent: SpanContext,
        params: Callable[[], bytes],
        ask: Ask = refuse_unasked,
    ) -> Reservation | None:
        """Check that the step may run under *parent*; record a denial as a failed span.

        *params* returns the captured arguments for that span. *ask* asks a person, if the step
        needs a yes; before that, the step counts towards limits.

        Returns:
            What the step counts for, for `counts.give_back` if its body does not run; None if it
            counts for nothing.

        Raises:
            RunTerminated: The run was terminated, from outside or because this step violates it.
            DeniedError: The step violates the agent's remit, and the setting says to deny; it
                is on hold; or a person was to be asked and did not say yes.
            RecursionError: The program is too deep in a recursion to decide.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        verdict = self.judge(parent, params)
        if verdict is None or not (verdict.counted or verdict.asked):
            return None
        return self._admit(parent, verdict, params, ask)

    def permit_again(self, parent: SpanContext, params: Callable[[], bytes]) -> None:
        """Check a running step as `permit` does; it is not counted, and nobody can be asked.

        A hold does not stop a body that has begun.

        Raises:
            RunTerminated, DeniedError, RecursionError: As `permit`.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        verdict = self.judge(parent, params, begun=True)
        if verdict is not None and verdict.asked and parent.run.recorder.on_violation != OBSERVE:
            self.refuse_unasked(parent, verdict.asked, params)

    def refuse_unasked(
        self, parent: SpanContext, asked: tuple[Violation, ...], params: Callable[[], bytes]
    ) -> None:
        """Deny a step that needs a yes where nobody can be asked.

        Raises:
            DeniedError: Always.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        refuse_unasked(self._asking(parent, asked, params, None))

    def judge(
        self, parent: SpanContext, params: Callable[[], bytes], *, begun: bool = False
    ) -> Verdict | None:
        """Check the step as `permit` does, without counting it and without asking.

        Args:
            begun: Whether its body has begun, which a hold does not stop.

        Returns:
            What it counts towards, and what it needs a yes for; None for nothing.

        Raises:
            RunTerminated, DeniedError, RecursionError: As `permit`.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        observing = parent.run.recorder.on_violation == OBSERVE
        held: tuple[Violation, ...] = ()
        try:
            check_terminated(parent)
            if parent.run.recorder.holds and not begun:
                held = self.held(parent)
            if not parent.ceilings and not held:
                return None
            verdict = self.verdict(parent.ceilings, observing=observing)
        except Exception as error:
            verdict = None
            self._contain(error, observing=observing)
        if held:
            self._deny_held(parent, held, None if observing else verdict, params)
        elif verdict is None:
            self._react_to_unchecked(parent, params)
        elif observing and (verdict.violations or verdict.asked):
            self._warn(verdict, parent.run.recorder, RUNS)
        elif verdict.violations:
            self._deny(parent, verdict, params)
        return verdict

    def _admit(
        self, parent: SpanContext, verdict: Verdict, params: Callable[[], bytes], ask: Ask
    ) -> Reservation | None:
        """Count a step that violates nothing, then ask a person if it needs a yes.

        Raises:
            TypeError: A person would be asked about a call that fails because of its arguments.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        asks = verdict.asked and parent.run.recorder.on_violation != OBSERVE
        if asks and isinstance(params, StepCall):
            params.check_fit()
        reservation = self.reserve(parent, verdict.counted, params) if verdict.counted else None
        if asks:
            try:
                ask(self._asking(parent, verdict.asked, params, reservation))
            except ApprovalPending:
                raise
            except BaseException:
                counts.give_back(reservation)
                raise
        return reservation

    def reserve(
        self, parent: SpanContext, counted: tuple[Counted, ...], params: Callable[[], bytes]
    ) -> Reservation | None:
        """Count the step towards the limits *counted*; deny it if it is beyond one.

        Returns:
            What it counts for, for `counts.give_back` if its body does not run. Under `observe`,
            it has the limits that the step is beyond. None after a fault.

        Raises:
            RunTerminated, DeniedError: As `permit`.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        observing = parent.run.recorder.on_violation == OBSERVE
        try:
            reservation = counts.reserve(parent, counted, force=observing)
            beyond = self._beyond(parent, reservation.exceeded)
        except Exception as error:
            fault = error
        else:
            self._react_to_exceeded(parent, beyond, params)
            return reservation
        self.react_to_fault(fault, parent, params)
        return None

    def check_limits(
        self, parent: SpanContext, counted: tuple[Counted, ...], params: Callable[[], bytes]
    ) -> None:
        """Check that a limit of *counted* is not reached, for a step that counts at its own call.

        Raises:
            RunTerminated, DeniedError: As `permit`.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        try:
            beyond = self._beyond(parent, counts.reached(parent, counted))
        except Exception as error:
            fault = error
        else:
            self._react_to_exceeded(parent, beyond, params)
            return
        self.react_to_fault(fault, parent, params)

    def count_unchecked(self, parent: SpanContext) -> Reservation | None:
        """Count and log a step that cannot be stopped; return what it counts for."""
        recorder = parent.run.recorder
        verdict = self.verdict(parent.ceilings, observing=recorder.on_violation == OBSERVE)
        if verdict is None or not verdict.counted:
            return None
        reservation = counts.reserve(parent, verdict.counted, force=True)
        beyond = self._beyond(parent, reservation.exceeded)
        if beyond is not None:
            self._warn(beyond, recorder, "it ran before it was reported")
        return reservation

    def _react_to_exceeded(
        self, parent: SpanContext, beyond: Verdict | None, params: Callable[[], bytes]
    ) -> None:
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        if beyond is None:
            return
        recorder = parent.run.recorder
        if recorder.on_violation == OBSERVE:
            self._warn(beyond, recorder, RUNS)
        else:
            self._deny(parent, beyond, params)

    def _beyond(self, parent: SpanContext, exceeded: tuple[Counted, ...]) -> Verdict | None:
        """Return the verdict of a step that is beyond limits; None if *exceeded* has none."""
        if not exceeded:
            return None
        agents = {limit.agent for limit in exceeded}
        violated = tuple(ceiling for ceiling in parent.ceilings if ceiling.agent in agents)
        return Verdict(maxima.beyond(self.name, exceeded), violated)

    def noting(
        self, reservation: Reservation | None, params: Callable[[], bytes]
    ) -> Callable[[], bytes]:
        """Return *params* with a note of the limits that the step is beyond."""
        if reservation is None or not reservation.exceeded:
            return params
        exceeded = reservation.exceeded
        return lambda: add_violations(params(), maxima.beyond(self.name, exceeded))

    def _asking(
        self,
        parent: SpanContext,
        asked: tuple[Violation, ...],
        params: Callable[[], bytes],
        reservation: Reservation | None,
    ) -> Asking:
        return Asking(
            self.name,
            parent,
            asked,
            params,
            reservation,
            judge_again=partial(self.judge, parent, params),
            refuse=partial(self.refuse, parent, params),
        )

    def refuse(
        self,
        parent: SpanContext,
        params: Callable[[], bytes],
        asked: tuple[Violation, ...],
        by: str | None,
        why: str | None,
    ) -> NoReturn:
        """Deny a step that got no yes; its run goes on.

        Raises:
            DeniedError: Always.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        if by is None:
            self._warn_refused(parent.run.recorder, why)
        raise self._noted_denial(parent, params, asked, by, why)

    @guarded("the log of a step that got no yes")
    def _warn_refused(self, recorder: Recorder, why: str | None) -> None:
        if recorder.is_first(f"{self.name}: {why}"):
            logger.warning("%s (%s) got no yes: %s", self.name, self.place, why)

    def call(
        self,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        run: OpenRun,
        owner: object = None,
    ) -> StepCall:
        """Return a call of the step, for `permit`."""
        return StepCall(self.params, self.declared, run, owner, args, kwargs)

    def check_held(self, parent: SpanContext, params: Callable[[], bytes]) -> None:
        """Check that no hold denies the step under *parent*; *params* is that of `permit`.

        Raises:
            DeniedError: A hold denies it.
            RecursionError: As `permit`.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        held = self.held(parent) if parent.run.recorder.holds else ()
        if held:
            self._deny_held(parent, held, None, params)

    def held(self, parent: SpanContext | None, known: Sequence[Hold] = ()) -> tuple[Violation, ...]:
        """Return how the holds in force deny the step under *parent*; after a fault, that one did.

        An agent is not denied, because its words are limits of its steps, which are.

        Args:
            parent: None is outside any run.
            known: Outside any run, the holds that count there.

        Raises:
            RecursionError: The program is too deep in a recursion to decide.
        """
        if self._is_agent:
            return ()
        try:
            if parent is not None:
                run = parent.run
                now_ns, agents = run.monotonic_ns(), agents_around(parent)
                known = [
                    hold
                    for hold in tuple(run.recorder.holds)
                    if not hold.is_over(now_ns) and (not hold.agents or hold.is_about(agents()))
                ]
            words, has_effect = declared_words(self.find_risk()), self.kind not in WITHOUT_EFFECT
            return holds.held(known, self.name, words, has_effect=has_effect)
        except RecursionError:
            raise
        except Exception as error:
            guard.contain(POLICY, error)
            return (holds.not_compared(self.name),)

    def within(
        self, parent: SpanContext, ceiling: Ceiling | None, params: Callable[[], bytes]
    ) -> SpanContext:
        """Return *parent* with the *ceiling* of an agent added, the context of its call.

        The ceiling applies with or without a span. After a fault, raises what `permit` raises.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        try:
            ceilings = under(parent.ceilings, ceiling)
            if ceilings is parent.ceilings:
                return parent
            return SpanContext(parent.run, parent.key, parent.name, ceilings, parent.outer_runs)
        except Exception as error:
            fault = error
        self.react_to_fault(fault, parent, params)
        return parent

    def react_to_fault(
        self, error: Exception, parent: SpanContext, params: Callable[[], bytes]
    ) -> None:
        """Contain a fault of the policy, and deny the step unless violations are observed.

        Raises:
            RunTerminated: The setting says to terminate.
            DeniedError: The setting says to deny.
            RecursionError: As `permit`.
            Exception: *error* itself, if an approver raised it to pause a framework.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        if is_only(error, parent.run.recorder.interrupts):
            raise error
        self._contain(error, observing=parent.run.recorder.on_violation == OBSERVE)
        self._react_to_unchecked(parent, params)

    def _contain(self, error: Exception, *, observing: bool) -> None:
        if isinstance(error, RecursionError) and not observing:
            raise error
        guard.contain(POLICY, error)

    def _react_to_unchecked(self, parent: SpanContext, params: Callable[[], bytes]) -> None:
        """Deny the step, which a fault kept from being compared, unless violations are observed."""
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        if parent.run.recorder.on_violation != OBSERVE:
            verdict = Verdict((limits.not_compared(self.name),), parent.ceilings)
            self._deny(parent, verdict, params)

    def _deny_held(
        self,
        parent: SpanContext,
        held: tuple[Violation, ...],
        verdict: Verdict | None,
        params: Callable[[], bytes],
    ) -> None:
        """Deny a step on hold; *verdict* is that of the remit, if it counts.

        Raises:
            RunTerminated: The step violates a remit as well, and the setting says to terminate.
            DeniedError: In any other case.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        if verdict is not None and verdict.violations:
            verdict = Verdict((*verdict.violations, *held), verdict.violated)
            self._deny(parent, verdict, params)
        self._log_held(held, parent.run.recorder)
        raise self._noted_denial(parent, params, held)

    @guarded("the log of a step on hold")
    def _log_held(self, held: tuple[Violation, ...], recorder: Recorder) -> None:
        why = "; ".join(causes(held))
        if recorder.is_first(f"{self.name}: {why}"):
            logger.warning("%s (%s) is on hold: %s; it was denied", self.name, self.place, why)

    def _noted_denial(
        self,
        parent: SpanContext,
        params: Callable[[], bytes],
        violations: tuple[Violation, ...],
        by: str | None = None,
        why: str | None = None,
    ) -> DeniedError:
        """Return the error of a denial that is recorded.

        A caller that kept it in a variable would be in a cycle with it: the traceback has its
        frame.
        """
        denied = DeniedError(self.name, violations, refused_by=by, why=why)
        if parent.run.recording:
            self._record_denial(parent, denied, params)
        note_denial(parent, denied)
        return denied

    def _deny(self, parent: SpanContext, verdict: Verdict, params: Callable[[], bytes]) -> None:
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        run, recorder = parent.run, parent.run.recorder
        if recorder.on_violation != TERMINATE:
            self._warn(verdict, recorder, "it was denied")
            raise self._noted_denial(parent, params, verdict.violations)
        self._noted_denial(parent, params, verdict.violations)
        self._warn(verdict, recorder, "it was denied and its run terminated")
        reason = denial(self.name, verdict.violations)
        terminate(parent, reason, verdict.violated)
        raise RunTerminated(run.feed.key, reason)

    def verdict(self, ceilings: Ceilings, *, observing: bool = False) -> Verdict | None:
        """Return how this step violates *ceilings*; None after a fault.

        A word that the step does not declare is a violation, unless violations are observed or
        the step is an agent, a model call or a retriever.
        """
        strict = not (observing or self.kind in WITHOUT_EFFECT)
        return self.verdicts.get((ceilings, strict)) or self._judge(ceilings, strict=strict)

    @guarded(POLICY, passes=(DeniedError, RecursionError))
    def _judge(self, ceilings: Ceilings, *, strict: bool) -> Verdict:
        verdict = limits.verdict(
            ceilings, self.name, self.find_risk(), strict=strict, is_agent=self._is_agent
        )
        if self.kind in WITHOUT_EFFECT:
            verdict = verdict._replace(counted=NOTHING)
        if len(self.verdicts) >= MAX_VERDICTS:
            self.verdicts.clear()
        self.verdicts[ceilings, strict] = verdict
        return verdict

    @guarded("the record of a denial")
    def _record_denial(
        self, parent: SpanContext, error: DeniedError, params: Callable[[], bytes]
    ) -> None:
        rules = parent.run.rules
        span = self.open(parent, params(), parent.ceilings)
        span.end(FAILED, denial_payload(error, rules))

    @guarded("the log of a step that violates a remit")
    def _warn(self, verdict: Verdict, recorder: Recorder, effect: str) -> None:
        """Count that the step violates a remit, and log once where both are declared."""
        violations = verdict.violations + verdict.asked
        topic = "; ".join(map(str, violations))
        self._count(recorder)
        if not recorder.is_first(topic):
            return
        places = {ceiling.agent: ceiling.place for ceiling in verdict.violated}
        why = "; ".join(causes(violations, places))
        logger.warning("%s (%s) violates the remit: %s; %s", self.name, self.place, why, effect)

    def _count(self, recorder: Recorder) -> None:
        violations = recorder.violations
        if self.name in violations or len(violations) < MAX_LOGGED:
            violations[self.name] += 1


class OpenSpan(Struct, eq=False):
    """One span from its start to its end; made by `SpanRecorder`.

    Attributes:
        context: The context inside this span; current while the user's code runs.
        offset_ns: Wall time minus monotonic time, fixed so that it never ends before it starts.
    """

    recorder: SpanRecorder
    context: SpanContext
    start: Item
    offset_ns: int

    def complete(self, value: object, /) -> None:
        """End the span with the value that the call returned."""
        try:
            run, plan = self.context.run, self.recorder.cached_plan or self.recorder.plan()
            read_ns = run.monotonic_ns  # as in `open`
            ended_ns = read_ns() + self.offset_ns
            result = plan.result(value, run.rules)
        except BaseException as error:
            self._lose(error)
        else:
            self.end(COMPLETE, result, ended_ns)

    def fail(self, error: BaseException, /) -> None:
        """End the span with an exception."""
        try:
            ended_ns, run = self.now_ns(), self.context.run
            if issubclass(type(error), GeneratorExit):
                run.recorder.close(self, ended_ns)
                return
            status, result = status_of(error, run.recorder.interrupts), None
            if status == FAILED:
                if run.exited:
                    run.fail_after_block(self.context.key, self.start.parent, error)
                rule = self.recorder.plan().error_rule
                result = error_payload(error, run.rules, rule)
        except BaseException as fault:
            self._lose(fault)
        else:
            self.end(status, result, ended_ns)

    def end(self, status: str, result: bytes | None, ended_ns: int | None = None) -> None:
        """End the span with a status and a captured result, now or as of *ended_ns*.

        A result that was set by hand replaces *result*; an error is added to it.
        """
        try:
            run, key = self.context.run, self.context.key
            if run.overrides and key in run.overrides:
                by_hand, failure = run.overrides.pop(key)
                if failure is not None:
                    status, result = FAILED, failure
                if by_hand is not None and result is not None and status == FAILED:
                    result = merge_error(by_hand, result, run.rules)
                elif by_hand is not None:
                    result = by_hand
            if ended_ns is None:
                ended_ns = self.now_ns()
            run.recorder.sink.end_span(self.start, ended_ns, status, result)
            run.open.pop(key, None)
            if run.exited:
                if status == CANCELLED:
                    run.cancel_after_block(key, self.start.parent)
                if not run.open:
                    run.settle()
        except BaseException as error:
            self._lose(error)

    def cancel(self, ended_ns: int | None = None) -> None:
        """End the span because its code was closed before its end."""
        self.end(CANCELLED, None, ended_ns)

    def now_ns(self) -> int:
        """Return the wall time, never before the start of the span."""
        return self.context.run.monotonic_ns() + self.offset_ns

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the span began."""
        return (self.now_ns() - (self.start.started_ns or 0)) / NS_PER_MS

    def _lose(self, error: BaseException) -> None:
        """Drop the span after a fault; its run no longer waits for it."""
        self.context.run.discard(self.context.key)
        guard.contain(END, error)


class NullSpan(Struct, eq=False):
    """A span that records nothing: in mode `off`, and after a fault.

    Attributes:
        context: The context of the call: that of the caller, with the ceiling of an agent added.
    """

    recorder: SpanRecorder
    context: SpanContext

    def complete(self, value: object, /) -> None:
        """Record nothing."""

    def fail(self, error: BaseException, /) -> None:
        """Record nothing."""


AnySpan: TypeAlias = OpenSpan | NullSpan


class StepTracer(Struct, frozen=True, eq=False):
    """Records the calls of one decorated callable.

    Attributes:
        self_parameter: Whether the arguments of a call begin with the object or class.
        outside: Returns the block around a call outside any run; for an agent, that of a new run.
            May raise `DeniedError`.
        open_run: For an agent, opens a run without making it current.
    """

    function: Callable[..., object]
    recorder: SpanRecorder
    self_parameter: SelfParameter
    outside: Callable[[], Any]
    open_run: Callable[[], OpenRun] | None = None

    def parent(self) -> SpanContext | None:
        """Return the context that a call is recorded in; None for a call outside any run.

        An agent that is called after the current run has ended is outside any run, and opens one.
        This happens in a task that was created in the run and outlives it.
        """
        context = open_context()
        if self.open_run is not None and context is not None and context.run.feed.closed:
            return None
        return context

    def recorded(self, instance: object, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments that the recorded signature names: without `self` or `cls`.

        A bound method puts its object first among *args*. Any other descriptor is bound already,
        and *instance* is its object.
        """
        if instance is not None:
            return args
        try:
            return args[1:] if self.self_parameter.resolve() else args
        except Exception as error:
            guard.contain(START, error)
            return args
