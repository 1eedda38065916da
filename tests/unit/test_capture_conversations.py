"""What is recorded of a conversation that is larger than a payload may be."""

from __future__ import annotations

import json
from typing import Any

import pytest

import remit
from remit.testing import isolated
from tests.subtests import each

LIMIT = 65_536
SYSTEM = {"role": "system", "content": "You answer questions about orders."}
QUESTION = {"role": "user", "content": "Where is order A-1?"}


@remit.span_type(name="complete")
def complete(
    messages: object, model: str, temperature: float, tools: object = None, state: object = None
) -> None:
    """Stand for a step that asks a model."""
    del messages, model, temperature, tools, state


@remit.agent
def bot(messages: object, more: dict[str, object]) -> None:
    """Ask once."""
    complete(messages, model="gpt", temperature=0.5, **more)


def recorded(messages: object, more: dict[str, object], **settings: Any) -> dict[str, Any]:
    """Return the payload of the step that asks."""
    with isolated(**settings) as recorder:
        bot(messages, more)
        return recorder.spans("complete")[0].payload


def asked(messages: object, **more: object) -> dict[str, Any]:
    """Return the payload of a step that asks a model."""
    payload = recorded(messages, more)
    assert len(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()) <= LIMIT
    return payload


def conversation(count: int, text: str) -> list[dict[str, str]]:
    """Return a conversation with *count* answers between the first message and the last."""
    middle = [{"role": "assistant", "content": f"{number}: {text}"} for number in range(count)]
    return [SYSTEM, *middle, QUESTION]


@each(
    "text",
    [
        pytest.param("lorem ipsum " * 250, id="ascii"),
        pytest.param("漢字語言" * 250, id="three bytes a character"),
        pytest.param('"\n\\' * 1000, id="escapes"),
        pytest.param("short", id="many short ones"),
        pytest.param("\U0001f600" * 800 + "\ud800", id="surrogates"),
    ],
)
@each("count", [60, 3000], ids=["sixty", "three thousand"])
def test_the_beginning_and_the_end_of_a_conversation_are_recorded(text: str, count: int) -> None:
    """With all the short arguments beside it."""
    tools = [{"name": f"tool_{number}", "parameters": {"type": "object"}} for number in range(5)]
    payload = asked(conversation(count, text), tools=tools)
    assert payload["model"] == "gpt"
    assert payload["temperature"] == 0.5
    assert payload["tools"] == tools
    messages = payload["messages"]
    if len(messages) < count + 2:
        assert {"$remit": "cut", "of": count + 2, "unit": "items"} in messages
    assert messages[0] == SYSTEM
    assert messages[-1] == QUESTION


def test_about_a_quarter_of_the_room_is_for_the_beginning() -> None:
    """Messages are whole or left out, and the room is used."""
    messages = asked(conversation(60, "lorem ipsum " * 250))["messages"]
    middle = messages.index({"$remit": "cut", "of": 62, "unit": "items"})
    first, last = messages[:middle], messages[middle + 1 :]
    assert all(len(each["content"]) > 3000 for each in [*first[1:], *last[:-1]])
    assert 0.15 < len(first) / len(messages) < 0.35
    assert len(json.dumps(messages)) > 0.85 * LIMIT


@each("place", [0, 20, 59], ids=["first", "middle", "last"])
def test_a_huge_message_leaves_the_others_whole(place: int) -> None:
    """It keeps its own beginning and end, in what the others leave."""
    messages = conversation(60, "answer")
    messages[place + 1]["content"] = "begin " + "lorem ipsum " * 1_000_000 + " end"
    shown = asked(messages)["messages"]
    cut = shown[place + 1].pop("content")
    assert shown == [
        {"role": each["role"]} if number == place + 1 else each
        for number, each in enumerate(messages)
    ]
    assert (cut["$remit"], cut["unit"]) == ("cut", "chars")
    assert cut["head"].startswith("begin ")
    assert cut["tail"].endswith(" end")
    assert 7 < len(cut["head"]) / len(cut["tail"]) < 11
    assert len(cut["head"]) > 40_000


def test_a_message_with_many_parts_leaves_the_others_whole() -> None:
    """The rows of a tool's answer are a list of their own."""
    messages: list[dict[str, Any]] = [*conversation(20, "answer")]
    rows = [{"id": number, "name": f"row {number}"} for number in range(5000)]
    messages.insert(10, {"role": "tool", "content": rows})
    shown = asked(messages)["messages"]
    content = shown[10].pop("content")
    messages[10] = {"role": "tool"}
    assert shown == messages
    assert content[0] == rows[0]
    assert content[-1] == rows[-1]
    assert {"$remit": "cut", "of": 5000, "unit": "items"} in content


