"""What a page reads from the payloads of model calls, and how two lists of steps are aligned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.inside_collector import (
    RULES,
    Conversation,
    ListedSpan,
    aligned,
    conversation,
    rows_of,
    sequence_of,
    why,
    without_the_same,
)

Recorded: TypeAlias = Mapping[str, object]
REDACTED = {"$remit": "redacted", "rule": "pattern:jwt"}


def step(payload: Recorded, result: Recorded | None = None) -> ListedSpan:
    """Return a step of a run."""
    return ListedSpan("s", "r", None, "step", None, None, payload, result or {})


def call(payload: Recorded, result: Recorded | None = None) -> Conversation:
    """Return the model call that a step is."""
    read = conversation(step(payload, result))
    assert read is not None
    return read


def texts(read: Conversation) -> list[tuple[int | None, str, str]]:
    """Return number, role and text of each message."""
    return [(each.number, each.role, each.text) for each in read.all]


def test_a_call_of_an_integration() -> None:
    """With what is left out, numbers, tools and redacted values."""
    tool = {"id": "c1", "name": "pay", "args": {"order": 1, "token": REDACTED}}
    read = call(
        {
            "operation": "chat", "provider": "openai", "model_name": "gpt",
            "inputs": {
                "omitted": {"count": 3},
                "system": "Be short.",
                "messages": [
                    {"role": "tool", "content": '{"item": "radio"}', "tool_call_id": "c0"},
                    {"role": "user", "content": REDACTED},
                ],
            },
        },
        {
            "outputs": {
                "messages": [{"role": "assistant", "content": None, "tool_calls": [tool]}],
                "finish_reasons": ["tool_calls"],
            },
            "token_usage": {"prompt_tokens": 1200, "completion_tokens": 7, "total_tokens": 1207},
            "first_token_ms": 640.0,
            "cost": {"amount": "0.002", "currency": "USD", "source": "prices"},
        },
    )  # fmt: skip

    assert texts(read) == [
        (4, "tool", 'item "radio"'),
        (5, "user", "[redacted: pattern:jwt]"),
        (6, "assistant", "pay order 1, token [redacted: pattern:jwt]"),
    ]
    assert (read.model, read.total, read.shared, read.tokens_out) == ("gpt", 6, 3, 7)
    assert [(each.value, each.label) for each in read.numbers] == [
        ("1,200", "tokens in"),
        ("7", "tokens out"),
        ("640 ms", "first token"),
        ("tool_calls", "ended with"),
        ("0.002 USD", "cost, reported by prices"),
    ]
    assert read.system is not None
    assert read.system.text == "Be short."
    assert read.all[1].parts[0].whole is not None


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        ({"role": "assistant", "content": "Hi"}, "Hi"),
        ({"result": "Hi"}, "Hi"),
        ({"result": {"role": "ai", "content": [{"type": "text", "text": "Hi"}]}}, "Hi"),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, "Hi"),
        ({"choices": [{"message": {"role": "assistant", "content": "Hi"}}]}, "Hi"),
        ({"items": ["Hi ", "you"], "count": 2}, "Hi you"),
        ({"items": ["Hi", "you"], "count": 2}, "Hi you"),
        ({"items": [{"choices": [{"delta": {"content": "Hi"}}]}], "count": 1}, "Hi"),
        ({"answer": "Hi", "token_usage": {}}, 'answer "Hi"'),
        (REDACTED, "[redacted: pattern:jwt]"),
    ],
)
def test_an_answer_in_any_shape(result: dict[str, Any], answer: str) -> None:
    """Of a step that takes a list of messages under any name."""
    read = call({"history": [{"role": "user", "content": "Hello?"}]}, result)

    assert texts(read) == [(1, "user", "Hello?"), (2, "assistant", answer)]


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"question": "why"},
        {"rows": [{"name": "a"}]},
        {"messages": []},
        {"agent_name": "a", "inputs": {"messages": [{"role": "user", "content": "x"}]}},
    ],
)
def test_a_step_that_is_no_model_call(payload: dict[str, Any]) -> None:
    """Has no messages."""
    assert conversation(step(payload)) is None


def test_a_call_that_was_cut_keeps_its_numbers() -> None:
    """The messages in the middle of a long list are missing."""
    gap = {"$remit": "cut", "of": 62, "unit": "items"}
    first, last = {"role": "system", "content": "a"}, {"role": "user", "content": "b"}
    read = call({"messages": [first, gap, last]})

    assert [(each.number, each.gap) for each in read.all] == [(1, 0), (None, 60), (62, 0)]


def test_a_long_message_is_folded() -> None:
    """After twelve lines, and nothing of it is lost."""
    long = "\n".join(f"line {number}" for number in range(40))
    (part,) = call({"messages": [{"role": "user", "content": long}]}).all[0].parts

    assert part.pieces[0].text.count("\n") == 11
    assert f"{part.pieces[0].text}\n{part.rest[0].text}" == long
    assert part.left == len(part.rest[0].text)
    (wide,) = call({"messages": [{"role": "user", "content": "word " * 500}]}).all[0].parts
    assert len(wide.pieces[0].text) <= 12 * 90 < len("word " * 500)


def test_each_rule_says_why() -> None:
    """Also one that a program made up."""
    for rule in RULES:
        if rule.name not in {"classification", "category"}:
            assert why(rule.examples[0]) == f"{rule.examples[0]}: {rule.because}"
    assert "an earlier step is declared secret" in why("classification:secret")
    assert why("category:minors_data") == "the step excludes minors data"
    assert why("own:rule") == "own:rule: a rule of the program"


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_sequences_are_aligned(first: list[str], second: list[str]) -> None:
    """All places are there, in order, and as many as possible are pairs."""
    pairs = aligned(first, second)

    assert [one for one, _ in pairs if one is not None] == list(range(len(first)))
    assert [other for _, other in pairs if other is not None] == list(range(len(second)))
    both = [(one, other) for one, other in pairs if one is not None and other is not None]
    assert all(first[one] == second[other] for one, other in both)
    lengths = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for row, name in enumerate(first):
        for column, other in enumerate(second):
            longest = max(lengths[row][column + 1], lengths[row + 1][column])
            lengths[row + 1][column + 1] = lengths[row][column] + 1 if name == other else longest
    assert len(both) == lengths[-1][-1]


def test_what_is_the_same_is_skipped() -> None:
    """But for two rows before and after a difference; the steps stand in the order of the tree."""

    def span(number: int, parent: str | None, name: str, seconds: int = 1) -> dict[str, Any]:
        began = f"2026-11-29T00:00:{number:02}Z"
        ended = f"2026-11-29T00:00:{number + seconds:02}Z"
        return {
            "id": f"{number:02}", "parent_span_id": parent, "schema_name": name, "flags": [],
            "status": "complete", "started_at": began, "finished_at": ended,
        }  # fmt: skip

    root = span(0, None, "remit:run", 50)
    older = [root, *(span(number, "00", f"step{number % 7}") for number in range(1, 30))]
    newer = [*older, span(30, "29", "extra"), span(31, "00", "last")]
    rows = rows_of(sequence_of(older[::-1]), sequence_of(newer[::-1]), None, failed_newer=False)

    shown = without_the_same(rows, 1_000)

    assert [row.skipped for row in shown] == [27, 0, 0, 0, 0]
    names = [(row.shown.name, row.shown.depth) for row in shown if row.shown is not None]
    assert names == [("step0", 0), ("step1", 0), ("extra", 1), ("last", 0)]
    assert all(row.older is None for row in shown[-2:])
    slow = [root, *older[1:15], span(15, "00", "step1", 9), *older[16:]]
    rows = rows_of(sequence_of(older), sequence_of(slow), None, failed_newer=False)
    assert [row.skipped for row in without_the_same(rows, 1_000)] == [12, 0, 0, 0, 0, 0, 12]


def test_parallel_steps_are_matched_by_name() -> None:
    """Whichever of them began first; steps that ran one after the other keep their order."""

    def run(*steps: tuple[str, int, int]) -> list[dict[str, Any]]:
        return [
            {
                "id": f"{number:02}", "parent_span_id": None, "schema_name": name, "flags": [],
                "status": "complete", "started_at": f"2026-11-29T00:00:{began:02}Z",
                "finished_at": f"2026-11-29T00:00:{ended:02}Z",
            }
            for number, (name, began, ended) in enumerate(steps)
        ]  # fmt: skip

    older = run(("find", 1, 5), ("check", 2, 6), ("pay", 6, 7), ("call", 8, 9))
    newer = run(("check", 1, 5), ("find", 2, 6), ("pay", 6, 7), ("call", 8, 9))

    rows = rows_of(sequence_of(older), sequence_of(newer), None, failed_newer=False)

    names = [(row.older and row.older.name, row.newer and row.newer.name) for row in rows]
    assert names == [(name, name) for name in ("check", "find", "pay", "call")]
