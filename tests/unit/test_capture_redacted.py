"""What a run redacts is not told by the errors that it records later, nor by a reason."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from msgspec import Struct
from pydantic import BaseModel, SecretStr
from pydantic.v1 import SecretStr as OldSecretStr

import remit
from remit._capture.encode import Rules, capture_mapping
from remit._capture.errors import error_payload, failure_payload, outcome_payload
from remit._capture.redacted import RedactedTexts
from remit._inspect.marks import Sensitive
from remit.testing import RecordingSink
from tests.captured import plan_of, redacted
from tests.subtests import each

QUOTED = redacted("quoted")
RESTRICTED = "classification:restricted"


def login(user: str, password: str, pin: int = 91823) -> None:
    """The function of a plan for a step with secrets."""
    del user, password, pin


def test_a_long_secret_is_found_inside_a_word_and_by_its_beginning() -> None:
    """A text of eight characters is redacted wherever an error quotes it, or its beginning."""
    assert RedactedTexts(("correct-horse",)).quoted_in("xcorrect-horsex")
    assert RedactedTexts(("x1" * 4_000,)).quoted_in("x1" * 3_000)
    assert not RedactedTexts(("",)).quoted_in("anything")


def test_a_short_secret_is_found_as_a_word_only() -> None:
    """Four characters are part of many words; fewer are no secret."""
    texts = RedactedTexts()
    for text in ("fast", "abc"):
        texts.add(text)
    assert texts.quoted_in("as fast as this")
    assert not texts.quoted_in("breakfast")
    assert not texts.quoted_in("abc")


def test_the_texts_of_a_run_are_bounded_and_the_latest_are_kept() -> None:
    """A run of many calls keeps what it redacted last."""
    texts = RedactedTexts()
    for number in range(5_000):
        texts.add(f"{number:05}-secret")
    assert texts.quoted_in("say 04999-secret")
    assert texts.quoted_in("say 04300-secret")
    assert not texts.quoted_in("say 00001-secret")
    assert len(list(texts)) <= 1_000


def test_what_is_set_by_hand_does_not_tell_it(remit_recorder: RecordingSink) -> None:
    """A reason; and the run's own reason, which repeats what a step in it said."""

    @remit.agent
    def desk() -> None: ...

    with desk.run() as run:
        with remit.span("failed", {"password": "hunter2"}) as span:
            span.fail("bad hunter2")
        with pytest.raises(ValueError), remit.span("raised", {"password": "hunter2"}):  # noqa: PT011 - raised below
            raise ValueError("bad hunter2")
        run.fail("gave up: bad hunter2")
    results = {each.name: each.result for each in remit_recorder.spans()}
    assert results["failed"] == {"error": {"type": "failed", "message": QUOTED}}
    (recorded,) = remit_recorder.runs
    assert recorded.root is not None
    assert recorded.root.result is not None
    assert recorded.root.result["reason"] == QUOTED


DECLARED = [
    pytest.param({"result_rule": RESTRICTED}, RESTRICTED, id="restricted"),
    pytest.param({"keep": {"return": False}}, "capture", id="the result is not to be recorded"),
    pytest.param({"params_rule": RESTRICTED}, None, id="only the arguments are restricted"),
    pytest.param(
        {"result_rule": RESTRICTED, "keep": {"return": True}}, None, id="recorded all the same"
    ),
    pytest.param({"keep": {RESTRICTED: True}, "result_rule": RESTRICTED}, None, id="rule is off"),
]


@each(("declared", "rule"), DECLARED)
def test_an_error_is_redacted_where_the_result_is(
    declared: dict[str, Any], rule: str | None
) -> None:
    """What it says is part of what the step gives; of which type it is, is told."""
    found = plan_of(login, **declared).error_rule
    shown = json.loads(error_payload(LookupError("not found"), Rules(), found))["error"]
    message = "not found" if rule is None else redacted(rule)
    assert shown == {"type": "LookupError", "message": message}


def test_a_mark_on_the_result_says_nothing_of_errors() -> None:
    """They show how it failed, and not the value."""

    def vault() -> SecretStr:
        return SecretStr("x")

    def record() -> Annotated[str, Sensitive("health_and_medical")]:
        return "x"

    assert plan_of(vault).error_rule is None
    assert plan_of(record).error_rule is None


@each("secret", [SecretStr("correct-horse"), OldSecretStr("correct-horse")], ids=["2", "1"])
def test_an_error_does_not_quote_a_value_of_a_secret_type(secret: object) -> None:
    """Whichever version of pydantic its type is of."""
    rules = Rules().in_run()
    capture_mapping({"door": secret}, rules)
    body = error_payload(ValueError("wrong: correct-horse"), rules)
    assert json.loads(body)["error"]["message"] == QUOTED


@dataclass(slots=True)
class Slotted:
    """Keeps its fields in slots."""

    name: str


class Packed(Struct):
    """Keeps its fields in slots."""

    name: str


class Undeclared(BaseModel, extra="allow"):
    """Keeps what it does not declare apart."""


@each(
    "value",
    [
        Slotted("correct-horse"),
        Packed("correct-horse"),
        Undeclared.model_validate({"name": "correct-horse"}),
    ],
)
def test_an_error_does_not_quote_a_field_of_a_redacted_object(value: object) -> None:
    """Wherever the object stores it."""
    rules = Rules(texts=RedactedTexts())
    capture_mapping({"password": value}, rules)
    error = error_payload(ValueError("correct-horse is wrong"), rules)
    assert json.loads(error)["error"]["message"] == QUOTED


def test_an_error_that_was_redacted_is_redacted_in_the_rest_of_the_run() -> None:
    """It passes through the spans around; in another run its message is ordinary."""
    runtime = Rules()
    rules, other = runtime.in_run(), runtime.in_run()
    error = LookupError("not found")
    error_payload(error, rules, RESTRICTED)
    assert json.loads(error_payload(error, rules))["error"]["message"] == QUOTED
    assert json.loads(error_payload(error, other))["error"]["message"] == "not found"
    assert runtime.redacted == Counter({RESTRICTED: 1, "quoted": 1})


def test_what_a_payload_and_a_result_redact_is_collected() -> None:
    """Of a call, by hand too, and with a hook."""
    for hook in (None, lambda payload: payload):
        rules = Rules(hook=hook).in_run()
        plan_of(login).params(("bob", "hunter2"), {}, rules)
        capture_mapping({"password": "swordfish", "a": "b"}, rules)
        plan_of(login).result({"token": ["opensesame", 12345]}, rules)
        assert rules.texts is not None
        assert set(rules.texts) == {"hunter2", "91823", "swordfish", "opensesame", "12345"}


def test_a_run_inside_another_shares_what_is_redacted() -> None:
    """An error passes from one to the other; two runs side by side share nothing."""
    runtime = Rules()
    outer = runtime.in_run()
    inner, beside = runtime.in_run(outer), runtime.in_run()
    capture_mapping({"password": "hunter2"}, inner)
    error = ValueError("wrong: hunter2")
    assert json.loads(error_payload(error, outer))["error"]["message"] == QUOTED
    assert json.loads(error_payload(error, beside))["error"]["message"] == "wrong: hunter2"


def test_a_long_reason_is_searched_as_far_as_it_is_recorded() -> None:
    """It may be longer than the message of an error."""
    rules = Rules(texts=RedactedTexts(["swordfish"]))
    reason = "x " * 10_000 + "swordfish"
    assert json.loads(failure_payload(reason, rules))["error"]["message"] == QUOTED
    assert json.loads(outcome_payload("failed", reason, {}, rules))["reason"] == QUOTED
