"""A registration says what payloads redact, and shows no value of it: no default, no example."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

import remit
from remit.testing import isolated
from tests.subtests import each

PLANTED = "swordCANARYfish9"
LLM_KEY = "sk-proj-9aB8cD7eF6gH5iJ4kL3m"
RESTRICTED = remit.risk(classification="restricted")
Marked = Annotated[str, remit.Sensitive("health_and_medical")]


class Sample(BaseModel):
    """A model whose author says too much."""

    text: str = Field("", pattern=f"^{LLM_KEY}", title=LLM_KEY, json_schema_extra={"x": LLM_KEY})
    marked: Marked = Field(PLANTED, examples=[PLANTED], pattern=PLANTED)
    word: Annotated[Literal["swordCANARYfish9"], remit.Sensitive] = "swordCANARYfish9"


class Extended(BaseModel):
    """A model whose author adds keywords of its own."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": {"one": {"password": PLANTED}},
            "x-sample": [{"password": PLANTED}],
        }
    )
    password: str = Field(
        "", json_schema_extra={"default": PLANTED, "example": PLANTED, "x-sample": PLANTED}
    )
    text: str = Field("", json_schema_extra={"x-sample": [LLM_KEY], "x-password": PLANTED})
    marked: Marked = Field("", json_schema_extra={"example": PLANTED, "x-sample": PLANTED})
    token: list[Literal["swordCANARYfish9"]] | None = None


class Login(NamedTuple):
    """Places with names, and defaults."""

    user: str
    password: str = PLANTED
    key: str = LLM_KEY
    marked: Marked = PLANTED
    sample: Annotated[str, Field(json_schema_extra={"x-password": PLANTED})] = ""


def extended(given: Extended) -> None:
    """Stand for a step with a model that has keywords of its author's own."""
    del given


def login(given: Login) -> None:
    """Stand for a step with a named tuple."""
    del given


def default(text: str = PLANTED) -> str:
    """Stand for a step with a default."""
    return text


def address(email: str = PLANTED) -> None:
    """Stand for a step whose name shows a category."""
    del email


def constant(api_key: Literal["swordCANARYfish9"]) -> None:
    """Stand for a step with a constant under a telling name."""
    del api_key


def marked(
    text: Annotated[str, remit.Sensitive, Field(examples=[PLANTED], pattern=PLANTED)] = PLANTED,
    word: Annotated[list[Literal["swordCANARYfish9", "b"]], remit.Sensitive] = [],  # noqa: B006 - a user's
) -> None:
    """Stand for a step whose parameters are marked."""
    del text, word


def answer() -> Literal["swordCANARYfish9"]:
    """Stand for a step with a constant result."""
    return "swordCANARYfish9"


def sample(given: Sample) -> None:
    """Stand for a step with a model."""
    del given


def password(password: str) -> None:
    """Stand for a step whose schema is written by hand."""
    del password


def plain(text: str, other: str = "") -> str:
    """Stand for a step of which nothing is redacted."""
    return text + other


def of_a_mark(text: Annotated[str, remit.Sensitive()], other: str = "") -> str:
    """Stand for the same step with a mark."""
    return text + other


def of_a_category(text: Marked, other: str = "") -> str:
    """Stand for the same step with a mark of a category."""
    return text + other


def of_a_secret(text: SecretStr, other: str = "") -> str:
    """Stand for the same step with a secret type."""
    return str(text) + other


def of_a_result(text: str, other: str = "") -> Annotated[str, remit.Sensitive]:
    """Stand for the same step with a mark on the result."""
    return text + other


def registered(step: Callable[..., object], **declared: Any) -> str:
    """Return the entry of *step* in a registration."""
    with isolated():
        decorated = remit.span_type("t", **declared)(step)

        @remit.agent(name="desk", span_types=[decorated])
        def desk() -> None: ...

        content: Any = desk.registration()["agent_schema_version"]
    (entry,) = (each for each in content["span_type_schemas"] if each["name"] == "t")
    return json.dumps(entry)


def governed(schema: dict[str, Any], path: str = "") -> dict[str, object]:
    """Return what a schema says of redaction, by path."""
    found = {
        f"{path}{keyword}": schema[f"x-remit-{keyword}"]
        for keyword in ("redacted", "rules-off")
        if f"x-remit-{keyword}" in schema
    }
    for key in ("properties", "$defs"):
        for name, inner in schema.get(key, {}).items():
            found |= governed(inner, f"{path}{name} ")
    for number, inner in enumerate(schema.get("prefixItems", ())):
        found |= governed(inner, f"{path}{number} ")
    return found


RULE = "name:token"
REDACTED_BY_RISK = {"text redacted": "classification:restricted"}
OTHER_BY_RISK = {"other redacted": "classification:restricted"}
EXCLUDES = remit.risk(excludes="contact_information")


