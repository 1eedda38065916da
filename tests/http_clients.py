"""The two HTTP clients behind one signature, for tests that both must pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import pytest

from tests.inside import AsyncHttpClient, Call, HttpClient, described, httpx

TOKEN = "pf_0123456789abcdef"
PONG = {"status": "success", "details": {"token_scope": "account"}}
PING = described.ping()
WRITE: Call[Any] = described.record_quality("i", name="n", payload={"note": "s3cret"})
Result: TypeAlias = Any
"""What a call returns."""
Handler = Callable[[httpx.Request], httpx.Response]
TIMEOUT_S = 60.0


class Sends(Protocol):
    """Sends a call by a new client."""

    async def __call__(
        self,
        call: Call[Any],
        *,
        url: str = "http://api.example",
        handler: Handler | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Result:
        """Return the result of *call*."""
        ...


async def through_http(
    call: Call[Any],
    *,
    url: str = "http://api.example",
    handler: Handler | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Result:
    """Send by `HttpClient`."""
    transport = httpx.MockTransport(handler) if handler else None
    http = HttpClient(url, TOKEN, transport=transport, timeout_s=timeout_s)
    try:
        return http.send(call)
    finally:
        http.close()


async def through_async_http(
    call: Call[Any],
    *,
    url: str = "http://api.example",
    handler: Handler | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Result:
    """Send by `AsyncHttpClient`."""
    transport = httpx.MockTransport(handler) if handler else None
    http = AsyncHttpClient(url, TOKEN, transport=transport, timeout_s=timeout_s)
    try:
        return await http.send(call)
    finally:
        await http.aclose()


both = pytest.mark.parametrize("send", [through_http, through_async_http], ids=["sync", "async"])


def answering(content: bytes, status: int = 200, encoding: str = "identity") -> Handler:
    """Return a handler that always answers the same."""
    headers = {"Content-Encoding": encoding, "Date": "Thu, 01 Jan 2026 12:00:00 GMT"}
    return lambda _request: httpx.Response(status, content=content, headers=headers)


def hides_everything(error: BaseException) -> None:
    """Assert that neither token nor payload is in *error*, or in what a log prints with it."""
    cause: BaseException | None = error
    while cause is not None:
        shown = f"{cause!s} {cause!r} {vars(cause)}"
        assert TOKEN not in shown
        assert "s3cret" not in shown
        assert not hasattr(cause, "request")
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
