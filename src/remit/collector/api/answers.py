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


async def _gone(request: Request, error: Exception) -> Response:
    """Answer a client that closed the connection before it had sent everything."""
    del request, error
    return Response(status_code=HTTPStatus.BAD_REQUEST)


async def _failed(request: Request, error: Exception) -> Response:
    """Answer a request on which the collector failed; only the server's log has the reason."""
    del error
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return _noted(request, RequestError(status, "internal_error", "the collector failed"))


def _noted(request: Request, refusal: RequestError) -> Response:
    request.scope[CODE] = refusal.code
    return envelope(refusal)


# Coroutines: starlette would run plain functions in a worker thread.
exception_handlers: Final[Mapping[type[Exception], ExceptionHandler]] = {
    RequestError: _refused,
    HTTPException: _unknown,
    ClientDisconnect: _gone,
    Exception: _failed,
}
