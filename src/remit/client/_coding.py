"""Compressed request bodies, for a server that says that it takes them, and is not on this machine.

Source: RFC 9110 section 12.5.3: `Accept-Encoding` in an answer names what later requests may have.
Without that word of the server's nothing is compressed: the contract promises nothing of the kind.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from remit._zstd import zstd
from remit.config import is_loopback

GZIP: Final = "gzip"
ZSTD: Final = "zstd"
# 500 spans of 235 KB: 0.1 ms and 13 KB by zstd, 0.4 ms and 21 KB by gzip; a higher level takes
# twice as long for a tenth less.
LEVEL: Final = 1
_GZIP_FORMAT: Final = 16 + zlib.MAX_WBITS
# What is shorter fits into a few packets as it is.
MIN_BYTES: Final = 4_096
ANSWER_HEADER: Final = "accept-encoding"
UNSUPPORTED: Final = 415
REQUEST_HEADER: Final = "Content-Encoding"

_refused: Final = re.compile(r"q=0(\.0*)?")


class Coding:
    """How bodies to one server are compressed, as far as is known."""

    def __init__(self, url: str, *, in_process: bool) -> None:
        """Compress nothing yet; never to this machine, where bytes cost less than packing them."""
        self._worth = not (in_process or is_loopback(urlsplit(url).hostname or ""))
        self._name: str | None = None

    def packed(self, body: bytes | None) -> tuple[bytes | None, dict[str, str]]:
        """Return *body* as it is sent, and the header that says so."""
        if self._name is None or body is None or len(body) < MIN_BYTES:
            return body, {}
        module = zstd() if self._name == ZSTD else None
        if module is not None:
            return module.compress(body, LEVEL), {REQUEST_HEADER: ZSTD}
        return zlib.compress(body, LEVEL, _GZIP_FORMAT), {REQUEST_HEADER: GZIP}

    def heeds(self, status: int, headers: Mapping[str, str], sent: Mapping[str, str]) -> bool:
        """Take note of what an answer says of compression, if it says anything.

        Args:
            status: HTTP status.
            headers: Of the answer, names in lower case.
            sent: Headers of the request, names in whatever case.

        Returns:
            Whether the request was refused because it was compressed, and is to be sent once more
            as it is: this server never gets another one that is.
        """
        if status == UNSUPPORTED and REQUEST_HEADER in sent:
            self._worth, self._name = False, None
            return True
        said = headers.get(ANSWER_HEADER)
        if said is not None and self._worth:
            self._name = _best(said)
        return False


def _best(said: str) -> str | None:
    names = {
        name.strip()
        for name, _, weight in (each.partition(";") for each in said.lower().split(","))
        if not _refused.fullmatch(weight.strip())
    }
    if ZSTD in names and zstd() is not None:
        return ZSTD
    return GZIP if GZIP in names else None
