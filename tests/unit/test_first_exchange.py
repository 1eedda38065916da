"""The line of a question and of an answer, as steps record them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.inside_collector import answer_in, question_in

REDACTED = {"$remit": "redacted", "rule": "type:Sensitive"}
LONG = "word " * 100
LINE = ("word " * 40)[:199] + "…"


@pytest.mark.parametrize(
    ("payload", "question"),
    [
        pytest.param({"question": "Where\n is it?"}, "Where is it?", id="only-text"),
        pytest.param({"anything": "Where?", "limit": 5}, "Where?", id="only-text-beside-a-number"),
        pytest.param({"customer": "c-17", "question": "Where?"}, "Where?", id="named"),
        pytest.param({"customer": "c-17", "order": "A-1"}, None, id="two-texts"),
        pytest.param({"limit": 5}, None, id="no-text"),
        pytest.param({"question": LONG}, LINE, id="long"),
        pytest.param({"question": "nul\x00"}, "nul", id="NUL"),
        pytest.param({"question": " \n"}, None, id="blank"),
        pytest.param({"question": REDACTED}, None, id="redacted"),
        pytest.param({"question": REDACTED, "customer": "c-17"}, None, id="redacted-question"),
        pytest.param(
            {"question": {"$remit": "cut", "of": 9, "unit": "chars", "head": "Where", "tail": ""}},
            "Where",
            id="cut",
        ),
        pytest.param({"$remit": "cut", "of": 9, "unit": "bytes"}, None, id="cut-whole"),
        pytest.param(
            {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]},
            "b",
            id="messages",
        ),
        pytest.param(
            {"agent_name": "g", "inputs": {"messages": [{"type": "human", "content": "Where?"}]}},
            "Where?",
            id="langchain",
        ),
        pytest.param(
            {
                "operation": "chat",
                "inputs": {
                    "messages": [
                        {"role": "system", "content": "Be kind."},
                        {"role": "user", "content": [{"type": "text", "text": "Where?"}]},
                        {"role": "assistant", "content": "It"},
                    ]
                },
            },
            "Where?",
            id="model-call",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"text": "Where?"}, REDACTED]}]},
            None,
            id="redacted-part",
        ),
        pytest.param({"messages": [{"role": "user", "content": REDACTED}]}, None, id="redacted-m"),
        pytest.param({"messages": [{"role": "system", "content": "x"}]}, None, id="no-user"),
        pytest.param({"messages": {"a": 1}}, None, id="no-messages"),
        pytest.param({"agent_name": "desk", "inputs": {"prompt": "Where?"}}, "Where?", id="prompt"),
        pytest.param({"agent_name": "desk", "tools": ["a"]}, None, id="framework-without-input"),
        pytest.param({"agent_name": "desk", "inputs": {"topic": "trains"}}, "trains", id="inputs"),
    ],
)
def test_a_question_is_evident_or_there_is_none(payload: Any, question: str | None) -> None:
    """The first text of several would often be the id of a customer."""
    assert question_in(payload) == question


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        pytest.param({"result": "It is\nshipped."}, "It is shipped.", id="text"),
        pytest.param({"result": {"answer": "shipped", "sources": [1]}}, "shipped", id="one-text"),
        pytest.param({"result": {"answer": "shipped", "id": "7"}}, "shipped", id="named"),
        pytest.param({"result": {"a": "shipped", "id": "7"}}, None, id="two-texts"),
        pytest.param({"result": 5}, None, id="number"),
        pytest.param({"result": REDACTED}, None, id="redacted"),
        pytest.param({"items": ["It ", "is."], "count": 2}, "It is.", id="stream"),
        pytest.param({"items": [{"a": 1}], "count": 1}, None, id="stream-of-objects"),
        pytest.param(
            {"outputs": {"messages": [{"role": "assistant", "content": "shipped"}]}},
            "shipped",
            id="messages",
        ),
        pytest.param({"outputs": {"output": "shipped"}}, "shipped", id="output"),
        pytest.param({"error": {"type": "ValueError"}}, None, id="error"),
        pytest.param({}, None, id="empty"),
    ],
)
def test_an_answer_is_evident_or_there_is_none(result: Any, answer: str | None) -> None:
    """In the shapes of functions, streams, models and agents."""
    assert answer_in(result) == answer
