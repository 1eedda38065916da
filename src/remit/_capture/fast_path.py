"""The fast path of a call: a msgspec `Struct` binds the arguments and encodes them in C.

This takes 0.07 us for two arguments; filling and encoding a dict would take 0.4 us.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from msgspec import Struct, defstruct

from remit._base.guard import attempt
from remit._capture.rules.names import UNRESTRICTED
from remit._capture.rules.patterns import SHORTEST, SIGN, search_text
from remit._capture.scalars import MAX_EXACT

ArgsStruct: TypeAlias = Callable[..., Struct]
"""Takes the arguments of a call and returns what is encoded; a `TypeError` if they do not fit.

It does not know which parameters are positional only or keyword only.
"""

UNSET: Final = object()
"""Default of a parameter whose value the fast path does not know; it has no encoding."""

_MAX_PLAIN_CHARS: Final = 1_000
_MIN_EXACT: Final = -MAX_EXACT


def args_struct(defaults: Mapping[str, object]) -> ArgsStruct | None:
    """Return the Struct of a payload, None if msgspec cannot make one.

    Args:
        defaults: The encoded default of each parameter, by name.
    """
    if any(name.startswith("__") for name in defaults):
        return None  # such names have a meaning in a class
    # Without `gc`: it lives for one encoding only.
    fields = [(name, object, default) for name, default in defaults.items()]
    made = attempt(lambda: defstruct("Args", fields, gc=False))
    return None if isinstance(made, Exception) else made


def all_plain(  # noqa: C901 - every call would pay for another frame, twice
    values: Iterable[Any], keys: Iterable[Any] = ()
) -> bool:
    """Return whether all *values*, under *keys*, are recorded as they are."""
    for key in keys:
        if type(key) is not str or key not in UNRESTRICTED:
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
