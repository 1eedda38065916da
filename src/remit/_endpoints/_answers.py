"""From an answer's status to the error that is named for the reaction it needs."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple, cast
from urllib.parse import urlsplit

import msgspec

from remit._backoff import http_date_ns, retry_after_s
from remit._clock import SystemClock
from remit.errors import (
    ApiError,
    ContractError,
    NotFoundError,
    RejectedError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)

# A server's words end up in log lines: enough to act on, never a payload's worth.
MAX_MESSAGE_CHARS: Final = 300
MAX_FIELDS: Final = 10

OK, REDIRECTION, CLIENT_ERROR, SERVER_ERROR = 200, 300, 400, 500

KINDS: Final[Mapping[int, type[ApiError]]] = {
    401: UnauthorizedError,
    403: UnauthorizedError,
    404: NotFoundError,
    407: ContractError,
    408: UnavailableError,
    413: TooLargeError,
    425: UnavailableError,
    429: UnavailableError,
}
ADVICE: Final[Mapping[int | type[ApiError], str]] = {
    401: "Check the api_token: it is missing, mistyped, suspended, revoked or expired",
    403: "The token is known, but its scope does not allow this: set the api_token to one that may",
    407: "A proxy wants credentials: check HTTPS_PROXY and HTTP_PROXY",
    ContractError: "This is not the Prefactor API: check the api_url",
    NotFoundError: "Check the id, and the api_url",
    RejectedError: "Sending it again cannot help: mend what it names",
    TooLargeError: "Send less at once",
    UnavailableError: "It may work later",
}
NOTHING_THERE: Final = "Nothing of the Prefactor API is there: check the api_url"


# msgspec itself takes 10 microseconds for a number like 1.1e300.
_decode: Final = msgspec.json.Decoder(float_hook=float).decode


class Refusal(NamedTuple):
    """What a refusal says.

    Attributes:
        status: HTTP status.
        code: The API's word for why, or None.
        message: The API's sentence, bounded, on one line; empty if there is none.
        errors: Messages by field, bounded.
        spoken: Whether the body is of the API, or empty; else something else has answered.
    """

    status: int
    code: str | None
    message: str
    errors: dict[str, list[str]]
    spoken: bool


def interpret(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    where: str = "the request",
    wall_ns: int | None = None,
) -> None:
    """Return for a success; raise what a refusal means otherwise.

    Args:
        status: HTTP status.
        headers: Headers of the answer, names in lower case or case-insensitive.
        body: Body of the answer.
        where: The request in words, for the message: method and URL.
        wall_ns: Now, for a `Retry-After` that is a date; the answer's own `Date` wins.

    Raises:
        UnauthorizedError: 401, 403.
        NotFoundError: 404.
        TooLargeError: 413.
        UnavailableError: 408, 425, 429 and every 5xx, with the seconds that the server asks for.
        ContractError: A redirection, or a 4xx that does not come from the API.
        RejectedError: Any other 4xx.
    """
    if OK <= status < REDIRECTION:
        return
    refusal = _read(status, body)
    kind = _kind(refusal)
    waits = retry_after_s(headers.get("retry-after"), wall_ns=_now(headers, wall_ns))
    raise kind(
        f"{where} answered {_sentence(refusal)}. {_advice(kind, refusal, headers)}",
        status=status,
        code=refusal.code,
        errors=refusal.errors,
        retry_after_s=waits if kind is UnavailableError else None,
    )


def _kind(refusal: Refusal) -> type[ApiError]:
    if refusal.status in KINDS:
        return KINDS[refusal.status]
    if refusal.status >= SERVER_ERROR:
        return UnavailableError
    if refusal.status < CLIENT_ERROR or not refusal.spoken:
        return ContractError
    return RejectedError


def _advice(kind: type[ApiError], refusal: Refusal, headers: Mapping[str, str]) -> str:
    if refusal.status < CLIENT_ERROR:
        return _about_redirection(headers)
    if kind is NotFoundError and refusal.code is None:
        return NOTHING_THERE
    return ADVICE.get(refusal.status) or ADVICE[kind]


def _about_redirection(headers: Mapping[str, str]) -> str:
    try:
        target = urlsplit(headers.get("location", ""))
        place = f"{target.scheme}://{target.netloc.rpartition('@')[2]}" if target.netloc else ""
    except ValueError:
        place = ""
    return f"Set the api_url to where the API is{f', perhaps {place}' if place else ''}"


def _sentence(refusal: Refusal) -> str:
    try:
        phrase = f"{refusal.status} {HTTPStatus(refusal.status).phrase}"
    except ValueError:
        phrase = str(refusal.status)
    parts = [phrase, refusal.code or "", refusal.message]
    fields = [f"{name}: {', '.join(said)}" for name, said in refusal.errors.items()]
    return ": ".join(part for part in [*parts, "; ".join(fields)] if part)


def _read(status: int, body: bytes) -> Refusal:
    """Return what *body* says, whatever it is."""
    if not body.strip():
        return Refusal(status, None, "", {}, spoken=True)
    try:
        said = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        return Refusal(status, None, "", {}, spoken=False)
    answer = cast("dict[str, Any]", said)
    code, message = answer.get("code"), answer.get("message")
    return Refusal(
        status,
        _line(code) if isinstance(code, str) else None,
        _line(message) if isinstance(message, str) else "",
        _errors(answer.get("errors")),
        spoken=True,
    )


def _errors(given: object) -> dict[str, list[str]]:
    if not isinstance(given, dict):
        return {}
    fields = cast("dict[str, object]", given)
    return {
        _line(name): [_line(_text(line)) for line in _listed(said)[:MAX_FIELDS]]
        for name, said in list(fields.items())[:MAX_FIELDS]
    }


def _listed(said: object) -> list[object]:
    return cast("list[object]", said) if isinstance(said, list) else [said]


def _text(value: object) -> str:
    # `str` fails for values that are nested too deep.
    return "..." if isinstance(value, dict | list) else str(value)


def _line(text: str) -> str:
    """Return *text* on one line, bounded: it is another's, and goes into the log."""
    cut = text if len(text) <= MAX_MESSAGE_CHARS else f"{text[:MAX_MESSAGE_CHARS]}..."
    return "".join(char if char.isprintable() else " " for char in cut)


def _now(headers: Mapping[str, str], wall_ns: int | None) -> int:
    """Return the server's time if it told, so that a wrong clock here does not matter."""
    served_ns = http_date_ns(headers.get("date", ""))
    if served_ns is not None:
        return served_ns
    return SystemClock.wall_ns() if wall_ns is None else wall_ns
