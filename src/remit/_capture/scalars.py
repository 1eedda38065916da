"""Converts single values to JSON with the methods of their base types only.

As in docs/reference/payloads.md: datetimes ISO 8601; Decimal and integers beyond 2^53 as strings;
NaN and infinities, which JSON lacks, as strings.
"""

from __future__ import annotations

import datetime as dt
import decimal
import fractions
import ipaddress
import math
import pathlib
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from pydantic_core import MultiHostUrl, Url

from remit._base import markers
from remit._base.guard import attempt
from remit._inspect.introspection import (
    is_one_of,
    kind_of,
    lookup,
    module_of,
    name_of,
    own_attribute,
    stores,
    type_name,
)

MIN_BINARY_CHARS: Final = 1_024
"""A shorter text is recorded as it is, also if it is binary data in Base64."""

_SEEN_CHARS: Final = 1_024
"""The first and the last characters of a long text decide whether it is Base64."""

_DATA_URL: Final = re.compile(r"data:([\w.+-]{1,64}/[\w.+-]{1,64})?((?:;[^,;\s]{1,64}){0,4}),")
may_be_binary: Final = re.compile(r"data:|[A-Za-z0-9+/_-]{60}").match
"""Returns None for a text of which `binary_text` returns None; the quick test for prose."""

_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{60,}(?:\r?\n[A-Za-z0-9+/_-]+)*+\r?\n?")
_BASE64_END: Final = re.compile(r"[A-Za-z0-9+/_\r\n-]++={0,2}\s*+")
_MIXED: Final = re.compile(r"(?=.*[0-9])(?=.*[a-z]).*[A-Z]", re.DOTALL)
"""Binary data has digits and both cases among its first characters; other data has seldom all."""

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

_TIME_FIELDS: Final = ("hour", "minute", "second", "microsecond")
_DATETIME_FIELDS: Final = ("year", "month", "day", *_TIME_FIELDS)


def integer(value: Any) -> object:
    """Return an integer as a number, or as a string if doubles cannot represent it."""
    number = int.__index__(value)
    if -MAX_EXACT <= number <= MAX_EXACT:
        return number
    bits = number.bit_length()
    if bits <= _MAX_DECIMAL_BITS:
        return str(number)
    return hex(number) if bits <= _MAX_HEX_BITS else markers.opaque("int")


def real(value: Any) -> object:
    """Return a float; NaN and the infinities as JavaScript spells them."""
    number = float.__float__(value)
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def text(value: Any) -> object:
    """Return the plain text of a string."""
    return str.__str__(value)


def binary_text(value: str) -> markers.Marker | None:
    """Return the marker of a long text that is a data URL, or Base64 as a whole, else None."""
    if len(value) <= MIN_BINARY_CHARS:
        return None
    url = _DATA_URL.match(value)
    if url is not None:
        chars = len(value) - url.end()
        in_base64 = (url[2] or "").endswith(";base64")
        length = _decoded_bytes(chars, value[-2:].count("=")) if in_base64 else chars
        return markers.of_bytes(length, url[1] or "")
    first = value[:_SEEN_CHARS]
    if _BASE64.fullmatch(first) is None or _MIXED.match(first) is None:
        return None
    if " " in value or _BASE64_END.fullmatch(value[-_SEEN_CHARS:]) is None:
        return None
    lines = value.count("\n") + value.count("\r")
    return markers.of_bytes(_decoded_bytes(len(value) - lines, value[-8:].count("=")))


def _decoded_bytes(chars: int, padding: int) -> int:
    """Return the size of the bytes in *chars* characters of Base64, *padding* of them signs."""
    return (chars - padding) * 3 // 4


def moment(value: Any) -> object:
    """Return a datetime in ISO 8601."""
    if name_of(kind_of(value)) == "NaTType":  # of pandas: its fields hold some date
        return "NaT"
    return _with_zone(dt.datetime, value, _DATETIME_FIELDS)


def time_of_day(value: Any) -> object:
    """Return a time of day in ISO 8601."""
    return _with_zone(dt.time, value, _TIME_FIELDS)


def _with_zone(base: type[dt.datetime | dt.time], value: Any, fields: Iterable[str]) -> str:
    """Return the ISO text; a zone of a user's class is added by name, as in RFC 9557."""
    zone: object = vars(base)["tzinfo"].__get__(value)
    if zone is None:
        return base.isoformat(value)
    if module_of(type(zone)).partition(".")[0] in _TRUSTED_ZONES:
        shown = attempt(lambda: base.isoformat(value))
        if isinstance(shown, str):
            return shown
    naive = base(*_fields(base, value, fields))
    return f"{naive.isoformat()}[{type_name(type(zone))}]"


def _fields(base: type, value: object, names: Iterable[str]) -> list[Any]:
    """Return fields of *value* as *base*, from which its class derives, stores them."""
    return [lookup(base, name).__get__(value) for name in names]


def duration(value: Any) -> object:
    """Return a timedelta as ISO 8601 has durations, in days, hours, minutes and seconds."""
    span = dt.timedelta(*_fields(dt.timedelta, value, ("days", "seconds", "microseconds")))
    sign = "-" if span < dt.timedelta(0) else ""
    span = abs(span)
    hours, seconds = divmod(span.seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    fraction = f".{span.microseconds:06d}".rstrip("0") if span.microseconds else ""
    last = f"{seconds}{fraction}S" if seconds or fraction else ""
    clock = f"{hours}H" * bool(hours) + f"{minutes}M" * bool(minutes) + last
    days = f"{span.days}D" if span.days else ""
    return f"{sign}P{days}{'T' + clock if clock else ''}" if days or clock else "PT0S"


def unique_id(value: Any) -> object:
    """Return a UUID in its usual form."""
    kind = kind_of(value)
    if not stores(kind, "int"):
        return markers.opaque(type_name(kind))
    return str(uuid.UUID(int=own_attribute(value, "int")))


def _bytes_marker(length: Callable[[Any], int], value: object) -> object:
    try:
        return markers.of_bytes(length(value))
    except ValueError:  # a memoryview that was released
        return markers.opaque(type_name(type(value)))


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
    (bytes, partial(_bytes_marker, bytes.__len__)),
    (bytearray, partial(_bytes_marker, bytearray.__len__)),
    (memoryview, partial(_bytes_marker, lambda view: view.nbytes)),
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
