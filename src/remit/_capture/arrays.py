"""Reads arrays and tables of numpy, pandas, polars and torch: type, shape and dtype, no values.

The libraries are not imported: a class is compared with the classes of the loaded library.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from remit._base.guard import attempt
from remit._capture import markers
from remit._inspect.introspection import ABSENT, lookup, module_of, mro, type_name

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

_NUMPY_SCALAR: Final = ("numpy", "generic")

MAX_COLUMNS: Final = 100
"""Of a wider table the types of the columns are not compared."""


def array_reader(cls: type) -> Callable[[object], object] | None:
    """Return a function that makes the marker of an array, None if *cls* is no known array.

    Subclasses by users of classes that are written in Python are not read, because their properties
    would run.
    """
    base = next((found for known in ARRAYS if (found := _base(cls, known)) is not None), None)
    if base is None:
        return None
    package = module_of(base).partition(".")[0]
    if package != "numpy" and module_of(cls).partition(".")[0] != package:
        return None
    name = type_name(cls)
    library = base.__name__, module_of(base).partition(".")[0]

    def read(value: object) -> object:
        marker = attempt(lambda: _described(value, name, library))
        return markers.opaque(name) if isinstance(marker, Exception) else marker

    return read


def numpy_scalar_reader(cls: type) -> Callable[[object], object] | None:
    """Return a function that converts a numpy scalar to Python, None if *cls* is no such type.

    A scalar without a Python counterpart is returned unchanged.
    """
    if _base(cls, _NUMPY_SCALAR) is None or module_of(cls).partition(".")[0] != "numpy":
        return None

    def read(value: object) -> object:
        generic = _loaded(*_NUMPY_SCALAR)
        item = attempt(lambda: cast("Any", generic).item(value))
        # `numpy.longdouble` has no counterpart and answers with its own kind.
        return value if isinstance(item, Exception) or type(item) is type(value) else item

    return read


def _base(cls: type, known: tuple[str, str]) -> type | None:
    """Return the class of a loaded library that *cls* is or derives from."""
    wanted = id(_loaded(*known))
    return next((base for base in mro(cls) if id(base) == wanted), None)


def _loaded(package: str, name: str) -> object:
    module = sys.modules.get(package)
    return ABSENT if module is None else vars(module).get(name, ABSENT)


def _described(value: object, name: str, library: tuple[str, str]) -> object:
    base = cast("type", _loaded(library[1], library[0]))
    shape = _read(base, value, "shape")
    if library[0] == "DataFrame":
        dtype = _common(_read(base, value, "dtypes"))
    else:
        dtype = str(_read(base, value, "dtype"))
    return markers.array(name, [int(size) for size in shape], dtype[:100])


def _read(base: type, value: object, name: str) -> Any:  # noqa: ANN401 - the library's own types
    """Return an attribute by the descriptor of the library's class."""
    return lookup(base, name).__get__(value, base)


def _common(dtypes: Iterable[object]) -> str:
    """Return the type that all columns have, else `mixed`."""
    listed = list(dtypes)
    names = {str(each) for each in listed[:MAX_COLUMNS]}
    return names.pop() if len(names) == 1 and len(listed) <= MAX_COLUMNS else "mixed"
