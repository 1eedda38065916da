"""Names of steps in lists, from the beginnings of their payloads; see `_base/step_names`.

A name is part of the payload: it is left out where payloads are shown only on request.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from remit._base.step_names import NAMED_TYPES, StepName, step_name_in
from remit.collector.domain.context import Context
from remit.collector.domain.failures import shows_text
from remit.collector.store.ids import to_bytes
from remit.collector.store.questions.outlines import heads
from remit.collector.store.questions.scope import RunRef
from remit.collector.store.questions.span_lists import SpanRecord
from remit.collector.store.rows import RunRow


def names_of_steps(
    ctx: Context, version_id: str, run: RunRef, steps: Iterable[tuple[str, str]]
) -> dict[str, StepName]:
    """Return the names of steps of a run, by id.

    Args:
        version_id: Its schema version.
        steps: Their ids and types.
    """
    types = dict(_shown(ctx, version_id, steps))
    found = heads(ctx.tx, [(run, [to_bytes(span_id) for span_id in types])])
    return _named((span_id, name, found.get(to_bytes(span_id))) for span_id, name in types.items())


def names_of_failures(ctx: Context, runs: Sequence[RunRow]) -> dict[str, StepName]:
    """Return the names of the steps where the failures of runs began, by id."""
    steps = {
        span_id: (run, name)
        for run in runs
        if run.failure_span and run.failure_step
        for span_id, name in _shown(
            ctx, run.agent_schema_version_id, [(run.failure_span, run.failure_step)]
        )
    }
    refs = [
        (RunRef(to_bytes(run.id), run.ref, 0, 0), [to_bytes(span_id)])
        for span_id, (run, _) in steps.items()
    ]
    found = heads(ctx.tx, refs)
    return _named((key, name, found.get(to_bytes(key))) for key, (_, name) in steps.items())


def names_of_listed(ctx: Context, spans: Sequence[SpanRecord]) -> dict[str, StepName]:
    """Return the names of listed spans, by id."""
    heads_of = {span.id: span.head or span.payload or "" for span in spans}
    named = [span for span in spans if step_name_in(span.schema_name, heads_of[span.id])]
    runs = ctx.tx.runs(None, {span.run_id for span in named})
    shown = (
        step
        for span in named
        for step in _shown(
            ctx, runs[span.run_id].agent_schema_version_id, [(span.id, span.schema_name)]
        )
    )
    return _named((span_id, name, heads_of[span_id]) for span_id, name in shown)


def _shown(
    ctx: Context, version_id: str, steps: Iterable[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Return the steps whose payloads have a name that may be listed."""
    named = [(span_id, name) for span_id, name in steps if name in NAMED_TYPES]
    declared = ctx.declarations.of(ctx.tx, version_id).types if named else {}
    return [(span_id, name) for span_id, name in named if shows_text(declared.get(name))]


def _named(steps: Iterable[tuple[str, str, str | None]]) -> dict[str, StepName]:
    names = ((span_id, step_name_in(name, head or "")) for span_id, name, head in steps)
    return {span_id: name for span_id, name in names if name is not None}
