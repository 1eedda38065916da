"""A registration shows no value of what payloads withhold: no default, example, constant."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

import remit
from remit.testing import RecordingSink

PLANTED = "swordCANARYfish9"
LLM_KEY = "sk-proj-9aB8cD7eF6gH5iJ4kL3m"
RESTRICTED = remit.risk(classification="restricted")
Marked = Annotated[str, remit.Sensitive("health_and_medical")]


class Sample(BaseModel):
    """A model whose author says too much."""

    text: str = Field("", pattern=f"^{LLM_KEY}", title=LLM_KEY, json_schema_extra={"x": LLM_KEY})
    marked: Marked = Field(PLANTED, examples=[PLANTED], pattern=PLANTED)
    word: Annotated[Literal["swordCANARYfish9"], remit.Sensitive] = "swordCANARYfish9"


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
    word: Annotated[list[Literal["swordCANARYfish9", "b"]], remit.Sensitive] = [],  # noqa: B006
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


def registered(step: Callable[..., object], **declared: Any) -> str:  # noqa: ANN401 - options
    """Return the entry of *step* in a registration."""
    decorated = remit.span_type("t", **declared)(step)

    @remit.agent(name="desk", span_types=[decorated])
    def desk() -> None: ...

    content: Any = desk.registration()["agent_schema_version"]
    (entry,) = (each for each in content["span_type_schemas"] if each["name"] == "t")
    return json.dumps(entry)


@pytest.mark.parametrize(
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
@pytest.mark.usefixtures("remit_recorder")
def test_no_value_of_what_is_withheld_is_registered(
    step: Callable[..., object], declared: dict[str, Any]
) -> None:
    """Its name and its type are."""
    shown = registered(step, **declared)
    assert PLANTED not in shown
    assert LLM_KEY not in shown


@pytest.mark.parametrize(
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
    remit_recorder: RecordingSink, step: Callable[..., object], declared: dict[str, Any]
) -> None:
    """The schema tells what a payload may hold."""
    assert remit_recorder.runs == []
    assert PLANTED in registered(step, **declared)
