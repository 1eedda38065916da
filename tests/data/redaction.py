"""A stand-in for what capture does to a default, as small as the tests of schemas need."""

from __future__ import annotations

import decimal
import enum
from collections.abc import Mapping
from typing import cast

from pydantic import BaseModel, SecretBytes, SecretStr

WITHHELD = {"$remit": "withheld", "rule": "test"}
SECRET_NAMES = frozenset({"password"})


def redact(value: object) -> object:
    """Return *value* as plain JSON; passwords and secret types become a marker."""
    if isinstance(value, enum.Enum):
        return redact(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, SecretStr | SecretBytes):
        return WITHHELD
    return _redact_inside(value)


def _redact_inside(value: object) -> object:
    if isinstance(value, BaseModel):
        return redact(dict(value))
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, object]", value).items()
        return {name: WITHHELD if name in SECRET_NAMES else redact(each) for name, each in pairs}
    if isinstance(value, list | tuple):
        return [redact(each) for each in cast("list[object]", value)]
    if isinstance(value, set | frozenset):
        return sorted((redact(each) for each in cast("set[object]", value)), key=str)
    if isinstance(value, bytes):
        return {"$remit": "bytes", "length": len(value)}
    return {"$remit": "opaque", "type": type(value).__qualname__}
