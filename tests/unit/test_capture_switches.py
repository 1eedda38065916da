"""Turning rules off: for one parameter, one span type, one process; and what cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, SecretStr

import remit
from docs.redaction import GROUPS, RULES
from remit._capture.encode import Rules
from remit._capture.plan import Plan
from remit._capture.rules.patterns import key_shaped
from remit._capture.rules.switches import SWITCHES, switched_off
from remit._capture.stream import Stream
from remit.errors import DeclarationError, SettingsError
from remit.testing import isolated
from tests.captured import copy_of, params_of, plan_of, redacted, result_of
from tests.subtests import each

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
STRIPE = "sk_live_51HabcdefghijKLM"
NAME = redacted("name:token")
SHAPE = redacted("pattern:jwt")


def page(token: str, header: str = "x", **rest: object) -> None:
    """Stand for a step."""
    del token, header, rest


def off(*rules: str) -> Rules:
    """Return the rules of a process in which some are off."""
    return Rules(off=frozenset(rules))


def test_a_rule_of_names_is_off_for_one_parameter() -> None:
    """The same name elsewhere is redacted, and so is what looks like a key."""
    plan = plan_of(page, keep={"token": {"name:token": True}})
    assert params_of(plan, "next")["token"] == "next"
    assert params_of(plan, "next", access_token="x")["rest"] == {"access_token": NAME}
    assert params_of(plan, JWT)["token"] == SHAPE


def test_a_rule_of_shapes_is_off_for_one_parameter() -> None:
    """Another shape in the same text is found all the same."""
    plan = plan_of(page, keep={"header": {"pattern:jwt": True}})
    assert params_of(plan, "x", JWT)["header"] == JWT
    assert params_of(plan, "x", f"{JWT} {STRIPE}")["header"] == redacted("pattern:stripe")
    assert params_of(plan, "x", "y", more=JWT)["rest"] == {"more": SHAPE}


def test_rules_are_off_for_one_span_type() -> None:
    """In every parameter, however deep, and in the result."""
    plan = plan_of(page, keep={"name:token": True, "pattern:jwt": True})
    assert params_of(plan, "next", JWT, more=[{"token": JWT}]) == {
        "token": "next",
        "header": JWT,
        "rest": {"more": [{"token": JWT}]},
    }
    assert result_of(plan, {"token": JWT}) == {"token": JWT}
    assert result_of(plan, JWT) == {"result": JWT}


def test_a_rule_is_off_for_the_result_alone() -> None:
    """`return` is its name in `capture=`."""
    plan = plan_of(page, keep={"return": {"name:token": True}})
    assert result_of(plan, {"token": "x"}) == {"token": "x"}
    assert params_of(plan, "x")["token"] == NAME


def test_rules_are_off_for_the_items_of_a_stream() -> None:
    """They are the result of the call."""
    rules = Rules()
    stream = Stream(rules, plan_of(page, keep={"return": {"name:token": True}}))
    stream.add({"token": "x", "password": "y"})
    assert b'{"token":"x","password":{"$remit":"redacted"' in stream.payload(None)


@pytest.mark.parametrize("keep", [None, {"token": True}], ids=["undeclared", "kept"])
def test_rules_are_off_in_one_process(keep: dict[str, bool] | None) -> None:
    """Whatever the declaration says; what is not named redacts."""
    plan = plan_of(page, keep=keep)
    rules = off("name:token", "pattern:jwt")
    data = plan.params(("next", JWT), {"token_b": [{"token": 5, "password": "x"}]}, rules)
    assert b'"token":"next"' in data
    assert JWT.encode() in data
    assert rules.redacted == {"name:password": 1}


@each(
    ("rule", "value"),
    [
        pytest.param("name:token", {"token": "x"}, id="a key"),
        pytest.param("name:token", [["token", "x"]], id="a pair"),
        pytest.param("name:token", {"name": "token", "value": "x"}, id="a labelled value"),
        pytest.param("name:token", ["--token", "x"], id="a flag"),
        pytest.param("pattern:jwt", {JWT: 1}, id="a key that is one"),
        pytest.param("pattern:private_key", ["-----BEGIN PRIVATE KEY-----", "x"], id="lines"),
    ],
)
def test_what_is_off_in_the_process_is_recorded_by_hand_too(rule: str, value: object) -> None:
    """Labels, payloads of blocks and quality payloads have no declaration of their own."""
    assert copy_of(value) != value
    assert copy_of(value, off(rule)) == value


def test_what_was_off_once_is_redacted_when_it_is_on() -> None:
    """Names are remembered between calls: not by a walk that let a key pass."""
    assert copy_of({JWT: 1}, off("pattern:jwt")) == {JWT: 1}
    assert copy_of({JWT: 1}) == {"<pattern:jwt 1>": 1}


def test_an_excluded_category_is_off_by_its_name() -> None:
    """For the parameter itself and for what is inside."""

    def step(person: dict[str, str], email: str) -> None:
        del person, email

    excluded = frozenset({"contact_information"})
    rule = "category:contact_information"
    kept: Plan = plan_of(step, params_excluded=excluded, keep={rule: True})
    assert params_of(kept, {"email": "x"}, "y") == {"person": {"email": "x"}, "email": "y"}
    strict = plan_of(step, params_excluded=excluded)
    assert params_of(strict, {"email": "x"}, "y")["email"] == redacted(rule)
    assert strict.params(({"email": "x"}, "y"), {}, off(rule)) == kept.params(
        ({"email": "x"}, "y"), {}, Rules()
    )


def test_a_classification_is_off_in_one_process() -> None:
    """For tests with data that is nobody's."""
    plan = plan_of(page, params_rule="classification:secret", result_rule="classification:secret")
    rules = off("classification:secret")
    assert b'"header":"x"' in plan.params(("a",), {}, rules)
    assert plan.result({"a": 1}, rules) == b'{"a":1}'
    assert plan.result(5, rules) == b'{"result":5}'