@each(
    ("state", "kept"),
    [
        pytest.param(
            {"messages": conversation(90, "lorem ipsum " * 250), "user": "u-1", "step": 7},
            {"user": "u-1", "step": 7},
            id="long texts",
        ),
        pytest.param(
            {"messages": conversation(9000, "short"), "user": "u-1", "docs": ["a", "b"]},
            {"user": "u-1", "docs": ["a", "b"]},
            id="many values",
        ),
    ],
)
def test_a_dict_shares_its_room_like_the_arguments(state: Any, kept: Any) -> None:
    """A state of a graph holds the conversation and more."""
    shown = asked([], state=state)["state"]
    messages = shown.pop("messages")
    assert shown == kept
    assert messages[0] == SYSTEM
    assert messages[-1] == QUESTION


def test_two_long_arguments_share_the_room() -> None:
    """Neither pushes the other out."""
    payload = asked(conversation(60, "lorem ipsum " * 250), state="x " * 100_000)
    assert payload["messages"][-1] == QUESTION
    assert len(payload["state"]["head"]) > 20_000
    assert len(json.dumps(payload["messages"])) > 25_000


PIXELS = "iVBORw0KGgoAAAANSUhEUgAAB" * 4000


@each(
    ("written", "marker"),
    [
        pytest.param(
            f"data:image/png;base64,{PIXELS}",
            {"$remit": "bytes", "length": 75_000, "media_type": "image/png"},
            id="a data URL",
        ),
        pytest.param(
            "data:text/plain," + "a b c" * 1000,
            {"$remit": "bytes", "length": 5000, "media_type": "text/plain"},
            id="a data URL without base64",
        ),
        pytest.param(PIXELS, {"$remit": "bytes", "length": 75_000}, id="base64"),
        pytest.param(
            "\n".join(PIXELS[start : start + 76] for start in range(0, len(PIXELS), 76)),
            {"$remit": "bytes", "length": 75_000},
            id="base64 in lines",
        ),
    ],
)
def test_an_image_is_a_marker_without_contents(written: str, marker: dict[str, Any]) -> None:
    """The head of one image takes the room of a conversation."""
    image = {"type": "image_url", "image_url": {"url": written}}
    messages: list[object] = [SYSTEM, {"role": "user", "content": [image]}, QUESTION]
    shown = asked(messages)["messages"]
    assert shown[1]["content"] == [{"type": "image_url", "image_url": {"url": marker}}]
    assert (shown[0], shown[2]) == (SYSTEM, QUESTION)


@each(
    "text",
    [
        pytest.param("x" * 2000, id="one letter"),
        pytest.param("ACGT" * 1000, id="a sequence"),
        pytest.param("0123456789abcdef" * 100, id="hexadecimal"),
        pytest.param("Words2 Words2 " * 100, id="words"),
        pytest.param("Apple1\nBanana2\n" * 100, id="lines"),
        pytest.param("data: a row of the table, " * 100, id="a sentence about data"),
        pytest.param("iVBORw0KGgoAAAANSUhEUgAAB" * 20, id="short base64"),
    ],
)
def test_other_texts_are_recorded(text: str) -> None:
    """Only a data URL, or a text that is base64 as a whole, is binary data."""
    assert asked([text])["messages"] == [text]


def test_a_secret_near_the_end_of_a_long_text_is_redacted() -> None:
    """What is kept of the end is searched like the beginning."""
    key = "sk-proj-9aB8cD7eF6gH5iJ4kL3m"
    shown = asked(["lorem ipsum " * 100_000 + key])["messages"]
    assert shown == [{"$remit": "redacted", "rule": "pattern:llm_key"}]
    lines = "\n".join(["MIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn" * 2] * 50)
    text = f"{'lorem ipsum ' * 100_000}-----BEGIN RSA PRIVATE KEY-----\n{lines}"
    assert asked([text])["messages"] == [{"$remit": "redacted", "rule": "pattern:private_key"}]


def test_a_secret_behind_its_flag_is_redacted_where_a_list_goes_on() -> None:
    """The flag is in the part that is left out."""
    arguments = ["--password" if number % 2 else f"sesame{number}" for number in range(6001)]
    shown = asked(arguments)["messages"]
    assert "sesame" not in json.dumps(shown[1:])


def test_a_hook_is_shown_what_is_recorded() -> None:
    """A hook that changes nothing changes nothing, also of what is cut."""
    messages = conversation(60, "lorem ipsum " * 250)

    assert recorded(messages, {}, redact=lambda payload: payload) == recorded(messages, {})
