"""An httpx transport that calls a function in this process on the calling thread.

The function is the collector's dispatch. It can be called from any thread, inside a running event
loop, and while the interpreter exits, when no thread can be started any more.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeAlias

from remit._base.guard import guarded
from remit.client._library import httpx

FAILURE: Final = (
    b'{"status":"error","code":"internal_error",'
    b'"message":"the collector inside this process failed; the log has the kind of error"}'
)


class LocalResponse(Protocol):
    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def body(self) -> bytes: ...


Handle: TypeAlias = Callable[[str, str, Mapping[str, str], Mapping[str, str], bytes], LocalResponse]
"""Handles a request: method, path, query, headers with names in lower case, body."""


class InProcessTransport(httpx.BaseTransport):
    """An httpx transport without a port, a thread or an event loop; usable from several threads."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response; a 500 if *handle* raises, which is counted and logged."""
        # A copy: changes of the context in the function do not reach the caller.
        answer = contextvars.copy_context().run(_answer, self._handle, request)
        if answer is None:
            headers = {"content-type": "application/json"}
            return httpx.Response(500, headers=headers, stream=httpx.ByteStream(FAILURE))
        body = httpx.ByteStream(answer.body)
        return httpx.Response(answer.status, headers=dict(answer.headers), stream=body)


@guarded("the collector inside this process")
def _answer(handle: Handle, request: httpx.Request) -> LocalResponse:
    url = request.url
    return handle(request.method, url.path, dict(url.params), dict(request.headers), request.read())
