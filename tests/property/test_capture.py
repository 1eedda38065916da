"""Laws of capture: it never raises, runs nothing of the user's, is bounded, and changes nothing."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.inside import (
    Rules,
    Stream,
    capture_mapping,
    error_payload,
    guard,
    plan_of,
    redacted,
)
from tests.strategies import (
    CALLS,
    HOSTILE_VALUES,
    KEYS,
    SCALARS,
    VALUES,
    realised,
)

pytestmark = pytest.mark.python
LIMITS = st.sampled_from([256, 1000, 65_536])


def step(
    first: object, second: object = 1, /, *rest: object, third: object = 2, **others: object
) -> None:
    """Stand for a step that takes anything."""
    del first, second, rest, third, others


PLAN = plan_of(step)


def payloads(value: object, rules: Rules) -> list[bytes]:
    """Return every payload that *value* can enter."""
    stream = Stream(rules, PLAN)
    stream.add(value)
    return [
        PLAN.params((value, value), {"third": value, "more": value}, rules),
        PLAN.result(value, rules),
        stream.payload(1.0),
        capture_mapping({"a": value}, rules),
        capture_mapping(value, rules),
        error_payload(ValueError(value, 1), rules),
        json.dumps(redacted(value, rules)).encode(),
    ]


@given(HOSTILE_VALUES, LIMITS)
def test_capture_runs_no_user_code_and_never_raises(value: object, limit: int) -> None:
    """Every method of the hostile objects records that it was called."""
    real = realised(value)
    CALLS.clear()
    before = guard.faults.counts.total()
    found = payloads(real, Rules(limit))
    assert CALLS == []
    assert guard.faults.counts.total() == before
    for data in found:
        assert isinstance(json.loads(data), object)


@given(HOSTILE_VALUES, LIMITS)
def test_every_payload_is_a_bounded_json_object(value: object, limit: int) -> None:
    """The bound counts bytes of UTF-8."""
    *found, _ = payloads(realised(value), Rules(limit))
    for data in found:
        assert len(data) <= limit
        assert isinstance(json.loads(data), dict)


def json_size(value: object) -> int:
    """Return the bytes of *value* as compact JSON."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


TEXTS = st.text(max_size=40) | st.builds(
    lambda text, times: text * times,
    st.text(st.sampled_from('ab"\n\x00é漢\U0001f600'), min_size=1, max_size=8),
    st.sampled_from([10, 100, 500]),
)


@given(st.lists(TEXTS, min_size=1, max_size=40), st.sampled_from([1000, 4000, 20_000]))
def test_a_list_keeps_its_beginning_and_its_end_and_uses_its_room(
    texts: list[str], limit: int
) -> None:
    """Whatever the characters are; a short item is whole or left out."""
    data = capture_mapping({"a": texts, "model": "gpt"}, Rules(limit))
    assert len(data) <= limit
    payload = json.loads(data)
    shown, whole = payload["a"], json_size({"a": texts, "model": "gpt"})
    assert payload["model"] == "gpt"
    if whole <= limit:
        assert shown == texts
        return
    marker = {"$remit": "cut", "of": len(texts), "unit": "items"}
    first = shown.index(marker) if marker in shown else len(shown)
    last = len(shown) - first - 1 if marker in shown else 0
    kept = [*zip(shown[:first], texts, strict=False)]
    kept += zip(reversed(shown), reversed(texts[len(texts) - last :]), strict=False)
    for part, text in kept:
        assert part == text or (text.startswith(part["head"]) and text.endswith(part["tail"]))
        assert part == text or json_size(text) > (limit - 250) // 8
    if marker in shown:
        assert first
        assert last
    assert len(data) > limit // 2


@given(st.dictionaries(KEYS, TEXTS, max_size=12), st.sampled_from([4000, 8000]))
def test_short_members_are_whole_beside_long_ones(members: dict[Any, str], limit: int) -> None:
    """The long ones share what the short ones leave."""
    payload = {f"m{number}": text for number, text in enumerate(members.values())}
    data = capture_mapping(payload, Rules(limit))
    assert len(data) <= limit
    shown = json.loads(data)
    sizes = [json_size(part) for name, part in shown.items() if part != payload[name]]
    for name, text in payload.items():
        if sizes and json_size(text) + 1 < min(sizes):
            assert shown[name] == text


@given(VALUES)
def test_what_is_captured_is_left_as_it_was(value: object) -> None:
    """The user's objects are read, never changed."""
    before = copy.deepcopy(value)
    payloads(value, Rules())
    assert repr(value) == repr(before)


@given(VALUES)
def test_a_hook_that_changes_nothing_changes_nothing(value: object) -> None:
    """The quick way, the walk, and the second walk over the hook's answer agree."""
    plain, hooked = Rules(), Rules(hook=lambda payload: payload)
    assert payloads(value, plain) == payloads(value, hooked)
    assert +plain.redacted == +hooked.redacted


@given(st.lists(SCALARS, max_size=3), st.dictionaries(st.sampled_from("abc"), SCALARS))
def test_the_quick_way_and_the_walk_agree(args: list[object], kwargs: dict[str, object]) -> None:
    """They agree on calls that do not fit the signature, too."""

    def plain(a: object = None, b: object = 1, *, c: object = "x") -> None:
        del a, b, c

    plan = plan_of(plain)
    quick = plan.params(tuple(args), kwargs, Rules())
    assert quick == plan.params(tuple(args), kwargs, Rules(hook=lambda payload: payload))


@given(st.lists(st.text() | st.integers() | st.tuples(st.text()), unique=True), st.randoms())
def test_a_set_is_written_the_same_whatever_its_order(
    members: list[object], random: Random
) -> None:
    """Sets differ in order between processes."""
    shuffled = list(members)
    random.shuffle(shuffled)
    assert capture_mapping({"a": set(members)}, Rules()) == capture_mapping(
        {"a": set(shuffled)}, Rules()
    )


@given(st.dictionaries(KEYS, st.integers(), max_size=30))
def test_no_entry_of_a_dict_is_lost(mapping: dict[Any, int]) -> None:
    """Keys that become the same text are told apart."""
    shown = json.loads(capture_mapping({"a": mapping}, Rules()))["a"]
    assert len(shown) == len(mapping)


@given(VALUES)
def test_capture_says_the_same_twice(value: object) -> None:
    """What is remembered between calls changes no payload."""
    assert payloads(value, Rules()) == payloads(value, Rules())
