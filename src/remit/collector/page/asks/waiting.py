"""Waiting: the requests that wait for an answer, and those that were answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from statistics import median
from typing import Any, Final, NamedTuple

from remit.collector.domain import asks
from remit.collector.domain.context import Context
from remit.collector.domain.lists import run_views
from remit.collector.page.asks.request import Value, given, took
from remit.collector.page.declared import verbs_of
from remit.collector.page.formats import day
from remit.collector.page.hiding import hidden_of
from remit.collector.page.payload_tree import Node, node_of
from remit.collector.page.run.asked import Question
from remit.collector.page.run.facts import RunRows, questions_in, request_of
from remit.collector.page.scope import scope_in
from remit.collector.page.visits import Html, Response, Visit
from remit.collector.page.windows import DAY_US
from remit.collector.store.ask_rows import EXPIRED, WAITING, WITHDRAWN
from remit.collector.store.questions.run_lists import RunCriteria, runs
from remit.collector.store.rows import AskRow
from remit.collector.times import US_PER_S, format_us, parse_us

MOST_WAITING: Final = 200
MOST_ENDED: Final = 30
MOST_RUNS: Final = 30
"""Waiting runs whose questions are read."""
MOST_OWN: Final = 50
MOST_COUNTED: Final = 1_000
"""Most requests of a day that are counted."""
SOON_US: Final = 5 * 60 * US_PER_S
"""Time before the end of a request from which on its end is emphasized."""
MOST_SHOWN: Final = 3
"""Values of a request that the list shows."""
_MOST_CHARS: Final = 60
_ORDER: Final = (asks.APPROVED, asks.REFUSED, EXPIRED, WITHDRAWN)


def show(visit: Visit) -> Response:
    """Show what waits, the oldest first, and what was answered, the newest first."""

    def work(ctx: Context) -> dict[str, object]:
        own = _own(ctx)
        waiting = asks.seen(ctx.caller)
        asks.add_status(waiting, WAITING, ctx.now_us)
        ended = asks.seen(ctx.caller)
        ended.add("(status <> 'waiting' OR expires_at <= ?)", ctx.now_us)
        rows = asks.views(ctx, ctx.tx.asks(waiting, MOST_WAITING)[::-1])
        own_shown = own[:MOST_OWN]
        of_rows = [row["run_id"] for row in rows]
        said = _said(ctx, {*of_rows, *(each.run_id for each in own_shown)} - {None})
        of_day = asks.seen(ctx.caller)
        of_day.add("asked_at >= ?", ctx.now_us - DAY_US)
        return {
            "rows": [_waiting(view, ctx.now_us) for view in rows],
            "count": ctx.tx.count_asks(waiting),
            "own": own_shown,
            "said": said,
            "with_conversation": any(each["conversation"] for each in said.values()),
            "more_own": len(own) > MOST_OWN,
            "ended": [_ended(view) for view in asks.views(ctx, ctx.tx.asks(ended, MOST_ENDED))],
            **_numbers(ctx.tx.asks(of_day, MOST_COUNTED), ctx.now_us),
            "iso": format_us,
            "today": day(format_us(ctx.now_us), visit.zone),
            "may_answer": asks.may_answer(ctx.caller),
        }

    return Html("waiting.html", visit.api.read(work))


def _said(ctx: Context, run_ids: Collection[str]) -> dict[object, dict[str, object]]:
    """Return runs as the API lists them, by their ids."""
    if not run_ids:
        return {}
    wanted = RunCriteria(scope=scope_in(ctx), ids=tuple(run_ids))
    views = run_views(ctx, runs(ctx.tx, wanted, limit=len(run_ids)))
    return {view["id"]: view for view in views}


class OwnQuestion(NamedTuple):
    """A question that is answered in its own program.

    Attributes:
        asked: The question; None if it is hidden.
        subject: The step that it is about, else the means by which it was asked.
        waits_us: How long it has waited; None if that is not known.
    """

    run_id: str
    span_id: str
    agent: str
    asked: Node | None
    subject: str
    since_us: int | None
    waits_us: int | None


def _own(ctx: Context) -> list[OwnQuestion]:
    """Return the questions of waiting runs without a request on this server, the oldest first.

    Those of the newest waiting runs are read.
    """
    wanted = RunCriteria(scope=scope_in(ctx), status=WAITING)
    questions: list[OwnQuestion] = []
    for run in runs(ctx.tx, wanted, limit=MOST_RUNS):
        rows = RunRows(ctx, run.id)
        open_questions = [each for each in questions_in(rows) if each.is_open]
        questions += [
            _own_question(rows, run.agent_name, each)
            for each in open_questions
            if request_of(ctx, rows.run, each) is None
        ]
    return sorted(questions, key=lambda each: (each.since_us or 0, each.span_id))


def _own_question(rows: RunRows, agent: str, question: Question) -> OwnQuestion:
    span = rows.get(question.span_id)
    is_hidden = span is None or hidden_of(span.row, (), rows.hidden).values
    asked = None if span is None or is_hidden else node_of(span.payload.get("asked"))
    since_us = question.at_us
    waits_us = None if since_us is None else rows.ctx.now_us - since_us
    run_id = rows.run.id
    return OwnQuestion(run_id, question.span_id, agent, asked, question.subject, since_us, waits_us)


def _waiting(view: Mapping[str, Any], now_us: int) -> dict[str, object]:
    values = [value for value in given(view) if value.kind in {"short", "long"}]
    expires_us = parse_us(view["expires_at"]) - now_us
    return {
        "ask": view,
        "effect": verbs_of(view["words"]),
        "shown": [(value.name, _cut(value)) for value in values[:MOST_SHOWN]],
        "waits_us": now_us - parse_us(view["asked_at"]),
        "expires_us": expires_us,
        "is_soon": expires_us < SOON_US,
    }


def _cut(value: Value) -> str:
    text = value.text.replace("\n", " ")
    return text if len(text) <= _MOST_CHARS else text[:_MOST_CHARS] + "…"


def _ended(view: Mapping[str, Any]) -> dict[str, object]:
    return {"ask": view, "at": _ended_at(view), "took_us": took(view, _ended_at(view))}


def _ended_at(view: Mapping[str, Any]) -> str:
    answer = view["answer"]
    at: str = view["withdrawn_at"] or view["expires_at"] if answer is None else answer["at"]
    return at


def _numbers(rows: Sequence[AskRow], now_us: int) -> dict[str, object]:
    """Return how the requests of a day ended, and the median time until the answer."""
    counts = Counter(asks.status_of(row, now_us) for row in rows)
    times = [row.answered_at - row.asked_at for row in rows if row.answered_by and row.answered_at]
    return {
        "numbers": [(counts[status], status) for status in _ORDER if counts[status]],
        "p50_us": int(median(times)) if times else None,
    }
