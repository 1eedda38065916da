"""The block of `with remit.span(...)`: a span named and filled by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType

from remit._capture import Rules, snapshot
from remit._ids import new_key
from remit._recording import at, here
from remit._spans._handle import Span
from remit._spans._open import OpenSpan, begin
from remit._spans._step import Step
from remit.errors import UsageError


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
