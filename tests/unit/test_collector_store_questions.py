"""Lists, changes and counts of both databases, compared with the same rows in Python."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from remit.collector.store.ids import to_text
from remit.collector.store.questions import run_lists
from remit.collector.store.questions.conversations import turns_of
from remit.collector.store.questions.count_lists import (
    CountCriteria,
    redacted_counts,
    run_counts,
    span_counts,
)
from remit.collector.store.questions.run_lists import (
    MEASURES,
    Cursor,
    RunCriteria,
    changed_runs,
    count_runs,
    newest_change,
    ranked_runs,
    run_with_agent,
    runs,
    runs_beside,
)
from remit.collector.store.questions.scope import FAILED, FLAGS, Scope, run_ref_of, scope_of
from remit.collector.store.questions.span_lists import Position, SpanCriteria, spans
from remit.collector.store.rows import STATUSES
from tests.filled import (
    BEGAN_US,
    DAY_US,
    HOUR_US,
    RULES,
    RUN_COLUMNS,
    SPAN_COLUMNS,
    Filled,
    Row,
    counts_of,
    fill,
    schema_of,
)
from tests.inside_collector import RunWithAgent
from tests.stores import EACH_STORE
from tests.subtests import each

MIDDLE_US = BEGAN_US + 9 * DAY_US + 7 * HOUR_US
END_US = BEGAN_US + 12 * DAY_US + 5 * HOUR_US
ALL = 10_000


@pytest.fixture(scope="module", params=EACH_STORE)
def data(request: pytest.FixtureRequest) -> Iterator[Filled]:
    """Return a database with 300 runs of 1,500 spans in two accounts."""
    with schema_of(request.param) as filled:
        fill(filled)
        yield filled


def scope(data: Filled, account: str = "account one", *names: str | None) -> Scope:
    """Return a scope that exists."""
    named = scope_of(data.tx, account, *names)
    assert named is not None
    return named


def in_scope(place: Row, within: Scope) -> bool:
    """Return whether the runs of a place are in a scope."""
    return (
        place["account_ref"] == within.account_ref
        and within.agent_ref in {None, place["agent_ref"]}
        and within.environment_ref in {None, place["environment_ref"]}
    )


SCOPES: dict[str, tuple[Any, ...]] = {
    "account": ("account one",),
    "other account": ("account two",),
    "agent": ("account one", "agent-2"),
    "environment": ("account one", None, "staging"),
    "deployment": ("account one", "agent-1", "production"),
}


def labels(data: Filled, run: Row) -> set[tuple[str, str]]:
    """Return the labels of a run."""
    return {
        (row["key"], row["value"])
        for row in data.tables["run_labels"]
        if row["run_ref"] == run["ref"]
    }


def always(*_: object) -> bool:
    """Meet criteria that exclude nothing."""
    return True


def is_flagged(bits: int, *rows: Any) -> bool:
    """Return whether a run or a span has one of the flags."""
    return bool(rows[-1]["flags"] & bits)


def never(*_: object) -> bool:
    """Meet no criteria that nothing meets."""
    return False


RUNS: dict[str, tuple[dict[str, Any], Callable[[Filled, Row], bool]]] = {
    "all": ({}, always),
    "status": ({"status": "failed"}, lambda _, run: run["status"] == "failed"),
    "no status": ({"status": "pending"}, never),
    "purpose": ({"purpose": "eval"}, lambda _, run: run["purpose"] == "eval"),
    "since": ({"since_us": MIDDLE_US}, lambda _, run: run["started_at"] >= MIDDLE_US),
    "until": ({"until_us": MIDDLE_US}, lambda _, run: run["started_at"] < MIDDLE_US),
    "label": ({"label": ("team", "t2")}, lambda data, run: ("team", "t2") in labels(data, run)),
    "label of any value": (
        {"label": ("urgent", None)},
        lambda data, run: "urgent" in {key for key, _ in labels(data, run)},
    ),
    "label twice": ({"label": ("team", None)}, always),
    "subject": (
        {"subject_hash": "hash-4"},
        lambda _, run: run["ref"] % 6 == 5,
    ),
    "subject and on behalf of": (
        {"subject_hash": "hash-4", "on_behalf_of_hash": "person-1"},
        lambda _, run: run["ref"] % 6 == 5 and run["ref"] % 4 == 2,
    ),
    "conversation": (
        {"conversation": "thread-3"},
        lambda _, run: run["conversation"] == "thread-3",
    ),
    "waiting": (
        {"status": "waiting"},
        lambda _, run: run["status"] == "active" and run["asked"] > run["answered"],
    ),
    "conversation and on behalf of and times": (
        {"conversation": "thread-3", "on_behalf_of_hash": "person-1", "until_us": MIDDLE_US},
        lambda _, run: (
            run["conversation"] == "thread-3"
            and run["ref"] % 4 == 2
            and run["started_at"] < MIDDLE_US
        ),
    ),
    "conversation and key": (
        {"conversation": "thread-3", "key": "key-33"},
        lambda _, run: (run["conversation"], run["external_identifier"]) == ("thread-3", "key-33"),
    ),
    "key": (
        {"key": "key-33"},
        lambda _, run: run["external_identifier"] == "key-33",
    ),
    "cause": ({"caused_by": "cause-2"}, lambda _, run: run["caused_by"] == "cause-2"),
    "fingerprint": ({"fingerprint": -3}, lambda _, run: run["fingerprint"] == -3),
    "failed": ({"flag": FAILED}, lambda _, run: run["spans_failed"] > 0),
    **{
        flag: ({"flag": flag}, partial(is_flagged, bits))
        for flag, bits in FLAGS.items()
    },
    "subject and label": (
        {"subject_hash": "hash-4", "label": ("team", "t0"), "status": "complete"},
        lambda data, run: (
            run["ref"] % 6 == 5
            and ("team", "t0") in labels(data, run)
            and run["status"] == "complete"
        ),
    ),
    "subject and label of any value": (
        {"subject_hash": "hash-0", "label": ("team", None), "caused_by": None},
        lambda _, run: run["ref"] % 6 == 1,
    ),
    "key and subject": (
        {"key": "key-60", "subject_hash": "hash-0"},
        lambda _, run: run["external_identifier"] == "key-60",
    ),
    "key and another subject": ({"key": "key-60", "subject_hash": "hash-1"}, never),
    "key and label and times": (
        {"key": "key-60", "label": ("urgent", ""), "since_us": BEGAN_US, "until_us": END_US},
        lambda data, run: (
            run["external_identifier"] == "key-60" and ("urgent", "") in labels(data, run)
        ),
    ),
    "label and flag and times": (
        {
            "label": ("team", "t1"),
            "flag": "redacted",
            "since_us": MIDDLE_US,
            "until_us": END_US,
        },
        lambda data, run: (
            ("team", "t1") in labels(data, run)
            and bool(run["flags"] & 1024)
            and MIDDLE_US <= run["started_at"] < END_US
        ),
    ),
}  # fmt: skip


@each("within", list(SCOPES))
@each("question", list(RUNS))
def test_runs_are_those_that_meet_the_criteria(data: Filled, question: str, within: str) -> None:
    """Newest first, page by page, and their number is right."""
    criteria, meets = RUNS[question]
    place = scope(data, *SCOPES[within])
    wanted = RunCriteria(scope=place, **criteria)
    expected = [
        to_text(run["id"])
        for run in reversed(data.tables["runs"])
        if in_scope(run["_place"], place) and meets(data, run)
    ]

    listed: list[str] = []
    while page := runs(data.tx, wanted, before=listed[-1] if listed else None, limit=7):
        listed += [run.id for run in page]

    assert listed == expected
    assert count_runs(data.tx, wanted) == len(expected)


@each("flag", ["invalid", "failed"])
def test_few_findings_and_many_lead_to_the_same_runs(data: Filled, flag: str) -> None:
    """Whichever way the database goes."""
    wanted = RunCriteria(scope=scope(data, "account one", "agent-1"), flag=flag)
    by_findings = runs(data.tx, wanted, limit=ALL)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("remit.collector.store.questions.run_lists.FEW_FINDINGS", 3)
        by_flags = runs(data.tx, wanted, limit=ALL)

    assert by_flags == by_findings
    assert len(by_findings) > 3


@each("within", list(SCOPES))
def test_the_turns_of_a_conversation_are_numbered(data: Filled, within: str) -> None:
    """The oldest first, of those in the scope; of too many, the newest keep their numbers."""
    place = scope(data, *SCOPES[within])
    expected = [
        (number, to_text(run["id"]), run["status"])
        for number, run in enumerate(
            (
                run
                for run in data.tables["runs"]
                if in_scope(run["_place"], place) and run["conversation"] == "thread-3"
            ),
            1,
        )
    ]

    for most in (ALL, 2):
        turns = turns_of(data.tx, place, "thread-3", most=most)
        listed = [(turn.number, turn.id, turn.status) for turn in turns]
        assert listed == expected[-most:]
        waiting = {turn.id for turn in turns if turn.is_waiting}
        wanted = RunCriteria(scope=place, conversation="thread-3", status="waiting")
        assert waiting == {run.id for run in runs(data.tx, wanted, limit=ALL)} & {
            turn.id for turn in turns
        }
    assert turns_of(data.tx, place, "thread-none") == []


def test_a_run_has_what_its_rows_have(data: Filled) -> None:
    """Ids are texts, and the agent is named."""
    (run,) = runs(data.tx, RunCriteria(scope=scope(data), fingerprint=-1), limit=1)
    (row,) = (row for row in data.tables["runs"] if to_text(row["id"]) == run.id)

    place = row["_place"]
    assert run.agent_id == place["agent_id"]
    assert run.agent_name == f"Agent {place['agent_ref']}"
    assert run.agent_identifier == f"a{place['agent_ref']}"
    assert run.agent_version_id == place["agent_version_id"]
    assert run.environment_id == place["environment_id"]
    assert run.agent_deployment_id == place["agent_deployment_id"]
    names = {*RunWithAgent.__struct_fields__} & row.keys() - {"id"}
    assert len(names) > 30
    assert {name: getattr(run, name) for name in names} == {name: row[name] for name in names}


def test_a_scope_of_something_unknown_is_none(data: Filled) -> None:
    """What belongs to another account is unknown."""
    assert scope_of(data.tx, "account three") is None
    assert scope_of(data.tx, "account one", "agent-4") is None
    assert scope_of(data.tx, "account one", "agent-1", "other") is None
    assert scope_of(data.tx, "account two", "agent-4", "other") == ("account two", 2, 4, 3)


# Spans


FINDINGS = {"denied", "violation", "redacted", "invalid", "lost"}
"""The flags by which spans are listed as findings: also those that have not started."""


def is_listed(span: Row, wanted: SpanCriteria) -> bool:
    """Return whether a span is in lists of the kind and time that is wanted."""
    at_us = span["started_at"]
    if wanted.flag in FINDINGS:
        at_us = at_us or span["inserted_at"]
    elif (wanted.since_us or wanted.until_us) and (at_us is None or not is_near(span, wanted)):
        return False
    if at_us is None:
        return not wanted.by_start
    after = wanted.since_us is None or wanted.since_us <= at_us
    return after and (wanted.until_us is None or at_us < wanted.until_us)


def is_near(span: Row, wanted: SpanCriteria) -> bool:
    """Return whether the id of a span was made in the time that is wanted, or a day around it."""
    id_us = (int.from_bytes(span["id"]) >> 110) * 1000
    after = wanted.since_us is None or wanted.since_us - DAY_US <= id_us
    return after and (wanted.until_us is None or id_us < wanted.until_us + DAY_US)


SPANS: dict[str, tuple[dict[str, Any], Callable[[Row], bool]]] = {
    "all": ({}, always),
    "type": ({"schema_name": "desk:ask"}, lambda span: span["_type"] == "desk:ask"),
    "unknown type": ({"schema_name": "desk:none"}, never),
    "failed": ({"status": "failed"}, lambda span: span["status"] == 3),
    "flag failed": ({"flag": FAILED}, lambda span: span["status"] == 3),
    "cancelled": ({"status": "cancelled"}, lambda span: span["status"] == 1),
    **{flag: ({"flag": flag}, partial(is_flagged, bits)) for flag, bits in FLAGS.items()},
    "type and flag": (
        {"schema_name": "desk:ask", "flag": "denied"},
        lambda span: span["_type"] == "desk:ask" and bool(span["flags"] & 512),
    ),
    "flag and status": (
        {"status": "complete", "flag": "invalid"},
        lambda span: span["status"] == 2 and bool(span["flags"] & 80),
    ),
    "type and status": (
        {"schema_name": "desk:look", "status": "complete"},
        lambda span: span["_type"] == "desk:look" and span["status"] == 2,
    ),
    "failed and type": (
        {"schema_name": "desk:look", "status": "failed"},
        lambda span: span["_type"] == "desk:look" and span["status"] == 3,
    ),
    "undeclared and failed": (
        {"flag": "undeclared", "status": "failed"},
        lambda span: span["_type"] == "desk:new" and span["status"] == 3,
    ),
    "failed and complete": ({"flag": "failed", "status": "complete"}, never),
}
TIMES: dict[str, tuple[int | None, int | None]] = {
    "ever": (None, None),
    "since": (MIDDLE_US, None),
    "until": (None, MIDDLE_US),
    "between": (MIDDLE_US, END_US),
}


@each("times", list(TIMES))
@each("within", list(SCOPES))
@each("question", list(SPANS))
def test_spans_are_those_that_meet_the_criteria(
    data: Filled, question: str, within: str, times: str
) -> None:
    """Newest first, page by page."""
    criteria, meets = SPANS[question]
    place = scope(data, *SCOPES[within])
    since_us, until_us = TIMES[times]
    wanted = SpanCriteria(scope=place, since_us=since_us, until_us=until_us, **criteria)
    rows = [
        span
        for span in data.tables["spans"]
        if in_scope(span["_place"], place) and meets(span) and is_listed(span, wanted)
    ]

    def position(span: Row) -> tuple[int, bytes]:
        at_us = span["started_at"] or span["inserted_at"]
        return at_us if wanted.by_start else 0, span["id"]

    rows.sort(key=position, reverse=True)
    assert pages(data, wanted) == [span["_id"] for span in rows]


def pages(data: Filled, wanted: SpanCriteria, limit: int = 83) -> list[str]:
    """Return the ids of all spans of a list, read page by page."""
    listed: list[str] = []
    position: Position | None = None
    while True:
        page = spans(data.tx, wanted, before=position, limit=limit)
        listed += [span.id for span in page.spans]
        if page.next is None:
            return listed
        assert len(page.spans) == limit
        position = Position.parse(str(page.next))
        assert position == page.next


@each("agent", [None, "agent-1"])
def test_spans_of_a_run_are_in_the_order_of_their_ids(data: Filled, agent: str | None) -> None:
    """Also those whose id was made long before the run, and those that have not started."""
    for run in data.tables["runs"][:80]:
        key = run_ref_of(data.tx, to_text(run["id"]))
        within = scope(data, "account one", agent)
        ids = [span["_id"] for span in data.tables["spans"] if span["run_ref"] == run["ref"]]
        if agent is not None and run["_place"]["agent_id"] != agent:
            ids = []

        wanted = SpanCriteria(scope=within, run=key)

        oldest_first = replace(wanted, oldest_first=True)

        for limit in (2, 5, 6):
            assert pages(data, wanted, limit) == sorted(ids, reverse=True)
            assert pages(data, oldest_first, limit) == sorted(ids)


@each("question", list(SPANS))
def test_the_same_criteria_apply_within_a_run(data: Filled, question: str) -> None:
    """They exclude spans of the run."""
    criteria, meets = SPANS[question]
    for run in data.tables["runs"][:40]:
        key = run_ref_of(data.tx, to_text(run["id"]))
        wanted = SpanCriteria(scope=scope(data), run=key, until_us=MIDDLE_US, **criteria)
        expected = [
            span["_id"]
            for span in data.tables["spans"]
            if span["run_ref"] == run["ref"] and meets(span) and span["started_at"] is not None
        ]
        assert pages(data, wanted, 2) == sorted(expected, reverse=True)


def test_a_run_that_does_not_exist_has_no_key(data: Filled) -> None:
    """There is nothing to list."""
    assert run_ref_of(data.tx, "0" * 32) is None


def test_a_span_has_what_its_rows_have(data: Filled) -> None:
    """Payloads only if they are wanted; a deleted one is an empty object."""
    (run,) = (run for run in data.tables["runs"] if run["ref"] == 10)
    wanted = SpanCriteria(scope=scope(data), run=run_ref_of(data.tx, to_text(run["id"])))
    payloads = {row["id"]: row for row in data.tables["span_payloads"]}
    rows = {row["_id"]: row for row in data.tables["spans"] if row["run_ref"] == 10}
    types = {row["ref"]: row for row in data.tables["span_types"]}

    plain = spans(data.tx, wanted, limit=5)
    whole = spans(data.tx, wanted, limit=5, most_chars=10**6)

    assert len(plain.spans) == len(whole.spans) == 5
    for span, with_payload in zip(plain.spans, whole.spans, strict=True):
        row = rows[span.id]
        assert span.payload is span.result_payload is None
        assert span.run_id == to_text(run["id"])
        assert span.agent_id == run["_place"]["agent_id"]
        assert span.status == STATUSES[row["status"]]
        assert (span.schema_name, span.title) == (row["_type"], types[row["type_ref"]]["title"])
        names = ("flags", "started_at", "finished_at", "inserted_at", "updated_at", "summary")
        assert [getattr(span, name) for name in names] == [row[name] for name in names]
        stored = payloads.get(row["id"], {"payload": "{}", "result": None})
        assert with_payload.payload == stored["payload"]
        assert with_payload.result_payload == stored["result"]
    assert "{}" in {span.payload for span in whole.spans}


@each("by", ["run", "type"])
def test_a_page_with_payloads_ends_before_it_is_too_long(data: Filled, by: str) -> None:
    """It holds one span at least, and the next page goes on after it."""
    key = run_ref_of(data.tx, to_text(data.tables["runs"][10]["id"]))
    wanted = SpanCriteria(scope=scope(data), schema_name="desk:look")
    if by == "run":
        wanted = SpanCriteria(scope=scope(data), run=key)
    expected = [
        (span.id, span.payload) for span in spans(data.tx, wanted, limit=40, most_chars=10**6).spans
    ]

    listed: list[tuple[str, str | None]] = []
    sizes: list[int] = []
    position: Position | None = None
    while len(listed) < len(expected):
        page = spans(data.tx, wanted, before=position, limit=40, most_chars=30)
        listed += [(span.id, span.payload) for span in page.spans]
        sizes.append(len(page.spans))
        position = page.next

    assert listed[: len(expected)] == expected
    assert 1 <= min(sizes) <= max(sizes) <= 3


def test_a_text_that_is_no_position_is_none() -> None:
    """Nothing else is accepted from a client."""
    for text in (
        "",
        "1",
        "x-y",
        "1-2",
        f"1-{'0' * 31}",
        f"1.5-{'0' * 32}",
        f"{'9' * 19}-{'0' * 32}",
    ):
        assert Position.parse(text) is None
    assert str(Position.parse(f"-5-{'0' * 32}")) == f"-5-{'0' * 32}"


# Counts


def of_spans(data: Filled, wanted: CountCriteria) -> Iterator[tuple[Row, Row]]:
    """Yield the spans that are counted, with their runs."""
    run_of = {run["ref"]: run for run in data.tables["runs"]}
    for span in data.tables["spans"]:
        run, at_us = run_of[span["run_ref"]], span["started_at"] or span["inserted_at"]
        within = (wanted.since_us or 0) <= at_us < (wanted.until_us or 2**60)
        of_purpose = wanted.purpose in {None, run["purpose"]}
        if in_scope(span["_place"], wanted.scope) and within and of_purpose:
            yield span, run


GROUPS: dict[str, Callable[[Row], Any]] = {
    "hour": lambda span: (span["started_at"] or span["inserted_at"]) // HOUR_US,
    "day": lambda span: (span["started_at"] or span["inserted_at"]) // DAY_US,
    "type": lambda span: span["_type"],
    "category": lambda span: "contact_information" if span["_type"] == "desk:ask" else None,
    "agent": lambda span: span["_place"]["agent_id"],
}


@each("purpose", [None, "eval"])
@each("times", list(TIMES))
@each("within", list(SCOPES))
@each("by", list(GROUPS))
def test_spans_are_counted(
    data: Filled, by: str, within: str, times: str, purpose: str | None
) -> None:
    """Whole hours of the time, however many whole days they are."""
    since_us, until_us = TIMES[times]
    place = scope(data, *SCOPES[within])
    wanted = CountCriteria(scope=place, purpose=purpose, since_us=since_us, until_us=until_us)
    expected: dict[object, Row] = {}
    for span, _ in of_spans(data, wanted):
        group = GROUPS[by](span)
        if group is None:
            continue
        numbers = expected.setdefault(group, dict.fromkeys(SPAN_COLUMNS, 0))
        for name, number in counts_of(span).items():
            together = max if name == "duration_max_us" else int.__add__
            numbers[name] = together(numbers[name], number)

    counted = span_counts(data.tx, wanted, by)

    assert {one.group: one.numbers for one in counted} == expected
    sizes = [one.total for one in counted]
    assert sizes == [sum(one.numbers[name] for name in SPAN_COLUMNS[:4]) for one in counted]
    if by in {"hour", "day"}:
        assert [one.group for one in counted] == sorted(one.group for one in counted)
    else:
        assert sizes == sorted(sizes, reverse=True)


def test_a_time_without_a_whole_day_is_counted_by_hours(data: Filled) -> None:
    """As well as one that begins or ends with a day."""
    hour = MIDDLE_US // HOUR_US
    for first, end in (
        (hour, hour + 3),
        (hour, hour + 17),
        (hour - 7, hour + 17),
        (hour - 7, hour),
    ):
        wanted = CountCriteria(scope=scope(data), since_us=first * HOUR_US, until_us=end * HOUR_US)
        spans_in_it = len(list(of_spans(data, wanted)))
        (count,) = [sum(one.total for one in span_counts(data.tx, wanted, "status"))]
        assert count == spans_in_it > 0


def test_the_hour_of_a_moment_is_counted_whole(data: Filled) -> None:
    """The begin is rounded down, the end up."""
    place = scope(data)
    hours = CountCriteria(scope=place, since_us=MIDDLE_US, until_us=END_US)
    within = CountCriteria(scope=place, since_us=MIDDLE_US + 1, until_us=END_US - 1)

    for by in ("type", "hour"):
        assert span_counts(data.tx, within, by) == span_counts(data.tx, hours, by)


def test_the_title_of_a_type_is_its_newest(data: Filled) -> None:
    """A type that was declared twice is one."""
    counted = span_counts(data.tx, CountCriteria(scope=scope(data)), "type")

    assert {one.group: one.title for one in counted} == {
        "desk:ask": "desk:ask h2",
        "desk:look": "desk:look h3",
        "desk:new": "desk:new ",
    }


@each("within", list(SCOPES))
@each("by", ["hour", "day", "agent", "status"])
def test_runs_are_counted(data: Filled, by: str, within: str) -> None:
    """By the time in their id."""
    place = scope(data, *SCOPES[within])
    wanted = CountCriteria(scope=place, since_us=MIDDLE_US, until_us=END_US, purpose="live")
    expected: dict[object, dict[str, int]] = defaultdict(lambda: dict.fromkeys(RUN_COLUMNS, 0))
    for run in data.tables["runs"]:
        if (
            in_scope(run["_place"], place)
            and MIDDLE_US <= run["started_at"] < END_US
            and run["purpose"] == "live"
        ):
            group = {
                "hour": run["started_at"] // HOUR_US,
                "day": run["started_at"] // DAY_US,
                "agent": run["_place"]["agent_id"],
                "status": 0,
            }[by]
            expected[group][run["status"]] += 1

    counted = run_counts(data.tx, wanted, by)

    if by == "status":
        assert {one.group: one.total for one in counted} == {
            status: number for status, number in expected[0].items() if number
        }
    else:
        assert {one.group: one.numbers for one in counted} == expected


@each("within", list(SCOPES))
@each("by", ["rule", "type", "day"])
def test_redacted_values_are_counted(data: Filled, by: str, within: str) -> None:
    """Whole days of the time."""
    place = scope(data, *SCOPES[within])
    wanted = CountCriteria(scope=place, since_us=MIDDLE_US, until_us=END_US)
    expected: dict[object, int] = defaultdict(int)
    for span in data.tables["spans"]:
        day = (span["started_at"] or span["inserted_at"]) // DAY_US
        if (
            in_scope(span["_place"], place)
            and span["flags"] & 1024
            and MIDDLE_US // DAY_US <= day <= END_US // DAY_US
        ):
            group = {"rule": RULES[span["ref"] % 2], "type": span["_type"], "day": day}[by]
            expected[group] += 2

    counted = redacted_counts(data.tx, wanted, by)

    assert {one.group: one.total for one in counted} == expected


# Changes


def test_changes_are_followed_by_a_cursor(data: Filled) -> None:
    """Oldest first, each run once, those of the scope only."""
    place = scope(data, "account one", "agent-1")
    expected = [to_text(run["id"]) for run in data.tables["runs"] if in_scope(run["_place"], place)]
    listed: list[str] = []
    cursor = Cursor()
    end = data.tx.end_of_changes()
    while True:
        changed, after = changed_runs(data.tx, place, cursor, end, limit=3)
        if not changed:
            break
        assert after > cursor
        listed += [run.id for run in changed]
        cursor = after

    assert listed == expected
    assert after == cursor
    newest = newest_change(data.tx, end)
    assert newest >= cursor
    assert changed_runs(data.tx, scope(data), newest, end, limit=3) == ([], newest)


def test_no_change_from_the_end_on_is_listed(data: Filled) -> None:
    """A transaction that is still open may commit one with a smaller number than others have."""
    place = scope(data)
    changed, middle = changed_runs(data.tx, place, Cursor(), data.tx.end_of_changes(), limit=5)
    last = changed[-1].id

    before, _ = changed_runs(data.tx, place, Cursor(), middle.seq, limit=100)

    assert last not in [run.id for run in before]
    assert newest_change(data.tx, middle.seq).seq < middle.seq


def test_a_run_is_read_by_its_key(data: Filled) -> None:
    """As lists have it."""
    listed = runs(data.tx, RunCriteria(scope=scope(data)), limit=3)
    keys = [run_ref_of(data.tx, run.id) for run in listed]
    assert [key and run_with_agent(data.tx, key) for key in keys] == listed


def test_the_runs_beside_one_are_the_nearest(data: Filled) -> None:
    """None at the ends."""
    place = scope(data)
    ids = [run.id for run in runs(data.tx, RunCriteria(scope=place), limit=ALL)]
    for number in (0, 1, len(ids) - 1):
        newer = ids[number - 1] if number else None
        older = ids[number + 1] if number + 1 < len(ids) else None
        assert runs_beside(data.tx, place, ids[number]) == (older, newer)


def test_the_changes_of_one_run_are_its_own(data: Filled) -> None:
    """Until the cursor is behind them."""
    run = next(run for run in data.tables["runs"] if run["_place"]["account_ref"] == 1)
    key = run_ref_of(data.tx, to_text(run["id"]))
    end = data.tx.end_of_changes()

    changed, cursor = changed_runs(data.tx, scope(data), Cursor(), end, run=key, limit=3)

    assert [one.id for one in changed] == [to_text(run["id"])]
    assert changed_runs(data.tx, scope(data), cursor, end, run=key, limit=3) == ([], cursor)
    other = scope(data, "account two")
    assert changed_runs(data.tx, other, Cursor(), end, run=key, limit=3)[0] == []


@pytest.mark.gate
def test_a_change_that_is_committed_late_is_not_skipped() -> None:
    """PostgreSQL numbers transactions when they begin: later ones wait for those still open."""
    change = (
        "UPDATE run_changes SET seq = CAST(CAST(pg_current_xact_id() AS text) AS bigint) "
        "WHERE run_ref = %s"
    )
    with schema_of("postgres") as data:
        fill(data, runs=20)
        wanted = scope(data)
        ours = [run["ref"] for run in data.tables["runs"] if in_scope(run["_place"], wanted)]
        first, second = (to_text(data.tables["runs"][ref - 1]["id"]) for ref in ours[:2])
        start = newest_change(data.tx, data.tx.end_of_changes())
        with data.connect() as early, data.connect() as late:
            with early.transaction():
                early.execute(change, (ours[0],))
                late.execute(change, (ours[1],))
                end = data.tx.end_of_changes()
                meanwhile, cursor = changed_runs(data.tx, wanted, start, end, limit=10)
            end = data.tx.end_of_changes()
            changed, after = changed_runs(data.tx, wanted, cursor, end, limit=10)

    assert meanwhile == []
    assert cursor == start
    assert [run.id for run in changed] == [first, second]
    assert after > cursor


def measured(row: Row, measure: str) -> int:
    """Return the value of a measure of a run; 0 if it has none."""
    if measure == "tokens":
        return (row["tokens_in"] or 0) + (row["tokens_out"] or 0)
    return 0 if row["finished_at"] is None else row["finished_at"] - row["started_at"]


@pytest.mark.parametrize("measure", list(MEASURES))
@pytest.mark.parametrize("most", [30, ALL])
def test_runs_are_ranked_among_the_newest(
    data: Filled, monkeypatch: pytest.MonkeyPatch, measure: str, most: int
) -> None:
    """A run without the measure is left out; the ranking says whether it compared all."""
    monkeypatch.setattr(run_lists, "MOST_RANKED", most)
    within = scope(data)
    rows = [
        row
        for row in data.tables["runs"]
        if in_scope(row["_place"], within) and row["started_at"] >= MIDDLE_US
    ]
    newest = sorted(rows, key=lambda row: row["id"], reverse=True)[:most]
    ranked = sorted(
        (row for row in newest if measured(row, measure)),
        key=lambda row: (measured(row, measure), row["id"]),
        reverse=True,
    )
    ranking = ranked_runs(data.tx, RunCriteria(scope=within, since_us=MIDDLE_US), measure, limit=10)
    assert [run.id for run in ranking.runs] == [to_text(row["id"]) for row in ranked[:10]]
    assert ranking.is_whole == (len(rows) <= most)
