"""Bars: how many runs began in each hour or day, and how many of them failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from remit.collector.page.formats import day_name
from remit.collector.page.windows import HOUR_US, Window, local
from remit.collector.times import US_PER_S, parse_us

MOST_HOURS: Final = 3 * 24 + 1
"""Hours above which a bar is a day."""
MOST_BARS: Final = 120
WIDTH: Final = 960
_UP: Final = 66
_DOWN: Final = 25
_TIMES: Final = {
    10: "ten times as high",
    5: "five times as high",
    2: "twice as high",
    1: "on the same scale",
}
_TICKS: Final = 4
_LAST_TICK: Final = 0.78
"""A tick after this leaves no room for the word at the end."""
_RIGHTMOST: Final = 0.84
"""A tick after this has no room for its words."""
_FEW_HOURS: Final = 8
_ONE_DAY: Final = 30


class PeriodBar(NamedTuple):
    """The runs of an hour or some days, and the place of their bars in the drawing."""

    words: str
    since_us: int
    until_us: int
    runs: int
    failed: int
    x: float = 0
    width: float = 0
    height: float = 0
    depth: float = 0


class Bars(NamedTuple):
    """Bars, and how to read them.

    Attributes:
        unit: How long one is: `an hour`.
        most: The largest number of runs in one.
        failed: The largest number of failed runs in one.
        scale: How high failed runs are drawn.
        ticks: Places on the axis in percent, and their words.
        end: Words at the end of the axis; empty if a tick is too near.
    """

    bars: Sequence[PeriodBar]
    unit: str
    most: int
    failed: int
    scale: str
    ticks: Sequence[tuple[float, str]]
    end: str


def bars_of(
    counts: Sequence[Mapping[str, Any]], window: Window, zone: ZoneInfo, now_us: int
) -> Bars | None:
    """Return the bars of a time; None without runs."""
    numbers = {
        parse_us(group["hour"]): (int(group["runs"]), int(group["failed"])) for group in counts
    }
    if not numbers:
        return None
    first_us = min(numbers) if window.since_us is None else window.since_us
    first_us = first_us // HOUR_US * HOUR_US
    # A clock of an agent can be ahead of that of the collector.
    last_us = max(now_us, max(numbers) + HOUR_US)
    end_us = last_us if window.until_us is None else window.until_us
    hours = -(-(end_us - first_us) // HOUR_US)
    if hours <= MOST_HOURS:
        unit, bars = "per hour", _by_hour(numbers, first_us, hours, zone)
        step = -(-hours // _TICKS) if hours <= _FEW_HOURS else 6 if hours <= _ONE_DAY else 12
        begins = [local(bar.since_us, zone) for bar in bars]
        marked = [
            (place, f"{begin:%H:%M}")
            for place, begin in enumerate(begins)
            if (place if hours <= _FEW_HOURS else begin.hour) % step == 0
        ]
    else:
        bars, days = _by_day(numbers, first_us, end_us, zone)
        unit = "per day" if days == 1 else f"per {days} days"
        step = -(-len(bars) // _TICKS)
        marked = [
            (place, f"{begin.day} {begin:%b}")
            for place, begin in enumerate(local(bar.since_us, zone) for bar in bars)
            if place % step == 0
        ]
    places = [(100 * place / len(bars), words) for place, words in marked]
    ticks = [tick for tick in places if tick[0] <= 100 * _RIGHTMOST]
    is_free = not ticks or ticks[-1][0] <= 100 * _LAST_TICK
    end = "now" if window.until_us is None else ""
    most = max(bar.runs for bar in bars)
    failed = max(bar.failed for bar in bars)
    scale, drawn = _drawn(bars, most, failed)
    return Bars(drawn, unit, most, failed, scale, ticks, end if is_free else "")


def _by_hour(
    numbers: Mapping[int, tuple[int, int]], first_us: int, hours: int, zone: ZoneInfo
) -> list[PeriodBar]:
    return [
        PeriodBar(
            f"{local(at_us, zone):%H:%M}", at_us, at_us + HOUR_US, *numbers.get(at_us, (0, 0))
        )
        for at_us in range(first_us, first_us + hours * HOUR_US, HOUR_US)
    ]


def _by_day(
    numbers: Mapping[int, tuple[int, int]], first_us: int, end_us: int, zone: ZoneInfo
) -> tuple[list[PeriodBar], int]:
    """Return bars of days, and of how many days each is."""
    first, last = local(first_us, zone).date(), local(end_us - 1, zone).date()
    days = -(-((last - first).days + 1) // MOST_BARS)
    sums: dict[int, list[int]] = {}
    for at_us, (runs, failed) in numbers.items():
        place = (local(at_us, zone).date() - first).days // days
        total = sums.setdefault(place, [0, 0])
        total[0] += runs
        total[1] += failed
    bars: list[PeriodBar] = []
    for place in range(-(-((last - first).days + 1) // days)):
        begin, end = (first + timedelta(days=days * (place + more)) for more in (0, 1))
        words = day_name(begin) if days == 1 else f"{days} days from {day_name(begin)}"
        runs, failed = sums.get(place, (0, 0))
        bars.append(
            PeriodBar(words, _midnight_us(begin, zone), _midnight_us(end, zone), runs, failed)
        )
    return bars, days


def _drawn(bars: Sequence[PeriodBar], most: int, failed: int) -> tuple[str, list[PeriodBar]]:
    """Return how high failed runs are drawn, in words, and the bars with their places."""
    unit = _UP / max(most, 1)
    unit = min(unit, _DOWN / failed) if failed else unit
    times = next(times for times in _TIMES if times == 1 or failed * times * unit <= _DOWN)
    step = WIDTH / len(bars)
    gap = min(1.0, step / 8)
    drawn = [
        bar._replace(
            x=place * step + gap,
            width=step - 2 * gap,
            height=bar.runs * unit,
            depth=bar.failed * unit * times,
        )
        for place, bar in enumerate(bars)
    ]
    return _TIMES[times], drawn


def _midnight_us(on: date, zone: ZoneInfo) -> int:
    return int(datetime.combine(on, time(), zone).timestamp()) * US_PER_S
