"""The drawing of the errors in `remit.errors` is the tree that is there."""

from __future__ import annotations

import inspect
import re

from remit import errors

DRAWN = re.compile(r"^(?P<indent>[│├└─ ]*)(?P<name>\w+)(?:\s{2,}(?P<reaction>\S.*))?$")
INDENT = 4


def drawn_tree() -> dict[str, str | None]:
    """Return what the docstring draws: each class with the one it hangs from."""
    drawing = re.search(r"```text\n(.*?)```", inspect.cleandoc(errors.__doc__ or ""), re.DOTALL)
    assert drawing, "errors.py must hold the drawing between ```text and ```"
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in drawing[1].splitlines():
        found = DRAWN.match(line)
        assert found, f"not a line of the drawing: {line!r}"
        path[len(found["indent"]) // INDENT :] = [found["name"]]
        parents[found["name"]] = path[-2] if len(path) > 1 else None
    return parents


def real_tree() -> dict[str, str]:
    """Return each class of the module with its first base."""
    return {
        name: found.__mro__[1].__name__
        for name, found in inspect.getmembers(errors, inspect.isclass)
        if issubclass(found, BaseException) and found.__module__ == errors.__name__
    }


def test_the_drawing_shows_every_error_under_its_base() -> None:
    """Whoever reads the drawing may rely on it in an `except`."""
    drawn = drawn_tree()
    assert drawn.pop("BaseException") is None
    assert drawn.pop("Exception") == "BaseException"
    assert drawn == real_tree()


def test_every_error_is_exported() -> None:
    """`remit.errors.__all__` has each of them, and what a denied step violated."""
    assert sorted(errors.__all__) == sorted([*real_tree(), "Violation"])
