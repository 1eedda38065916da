"""What a span was not to record is not told by it either: in results, items, errors, reasons."""

from __future__ import annotations

import json
from collections import Counter
from typing import Annotated, Any

import pytest
from pydantic import SecretStr

import remit
from remit._capture import Known, Rules, error_payload, snapshot
from remit._marks import Sensitive
from remit.testing import RecordingSink
from tests.captured import plan_of, withheld
from tests.subtests import each

QUOTED = withheld("quoted")
RESTRICTED = "classification:restricted"


def login(user: str, password: str, pin: int = 91823) -> None:
    """Stand for a step that is given secrets."""
    del user, password, pin


def known() -> Known:
    """Return what a call of `login` must not tell."""
    secrets: list[str] = []
    plan_of(login, keep={"pin": False}).params(("bob", "hunter2"), {}, Rules(), secrets)
    return Known(secrets)


def test_a_long_secret_is_found_inside_a_word_and_by_its_beginning() -> None:
    """Eight characters stand nowhere by chance; whoever quotes a document quotes its beginning."""
    assert Known(("correct-horse",)).quoted_in("xcorrect-horsex")
    assert Known(("x1" * 4_000,)).quoted_in("x1" * 3_000)
    assert not Known(("",)).quoted_in("anything")


def test_texts_that_are_known_are_bounded() -> None:
    """A withheld document of many words costs no more than its first ones."""
    many = Known(f"{number:05}-secret" for number in range(5_000))
    assert many.quoted_in("say 00001-secret")
    assert not many.quoted_in("say 04999-secret")


def test_what_is_set_by_hand_does_not_tell_it(remit_recorder: RecordingSink) -> None:
    """A reason; and the run's own reason, which repeats what a step in it said."""

    @remit.agent
    def desk() -> None: ...

    with desk.run() as run:
        with remit.span("failed", {"password": "hunter2"}) as span:
            span.fail("bad hunter2")
        with pytest.raises(ValueError), remit.span("raised", {"password": "hunter2"}):  # noqa: PT011
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
def test_an_error_is_withheld_where_the_result_is(
    declared: dict[str, Any], rule: str | None
) -> None:
    """What it says is part of what the step gives; of which type it is, is told."""
    found = plan_of(login, **declared).error_rule
    shown = json.loads(error_payload(LookupError("not found"), Rules(), None, found))["error"]
    message = "not found" if rule is None else withheld(rule)
    assert shown == {"type": "LookupError", "message": message}


def test_a_mark_on_the_result_says_nothing_of_errors() -> None:
    """They show how it failed, and not the value."""

    def vault() -> SecretStr:
        return SecretStr("x")

    def record() -> Annotated[str, Sensitive("health_and_medical")]:
        return "x"

    assert plan_of(vault).error_rule is None
    assert plan_of(record).error_rule is None


def test_an_error_that_was_withheld_is_withheld_around_and_one_like_it_is_not() -> None:
    """An ordinary message is no secret by itself."""
    rules = Rules()
    error = LookupError("not found")
    error_payload(error, rules, Known(), RESTRICTED)
    assert json.loads(error_payload(error, rules))["error"]["message"] == QUOTED
    another = LookupError("not found")
    assert json.loads(error_payload(another, rules))["error"]["message"] == "not found"
    assert rules.withheld == Counter({RESTRICTED: 1, "quoted": 1})


def test_what_a_payload_withholds_is_collected_on_both_ways() -> None:
    """Quick and walked, by hand too."""
    rules = Rules()
    quick: list[str] = []
    walked: list[str] = []
    by_hand: list[str] = []
    plan_of(login).params(("bob", "hunter2"), {}, rules, quick)
    plan_of(login).params(([], "hunter2"), {}, rules, walked)
    snapshot({"password": "hunter2", "a": "b"}, rules, secrets=by_hand)
    assert set(quick) == set(walked) == {"hunter2", "91823"}
    assert by_hand == ["hunter2"]
