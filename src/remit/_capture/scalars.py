"""Converts single values to JSON with the methods of their base types only.

As in docs/reference/payloads.md: datetimes ISO 8601; Decimal and integers beyond 2^53 as strings;
what JSON has no number for (NaN, infinities) as a string.
"""

from __future__ import annotations

import datetime as dt
import decimal
import fractions
import ipaddress
import math
import pathlib
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic_core import MultiHostUrl, Url

from remit._base.guard import attempt
from remit._capture import markers
from remit._inspect.introspection import (
    is_one_of,
    kind_of,
    module_of,
    name_of,
    own_attribute,
    stores,
    type_name,
)

MAX_EXACT: Final = 2**53
"""Beyond it a reader that keeps numbers as doubles would change them."""

# The decimal text of a larger integer takes quadratic time and may be forbidden (CPython's
# `int_max_str_digits`, 640 digits at the least); hexadecimal takes linear time.
_MAX_DECIMAL_BITS: Final = 2_000
_MAX_HEX_BITS: Final = 1 << 18

_TRUSTED_ZONES: Final = frozenset(
    {"datetime", "zoneinfo", "pytz", "dateutil", "pendulum", "pandas", "pydantic_core", "psycopg"}
)
"""Packages whose time zones are asked for their offset; a user's own is only named."""

_tzinfo_of_datetime: Final[Any] = dt.datetime.__dict__["tzinfo"].__get__
_tzinfo_of_time: Final[Any] = dt.time.__dict__["tzinfo"].__get__


def integer(value: Any) -> object:  # noqa: ANN401 - an int, or what derives from it
    """Return an integer as a number, or as a string if doubles cannot represent it."""
    number = int.__index__(value)
    if -MAX_EXACT <= number <= MAX_EXACT:
        return number
    bits = number.bit_length()
    if bits <= _MAX_DECIMAL_BITS:
        return str(number)
    return hex(number) if bits <= _MAX_HEX_BITS else markers.opaque("int")


def real(value: Any) -> object:  # noqa: ANN401 - a float, or what derives from it
    """Return a float; NaN and the infinities as JavaScript spells them."""
    number = float.__float__(value)
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def text(value: Any) -> object:  # noqa: ANN401 - a str, or what derives from it
    """Return the plain text of a string."""
    return str.__str__(value)


def moment(value: Any) -> object:  # noqa: ANN401 - a datetime, or what derives from it
    """Return a datetime in ISO 8601."""
    if name_of(kind_of(value)) == "NaTType":  # of pandas: its fields hold some date
        return "NaT"
    return _with_zone(value, _tzinfo_of_datetime(value), dt.datetime.isoformat, _naive_datetime)


def time_of_day(value: Any) -> object:  # noqa: ANN401 - a time, or what derives from it
    """Return a time of day in ISO 8601."""
    return _with_zone(value, _tzinfo_of_time(value), dt.time.isoformat, _naive_time)


def _with_zone(
    value: object,
    zone: object,
    isoformat: Callable[[Any], str],
    naive: Callable[[Any], str],
) -> str:
    """Return the ISO text; a zone of a user's class is added by name, as in RFC 9557."""
    if zone is None:
        return isoformat(value)
    if module_of(type(zone)).partition(".")[0] in _TRUSTED_ZONES:
        shown = attempt(lambda: isoformat(value))
        if isinstance(shown, str):
            return shown
    return f"{naive(value)}[{type_name(type(zone))}]"


def _naive_datetime(value: dt.datetime) -> str:
    parts = ["year", "month", "day", "hour", "minute", "second", "microsecond"]
    space = dt.datetime.__dict__
    # Year, month and day are attributes of the base class.
    return dt.datetime(  # noqa: DTZ001 - the zone is named beside it
        *((space.get(part) or dt.date.__dict__[part]).__get__(value) for part in parts)
    ).isoformat()


def _naive_time(value: dt.time) -> str:
    parts = ["hour", "minute", "second", "microsecond"]
    return dt.time(*(dt.time.__dict__[part].__get__(value) for part in parts)).isoformat()


def duration(value: Any) -> object:  # noqa: ANN401 - a timedelta, or what derives from it
    """Return a timedelta as ISO 8601 has durations, in days, hours, minutes and seconds."""
    space = dt.timedelta.__dict__
    span = dt.timedelta(*(space[part].__get__(value) for part in ("days", "seconds")))
    span += dt.timedelta(microseconds=space["microseconds"].__get__(value))
    sign = "-" if span < dt.timedelta(0) else ""
    span = abs(span)
    hours, seconds = divmod(span.seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    fraction = f".{span.microseconds:06d}".rstrip("0") if span.microseconds else ""
    last = f"{seconds}{fraction}S" if seconds or fraction else ""
    clock = f"{hours}H" * bool(hours) + f"{minutes}M" * bool(minutes) + last
    days = f"{span.days}D" if span.days else ""
    return f"{sign}P{days}{'T' + clock if clock else ''}" if days or clock else "PT0S"


def unique_id(value: Any) -> object:  # noqa: ANN401 - a UUID, or what derives from it
    """Return a UUID in its usual form."""
    kind = kind_of(value)
    if not stores(kind, "int"):
        return markers.opaque(type_name(kind))
    return str(uuid.UUID(int=own_attribute(value, "int")))


_BY_BASE: Final[tuple[tuple[type, Callable[[Any], object]], ...]] = (
    (str, text),
    (int, integer),
    (float, real),
    (dt.datetime, moment),
    (dt.date, dt.date.isoformat),
    (dt.time, time_of_day),
    (dt.timedelta, duration),
    (decimal.Decimal, decimal.Decimal.__str__),
    (uuid.UUID, unique_id),
)
"""Types whose subclasses too are read, with the method that is written in C for the base."""

_EXACT: Final[Mapping[type, Callable[[Any], object]]] = {
    type(None): lambda value: value,
    bool: lambda value: value,
    fractions.Fraction: fractions.Fraction.__str__,
    **dict.fromkeys(
        (
            *(pathlib.PurePosixPath, pathlib.PureWindowsPath),
            *(pathlib.PosixPath, pathlib.WindowsPath),
            *(ipaddress.IPv4Address, ipaddress.IPv4Network, ipaddress.IPv4Interface),
            *(ipaddress.IPv6Address, ipaddress.IPv6Network, ipaddress.IPv6Interface),
            *(Url, MultiHostUrl),
        ),
        str,
    ),
}
"""Types of the standard library and of pydantic-core; a subclass may bring code of its own."""


def scalar_reader(cls: type) -> Callable[[Any], object] | None:
    """Return a function that converts values of *cls* to one JSON value, None without one."""
    exact = _EXACT.get(cls)
    if exact is not None:
        return exact
    return next((read for base, read in _BY_BASE if is_one_of(cls, base)), None)
