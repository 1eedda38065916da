"""Answers to requests that no endpoint of the API takes: JSON and an envelope, as all others."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from remit.collector.api.asgi import CODE
from remit.collector.api.dispatch import HEADERS, refused
from remit.collector.errors import RequestError


def answer(body: bytes) -> Response:
    """Return an answer to a request that was carried out."""
    return Response(body, headers=HEADERS)


def envelope(refusal: RequestError) -> Response:
    """Return the answer to a request that was not carried out."""
    response = refused(refusal)
    return Response(response.body, response.status, response.headers)


def _refusal(method: str, error: Exception) -> RequestError:
    if isinstance(error, RequestError):
        return error
    if isinstance(error, HTTPException):
        # No route takes the request.
        status = HTTPStatus(error.status_code)
        messages = {
            HTTPStatus.NOT_FOUND: "there is no such path",
            HTTPStatus.METHOD_NOT_ALLOWED: f"this path does not take {method}",
        }
        code = status.phrase.lower().replace(" ", "_")
        message = messages.get(status, status.phrase)
        return RequestError(status, code, message, headers=error.headers)
    # Only the server's log has the reason.
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return RequestError(status, "internal_error", "the collector failed")


# A coroutine: starlette would run a plain function in a worker thread.
async def _answered(request: Request, error: Exception) -> Response:
    if isinstance(error, ClientDisconnect):
        return Response(status_code=HTTPStatus.BAD_REQUEST)
    refusal = _refusal(request.method, error)
    request.scope[CODE] = refusal.code
    return envelope(refusal)


exception_handlers: Final[Mapping[type[Exception], ExceptionHandler]] = dict.fromkeys(
    (RequestError, HTTPException, ClientDisconnect, Exception), _answered
)
