"""Reads classes, instances and decorated callables without running their code.

An attribute look-up may run a property or a metaclass's `__getattribute__`; these functions read
the interpreter's own tables instead.
"""

from __future__ import annotations

import builtins
import inspect
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any, Final, TypeGuard, TypeVar, cast

from remit._base.frames import MAIN, is_foreign

T = TypeVar("T")

ABSENT: Final = object()
"""There is no such attribute."""

MAX_NAME_CHARS: Final = 200

# A metaclass can hide `cls.__mro__`, but not these descriptors.
mro: Final[Callable[[type], tuple[type, ...]]] = type.__dict__["__mro__"].__get__
"""Return the classes that a class derives from, itself first."""
namespace: Final[Callable[[type], Mapping[str, Any]]] = type.__dict__["__dict__"].__get__
"""Return the attributes of a class itself, without those of its bases."""
name_of: Final[Callable[[type], str]] = type.__dict__["__qualname__"].__get__
_MODULE: Final[Any] = type.__dict__["__module__"].__get__
_SIZE: Final[Any] = type.__dict__["__basicsize__"].__get__
_DICT_OFFSET: Final[Any] = type.__dict__["__dictoffset__"].__get__
_WEAKREF_OFFSET: Final[Any] = type.__dict__["__weakrefoffset__"].__get__
_POINTER_BYTES: Final = struct.calcsize("P")

# The base types without type parameters: their methods are called on values of derived types.
DICT: Final[Any] = dict
DICTS: Final[tuple[Any, ...]] = (dict, vars(builtins).get("frozendict", dict))
"""The second exists from Python 3.15 on, and does not derive from the first."""
TUPLE: Final[Any] = tuple

own_attribute: Final[Any] = object.__getattribute__
"""Read a slot, or `__dict__`, of an instance; only after `stores` or `has_dict` said so."""


def lookup(cls: type, name: str) -> Any:
    """Return the attribute *name* of *cls* or of its first base that has one, else `ABSENT`."""
    for base in mro(cls):
        attribute = namespace(base).get(name, ABSENT)
        if attribute is not ABSENT:
            return attribute
    return ABSENT


def module_of(cls: type) -> str:
    """Return the `__module__` of *cls*, `?` if it is not a string."""
    # `__module__` of a static type without one is not a string.
    module = _MODULE(cls)
    return module if type(module) is str else "?"


def classes_of(cls: type) -> set[tuple[str, str]]:
    """Return top-level package and name of *cls* and of each of its bases."""
    return {(module_of(base).partition(".")[0], name_of(base)) for base in mro(cls)}


def type_name(cls: type) -> str:
    """Return `module.qualname` of *cls*, without `builtins.`, at most 200 characters."""
    module = module_of(cls)
    full = name_of(cls) if module == "builtins" else f"{module}.{name_of(cls)}"
    return full[:MAX_NAME_CHARS]


def has_dict(cls: type) -> bool:
    """Return whether instances keep attributes in a dict that can be read without user code."""
    return type(lookup(cls, "__dict__")) is GetSetDescriptorType


def has_hidden_state(cls: type) -> bool:
    """Return whether instances hold more than their dict and their slots, as those of C types do.

    Then they are larger than the pointers to these. A negative offset needs no pointer.
    """
    dict_offset = _DICT_OFFSET(cls)
    if dict_offset and not has_dict(cls) and not stores(cls, "__dict__"):
        return True
    pointers = (dict_offset > 0) + (_WEAKREF_OFFSET(cls) > 0)
    pointers += sum(
        type(member) is MemberDescriptorType and name != "__dict__"
        for base in mro(cls)
        for name, member in namespace(base).items()
    )
    return bool(_SIZE(cls) > _SIZE(object) + pointers * _POINTER_BYTES)


def is_foreign_class(cls: type, own: str | None) -> bool:
    """Return whether *cls* is of the standard library, or of an installed package.

    Args:
        own: A file of the program, whose own package is not foreign if it is installed.
    """
    module = module_of(cls)
    loaded = sys.modules.get(module)
    file = own_attribute(loaded, "__dict__").get("__file__") if is_a(loaded, ModuleType) else None
    if type(file) is str:
        return is_foreign(file, own or "")
    return module.partition(".")[0] in sys.stdlib_module_names and module not in MAIN


def stores(cls: type, name: str) -> bool:
    """Return whether *name* is a slot of *cls*: reading it runs no code."""
    return type(lookup(cls, name)) is MemberDescriptorType


def is_one_of(cls: type, *classes: type) -> bool:
    """Return whether *cls* is or derives from one of *classes*; by identity, never by `==`."""
    wanted = [id(each) for each in classes]
    return any(id(base) in wanted for base in mro(cls))


def is_a(value: object, *classes: type) -> bool:
    """Return whether *value* is of one of *classes*; `isinstance` would read `__class__`."""
    return is_one_of(type(value), *classes)


def is_mapping(value: object) -> bool:
    """Return whether *value* is a mapping of any class; no code of a metaclass runs."""
    kind = type(value)
    if is_one_of(kind, dict, Mapping):
        return True
    return type(kind) is type and issubclass(kind, Mapping)


def kind_of(value: object) -> type:
    """Return the class of *value* as a plain `type`, for type checkers."""
    return type(value)


def is_class(value: object) -> TypeGuard[type]:
    """Return whether *value* is a class."""
    return is_a(value, type)


def snapshot(items: Iterable[T], limit: int) -> tuple[T, ...]:
    """Return at most *limit* of *items*; none if another thread changes the container meanwhile.

    The container is one of the interpreter, so that no user code runs.
    """
    try:
        return tuple(islice(items, max(0, limit)))
    except RuntimeError:
        return ()


def layers(function: object) -> Iterator[object]:
    """Yield a callable and each callable inside it, outermost first.

    Decorators that kept `__wrapped__`, bound methods and partials are followed.
    """
    seen: set[int] = set()
    while function is not None and id(function) not in seen:
        seen.add(id(function))
        yield function
        function = next(filter(callable, _inside(function)), None)


def unwrapped(function: Callable[..., object]) -> Callable[..., object]:
    """Return the innermost function of a callable; for an object, that of its `__call__`."""
    *_, innermost = layers(function)
    if type(innermost) is not FunctionType:
        called = inspect.getattr_static(type(innermost), "__call__", None)
        if isinstance(called, FunctionType):
            return unwrapped(called)
    return cast("Callable[..., object]", innermost)


def _inside(function: object) -> Iterator[object]:
    """Yield what may be the next layer, without running code of the callable's class."""
    if type(function) is FunctionType:  # the static look-up below is slow
        yield vars(function).get("__wrapped__")
        return
    if issubclass(type(function), partial):
        yield getattr(function, "func", None)
    for name in ("__wrapped__", "__func__"):
        if inspect.getattr_static(function, name, None) is not None:
            yield getattr(function, name, None)
