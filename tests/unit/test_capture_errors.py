"""Exceptions: type and redacted message, without running code of the user's."""

from __future__ import annotations

import json
import urllib.error
from collections import Counter
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from remit._capture.encode import Rules
from remit._capture.errors import error_payload
from remit._capture.redacted import RedactedTexts
from remit._inspect.introspection import is_a
from tests.captured import plan_of, redacted
from tests.strategies import CALLS, hostile_values
from tests.subtests import each

LLM_KEY = "sk-proj-9aB8cD7eF6gH5iJ4kL3m"


class Plain(Exception):  # noqa: N818 - an exception as users write it
    """Nothing of its own."""


class Shown(Exception):  # noqa: N818 - an exception as users write it
    """Brings a `__str__` of its own, which must not run."""

    def __str__(self) -> str:
        """Fail: no code of a user's runs."""
        raise AssertionError


class Arg:
    """An argument whose text must not be asked for."""

    def __repr__(self) -> str:
        """Fail: no code of a user's runs."""
        raise AssertionError


class Model(BaseModel):
    """A model that refuses its input."""

    count: int
    password: int = 0


def told(error: BaseException, rules: Rules | None = None) -> Any:
    """Return what is recorded of *error*."""
    return json.loads(error_payload(error, rules or Rules()))["error"]


def raised(error: type[BaseException], statement: str) -> BaseException:
    """Return the exception that *statement* raises."""
    with pytest.raises(error) as caught:
        exec(statement, {})
    return caught.value


def odd_file_error() -> OSError:
    """Return an error whose file name is an object of a user's own."""
    error = OSError(2, "No such file")
    error.filename = Arg()
    return error


OPAQUE_ARG = json.dumps({"$remit": "opaque", "type": f"{__name__}.Arg"}, separators=(",", ":"))
MESSAGES = [
    pytest.param(ValueError("wrong"), "ValueError", "wrong", id="a text"),
    pytest.param(ValueError(), "ValueError", "", id="nothing"),
    pytest.param(ValueError("a", 1), "ValueError", "('a', 1)", id="several arguments"),
    pytest.param(KeyError("a"), "KeyError", "'a'", id="a KeyError"),
    pytest.param(OSError(2, "No such file", "f"), "FileNotFoundError", None, id="an OSError"),
    pytest.param(raised(SyntaxError, "1 +"), "SyntaxError", None, id="a SyntaxError"),
    pytest.param(raised(ImportError, "import no.such"), "ModuleNotFoundError", None, id="imports"),
    pytest.param(
        raised(UnicodeDecodeError, "b'\\xff'.decode()"), "UnicodeDecodeError", None, id="decoding"
    ),
    pytest.param(
        raised(UnicodeEncodeError, "'\\xff'.encode('ascii')"),
        "UnicodeEncodeError",
        None,
        id="encoding",
    ),
    pytest.param(Plain("x"), f"{__name__}.Plain", "x", id="a class of a user's own"),
    pytest.param(Shown("x"), f"{__name__}.Shown", "x", id="a class with its own text"),
    pytest.param(Shown("x", 1), f"{__name__}.Shown", '["x",1]', id="and several arguments"),
    pytest.param(ValueError(Arg()), "ValueError", OPAQUE_ARG, id="an object"),
    pytest.param(odd_file_error(), "FileNotFoundError", '[2,"No such file"]', id="an odd file"),
    pytest.param(ValueError(2**3000), "ValueError", hex(2**3000), id="a huge number"),
    pytest.param(ValueError(None), "ValueError", "None", id="None"),
    pytest.param(ValueError(1.5, b"a"), "ValueError", "(1.5, b'a')", id="a float and bytes"),
    pytest.param(
        ExceptionGroup("several", [ValueError(LLM_KEY), ValueError()]),
        "ExceptionGroup",
        "several (2 sub-exceptions)",
        id="a group",
    ),
    pytest.param(SystemExit(3), "SystemExit", "3", id="an exit"),
    pytest.param(
        urllib.error.URLError(ConnectionRefusedError(111, "Connection refused")),
        "urllib.error.URLError",
        "ConnectionRefusedError: [Errno 111] Connection refused",
        id="another error",
    ),
    pytest.param(
        Shown(["host", 443], ValueError(KeyError("a"))),
        f"{__name__}.Shown",
        """[["host",443],"ValueError: KeyError: 'a'"]""",
        id="another error among several arguments",
    ),
]


@each(("error", "kind", "message"), MESSAGES)
def test_an_error_is_told_by_its_type_and_its_message(
    error: BaseException, kind: str, message: str | None
) -> None:
    """As Python tells it where that runs no code of a user's, else by its arguments."""
    shown = told(error)
    assert shown["type"] in {kind, type(error).__qualname__}
    assert shown["message"] == (str(error) if message is None else message)


REDACTED = [
    pytest.param(ValueError(f"bad {LLM_KEY}"), "pattern:llm_key", id="a key in the text"),
    pytest.param(ValueError({"password": "canary"}), None, id="a dict with a secret name"),
    pytest.param(ValueError(SecretStr("canary")), None, id="a secret type"),
    pytest.param(ValueError("token=", SecretStr("canary")), None, id="among other arguments"),
    pytest.param(Shown([("Cookie", "canary")]), None, id="pairs"),
    pytest.param(
        ValueError("login(password='canary')"), "pattern:assignment", id="the text of a call"
    ),
    pytest.param(
        ValueError("-----BEGIN PRIVATE KEY-----", "canary"),
        "pattern:private_key",
        id="a private key in several arguments",
    ),
    pytest.param(
        ConnectionError(OSError(f"no route to {LLM_KEY}")), "pattern:llm_key", id="another error"
    ),
    pytest.param(
        ConnectionError(ValueError({"password": "canary"})), None, id="a dict in another error"
    ),
    pytest.param(
        Shown("-----BEGIN PRIVATE KEY-----", "canary"),
        None,
        id="a private key in several arguments of another class",
    ),
]


