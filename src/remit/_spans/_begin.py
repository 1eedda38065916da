"""The start of a call, after asking whether it may run: telemetry fails open, governance closed."""

from __future__ import annotations

from collections.abc import Mapping

from remit import _capture
from remit._guard import guarded, logger
from remit._outcomes import FAILED
from remit._policy import Verdict
from remit._recording import (
    MAX_SAID,
    OBSERVE,
    TERMINATE,
    Place,
    Recorder,
    check_terminated,
    terminate,
)
from remit._spans._open import OpenSpan, open_span
from remit._spans._step import Step
from remit.errors import DeniedError, RunTerminated, denial


def begin(
    step: Step, parent: Place, args: tuple[object, ...], kwargs: Mapping[str, object], /
) -> OpenSpan | None:
    """Begin the span of a call, after asking whether it may run.

    Whoever asks guards the whole: what is raised beside these two is a fault of ours.

    Returns:
        The span, or None when nothing is recorded (mode `off`).

    Raises:
        RunTerminated: The run was terminated, from outside or because this step exceeds it.
        DeniedError: The step exceeds the agent's remit, and the setting says to deny.
    """
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    run = parent.run
    if parent.ceilings or parent.enclosing or run.feed.terminated is not None:
        refused = _refusal(step, parent)
        if refused is not None:
            raise _refuse(step, parent, refused, _params(step, parent, args, kwargs))
    if not run.recording:
        return None
    secrets: list[str] = []
    plan = step.made or step.plan()
    payload = plan.params(args, kwargs, run.recorder.rules, secrets)
    return open_span(step, parent, payload, secrets)


def permit(step: Step, parent: Place, payload: bytes | None = None) -> None:
    """Return if *step* may run at *parent*; for calls that were captured before they start.

    Args:
        step: What is to run.
        parent: Where.
        payload: What it was given, for the record of a refusal.

    Raises:
        RunTerminated: The run was terminated, from outside or because this step exceeds it.
        DeniedError: The step exceeds the agent's remit.
    """
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    refused = _refusal(step, parent)
    if refused is not None:
        raise _refuse(step, parent, refused, payload)


@guarded("the arguments of a refused call")
def _params(
    step: Step, parent: Place, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> bytes:
    return step.plan().params(args, kwargs, parent.run.recorder.rules)


def _refusal(step: Step, parent: Place) -> Verdict | None:
    """Return why *step* may not run at *parent*, None if it may.

    Raises:
        RunTerminated: The run was terminated.
    """
    check_terminated(parent)
    if not parent.ceilings:
        return None
    observing = parent.run.recorder.on_violation == OBSERVE
    verdict = step.verdict(parent.ceilings, strict=not observing)
    if verdict is None:
        return None if observing else _unjudged(step, parent)
    if observing and verdict.violations:
        _say(step, verdict, parent.run.recorder, "it runs, as on_violation is observe")
    return verdict if verdict.violations and not observing else None


def _unjudged(step: Step, parent: Place) -> Verdict:
    """Return the verdict on a step after a fault of ours: nobody knows that it stays below."""
    sentence = f"a fault inside remit kept {step.name} from being compared with its agent's remit"
    return Verdict((sentence,), parent.ceilings)


def _refuse(
    step: Step, parent: Place, verdict: Verdict, payload: bytes | None
) -> DeniedError | RunTerminated:
    """Record a refusal as a failed span whose body did not run; return what to raise."""
    run = parent.run
    error = DeniedError(step.name, verdict.violations)
    if run.recording:
        _record_refusal(step, parent, error, payload)
    if run.recorder.on_violation != TERMINATE:
        _say(step, verdict, run.recorder, "it was denied")
        return error
    _say(step, verdict, run.recorder, "it was denied and its run terminated")
    reason = denial(step.name, verdict.violations)
    terminate(parent, reason, verdict.exceeded)
    return RunTerminated(run.feed.key, reason)


@guarded("the record of a refusal")
def _record_refusal(step: Step, parent: Place, error: DeniedError, payload: bytes | None) -> None:
    rules = parent.run.recorder.rules
    span = open_span(step, parent, _capture.snapshot({}, rules) if payload is None else payload)
    span.end((FAILED, _capture.denial_payload(error, rules)))


@guarded("the log of a step that exceeds a remit")
def _say(step: Step, verdict: Verdict, recorder: Recorder, outcome: str) -> None:
    """Count that a step exceeds a remit, and log it once: where both are declared."""
    exceeding, said = recorder.exceeding, recorder.said
    if step.name in exceeding or len(exceeding) < MAX_SAID:
        exceeding[step.name] += 1
    topic = "; ".join(verdict.violations)
    if topic in said or len(said) >= MAX_SAID:
        return
    said.add(topic)
    agents = " and ".join(f"{each.agent} ({each.place})" for each in verdict.exceeded)
    logger.warning(
        "%s (%s) exceeds the remit of %s; %s: %s", step.name, step.place, agents, outcome, topic
    )
