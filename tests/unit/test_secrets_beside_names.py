"""Secrets whose name stands beside them, or that come in other places than a payload."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple, TypedDict

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, field_validator

import remit
from remit.testing import RecordingSink, isolated
from tests.captured import redacted
from tests.subtests import each

SECRET: Final = "31d4d96e40"
KEY: Final = "sk-proj-9aB8cD7eF6gH5iJ4kL3m"


@remit.agent
def desk() -> None:
    """Stand for an agent."""


class Model(BaseModel):
    """A header as a model."""

    name: str
    value: str


class Open(BaseModel):
    """A model that takes more than its fields."""

    model_config = ConfigDict(extra="allow")

    key: str


@dataclass
class Data:
    """A header as a dataclass."""

    header: str
    value: str


class Row(NamedTuple):
    """A header as a named tuple, with more than two places."""

    name: str
    value: str
    sent: bool = True


class Typed(TypedDict):
    """A header as a typed dict."""

    name: str
    value: str


def set_header(name: str, value: str) -> None:
    """Take name and value as parameters."""


def set_more(value: str, *, key: str = "Accept", other: int = 1) -> None:
    """Take a value first, and its key by keyword."""


def keep(item: object) -> object:
    """Return *item*."""
    return item


CALLS: Final[
    dict[
        str,
        tuple[Callable[..., object], Callable[[str, str], tuple[list[object], dict[str, object]]]],
    ]
] = {
    "parameters": (set_header, lambda name, value: ([name, value], {})),
    "parameters by keyword": (set_header, lambda name, value: ([], {"name": name, "value": value})),
    "a keyword before": (set_more, lambda name, value: ([value], {"key": name})),
    "a dict": (keep, lambda name, value: ([{"name": name, "value": value}], {})),
    "a typed dict": (keep, lambda name, value: ([Typed(name=name, value=value)], {})),
    "a dict with two labels": (
        keep,
        lambda name, value: ([{"name": "x", "key": name, "value": value}], {}),
    ),
    "a dict of AWS": (keep, lambda name, value: ([{"Name": name, "Value": value}], {})),
    "a model": (keep, lambda name, value: ([Model(name=name, value=value)], {})),
    "what a model took beyond": (
        keep,
        lambda name, value: ([Open.model_validate({"key": name, "value": value})], {}),
    ),
    "a dataclass": (keep, lambda name, value: ([Data(name, value)], {})),
    "a named tuple": (keep, lambda name, value: ([Row(name, value)], {})),
    "a list of them": (keep, lambda name, value: ([[Row(name, value), Data(name, value)]], {})),
}


def recorded(step: Callable[..., object], args: list[object], kwargs: dict[str, object]) -> str:
    """Return the payload and the result of a call as JSON."""
    with isolated() as recorder, desk.run():
        remit.span_type(f"beside_{step.__name__}")(step)(*args, **kwargs)
    return told_by(recorder)


def told_by(recorder: RecordingSink) -> str:
    """Return the payload and the result of the last span as JSON."""
    span = recorder.spans()[-1]
    return json.dumps([span.payload, span.result])


@each("call", CALLS)
def test_a_value_is_redacted_for_the_name_beside_it(call: str) -> None:
    """Headers, settings and environments are handed on as name and value."""
    step, arguments = CALLS[call]
    told = recorded(step, *arguments("X-Api-Key", SECRET))
    assert SECRET not in told
    assert json.dumps(redacted("name:api_key")) in told
    assert SECRET in recorded(step, *arguments("Accept", SECRET))


def test_the_rule_of_a_name_beside_the_value_is_turned_off_like_another() -> None:
    """For the parameter that holds the value."""
    step = remit.span_type("beside_off", capture={"value": {"name:api_key": True}})(set_header)
    with isolated() as recorder, desk.run():
        step("X-Api-Key", SECRET)
    assert SECRET in told_by(recorder)


class Login(BaseModel):
    """A model whose validators quote what they refuse."""

    password: str
    pin_hint: Annotated[str, remit.Sensitive("authentication_and_secrets")] = "none"
    code: SecretStr = SecretStr("")
    city: str = ""

    @field_validator("password", "pin_hint", "code", "city", mode="before")
    @classmethod
    def refuse(cls, value: str) -> str:
        """Refuse whatever is long, and say it."""
        if len(value) > 4:
            quoted = f"{value} is too long"
            raise ValueError(quoted)
        return value


@each("field", ["password", "pin_hint", "code", "city"])
def test_the_message_of_a_validator_does_not_tell_what_it_refuses(field: str) -> None:
    """By the name of the field, and wherever the message quotes the input."""
    with isolated() as recorder, desk.run():

        @remit.span_type("beside_login")
        def login() -> None:
            Login.model_validate({"password": "x", field: SECRET})

        with pytest.raises(ValidationError):
            login()
    span = recorder.spans()[-1]
    message = f"1 validation errors for Login: {field}: value_error"
    kind = "pydantic_core._pydantic_core.ValidationError"
    error = (span.result or {})["error"]
    assert (error["type"], error["message"]) == (kind, message)


def test_a_text_that_quotes_a_validation_error_is_redacted() -> None:
    """Pydantic's own text has the input in it, below the name of the field."""
    with pytest.raises(ValidationError) as raised:
        Login.model_validate({"password": SECRET})
    assert SECRET not in recorded(keep, [str(raised.value)], {})


def test_a_key_in_the_name_of_a_quality_or_in_a_version_is_not_sent() -> None:
    """They are texts like others, when a program makes them."""

    @remit.agent("beside_clerk", version=KEY)
    def clerk() -> None:
        """Stand for an agent."""

    with isolated() as recorder, clerk.run() as run:
        run.record_quality(KEY, {"score": 1})
        run.record_quality("quality", {"score": 2})
        assert remit.status().redacted == {"pattern:llm_key": 1}
    (recorded_run,) = recorder.runs
    assert recorded_run.quality == {"<pattern:llm_key>": {"score": 1}, "quality": {"score": 2}}
    sent = json.dumps(clerk.registration())
    assert KEY not in sent
    assert '"external_identifier": "schema-' in sent
