"""A runtime for one test: in memory, with a clock that the test moves."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Unpack

from msgspec.structs import replace

from remit import config
from remit._base.clock import NS_PER_S, NS_PER_US, Clock
from remit._base.ids import key_text
from remit._base.outcomes import FAILED
from remit._base.text import did_you_mean
from remit._base.traceparent import trace_id
from remit._capture.tree import Drawing, first_failure
from remit._declare.registry import ANSWERED_TYPE, ASKED_TYPE, OWN_TYPES, RUN_TYPE, Registry
from remit._policy.violations import add_violations, denied_by, split_violations
from remit._policy.words import ACTIONS, CATEGORIES
from remit._record.items import Item, ItemKind, RunFeed
from remit._record.runs import current_context
from remit._record.spans import OpenSpan, SpanRecorder
from remit._runtime import process, setup
from remit.errors import UsageError, Violation
from remit.models.data_risk import Action, Category, DataRisk
from remit.testing._effects import (
    History,
    Step,
    at_most_failure,
    check_word,
    effects_failure,
    flow_failure,
    never_failure,
    only_failure,
)

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
START: Final = datetime(2026, 1, 1, tzinfo=UTC)


@contextmanager
def isolated(
    *, clock: Clock | None = None, **settings: Unpack[config.SettingsArguments]
) -> Generator[RecordingSink]:
    """Record runs in memory inside a block, without threads, files, sockets or the environment.

    Declarations that the block makes are removed after it. A fault inside remit raises an
    exception, so that the test fails. The settings of an earlier `remit.configure()` apply, except
    for the target and the mode. A call of `remit.configure()` inside the block cannot change the
    target and the mode either.

    Args:
        clock: The clock to use, for example a `FakeClock`.
        **settings: Settings by name, as for `remit.configure`. They override the settings of an
            earlier call. The environment is not read.

    Yields:
        The sink, with `.runs`, `.spans(name)`, `.tree()`, `.never(word)` and others.

    Raises:
        SettingsError: If a setting is unknown or its value is not allowed.
    """
    sink = RecordingSink()
    merged = config.from_overrides({**setup.configured(), **settings})
    with setup.isolated(merged, sink=sink, clock=clock):
        sink.registry = process.registry()
        yield sink


class FakeClock:
    """A clock for tests. Its wall and monotonic times change only through `advance` and `jump`.

    Args:
        start: Initial wall time.
    """

    def __init__(self, start: datetime = START) -> None:
        self._wall_ns = int(start.timestamp()) * NS_PER_S
        self._monotonic_ns = 0

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970 in UTC."""
        return self._wall_ns

    def monotonic_ns(self) -> int:
        """Return nanoseconds since the clock was created."""
        return self._monotonic_ns

    def advance(self, seconds: float) -> None:
        """Move wall and monotonic time forward by *seconds*."""
        passed_ns = int(seconds * NS_PER_S)
        self._wall_ns += passed_ns
        self._monotonic_ns += passed_ns

    def jump(self, seconds: float) -> None:
        """Move only the wall time by *seconds*, forward or backward."""
        self._wall_ns += int(seconds * NS_PER_S)


@dataclass(slots=True)
class RecordedSpan:
    """A recorded span.

    Attributes:
        name: Span type.
        key: Key of the span, 26 characters.
        parent: Key of the parent span. None for the root span.
        run_key: Key of the run.
        status: Status of the span: `active` until it ends.
        payload: The arguments, after redaction.
        violations: Violations by a step that ran anyway, or that received a value it excludes.
        result: The result, after redaction. None if there is no result, or until the span ends.
        started_ns: Start, in nanoseconds since 1970.
        finished_ns: End, in nanoseconds since 1970. None until the span ends.
        step: Declaration of the step, with `.name`, `.place` and `.find_risk()`.
    """

    name: str
    key: str
    parent: str | None
    run_key: str
    status: str
    payload: dict[str, Any]
    result: dict[str, Any] | None
    started_ns: int
    finished_ns: int | None
    violations: tuple[Violation, ...] = ()
    step: Step = field(default=Step(""), repr=False, compare=False)

    @property
    def data_risk(self) -> DataRisk | None:
        """Risk declaration of the step or block, including categories inferred from types."""
        return self.step.find_risk()

    @property
    def denied(self) -> bool:
        """Whether the step was denied. The code of a denied step does not run."""
        return self.status == FAILED and denied_by(self.result) is not None


