"""The block of `remit.span`, its capture plan, and the handle `Span`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import cast

from remit import _capture
from remit._base.guard import guarded
from remit._base.ids import KEY_BYTES, key_text, new_key
from remit._base.outcomes import FAILED
from remit._inspect.introspection import is_a
from remit._record.context import use_context
from remit._record.run_blocks import Run, run_of
from remit._record.runs import OpenRun, current_context
from remit._record.spans import OpenSpan, Plan, SpanRecorder
from remit.errors import UsageError


class Span:
    """A handle on a span: its key, its result, its failure.

    Handles are equal if their keys are.

    Attributes:
        key: 26 characters, made here.
        name: Its span type.
        run: The `Run` it belongs to; None outside any run.
    """

    __slots__ = ("_key", "_run", "name")

    # Unguarded: assignments.
    def __init__(self, key: bytes, name: str, run: OpenRun | None) -> None:
        """Hold key, name and run of a span."""
        self._key = key
        self._run = run
        self.name = name

    @property
    def key(self) -> str:
        """Key of the span, 26 characters, made here."""
        return key_text(self._key)

    @property
    def run(self) -> Run | None:
        """The run that the span belongs to."""
        return None if self._run is None else run_of(self._run)

    def set_result(self, result: Mapping[str, object]) -> None:
        """Set the span's result, instead of what the call returns.

        Args:
            result: What to record; redacted and bounded like every payload.
        """
        self._override(None, result)

    def fail(self, reason: str | BaseException) -> None:
        """End the span as failed, for *reason*, even if its block ends normally.

        Args:
            reason: A text, or an error, which is recorded as if it had been raised.
        """
        self._override(FAILED, reason)

    @guarded("a result set by hand")
    def _override(self, status: str | None, result: object) -> None:
        run = self._run
        if run is None or self._key not in run.open:
            return
        if status is None:
            captured = _capture.capture_mapping(result, run.rules)
        elif is_a(result, BaseException):
            captured = _capture.error_payload(cast("BaseException", result), run.rules)
        else:
            captured = _capture.failure_payload(result, run.rules)
        before, _ = run.overrides.get(self._key, (None, b""))
        run.overrides[self._key] = (status or before, captured)

    def __eq__(self, other: object) -> bool:
        """Compare by the key."""
        return isinstance(other, Span) and self._key == other._key

    def __hash__(self) -> int:
        """Hash by the key."""
        return hash(self._key)

    def __repr__(self) -> str:
        """Show the name and the key."""
        return f"<Span {self.name} {self.key}>"


def current_span() -> Span | None:
    """Return a handle on the current span, or `None` outside any run.

    Directly inside a run's block it is the run's root span, `remit:run`.
    """
    context = current_context()
    return None if context is None else Span(context.key, context.name, context.run)


class ManualPlan:
    """Captures the payload of a `remit.span` block; its result is set by hand."""

    def __init__(self, payload: Mapping[str, object], declared: Plan | None = None) -> None:
        """Keep the payload until the block begins.

        Args:
            payload: The payload of the block.
            declared: The plan of the span type that is declared under the name of the block.
        """
        self._payload = payload
        self._declared = declared

    @property
    def error_rule(self) -> str | None:
        """The rule that withholds the message of every error, if one is declared."""
        return None if self._declared is None else self._declared.error_rule

    def params(
        self, args: tuple[object, ...], kwargs: Mapping[str, object], rules: _capture.Rules
    ) -> bytes:
        """Return the payload of the block, which has no arguments."""
        del args, kwargs
        if self._declared is not None:
            return self._declared.params((), self._payload, rules)
        return _capture.capture_mapping(self._payload, rules)

    def result(self, value: object, rules: _capture.Rules) -> bytes:
        """Return an empty object: no result was set by hand."""
        del value
        return _capture.capture_mapping({}, rules)


@guarded("the key of a block", bytes(KEY_BYTES))
def _some_key() -> bytes:
    """Return a key for the handle of a span that is not recorded."""
    return new_key(0)


class SpanBlock:
    """The block of `with remit.span(...)`; sync and async, used once."""

    __slots__ = ("_entered", "_name", "_outside", "_recorder", "_span", "_used")

    # Unguarded: assignments.
    def __init__(
        self, name: str, recorder: SpanRecorder | None, outside: Callable[[SpanRecorder], object]
    ) -> None:
        """Prepare the block.

        Args:
            name: Its span type.
            recorder: Its recorder; None, after a fault, records nothing.
            outside: Called with the recorder if there is no current run; may raise `DeniedError`.
        """
        self._name = name
        self._recorder = recorder
        self._outside = outside
        self._span: OpenSpan | None = None
        self._used = False

    def __enter__(self) -> Span:
        """Start the span and make it current."""
        if self._used:
            message = "a remit.span(...) block was entered twice: make a new one for each block"
            raise UsageError(message)
        self._used = True
        parent, recorder = current_context(), self._recorder
        if recorder is None or parent is None:
            if recorder is not None:
                self._outside(recorder)
            return Span(_some_key(), self._name, None)
        span = recorder.start(parent, (), {})
        if not isinstance(span, OpenSpan):
            return Span(_some_key(), self._name, None)
        self._span, context = span, span.context
        self._entered = use_context(context)
        self._entered.__enter__()
        return Span(context.key, self._name, context.run)

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
        try:
            self._entered.__exit__()
        finally:
            if error is None:
                span.complete(None)
            else:
                span.fail(error)

    async def __aenter__(self) -> Span:
        """Start the span and make it current."""
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the span, as the sync form does."""
        self.__exit__(exc_type, error, traceback)
