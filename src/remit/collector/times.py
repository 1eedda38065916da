"""Times: ISO 8601 on the wire, microseconds since 1970 in UTC inside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

US_PER_S: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NAIVE_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - written without an offset, as `Z`
FIRST_US: Final = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
LAST_US: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND


def parse_us(text: str) -> int:
    """Return the instant in *text*, in microseconds since 1970.

    A text without an offset is read as UTC: the Python client sends such when its caller's
    datetime was naive.

    Raises:
        ValueError: The text is not an ISO 8601 date or time, or lies outside the years 1 to 9999.
    """
    # The parser accepts a string before a NUL.
    if not text.isprintable():
        raise ValueError("the string has characters that no time has")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    instant_us = (moment - _EPOCH) // _MICROSECOND
    if not FIRST_US <= instant_us <= LAST_US:
        raise ValueError("the instant lies outside the years 1 to 9999 in UTC")
    return instant_us


def format_us(instant_us: int) -> str:
    """Return the instant as the API writes it: UTC, six digits of fraction, `Z`."""
    second, fraction_us = divmod(instant_us, US_PER_S)
    return f"{_format_second(second)}.{fraction_us:06d}Z"


# The times of one request share a few seconds.
@lru_cache(maxsize=1024)
def _format_second(second: int) -> str:
    return (_NAIVE_EPOCH + timedelta(seconds=second)).isoformat()
