"""Streams: items are captured as they pass, within one budget."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import SecretStr

from remit._capture import Limits, Rules, Stream
from tests.captured import opaque, plan_of, withheld


def step() -> None:
    """Stand for a streaming step."""


def stream_of(
    *items: object,
    rules: Rules | None = None,
    **declared: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Return the result of a stream of *items*."""
    stream = Stream(rules or Rules(), plan_of(step, **declared))
    for item in items:
        stream.add(item)
    return json.loads(stream.payload(1.23456))


ITEMS = [
    pytest.param(["a", "b"], ["a", "b"], id="texts"),
    pytest.param([1, None, {"a": [1]}], [1, None, {"a": [1]}], id="other values"),
    pytest.param([], [], id="nothing"),
    pytest.param([object()], [opaque("object")], id="an opaque object"),
    pytest.param([{"$remit": 1}], [{"$$remit": 1}], id="the reserved key"),
    pytest.param(["a\ud800"], ["a?"], id="a lone surrogate"),
    pytest.param([{"password": "x"}], [{"password": withheld("name:password")}], id="a name"),
    pytest.param(
        [("Authorization", "x"), ["X-Api-Key", "x"], ("Accept", "x")],
        [
            ["Authorization", withheld("name:authorization")],
            ["X-Api-Key", withheld("name:api_key")],
            ["Accept", "x"],
        ],
        id="pairs",
    ),
    pytest.param([SecretStr("x"), "a"], [withheld("type:SecretStr"), "a"], id="a secret type"),
    pytest.param(
        ["my key is sk-proj-9aB8", "cD7eF6gH5iJ", "4kL3m."],
        withheld("pattern:llm_key"),
        id="a key in pieces",
    ),
    pytest.param(
        ["-----BEGIN PRIVATE KEY-----", "MIIE"],
        withheld("pattern:private_key"),
        id="the lines of a private key",
    ),
]


@pytest.mark.parametrize(("items", "written"), ITEMS)
@pytest.mark.parametrize(
    "rules", [Rules(), Rules(hook=lambda payload: payload)], ids=["no hook", "a hook"]
)
def test_items_are_recorded_with_their_number_and_the_first_ones_time(
    items: list[object], written: object, rules: Rules
) -> None:
    """The form of an iterator's result; redacted, also what came in pieces."""
    shown = stream_of(*items, rules=rules)
    assert shown == {"items": written, "count": len(items), "first_item_ms": 1.235}


def test_a_stream_of_many_pieces_of_text_is_kept_whole() -> None:
    """The answer of a language model comes in thousands of them."""
    shown = stream_of(*["word "] * 5000)
    assert shown["items"] == ["word "] * 5000


def test_a_long_stream_is_cut_and_says_how_long_it_was() -> None:
    """The first items are kept."""
    shown = stream_of(*range(5000))
    assert shown["count"] == 5000
    assert {**shown["items"], "head": 0} == {
        "$remit": "cut",
        "of": 5000,
        "unit": "items",
        "head": 0,
    }
    assert shown["items"]["head"][:3] == [0, 1, 2]


@pytest.mark.parametrize("piece", ["x" * 100, "\x00" * 100, "漢" * 50, "\ud800" * 100], ids=ascii)
@pytest.mark.parametrize("limit", [256, 1000, 65_536])
def test_a_stream_is_never_larger_than_the_limit(piece: str, limit: int) -> None:
    """Whatever its pieces become when they are written."""
    stream = Stream(Rules(Limits(limit)), plan_of(step))
    for _ in range(2000):
        stream.add(piece)
    data = stream.payload(None)
    assert len(data) <= limit
    assert json.loads(data)


def test_a_stream_whose_items_are_withheld_still_counts_them() -> None:
    """By the declaration of the result."""
    rules = Rules()
    shown = stream_of("a", "b", rules=rules, result_rule="classification:secret")
    assert shown == {
        "items": withheld("classification:secret"),
        "count": 2,
        "first_item_ms": 1.235,
    }
    assert rules.withheld == {"classification:secret": 1}


def test_items_of_an_excluded_category_are_withheld() -> None:
    """As in a result."""
    shown = stream_of({"email": "x"}, result_excluded=frozenset({"contact_information"}))
    assert shown["items"] == [{"email": withheld("category:contact_information")}]


def test_a_stream_of_another_plan_is_captured_without_a_declaration() -> None:
    """A block that the user marks has none."""
    stream = Stream(Rules(), object())
    stream.add("a")
    assert json.loads(stream.payload(None)) == {"items": ["a"], "count": 1, "first_item_ms": None}


def test_the_hook_is_shown_the_whole_stream() -> None:
    """Once, at its end."""
    seen: list[object] = []

    def hook(payload: dict[str, object]) -> object:
        seen.append(payload)
        return {**payload, "items": ["changed"]}

    assert stream_of("a", "b", rules=Rules(hook=hook))["items"] == ["changed"]
    assert seen == [{"items": ["a", "b"], "count": 2, "first_item_ms": 1.235}]
