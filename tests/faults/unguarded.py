"""Names below `remit` of functions without a guard, and of those whose faults are not counted.

Listed are those that `tests.faults.own` reaches; the name of a class or a module is that of all its
functions.
"""

from __future__ import annotations

from typing import Final

UNGUARDED: Final = (
    # Comparisons.
    "_record.context.first_open",
    "_record.context.for_consumer",
    "_record.context.is_same_span",
    "_record.results._iterator_of",
    "_record.runs.outer_runs",
    "_record.spans.StepTracer.parent",
    # Assignments, and a context variable.
    "_inspect.decorated.SelfParameter.on_bind",
    "_record.blocks.Run.__init__",
    "_record.blocks.Span.__init__",
    "_record.blocks.SpanBlock.__init__",
    "_record.context.SavedContext",
    "_record.context.open_context",
    "_record.context.use_context",
    "_record.spans.SpanRecorder.call",
    "_record.streams.GeneratorSpan._take_arguments",
    # Contains its own faults.
    "_record.results.end_with_result",
    "_record.spans.OpenSpan.complete",
    "_record.spans.OpenSpan.end",
    "_record.spans.OpenSpan.fail",
    "_record.spans.SpanRecorder._start_counted",
    "_record.spans.SpanRecorder.permit",
    "_record.spans.SpanRecorder.reserve",
    "_record.spans.SpanRecorder.start",
    "_record.spans.SpanRecorder.within",
    "_record.spans.StepTracer.recorded",
    "_record.streams.GeneratorSpan._begin",
    "_record.streams.GeneratorSpan.begin",
    "_record.streams.StreamSpan.interruption",
    # Only the interpreter calls it.
    "_deliver.worker.Worker._run",
    "_record.streams.DeferredSpan.__del__",
    # Binds a method, as Python does.
    "_record.wrappers.StepFunction.__get__",
    # Called by a `with`.
    "_record.blocks.RunBlock",
    # A step of the user's generator, coroutine or iterator.
    "_record.generators._first_asend",
    "_record.stepping.step",
    "_record.stepping.await_stepwise",
    "_record.results._run",
    # Does nothing, or returns an attribute or itself.
    "_record.blocks.handle_of",
    "_record.items.nothing",
    "_record.runs.AfterRun.__call__",
    "_record.runs.AfterRun.call_async",
)
UNCOUNTED: Final = (
    # A module without a name has no source root, which is a result and not a fault.
    "_base.frames.imported_as",
    "_base.frames.source_root",
    # A result without a key is computed each time.
    "_base.memo._key",
    # A type that cannot be read is a result, not a fault.
    "_capture.plan.marked_keys",
    "_capture.type_readers",
    "_declare.inference",
    # An agent without a project that can be read has none, which `remit doctor` shows.
    "_declare.project",
    "_declare.registry._source_root",
    "_declare.schema.types",
    "_inspect.annotations",
    "_inspect.fields",
)


def is_listed(name: str, names: tuple[str, ...]) -> bool:
    """Return whether a function, such as `remit._record.spans.StepTracer.parent`, is in a list."""
    return any(f"{name}.".startswith(f"remit.{listed}.") for listed in names)
