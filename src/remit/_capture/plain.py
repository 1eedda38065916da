"""Values that are recorded as they are: short texts, numbers, and containers of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from remit._capture.rules.names import PLAIN_NAMES
from remit._capture.rules.patterns import SHORTEST, SIGN, search_text
from remit._capture.scalars import MAX_EXACT

_MAX_PLAIN_CHARS: Final = 1_000
_MAX_PLAIN_ITEMS: Final = 256
# By identity: a metaclass of the user's may have a `__hash__` that raises.
_SCALARS: Final = frozenset(map(id, (str, int, float, bool, type(None))))
_MIN_EXACT: Final = -MAX_EXACT

UNSET: Final = object()
"""Default of a parameter whose value the fast path does not know; it has no encoding."""


def all_plain(  # noqa: C901 - every call would pay for another frame, twice
    values: Iterable[Any], keys: Iterable[Any] = ()
) -> bool:
    """Return whether all *values*, under *keys*, are recorded as they are."""
    for key in keys:
        if type(key) is not str or key not in PLAIN_NAMES:
            return False
    for value in values:
        kind = type(value)  # pyright: ignore[reportUnknownVariableType] # of anything
        if kind is str:
            if len(value) < SHORTEST and SIGN not in value:
                continue
            if len(value) > _MAX_PLAIN_CHARS or search_text(value) is not None:
                return False
        elif kind is int:
            if not _MIN_EXACT <= value <= MAX_EXACT:
                return False
        elif kind is float:
            # NaN and the infinities differ from zero times themselves.
            if value * 0.0 != 0.0:
                return False
        elif not (value is None or kind is bool):
            return False
    return True


def is_scalar(value: object) -> bool:
    """Return whether a value is a text, a number, a boolean or None."""
    return id(type(value)) in _SCALARS


def plain_copy(value: Any, levels: int) -> Any:
    """Return a copy of nested dicts and lists that are recorded as they are.

    Returns:
        `UNSET` if a value needs the walk.
    """
    if is_scalar(value):
        return value if all_plain((value,)) else UNSET
    kind = type(value)  # pyright: ignore[reportUnknownVariableType] # of anything
    if not levels or not (kind is list or kind is dict) or len(value) > _MAX_PLAIN_ITEMS:
        return UNSET
    if kind is list:
        copy: Any = [plain_copy(inner, levels - 1) for inner in list(value)]
        return UNSET if any(inner is UNSET for inner in copy) else copy
    if not all_plain((), list(value)):
        return UNSET
    copy = {key: plain_copy(inner, levels - 1) for key, inner in value.copy().items()}
    return UNSET if any(inner is UNSET for inner in copy.values()) else copy
