"""Ages and times as options."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    _AgeParam = click.ParamType[timedelta]
    _TimeParam = click.ParamType[datetime]
else:
    # Earlier versions of click have no generic class.
    _AgeParam = _TimeParam = click.ParamType

MOST_DAYS: Final = 36_500
_AGE: Final = re.compile(r"(\d{1,9})([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class AgeType(_AgeParam):
    """An age: a number with s, m, h, d or w, such as `90d`."""

    name = "age"

    def __init__(self, least: timedelta) -> None:
        self._least = least

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        age = _age_in(str(value))
        if age is None:
            self.fail(f"{value!r} is not a valid age; write it as 90d or 12h", param, ctx)
        if not self._least <= age <= timedelta(days=MOST_DAYS):
            least = f"{self._least // timedelta(hours=1)}h"
            self.fail(f"{value!r} is not between {least} and {MOST_DAYS}d", param, ctx)
        return age


class TimeType(_TimeParam):
    """A time: ISO 8601, or an age, such as `7d`.

    Without a zone it is local time.
    """

    name = "time"
    _sign = -1
    _examples = "7d or 24h, or as 2026-11-01"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        text = str(value)
        try:
            age = _age_in(text)
            if age is not None:
                return datetime.now(UTC) + self._sign * age
            return datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is not a valid time; write it as {self._examples}", param, ctx)


class FutureType(TimeType):
    """A time in the future: ISO 8601, or the time until then, such as `90d`.

    Without a zone it is local time.
    """

    _sign = 1
    _examples = "90d or 12h, or as 2027-01-01"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        moment = super().convert(value, param, ctx)
        if moment <= datetime.now(UTC):
            self.fail(f"{str(value)!r} is not in the future", param, ctx)
        return moment


FUTURE: Final = FutureType()
PAST: Final = TimeType()


def _age_in(text: str) -> timedelta | None:
    """Return the age; None if *text* is not one, or is millions of years."""
    match = _AGE.fullmatch(text)
    if match is None:
        return None
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError:
        return None
