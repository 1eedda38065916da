"""OpenTelemetry's current span follows that of remit, and the reverse.

Set `OTEL_PYTHON_CONTEXT=remit` in the environment. In a step of remit, spans of OpenTelemetry are
then below that step, and in a span of OpenTelemetry that was started inside it, below that.

OpenTelemetry imports this module while it imports its own context, so nothing here may import
`opentelemetry.trace` at the top.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Any, Final

from opentelemetry.context.context import (
    Context,
    _RuntimeContext,  # pyright: ignore[reportPrivateUsage] - what an entry point has to be
)

from remit._record.context import is_same_span, open_context
from remit._record.runs import SpanContext

SAMPLED: Final = 1


class _Attached:
    """A context of OpenTelemetry, and remit's context at the time when it was attached.

    Attributes:
        noted: The context of remit at that time.
        derived: A later context of remit, and the context of OpenTelemetry with that as its span.
    """

    __slots__ = ("context", "derived", "noted")

    def __init__(self, context: Context, noted: SpanContext | None) -> None:
        self.context = context
        self.noted = noted
        self.derived: tuple[SpanContext, Context] | None = None


class RemitContext(_RuntimeContext):
    """The OpenTelemetry runtime context, extended with remit's current span."""

    def __init__(self) -> None:
        """Begin with an empty context."""
        self._none = _Attached(Context(), None)
        self._attached: ContextVar[_Attached | None]
        self._attached = ContextVar("remit_opentelemetry", default=None)

    def attach(self, context: Context) -> Token[Any]:
        """Make *context* current until remit's context changes."""
        return self._attached.set(_Attached(context, open_context()))

    def get_current(self) -> Context:
        """Return the context that was attached last, or one with remit's span if that is newer."""
        attached, current = self._attached.get() or self._none, open_context()
        if current is None or is_same_span(current, attached.noted):
            return attached.context
        derived = attached.derived
        if derived is None or not is_same_span(derived[0], current):
            derived = attached.derived = (current, _with_span(attached.context, current))
        return derived[1]

    def detach(self, token: Token[Any]) -> None:
        """Make the context current that was so before."""
        self._attached.reset(token)


def _with_span(context: Context, current: SpanContext) -> Context:
    from opentelemetry import trace  # noqa: PLC0415 - see the docstring of the module

    own = trace.SpanContext(
        int.from_bytes(current.run.feed.root),
        int.from_bytes(current.key[-8:]),
        is_remote=False,
        trace_flags=trace.TraceFlags(SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(own), context)
