"""Request bodies, decompressed, with a limit for each and one for all in memory."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from remit.collector.errors import RequestError, malformed, too_large
from remit.collector.json_io import JsonText, read_body
from remit.collector.settings import Settings

GZIP: Final = "gzip"
MAX_MEMBERS: Final = 1024
"""Maximum number of gzip members; programs that write blocks need 512 for 32 MiB."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_PART_BYTES: Final = 64 * 1024


class PendingBytes:
    """The bytes of all bodies of this process that are being read or worked on."""

    def __init__(self, most: int) -> None:
        """Allow *most* bytes at once."""
        self._most = most
        self._count = 0
        self._lock = threading.Lock()

    @contextmanager
    def counted(self) -> Generator[Callable[[int], None]]:
        """Return a block for one request; the function adds bytes until the block ends.

        The function raises a `RequestError` (503) if there are too many.
        """
        held = 0

        def hold(count: int) -> None:
            nonlocal held
            with self._lock:
                held += count
                self._count += count
                exceeded = self._count > self._most
            if exceeded:
                raise RequestError(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "unavailable",
                    "too many request bodies are being read at once: try again later",
                    headers={"Retry-After": "1"},
                )

        try:
            yield hold
        finally:
            with self._lock:
                self._count -= held


def too_long(settings: Settings) -> RequestError:
    """Return the error for a body that is too long."""
    return too_large(f"the body is longer than {settings.max_body_bytes} bytes")


def decoded(
    body: bytes,
    headers: Mapping[str, str],
    settings: Settings,
    hold: Callable[[int], None] | None = None,
) -> JsonText:
    """Return *body* without its content encoding, read by `read_body`.

    Args:
        headers: Names in lower case.
        hold: Called with the length of a decompressed body.

    Raises:
        RequestError: 400, 413, 415 or 503.
    """
    if len(body) > settings.max_body_bytes:
        raise too_long(settings)
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", ""}:
        if encoding != GZIP:
            raise RequestError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the body's content encoding must be gzip or identity",
            )
        body = unzip(body, settings.max_body_bytes)
        if hold is not None:
            hold(len(body))
    return read_body(body, settings.max_body_values)


def unzip(body: bytes, max_bytes: int) -> bytes:
    """Return *body* decompressed, never more than *max_bytes*.

    Raises:
        RequestError: 400, it is not gzip; 413, it would be longer.
    """
    whole = bytearray()
    members, member = 0, None
    # In parts: the rest is copied each time a member ends.
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
