"""Roots of models and type variables: what is declared of them counts wherever they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar, get_args

import pytest
from pydantic import BaseModel, EmailStr, Field, RootModel

from remit._inspect.fields import type_arguments
from remit._inspect.marks import Sensitive
from tests.captured import copy_of, params_of, plan_of, redacted, result_of
from tests.subtests import each

pytestmark = pytest.mark.python

SENSITIVE = redacted("type:Sensitive")
CONTACT = "contact_information"
EXCLUDED = redacted(f"category:{CONTACT}")

Marked = Annotated[str, Sensitive("health_and_medical")]
T = TypeVar("T")
U = TypeVar("U")
Bound = TypeVar("Bound", bound=Marked)


class Diagnosis(RootModel[Marked], frozen=True):
    """A root that is marked."""


class Findings(RootModel[dict[str, Marked]]):
    """A root that holds what is marked."""


class Unshown(RootModel[str]):
    """A root that its author hid."""

    root: str = Field(repr=False)


class Mails(RootModel[list[EmailStr]]):
    """A root whose type shows its category."""


class Patient(BaseModel):
    """A model with roots in it."""

    diagnosis: Diagnosis
    more: list[Diagnosis] = []


@dataclass
class Box(Generic[T]):
    """A generic dataclass."""

    content: T


@dataclass
class HealthBox(Box[Marked]):
    """One whose contents are marked."""


@dataclass
class Middle(Box[U], Generic[U]):
    """One that leaves open what is in it."""


@dataclass
class Last(Middle[Marked]):
    """One that says so at last."""


@dataclass
class MailBox(Box[EmailStr]):
    """One whose contents show their category."""


@dataclass
class Endless(Box[list[T]], Generic[T]):
    """One whose contents are written with the same variable."""


class Holder(BaseModel, Generic[T]):
    """A generic model."""

    content: T


ONE = Diagnosis("canary")


@each(
    ("value", "written"),
    [
        pytest.param(ONE, SENSITIVE, id="a root"),
        pytest.param(Findings({"flu": "canary"}), SENSITIVE, id="a root of a dict"),
        pytest.param(Unshown("canary"), redacted("hidden:repr"), id="a hidden root"),
        pytest.param([ONE], [SENSITIVE], id="in a list"),
        pytest.param({ONE: 1}, {"<type:Sensitive 1>": 1}, id="a key"),
        pytest.param(
            Patient(diagnosis=ONE, more=[ONE]),
            {"diagnosis": SENSITIVE, "more": [SENSITIVE]},
            id="in a model",
        ),
        pytest.param(RootModel[list[int]]([1]), [1], id="an ordinary root"),
        pytest.param(HealthBox("canary"), {"content": SENSITIVE}, id="a generic dataclass"),
        pytest.param(Last("canary"), {"content": SENSITIVE}, id="through another class"),
        pytest.param(Box("a"), {"content": "a"}, id="nothing given"),
        pytest.param(Middle("a"), {"content": "a"}, id="nothing given yet"),
    ],
)
def test_a_root_and_a_type_variable_are_redacted_by_what_is_said_of_them(
    value: object, written: object
) -> None:
    """As a field is, by its annotation."""
    assert copy_of(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        pytest.param(Mails(["a@b.example"]), EXCLUDED, id="a root"),
        pytest.param(MailBox("a@b.example"), {"content": EXCLUDED}, id="a type variable"),
    ],
)
def test_what_shows_an_excluded_category_is_redacted(value: object, written: object) -> None:
    """By the type of the root, or of what is given for the variable."""
    assert copy_of(value, excluded=CONTACT) == written


@each(
    ("value", "written"),
    [
        pytest.param(ONE, {"result": SENSITIVE}, id="a root"),
        pytest.param(Findings({"flu": "canary"}), SENSITIVE, id="a root of a dict"),
        pytest.param(HealthBox("canary"), {"content": SENSITIVE}, id="a generic dataclass"),
    ],
)
def test_they_are_redacted_from_results(value: object, written: object) -> None:
    """Also where a root would be the object itself."""

    def step() -> object:
        return value

    assert result_of(plan_of(step), value) == written


def test_what_a_parameter_gives_for_a_variable_counts_for_any_instance() -> None:
    """`Holder(content=...)` is of the class without a type."""

    def step(holder: Holder[Marked], other: Holder[int]) -> None:
        del holder, other

    given: Any = Holder(content="canary")
    assert params_of(plan_of(step), given, given) == {
        "holder": {"content": SENSITIVE},
        "other": {"content": "canary"},
    }


def test_the_bound_of_a_type_variable_counts() -> None:
    """Whatever stands for it is of that type."""

    def step(value: Bound) -> Bound:
        return value

    assert params_of(plan_of(step), "canary") == {"value": SENSITIVE}


def test_bases_that_are_no_tuple_and_variables_without_end_are_passed_over() -> None:
    """Classes may say anything of themselves."""

    class Odd:
        __orig_bases__ = 5

    assert type_arguments(Odd) == {}
    ((given,),) = type_arguments(Endless).values()
    assert get_args(given) == (T,)
    assert copy_of(Endless(["a"])) == {"content": ["a"]}
