"""Request bodies: read whole, within limits, whatever the content type says."""

from __future__ import annotations

import zlib
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request

from remit._zstd import zstd
from remit.collector.refusals import Refusal, malformed, too_large
from remit.collector.settings import Settings

GZIP: Final = "gzip"
ZSTD: Final = "zstd"
# 8 MiB, which RFC 8878 asks every reader to hold; by default a request might make it 128.
MAX_WINDOW_LOG: Final = 23
MAX_MEMBERS: Final = 1024
"""So many gzip members may follow each other; programs that write blocks need 512 for 32 MiB."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_PART_BYTES: Final = 64 * 1024


async def read_body(request: Request, settings: Settings) -> bytes:
    """Return the body, decompressed if it came so.

    Raises:
        Refusal: 400, 413 or 415.
        ClientDisconnect: The client went away before the end.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    parts: list[bytes] = []
    size = 0
    # What is left of a body that is too long, the server reads and throws away.
    async for part in request.stream():
        size += len(part)
        if size > settings.max_body_bytes:
            raise too_large(f"the body is longer than {settings.max_body_bytes} bytes")
        parts.append(part)
    body = b"".join(parts)
    if encoding in {"identity", ""}:
        return body
    if encoding not in accepted():
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            f"the body's content encoding must be {' or '.join([*accepted(), 'identity'])}",
        )
    return (unzip if encoding == GZIP else unpack)(body, settings.max_decompressed_bytes)


@cache
def accepted() -> tuple[str, ...]:
    """Return the names of the ways in which a body may be compressed, the best first."""
    return (GZIP,) if zstd() is None else (ZSTD, GZIP)


def unzip(body: bytes, max_bytes: int) -> bytes:
    """Return *body* decompressed, never more than *max_bytes*.

    Raises:
        Refusal: 400, it is no gzip; 413, it would be longer.
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


def unpack(body: bytes, max_bytes: int) -> bytes:
    """Return *body*, compressed as Zstandard, decompressed, never more than *max_bytes*.

    Raises:
        Refusal: 400, it is no Zstandard; 413, it would be longer.
    """
    module: Any = zstd()
    options = {module.DecompressionParameter.window_log_max: MAX_WINDOW_LOG}
    whole = bytearray()
    while body:
        frame = module.ZstdDecompressor(options=options)
        try:
            whole += frame.decompress(body, max_bytes + 1 - len(whole))
        except module.ZstdError as error:
            raise malformed("the body is not zstd, as its content encoding says") from error
        if len(whole) > max_bytes:
            raise too_large(f"the body is longer than {max_bytes} bytes when decompressed")
        if not frame.eof:
            raise malformed("the compressed body ends too early")
        body = frame.unused_data
    return bytes(whole)