@dataclass(slots=True)
class RecordedRun:
    """A recorded run.

    Attributes:
        key: Key of the run, 26 characters.
        agent: External identifier of the agent.
        purpose: `live`, `smoke_test` or `eval`.
        status: Status of the run: `active` until it ends, or `open` if it was left open.
        spans: Spans in the order in which they started. The first is the root span, `remit:run`.
        quality: Scores by name.
        quality_errors: Differences between the scores and their declaration, by name.
        outer: Key of the outer run, if this run was opened inside the block of another run.
    """

    key: str
    agent: str
    purpose: str
    feed: RunFeed
    status: str = "active"
    spans: list[RecordedSpan] = field(default_factory=list[RecordedSpan])
    quality: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    quality_errors: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    outer: str | None = None

    @property
    def root(self) -> RecordedSpan:
        """The root span, `remit:run`."""
        return self.spans[0]

    @property
    def conversation(self) -> str | None:
        """The conversation that the run belongs to, after redaction."""
        return self._said("conversation")

    @property
    def subject(self) -> str | None:
        """The person whose data the run handles, after redaction."""
        return self._said("subject")

    @property
    def on_behalf_of(self) -> str | None:
        """The person who asked, after redaction."""
        return self._said("on_behalf_of")

    def _said(self, name: str) -> str | None:
        value = self.root.payload.get(name)
        return value if isinstance(value, str) else None

    def __repr__(self) -> str:
        """Show agent, status and the tree of steps, as `remit runs show` does."""
        if not self.spans:
            return f"{self.agent}  {self.status}"
        root, *steps = map(_shown, self.spans)
        status = root.status if root.status == "cancelled" else self.status
        reason = (root.result_payload or {}).get("reason")
        head = f"{self.agent}  {status}" + (f"  {reason}" if reason else "")
        drawing, home = Drawing(), self.agent.partition(":")[0] + ":"
        failure = [f"  {drawing.line(each, 98)}" for each in drawing.block_failure(root, steps)]
        spans = [root, *steps]
        first = first_failure(spans, root)
        tree = list(drawing.tree(steps, spans, first, root.started_at, home))
        return "\n".join((head, *failure, *(["", *tree] if tree else [])))

    def tree(self) -> list[Any]:
        """Return the spans under the root span as nested lists: `[name, [child, ...]]`."""
        children: dict[str | None, list[RecordedSpan]] = {}
        for span in self.spans:
            children.setdefault(span.parent, []).append(span)

        def below(key: str) -> list[Any]:
            return [[span.name, below(span.key)] for span in children.get(key, [])]

        return below(self.root.key)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A recorded span, with the names by which a tree is drawn."""

    id: str
    parent_span_id: str | None
    schema_name: str
    status: str
    started_at: datetime | None
    finished_at: datetime | None
    payload: dict[str, object] | None
    result_payload: dict[str, object] | None
    schema_errors: tuple[str, ...] = ()


def _shown(span: RecordedSpan) -> _Shown:
    payload = span.payload
    if span.violations:
        payload = json.loads(add_violations(json.dumps(payload).encode(), span.violations))
    return _Shown(
        span.key,
        span.parent,
        span.name,
        span.status,
        _time(span.started_ns),
        None if span.finished_ns is None else _time(span.finished_ns),
        payload,
        span.result,
    )


def _time(wall_ns: int) -> datetime:
    return EPOCH + timedelta(microseconds=wall_ns // NS_PER_US)


class RecordingSink:
    """Keeps runs and spans in memory. `isolated()` and the fixture `remit_recorder` return it.

    Attributes:
        runs: All runs, oldest first.
        registry: The declarations that are made while the sink records.
    """

    def __init__(self) -> None:
        self.runs: list[RecordedRun] = []
        self.registry = Registry()
        self._by_key: dict[str, RecordedRun] = {}
        self._spans: dict[bytes, RecordedSpan] = {}
        self._steps: dict[SpanRecorder, Step] = {}

    def open_run(self, item: Item, feed: RunFeed) -> None:
        """Take a new run; the item of a run that goes on with another is its root span."""
        context = current_context()
        run = RecordedRun(feed.key, feed.agent.external_identifier, feed.purpose, feed)
        run.outer = None if context is None else context.run.feed.key
        self.runs.append(run)
        self._by_key[feed.key] = run
        if feed.resumed or feed.continues is not None:
            self._add(replace(item, status="active"))

    def start_span(self, start: Item) -> None:
        """Take a span that began."""
        self._add(start)

    def end_span(self, start: Item, finished_ns: int, status: str, result: bytes | None) -> None:
        """Take the end of a span, whose payload and type may be others by now."""
        span = self._spans[start.key]
        if span.name != start.name:
            span.step = self._step(start)
        span.name = start.name or ""
        span.payload, span.violations = split_violations(_object(start.payload) or {})
        self._end(start.key, finished_ns, status, result)

    def put(self, item: Item) -> None:
        """Take the root span, a quality payload, or the end of a run."""
        run = self._by_key[item.run_key]
        if item.kind == ItemKind.SPAN:
            self._add(item)
        elif item.kind == ItemKind.FINISH:
            self._end(item.key, item.finished_ns, item.status or "", item.result)
        elif item.kind == ItemKind.CLOSE:
            run.status = item.status or "open"
        elif item.kind == ItemKind.QUALITY:
            name, payload = item.name or "", _object(item.payload)
            for recorded in (run.quality, run.quality_errors):
                recorded.pop(name, None)
            if payload is not None:
                run.quality[name] = payload
            if item.result is not None:
                run.quality_errors[name] = json.loads(item.result)

    def spans(self, name: str | None = None) -> list[RecordedSpan]:
        """Return the spans of all runs except root spans, in the order in which they started.

        Args:
            name: Return only spans of this type. You can omit everything before the last `:` or `.`
                of the name.

        Raises:
            UsageError: If neither a declared step nor a recorded block has this name.
        """
        spans = [span for span in list(self._spans.values()) if span.name != RUN_TYPE]
        if name is None:
            return spans
        named = [span for span in spans if _named(span.name, name)]
        if not named:
            self._check_name(name, {span.name for span in spans})
        return named

    def _check_name(self, name: str, recorded: set[str]) -> None:
        known = recorded | {span_type.name for span_type in self.registry.span_types()}
        known |= {ASKED_TYPE, ANSWERED_TYPE}
        if any(_named(full, name) for full in known):
            return
        hint = did_you_mean(name, sorted(known | {_last_part(full) for full in known}))
        raise UsageError(f"no declared step and no recorded block has the name {name!r}{hint}")

    def tree(self) -> list[Any]:
        """Return the spans of each run as nested lists: `[[name, [child, ...]], ...]`."""
        return [run.tree() for run in self.runs]

    def effects(self, word: Action | Category) -> list[RecordedSpan]:
        """Return the spans of all steps that declare *word* and were not denied, in all runs.

        A step declares an action if the action is `allowed`. It declares a category if the category
        is `included` in its parameters or result. Categories that remit infers from types also
        count. The span of an agent does not count as a step. A `remit.span` block counts as a step,
        with its `data_risk`.

        Args:
            word: An action or data category, as in `remit.risk`.

        Raises:
            AssertionError: `undecided`: a step that ran does not declare whether *word* applies.
            UsageError: If *word* does not exist.
        """
        __tracebackhide__ = True
        check_word("effects", word, (*ACTIONS, *CATEGORIES), "an action or category")
        history = self._history()
        if failure := effects_failure(word, history):
            raise AssertionError(failure)
        return [span for span in history.done if span.step.does(word)]

    def asked(self, word: Action) -> list[RecordedSpan]:
        """Return the questions to a person because of *word*, oldest first.

        Each is a span of the type `remit:asked`. Its payload has `step`, `words`, `arguments` and
        `ticket`. The span `remit:answered` with the same ticket has `decision`, `by` and `why`. A
        step that was denied without a question, for example because no approver is set, has none.

        Args:
            word: An action, as in `remit.risk`.

        Raises:
            UsageError: If the action does not exist.
        """
        __tracebackhide__ = True
        check_word("asked", word, ACTIONS, "an action")
        questions = [span for span in self.spans() if span.name == ASKED_TYPE]
        return [span for span in questions if word in span.payload["words"]]

    def never(self, word: Action | Category) -> None:
        """Check that the steps that ran do not declare *word*; see `effects`.

        Args:
            word: An action or data category, as in `remit.risk`.

        Raises:
            AssertionError: `violated`: a step that ran declares *word*. `undecided`: a step that
                ran does not declare whether *word* applies. `vacuous`: no step ran, or no step can
                do it.
            UsageError: If *word* does not exist.
        """
        __tracebackhide__ = True
        check_word("never", word, (*ACTIONS, *CATEGORIES), "an action or category")
        if failure := never_failure(word, self._history()):
            raise AssertionError(failure)

    def at_most(self, word: Action | Category, times: int) -> None:
        """Check that in each run at most *times* steps that ran declare *word*; see `effects`.

        Steps of runs that are opened inside another run count for the outer run. Use it to test
        the limits of `remit.limits`.

        Args:
            word: An action or data category, as in `remit.risk`.
            times: How many steps of one run may do it.

        Raises:
            AssertionError: `violated`: more steps of one run declare *word*. `undecided`: a step
                that ran does not declare whether *word* applies. `vacuous`: no step ran, or no step
                can do it.
            UsageError: If *word* does not exist.
        """
        __tracebackhide__ = True
        check_word("at_most", word, (*ACTIONS, *CATEGORIES), "an action or category")
        if failure := at_most_failure(word, times, self._history()):
            raise AssertionError(failure)

    def only(self, *actions: Action) -> None:
        """Check that the steps that ran declare only these actions; see `effects`.

        Args:
            *actions: Names of actions, as in `remit.risk`.

        Raises:
            AssertionError: `violated`: a step declares another action. `undecided`: a step that ran
                does not declare whether it takes another action. `vacuous`: no step ran.
            UsageError: If an action does not exist.
        """
        __tracebackhide__ = True
        for action in actions:
            check_word("only", action, ACTIONS, "an action")
        if failure := only_failure(actions, self._history()):
            raise AssertionError(failure)

    def no_flow(self, category: Category, to: Action | Category = "external_communication") -> None:
        """Check that, within a run, data of *category* could not flow to a step that does *to*.

        A step whose result includes *category* is called a source. The check uses the order of
        steps and their declarations, not their values. It covers all steps that started after the
        start of a source, because steps can overlap. If a step does not declare whether it does
        *to* or returns *category*, the check assumes that it does. Two runs are treated as one if
        one of them was opened inside the other or resumes the other, or if both belong to the same
        trace.

        Args:
            category: Data category in the result of a source.
            to: The action or data category that must not follow a source.

        Raises:
            AssertionError: `violated`: a step that does *to* started after a source. `vacuous`: no
                source ran, or no step can do *to*.
            UsageError: If *category* or *to* does not exist.
        """
        __tracebackhide__ = True
        check_word("no_flow", category, CATEGORIES, "a category")
        check_word("no_flow", to, (*ACTIONS, *CATEGORIES), "an action or category")
        if failure := flow_failure(category, to, self._history()):
            raise AssertionError(failure)

    def _history(self) -> History[RecordedSpan]:
        """Return what the runs did, for assertions on effects."""
        known = self.registry.agents()
        agents = {agent.span_type.name for agent in known}
        recorded = self.spans()
        ran = {run.agent for run in self.runs}, {span.name for span in recorded}
        registered = {
            span_type
            for agent in known
            if agent.external_identifier in ran[0] or agent.span_type.name in ran[1]
            for span_type in self.registry.span_types_of(agent)
            if span_type.name not in agents
        }
        return History(
            [span for span in recorded if span.name not in agents | OWN_TYPES],
            [Step.of_type(span_type) for span_type in registered],
            self._trees(),
        )

    def _trees(self) -> dict[str, str]:
        """Return for the key of each run that of the first run that it is joined with."""
        trees: dict[str, str] = {}
        for run in list(self.runs):
            traceparent = run.spans[0].payload.get("traceparent") if run.spans else None
            names = (run.key, run.outer, run.feed.root.hex(), trace_id(traceparent))
            known = [name for name in names if name is not None]
            tree = next((trees[name] for name in known if name in trees), run.key)
            trees |= dict.fromkeys(known, tree)
        return trees

    def _step(self, item: Item) -> Step:
        """Return what is declared of the span that begins or is described by *item*."""
        run = self._by_key[item.run_key].feed.run()
        span = None if run is None else run.open.get(item.key)
        if isinstance(span, OpenSpan):
            recorder = span.recorder
            if recorder.declared is None:
                return Step.of_recorder(recorder)
            return self._steps.setdefault(recorder, Step.of_recorder(recorder))
        # The span of an adapter that the run no longer waits for, or one that is recorded by hand.
        declared = self.registry.span_type(item.name or "")
        return Step(item.name or "") if declared is None else Step.of_type(declared)

    def _add(self, item: Item) -> None:
        payload, violations = split_violations(_object(item.payload) or {})
        span = RecordedSpan(
            item.name or "",
            key_text(item.key),
            None if item.parent is None else key_text(item.parent),
            item.run_key,
            item.status or "",
            payload,
            None,
            item.started_ns or 0,
            None,
            violations,
            self._step(item),
        )
        self._spans[item.key] = span
        self._by_key[item.run_key].spans.append(span)

    def _end(self, key: bytes, finished_ns: int | None, status: str, result: bytes | None) -> None:
        span = self._spans[key]
        span.finished_ns = finished_ns
        span.status = status
        span.result = _object(result)


def _named(full: str, name: str) -> bool:
    return full == name or full.endswith((f":{name}", f".{name}"))


def _last_part(full: str) -> str:
    return re.split("[:.]", full)[-1]


def _object(body: bytes | None) -> dict[str, Any] | None:
    return None if body is None else json.loads(body)
