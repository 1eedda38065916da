"""The steps of a run as rows: their order, their bars, and the step that failed first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from remit._base.outcomes import SUSPENDED, suspended_steps
from remit.collector.domain.findings import OF_PERSONS
from remit.collector.domain.states import CANCELLED, COMPLETE, TERMINATED
from remit.collector.page import formats
from remit.collector.page.marks import HELD, MARKS
from remit.collector.page.run.asked import Question
from remit.collector.page.run.facts import FAILED, RunFacts
from remit.collector.store.questions.run_steps import StepRecord
from remit.collector.store.rows import DENIED, VIOLATION

_TICKS: Final = 4
_NARROWEST: Final = 0.35
"""Width of the shortest bar, in percent."""


class Bar(NamedTuple):
    """A bar of a row, in percent of the time axis.

    Attributes:
        kind: Its class: none, `bad`, `off`, `warn`, `now`, `hat`, `hatred`.
        thin: Whether it is thin, as that of a step with steps below it.
    """

    x: float
    width: float
    kind: str
    thin: bool


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step as a row of the tree.

    Attributes:
        word: What the step is, such as `node`, or its model; else empty.
        kind: `denied`, `cancelled`, `suspended` (cancelled by a question to a person, and goes on
            after the answer), `handled` (it failed, and its parent succeeded), `first` (it
            failed first), `carrying` (it failed by another step), `ended` (the root of a run that
            was terminated), or empty.
    """

    step: StepRecord
    name: str
    word: str
    level: int
    parent: bool
    kind: str
    marks: list[str]
    bars: list[Bar]
    took: str
    lines: Sequence[Line] = ()
    question: Question | None = None


class Line(NamedTuple):
    """The time in which a run waited for a person, in percent of the time axis.

    Attributes:
        is_open: Whether no person answered.
    """

    x: float
    end: float
    is_open: bool


