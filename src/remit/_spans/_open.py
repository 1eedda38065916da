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
from remit._outcomes import ACTIVE, COMPLETE, FAILED, status_of
from remit._policy import under
from remit._recording import OBSERVE, Place
from remit._sink import Item, Kind
from remit._spans._ending import End, ending
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
        offset_ns: Wall time minus monotonic time at its start.
    """

    step: Step
    place: Place
    start: Item
    offset_ns: int

    @ending
    def complete(self, value: object, /) -> End:
        """End the span with the value that the call returned."""
        run, plan = self.place.run, self.step.made or self.step.plan()
        ended_ns = run.recorder.clock.monotonic_ns() + self.offset_ns
        known = run.secrets.get(self.place.key) if run.secrets else None
        return ended_ns, COMPLETE, plan.result(value, run.recorder.rules, known)

    def captured(self, value: object) -> bytes:
        """Return *value* as the result of the call: without what it must not tell."""
        known = self.place.run.secrets.get(self.place.key)
        return self.step.plan().result(value, self._rules, known)

    @ending
    def fail_call(self, raised: RaisedByCall, /) -> End:
        """End the span with the exception that a call raised."""
        error, args, kwargs = raised
        return self._failed(error, self.step.plan().secrets(args, kwargs))

    @ending
    def fail(self, raised: Raised, /) -> End:
        """End the span with an exception; its message is withheld if it quotes a secret."""
        return self._failed(*raised)

    def _failed(self, error: BaseException, secrets: Sequence[str]) -> End:
        ended_ns = self._now_ns()
        recorder = self.place.run.recorder
        status = status_of(error, recorder.control_flow)
        if status == FAILED and self.place.run.exited:
            self.place.run.fail_after_block(self.place.key, self.start.parent, error)
        result = self._told(error, secrets) if status == FAILED else None
        return ended_ns, status, result

    def _told(self, error: BaseException, secrets: Sequence[str]) -> bytes:
        known = self.place.run.secrets.setdefault(self.place.key, _capture.Known())
        known.add(secrets)
        return _capture.error_payload(error, self._rules, known, self.step.plan().error_rule)

    @ending
    def end(self, outcome: Outcome, /) -> End:
        """End the span with a status and a result that is captured already."""
        status, result = outcome
        return self._now_ns(), status, result

    def by_hand(self, status: str, result: bytes | None) -> Outcome:
        """Return status and result, with what the user has set by hand in their place."""
        forced, own = self.place.run.overrides.pop(self.place.key)
        if result is not None and status == FAILED and forced is None:
            own = _capture.beside(own, result, self._rules)
        return forced or status, own

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the span began."""
        return (self._now_ns() - (self.start.started_ns or 0)) / NS_PER_MS

    @property
    def _rules(self) -> _capture.Rules:
        return self.place.run.recorder.rules

    def _now_ns(self) -> int:
        """Return the wall time of the start plus the monotonic time since."""
        return self.place.run.recorder.clock.monotonic_ns() + self.offset_ns


def open_span(
    step: Step, parent: Place, payload: bytes, secrets: Sequence[str] = (), key: bytes | None = None
) -> OpenSpan:
    """Begin a span of *step* under *parent*, whose *payload* withholds *secrets*.

    Args:
        step: The step that was called.
        parent: Place of the call.
        payload: The arguments.
        secrets: Texts that the payload withholds.
        key: Key of the span, if there is one already.
    """
    run, name, ceilings = parent.run, step.name, parent.ceilings
    recorder, feed = run.recorder, run.feed
    clock = recorder.clock
    started_ns = clock.wall_ns()
    offset_ns = started_ns - clock.monotonic_ns()
    if key is None:
        key = new_key(started_ns)
    if feed.agent.external_identifier not in step.agents:
        step.agents.add(feed.agent.external_identifier)
        recorder.on_first_seen(feed.agent.external_identifier, name)
    if ceilings and recorder.on_violation == OBSERVE:
        payload = _marked(payload, step, parent)
    if step.ceiling is not None:
        ceilings = under(ceilings, step.ceiling)
    start = Item(
        Kind.SPAN, feed.key, key, parent.key, name, started_ns, None, ACTIVE, payload, None,
    )  # fmt: skip
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
    return OpenSpan(step, Place(run, key, name, ceilings, parent.enclosing), start, offset_ns)


def _marked(payload: bytes, step: Step, parent: Place) -> bytes:
    """Return the payload of a step that is observed, marked where it exceeds a remit."""
    verdict = step.verdict(parent.ceilings, strict=False)
    violations = verdict.violations if verdict is not None else ()
    return _capture.exceeding(payload, violations) if violations else payload
