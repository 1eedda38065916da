"""Reads responses: successes as wire models, errors as exceptions named for the reaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from http import HTTPStatus
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlsplit

import msgspec
from pydantic import BaseModel, ValidationError

from remit._base.backoff import http_date_ns, retry_after_s
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

# A response may be wrong in a thousand places.
MAX_NAMED_FAULTS: Final = 3
MAX_FAULTS: Final = 1000
# Messages of a server end up in log lines.
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
ERRORS_BY_CODE: Final[Mapping[str | None, type[ApiError]]] = {
    "not_found": NotFoundError,
    "forbidden": UnauthorizedError,
}
ADVICE: Final[Mapping[int | type[ApiError], str]] = {
    401: "Check the api_token: it is missing, mistyped, suspended, revoked or expired",
    403: "The token is known, but its scope does not allow this: use another api_token",
    407: "A proxy requires credentials: check HTTPS_PROXY and HTTP_PROXY",
    ContractError: "This is not the Prefactor API: check the api_url",
    NotFoundError: "Check the id, and the api_url",
    RejectedError: "Sending it again cannot help: correct the request",
    TooLargeError: "Send less at once",
    UnauthorizedError: "The token is known, but its scope does not allow this",
    UnavailableError: "It may work later",
}
NO_API: Final = "There is no Prefactor API: check the api_url"

# msgspec itself takes 10 microseconds for a number like 1.1e300.
_decode: Final = msgspec.json.Decoder(float_hook=float).decode


def whole(model: type[M]) -> Callable[[bytes], M]:
    """Return a reader of responses that are a *model*."""
    return partial(read, model)


def details(model: type[M]) -> Callable[[bytes], M]:
    """Return a reader of responses with one *model* under `details`."""

    def parse(body: bytes) -> M:
        return _success(model, body).details

    return parse


def details_with_control(body: bytes) -> AnsweredSpan:
    """Read a response about a span, with its control signal next to the details."""
    answer = _success(AnsweredSpan, body)
    return answer.details.model_copy(update={"control": answer.control})


def page(model: type[M]) -> Callable[[bytes], ListResponse[M]]:
    """Return a reader of responses with a list of *model*."""

    def parse(body: bytes) -> ListResponse[M]:
        envelope: type[ListResponse[M]] = _parametrised(ListResponse, model)
        return read(envelope, body)

    return parse


def lenient(shape: type[S]) -> Callable[[bytes], S]:
    """Return a reader of the fields of a struct; other fields may have any shape."""
    decode = msgspec.json.Decoder(shape).decode

    def parse(body: bytes) -> S:
        try:
            return decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # not chained: it may quote the response, which contains payloads
        raise ContractError(
            "the response is not that of the Prefactor API; check the api_url: a proxy or another "
            "service may have responded"
        )

    return parse


def _success(model: type[M], body: bytes) -> SuccessResponse[M]:
    envelope: type[SuccessResponse[M]] = _parametrised(SuccessResponse, model)
    return read(envelope, body)


# Building a parametrised class takes a millisecond, and pydantic does not keep it.
@cache
def _parametrised(envelope: Any, model: type[BaseModel]) -> Any:
    return envelope[model]


def read(model: type[M], body: bytes) -> M:
    """Return *body* as *model*.

    Raises:
        ContractError: It is not JSON, not an object, or not of this shape. The message has the
            places and not the values, so it does not chain pydantic's error.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        fault = _fault(error, body)
    raise ContractError(
        f"{fault}; expected a JSON object of the Prefactor API. Check the api_url: a proxy or "
        "another service may have responded"
    )


def _fault(error: ValidationError, body: bytes) -> str:
    if not body.strip():
        return "the response is empty"
    if body.lstrip()[:1] == b"<":
        return "the response is an HTML or XML page"
    if error.error_count() > MAX_FAULTS:
        return f"the response does not match, in {error.error_count()} places"
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    if faults[0]["type"] == "json_invalid":
        return "the response is not JSON"
    if not faults[0]["loc"]:
        return "the response is JSON, but not an object"
    named = [
        f"{'.'.join(map(str, fault['loc']))}: {fault['type']}"
        for fault in faults[:MAX_NAMED_FAULTS]
    ]
    return f"the response does not match ({', '.join(named)})"


