"""The time of a list: presets in the reader's zone, or a day and time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from remit.collector.errors import invalid_field
from remit.collector.page.visits import Visit
from remit.collector.times import US_PER_S, format_us, parse_us

HOUR_US: Final = 3600 * US_PER_S
DAY_US: Final = 24 * HOUR_US
LAST_DAY: Final = "24h"
ANY: Final = "all"
NOW: Final = "now"
AT: Final = "at"
"""The choice of a day and time, which another field has."""
BEGINS: Final = {
    "today": "today",
    "yesterday": "yesterday",
    LAST_DAY: "24 hours ago",
    "7d": "7 days ago",
    "30d": "30 days ago",
    ANY: "any time",
}
"""Words for the begin in an address, and as a reader sees them."""
PERIODS: Final = {LAST_DAY: "24 hours", "7d": "7 days", "30d": "30 days"}
"""Words for the time of a page about agents in an address, and as a reader sees them."""
_DAYS: Final = {LAST_DAY: 1, "7d": 7, "30d": 30}
_AGO: Final = re.compile(r"([1-9][0-9]{0,3})([hd])")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_VALID: Final = "must be today, yesterday, 24h, 7d, all, or a day and time such as 2026-11-29T10:00"
_VALID_END: Final = "must be now, or a day and time such as 2026-11-29T10:00"


class Window(NamedTuple):
    """A time.

    Attributes:
        since_us: Its begin; None without one.
        until_us: Its end; None for now.
        words: What it is called: `24 hours`.
    """

    since_us: int | None
    until_us: int | None
    words: str

    @property
    def since(self) -> str | None:
        """The begin as the API reads it."""
        return None if self.since_us is None else format_us(self.since_us)

    @property
    def until(self) -> str | None:
        """The end as the API reads it."""
        return None if self.until_us is None else format_us(self.until_us)


class Period(NamedTuple):
    """A time that ends now."""

    name: str
    since_us: int

    @property
    def words(self) -> str:
        """What it is called: `24 hours`."""
        return PERIODS[self.name]

    @property
    def since(self) -> str:
        """The begin as the API reads it."""
        return format_us(self.since_us)


def period_of(visit: Visit) -> Period:
    """Return the time that a page about agents looks at, by default the last 24 hours.

    Raises:
        RequestError: 422, the address names another one.
    """
    name = visit.query.get("from") or LAST_DAY
    if name not in PERIODS:
        raise invalid_field("from", f"must be one of {', '.join(PERIODS)}")
    return Period(name, visit.now_us - _DAYS[name] * DAY_US)


def window_of(begin: str, end: str, zone: ZoneInfo, now_us: int) -> Window:
    """Return the time between two texts of an address.

    Args:
        begin: A key of `BEGINS`, a number of hours (`3h`) or days (`2d`), or a day and time.
        end: `now`, or a day and time; a day alone means its end.
        zone: The reader's zone, in which days begin and texts without an offset are read.

    Raises:
        RequestError: 422, a text is none of them.
    """
    midnight = datetime.fromtimestamp(now_us / US_PER_S, zone).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    until_us = None if end in {"", NOW} else _instant(end, zone, "to", _VALID_END, is_end=True)
    ago = _AGO.fullmatch(begin)
    if begin == ANY:
        window = Window(None, until_us, "any time")
    elif begin == "today":
        window = Window(_us(midnight), until_us, "today")
    elif begin == "yesterday":
        until_us = _us(midnight) if until_us is None else until_us
        window = Window(_us(midnight - timedelta(days=1)), until_us, "yesterday")
    elif ago is not None:
        count, is_days = int(ago[1]), ago[2] == "d"
        unit = "day" if is_days else "hour"
        since_us = now_us - count * (DAY_US if is_days else HOUR_US)
        window = Window(since_us, until_us, f"{count} {unit}{'s' if count > 1 else ''}")
    else:
        since_us = _instant(begin, zone, "from", _VALID, is_end=False)
        window = Window(since_us, until_us, "this time")
    last_us = now_us if window.until_us is None else window.until_us
    if window.since_us is not None and window.since_us >= last_us:
        raise invalid_field("from", "must be before the end of the period")
    return window


def at(text: str, zone: ZoneInfo, field: str) -> str:
    """Return a day and time of a form, in the reader's zone, as an address has it.

    Raises:
        RequestError: 422, it is none.
    """
    return address_of(_instant(text, zone, field, "choose a day and time", is_end=False))


def address_of(instant_us: int) -> str:
    """Return a time as an address has it: `2026-11-29T09:00Z`."""
    moment = datetime.fromtimestamp(instant_us / US_PER_S, UTC)
    whole = "%Y-%m-%dT%H:%MZ" if instant_us % (60 * US_PER_S) == 0 else "%Y-%m-%dT%H:%M:%S.%fZ"
    return moment.strftime(whole)


def local(instant_us: int, zone: ZoneInfo) -> datetime:
    """Return a time in a zone."""
    return datetime.fromtimestamp(instant_us / US_PER_S, zone)


def days_in(age: timedelta | None) -> int | None:
    """Return how many whole days an age has; None for no age."""
    return None if age is None else age.days


def _instant(text: str, zone: ZoneInfo, field: str, valid: str, *, is_end: bool) -> int:
    try:
        # The `+` of an offset is a space in an address that was not encoded.
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        if is_end and _DAY.fullmatch(text):
            moment += timedelta(days=1)
        return parse_us(moment.isoformat())
    except (ValueError, OverflowError) as error:
        raise invalid_field(field, valid) from error


def _us(moment: datetime) -> int:
    return parse_us(moment.isoformat())
