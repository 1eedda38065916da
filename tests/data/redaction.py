"""A stand-in for what capture does to a default, as small as the tests of schemas need."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import math
from collections.abc import Mapping
from typing import cast

from pydantic import BaseModel, SecretBytes, SecretStr

REDACTED = {"$remit": "redacted", "rule": "test"}
SECRET_NAMES = frozenset({"password"})


def redact(value: object) -> object:
    """Return *value* as plain JSON; passwords and secret types become a marker."""
    if isinstance(value, enum.Enum):
        return redact(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value if _is_exact(value) else json.dumps(value)
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, SecretStr | SecretBytes):
        return REDACTED
    return _redact_inside(value)


def _is_exact(value: object) -> bool:
    """Return whether JSON, as everybody reads it, holds *value*."""
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or abs(value) <= 2**53


def _redact_inside(value: object) -> object:
    if isinstance(value, BaseModel):
        return redact(dict(value))
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, object]", value).items()
        return {name: REDACTED if name in SECRET_NAMES else redact(each) for name, each in pairs}
    if isinstance(value, list | tuple):
        return [redact(each) for each in cast("list[object]", value)]
    if isinstance(value, set | frozenset):
        return sorted((redact(each) for each in cast("set[object]", value)), key=str)
    if isinstance(value, bytes):
        return {"$remit": "bytes", "length": len(value)}
    return {"$remit": "opaque", "type": type(value).__qualname__}
