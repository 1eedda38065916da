"""Spans: one decorated call, or one block that the user marks, from its start to its end.

`Step` is a declaration made ready for recording; `OpenSpan` is a call in flight. Each door from
a user's call into this module is guarded: a fault of ours loses the span, never the call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Protocol

from remit import _outcomes
from remit._capture import Rules, error_payload, snapshot
from remit._guard import guarded, logger
from remit._ids import key_text, new_key
from remit._policy import violations
from remit._recording import Ceiling, Place, RunState, at, here
from remit._runs import Run, run_of
from remit._sink import SpanStart
from remit.errors import DeniedError, RunTerminated, UsageError
from remit.models.agent_instance import DataRisk


class Plan(Protocol):
    """How the values of one declaration are captured (`remit._capture.Plan`)."""

    def params(self, args: tuple[object, ...], kwargs: Mapping[str, object], rules: Rules) -> bytes:
        """Return the payload of a call as JSON bytes."""
        ...

    def result(self, value: object, rules: Rules) -> bytes:
        """Return the result of a call as JSON bytes."""
        ...

    def secrets(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> tuple[str, ...]:
        """Return the texts that `params` withholds, lest an error's message quotes one."""
        ...


class Step:
    """A declaration made ready for recording.

    Attributes:
        name: Span type.
        risk: Its declared data risk, if any.
        ceiling_of: For an agent, its identifier and declared risk: a call of it adds a ceiling.
        agents: Identifiers of the agents in whose runs it was used.
    """

    __slots__ = ("_make_plan", "_plan", "_verdicts", "agents", "ceiling_of", "name", "risk")

    def __init__(
        self,
        name: str,
        make_plan: Callable[[], Plan],
        *,
        risk: DataRisk | None = None,
        ceiling_of: tuple[str, DataRisk] | None = None,
    ) -> None:
        """Keep how to make the plan: signatures are read at the first call, not at import."""
        self.name = name
        self.risk = risk
        self.ceiling_of = ceiling_of
        self.agents: set[str] = set()
        self._make_plan = make_plan
        self._plan: Plan | None = None
        self._verdicts: dict[tuple[Ceiling, str], tuple[str, ...]] = {}

    @property
    def plan(self) -> Plan:
        """The plan of capture, made at the first use."""
        if self._plan is None:
            self._plan = self._make_plan()
        return self._plan

    def verdict(self, ceiling: Ceiling, on_violation: str) -> tuple[str, ...]:
        """Return what of this step exceeds *ceiling* or one around it, one sentence each."""
        known = self._verdicts.get((ceiling, on_violation))
        if known is None:
            known = self._judge(ceiling, strict=on_violation != "observe")
            self._verdicts[ceiling, on_violation] = known
            if known and on_violation == "observe":
                logger.warning("%s exceeds its agent's remit: %s", self.name, "; ".join(known))
        return known

    def _judge(self, ceiling: Ceiling | None, *, strict: bool) -> tuple[str, ...]:
        found: list[str] = []
        while ceiling is not None:
            found += [
                f"{ceiling.agent}: {text}"
                for text in violations(ceiling.risk, self.risk, strict=strict)
            ]
            ceiling = ceiling.outer
        return tuple(found)