class Axis(NamedTuple):
    """The time axis: where it begins, and how long it is, in microseconds."""

    begin_us: int
    length_us: int

    def at(self, instant_us: int) -> float:
        """Return a time in percent."""
        return min(100.0, max(0.0, 100 * (instant_us - self.begin_us) / self.length_us))

    @property
    def ticks(self) -> list[str]:
        """The times at each quarter, in words."""
        later = [formats.duration(self.length_us * tick // _TICKS) for tick in range(1, _TICKS)]
        return ["0 s", *later]


@dataclass(frozen=True)
class Tree:
    """The steps of a run as a tree."""

    facts: RunFacts
    now_us: int

    @cached_property
    def children(self) -> Mapping[str | None, list[StepRecord]]:
        """The steps below each step, in the order of their starts; None for the outermost."""
        answers = self.facts.answers
        return _below({key: step for key, step in self.facts.steps.items() if key not in answers})

    @cached_property
    def path(self) -> frozenset[str]:
        """The failed steps around the one that failed first, and itself."""
        first = self.facts.first_failed
        if first is None or self.facts.row.status in {COMPLETE, TERMINATED}:
            return frozenset()
        return frozenset(
            {first.id, *(step.id for step in self.facts.above(first) if step.status == FAILED)}
        )

    @cached_property
    def suspended(self) -> frozenset[str]:
        """The steps that a question to a person suspended."""
        steps = self.facts.steps.values()
        return suspended_steps(
            (step.id, step.parent_id, step.schema_name, step.status) for step in steps
        )

    @cached_property
    def axis(self) -> Axis:
        """The time axis, over the run or over the steps of a page."""
        row, steps = self.facts.row, self.facts.steps.values()
        begins = [step.started_at for step in steps if step.started_at is not None]
        ends = [step.finished_at for step in steps if step.finished_at is not None]
        if self.facts.is_whole:
            begins += [] if row.started_at is None else [row.started_at]
            ends += [] if row.finished_at is None else [row.finished_at]
        begin_us = min(begins, default=self.now_us)
        end_us = self.now_us if self.facts.is_running else max(ends, default=begin_us)
        length_us = max(1, end_us - begin_us)
        if self.facts.process_ended:
            length_us = length_us * 6 // 5
        return Axis(begin_us, length_us)

    def rows(self) -> Iterator[StepRow]:
        """Yield the rows, each step before those below it."""
        shown = {*self.facts.answers}
        tops = [*self.children.get(None, ()), *self.facts.steps.values()]
        for top in tops:
            waiting = [(top, 0)]
            while waiting:
                step, level = waiting.pop()
                if step.id in shown:
                    continue
                shown.add(step.id)
                below = self.children.get(step.id, [])
                yield self._row(step, level, below)
                waiting += [(child, level + 1) for child in reversed(below)]

    def _row(self, step: StepRecord, level: int, below: Sequence[StepRecord]) -> StepRow:
        kind = self._kind(step)
        question = self.questions.get(step.id)
        pauses = self.pauses.get(step.id, ())
        return StepRow(
            step=step,
            name=self.facts.name(step),
            word=name.word if (name := self.facts.names.get(step.id)) else "",
            level=level,
            parent=bool(below),
            kind=kind,
            marks=self._marks(step),
            bars=[] if question else _cut(self._bars(step, thin=bool(below)), pauses),
            took=self._took(step, denied=kind == "denied"),
            lines=pauses,
            question=question,
        )

    @cached_property
    def questions(self) -> Mapping[str, Question]:
        """The questions to a person, by their steps."""
        return {each.span_id: each for each in self.facts.questions if each.at_us is not None}

    @cached_property
    def pauses(self) -> Mapping[str, list[Line]]:
        """When steps waited for a person: the questions, and the steps around them.

        A step is not shown to wait while another step below it runs.
        """
        pauses: dict[str, list[Line]] = {}
        for question in self.questions.values():
            step = self.facts.steps.get(question.span_id)
            begin_us = question.at_us
            if step is None or begin_us is None:
                continue
            end_us = self._until(question, begin_us)
            line = Line(self.axis.at(begin_us), self.axis.at(end_us), not question.has_answer)
            pauses.setdefault(step.id, []).append(line)
            around = [above for above in self.facts.above(step) if self._lasts(above, end_us)]
            busy = self._busy(begin_us, end_us) if around else frozenset[str]()
            for above in around:
                if above.id not in busy:
                    pauses.setdefault(above.id, []).append(line)
        return pauses

    def _until(self, question: Question, begin_us: int) -> int:
        """Return when the wait for an answer ended; without an answer, when the run did."""
        if question.answer is not None:
            return begin_us + (question.waited_us or 0)
        end_us = self.facts.row.finished_at
        return max(begin_us, self.now_us if end_us is None else end_us)

    def _lasts(self, step: StepRecord, until_us: int) -> bool:
        return step.finished_at is None or step.finished_at >= until_us

    def _busy(self, begin_us: int, end_us: int) -> frozenset[str]:
        """Return the ids of all steps above a step that ran in the interval.

        Steps of an approver do not count.
        """
        busy: set[str] = set()
        for step in self.facts.steps.values():
            has_run = step.started_at is not None and step.started_at < end_us
            if has_run and self._lasts(step, begin_us + 1) and not self.children.get(step.id):
                above = self.facts.above(step)
                if not any(each.schema_name in OF_PERSONS for each in (step, *above)):
                    busy |= {each.id for each in above}
        return frozenset(busy)

    def _marks(self, step: StepRecord) -> list[str]:
        marks = [name for name, kind in MARKS.items() if step.flags & kind.flag]
        if step.id not in self.facts.held:
            return marks
        return [HELD, *(name for name in marks if name != "denied")]

    def _kind(self, step: StepRecord) -> str:
        """Return the kind of a row; see `StepRow`."""
        if step.flags & DENIED:
            return "denied"
        if step.status == CANCELLED:
            return SUSPENDED if step.id in self.suspended else CANCELLED
        if step.status != FAILED:
            return ""
        if self.facts.is_handled(step):
            return "handled"
        if self.facts.row.status == TERMINATED:
            return "ended" if step is self.facts.top else "first"
        return "first" if step is self.facts.first_failed and step.id in self.path else "carrying"

    def _took(self, step: StepRecord, *, denied: bool) -> str:
        question = self.questions.get(step.id)
        if question is not None and question.at_us is not None:
            is_known = question.is_open or question.answer is not None
            waited_us = self._until(question, question.at_us) - question.at_us
            return formats.duration(waited_us) if is_known else ""
        if denied:
            return "did not run"
        if step.started_at is None:
            return "not begun"
        if step.finished_at is None:
            return "running"
        if self.facts.process_ended and self.facts.was_open(step):
            return "not known"
        return formats.duration(step.finished_at - step.started_at)

    def _bars(self, step: StepRecord, *, thin: bool) -> list[Bar]:
        if step.started_at is None:
            return []
        x = self.axis.at(step.started_at)
        end = self.axis.at(self.now_us if step.finished_at is None else step.finished_at)
        x = min(x, 100 - _NARROWEST)
        width = max(_NARROWEST, end - x)
        if self.facts.process_ended and self.facts.was_open(step):
            return [Bar(x, width, "", thin), Bar(end, 100 - end, "hat", thin=False)]
        if step.flags & DENIED:
            return [Bar(min(x, 98), max(2, width), "hatred", thin=False)]
        kind = {FAILED: "bad", CANCELLED: "" if thin else "off"}.get(step.status, "")
        if step is self.facts.top and self.facts.row.status == TERMINATED:
            kind = "warn"
        if step.finished_at is None:
            kind = "now" if self.facts.is_running else ""
        elif step.flags & VIOLATION and not kind:
            kind = "warn"
        return [Bar(x, width, kind, thin)]


def _cut(bars: list[Bar], pauses: Sequence[Line]) -> list[Bar]:
    """Return bars without the times in which their step waited."""
    for pause in pauses:
        pieces: list[Bar] = []
        for bar in bars:
            end = bar.x + bar.width
            if bar.x > pause.x or end < pause.end:
                pieces.append(bar)
                continue
            pieces.append(bar._replace(width=max(_NARROWEST, pause.x - bar.x)))
            if end > pause.end:
                pieces.append(bar._replace(x=pause.end, width=max(_NARROWEST, end - pause.end)))
        bars = pieces
    return bars


def _below(steps: Mapping[str, StepRecord]) -> Mapping[str | None, list[StepRecord]]:
    """Return the steps below each step, in the order of their starts; None for the outermost."""
    below: dict[str | None, list[StepRecord]] = {}
    for step in sorted(steps.values(), key=lambda step: (step.started_at or 2**63, step.id)):
        below.setdefault(step.parent_id if step.parent_id in steps else None, []).append(step)
    return below
