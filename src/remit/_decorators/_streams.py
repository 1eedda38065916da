"""The span of a generator: bound at the call, begun at the first step, ended with the last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from remit import _runtime
from remit._capture import Rules, Stream
from remit._decorators._doors import AgentDoor, Door
from remit._guard import guarded
from remit._outcomes import CANCELLED, COMPLETE
from remit._recording import Place, here
from remit._runs import OpenRun
from remit._spans import OpenSpan, Step, check_terminated, permit
from remit.errors import RunTerminated


class Captured(NamedTuple):
    """What is kept of the arguments from the call to the end of the stream.

    Attributes:
        payload: The payload as JSON bytes.
        secrets: Texts that it withholds, lest an error's message quotes one.
    """

    payload: bytes
    secrets: tuple[str, ...]


class StreamSpan:
    """One generator in flight.

    Attributes:
        place: Current while the user's generator runs a step.
    """

    __slots__ = ("_captured", "_door", "_first_ms", "_run", "_span", "_stream", "place")

    def __init__(self, door: Door, parent: Place | None, captured: Captured | None) -> None:
        """Bind run, parent and arguments; the span begins at the first step."""
        self._door = door
        self._captured = captured
        self._run: OpenRun | None = None
        self._span: OpenSpan | None = None
        self._stream: Stream | None = None
        self._first_ms: float | None = None
        self.place: Any = parent

    def begin(self) -> None:
        """Begin the span, in a run of its own if an agent was called outside any.

        Raises:
            RunTerminated: The run was terminated.
            DeniedError: The step exceeds the agent's remit.
        """
        if self.place is None and isinstance(self._door, AgentDoor):
            self._run = self._door.open_run()
            self.place = self._run.place
        try:
            permit(self._door.step, cast("Place", self.place))
        except BaseException as error:
            self._leave_run(error)
            raise
        self._begin()

    @guarded("the start of a span")
    def _begin(self) -> None:
        run = self.place.run
        if not run.recording or self._captured is None:
            return
        self._stream = Stream(run.recorder.rules, self._door.step.plan)
        self._span = OpenSpan(self._door.step, self.place, self._captured.payload)
        self._captured = self._captured._replace(payload=b"")
        self.place = self._span.place

    def interruption(self) -> RunTerminated | None:
        """Return the termination to throw into the user's generator, if the run was ended."""
        try:
            check_terminated(self.place.run)
        except RunTerminated as error:
            return error
        return None

    @guarded("an item of a stream")
    def add(self, item: object) -> None:
        """Take note of an item that was yielded."""
        if self._span is None or self._stream is None:
            return
        if self._first_ms is None:
            self._first_ms = self._span.elapsed_ms
        self._stream.add(item)

    def end(self, *, closed: bool) -> None:
        """End the span of a generator that returned; cancelled if it was closed before its end."""
        self._end(CANCELLED if closed else COMPLETE)
        self._leave_run(GeneratorExit() if closed else None)

    def fail(self, error: BaseException) -> None:
        """End the span of a generator that raised."""
        span = self._span
        if span is not None and isinstance(error, GeneratorExit):
            self._end(CANCELLED)
        elif span is not None and self._captured is not None:
            span.fail(error, self._captured.secrets)
        self._leave_run(error)

    @guarded("the end of a span")
    def _end(self, status: str) -> None:
        if self._span is not None and self._stream is not None:
            self._span.end(status, self._stream.payload(self._first_ms))

    def _leave_run(self, error: BaseException | None) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.exit(error)


def bound(door: Door, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> StreamSpan | None:
    """Return the span of a generator call, bound to where the call stands.

    Returns:
        None when nothing will be recorded: a span type called outside any run.
    """
    parent = here()
    if parent is not None:
        rules = parent.run.recorder.rules
    elif isinstance(door, AgentDoor):
        rules = _runtime.current().recorder.rules
    else:
        door.outside()
        return None
    return StreamSpan(door, parent, _captured(door.step, args, kwargs, rules))


@guarded("the arguments of a call")
def _captured(
    step: Step, args: tuple[Any, ...], kwargs: Mapping[str, Any], rules: Rules
) -> Captured:
    return Captured(step.plan.params(args, kwargs, rules), step.plan.secrets(args, kwargs))
