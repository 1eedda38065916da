"""Names of what is declared: they end up in people's history, so they last."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from remit._declare.registry import default_name, display_name, module_name
from tests.declaring import define, step
from tests.subtests import each

pytestmark = pytest.mark.python


def test_a_name_is_module_and_qualified_name() -> None:
    """Methods and local functions say where they are."""
    names = define()
    assert default_name(names["tool"]) == "shop.tools:tool"
    assert default_name(names["Store"].find) == "shop.tools:Store.find"
    assert default_name(names["make"]()) == "shop.tools:make.<locals>.local"


@each("main", ["__main__", "__mp_main__"])
@each(
    ("names", "expected"),
    [
        pytest.param(
            {"__spec__": SimpleNamespace(name="shop.cli"), "__file__": "/src/shop/cli.py"},
            "shop.cli",
            id="python -m",
        ),
        pytest.param({"__spec__": None, "__file__": "/src/desk.py"}, "desk", id="script"),
        pytest.param(
            {"__spec__": SimpleNamespace(name="__main__"), "__file__": "/src/desk.pyz/__main__.py"},
            "desk",
            id="archive",
        ),
        pytest.param({}, "notebook", id="notebook"),
    ],
)
def test_the_programs_own_module_has_the_name_of_its_source(
    main: str, names: Mapping[str, Any], expected: str
) -> None:
    """The same in the parent and in a spawned child, which calls it `__mp_main__`."""
    assert module_name(define(names, module=main)["tool"]) == expected


def test_a_callable_without_names_has_those_of_its_type() -> None:
    """Partials have neither module nor qualified name."""
    bare = functools.partial(print)
    assert default_name(bare).startswith(("functools:", "notebook:"))
    declared = step(bare)
    assert (declared.file, declared.line) == ("<unknown>", 0)


@each(
    ("qualname", "expected"),
    [
        ("find_order", "Find order"),
        ("Store.find_order", "Find order"),
        ("make.<locals>.answer", "Answer"),
        ("_private_step", "Private step"),
        ("f.<locals>.<lambda>", "Lambda"),
        ("Agent.__call__", "Call"),
        ("readURL", "ReadURL"),
    ],
)
def test_a_title_is_the_name_as_people_write_it(qualname: str, expected: str) -> None:
    """What the author called it, with spaces."""
    assert display_name(qualname) == expected


def test_a_declaration_knows_its_place() -> None:
    """File and line for messages, the signature when it is needed."""
    declared = step(define()["Store"].find)
    assert declared.place == "/src/shop/tools.py:6"
    assert declared.is_within("shop")
    assert not declared.explicit_name
    assert declared.recorded_signature.names == ("self",)
    assert declared.recorded_signature is declared.recorded_signature