@each(("error", "rule"), REDACTED)
def test_a_message_is_redacted_as_a_value_is(error: BaseException, rule: str | None) -> None:
    """No canary survives, and the rest is told."""
    shown = told(error)
    assert "canary" not in json.dumps(shown)
    if rule is not None:
        assert shown["message"] == redacted(rule)


def test_a_validation_error_is_told_without_the_input() -> None:
    """Pydantic's own message quotes it."""
    with pytest.raises(ValidationError) as caught:
        Model.model_validate({"count": "canary", "password": "canary"})
    shown = told(caught.value)
    assert shown["type"] == "pydantic_core._pydantic_core.ValidationError"
    assert shown["message"].startswith("2 validation errors for Model: count: Input should be")
    assert "canary" not in shown["message"]
    with pytest.raises(ValidationError) as caught:
        Model.model_validate(5)
    assert told(caught.value)["message"].startswith("1 validation errors for Model: (value): ")


def test_an_error_that_holds_itself_is_told() -> None:
    """Its own text is read a few levels deep."""
    error = Shown("x")
    error.args = ("outer", error)
    assert told(error)["message"].count("outer") == 4


def test_a_long_message_is_cut() -> None:
    """A message is not the place for a document."""
    shown = told(ValueError("x" * 100_000))
    assert shown["type"] == "ValueError"
    assert shown["message"]["$remit"] == "cut"
    assert shown["message"]["of"] == 100_000
    assert len(shown["message"]["head"]) <= 8192
    many = told(ValueError(["x" * 100] * 100_000))
    assert len(json.dumps(many)) < 20_000


def test_a_lone_surrogate_in_a_message_is_replaced() -> None:
    """With a hook too."""
    error = ValueError(["\ud800"])
    assert told(error)["message"] == '["?"]'
    assert told(error, Rules(hook=lambda payload: payload))["message"] == '["?"]'


def login(user: str, password: str, card: SecretStr, pin: int, extra: object = None) -> None:
    """The function of a plan for a step with secrets."""
    del user, password, card, pin, extra


@each(
    ("message", "quotes"),
    [
        pytest.param("no such user bob", False, id="nothing secret"),
        pytest.param("wrong password hunter2x", True, id="an argument by name"),
        pytest.param("card 4242-plain refused", True, id="a value of a secret type"),
        pytest.param("pin 91823 is wrong", True, id="a number"),
        pytest.param("deep-one is wrong", True, id="inside a redacted container"),
        pytest.param("deep-two is wrong", True, id="inside a nested value"),
        pytest.param("abc", False, id="a text too short to tell"),
    ],
)
def test_a_message_that_quotes_a_redacted_argument_is_redacted(
    message: str, *, quotes: bool
) -> None:
    """The usual way in which a secret leaves: an f-string in an exception."""
    plan = plan_of(login)
    extra = {"cookies": [{"a": ("deep-one",)}], "more": {"secret": {1: "deep-two"}}, "auth": "abc"}
    args = ("bob", "hunter2x", SecretStr("4242-plain"), 91823, extra)
    rules = Rules().in_run()
    plan.params(args, {}, rules)
    before = rules.redacted.total()
    shown = json.loads(error_payload(ValueError(message), rules))["error"]
    assert shown["message"] == (redacted("quoted") if quotes else message)
    assert rules.redacted["quoted"] == rules.redacted.total() - before == int(quotes)


def test_a_large_redacted_argument_is_searched_to_a_limit() -> None:
    """Two hundred values of it."""
    rules = Rules().in_run()
    plan_of(login).params(("bob", [f"word {n}" for n in range(5000)]), {}, rules)
    assert rules.texts is not None
    assert 100 < len(list(rules.texts)) <= 200


def having(*texts: str) -> Rules:
    """Return the rules of a run that has redacted *texts*."""
    return Rules(texts=RedactedTexts(texts))


def chain(length: int) -> BaseException:
    """Return an error at the end of a chain of others, the first of which quotes a secret."""
    error: BaseException = ValueError("wrong password hunter2x")
    for number in range(length):
        outer = RuntimeError(f"attempt {number}: {error}")
        outer.__context__ = error
        error = outer
    return error


@each("length", [1, 2, 5])
def test_an_error_that_repeats_the_text_of_its_cause_is_redacted_too(length: int) -> None:
    """The function that wraps the error never had the secret."""
    rules = having("hunter2x")
    assert told(chain(length), rules)["message"] == redacted("quoted")
    assert rules.redacted == Counter(quoted=min(1 + length, 6))


def test_an_error_that_says_something_else_than_its_cause_is_told() -> None:
    """That the cause quoted something takes nothing from it."""
    outer = RuntimeError("could not log in")
    outer.__cause__ = ValueError("wrong password hunter2x")
    assert told(outer, having("hunter2x"))["message"] == "could not log in"


def test_a_hostile_cause_is_not_asked_anything() -> None:
    """Only the message of the error itself is read."""
    rules = having("hunter2x")
    outer = ValueError("outer")
    outer.__cause__ = next(each for each in hostile_values() if is_a(each, ValueError))  # type: ignore[assignment]
    CALLS.clear()
    assert told(outer, rules)["message"] == "outer"
    assert CALLS == []