def raise_for_status(
    status: int, headers: Mapping[str, str], body: bytes, *, where: str, wall_ns: int
) -> None:
    """Raise the exception for an error response; return for a success.

    Args:
        status: HTTP status.
        headers: Names in lower case or case-insensitive.
        body: Body of the response.
        where: Method and URL of the request, for the message.
        wall_ns: Now, for a `Retry-After` with a date; the response's own `Date` wins.

    Raises:
        UnauthorizedError: 401, 403.
        NotFoundError: 404.
        TooLargeError: 413.
        UnavailableError: 408, 425, 429 and every 5xx, with the seconds that the server requests.
        ContractError: A redirection, or a 4xx that does not come from the API.
        RejectedError: Any other 4xx.
    """
    if OK <= status < REDIRECTION:
        return
    members = _error_members(body)
    code, message, errors = members or (None, "", {})
    kind = _error_class(status, from_api=members is not None)
    # By the server's time, if known: the clock here may be wrong.
    served_ns = http_date_ns(headers.get("date", ""))
    now_ns = wall_ns if served_ns is None else served_ns
    retry_s = retry_after_s(headers.get("retry-after"), wall_ns=now_ns)
    sentence = _sentence(_status_text(status), code, message, errors)
    if status < CLIENT_ERROR:
        advice = _redirection_advice(headers)
    elif kind is NotFoundError and code is None:
        advice = NO_API
    else:
        advice = ADVICE.get(status) or ADVICE[kind]
    raise kind(
        f"{where} returned {sentence}. {advice}",
        status=status,
        code=code,
        errors=errors,
        retry_after_s=retry_s if kind is UnavailableError else None,
    )


def output_error(where: str, code: str | None, message: object, errors: object) -> ApiError:
    """Return the exception for the error of a bulk item; *where* is its operation."""
    kind = ERRORS_BY_CODE.get(code, RejectedError)
    named = _errors(errors)
    sentence = _sentence("an error", code and _line(code), _line(str(message or "")), named)
    return kind(f"{where} in bulk returned {sentence}. {ADVICE[kind]}", code=code, errors=named)


def _sentence(status: str, code: str | None, message: str, errors: Mapping[str, list[str]]) -> str:
    fields = "; ".join(f"{name}: {', '.join(lines)}" for name, lines in errors.items())
    return ": ".join(filter(None, (status, code, message, fields)))


def _error_class(status: int, *, from_api: bool) -> type[ApiError]:
    if status in ERRORS:
        return ERRORS[status]
    if status >= SERVER_ERROR:
        return UnavailableError
    return RejectedError if status >= CLIENT_ERROR and from_api else ContractError


def _status_text(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _redirection_advice(headers: Mapping[str, str]) -> str:
    try:
        target = urlsplit(headers.get("location", ""))
        place = f"{target.scheme}://{target.netloc.rpartition('@')[2]}" if target.netloc else ""
    except ValueError:
        place = ""
    return f"Set the api_url to where the API is{f', perhaps {place}' if place else ''}"


def _error_members(body: bytes) -> tuple[str | None, str, dict[str, list[str]]] | None:
    """Return code, message, and messages by field; None if it is not the API's."""
    if not body.strip():
        return None, "", {}
    try:
        decoded = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError):
        return None
    if not isinstance(decoded, dict):
        return None
    members = cast("dict[str, Any]", decoded)
    code, message = members.get("code"), members.get("message")
    return (
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
    """Return *text* on one line, bounded: it comes from outside and goes into the log."""
    cut = text if len(text) <= MAX_MESSAGE_CHARS else f"{text[:MAX_MESSAGE_CHARS]}..."
    return "".join(char if char.isprintable() else " " for char in cut)
