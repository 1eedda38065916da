"""`remit.collector.times`: the instant survives, whatever it is written in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit._base.clock import iso8601
from remit.collector.times import format_us, parse_us
from tests.subtests import each

OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=OFFSETS)  # noqa: DTZ001 - bounds, as hypothesis wants them


@given(MOMENTS)
def test_an_instant_is_read_and_written_back_to_the_microsecond(moment: datetime) -> None:
    """In any offset."""
    text = format_us(parse_us(moment.isoformat()))

    assert datetime.fromisoformat(text) == moment
    assert text == moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"
    assert parse_us(text) == parse_us(moment.isoformat())


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_times_are_written_as_the_sdk_writes_them(wall_ns: int) -> None:
    """So that the same instant is the same text on both sides."""
    assert format_us(wall_ns // 1000) == iso8601(wall_ns)
    assert parse_us(iso8601(wall_ns)) == wall_ns // 1000


def test_a_time_without_an_offset_is_utc() -> None:
    """The Python client sends what its caller had."""
    assert parse_us("2026-01-02T03:04:05") == parse_us("2026-01-02T03:04:05Z")


@each(
    "text",
    ["", "now", "2026", "2026-02-30", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    """Nor one that cannot be written in UTC."""
    with pytest.raises(ValueError, match=r".+"):
        parse_us(text)
