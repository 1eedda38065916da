"""How often the steps of an agent asked a person, and how their questions ended."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Any, Final, NamedTuple

from remit.collector.domain import asks
from remit.collector.domain.context import Context
from remit.collector.domain.findings import ANSWERED_SPAN, ASKED_SPAN
from remit.collector.page.run.asked import Question, questions_of
from remit.collector.page.run.spans import ListedSpan, listed_span
from remit.collector.page.scope import scope_in
from remit.collector.store.ask_rows import EXPIRED, WAITING
from remit.collector.store.questions.span_lists import Position, SpanCriteria, spans

MOST_QUESTIONS: Final = 500
"""Questions that are read, and answers; of more, the newest."""
_PAGE: Final = 100
_OTHERS: Final = {
    "no answer": "still open or without an answer",
    "denied": "without a yes of a person",
    "answered": "answered otherwise",
}
"""Statuses without a column in words; the words of others are the statuses."""


class AskedStep(NamedTuple):
    """The questions about a step.

    Attributes:
        p50_us: The median time until a person's answer; None without an answer.
    """

    name: str
    asked: int
    approved: int
    refused: int
    expired: int
    p50_us: int | None


class AskedSteps(NamedTuple):
    """The questions of an agent in a time.

    Attributes:
        steps: The steps that asked, the most frequent first.
        others: How often questions ended otherwise, in words.
        unnamed: The number of questions that name no step, as those of a framework.
        is_all: Whether all questions were read.
        waiting: The number of requests on the server that wait.
        first: One of them.
    """

    steps: Sequence[AskedStep]
    others: Sequence[tuple[int, str]]
    unnamed: int
    is_all: bool
    waiting: int
    first: dict[str, Any] | None


def asked_steps(ctx: Context, agent_id: str, since_us: int) -> AskedSteps:
    """Return the questions of an agent since a time, by step."""
    asked, is_all = _newest(ctx, agent_id, ASKED_SPAN, since_us)
    answered, _ = _newest(ctx, agent_id, ANSWERED_SPAN, since_us) if asked else ([], True)
    by_run: defaultdict[str, tuple[list[ListedSpan], list[ListedSpan]]]
    by_run = defaultdict(lambda: ([], []))
    for place, listed in enumerate((asked, answered)):
        for span in listed:
            by_run[span.run_id][place].append(span)
    by_step: defaultdict[str, list[Question]] = defaultdict(list)
    for run_asked, run_answered in by_run.values():
        for question in questions_of(run_asked, run_answered):
            by_step[question.step].append(question)
    unnamed = len(by_step.pop("", ()))
    steps = [_step(name, questions) for name, questions in by_step.items()]
    statuses = Counter(each.status for questions in by_step.values() for each in questions)
    wanted = asks.seen(ctx.caller)
    wanted.add("agent_id = ?", agent_id)
    asks.add_status(wanted, WAITING, ctx.now_us)
    first = ctx.tx.asks(wanted, 1)
    return AskedSteps(
        sorted(steps, key=lambda step: (-step.asked, step.name)),
        sorted(
            (
                (count, _OTHERS.get(status, status))
                for status, count in statuses.items()
                if status not in {asks.APPROVED, asks.REFUSED, EXPIRED}
            ),
            key=lambda other: (-other[0], other[1]),
        ),
        unnamed,
        is_all,
        ctx.tx.count_asks(wanted) if first else 0,
        next(iter(asks.views(ctx, first)), None),
    )


def _newest(ctx: Context, agent_id: str, name: str, since_us: int) -> tuple[list[ListedSpan], bool]:
    """Return the newest spans of a type of an agent, and whether these are all."""
    wanted = SpanCriteria(scope=scope_in(ctx, agent_id), schema_name=name, since_us=since_us)
    listed: list[ListedSpan] = []
    place: Position | None = None
    while len(listed) < MOST_QUESTIONS:
        most = ctx.settings.max_response_bytes
        page = spans(ctx.tx, wanted, before=place, limit=_PAGE, most_chars=most)
        listed += map(listed_span, page.spans)
        place = page.next
        if place is None:
            return listed, True
    return listed, False


def _step(name: str, questions: Sequence[Question]) -> AskedStep:
    counts = Counter(question.status for question in questions)
    times = [
        question.waited_us
        for question in questions
        if question.status in {asks.APPROVED, asks.REFUSED} and question.waited_us is not None
    ]
    return AskedStep(
        name,
        len(questions),
        counts[asks.APPROVED],
        counts[asks.REFUSED],
        counts[EXPIRED],
        int(median(times)) if times else None,
    )
