"""Modules and functions stay small enough to be read at once."""

from __future__ import annotations

from statistics import median

import pytest

from tests.architecture.sources import Module, body_lines, modules, package

pytestmark = pytest.mark.slow

MAX_MODULE_LINES = 400
MAX_MEDIAN_MODULE_LINES = 150
MAX_FUNCTION_LINES = 40
MAX_MEDIAN_FUNCTION_LINES = 8

CODE = modules("src", "examples", "benchmarks")
# What is under `tests/data` is data, and long because the cases are many.
TESTS = tuple(module for module in modules("tests") if "data" not in module.path.parts)


@pytest.mark.parametrize("module", CODE + TESTS, ids=lambda module: module.place)
def test_a_module_has_at_most_400_lines(module: Module) -> None:
    """A longer one holds two things and is parted."""
    assert module.lines <= MAX_MODULE_LINES


@pytest.mark.parametrize("module", CODE, ids=lambda module: module.place)
def test_no_function_has_more_than_40_lines(module: Module) -> None:
    """Counted from `def` to the end, the docstring aside; a test may hold a long snapshot."""
    long = {
        function.name: body_lines(function)
        for function in module.functions()
        if body_lines(function) > MAX_FUNCTION_LINES
    }
    assert long == {}


def test_most_modules_are_far_smaller_than_the_limit() -> None:
    """The median says whether the limit has become the habit."""
    assert median(module.lines for module in package()) < MAX_MEDIAN_MODULE_LINES


def test_most_functions_are_far_smaller_than_the_limit() -> None:
    """The median says whether the limit has become the habit."""
    lines = [body_lines(function) for module in package() for function in module.functions()]
    assert median(lines) <= MAX_MEDIAN_FUNCTION_LINES
