"""Reading answers: successes as wire models, refusals as the error named for the reaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

import msgspec
from pydantic import BaseModel, ValidationError

from remit._base.backoff import http_date_ns, retry_after_s
from remit._base.clock import SystemClock
from remit.errors import (
    ApiError,
    ContractError,
    NotFoundError,
    RejectedError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)
from remit.models.agent_span import AnsweredSpan
from remit.models.envelope import ListResponse, SuccessResponse

M = TypeVar("M", bound=BaseModel)
S = TypeVar("S", bound=msgspec.Struct)

# Enough to see what is wrong; an answer may be wrong in a thousand places.
MAX_NAMED_FAULTS: Final = 3
MAX_FAULTS: Final = 1000
# A server's words end up in log lines: enough to act on, never a payload's worth.
MAX_MESSAGE_CHARS: Final = 300
MAX_FIELDS: Final = 10

OK, REDIRECTION, CLIENT_ERROR, SERVER_ERROR = 200, 300, 400, 500

ERRORS: Final[Mapping[int, type[ApiError]]] = {
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


@dataclass(frozen=True, slots=True)
class Whole(Generic[M]):
    """Reads an answer that is *model* itself."""

    model: type[M]

    def __call__(self, body: bytes) -> M:
        """Return *body* as the model."""
        return read(self.model, body)


@dataclass(frozen=True, slots=True)
class Details(Generic[M]):
    """Reads an answer that holds one *model* under `details`."""

    model: type[M]

    def __call__(self, body: bytes) -> M:
        """Return the details of *body*."""
        return self.envelope(body).details

    def envelope(self, body: bytes) -> SuccessResponse[M]:
        """Return *body* whole."""
        envelope: type[SuccessResponse[M]] = _parametrised(SuccessResponse, self.model)
        return read(envelope, body)


class DetailsWithControl(Details[AnsweredSpan]):
    """Reads an answer about a span: its control signal is beside the details."""

    def __call__(self, body: bytes) -> AnsweredSpan:
        """Return the details of *body*, with its control signal."""
        answer = self.envelope(body)
        return answer.details.model_copy(update={"control": answer.control})


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """Reads an answer that holds a list of *model*."""

    model: type[M]

    def __call__(self, body: bytes) -> ListResponse[M]:
        """Return *body* as a page."""
        envelope: type[ListResponse[M]] = _parametrised(ListResponse, self.model)
        return read(envelope, body)


class Lenient(Generic[S]):
    """Reads an answer only as far as a struct needs it: other fields may be of any shape."""

    def __init__(self, shape: type[S]) -> None:
        """Read as *shape*."""
        self._decode: Final = msgspec.json.Decoder(shape).decode

    def __call__(self, body: bytes) -> S:
        """Return *body* as the struct.

        Raises:
            ContractError: It does not fit. The decoder's error is not chained: it may quote the
                answer, and answers hold payloads.
        """
        try:
            return self._decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
        raise ContractError(
            "the answer is not what the Prefactor API answers here; check the api_url: a proxy "
            "or another service may have answered"
        )


# Pydantic itself forgets a parametrised class that has no reference, and building one takes a
# millisecond, so each is built at the first answer and kept.
@cache
def _parametrised(envelope: Any, model: type[BaseModel]) -> Any:  # noqa: ANN401 - a class made here
    return envelope[model]


def read(model: type[M], body: bytes) -> M:
    """Return *body* as *model*.

    Raises:
        ContractError: It is not JSON, no object, or not of this shape. The message names the
            places, never the values, and so does not chain pydantic's error, which has them.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        fault = _fault(error, body)
    raise ContractError(
        f"{fault}; expected a JSON object as the Prefactor API answers. Check the api_url: a proxy "
        "or another service may have answered"
    )


def _fault(error: ValidationError, body: bytes) -> str:
    if not body.strip():
        return "the answer is empty"
    if body.lstrip()[:1] == b"<":
        return "the answer is an HTML or XML page"
    if error.error_count() > MAX_FAULTS:
        return f"the answer does not fit, in {error.error_count()} places"
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    if faults[0]["type"] == "json_invalid":
        return "the answer is not JSON"
    if not faults[0]["loc"]:
        return "the answer is JSON, but no object"
    named = [
        f"{'.'.join(map(str, fault['loc']))}: {fault['type']}"
        for fault in faults[:MAX_NAMED_FAULTS]
    ]
    return f"the answer does not fit ({', '.join(named)})"


