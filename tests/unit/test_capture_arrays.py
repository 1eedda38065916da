"""Arrays and tables: type, shape and dtype, never a value, and no library is imported for it."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from remit._capture.arrays import array_reader, numpy_scalar_reader
from tests.captured import copy_of, opaque
from tests.subtests import each

pytestmark = pytest.mark.python


def library(monkeypatch: pytest.MonkeyPatch, package: str, **classes: type) -> None:
    """Let *package* be loaded, with *classes* in it."""
    module = ModuleType(package)
    for name, cls in classes.items():
        cls.__module__ = package
        cls.__name__ = cls.__qualname__ = name
        setattr(module, name, cls)
    monkeypatch.setitem(sys.modules, package, module)


def array_class() -> type:
    """Return a class such as numpy's or torch's arrays."""
    return type(
        "Array", (), {"shape": property(lambda _: (2, 3)), "dtype": property(lambda _: "f8")}
    )


def table_class(dtypes: list[str]) -> type:
    """Return a class such as the tables of pandas."""
    body = {"shape": property(lambda _: (5, 2)), "dtypes": property(lambda _: dtypes)}
    return type("Table", (), body)


@each(
    ("package", "name"),
    [("numpy", "ndarray"), ("torch", "Tensor"), ("pandas", "Series"), ("polars", "Series")],
    monkeypatch=pytest.MonkeyPatch.context,
)
def test_an_array_is_told_by_type_shape_and_dtype(
    monkeypatch: pytest.MonkeyPatch, package: str, name: str
) -> None:
    """The marker of the format."""
    cls = array_class()
    library(monkeypatch, package, **{name: cls})
    assert copy_of(cls()) == {
        "$remit": "array",
        "type": f"{package}.{name}",
        "shape": [2, 3],
        "dtype": "f8",
    }


@each(
    ("dtypes", "dtype"),
    [
        pytest.param(["int64", "int64"], "int64", id="one type"),
        pytest.param(["int64", "object"], "mixed", id="several types"),
        pytest.param(["int64"] * 200, "mixed", id="too many columns to compare"),
        pytest.param([], "mixed", id="no columns"),
    ],
    monkeypatch=pytest.MonkeyPatch.context,
)
def test_a_table_is_told_by_the_type_that_its_columns_share(
    monkeypatch: pytest.MonkeyPatch, dtypes: list[str], dtype: str
) -> None:
    """Names of columns may be data, and are not told."""
    cls = table_class(dtypes)
    library(monkeypatch, "pandas", DataFrame=cls)
    assert copy_of(cls())["dtype"] == dtype


def test_a_subclass_of_an_array_is_read_with_the_librarys_own_attributes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Numpy's are written in C; those of other libraries could call what a user overrode."""
    cls = array_class()
    library(monkeypatch, "numpy", ndarray=cls)
    mine = type("Mine", (cls,), {"shape": property(lambda _: 1 / 0)})
    assert copy_of(mine())["shape"] == [2, 3]
    tensor = array_class()
    library(monkeypatch, "torch", Tensor=tensor)
    assert copy_of(type("Mine", (tensor,), {})()) == opaque(f"{__name__}.Mine")


def test_a_class_that_only_claims_to_be_an_array_is_opaque(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the class that the loaded library itself has is one."""
    library(monkeypatch, "numpy", ndarray=array_class())
    odd = array_class()
    odd.__module__, odd.__qualname__ = "numpy", "ndarray"
    assert copy_of(odd()) == opaque("numpy.ndarray")


def test_an_array_that_cannot_tell_its_shape_is_opaque(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library may fail, the call goes on."""
    cls = type("Array", (), {"shape": property(lambda _: 1 / 0)})
    library(monkeypatch, "torch", Tensor=cls)
    assert copy_of(cls()) == opaque("torch.Tensor")


def number_class(item: Any) -> type:
    """Return a class such as numpy's scalars."""
    return type("generic", (), {"item": item})


@each(
    ("item", "written"),
    [
        pytest.param(lambda _: 5, 5, id="a number"),
        pytest.param(lambda _: float("nan"), "NaN", id="NaN"),
        pytest.param(lambda _: (1, "a"), [1, "a"], id="a record"),
        pytest.param(lambda self: self, opaque("numpy.generic"), id="one that Python has not"),
        pytest.param(lambda _: 1 / 0, opaque("numpy.generic"), id="one that fails"),
    ],
    monkeypatch=pytest.MonkeyPatch.context,
)
def test_a_scalar_of_numpy_is_written_as_pythons(
    monkeypatch: pytest.MonkeyPatch,
    item: Any,
    written: object,
) -> None:
    """An `int64` is an integer to whoever reads it."""
    cls = number_class(item)
    library(monkeypatch, "numpy", generic=cls)
    assert copy_of(cls()) == written


def test_a_scalar_of_a_users_own_class_is_opaque(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its `item` could be anything."""
    cls = number_class(lambda _: 5)
    library(monkeypatch, "numpy", generic=cls)
    assert copy_of(type("Mine", (cls,), {})()) == opaque(f"{__name__}.Mine")


def test_no_array_is_known_before_its_library_is_loaded() -> None:
    """Nothing is imported to find out."""
    assert array_reader(int) is None
    assert numpy_scalar_reader(int) is None
    code = (
        "import remit._capture, sys; print({'numpy', 'pandas', 'torch', 'attr'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
