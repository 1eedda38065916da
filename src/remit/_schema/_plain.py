"""Classes that are recorded as something plainer: subclasses of builtins, scalars, arrays.

Arrays and tables are known by the name of their library, so that none of them is imported.
"""

from __future__ import annotations

import datetime as dt
import decimal
import fractions
import re
import uuid
import zoneinfo
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_RECORDED_AS: Final[Mapping[type, type]] = {
    bytearray: bytes,
    fractions.Fraction: str,
    MappingProxyType: dict,
    memoryview: bytes,
}
_NOT_LOOKED_INTO: Final = frozenset({complex, re.Pattern, zoneinfo.ZoneInfo})
"""pydantic has a schema for them, and a payload only says of which type they are."""

BY_SHAPE: Final = "recorded by type, shape and dtype"
"""Ends the note of an array: it has no schema, and its payload says what there is to say."""

_KNOWN_MODULES: Final = frozenset({"builtins", "collections"})
"""Of the classes in them pydantic knows more than their base."""

# The nearest base counts: `bool` and `datetime` stand before what they derive from.
BUILTINS: Final = frozenset(
    {
        bool,
        bytes,
        dt.date,
        dt.datetime,
        dt.time,
        dt.timedelta,
        decimal.Decimal,
        deque,
        dict,
        float,
        frozenset,
        int,
        list,
        set,
        str,
        tuple,
        uuid.UUID,
    }
)
_NUMPY: Final[Mapping[str, type]] = {
    "bool": bool,
    "bool_": bool,
    "bytes_": bytes,
    "datetime64": str,
    "floating": float,
    "integer": int,
    "str_": str,
}
_ARRAYS: Final = frozenset(
    {
        ("numpy", "ndarray"),
        ("pandas", "DataFrame"),
        ("pandas", "Index"),
        ("pandas", "Series"),
        ("polars", "DataFrame"),
        ("polars", "Series"),
        ("torch", "Tensor"),
    }
)


def recorded_as(cls: type) -> type:
    """Return the plainer class that an object of *cls* is recorded as, else *cls* itself."""
    if cls in _RECORDED_AS:
        return _RECORDED_AS[cls]
    if cls.__module__ in _KNOWN_MODULES or hasattr(cls, "__get_pydantic_core_schema__"):
        return cls
    for base in cls.__mro__:
        if base in BUILTINS:
            return base
        if base.__module__ == "numpy" and base.__name__ in _NUMPY:
            return _NUMPY[base.__name__]
    return cls


def is_array(cls: type) -> bool:
    """Return whether objects of *cls* are recorded by type, shape and dtype."""
    return any(
        (each.__module__.partition(".")[0], each.__name__) in _ARRAYS for each in cls.__mro__
    )


def is_not_looked_into(cls: type) -> bool:
    """Return whether a payload says of objects of *cls* only which type they are."""
    return cls in _NOT_LOOKED_INTO or vars(cls).get("_is_protocol", False) is True