class _Refusal(NamedTuple):
    """What a refusal says.

    Attributes:
        status: HTTP status.
        code: The API's word for why, or None.
        message: The API's sentence, bounded, on one line; empty if there is none.
        errors: Messages by field, bounded.
        from_api: Whether the body is of the API, or empty; else something else has answered.
    """

    status: int
    code: str | None = None
    message: str = ""
    errors: Mapping[str, list[str]] = {}
    from_api: bool = True


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
    refusal = _refusal(status, body)
    kind = _error_class(refusal)
    retry_s = retry_after_s(headers.get("retry-after"), wall_ns=_now(headers, wall_ns))
    raise kind(
        f"{where} answered {_sentence(refusal)}. {_advice(kind, refusal, headers)}",
        status=status,
        code=refusal.code,
        errors=dict(refusal.errors),
        retry_after_s=retry_s if kind is UnavailableError else None,
    )


def _error_class(refusal: _Refusal) -> type[ApiError]:
    if refusal.status in ERRORS:
        return ERRORS[refusal.status]
    if refusal.status >= SERVER_ERROR:
        return UnavailableError
    if refusal.status < CLIENT_ERROR or not refusal.from_api:
        return ContractError
    return RejectedError


def _advice(kind: type[ApiError], refusal: _Refusal, headers: Mapping[str, str]) -> str:
    if refusal.status < CLIENT_ERROR:
        return _redirection_advice(headers)
    if kind is NotFoundError and refusal.code is None:
        return NOTHING_THERE
    return ADVICE.get(refusal.status) or ADVICE[kind]


def _redirection_advice(headers: Mapping[str, str]) -> str:
    try:
        target = urlsplit(headers.get("location", ""))
        place = f"{target.scheme}://{target.netloc.rpartition('@')[2]}" if target.netloc else ""
    except ValueError:
        place = ""
    return f"Set the api_url to where the API is{f', perhaps {place}' if place else ''}"


def _sentence(refusal: _Refusal) -> str:
    try:
        phrase = f"{refusal.status} {HTTPStatus(refusal.status).phrase}"
    except ValueError:
        phrase = str(refusal.status)
    fields = "; ".join(f"{name}: {', '.join(lines)}" for name, lines in refusal.errors.items())
    parts = (phrase, refusal.code, refusal.message, fields)
    return ": ".join(part for part in parts if part)


def _refusal(status: int, body: bytes) -> _Refusal:
    """Return what *body* says, whatever it is."""
    if not body.strip():
        return _Refusal(status)
    try:
        answer = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        return _Refusal(status, from_api=False)
    members = cast("dict[str, Any]", answer)
    code, message = members.get("code"), members.get("message")
    return _Refusal(
        status,
        _line(code) if isinstance(code, str) else None,
        _line(message) if isinstance(message, str) else "",
        _errors(members.get("errors")),
    )


def _errors(errors: object) -> dict[str, list[str]]:
    if not isinstance(errors, dict):
        return {}
    fields = list(cast("dict[str, object]", errors).items())[:MAX_FIELDS]
    return {_line(name): _lines(messages) for name, messages in fields}


def _lines(messages: object) -> list[str]:
    several = cast("list[object]", messages) if isinstance(messages, list) else [messages]
    # `str` fails for values that are nested too deep.
    return [
        _line("..." if isinstance(message, dict | list) else str(message))
        for message in several[:MAX_FIELDS]
    ]


def _line(text: str) -> str:
    """Return *text* on one line, bounded: it comes from outside, and goes into the log."""
    cut = text if len(text) <= MAX_MESSAGE_CHARS else f"{text[:MAX_MESSAGE_CHARS]}..."
    return "".join(char if char.isprintable() else " " for char in cut)


def _now(headers: Mapping[str, str], wall_ns: int | None) -> int:
    """Return the server's time if it says it, so that a wrong clock here does not matter."""
    served_ns = http_date_ns(headers.get("date", ""))
    if served_ns is not None:
        return served_ns
    return SystemClock.wall_ns() if wall_ns is None else wall_ns