@each(
    ("step", "declared", "params", "result"),
    [
        (plain, {}, {}, {}),
        (of_a_mark, {}, {"text redacted": "type:Sensitive"}, {}),
        (of_a_category, {}, {"text redacted": "type:Sensitive"}, {}),
        (of_a_secret, {}, {"text redacted": "type:SecretStr"}, {}),
        (of_a_result, {}, {}, {"redacted": "type:Sensitive"}),
        (
            plain,
            {"capture": False},
            {"text redacted": "capture", "other redacted": "capture"},
            {"redacted": "capture"},
        ),
        (plain, {"capture": {"text": False}}, {"text redacted": "capture"}, {}),
        (plain, {"capture": {"return": False}}, {}, {"redacted": "capture"}),
        (plain, {"capture": {RULE: True}}, {"rules-off": [RULE]}, {"rules-off": [RULE]}),
        (plain, {"capture": {"text": {RULE: True}}}, {"text rules-off": [RULE]}, {}),
        (plain, {"capture": {"return": {RULE: True}}}, {}, {"rules-off": [RULE]}),
        (
            plain,
            {"data_risk": RESTRICTED},
            REDACTED_BY_RISK | OTHER_BY_RISK,
            {"redacted": "classification:restricted"},
        ),
        (
            plain,
            {"data_risk": RESTRICTED, "capture": {"text": True, "return": True}},
            {"text rules-off": ["classification:restricted"], **OTHER_BY_RISK},
            {"rules-off": ["classification:restricted"]},
        ),
        (address, {"data_risk": EXCLUDES}, {"email redacted": "category:contact_information"}, {}),
        (
            address,
            {"data_risk": EXCLUDES, "capture": {"email": True}},
            {"email rules-off": ["category:contact_information"]},
            {},
        ),
        (
            sample,
            {},
            {
                "Sample marked redacted": "type:Sensitive",
                "Sample word redacted": "type:Sensitive",
            },
            {},
        ),
        (login, {}, {"Login 3 redacted": "type:Sensitive"}, {}),
        (constant, {}, {}, {}),
    ],
)
def test_a_schema_says_what_is_never_recorded_and_which_rules_are_off(
    step: Callable[..., object],
    declared: dict[str, Any],
    params: dict[str, object],
    result: dict[str, object],
) -> None:
    """A rule by name decides by the value, so it leaves no word in the schema."""
    entry = json.loads(registered(step, **declared))
    assert governed(entry["params_schema"]) == params
    assert governed(entry["result_schema"]) == result


def test_what_is_redacted_is_in_the_hash() -> None:
    """Equal hashes mean equal declarations."""
    declarations: list[tuple[Callable[..., object], dict[str, Any]]] = [
        (plain, {}),
        (of_a_mark, {}),
        (of_a_category, {}),
        (of_a_secret, {}),
        (of_a_result, {}),
        (plain, {"capture": False}),
        (plain, {"capture": {"text": False}}),
        (plain, {"capture": {"text": False, "return": False}}),
        (plain, {"capture": {RULE: True}}),
        (plain, {"capture": {"text": {RULE: True}}}),
        (plain, {"data_risk": RESTRICTED}),
        (plain, {"data_risk": RESTRICTED, "capture": True}),
        (plain, {"data_risk": RESTRICTED, "capture": {"text": True}}),
        (plain, {"data_risk": EXCLUDES}),
        (plain, {"data_risk": EXCLUDES, "capture": {"text": True}}),
    ]
    titles = {"title": "Same", "description": "Same."}
    schemas: set[str] = set()
    for step, declared in declarations:
        with isolated():
            schemas.add(registered(step, **titles, **declared))
    assert len(schemas) == len(declarations)


@each(
    ("step", "declared"),
    [
        pytest.param(default, {"data_risk": RESTRICTED}, id="restricted"),
        pytest.param(default, {"capture": False}, id="not to be recorded"),
        pytest.param(default, {"capture": {"text": False}}, id="one is not to be recorded"),
        pytest.param(
            address, {"data_risk": remit.risk(excludes="contact_information")}, id="excluded"
        ),
        pytest.param(constant, {}, id="a constant under a telling name"),
        pytest.param(marked, {}, id="a mark"),
        pytest.param(answer, {"data_risk": RESTRICTED}, id="a restricted result"),
        pytest.param(sample, {}, id="fields of a model"),
        pytest.param(extended, {}, id="keywords of the author's own"),
        pytest.param(login, {}, id="places of a named tuple"),
        pytest.param(
            password,
            {"params": {"properties": {"password": {"enum": [PLANTED], "const": PLANTED}}}},
            id="written by hand",
        ),
        pytest.param(default, {"title": LLM_KEY, "capture": False}, id="a title"),
        pytest.param(
            default, {"template": f"{{{{ text }}}} {LLM_KEY}", "capture": False}, id="a template"
        ),
    ],
)
def test_no_value_of_what_is_redacted_is_registered(
    step: Callable[..., object], declared: dict[str, Any]
) -> None:
    """Its name and its type are."""
    shown = registered(step, **declared)
    assert PLANTED not in shown
    assert LLM_KEY not in shown


@each(
    ("step", "declared"),
    [
        pytest.param(default, {}, id="a default"),
        pytest.param(
            default, {"capture": True, "data_risk": RESTRICTED}, id="recorded all the same"
        ),
        pytest.param(answer, {}, id="a constant"),
    ],
)
def test_a_value_of_what_is_recorded_is_registered(
    step: Callable[..., object], declared: dict[str, Any]
) -> None:
    """The schema tells what a payload may hold."""
    assert PLANTED in registered(step, **declared)
