"""Request bodies: read whole, within limits, whatever the content type says."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from http import HTTPStatus
from typing import Final

from starlette.requests import Request

from remit.collector.refusals import RequestError, malformed, too_large
from remit.collector.settings import Settings
from remit.collector.wire import check_values

GZIP: Final = "gzip"
MAX_MEMBERS: Final = 1024
"""So many gzip members may follow each other; programs that write blocks need 512 for 32 MiB."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_PART_BYTES: Final = 64 * 1024


class _Held:
    """How many bytes one request holds."""

    count = 0


class Bodies:
    """Reads the bodies of requests; what all of them take together is bounded."""

    def __init__(self, settings: Settings) -> None:
        """Keep within the limits of *settings*."""
        self._settings = settings
        self._pending_bytes = 0

    @asynccontextmanager
    async def of(self, request: Request) -> AsyncGenerator[bytes]:
        """Yield the body, decompressed; its bytes count as pending until the block ends.

        Raises:
            RequestError: 400, 408, 413, 415 or 503.
            ClientDisconnect: The client went away before the end.
        """
        held = _Held()
        try:
            yield await self._read(request, held)
        finally:
            self._pending_bytes -= held.count

    async def _read(self, request: Request, held: _Held) -> bytes:
        settings = self._settings
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        parts: list[bytes] = []
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > settings.max_body_bytes:
            raise self._too_long()
        # A request from within the process has no event loop, and never waits.
        remote = request.client is not None
        try:
            async with asyncio.timeout(settings.body_timeout_s) if remote else nullcontext():
                # The server discards what is left of a body that is too long.
                async for part in request.stream():
                    self._hold(len(part), held)
                    if held.count > settings.max_body_bytes:
                        raise self._too_long()
                    parts.append(part)
        except TimeoutError as error:
            raise RequestError(
                HTTPStatus.REQUEST_TIMEOUT,
                "request_timeout",
                f"the body did not arrive within {settings.body_timeout_s} seconds",
                headers={"Connection": "close"},
            ) from error
        body = b"".join(parts)
        if encoding not in {"identity", ""}:
            if encoding != GZIP:
                raise RequestError(
                    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                    "unsupported_media_type",
                    "the body's content encoding must be gzip or identity",
                )
            body = unzip(body, settings.max_body_bytes)
            self._hold(len(body), held)
        check_values(body, settings.max_body_values)
        return body

    def _too_long(self) -> RequestError:
        return too_large(f"the body is longer than {self._settings.max_body_bytes} bytes")

    def _hold(self, count: int, held: _Held) -> None:
        """Count bytes as pending.

        Raises:
            RequestError: 503, there are too many.
        """
        held.count += count
        self._pending_bytes += count
        if self._pending_bytes > self._settings.max_pending_bytes:
            raise RequestError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "unavailable",
                "too many request bodies are being read at once: try again later",
                headers={"Retry-After": "1"},
            )


def unzip(body: bytes, max_bytes: int) -> bytes:
    """Return *body* decompressed, never more than *max_bytes*.

    Raises:
        RequestError: 400, it is no gzip; 413, it would be longer.
    """
    whole = bytearray()
    members, member = 0, None
    # In parts: what follows a member is copied each time one ends.
    for start in range(0, len(body), _PART_BYTES):
        rest = body[start : start + _PART_BYTES]
        while rest:
            if member is None:
                members, member = members + 1, zlib.decompressobj(_GZIP)
            if members > MAX_MEMBERS:
                raise too_large(f"the body is more than {MAX_MEMBERS} gzip members")
            try:
                whole += member.decompress(rest, max_bytes + 1 - len(whole))
            except zlib.error as error:
                raise malformed("the body is not gzip, as its content encoding says") from error
            if len(whole) > max_bytes:
                raise too_large(f"the body is longer than {max_bytes} bytes when decompressed")
            rest = member.unused_data
            if member.eof:
                member = None
    if member is not None:
        raise malformed("the compressed body ends too early")
    return bytes(whole)
