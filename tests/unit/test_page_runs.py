"""The list of runs without a browser: times, bars, and what a row says."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from remit._policy.words import ACTION, RESULT
from remit.collector.errors import RequestError
from remit.collector.page.runs.hours import bars_of
from remit.collector.page.runs.rows import Outcome, RowFacts, outcome_of, row_of
from remit.collector.page.runs.run_list import COLUMNS
from remit.collector.page.tables import csv_file
from remit.collector.page.windows import DAY_US, HOUR_US, Window, address_of, at, window_of
from remit.collector.times import format_us, parse_us
from remit.errors import Violation

BERLIN = ZoneInfo("Europe/Berlin")
NOW = "2026-11-29T09:34:00Z"
NOW_US = parse_us(NOW)


def window(begin: str, end: str = "") -> tuple[str | None, str | None]:
    """Return the begin and the end of a time, without seconds."""
    chosen = window_of(begin, end, BERLIN, NOW_US)
    since, until = (text and text[:16] for text in (chosen.since, chosen.until))
    return since, until


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        ("today", "", ("2026-11-28T23:00", None)),
        ("yesterday", "", ("2026-11-27T23:00", "2026-11-28T23:00")),
        ("yesterday", "now", ("2026-11-27T23:00", "2026-11-28T23:00")),
        ("24h", "now", ("2026-11-28T09:34", None)),
        ("7d", "", ("2026-11-22T09:34", None)),
        ("all", "", (None, None)),
        ("2026-11-28T10:00", "", ("2026-11-28T09:00", None)),
        ("2026-11-28T10:00Z", "2026-11-28T11:00+01:00", ("", "")),
        ("2026-11-27", "2026-11-28", ("2026-11-26T23:00", "2026-11-28T23:00")),
    ],
)
def test_a_time_is_read_in_the_zone_of_the_reader(
    begin: str, end: str, expected: tuple[str | None, str | None]
) -> None:
    """A day begins there; a day alone as the end means the end of that day."""
    if expected == ("", ""):
        with pytest.raises(RequestError) as refusal:
            window(begin, end)
        assert refusal.value.errors == {"from": ["must be before the end of the period"]}
        return
    assert window(begin, end) == expected


@pytest.mark.parametrize(("field", "begin", "end"), [("from", "soon", ""), ("to", "24h", "later")])
def test_a_bad_time_says_what_is_valid(field: str, begin: str, end: str) -> None:
    """Beside its field."""
    with pytest.raises(RequestError) as refusal:
        window(begin, end)
    assert refusal.value.errors is not None
    assert "2026-11-29T10:00" in refusal.value.errors[field][0]


def test_a_time_of_a_form_becomes_one_of_an_address() -> None:
    """In UTC, so that it is the same for readers in other zones."""
    assert at("2026-11-29T10:00", BERLIN, "from") == "2026-11-29T09:00Z"
    assert parse_us(address_of(NOW_US + 1)) == NOW_US + 1


def counted(*numbers: tuple[int, int, int]) -> list[dict[str, Any]]:
    """Return counts by hour: how many hours ago, runs, failed ones."""
    hour_us = NOW_US // HOUR_US * HOUR_US
    return [
        {"hour": format_us(hour_us - ago * HOUR_US), "runs": runs, "failed": failed}
        for ago, runs, failed in numbers
    ]


def bars(counts: list[dict[str, Any]], since_us: int | None) -> Any:
    """Return bars, of which there are some."""
    made = bars_of(counts, Window(since_us, None, ""), BERLIN, NOW_US)
    assert made is not None
    return made


def test_a_day_is_drawn_by_hour() -> None:
    """Also hours without runs; failed runs are drawn higher if there is room, which is said."""
    made = bars(counted((0, 100, 2), (23, 50, 0)), NOW_US - DAY_US)
    assert (made.unit, len(made.bars), made.most, made.failed) == ("per hour", 25, 100, 2)
    last = made.bars[-1]
    assert (last.words, last.runs, last.failed) == ("10:00", 100, 2)
    assert made.scale == "ten times as high"
    assert last.depth == pytest.approx(10 * 2 * last.height / 100)
    assert [words for _, words in made.ticks] == ["12:00", "18:00", "00:00", "06:00"]
    assert made.end == ""


def test_failed_runs_fit_below_the_line() -> None:
    """All bars shrink if they do not."""
    made = bars(counted((0, 10, 10)), NOW_US - DAY_US)
    assert made.scale == "on the same scale"
    assert made.bars[-1].height == made.bars[-1].depth <= 25


@pytest.mark.parametrize(("days", "unit", "number"), [(7, "per day", 8), (400, "per 4 days", 101)])
def test_a_long_time_is_drawn_by_day(days: int, unit: str, number: int) -> None:
    """Days begin in the zone of the reader; above 120 days a bar is several."""
    made = bars(counted((0, 3, 1), (11, 2, 0)), NOW_US - days * DAY_US)
    assert (made.unit, len(made.bars)) == (unit, number)
    # Eleven hours ago it was 23:00 in Berlin, the day before.
    shown = [(bar.runs, bar.failed) for bar in made.bars[-2:]]
    assert shown == [(2, 0), (3, 1)]
    assert made.bars[0].since_us <= NOW_US - days * DAY_US
    assert datetime.fromtimestamp(made.bars[0].since_us / 1e6, BERLIN).hour == 0


def test_a_run_of_a_clock_that_is_ahead_has_a_bar() -> None:
    """Of a machine whose time is wrong by hours."""
    counts = counted((-5, 1, 0))
    for since_us in (None, NOW_US - DAY_US, NOW_US + HOUR_US):
        assert [bar.runs for bar in bars(counts, since_us).bars if bar.runs] == [1]


def test_there_are_no_bars_without_runs() -> None:
    """Neither in a time nor in none."""
    assert bars_of([], Window(None, None, ""), BERLIN, NOW_US) is None


def run(**members: object) -> dict[str, Any]:
    """Return a run as the API lists it."""
    return {
        "id": "0" * 28 + "z7sn",
        "status": "complete",
        "agent": {"id": "agent", "name": "Desk"},
        "purpose": "live",
        "started_at": "2026-11-29T09:33:00Z",
        "finished_at": "2026-11-29T09:33:08Z",
        "inserted_at": "2026-11-29T09:33:00Z",
        "termination_reason": None,
        "external_identifier": None,
        "caused_by": None,
        "erased_at": None,
        "span_counts": {"total": 13, "failed": 2},
        "flags": ["redacted", "denied", "failed"],
        "denied": 2,
        "asked": 0,
        "answered": 0,
        "handled": 1,
        "tokens": {"in": None, "out": None},
        "cost_breakdown": {"total_cost": None, "costs": [], "calls_without_price": 0},
        "summary": None,
        "conversation": None,
        "on_behalf_of": None,
        "question": None,
        "answer": None,
        "failure": None,
        **members,
    }


def failure(
    kind: str = "shop.PaymentError",
    text: str | None = "502",
    step: str | None = "shop:charge",
    name: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Return a failure as the API lists it."""
    return {
        "span": "0" * 32,
        "step": step,
        "step_name": name,
        "type": kind,
        "place": "a.py:1",
        "text": text,
        "fingerprint": "0",
    }


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"status": "failed", "failure": failure()}, ("failed", "charge: PaymentError", "502")),
        (
            {"status": "failed", "failure": failure(name={"text": "plan", "word": "node"})},
            ("failed", "plan node: PaymentError", "502"),
        ),
        (
            {"status": "failed", "failure": failure(text=None)},
            ("failed", "charge: PaymentError", ""),
        ),
        ({"status": "failed", "failure": failure(step=None)}, ("failed", "PaymentError", "502")),
        (
            {"status": "failed", "failure": failure("ProcessEnded")},
            ("failed", "process ended", "while charge was open"),
        ),
        (
            {"failure": failure("remit.errors.DeniedError", "it may move money")},
            ("failed", "denied: charge", "it may move money"),
        ),
        (
            {"status": "failed", "failure": failure("shop.DeniedError", "no card")},
            ("failed", "charge: DeniedError", "no card"),
        ),
        ({"failure": failure()}, ("failed", "denied: 2 steps", "")),
        ({"denied": 0, "failure": failure()}, ("quiet", "", "handled charge: PaymentError")),
        ({"denied": 0, "failure": failure(), "summary": "well"}, ("quiet", "", "well")),
        (
            {"status": "terminated", "termination_reason": "wrong one", "failure": failure()},
            ("stopped", "“wrong one”", ""),
        ),
        ({"denied": 0}, None),
    ],
)
def test_a_row_says_what_failed_or_how_it_went(
    members: dict[str, Any], expected: tuple[str, str, str] | None
) -> None:
    """A failure that a run handled is quiet; a denial is not, even in a complete run."""
    assert outcome_of(run(**members)) == (None if expected is None else Outcome(*expected))


