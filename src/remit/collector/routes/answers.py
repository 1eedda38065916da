"""Answers: JSON always, an envelope always, nothing of the inside ever."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from remit.collector.refusals import RequestError
from remit.collector.routes.bodies import GZIP
from remit.collector.store import StoreUnavailableError, TooSlowError
from remit.collector.views import error_answer

RETRY_AFTER_S: Final = 1
ACCEPTED: Final = {"Accept-Encoding": GZIP}
"""Says how a client may compress what it sends (RFC 9110, section 12.5.3)."""
CODE: Final = "remit.code"
"""Where the scope of a request says why it was refused."""


def answer(body: bytes) -> Response:
    """Return an answer to a request that was carried out."""
    return Response(body, headers=ACCEPTED, media_type="application/json")


def envelope(refusal: RequestError) -> Response:
    """Return the answer to a request that was not carried out."""
    return Response(
        error_answer(refusal),
        refusal.status,
        headers={**ACCEPTED, **(refusal.headers or {})},
        media_type="application/json",
    )


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)  # noqa: S101 - starlette looks the handler up by the type
    return _noted(request, error)


async def _unknown(request: Request, error: Exception) -> Response:
    """Answer a request that no route took."""
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    status = HTTPStatus(error.status_code)
    messages = {
        HTTPStatus.NOT_FOUND: "there is no such path",
        HTTPStatus.METHOD_NOT_ALLOWED: f"this path does not take {request.method}",
    }
    code = status.phrase.lower().replace(" ", "_")
    message = messages.get(status, status.phrase)
    return _noted(request, RequestError(status, code, message, headers=error.headers))


async def _unavailable(request: Request, error: Exception) -> Response:
    """Answer a request that may succeed later; the service has said why, once."""
    del error
    return _noted(
        request,
        RequestError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "unavailable",
            "the database cannot be used now: try again",
            headers={"Retry-After": str(RETRY_AFTER_S)},
        ),
    )


async def _too_slow(request: Request, error: Exception) -> Response:
    """Answer a request for which a query exceeded the time limit of the database."""
    del error
    return _noted(
        request,
        RequestError(
            HTTPStatus.GATEWAY_TIMEOUT,
            "timeout",
            "the database took too long for this: ask for less, such as a shorter time, one run "
            "or a smaller page",
        ),
    )


async def _gone(request: Request, error: Exception) -> Response:
    """Answer nobody: the client went away before it had sent everything."""
    del request, error
    return Response(status_code=HTTPStatus.BAD_REQUEST)


async def _failed(request: Request, error: Exception) -> Response:
    """Answer a request on which we failed; the server's log has the reason, the answer has not."""
    del error
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return _noted(request, RequestError(status, "internal_error", "the collector failed"))


def _noted(request: Request, refusal: RequestError) -> Response:
    request.scope[CODE] = refusal.code
    return envelope(refusal)


# Coroutines all: a plain function would be run by starlette in a worker thread.
exception_handlers: Final[Mapping[type[Exception], ExceptionHandler]] = {
    RequestError: _refused,
    HTTPException: _unknown,
    TooSlowError: _too_slow,
    StoreUnavailableError: _unavailable,
    ClientDisconnect: _gone,
    Exception: _failed,
}