class OpenSpan:
    """One call in flight.

    Attributes:
        step: What is called.
        place: The place inside this span; current while the user's code of it runs.
    """

    __slots__ = ("_began_ns", "_start", "place", "step")

    def __init__(self, step: Step, parent: Place, payload: bytes) -> None:
        """Begin a span of *step* under *parent*."""
        run = parent.run
        clock = run.recorder.clock
        started_ns = clock.wall_ns()
        key = new_key(started_ns)
        agent = run.feed.agent.external_identifier
        if agent not in step.agents:
            step.agents.add(agent)
            run.recorder.on_first_seen(agent, step.name, step.risk)
        self.step = step
        self.place = Place(run, key, step.name, _ceiling(step, parent))
        self._start: SpanStart = (run.feed.key, key, parent.key, step.name, started_ns, payload)
        run.spans += 1
        run.open.add(key)
        run.recorder.sink.start_span(self._start)
        self._began_ns = clock.monotonic_ns()

    @guarded("the end of a span")
    def complete(self, value: object) -> None:
        """End the span with the value that the call returned."""
        ended_ns = self._now_ns()
        self._end(ended_ns, _outcomes.COMPLETE, self.step.plan.result(value, self._rules))

    @guarded("the end of a span")
    def fail_call(
        self, error: BaseException, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> None:
        """End the span with the exception that the call of these arguments raised."""
        self.fail(error, self.step.plan.secrets(args, kwargs))

    @guarded("the end of a span")
    def fail(self, error: BaseException, secrets: tuple[str, ...] = ()) -> None:
        """End the span with an exception; its message is withheld if it quotes one of *secrets*."""
        ended_ns = self._now_ns()
        recorder = self.place.run.recorder
        status = _outcomes.status_of(error, recorder.control_flow)
        failed = status == _outcomes.FAILED
        result = error_payload(error, self._rules, secrets) if failed else None
        self._end(ended_ns, status, result)

    @guarded("the end of a span")
    def end(self, status: str, result: bytes | None) -> None:
        """End the span with a status and a result that is captured already."""
        self._end(self._now_ns(), status, result)

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the span began."""
        run = self.place.run
        return (run.recorder.clock.monotonic_ns() - self._began_ns) / 1e6

    @property
    def _rules(self) -> Rules:
        return self.place.run.recorder.rules

    def _now_ns(self) -> int:
        clock = self.place.run.recorder.clock
        return self._start[4] + clock.monotonic_ns() - self._began_ns

    def _end(self, ended_ns: int, status: str, result: bytes | None) -> None:
        run, key, _, _ = self.place
        if run.overrides and key in run.overrides:
            forced, result = run.overrides.pop(key)
            status = forced or status
        run.recorder.sink.end_span(self._start, ended_ns, status, result)
        run.open.discard(key)
        if run.exited and not run.open:
            run.settle()


def _ceiling(step: Step, parent: Place) -> Ceiling | None:
    if step.ceiling_of is None:
        return parent.ceiling
    agent, risk = step.ceiling_of
    outer = parent.ceiling
    if outer is not None and outer.agent == agent:
        return outer
    return Ceiling(agent, risk, outer)


def begin(
    step: Step, parent: Place, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> OpenSpan | None:
    """Begin the span of a call, after asking whether it may run.

    Returns:
        The span, or None when nothing is recorded (mode `off`, or a contained fault).

    Raises:
        RunTerminated: The run was terminated from outside.
        DeniedError: The step exceeds the agent's remit, and the setting says to deny.
    """
    permit(step, parent)
    return _begin(step, parent, args, kwargs) if parent.run.recording else None


@guarded("the start of a span")
def _begin(
    step: Step, parent: Place, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> OpenSpan:
    return OpenSpan(step, parent, step.plan.params(args, kwargs, parent.run.recorder.rules))


def permit(step: Step, parent: Place) -> None:
    """Return if *step* may run at *parent*; governance fails closed.

    Raises:
        RunTerminated: The run was terminated, from outside or because this step exceeds it.
        DeniedError: The step exceeds the agent's remit.
    """
    run = parent.run
    check_terminated(run)
    if parent.ceiling is None:
        return
    on_violation = run.recorder.on_violation
    refused = step.verdict(parent.ceiling, on_violation)
    if refused and on_violation != "observe":
        _refuse(step, parent, DeniedError(step.name, refused), on_violation)


def check_terminated(run: RunState) -> None:
    """Raise `RunTerminated` if the run was terminated."""
    if run.feed.terminated is not None:
        raise RunTerminated(run.feed.key, run.feed.terminated or None)


def _refuse(step: Step, parent: Place, error: DeniedError, on_violation: str) -> None:
    """Record the refusal as a failed span whose body did not run, and raise it."""
    run = parent.run
    if run.recording:
        _record_refusal(step, parent, error)
    logger.warning("%s", error)
    if on_violation == "terminate":
        run.feed.terminated = str(error)
        raise RunTerminated(run.feed.key, str(error))
    raise error


@guarded("the record of a refusal")
def _record_refusal(step: Step, parent: Place, error: DeniedError) -> None:
    rules = parent.run.recorder.rules
    span = OpenSpan(step, parent, snapshot({}, rules))
    span.end(_outcomes.FAILED, error_payload(error, rules))


class Span:
    """A handle on a span: its ids, and a way to say how it ended.

    Two are equal when their keys are.

    Attributes:
        key: 26 characters, made here.
        name: Its span type.
        run: The `Run` it belongs to; None when it was begun outside any run.
    """

    __slots__ = ("_key", "_state", "name")

    def __init__(self, key: int, name: str, state: RunState | None) -> None:
        """Hold the ids of a span."""
        self._key = key
        self._state = state
        self.name = name

    @property
    def key(self) -> str:
        """26 characters, made here."""
        return key_text(self._key)

    @property
    def run(self) -> Run | None:
        """The run that the span belongs to."""
        return run_of(self._state)

    def set_result(self, result: Mapping[str, object]) -> None:
        """Set the span's result; it wins over what the call returns.

        Args:
            result: What to record; redacted and bounded like every payload.
        """
        self._override(None, result)

    def fail(self, reason: str) -> None:
        """End the span as failed, for *reason*, even if its block ends normally."""
        self._override(_outcomes.FAILED, {"error": {"type": "failed", "message": reason}})

    @guarded("a result set by hand")
    def _override(self, status: str | None, result: Mapping[str, object]) -> None:
        state = self._state
        if state is not None and self._key in state.open:
            before, _ = state.overrides.get(self._key, (None, b""))
            captured = snapshot(result, state.recorder.rules)
            state.overrides[self._key] = (status or before, captured)

    def __eq__(self, other: object) -> bool:
        """Two handles are equal when their keys are."""
        return isinstance(other, Span) and self._key == other._key

    def __hash__(self) -> int:
        """Hash by the key."""
        return hash(self._key)

    def __repr__(self) -> str:
        """Show the name and the key."""
        return f"<Span {self.name} {self.key}>"


def current_span() -> Span | None:
    """Return a handle on the current span, or `None` outside any run.

    Directly inside a run's block that is the run's root span, `remit:run`.
    """
    place = here()
    return None if place is None else Span(place.key, place.name, place.run)


class ManualPlan:
    """Captures what `remit.span(name, payload)` was given; the result is set by hand."""

    def __init__(self, payload: Mapping[str, object]) -> None:
        """Keep the payload until the block begins."""
        self._payload = payload

    def params(self, args: tuple[object, ...], kwargs: Mapping[str, object], rules: Rules) -> bytes:
        """Return the payload that was given; a block has no arguments."""
        del args, kwargs
        return snapshot(self._payload, rules)

    def result(self, value: object, rules: Rules) -> bytes:
        """Return an empty object: nothing was set by hand."""
        del value
        return snapshot({}, rules)

    def secrets(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> tuple[str, ...]:
        """Return none: what was withheld is not known by a parameter."""
        del args, kwargs
        return ()


class SpanBlock:
    """The block of `with remit.span(...)`; sync and async, used once."""

    __slots__ = ("_at", "_outside", "_span", "_step", "_used")

    def __init__(self, step: Step, outside: Callable[[], object]) -> None:
        """Prepare the block; *outside* is told when there is no run to record it in."""
        self._step = step
        self._outside = outside
        self._span: OpenSpan | None = None
        self._used = False

    def __enter__(self) -> Span:
        """Begin the span and make it current."""
        if self._used:
            message = "a remit.span(...) block was entered twice: make a new one for each block"
            raise UsageError(message)
        self._used = True
        parent = here()
        if parent is None:
            self._outside()
        else:
            self._span = begin(self._step, parent, (), {})
        if self._span is None:
            return Span(new_key(0), self._step.name, None)
        self._at = at(self._span.place)
        self._at.__enter__()
        return Span(self._span.place.key, self._step.name, self._span.place.run)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the span: failed or cancelled by an exception, else complete."""
        span, self._span = self._span, None
        if span is None:
            return
        self._at.__exit__()
        if error is None:
            span.complete(None)
        else:
            span.fail(error)

    async def __aenter__(self) -> Span:
        """Begin the span and make it current."""
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the span, as the sync form does."""
        self.__exit__(exc_type, error, traceback)