class Account(BaseModel):
    """A model that hides a field."""

    raw: str = Field(default="", repr=False)
    secret: SecretStr = SecretStr("")


def test_types_and_marks_redact_whatever_is_off() -> None:
    """The author of the type decided, not the one who calls."""

    def step(word: SecretStr, note: Annotated[str, remit.Sensitive], account: Account) -> None:
        del word, note, account

    plan = plan_of(step)
    args = (SecretStr("canary"), "canary", Account(raw="canary", secret=SecretStr("canary")))
    assert b"canary" not in plan.params(args, {}, off(*SWITCHES))


def test_a_hook_sees_what_is_recorded_and_it_stays() -> None:
    """The walk over the hook's answer does not redact what the first one let pass."""
    rules = Rules(hook=lambda payload: payload, off=frozenset({"pattern:jwt"}))
    plan = plan_of(page, keep={"token": {"name:token": True}})
    data = plan.params(("next", JWT), {"password": "x"}, rules)
    assert b'"token":"next"' in data
    assert JWT.encode() in data
    assert rules.redacted == {"name:password": 1}


@each("name", ["pattern:jwt", "pattern:assignment", "pattern:aws", "pattern:private_key"])
def test_a_shape_that_is_off_is_not_found(name: str) -> None:
    """Nor under another name, but where a text shows both."""
    for rule in RULES:
        if not rule.name.startswith("pattern:"):
            continue
        found = {key_shaped(each, frozenset({name})) for each in rule.redacted}
        assert name not in found
        assert rule.name == name or found == {rule.name}


def test_every_rule_is_in_one_group_that_tells_how_to_turn_it_off() -> None:
    """The documentation prints the groups."""
    switches = {
        rule.name for group in GROUPS if "redact_off" in group.process for rule in group.rules
    }
    assert switches == SWITCHES
    for group in GROUPS:
        for way in (group.parameter, group.span_type, group.process):
            assert all(rule in SWITCHES for rule in named_in(way))
        if group.process and group.span_type:
            assert group.parameter


def named_in(way: str) -> Iterator[str]:
    """Yield the names of rules that a way to turn one off shows."""
    for quoted in way.split('"')[1::2]:
        if ":" in quoted:
            yield quoted


@each(
    ("name", "said"),
    [
        ("name:tokens", "did you mean 'name:token'"),
        ("nonsense", "'nonsense' is not a redaction rule; expected the name"),
        ("type:SecretStr", "follows from the declaration itself"),
        ("hook", "follows from the declaration itself"),
    ],
)
def test_what_turns_nothing_off_is_an_error_of_the_setting(name: str, said: str) -> None:
    """It names the setting and what is expected."""
    with pytest.raises(SettingsError, match=f"setting redact_off: .*{said}"):
        switched_off([name])
    with pytest.raises(SettingsError, match="setting redact_off"):
        remit.configure(redact_off=[name], mode="off")


@each(
    ("capture", "said"),
    [
        pytest.param({"name:tokens": True}, "did you mean 'name:token'", id="a misspelt rule"),
        pytest.param({"type:Sensitive": True}, "follows from the declaration", id="a type"),
        pytest.param({"name:token": False}, "expected True, which records", id="False"),
        pytest.param(
            {"text": {"jwt": True}}, r"capture\['text'\]: 'jwt' is not a redaction", id="inside"
        ),
        pytest.param({"text": {"pattern:jwt": 1}}, "is 1; expected True", id="one"),
        pytest.param({"text": 1}, "expected True or False, or a mapping of rules", id="a number"),
        pytest.param({"txt": {"pattern:jwt": True}}, "did you mean 'text'", id="a parameter"),
    ],
)
def test_what_turns_nothing_off_is_an_error_of_the_declaration(capture: Any, said: str) -> None:
    """At decoration, with the function and its place."""
    with isolated(), pytest.raises(DeclarationError, match=rf"step \(.*{said}"):

        @remit.span_type(capture=capture)
        def step(text: str) -> None:
            del text


def test_a_declared_switch_reaches_the_recording_and_the_counts_are_told() -> None:
    """From the decorator to `remit.status()`, end to end."""
    with isolated(redact_off="pattern:stripe, name:cookie") as recorder:

        @remit.agent
        def desk() -> None: ...

        @remit.span_type(capture={"token": {"name:token": True}})
        def find(token: str, password: str, **rest: object) -> dict[str, str]:
            del token, password, rest
            return {"token": "z", "cookie": "c"}

        with desk.run(labels={"password": "x", "key": STRIPE}):
            find("next", "y", text=JWT, more=STRIPE)
        (span,) = recorder.spans()
        assert span.payload == {
            "token": "next",
            "password": redacted("name:password"),
            "rest": {"text": SHAPE, "more": STRIPE},
        }
        assert span.result == {"token": NAME, "cookie": "c"}
        assert remit.status().redacted == {"name:password": 2, "pattern:jwt": 1, "name:token": 1}
