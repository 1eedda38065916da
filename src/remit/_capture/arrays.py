"""Reads arrays and tables of numpy, pandas, polars and torch: type, shape and dtype, no values.

The libraries are not imported: a class is compared with the classes of the loaded library.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from remit._base import markers
from remit._base.guard import attempt
from remit._inspect.introspection import is_one_of, lookup, module_of, name_of, type_name

ARRAYS: Final = (
    ("numpy", "ndarray"),
    ("pandas", "DataFrame"),
    ("pandas", "Series"),
    ("pandas", "Index"),
    ("polars", "DataFrame"),
    ("polars", "Series"),
    ("torch", "Tensor"),
)
"""(top-level package, class) of arrays and tables, which are recorded by type, shape and dtype."""

MAX_COLUMNS: Final = 100
"""The column types of a wider table are not compared."""


def array_reader(cls: type) -> Callable[[object], object] | None:
    """Return a function that makes the marker of an array, None if *cls* is not a known array.

    Subclasses by users of classes that are written in Python are not read, because their properties
    would run.
    """
    base = next(filter(None, (_loaded_base(cls, *known) for known in ARRAYS)), None)
    if base is None:
        return None
    package = _package(base)
    if package not in {"numpy", _package(cls)}:
        return None
    name = type_name(cls)

    def read(value: object) -> object:
        marker = attempt(lambda: _described(base, value, name))
        return markers.opaque(name) if isinstance(marker, Exception) else marker

    return read


def numpy_scalar_reader(cls: type) -> Callable[[object], object] | None:
    """Return a function that converts a numpy scalar to Python, None if *cls* is not such a type.

    A scalar without a Python counterpart is returned unchanged.
    """
    generic: Any = _loaded_base(cls, "numpy", "generic")
    if generic is None or _package(cls) != "numpy":
        return None

    def read(value: object) -> object:
        item = attempt(lambda: generic.item(value))
        # `numpy.longdouble` has no counterpart and answers with its own kind.
        return value if isinstance(item, Exception) or type(item) is type(value) else item

    return read


def _loaded_base(cls: type, package: str, name: str) -> type | None:
    """Return the class *name* of a library if it is loaded and *cls* is or derives from it."""
    base = vars(sys.modules.get(package, object)).get(name)
    return cast("type", base) if is_one_of(cls, cast("type", base)) else None


def _package(cls: type) -> str:
    return module_of(cls).partition(".")[0]


def _described(base: type, value: object, name: str) -> object:
    def read(attribute: str) -> Any:
        return lookup(base, attribute).__get__(value, base)

    dtype = _common(read("dtypes")) if name_of(base) == "DataFrame" else str(read("dtype"))
    return markers.array(name, [int(size) for size in read("shape")], dtype[:100])


def _common(dtypes: Iterable[object]) -> str:
    listed = list(dtypes)
    names = {str(dtype) for dtype in listed[:MAX_COLUMNS]}
    return names.pop() if len(names) == 1 and len(listed) <= MAX_COLUMNS else "mixed"
