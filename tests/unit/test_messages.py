"""No message of remit quotes a value in which a rule of redaction finds a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import remit
from docs.redaction import RULES
from remit._base.text import describe_literal, describe_value
from remit._capture.rules.patterns import key_shaped
from remit.config import Settings
from remit.errors import RemitError
from remit.testing import isolated
from tests.subtests import each

KEY: Any = "ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


def answer(question: str) -> str:
    """Stand for an agent."""
    return question


def run(**arguments: Any) -> None:
    """Open a run with wrong arguments."""
    remit.agent(answer).run(**arguments)


def settings_of(name: str, value: object) -> Any:
    """Return the arguments of `configure` that set one setting."""
    return {name: value}


@each(
    "mistake",
    [
        pytest.param(lambda: run(purpose=KEY), id="purpose"),
        pytest.param(lambda: run(labels=KEY), id="labels"),
        pytest.param(lambda: run(resume=KEY), id="resume"),
        pytest.param(lambda: remit.risk(allows=KEY), id="a risk"),
        pytest.param(lambda: remit.span_type(data_risk={KEY: 1}), id="a key of a risk"),
        pytest.param(
            lambda: remit.span_type(data_risk={"action_profile": {"deletes": KEY}}),
            id="a word of a risk",
        ),
        pytest.param(lambda: remit.span_type(capture=KEY)(answer), id="capture"),
        pytest.param(lambda: remit.span_type(capture={KEY: True})(answer), id="a key of capture"),
        pytest.param(
            lambda: remit.span_type(capture={"question": KEY})(answer), id="a value of capture"
        ),
        pytest.param(
            lambda: remit.span_type(capture={"question": {KEY: True}})(answer), id="a rule"
        ),
        pytest.param(lambda: remit.configure(**settings_of(KEY, 1)), id="the name of a setting"),
        *(
            pytest.param(
                lambda name=name, value=value: remit.configure(**settings_of(name, value)),
                id=f"{name} as {type(value).__name__}",
            )
            for name in Settings.model_fields
            for value in (KEY, [KEY], f"module:{KEY}")
        ),
    ],
)
def test_no_message_quotes_a_key(mistake: Callable[[], object]) -> None:
    """It may have been given in the wrong place, and messages go to logs."""
    messages: list[str] = []
    with isolated():
        try:
            mistake()
        except (RemitError, TypeError) as error:
            messages.append(str(error))
    assert KEY[4:] not in "".join(messages)


@each("text", [text for rule in RULES for text in rule.redacted if key_shaped(text)])
def test_a_text_in_which_a_rule_finds_a_key_is_not_shown(text: str) -> None:
    """By its length and its characters, because the rules are not known where messages are made."""
    assert text not in describe_value(text)


@each(
    ("value", "shown"),
    [
        pytest.param("locl", "'locl'", id="a word"),
        pytest.param("5 s", "'5 s'", id="a number with a unit"),
        pytest.param("/home/ada/projects/shop", "'/home/ada/projects/shop'", id="a path"),
        pytest.param("myapp.privacy:redact_names", "'myapp.privacy:redact_names'", id="an import"),
        pytest.param("name:pasword,pattern:jwt", "'name:pasword,pattern:jwt'", id="rules"),
        pytest.param("word-" * 20 + "word", f"{('word-' * 20)[:40]!r}...", id="a long one"),
        pytest.param(True, "True", id="a boolean"),
        pytest.param(-1.5, "-1.5", id="a number"),
        pytest.param(10**30, "an object of type int", id="a large number"),
        pytest.param(["a"], "an object of type list", id="a list"),
    ],
)
def test_other_values_are_shown(value: object, shown: str) -> None:
    """So that a mistake is found."""
    assert describe_literal(value) == shown
