"""The law of redaction: a planted secret survives in no payload, from no place."""

from __future__ import annotations

import json

from hypothesis import given

from tests.inside import (
    RedactedTexts,
    Rules,
    Stream,
    capture_mapping,
    error_payload,
    plan_of,
    redacted,
)
from tests.strategies import CANARY, planted


def step(document: object, *rest: object, password: object = None, **others: object) -> None:
    """Stand for a step that takes anything."""
    del document, rest, password, others


PLAN = plan_of(step)
RULES = [Rules(), Rules(512), Rules(hook=lambda payload: payload)]


@given(planted())
def test_no_planted_secret_survives(value: object) -> None:
    """It is an argument, a default, a result, an item, an error's argument, or a label."""
    for rules in RULES:
        stream = Stream(rules, PLAN)
        stream.add(value)
        stream.add([value])
        found = [
            PLAN.params((value, value), {"extra": value}, rules),
            PLAN.params((1,), {"password": CANARY}, rules),
            PLAN.params((1,), {"password": value}, rules),
            PLAN.result(value, rules),
            PLAN.result({"a": value}, rules),
            stream.payload(None),
            capture_mapping({"labels": {"a": value}}, rules),
            error_payload(ValueError(value), rules),
            error_payload(ValueError("failed", value), rules),
            json.dumps(redacted({"a": value}, rules)).encode(),
        ]
        for data in found:
            assert CANARY.encode() not in data


@given(planted())
def test_what_an_error_quotes_of_its_arguments_does_not_survive(value: object) -> None:
    """The message repeats the secret as plain text, which no shape gives away."""
    rules = Rules(texts=RedactedTexts())
    PLAN.params((value,), {"password": CANARY}, rules)
    assert CANARY.encode() not in error_payload(RuntimeError(f"cannot use {CANARY}"), rules)
    assert CANARY.encode() not in error_payload(RuntimeError(value, CANARY), rules)
