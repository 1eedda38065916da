"""What docstrings say, the same on every Python."""

from __future__ import annotations

import pytest

from remit._inspect.docstrings import (
    clean_docstring,
    escape_surrogates,
    parameter_descriptions,
    summary,
)
from tests.subtests import each

pytestmark = pytest.mark.python

DOC = """Summarise.

    A second paragraph.

    Args:
        first: What comes first,
            on two lines.

        second (int, optional): With a type.
        *rest: The others.
        **options: By name: a colon inside.
        silent:
        no entry at all

    Returns:
        third: not a parameter.
    """


def test_the_args_section_describes_the_parameters() -> None:
    """Continuation lines are joined, types and stars dropped, what says nothing left out."""
    assert parameter_descriptions(DOC) == {
        "first": "What comes first, on two lines.",
        "second": "With a type.",
        "rest": "The others.",
        "options": "By name: a colon inside.",
        "silent": "no entry at all",
    }


@each(
    "docstring",
    [
        None,
        "",
        "One line.",
        "Args:",
        "Text.\n\nArgs:\n    no entry, only words",
        "Text.\n\n:param a: another style",
    ],
    ids=["none", "empty", "one line", "empty section", "no entry", "another style"],
)
def test_without_a_section_nothing_is_described(docstring: str | None) -> None:
    """Guessing would describe the wrong parameter."""
    assert parameter_descriptions(docstring) == {}


def test_indentation_and_trailing_space_are_no_part_of_a_docstring() -> None:
    """Python 3.13 strips at compile time what earlier versions keep."""
    compiled_by_3_12 = "First.\n\n        Second.  \n          Deeper.\n        \n        "
    compiled_by_3_13 = "First.\n\nSecond.  \n  Deeper.\n\n"
    assert (
        clean_docstring(compiled_by_3_12)
        == clean_docstring(compiled_by_3_13)
        == "First.\n\nSecond.\n  Deeper."
    )


@each(
    ("docstring", "expected"),
    [
        (DOC, "Summarise."),
        ("  Two\n  lines.\n   \n  More.", "Two\nlines."),
        ("", None),
        ("   \n  ", None),
        (None, None),
    ],
    ids=["paragraphs", "two lines", "empty", "blank", "none"],
)
def test_the_summary_is_the_first_paragraph(docstring: str | None, expected: str | None) -> None:
    """It is what a list of steps has room for."""
    assert summary(docstring) == expected


def test_lone_surrogates_are_escaped() -> None:
    """No encoder takes them, and one would lose the whole registration."""
    assert escape_surrogates("a\ud800b") == "a\\ud800b"
    assert clean_docstring("a\udfff") == "a\\udfff"
