"""How numbers, times and words are written on a page; static/formats.js writes them alike."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Final
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from remit._base.outcomes import StepCounts
from remit.collector.times import US_PER_S, parse_us

US_PER_MS: Final = 1000
_S_PER_MIN: Final = 60
_MIN_PER_H: Final = 60
_TEN: Final = 10
_HUNDRED: Final = 100
_KIB: Final = 1024
_UNKNOWN: Final = "not known"
_TWO: Final = 2
_OWN_STEPS: Final = {"remit:run": "Run", "remit:loss": "Lost"}
_KEPT_CONTROLS: Final = frozenset("\n\t")


def number(value: int | None) -> str:
    """Return a number with commas: `184,310`."""
    return "–" if value is None else f"{value:,}"  # noqa: RUF001 - a dash, which the design has


def duration(us: int | None) -> str:
    """Return a duration in microseconds in words: `0.06 ms`, `8.42 s`, `16 min 45 s`.

    One below 0, as of clocks that differ, is written as 0.
    """
    if us is None:
        return _UNKNOWN
    us = max(0, us)
    if us < US_PER_S:
        ms = us / US_PER_MS
        return f"{ms:.0f} ms" if ms >= _HUNDRED else f"{ms:.3g} ms" if ms >= 1 else f"{ms:.2f} ms"
    s = us / US_PER_S
    if s < _S_PER_MIN:
        return f"{s:.1f} s" if s >= _TEN else f"{s:.2f} s"
    minutes, seconds = divmod(round(s), _S_PER_MIN)
    if minutes < _MIN_PER_H:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, _MIN_PER_H)
    return f"{hours} h {minutes} min"


def size(count: int) -> str:
    """Return a number of bytes: `812 bytes`, `1.4 MiB`."""
    value = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < _KIB or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= _KIB
    raise AssertionError


def words(identifier: str) -> str:
    """Return one of remit's words without underscores: `financial transactions`."""
    return identifier.replace("_", " ")


def category(name: str) -> str:
    """Return a category of data without the law that it is from: `genetic data`."""
    return words(name.removeprefix("gdpr_"))


def visible(text: str) -> str:
    """Return *text* with characters that would hide or reorder it as their code points."""
    if text.isprintable():
        return text
    return "".join(
        f"[U+{ord(character):04X}]"
        if unicodedata.category(character) in {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
        and character not in _KEPT_CONTROLS
        else character
        for character in text
    )


def conversation(name: str, run_id: str | None = None) -> str:
    """Return the address of a conversation, at one of its runs.

    A browser changes a path that ends with dots, and a route has one line: for such a name, it is
    that of the list of its runs.
    """
    if name in {".", ".."} or "\n" in name:
        return f"/runs?{urlencode({'conversation': name})}"
    at = "" if run_id is None else f"?run={run_id}#{run_id}"
    return f"/conversations/{quote(name)}{at}"


def tail(identifier: str) -> str:
    """Return the end of an id, by which people tell runs of one list apart: `…z7sn`."""
    return "…" + identifier[-4:]


def day(moment: str, zone: ZoneInfo) -> str:
    """Return the day of a time of the API in a zone: `Sun 29 November`."""
    return day_name(datetime.fromisoformat(moment).astimezone(zone).date())


def day_name(on: date) -> str:
    """Return a day: `Sun 29 November`."""
    return f"{on:%a} {on.day} {on:%B}"


def short_day(moment: str, zone: ZoneInfo) -> str:
    """Return the day of a time of the API in a zone: `29 Nov`."""
    at = datetime.fromisoformat(moment).astimezone(zone)
    return f"{at.day} {at:%b}"


def stamp(instant_us: int) -> str:
    """Return a time in UTC: `2026-11-29 01:13:07 UTC`."""
    return datetime.fromtimestamp(instant_us / US_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def short_name(schema_name: str) -> str:
    """Return the name of a step without its module: `Shop.find_order`."""
    return schema_name.rpartition(":")[2] or schema_name


def step(schema_name: str) -> str:
    """Return the name of a step without its module; that of a run is `Run`."""
    return _OWN_STEPS.get(schema_name) or short_name(schema_name)


def times(count: int) -> str:
    """Return how often something happened: `once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")


def steps(count: int) -> str:
    """Return a number of steps: `1 step`, `2,000 steps`."""
    return "1 step" if count == 1 else f"{count:,} steps"


def missing(steps: StepCounts) -> str:
    """Return the words for a run with missing steps: `44 of 151 steps received`."""
    return f"{steps.here:,} of {steps.recorded:,} steps received"


def listed(parts: Sequence[str], last: str = "and") -> str:
    """Return several texts as one: `a, b and c`."""
    if len(parts) < _TWO:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {last} {parts[-1]}"


def between(started_at: str | None, finished_at: str | None) -> int | None:
    """Return the microseconds between two times of the API, at least 0; None if one is unknown."""
    if started_at is None or finished_at is None:
        return None
    return max(0, parse_us(finished_at) - parse_us(started_at))
