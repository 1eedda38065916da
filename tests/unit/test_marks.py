"""Marks: a word that is none is refused, and the value stays out of every payload."""

from __future__ import annotations

from typing import Annotated, Any

import pytest

import remit
from remit._inspect.annotations import MISSING, Scope, function_scope
from remit._inspect.marks import Sensitive
from remit._policy.words import CATEGORIES
from remit.errors import DeclarationError
from remit.testing import isolated
from tests.subtests import each


@each("category", ["", *CATEGORIES])
def test_a_mark_is_of_a_category_or_of_none(category: str) -> None:
    """Of each that there is."""
    assert Sensitive(category).category == category


@each(
    ("category", "asked"),
    [
        pytest.param("helth_and_medical", " (did you mean 'health_and_medical'?)", id="slip"),
        pytest.param("classification", "", id="beside-the-categories"),
        pytest.param("x", "", id="far-off"),
        pytest.param(["minors_data"], " (did you mean 'minors_data'?)", id="no-text"),
    ],
)
def test_an_unknown_category_is_an_error_that_names_those_there_are(
    category: Any,
    asked: str,
) -> None:
    """Where the mark is made: at import."""
    with pytest.raises(DeclarationError) as caught:
        Sensitive(category)
    assert str(caught.value) == (
        f"remit.Sensitive({category!r}): the category is unknown{asked}; expected one of "
        + ", ".join(CATEGORIES)
    )


def wrong(note: Annotated[str, remit.Sensitive("helth")]) -> None:
    """Take a note under a postponed mark."""


def wrong_return() -> Annotated[str, remit.Sensitive("helth")]:
    """Give a note under a postponed mark."""
    return ""


def wrong_and_missing(note: Annotated[Gone, remit.Sensitive("helth")]) -> None:  # type: ignore[name-defined]  # noqa: F821 - the point
    """Take a note under a postponed mark, beside a name that is missing."""


@pytest.mark.parametrize(
    ("function", "name"), [(wrong, "note"), (wrong_return, "return")], ids=["parameter", "result"]
)
def test_a_postponed_mark_of_an_unknown_category_is_an_error_at_the_decoration(
    function: Any,
    name: str,
) -> None:
    """With the place of the function and the name of the parameter."""
    place = rf"@remit.span_type on {__name__}:{function.__name__} \(.*test_marks.py:\d+\)"
    with isolated(), pytest.raises(DeclarationError, match=rf"{place}: {name}: remit.Sensitive"):
        remit.span_type(function)


@pytest.mark.parametrize("function", [wrong, wrong_and_missing], ids=["alone", "beside-missing"])
def test_a_mark_of_an_unknown_category_redacts_all_the_same(
    function: Any,
) -> None:
    """Where the error comes too late to be raised, it never lets a value out."""
    meaning = function_scope(function).read(function.__annotations__["note"])
    assert meaning.annotation is MISSING
    assert meaning.category == ""
    assert meaning.note is not None


def test_a_mark_beside_an_object_that_raises_redacts() -> None:
    """Whatever that object raises when it is asked what it is."""

    class Hostile:
        def __getattribute__(self, name: str) -> object:
            raise OSError(name)

    meaning = Scope({}, {}).read(Annotated[str, Hostile(), Sensitive("minors_data")])
    assert meaning.category == "minors_data"


def test_the_note_says_what_is_wrong_with_a_mark() -> None:
    """It stands in the schema."""
    note = Scope({"Sensitive": Sensitive}, {}).read("Sensitive('helth')").note
    assert note is not None
    assert "remit.Sensitive('helth'): the category is unknown" in note


@each("mark", [remit.Sensitive, remit.Sensitive(), remit.Sensitive("minors_data")], ids=repr)
def test_a_marked_value_is_redacted(mark: object) -> None:
    """Bare, called, and with a category."""

    def step(note: str) -> None:
        """Take a note."""

    step.__annotations__["note"] = Annotated[str, mark]
    with isolated() as recorder:
        decorated = remit.span_type("step")(step)
        with remit.agent(lambda: None).run():
            decorated("canary")
    (span,) = recorder.spans("step")
    assert span.payload == {"note": {"$remit": "redacted", "rule": "type:Sensitive"}}
