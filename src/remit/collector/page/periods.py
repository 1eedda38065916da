"""The time that a page about agents looks at."""

from __future__ import annotations

from typing import Final, NamedTuple

from remit.collector.errors import invalid_field
from remit.collector.page.visits import Visit
from remit.collector.times import US_PER_S, format_us

_DAY_US: Final = 24 * 3600 * US_PER_S
PERIODS: Final = {"24h": "24 hours", "7d": "7 days", "30d": "30 days"}
"""Words for a time in an address, and as a reader sees them."""
_DAYS: Final = {"24h": 1, "7d": 7, "30d": 30}


class Period(NamedTuple):
    """A time that ends now.

    Attributes:
        name: Its word in an address.
        since_us: Its begin.
    """

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
    """Return the time that the address names, by default the last 24 hours.

    Raises:
        RequestError: 422, it is none.
    """
    name = visit.query.get("from") or next(iter(PERIODS))
    if name not in PERIODS:
        raise invalid_field("from", f"must be one of {', '.join(PERIODS)}")
    return Period(name, visit.now_us - _DAYS[name] * _DAY_US)
