"""The questions of lists, counts and the live view, asked of synthetic data.

They are those of `remit.collector.store.questions`; the names say how many hits there are among
1,000,000 runs, where it matters. A question asks once, and returns the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias, TypedDict

from benchmarks.storage import synthetic
from benchmarks.storage.population import AGENTS, MODEL
from remit._base.ids import hash_of_on_behalf_of, hash_of_subject
from remit.collector.store.ids import to_text
from remit.collector.store.questions import holds
from remit.collector.store.questions.count_lists import (
    CountCriteria,
    redacted_counts,
    run_counts,
    span_counts,
)
from remit.collector.store.questions.run_lists import (
    WAITING,
    Cursor,
    RunCriteria,
    changed_runs,
    newest_change,
    runs,
)
from remit.collector.store.questions.scope import Scope, run_ref_of
from remit.collector.store.questions.span_lists import SpanCriteria, spans
from remit.collector.store.rows import AskRow
from remit.collector.store.statements import SELECT, Where
from remit.collector.store.transaction import Transaction

Question: TypeAlias = Callable[[Transaction], int]

PAGE: Final = 100
RARE: Final = AGENTS
"""The agent with the fewest runs, of which none is terminated."""
MOST_CHARS: Final = 16 * 1024 * 1024
DAY_US: Final = 24 * 3600 * 1_000_000


class Times(TypedDict):
    """A time, in microseconds since 1970."""

    since_us: int
    until_us: int


def days(before: int, count: int) -> Times:
    """Return a time of *count* days that begins so many days before the newest run."""
    since_us = synthetic.UNTIL_MS * 1000 - before * DAY_US
    return {"since_us": since_us, "until_us": since_us + count * DAY_US}


def questions(tx: Transaction) -> Iterator[tuple[str, Question]]:
    """Yield the questions and their names; *tx* looks up what they mention."""
    ((account_id,),) = tx.rows("SELECT id FROM accounts", ())
    every = Scope(account_id, 1)
    for name, (run_criteria, before) in _lists_of_runs(every).items():
        yield name, partial(_list_runs, wanted=run_criteria, before=before)
    for name, span_criteria in _lists_of_spans(every).items():
        yield name, partial(_list_spans, wanted=span_criteria)
    in_run = SpanCriteria(scope=every, run=run_ref_of(tx, _run_of_500(tx)))
    yield "a run of 500 spans", partial(_list_spans, wanted=in_run, limit=500)
    yield (
        "a run of 500 spans, with payloads",
        partial(_list_spans, wanted=in_run, limit=500, most_chars=MOST_CHARS),
    )
    for name, where in _lists_of_asks(account_id).items():
        yield name, partial(_list_asks, where=where)
    yield "holds of 60 days", partial(_list_holds, account_id=account_id)
    newest = newest_change(tx, tx.end_of_changes())
    cursor = Cursor(newest.seq - 2, 0)
    yield "runs changed since a cursor", partial(_list_changes, scope=every, after=cursor)
    yield from _counts(every)


def _list_runs(tx: Transaction, wanted: RunCriteria, before: str | None) -> int:
    return len(runs(tx, wanted, before=before, limit=PAGE))


def _list_spans(
    tx: Transaction, wanted: SpanCriteria, limit: int = PAGE, most_chars: int | None = None
) -> int:
    return len(spans(tx, wanted, limit=limit, most_chars=most_chars).spans)


def _list_asks(tx: Transaction, where: Where) -> int:
    sql = f"{SELECT[AskRow]} WHERE {where.text} ORDER BY id DESC LIMIT ?"
    return len(list(tx.rows(sql, (*where.values, PAGE))))


def _list_holds(tx: Transaction, account_id: str) -> int:
    return len(holds.since(tx, account_id, days(60, 1)["since_us"], PAGE))


def _lists_of_asks(account_id: str) -> dict[str, Where]:
    """Return the conditions of the lists of requests for approval."""
    last, waiting, of_run = Where(), Where(), Where()
    for each in (last, waiting, of_run):
        each.add("account_id = ?", account_id)
    waiting.add("status = 'waiting'")
    of_run.add("run = ?", "order-102")
    return {"last 100 asks": last, "asks that wait": waiting, "asks of a run": of_run}


def _list_changes(tx: Transaction, scope: Scope, after: Cursor) -> int:
    return len(changed_runs(tx, scope, after, tx.end_of_changes(), limit=PAGE)[0])


def _lists_of_runs(every: Scope) -> dict[str, tuple[RunCriteria, str | None]]:
    """Return what lists of runs ask for, and the id before which they begin."""
    of_all = RunCriteria(scope=every)
    of_agent = replace(of_all, scope=every._replace(agent_ref=1))
    of_rare = replace(of_all, scope=every._replace(agent_ref=RARE))
    middle_ms = days(30, 1)["since_us"] // 1000
    middle = to_text((middle_ms << synthetic.ID_SHIFT).to_bytes(20))
    failure = synthetic.fingerprint("search", "KeyError", "shop/search.py")
    criteria = {
        "last 100 runs": of_all,
        "runs of an agent": of_agent,
        "runs by status": replace(of_all, status="failed"),
        "runs by status, no hit": replace(of_all, status="pending"),
        "runs by agent and status": replace(of_agent, status="failed"),
        "runs by agent and status, no hit": replace(of_rare, status="terminated"),
        "runs with a label, 20,000 hits": replace(of_all, label=synthetic.LABEL),
        "runs with a label, 200 hits": replace(of_all, label=("tenant", "t77")),
        "runs with a key of labels, 200,000 hits": replace(of_all, label=("tenant", None)),
        "runs of a subject": replace(of_all, subject_hash=hash_of_subject("customer-7")),
        "runs on behalf of a person": replace(
            of_all, on_behalf_of_hash=hash_of_on_behalf_of("user-7")
        ),
        "runs of a conversation": replace(of_all, conversation="thread-52"),
        "runs that wait for a person": replace(of_all, status=WAITING),
        "run by its key": replace(of_all, key="order-52"),
        "runs with a cause": replace(of_all, caused_by=f"{1:032x}"),
        "runs with a fingerprint": replace(of_all, fingerprint=failure),
        "runs with a denied span": replace(of_all, flag="denied"),
        "runs with lost spans, no hit": replace(of_all, flag="lost"),
        "runs of a rare agent with a failed span": replace(of_rare, flag="failed"),
        "runs of a purpose, no hit": replace(of_all, purpose="smoke_test"),
    }
    lists: dict[str, tuple[RunCriteria, str | None]] = {
        name: (wanted, None) for name, wanted in criteria.items()
    }
    return {**lists, "100 runs before a cursor": (of_all, middle)}


def _lists_of_spans(every: Scope) -> dict[str, SpanCriteria]:
    day = SpanCriteria(scope=every, **days(20, 1))
    week = SpanCriteria(scope=every, **days(17, 7))
    rare = every._replace(agent_ref=RARE)
    return {
        "last 100 spans": SpanCriteria(scope=every),
        "spans of a type in a day": replace(day, schema_name=MODEL),
        "spans of a type of an agent in a day": replace(
            day, schema_name=MODEL, scope=every._replace(agent_ref=1)
        ),
        "spans of an agent in a day": replace(day, scope=every._replace(agent_ref=1)),
        "failed spans of a week": replace(week, status="failed"),
        "failed spans of a rare agent in a week": replace(week, status="failed", scope=rare),
        "failed spans of a type in a week": replace(week, status="failed", schema_name=MODEL),
        "denied spans of a week": replace(week, flag="denied"),
        "denied spans of a rare agent in a week": replace(week, flag="denied", scope=rare),
        "undeclared spans of a week": replace(week, flag="undeclared"),
        "lost spans of a week, no hit": replace(week, flag="lost"),
    }


def _run_of_500(tx: Transaction) -> str:
    size = "spans_active + spans_complete + spans_failed + spans_cancelled"
    sql = f"SELECT id FROM runs WHERE {size} = ? ORDER BY id LIMIT 1"
    ((run_id,),) = tx.rows(sql, (synthetic.MEDIUM_SPANS,))
    return to_text(run_id)


def _counts(every: Scope) -> Iterator[tuple[str, Question]]:
    month = CountCriteria(scope=every, **days(30, 30))
    of_agent = replace(month, scope=every._replace(agent_ref=1))
    day, week = replace(month, **days(1, 1)), replace(month, **days(7, 7))

    for by in ("type", "category", "day", "status", "agent"):
        yield f"30 days by {by}", partial(_count_spans, wanted=month, by=by)
    yield "30 days of an agent by type", partial(_count_spans, wanted=of_agent, by="type")
    yield "30 days of an agent by category", partial(_count_spans, wanted=of_agent, by="category")
    yield "24 hours by type", partial(_count_spans, wanted=day, by="type")
    yield "a day by hour", partial(_count_spans, wanted=day, by="hour")
    yield "7 days by hour", partial(_count_spans, wanted=week, by="hour")
    for by in ("day", "hour", "agent", "status"):
        yield f"runs of 30 days by {by}", partial(_count_runs, wanted=month, by=by)
    yield "redacted of 30 days by rule", partial(_count_redacted, wanted=month, by="rule")


def _count_spans(tx: Transaction, wanted: CountCriteria, by: str) -> int:
    return len(span_counts(tx, wanted, by))


def _count_runs(tx: Transaction, wanted: CountCriteria, by: str) -> int:
    return len(run_counts(tx, wanted, by))


def _count_redacted(tx: Transaction, wanted: CountCriteria, by: str) -> int:
    return len(redacted_counts(tx, wanted, by))
