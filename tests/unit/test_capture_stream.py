"""Streams: items are captured as they pass, within one budget."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel, SecretStr

import remit
from remit._capture.encode import Rules
from remit._capture.stream import Stream
from remit.testing import isolated
from tests.captured import opaque, plan_of, redacted
from tests.subtests import each


def step() -> None:
    """Stand for a streaming step."""


def stream_of(
    *items: object,
    rules: Rules | None = None,
    **declared: Any,
) -> Any:
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
    pytest.param([{"password": "x"}], [{"password": redacted("name:password")}], id="a name"),
    pytest.param(
        [("Authorization", "x"), ["X-Api-Key", "x"], ("Accept", "x")],
        [
            ["Authorization", redacted("name:authorization")],
            ["X-Api-Key", redacted("name:api_key")],
            ["Accept", "x"],
        ],
        id="pairs",
    ),
    pytest.param([SecretStr("x"), "a"], [redacted("type:SecretStr"), "a"], id="a secret type"),
    pytest.param(
        ["my key is sk-proj-9aB8", "cD7eF6gH5iJ", "4kL3m."],
        redacted("pattern:llm_key"),
        id="a key in pieces",
    ),
    pytest.param(
        ["-----BEGIN PRIVATE KEY-----", "MIIE"],
        redacted("pattern:private_key"),
        id="the lines of a private key",
    ),
]


@each(("items", "written"), ITEMS)
@each("rules", [Rules(), Rules(hook=lambda payload: payload)], ids=["no hook", "a hook"])
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
    *first, marker = shown["items"]
    assert marker == {"$remit": "cut", "of": 5000, "unit": "items"}
    assert first == list(range(len(first)))
    assert len(first) > 1900


@each("piece", ["x" * 100, "\x00" * 100, "漢" * 50, "\ud800" * 100], ids=ascii)
@each("limit", [256, 1000, 65_536])
def test_a_stream_is_never_larger_than_the_limit(piece: str, limit: int) -> None:
    """Whatever its pieces become when they are written."""
    stream = Stream(Rules(limit), plan_of(step))
    for _ in range(2000):
        stream.add(piece)
    data = stream.payload(None)
    assert len(data) <= limit
    assert json.loads(data)


def test_a_stream_whose_items_are_redacted_still_counts_them() -> None:
    """By the declaration of the result."""
    rules = Rules()
    shown = stream_of("a", "b", rules=rules, result_rule="classification:secret")
    assert shown == {
        "items": redacted("classification:secret"),
        "count": 2,
        "first_item_ms": 1.235,
    }
    assert rules.redacted == {"classification:secret": 1}


def test_items_of_an_excluded_category_are_redacted() -> None:
    """As in a result."""
    shown = stream_of({"email": "x"}, result_excluded=frozenset({"contact_information"}))
    assert shown["items"] == [{"email": redacted("category:contact_information")}]


def test_the_hook_is_shown_the_whole_stream() -> None:
    """Once, at its end."""
    seen: list[object] = []

    def hook(payload: dict[str, object]) -> object:
        seen.append(payload)
        return {**payload, "items": ["changed"]}

    assert stream_of("a", "b", rules=Rules(hook=hook))["items"] == ["changed"]
    assert seen == [{"items": ["a", "b"], "count": 2, "first_item_ms": 1.235}]


SENTENCE = "my key is sk-proj-9aB8cD7eF6gH5iJ4kL3m and nothing else is said here"
PRIVATE = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nBAQEFAASCBKcwggSjAgEA\n"


@dataclass
class Chunk:
    """A piece of an answer, as an object."""

    text: str
    number: int = 0


class Delta(BaseModel):
    """What a piece brings, as a model."""

    content: str | None = None
    role: str | None = None


class Choice(BaseModel):
    """One of several answers."""

    delta: Delta
    index: int = 0


class Completion(BaseModel):
    """A piece of several answers, as language models send them."""

    choices: list[Choice]
    id: str = "chatcmpl-1"


class Event(NamedTuple):
    """A piece of an answer, as a named tuple."""

    kind: str
    text: str


@remit.agent
def desk() -> None:
    """Stand for an agent."""


FORMS: dict[str, Callable[[str], object]] = {
    "a text": str,
    "a dict": lambda text: {"delta": {"content": text}},
    "a dataclass": Chunk,
    "a model": lambda text: Completion(choices=[Choice(delta=Delta(content=text))]),
    "a named tuple": lambda text: Event("delta", text),
    "a pair": lambda text: ("content", text),
    "a list": lambda text: [{"text": text}],
}


def recorded_of(items: Sequence[object]) -> str:
    """Return what is recorded of a step that yields *items*, as JSON."""

    def answer() -> Iterator[object]:
        yield from items

    with isolated() as recorder, desk.run():
        list(remit.span_type("answer_in_pieces")(answer)())
    return json.dumps(recorder.spans()[-1].result)


def pieces_of(text: str, size: int, first: int) -> list[str]:
    """Return *text* in pieces of *size* characters, the first of *first*."""
    return [text[:first], *(text[each : each + size] for each in range(first, len(text), size))]


@each("form", FORMS)
@each("size", [1, 3, 7, 12, 25])
def test_a_key_in_pieces_is_redacted_whatever_the_items_are(form: str, size: int) -> None:
    """Texts at one place of the items are one text, as language models send them."""
    for first in range(1, size + 1):
        items = [FORMS[form](piece) for piece in pieces_of(SENTENCE, size, first)]
        told = recorded_of(items)
        assert '"pattern:llm_key"' in told
        # What is recorded of the key: at most the pieces of a few characters before it is one.
        for piece in pieces_of(SENTENCE, size, first):
            inside = len(piece) > 2 and piece in "9aB8cD7eF6gH5iJ4kL3m"
            assert not inside or json.dumps(piece) not in told


@each("form", FORMS)
def test_the_rest_of_a_key_that_was_redacted_is_redacted(form: str) -> None:
    """A piece may be long enough to be known as a key by itself; the next goes on with it."""
    pieces = ["sk-proj-9aB8cD7eF6gH5iJ4kL3m", "nOpQ", "rStU, and", " so on"]
    told = recorded_of([FORMS[form](piece) for piece in pieces])
    assert "nOpQ" not in told
    assert "rStU" not in told
    assert " so on" in told


@each("form", FORMS)
def test_the_lines_of_a_private_key_are_redacted_whatever_the_items_are(form: str) -> None:
    """By themselves they look like nothing in particular."""
    for size in (5, 30, 200):
        told = recorded_of([FORMS[form](piece) for piece in pieces_of(PRIVATE, size, size)])
        assert "MIIE" not in told
        assert "BAQEF" not in told


def test_pieces_of_several_texts_that_come_by_turns_are_told_apart() -> None:
    """By the `index` that stands beside them."""
    items: list[object] = []
    for piece in pieces_of(SENTENCE, 6, 6):
        items.append({"choices": [{"index": 0, "delta": {"content": piece}}]})
        items.append({"choices": [{"index": 1, "delta": {"content": "word "}}]})
    assert recorded_of(items).count('"pattern:llm_key"') == 1


@each("form", FORMS)
def test_pieces_of_ordinary_text_are_recorded(form: str) -> None:
    """Item by item, as they came."""
    text = "an answer of many words, in which no key stands, and no password either"
    told = json.loads(recorded_of([FORMS[form](piece) for piece in pieces_of(text, 5, 5)]))
    assert "redacted" not in json.dumps(told)
    assert told["count"] == 15


def test_a_row_with_a_key_leaves_the_other_rows() -> None:
    """What follows in the same place is redacted only if it may go on with the key."""
    rows = [{"n": 1, "note": "sk-proj-9aB8cD7eF6gH5iJ4kL3m expired"}, {"n": 2, "note": "nothing"}]
    told = json.loads(recorded_of(rows))
    assert told["items"] == [
        {"n": 1, "note": redacted("pattern:llm_key")},
        {"n": 2, "note": "nothing"},
    ]
