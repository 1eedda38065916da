"""Each question goes through an index that fits it, on both databases."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import pytest

from remit.collector.store.ids import to_text
from remit.collector.store.questions.conversations import count_conversations, turns_of
from remit.collector.store.questions.count_lists import (
    CountCriteria,
    redacted_counts,
    run_counts,
    span_counts,
)
from remit.collector.store.questions.denials import runs_beyond
from remit.collector.store.questions.durations import last_durations
from remit.collector.store.questions.run_lists import (
    Cursor,
    RunCriteria,
    changed_runs,
    newest_change,
    person_hashes_from,
    runs,
    runs_beside,
)
from remit.collector.store.questions.scope import Scope, run_ref_of, scope_of
from remit.collector.store.questions.span_lists import SpanCriteria, spans
from remit.collector.store.questions.versions import (
    agents_of,
    last_runs,
    newest_declarations,
    rules_by_type,
    tokens_of,
    version_uses,
)
from tests.filled import BEGAN_US, DAY_US, HOUR_US, Filled, Reading, fill, schema_of
from tests.stores import EACH_STORE
from tests.subtests import each

RUNS: Final = 1500
SINCE_US: Final = BEGAN_US + 9 * DAY_US
TIMES: Final[dict[str, Any]] = {"since_us": SINCE_US, "until_us": SINCE_US + DAY_US}
# Everything but small tables, and increments, which are read whole.
LARGE: Final = r"(runs|run_\w+_?|spans_\d+|span_\w+)"
SMALL: Final = {"run_places", "span_types", "span_increments", "run_increments"}


@pytest.fixture(scope="module", params=EACH_STORE)
def data(request: pytest.FixtureRequest) -> Iterator[Filled]:
    """Return a database of which the planner knows the numbers of rows."""
    with schema_of(request.param) as filled:
        fill(filled, runs=RUNS)
        if filled.dialect == "postgres":
            filled.connection.execute("ANALYZE")
            # The tables are small enough to be read whole.
            filled.connection.execute("SET enable_seqscan = off")
        yield filled


def of(data: Filled, agent_id: str | None = None) -> Scope:
    """Return the smaller account, or its agent."""
    scope = scope_of(data.tx, "account two", agent_id)
    assert scope is not None
    return scope


def listed(**criteria: Any) -> Callable[[Filled], object]:
    """Return the question for runs of the account."""
    return lambda data: runs(data.tx, RunCriteria(scope=of(data), **criteria), limit=100)


def of_agent(**criteria: Any) -> Callable[[Filled], object]:
    """Return the question for runs of an agent."""

    def ask(data: Filled) -> object:
        return runs(data.tx, RunCriteria(scope=of(data, "agent-4"), **criteria), limit=100)

    return ask


def recorded(**criteria: Any) -> Callable[[Filled], object]:
    """Return the question for spans of the account in a day."""
    return lambda data: spans(data.tx, SpanCriteria(scope=of(data), **criteria, **TIMES), limit=100)


def of_many_failed(data: Filled) -> object:
    """Return the question for runs with a failed span, as if very many spans had failed."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("remit.collector.store.questions.run_lists.FEW_FINDINGS", 3)
        return listed(flag="failed")(data)


