"""A call in flight, from its start to its end.

Each door from a user's call into this module is guarded: a fault of ours loses the span, never
the call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from remit import _capture
from remit._clock import NS_PER_MS
from remit._ids import new_key
from remit._outcomes import COMPLETE, FAILED, status_of
from remit._policy import under
from remit._recording import OBSERVE, Place
from remit._sink import SpanStart
from remit._spans._ending import ending
from remit._spans._step import Step

Raised: TypeAlias = tuple[BaseException, Sequence[str]]
"""An exception, and the secrets that it may quote."""

RaisedByCall: TypeAlias = tuple[BaseException, tuple[object, ...], Mapping[str, object]]
"""An exception, and the arguments of the call that raised it."""

Outcome: TypeAlias = tuple[str, bytes | None]
"""A status and a captured result."""


class OpenSpan(Struct, eq=False):
    """One call in flight; made by `open_span`.

    Attributes:
        step: What is called.
        place: The place inside this span; current while the user's code of it runs.
        start: Its beginning, as the sink was told.
        offset_ns: Wall time minus monotonic time, as the run had it when the span began.
    """

    step: Step
    place: Place
    start: SpanStart
    offset_ns: int

    @ending
    def complete(self, value: object, /) -> None:
        """End the span with the value that the call returned."""
        run, plan = self.place.run, self.step.made or self.step.plan()
        ended_ns = run.monotonic_ns() + self.offset_ns
        known = run.secrets.get(self.place.key) if run.secrets else None
        self._end(ended_ns, COMPLETE, plan.result(value, run.recorder.rules, known))

    def captured(self, value: object) -> bytes:
        """Return *value* as the result of the call: without what it must not tell."""
        known = self.place.run.secrets.get(self.place.key)
        return self.step.plan().result(value, self._rules, known)

    @ending
    def fail_call(self, raised: RaisedByCall, /) -> None:
        """End the span with the exception that a call raised."""
        error, args, kwargs = raised
        self._fail(error, self.step.plan().secrets(args, kwargs))

    @ending
    def fail(self, raised: Raised, /) -> None:
        """End the span with an exception; its message is withheld if it quotes a secret."""
        self._fail(*raised)

    def _fail(self, error: BaseException, secrets: Sequence[str]) -> None:
        ended_ns = self._now_ns()
        recorder = self.place.run.recorder
        status = status_of(error, recorder.control_flow)
        result = self._told(error, secrets) if status == FAILED else None
        self._end(ended_ns, status, result)

    def _told(self, error: BaseException, secrets: Sequence[str]) -> bytes:
        known = self.place.run.secrets.setdefault(self.place.key, _capture.Known())
        known.add(secrets)
        return _capture.error_payload(error, self._rules, known, self.step.plan().error_rule)

    @ending
    def end(self, outcome: Outcome, /) -> None:
        """End the span with a status and a result that is captured already."""
        self._end(self._now_ns(), *outcome)

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the span began."""
        return (self._now_ns() - self.start[4]) / NS_PER_MS

    @property
    def _rules(self) -> _capture.Rules:
        return self.place.run.recorder.rules

    def _now_ns(self) -> int:
        """Return wall time by the monotonic clock, as the run had it when the span began."""
        return self.place.run.monotonic_ns() + self.offset_ns

    def _end(self, ended_ns: int, status: str, result: bytes | None) -> None:
        run, key = self.place.run, self.place.key
        if run.overrides and key in run.overrides:
            forced, by_hand = run.overrides.pop(key)
            if result is not None and status == FAILED and forced is None:
                result = _capture.beside(by_hand, result, self._rules)
            else:
                result = by_hand
            status = forced or status
        if run.secrets and key in run.secrets:
            run.hear(self.start[2], run.secrets.pop(key).told)
        run.recorder.sink.end_span(self.start, ended_ns, status, result)
        run.open.discard(key)
        if run.exited and not run.open:
            run.settle()


def open_span(step: Step, parent: Place, payload: bytes, secrets: Sequence[str] = ()) -> OpenSpan:
    """Begin a span of *step* under *parent*, whose *payload* withholds *secrets*."""
    run, name, ceilings = parent.run, step.name, parent.ceilings
    recorder, feed = run.recorder, run.feed
    offset_ns = run.offset_ns
    started_ns = run.monotonic_ns() + offset_ns
    key = new_key(started_ns)
    if feed.agent.external_identifier not in step.agents:
        step.agents.add(feed.agent.external_identifier)
        recorder.on_first_seen(feed.agent.external_identifier, name, step.risk)
    if ceilings and recorder.on_violation == OBSERVE:
        payload = _marked(payload, step, parent)
    if step.ceiling is not None:
        ceilings = under(ceilings, step.ceiling)
    start = (feed.key, key, parent.key, name, started_ns, payload)
    run.spans += 1
    try:
        run.open.add(key)
        if secrets:
            run.secrets[key] = _capture.Known(secrets)
        recorder.sink.start_span(start)
    except BaseException:
        # Nobody will end it. Without a call: it may be the stack that is used up.
        still_open = run.open
        still_open -= {key}
        raise
    return OpenSpan(step, Place(run, key, name, ceilings), start, offset_ns)


def _marked(payload: bytes, step: Step, parent: Place) -> bytes:
    """Return the payload of a step that is observed, marked where it exceeds a remit."""
    verdict = step.verdict(parent.ceilings, strict=False)
    violations = verdict.violations if verdict is not None else ()
    return _capture.exceeding(payload, violations) if violations else payload
