"""The block of `with remit.span(...)`: a span named and filled by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType

from remit import _capture
from remit._guard import guarded
from remit._ids import new_key
from remit._recording import at, here
from remit._spans._begin import begin
from remit._spans._handle import Span
from remit._spans._open import OpenSpan
from remit._spans._step import Plan, Step
from remit.errors import UsageError


class ManualPlan:
    """Captures what `remit.span(name, payload)` was given; the result is set by hand."""

    def __init__(self, payload: Mapping[str, object], declared: Plan | None = None) -> None:
        """Keep the payload until the block begins.

        Args:
            payload: What the block was given.
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
        """Return the payload that was given; a block has no arguments."""
        del args, kwargs
        if self._declared is not None:
            return self._declared.params((), self._payload, rules)
        return _capture.capture_mapping(self._payload, rules)

    def result(self, value: object, rules: _capture.Rules) -> bytes:
        """Return an empty object: nothing was set by hand."""
        del value
        return _capture.capture_mapping({}, rules)


@guarded("the key of a block")
def some_key() -> bytes:
    """Return a key for a handle on what is recorded nowhere."""
    return new_key(0)


class SpanBlock:
    """The block of `with remit.span(...)`; sync and async, used once."""

    __slots__ = ("_at", "_name", "_outside", "_span", "_step", "_used")

    # Unguarded: assignments.
    def __init__(self, name: str, step: Step | None, outside: Callable[[Step], object]) -> None:
        """Prepare the block.

        Args:
            name: Its span type.
            step: The same, made ready for recording; None if that failed, and nothing is recorded.
            outside: Called with the step outside any run; may raise `DeniedError`.
        """
        self._name = name
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
        self._span = self._begun()
        if self._span is None:
            return Span(some_key() or b"", self._name, None)
        self._at = at(self._span.place)
        try:
            self._at.__enter__()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return Span(self._span.place.key, self._name, self._span.place.run)

    @guarded("the start of a block")
    def _begun(self) -> OpenSpan | None:
        parent = here()
        if self._step is None:
            return None
        if parent is None:
            self._outside(self._step)
            return None
        return begin(self._step, parent, (), {})

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
            self._at.__exit__()
        finally:
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
