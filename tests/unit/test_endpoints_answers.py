"""What a refusal means: the error named for the reaction, with what was seen and what to do."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.client.endpoints.responses import raise_for_status
from remit.errors import (
    ApiError,
    ContractError,
    NotFoundError,
    RejectedError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)
from tests.subtests import each

NOON_NS = 1_767_268_800 * 10**9  # 2026-01-01T12:00:00Z
HTML = b"<html><body>s3cret</body></html>"
WHERE = "POST https://api.example/api/v1/bulk"


def refusal(code: str = "c", message: str = "m", **more: object) -> bytes:
    """Return an error envelope."""
    return json.dumps({"status": "error", "code": code, "message": message, **more}).encode()


def caught(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> ApiError:
    """Return the error that an answer means."""
    with pytest.raises(ApiError) as info:
        raise_for_status(status, headers or {}, body, where=WHERE, wall_ns=NOON_NS)
    return info.value


@each(
    ("status", "body", "kind"),
    [
        (400, refusal(), RejectedError),
        (400, b"", RejectedError),
        (400, HTML, ContractError),
        (401, refusal(), UnauthorizedError),
        (401, HTML, UnauthorizedError),
        (403, refusal(), UnauthorizedError),
        (404, refusal("not_found"), NotFoundError),
        (404, HTML, NotFoundError),
        (405, HTML, ContractError),
        (405, b"[]", ContractError),
        (407, HTML, ContractError),
        (408, b"", UnavailableError),
        (409, refusal("invalid_action"), RejectedError),
        (410, refusal(), RejectedError),
        (413, HTML, TooLargeError),
        (418, b"", RejectedError),
        (422, refusal("validation_errors"), RejectedError),
        (425, b"", UnavailableError),
        (429, b"", UnavailableError),
        (500, HTML, UnavailableError),
        (501, b"", UnavailableError),
        (503, refusal(), UnavailableError),
        (599, b"", UnavailableError),
        (301, b"", ContractError),
        (304, b"", ContractError),
        (101, b"", ContractError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else str(value)[:24] or "empty",
)
def test_a_status_means_a_reaction(status: int, body: bytes, kind: type[ApiError]) -> None:
    """Exactly that class: a caller's `except` depends on it."""
    error = caught(status, body)
    assert type(error) is kind
    assert error.status == status
    assert str(error).startswith(f"{WHERE} returned {status}")
    assert "s3cret" not in str(error)


def test_what_the_api_said_is_kept_and_shown() -> None:
    """These are the code, the message, and the messages by field."""
    error = caught(422, refusal("validation_errors", "no", errors={"name": ["empty", "odd"]}))
    assert error.code == "validation_errors"
    assert error.errors == {"name": ["empty", "odd"]}
    assert "422 Unprocessable" in str(error)
    assert "validation_errors: no: name: empty, odd. " in str(error)


@each(
    ("status", "body", "headers", "advice"),
    [
        (401, b"", {}, "Check the api_token"),
        (403, b"", {}, "its scope does not allow this"),
        (404, refusal("not_found"), {}, "Check the id, and the api_url"),
        (404, HTML, {}, "There is no Prefactor API: check the api_url"),
        (405, HTML, {}, "This is not the Prefactor API: check the api_url"),
        (407, b"", {}, "HTTPS_PROXY"),
        (413, b"", {}, "Send less at once"),
        (500, b"", {}, "It may work later"),
        (302, b"", {"location": "https://u:p@login.example:8443/x?q=s3cret"}, "login.example:8443"),
        (302, b"", {"location": "/login"}, "Set the api_url to where the API is"),
        (302, b"", {"location": "https://[oops"}, "Set the api_url to where the API is"),
        (308, b"", {}, "Set the api_url to where the API is"),
    ],
    ids=range(12),
)
def test_the_message_says_what_to_do(
    status: int, body: bytes, headers: dict[str, str], advice: str
) -> None:
    """`remit doctor` and the log print it."""
    said = str(caught(status, body, headers))
    assert advice in said
    assert "u:p" not in said
    assert "s3cret" not in said


@each(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:20 GMT"}, 20.0),
        (
            {
                "retry-after": "Thu, 01 Jan 2026 09:00:20 GMT",
                "date": "Thu, 01 Jan 2026 09:00:00 GMT",
            },
            20.0,
        ),
        ({"retry-after": "later"}, None),
    ],
    ids=["none", "seconds", "date", "date of a server whose clock is behind", "words"],
)
def test_a_server_may_say_when_to_come_back(headers: dict[str, str], seconds: float | None) -> None:
    """It says so in seconds, or as a date by its own clock."""
    assert caught(503, b"", headers).retry_after_s == seconds
    assert caught(429, b"", headers).retry_after_s == seconds
    assert caught(409, b"", headers).retry_after_s is None


def test_what_a_server_says_is_bounded_and_on_one_line() -> None:
    """It goes into the log, where it may forge no line."""
    fields = {f"f{number}\n": ["long " * 100] * 50 for number in range(50)}
    error = caught(400, refusal("c\r\nforged", "m" * 5000 + "\x1b[31m", errors=fields))
    assert len(str(error)) < 40_000
    assert str(error).isprintable()
    assert error.code == "c  forged"
    assert len(error.errors) == 10
    assert all(len(messages) == 10 for messages in error.errors.values())


@each(
    "body",
    [
        b'{"code": 7, "message": ["m"], "errors": "e"}',
        b'{"errors": {"f": {"deep": [1]}}}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
    ids=["wrong types", "deep", "nested", "bytes"],
)
def test_a_refusal_of_any_shape_is_read(body: bytes) -> None:
    """It may be any bytes: its status decides."""
    assert caught(503, body).status == 503


def test_a_fields_message_need_not_be_a_list() -> None:
    """A text is read as a list of one message."""
    assert caught(422, b'{"errors": {"f": "just text"}}').errors == {"f": ["just text"]}


@given(
    status=st.integers(100, 999).filter(lambda status: not 200 <= status < 300),
    body=st.one_of(st.binary(), st.text().map(str.encode)),
    headers=st.dictionaries(
        st.sampled_from(["retry-after", "date", "location"]), st.text(max_size=40)
    ),
)
def test_no_refusal_raises_anything_but_an_api_error(
    status: int, body: bytes, headers: dict[str, str]
) -> None:
    """The error is of a kind that says what to do."""
    error = caught(status, body, headers)
    assert type(error) is not ApiError
    assert error.status == status
