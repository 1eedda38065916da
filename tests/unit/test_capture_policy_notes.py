"""What remit says of a step beside its payload, and how a reader tells the two apart."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

import remit
from remit._base.markers import is_unregistered, note_unregistered
from remit._capture.encode import Rules
from remit._capture.errors import denial_payload, merge_error
from remit._policy.limits import not_compared
from remit._policy.violations import add_violations, split_violations
from remit.errors import DeniedError, Violation
from remit.testing import RecordingSink
from tests.subtests import each
from tests.violating import violation

SAID = (not_compared('a "quoted" step'), violation("desk:pay", "desk:agent", "destroy_data"))
WRITTEN = [
    {
        "sentence": 'a "quoted" step could not be compared with any remit '
        "because of a fault inside remit"
    },
    {
        "sentence": "destroy_data: desk:pay declares allowed, but the agent desk:agent declares "
        "disallowed",
        "part": "action_profile",
        "name": "destroy_data",
        "word": "allowed",
        "agent": "desk:agent",
        "limit": "disallowed",
    },
]


@each(
    "payload",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"order": 7}, id="parameters"),
        pytest.param({"order": {"$remit": "redacted", "rule": "key"}}, id="a marker inside"),
        pytest.param({"$$remit": {"violations": "mine"}}, id="the user's own key"),
        pytest.param({"violations": ["mine"]}, id="a parameter called so"),
        pytest.param({"a": {"$$remit": {"unregistered": True}}}, id="the note's text inside"),
        pytest.param({"$$remit": {"unregistered": True}}, id="the note's text"),
        pytest.param({"$remit": "redacted", "rule": "hook"}, id="redacted as a whole"),
        pytest.param({"$remit": "cut", "of": 9, "unit": "bytes"}, id="cut as a whole"),
    ],
)
def test_what_is_said_stands_beside_the_payload(payload: dict[str, object]) -> None:
    """Valid JSON with each key once; taken apart again, both are as they were."""
    original = json.dumps(payload, separators=(",", ":")).encode()
    body = add_violations(original, SAID)
    pairs = json.loads(body, object_pairs_hook=list)
    assert len(dict(pairs)) == len(pairs)
    shown = json.loads(body)
    if isinstance(payload.get("$remit"), str):
        assert shown == payload | {"violations": WRITTEN}
    else:
        assert shown == payload | {"$remit": {"violations": WRITTEN}}
    assert split_violations(shown) == (payload, SAID)
    assert not is_unregistered(shown)
    for marked, said in (
        (note_unregistered(original), ()),
        (add_violations(note_unregistered(original), SAID), SAID),
    ):
        pairs = json.loads(marked, object_pairs_hook=list)
        assert len(dict(pairs)) == len(pairs)
        assert split_violations(json.loads(marked)) == (payload, said)
        assert is_unregistered(json.loads(marked))


@each(
    "payload",
    [
        {"order": 7},
        {"$remit": "bytes", "length": 3},
        {"$remit": 5},
        {"$remit": {"violations": "all"}},
        {"$remit": {"else": []}},
        {"$remit": None},
    ],
    ids=str,
)
def test_a_payload_of_which_nothing_is_said_is_as_it_was(payload: dict[str, object]) -> None:
    """Also what another client sent under the reserved key."""
    assert split_violations(payload) == (payload, ())


def test_a_denial_is_an_error_with_its_violations() -> None:
    """Beside the message, which people read, each violation for itself."""
    error = DeniedError("desk:pay", SAID)
    assert json.loads(denial_payload(error, Rules())) == {
        "error": {
            "type": "remit.errors.DeniedError",
            "message": str(error),
            "violations": WRITTEN,
        }
    }


def test_a_denial_passes_the_door_that_every_payload_passes() -> None:
    """It is bounded, and shown to the user's hook."""
    seen: list[object] = []

    def hook(payload: dict[str, object]) -> dict[str, object]:
        seen.append(payload)
        return payload

    error = DeniedError("desk:pay", [Violation("x" * 400)] * 100)
    body = denial_payload(error, Rules(2_000, hook))
    assert len(body) <= 2_000
    assert len(seen) == 1


@each(
    ("by_hand", "written"),
    [
        pytest.param({"a": 1}, {"a": 1, "error": {"type": "E"}}, id="beside it"),
        pytest.param({"error": "mine", "a": 1}, {"a": 1, "error": {"type": "E"}}, id="its key"),
        pytest.param({"$remit": "cut"}, {"error": {"type": "E"}}, id="a marker"),
        pytest.param({"a": "x" * 300}, {"error": {"type": "E"}}, id="too large for both"),
    ],
)
def test_an_error_stands_beside_what_was_set_by_hand(by_hand: object, written: object) -> None:
    """Neither is lost; where there is no room the error stays."""
    rules = Rules(max_payload_bytes=300)
    data = merge_error(json.dumps(by_hand).encode(), b'{"error":{"type":"E"}}', rules)
    assert json.loads(data) == written


def test_the_declaration_applies_to_what_is_set_by_hand(remit_recorder: RecordingSink) -> None:
    """To a result and to a failure, in a step and in a block of its name."""

    @remit.agent
    def desk() -> None: ...

    @remit.span_type("look", data_risk=remit.risk(classification="secret"))
    def look() -> dict[str, str]:
        span = remit.current_span()
        assert span is not None
        span.set_result({"diagnosis": "asthma"})
        return {}

    @remit.span_type("list")
    def names() -> list[str]:
        return []

    as_returned: Any = ["Ada"]
    with desk.run():
        look()
        with remit.span("look") as span:
            span.set_result({"diagnosis": "asthma"})
        with remit.span("look") as span:
            span.fail("asthma")
        with remit.span("list") as span:
            span.set_result(as_returned)
    step, block, failed, listed = (each.result or {} for each in remit_recorder.spans())
    marker = {"$remit": "redacted", "rule": "classification:secret"}
    assert step == block == marker
    assert failed["error"] == {"type": "failed", "message": marker}
    assert listed == {"result": ["Ada"]}
    assert names() == []


def test_an_error_after_a_result_that_was_set_by_hand_is_kept(
    remit_recorder: RecordingSink,
) -> None:
    """A reason that was given by hand is the user's own word, and wins."""

    @remit.agent
    def desk() -> None: ...

    with desk.run():
        with suppress(ValueError), remit.span("set") as span:
            span.set_result({"a": 1})
            raise ValueError("late")
        with suppress(ValueError), remit.span("failed") as span:
            span.fail("early")
            raise ValueError("late")
    results = {each.name: each.result for each in remit_recorder.spans()}
    late = results["set"] or {}
    assert (late["a"], late["error"]["type"], late["error"]["message"]) == (1, "ValueError", "late")
    assert results["failed"] == {"error": {"type": "failed", "message": "early"}}
