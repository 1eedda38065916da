"""The user's hook: the last rule, and one that may fail."""

from __future__ import annotations

import json
from asyncio import CancelledError
from collections import Counter, OrderedDict

import pytest

from remit._capture import encode
from remit._capture.encode import Rules, capture_mapping
from remit._capture.errors import error_payload
from remit._capture.plan import Plan
from remit._capture.stream import Stream
from remit.errors import DeniedError, Violation
from tests.captured import copy_of, opaque, plan_of, redacted
from tests.subtests import each


def raises(payload: dict[str, object]) -> object:
    """Fail as a hook may."""
    raise ValueError(payload)


def denies(payload: dict[str, object]) -> object:
    """Fail as a hook does that calls a step which was denied."""
    raise DeniedError("step", [Violation(str(payload))])


@each(
    "hook",
    [
        raises,
        denies,
        pytest.param(lambda _: None, id="None"),
        pytest.param(lambda payload: [payload], id="a list"),
        pytest.param(json.dumps, id="a text"),
    ],
)
def test_a_hook_that_fails_redacts_the_payload(hook: object) -> None:
    """Nothing is recorded that it might have wanted to hide."""
    rules = Rules(hook=hook)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    assert json.loads(capture_mapping({"a": "canary"}, rules)) == redacted("hook")
    assert rules.redacted == Counter({"hook": 1})


def test_the_walk_after_a_hook_redacts_nothing_more() -> None:
    """The marker of what follows a flag is what follows it."""
    rules = Rules(hook=lambda payload: payload)
    recorded = {"argv": ["run", "--token", redacted("name:token"), "-p", "8080"]}
    assert (
        json.loads(capture_mapping({"argv": ["run", "--token", "canary", "-p", "8080"]}, rules))
        == recorded
    )
    assert rules.redacted == Counter({"name:token": 1})


@pytest.mark.parametrize("error", [SystemExit(1), CancelledError()], ids=repr)
def test_a_hook_that_exits_redacts_the_payload_and_ends_nothing(error: BaseException) -> None:
    """No hook of the user's makes remit raise into the program."""

    def leaving(payload: dict[str, object]) -> object:
        del payload
        raise error

    rules = Rules(hook=leaving)
    assert json.loads(capture_mapping({"a": "canary"}, rules)) == redacted("hook")
    assert rules.redacted == {"hook": 1}


def test_ctrl_c_in_a_hook_passes_and_nothing_is_recorded() -> None:
    """It is the program's, wherever it happens to arrive."""

    def interrupted(payload: dict[str, object]) -> object:
        del payload
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        capture_mapping({"a": "canary"}, Rules(hook=interrupted))


def test_a_hook_sees_plain_json_and_its_answer_is_recorded() -> None:
    """What the rules redacted it never sees."""
    seen: list[object] = []

    def hook(payload: dict[str, object]) -> object:
        seen.append(dict(payload))
        payload["b"] = "changed"
        return payload

    rules = Rules(hook=hook)
    shown = json.loads(capture_mapping({"a": {1, 2}, "b": "x", "password": "y"}, rules))
    assert seen == [{"a": [1, 2], "b": "x", "password": redacted("name:password")}]
    assert shown == {"a": [1, 2], "b": "changed", "password": redacted("name:password")}
    assert rules.redacted == Counter({"name:password": 1})


def test_the_answer_of_a_hook_is_walked_again() -> None:
    """It may bring in what is no JSON, or a secret."""
    answer = OrderedDict(a=object(), secret="x", key="sk-proj-9aB8cD7eF6gH5iJ4kL3m")
    rules = Rules(hook=lambda _: answer)
    assert json.loads(capture_mapping({}, rules)) == {
        "a": opaque("object"),
        "secret": redacted("name:secret"),
        "key": redacted("pattern:llm_key"),
    }
    assert rules.redacted == Counter({"name:secret": 1, "pattern:llm_key": 1})


def test_the_answer_of_a_hook_is_bounded() -> None:
    """As any payload."""
    rules = Rules(1000, hook=lambda _: {"a": ["x" * 100] * 10_000})
    assert len(capture_mapping({}, rules)) <= 1000


def test_markers_survive_the_second_walk() -> None:
    """Those of the walk, and the reserved key of a user's own."""
    value = {"$remit": 1, "a": b"x", "b": object(), "c": "\ud800" * 20, "d": ["x" * 50_000] * 2}
    changed = copy_of(value, Rules(hook=lambda payload: payload))
    plain = copy_of(value)
    assert {**changed, "d": 0} == {**plain, "d": 0}


def test_a_hook_is_not_asked_about_what_it_calls_itself() -> None:
    """A hook that calls something decorated would be asked without end."""
    inner: list[bytes] = []

    def hook(payload: dict[str, object]) -> object:
        inner.append(capture_mapping({"inner": "canary"}, rules))
        return payload

    rules = Rules(hook=hook)
    assert json.loads(capture_mapping({"a": 1}, rules)) == {"a": 1}
    assert json.loads(inner[0]) == redacted("hook")
    assert json.loads(capture_mapping({"a": 2}, rules)) == {"a": 2}


def test_every_door_asks_the_hook() -> None:
    """Arguments, results, streams, errors, snapshots, and what stands in schemas."""
    seen: list[str] = []

    def hook(payload: dict[str, object]) -> object:
        seen.append(json.dumps(payload))
        return payload

    def step(a: int) -> None:
        del a

    rules = Rules(hook=hook)
    plan: Plan = plan_of(step)
    plan.params((1,), {}, rules)
    plan.result(2, rules)
    Stream(rules, plan).payload(None)
    error_payload(ValueError("3"), rules)
    capture_mapping({"a": 4}, rules)
    encode.redacted({"a": 5}, rules)
    assert seen == [
        '{"a": 1}',
        '{"result": 2}',
        '{"items": [], "count": 0, "first_item_ms": null}',
        '{"error": {"type": "ValueError", "message": "3"}}',
        '{"a": 4}',
        '{"a": 5}',
    ]


@each(
    ("value", "written"),
    [
        pytest.param({"limit": 10}, {"limit": 10}, id="a named default"),
        pytest.param({"password": "x"}, {"password": redacted("name:password")}, id="a secret"),
        pytest.param([1, (2,)], [1, [2]], id="an example"),
        pytest.param("sk-proj-9aB8cD7eF6gH5iJ4kL3m", redacted("pattern:llm_key"), id="a key"),
        pytest.param(5, 5, id="a number"),
        pytest.param(object(), opaque("object"), id="an object"),
    ],
)
def test_what_stands_in_a_schema_is_redacted_as_a_payload_is(
    value: object, written: object
) -> None:
    """Defaults, examples, enumerated values."""
    assert encode.redacted(value, Rules()) == written


def test_a_schema_value_that_the_hook_redacts_is_a_marker() -> None:
    """With and without a name."""
    rules = Rules(hook=raises)
    assert encode.redacted({"a": 1}, rules) == redacted("hook")
    assert encode.redacted(1, rules) == redacted("hook")


def test_what_is_handed_in_by_hand_and_is_no_mapping_stands_under_value() -> None:
    """A payload is an object."""
    assert json.loads(capture_mapping([1], Rules())) == {"value": [1]}
    assert json.loads(capture_mapping(object(), Rules())) == opaque("object")