def of_run(data: Filled) -> object:
    """Return the spans of a run with their payloads."""
    run = next(run for run in data.tables["runs"][RUNS // 2 :] if run["account_ref"] == 2)
    wanted = SpanCriteria(scope=of(data), run=run_ref_of(data.tx, to_text(run["id"])))
    return spans(data.tx, wanted, limit=100, most_chars=10**6)


def beside_one(data: Filled) -> object:
    """Return the runs of an agent before and after one."""
    return runs_beside(data.tx, of(data, "agent-4"), to_text(data.tables["runs"][9]["id"]))


def counted(count: Callable[..., object], by: str, **times: Any) -> Callable[[Filled], object]:
    """Return the question for counts of four days and an hour."""
    until_us = SINCE_US + 4 * DAY_US + HOUR_US
    times = times or {"since_us": SINCE_US, "until_us": until_us}
    return lambda data: count(data.tx, CountCriteria(scope=of(data), **times), by)


# For each question: parts of the plan of SQLite, and of that of PostgreSQL.
QUESTIONS: Final[dict[str, tuple[Callable[[Filled], object], str, str]]] = {
    "runs": (listed(), "runs_of_account (account_ref=?)", "(runs_of_account|runs_by_status)"),
    "runs beside one": (
        beside_one,
        "runs_of_agent (agent_ref=?",
        "runs_of_agent",
    ),
    "older runs": (
        lambda data: runs(
            data.tx,
            RunCriteria(scope=of(data)),
            before=to_text(data.tables["runs"][RUNS // 2]["id"]),
            limit=100,
        ),
        "runs_of_account (account_ref=? AND id<?)",
        "runs_of_account",
    ),
    "runs of a time": (
        listed(**TIMES),
        "runs_of_account (account_ref=? AND id>? AND id<?)",
        "runs_",
    ),
    "agent": (of_agent(), "runs_of_agent (agent_ref=?)", "runs_of_agent"),
    "status": (
        listed(status="pending"),
        "runs_by_status (account_ref=? AND status=?)",
        "runs_by_status",
    ),
    "agent and status": (
        of_agent(status="pending"),
        "runs_of_agent_by_status (agent_ref=? AND status=?)",
        "runs_of_agent_by_status",
    ),
    "label": (
        listed(label=("team", "t1")),
        "SEARCH x USING PRIMARY KEY (key=? AND value=?)",
        "run_labels_pkey",
    ),
    "label of any value": (
        listed(label=("urgent", None)),
        "run_labels_by_key (key=?)",
        "run_labels_by_key",
    ),
    "subject": (
        listed(subject_hash="hash-1"),
        "SEARCH x USING PRIMARY KEY (subject_hash=?)",
        "run_subjects_pkey",
    ),
    "on behalf of": (
        listed(on_behalf_of_hash="hash-1"),
        "SEARCH x USING PRIMARY KEY (subject_hash=?)",
        "run_subjects_pkey",
    ),
    "conversation": (
        listed(conversation="thread-3"),
        "runs_of_conversation (account_ref=? AND conversation=?)",
        "runs_of_conversation",
    ),
    "turns of a conversation": (
        lambda data: turns_of(data.tx, of(data), "thread-3"),
        "runs_of_conversation (account_ref=? AND conversation=?)",
        "runs_of_conversation",
    ),
    "turns of an agent in a conversation": (
        lambda data: turns_of(data.tx, of(data, "agent-4"), "thread-3"),
        "runs_of_conversation (account_ref=? AND conversation=?)",
        "runs_of_conversation",
    ),
    "conversation and status": (
        listed(conversation="thread-3", status="failed"),
        "runs_of_conversation (account_ref=? AND conversation=?)",
        "runs_of_conversation",
    ),
    "waiting": (
        listed(status="waiting"),
        "runs_waiting (account_ref=? AND status=?)",
        "runs_waiting",
    ),
    "beginning of a subject": (
        lambda data: person_hashes_from(data.tx, of(data), "hash-1"),
        "SEARCH x USING PRIMARY KEY (subject_hash>? AND subject_hash<?)",
        "run_subjects_pkey",
    ),
    "subject and label": (
        listed(subject_hash="hash-1", label=("urgent", None)),
        "run_labels_of_run (run_ref=? AND key=?)",
        "run_labels_of_run",
    ),
    "key": (listed(key="key-33"), "PRIMARY KEY (external_identifier=?)", "run_keys_pkey"),
    "cause": (listed(caused_by="cause-3"), "runs_by_cause (caused_by=?)", "runs_by_cause"),
    "fingerprint": (
        listed(fingerprint=-9),
        "runs_by_fingerprint (fingerprint=?)",
        "runs_by_fingerprint",
    ),
    "runs with a flag that nothing has": (
        listed(flag="lost"),
        "SEARCH x USING PRIMARY KEY (kind=?)",
        "span_findings_pkey",
    ),
    "runs with a failed span": (
        listed(flag="failed"),
        "x USING COVERING INDEX spans_failed",
        r"spans_\d+_started_at_type_ref_idx",
    ),
    "runs with one of many failed spans": (
        of_many_failed,
        "runs_failed (account_ref=?)",
        "runs_failed",
    ),
    "runs with a flag": (
        listed(flag="undeclared"),
        "runs_flagged (account_ref=?)",
        "runs_flagged",
    ),
    "run": (of_run, "spans_of_run (run_ref=?)", r"spans_\d+_run_ref_id"),
    "type": (
        recorded(schema_name="desk:look"),
        "spans_of_type (type_ref=? AND started_at>? AND started_at<?)",
        r"spans_\d+_type_ref_started_at_idx",
    ),
    "failed": (
        recorded(status="failed"),
        "spans_failed (started_at>? AND started_at<?)",
        r"spans_\d+_started_at_type_ref_idx",
    ),
    "denied": (
        recorded(flag="denied"),
        "SEARCH x USING PRIMARY KEY (kind=? AND started_at>? AND started_at<?)",
        "span_findings_pkey",
    ),
    "spans": (recorded(), "spans_by_id (id>? AND id<?)", r"spans_\d+_id_idx"),
    "changes": (
        lambda data: changed_runs(
            data.tx, of(data), Cursor(RUNS // 4 - 5), data.tx.end_of_changes(), limit=100
        ),
        "run_changes_by_seq (seq>? AND seq<?)",
        "run_changes_by_seq",
    ),
    "newest change": (
        lambda data: newest_change(data.tx, data.tx.end_of_changes()),
        "SEARCH c USING COVERING INDEX run_changes_by_seq (seq<?)",
        "run_changes_by_seq",
    ),
    "counts by type": (
        counted(span_counts, "type"),
        "SEARCH c USING PRIMARY KEY (bucket=? AND type_ref=?)",
        "span_days_pkey",
    ),
    "counts by hour": (
        counted(span_counts, "hour", **TIMES),
        "SEARCH c USING PRIMARY KEY (bucket>? AND bucket<?)",
        "span_hours_pkey",
    ),
    "counts of runs": (
        counted(run_counts, "day"),
        "SEARCH c USING PRIMARY KEY (bucket>? AND bucket<?)",
        "run_hours_pkey",
    ),
    "redacted": (
        counted(redacted_counts, "rule", **TIMES),
        "SEARCH c USING PRIMARY KEY (bucket>? AND bucket<?)",
        "redacted_days_pkey",
    ),
    "versions of an agent": (
        lambda data: version_uses(data.tx, of(data, "agent-4"), most=100),
        "runs_of_agent (agent_ref=?)",
        "runs_of_agent",
    ),
    "tokens of an agent": (
        lambda data: tokens_of(data.tx, of(data, "agent-4"), SINCE_US, most=100),
        "runs_of_agent (agent_ref=? AND id>?)",
        "runs_of_agent",
    ),
    "conversations of an agent": (
        lambda data: count_conversations(data.tx, of(data, "agent-4"), SINCE_US, most=100),
        "runs_of_agent (agent_ref=? AND id>?)",
        "runs_of_agent",
    ),
    "runs beyond limits": (
        lambda data: runs_beyond(data.tx, of(data, "agent-4"), SINCE_US),
        "span_findings_of_agent (agent_ref=? AND started_at>?)",
        r"span_findings_(of_agent|pkey)",
    ),
    "last durations": (
        lambda data: last_durations(
            data.tx, of(data, "agent-4"), ["desk:look", "desk:pay"], SINCE_US, most=20
        ),
        "spans_of_type (type_ref=? AND started_at>?)",
        r"spans_\d+_type_ref_started_at_idx",
    ),
    "last runs": (
        lambda data: last_runs(data.tx, of(data), ["agent-3", "agent-4"]),
        "runs_of_agent ((agent_ref,id)<(?,?))",
        "runs_of_agent",
    ),
    "rules by type": (
        lambda data: rules_by_type(
            data.tx, of(data, "agent-4"), (SINCE_US // DAY_US, SINCE_US // DAY_US + 2)
        ),
        "SEARCH c USING PRIMARY KEY (bucket>? AND bucket<?)",
        "redacted_days_pkey",
    ),
    "agents": (
        lambda data: agents_of(data.tx, of(data), most=100),
        "agents_of_account (account_id=?)",
        "agents_(of_account|pkey)",
    ),
    "newest declarations": (
        lambda data: newest_declarations(data.tx, ["agent-3", "agent-4"]),
        "(agent_id=?",
        "agent_schema_versions",
    ),
}


def plans(data: Filled, question: Callable[[Filled], object]) -> str:
    """Return the plans of the statements of a question, except those that look up a name."""
    reading = cast("Reading", data.tx)
    reading.asked.clear()
    question(data)
    return "\n".join(
        data.explain(sql, values)
        for sql, values in reading.asked
        if not sql.startswith(("SELECT ref FROM", "SELECT id, ref"))
    )


@each("question", list(QUESTIONS))
def test_each_question_goes_through_its_index(data: Filled, question: str) -> None:
    """No large table is read whole."""
    ask, of_sqlite, of_postgres = QUESTIONS[question]

    plan = plans(data, ask)

    if data.dialect == "sqlite":
        assert of_sqlite in plan, plan
        assert not re.findall("^SCAN r$", plan, re.MULTILINE), plan
    else:
        assert re.search(rf"(using|on) {of_postgres}", plan), plan
        scanned = re.findall(rf"Seq Scan on {LARGE}\b", plan)
        assert {*scanned} <= SMALL, plan


@pytest.mark.gate
def test_postgres_leaves_out_partitions_of_other_times() -> None:
    """A time is that of ids with a day around it; the spans of a run come after it."""
    with schema_of("postgres") as data:
        fill(data, runs=200)
        run = run_ref_of(data.tx, to_text(data.tables["runs"][150]["id"]))
        wanted = SpanCriteria(scope=of(data), run=run)
        for ask in (recorded(), recorded(schema_name="desk:look"), recorded(status="failed")):
            assert partitions(plans(data, ask)) == {"spans_7"}
        of_one = plans(data, lambda data: spans(data.tx, wanted, limit=1))

    # Day 15, and the ids of times without a partition.
    assert partitions(of_one) == {"spans_14", "spans_21", "spans_other"}


def partitions(plan: str) -> set[str]:
    """Return the partitions of spans that a plan reads."""
    return set(re.findall(r"\b(spans_(?:[0-9]+|other))(?=\b|_)", plan))
