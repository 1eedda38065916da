"""A call in flight, from its start to its end.

Each door from a user's call into this module is guarded: a fault of ours loses the span, never
the call. What may pass is a denial or a termination.
"""

from __future__ import annotations

from collections.abc import Mapping

from remit._capture import Rules, error_payload, snapshot
from remit._clock import NS_PER_MS
from remit._guard import guarded, logger
from remit._ids import new_key
from remit._outcomes import COMPLETE, FAILED, status_of
from remit._recording import Ceiling, Place, RunState
from remit._sink import SpanStart
from remit._spans._step import Step
from remit.errors import DeniedError, RunTerminated


class OpenSpan:
    """One call in flight.

    Attributes:
        step: What is called.
        place: The place inside this span; current while the user's code of it runs.
    """

    __slots__ = ("_offset_ns", "_start", "place", "step")

    def __init__(self, step: Step, parent: Place, payload: bytes) -> None:
        """Begin a span of *step* under *parent*."""
        run = parent.run
        self._offset_ns = run.offset_ns
        started_ns = self._now_ns(run)
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

    @guarded("the end of a span")
    def complete(self, value: object) -> None:
        """End the span with the value that the call returned."""
        ended_ns = self._now_ns(self.place.run)
        self._end(ended_ns, COMPLETE, self.step.plan.result(value, self._rules))

    @guarded("the end of a span")
    def fail_call(
        self, error: BaseException, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> None:
        """End the span with the exception that the call of these arguments raised."""
        self.fail(error, self.step.plan.secrets(args, kwargs))

    @guarded("the end of a span")
    def fail(self, error: BaseException, secrets: tuple[str, ...] = ()) -> None:
        """End the span with an exception; its message is withheld if it quotes one of *secrets*."""
        ended_ns = self._now_ns(self.place.run)
        recorder = self.place.run.recorder
        status = status_of(error, recorder.control_flow)
        failed = status == FAILED
        result = error_payload(error, self._rules, secrets) if failed else None
        self._end(ended_ns, status, result)

    @guarded("the end of a span")
    def end(self, status: str, result: bytes | None) -> None:
        """End the span with a status and a result that is captured already."""
        self._end(self._now_ns(self.place.run), status, result)

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the span began."""
        run = self.place.run
        return (self._now_ns(run) - self._start[4]) / NS_PER_MS

    @property
    def _rules(self) -> Rules:
        return self.place.run.recorder.rules

    def _now_ns(self, run: RunState) -> int:
        """Return wall time by the monotonic clock, as the run had it when the span began."""
        return run.recorder.clock.monotonic_ns() + self._offset_ns

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
    span.end(FAILED, error_payload(error, rules))