@pytest.mark.parametrize(
    ("violation", "reason"),
    [
        (
            Violation("", RESULT, "health_and_medical", "included", "shop:desk", "excluded"),
            "gives health and medical, but the agent excludes it",
        ),
        (
            Violation("", ACTION, "create_data", "unknown", "shop:desk", "disallowed"),
            "leaves creating data undeclared, but the agent forbids it",
        ),
        (
            Violation("", ACTION, "create_data", "allowed", "shop:desk", "asked"),
            "needs a person's yes and got none",
        ),
        (Violation("shop:find could not be compared with any remit"), "it may not"),
    ],
)
def test_a_row_says_how_a_step_violates_its_remit(violation: Violation, reason: str) -> None:
    """In the words of the list of denials. A violation with only a sentence adds nothing."""
    denied = failure("remit.errors.DeniedError", "it may not")
    outcome = outcome_of(run(failure=denied), RowFacts(denied={denied["span"]: [violation]}))
    assert outcome is not None
    assert reason in outcome


def test_a_row_never_guesses() -> None:
    """A duration that is not known is none, and so are tokens that no step counted."""
    row = row_of(run(), NOW_US)
    assert (row.tokens, row.took_us, row.short) == (None, 8_000_000, "0000z7sn")
    assert [(mark.name, mark.number) for mark in row.marks] == [("denied", 2), ("redacted", None)]
    assert row_of(run(tokens={"in": 2, "out": None}), NOW_US).tokens == 2
    ended = run(status="failed", failure=failure("ProcessEnded"))
    assert row_of(ended, NOW_US).took_us is None
    running = run(status="active", finished_at=None)
    assert row_of(running, NOW_US, RowFacts("chat")).took_us == 60_000_000
    assert row_of(running, NOW_US, RowFacts("chat")).outcome == Outcome("quiet", "", "now in chat")


def test_a_cell_of_a_table_is_no_formula() -> None:
    """A spreadsheet would run what an agent wrote."""
    answer = csv_file(
        "runs.csv", COLUMNS, [run(summary="=HYPERLINK(1)", termination_reason='a "b", c')]
    )
    line = (answer.body or b"").decode()
    assert "'=HYPERLINK(1)" in line
    assert '"a ""b"", c"' in line
