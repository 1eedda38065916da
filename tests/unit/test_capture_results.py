"""Plans: what a declaration redacts of each side, and how results are written."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import pytest
from pydantic import BaseModel, EmailStr, RootModel, SecretStr

from remit._inspect.marks import Sensitive
from tests.captured import marked, opaque, ordinary, params_of, plan_of, redacted, result_of
from tests.subtests import each

RESTRICTED = "classification:restricted"


class Colour(enum.Enum):
    """An enumeration, as a default."""

    RED = "red"


class Order(BaseModel):
    """A model, as a result."""

    key: str = "a"
    password: str = "b"


class Ticket(TypedDict):
    """A dict with a marked key."""

    title: str
    note: Annotated[str, Sensitive("health_and_medical")]


@dataclass
class Answer:
    """A dataclass, as a result."""

    text: str


DECLARED = [
    pytest.param(
        {"params_rule": RESTRICTED},
        {"note": RESTRICTED, "phone": RESTRICTED},
        id="a restricted side",
    ),
    pytest.param(
        {"params_rule": RESTRICTED, "keep": {"phone": True, "note": True}},
        {"note": "type:Sensitive", "phone": None},
        id="kept although it is restricted",
    ),
    pytest.param({"keep": {"phone": False}}, {"phone": "capture"}, id="never captured"),
    pytest.param(
        {"params_excluded": frozenset({"contact_information"})},
        {"phone": "category:contact_information", "mail": "category:contact_information"},
        id="an excluded category",
    ),
    pytest.param(
        {
            "params_excluded": frozenset({"contact_information"}),
            "keep": {"phone": True},
        },
        {"phone": None, "mail": "category:contact_information"},
        id="kept although its category is excluded",
    ),
]


@each(("declared", "rules"), DECLARED)
def test_a_declaration_redacts_by_parameter(
    declared: dict[str, Any], rules: dict[str, str | None]
) -> None:
    """Each parameter keeps its key; marks and secret types win over what is asked for."""
    shown = params_of(plan_of(marked, **declared), "n", SecretStr("s"), "m", "p")
    assert list(shown) == ["note", "token_type", "mail", "phone"]
    assert shown["token_type"] == redacted("type:SecretStr")
    for name, rule in rules.items():
        if rule in {RESTRICTED, None}:
            continue
        assert shown[name] == redacted(str(rule))
    if rules["phone"] is None:
        assert shown["phone"] == "p"
    if rules["phone"] == RESTRICTED:
        assert shown["phone"] == redacted(RESTRICTED)
        assert shown["note"] == redacted("type:Sensitive")


def test_arguments_that_no_parameter_takes_are_redacted_as_the_others_are() -> None:
    """The call itself will fail; what it was given is restricted all the same."""
    shown = params_of(plan_of(marked, params_rule=RESTRICTED), *"abcde", more="f")
    assert shown["*"] == redacted(RESTRICTED)
    assert shown["**"] == redacted(RESTRICTED)
    twice = params_of(plan_of(marked), "n", note="again", more="f")
    assert twice["**"] == {"note": redacted("type:Sensitive"), "more": "f"}


def test_what_is_kept_is_kept_inside_too() -> None:
    """`capture={"person": True}` means the whole value."""

    def step(person: dict[str, str], other: dict[str, str]) -> None:
        del person, other

    plan = plan_of(step, params_excluded=frozenset({"contact_information"}), keep={"person": True})
    assert params_of(plan, {"email": "a"}, {"email": "a"}) == {
        "person": {"email": "a"},
        "other": {"email": redacted("category:contact_information")},
    }


def test_a_dict_for_a_typed_dict_is_redacted_by_its_marked_keys() -> None:
    """Of parameters and of results."""

    def step(ticket: Ticket) -> Ticket:
        return ticket

    plan = plan_of(step)
    written = {"title": "a", "note": redacted("type:Sensitive")}
    assert params_of(plan, {"title": "a", "note": "b"}) == {"ticket": written}
    assert result_of(plan, {"title": "a", "note": "b"}) == written


RESULTS = [
    pytest.param({"a": 1}, {"a": 1}, id="a dict is the object itself"),
    pytest.param({"a": [1]}, {"a": [1]}, id="a dict of containers"),
    pytest.param({1: "a"}, {"1": "a"}, id="a dict with numbers for keys"),
    pytest.param({"password": "x"}, {"password": redacted("name:password")}, id="a secret name"),
    pytest.param({"$remit": 1}, {"$$remit": 1}, id="the reserved key"),
    pytest.param({f"k{n}": n for n in range(70)}, {f"k{n}": n for n in range(70)}, id="many keys"),
    pytest.param(
        Order(), {"key": "a", "password": redacted("name:password")}, id="a model is the object"
    ),
    pytest.param(Answer("a"), {"text": "a"}, id="a dataclass is the object"),
    pytest.param(RootModel[dict[str, int]]({"a": 1}), {"a": 1}, id="a root model of a dict"),
    pytest.param(RootModel[list[int]]([1]), {"result": [1]}, id="a root model of a list"),
    pytest.param("a", {"result": "a"}, id="a text"),
    pytest.param("a\ud800", {"result": "a?"}, id="a text with a lone surrogate"),
    pytest.param("word " * 1000, {"result": "word " * 1000}, id="a long text"),
    pytest.param(None, {"result": None}, id="None"),
    pytest.param([1], {"result": [1]}, id="a list"),
    pytest.param(object(), {"result": opaque("object")}, id="an opaque object"),
    pytest.param(iter([1]), opaque("list_iterator"), id="an iterator that was not iterated"),
    pytest.param(SecretStr("x"), {"result": redacted("type:SecretStr")}, id="a secret"),
    pytest.param(Colour.RED, {"result": "red"}, id="an enum"),
    pytest.param(float("nan"), {"result": "NaN"}, id="NaN"),
]


@each(("value", "written"), RESULTS)
def test_a_result_like_a_mapping_is_the_object_itself(value: object, written: object) -> None:
    """Anything else stands under `result`."""
    assert result_of(plan_of(ordinary), value) == written
    # Again: by now the names are known, and the walk may be left out.
    assert result_of(plan_of(ordinary), value) == written


@each(
    ("value", "written"),
    [
        pytest.param({"a@b.example": 1}, redacted(RESTRICTED), id="a dict, its keys are data"),
        pytest.param(
            Order(),
            {"key": redacted(RESTRICTED), "password": redacted(RESTRICTED)},
            id="a model keeps its keys",
        ),
        pytest.param("a", {"result": redacted(RESTRICTED)}, id="a text"),
        pytest.param(iter([1]), redacted(RESTRICTED), id="an iterator, which has no key"),
    ],
)
def test_a_restricted_result_is_redacted(value: object, written: object) -> None:
    """Unless it is asked for; the parameters are another side."""
    assert result_of(plan_of(ordinary, result_rule=RESTRICTED), value) == written
    kept = plan_of(ordinary, result_rule=RESTRICTED, keep={"return": True})
    assert result_of(kept, "a") == {"result": "a"}
    assert params_of(plan_of(ordinary, result_rule=RESTRICTED), "a")["order_id"] == "a"


def test_a_marked_result_and_one_of_an_excluded_category_are_redacted() -> None:
    """By the return annotation."""

    def secret() -> SecretStr:
        return SecretStr("a")

    def mail() -> EmailStr:
        return "a"

    excluded = {"result_excluded": frozenset({"contact_information"})}
    assert result_of(plan_of(secret), "x") == {"result": redacted("type:SecretStr")}
    assert result_of(plan_of(mail, **excluded), "x") == {
        "result": redacted("category:contact_information")
    }
    assert result_of(plan_of(ordinary, **excluded), {"email": "x"}) == {
        "email": redacted("category:contact_information")
    }
    assert result_of(plan_of(ordinary, keep={"return": False}), 5) == {
        "result": redacted("capture")
    }
