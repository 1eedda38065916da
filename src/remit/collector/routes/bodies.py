"""Request bodies: read whole, within limits, whatever the content type says."""

from __future__ import annotations

import zlib
from contextlib import suppress
from http import HTTPStatus
from typing import Final

from starlette.requests import ClientDisconnect, Request

from remit.collector.refusals import Refusal, malformed, too_large
from remit.collector.settings import Settings

# What a refused client still sends is read and thrown away up to here, because most clients look
# for the answer only when they have sent everything.
MAX_DRAINED_BYTES: Final = 64 * 1024 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS
_READ: Final = "remit.body_read"


async def read_body(request: Request, settings: Settings) -> bytes:
    """Return the body, decompressed if it came so.

    Raises:
        Refusal: 400, 413 or 415.
        ClientDisconnect: The client went away before the end.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    parts: list[bytes] = []
    size = 0
    while not request.scope.get(_READ):
        part = await _part(request)
        size += len(part)
        if size > settings.max_body_bytes:
            raise too_large(f"the body is longer than {settings.max_body_bytes} bytes")
        parts.append(part)
    body = b"".join(parts)
    if encoding in {"identity", ""}:
        return body
    if encoding != "gzip":
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "the body's content encoding must be gzip or identity",
        )
    return unzip(body, settings.max_decompressed_bytes)


async def drain(request: Request) -> None:
    """Read what is left of a body that nobody wants, within a limit."""
    left = MAX_DRAINED_BYTES
    with suppress(ClientDisconnect):
        while left > 0 and not request.scope.get(_READ):
            left -= len(await _part(request))


async def _part(request: Request) -> bytes:
    """Return the next part of the body, and note in the request's scope whether it is the last.

    After the last part a server would wait for the client to go away, so nothing may ask again.
    """
    message = await request.receive()
    if message["type"] != "http.request":
        request.scope[_READ] = True
        raise ClientDisconnect
    request.scope[_READ] = not message.get("more_body", False)
    part: bytes = message.get("body", b"")
    return part


def unzip(body: bytes, max_bytes: int) -> bytes:
    """Return *body* decompressed, never more than *max_bytes*.

    Raises:
        Refusal: 400, it is no gzip; 413, it would be longer.
    """
    whole = bytearray()
    while body:
        member = zlib.decompressobj(_GZIP)
        try:
            whole += member.decompress(body, max_bytes + 1 - len(whole))
        except zlib.error as error:
            raise malformed("the body is not gzip, as its content encoding says") from error
        if len(whole) > max_bytes:
            raise too_large(f"the body is longer than {max_bytes} bytes when decompressed")
        if not member.eof:
            raise malformed("the compressed body ends too early")
        body = member.unused_data
    return bytes(whole)
