"""Reads the body of an answer while it arrives: decompresses it, and keeps to the call's limit."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from remit.client import _error_text
from remit.client._target import Answer
from remit.client.endpoints import Call, Outputs
from remit.errors import ContractError

LISTS: Final = ("/agent_instance", "/agent_spans")
BULK: Final = "/bulk"
GZIP: Final = "gzip"
_GZIP_FORMAT: Final = 16 + zlib.MAX_WBITS
# A decompressed body may be a thousand times as long as the compressed one.
PART_BYTES: Final = 65_536
KEPT_TIMES: Final = 4
"""Ten thousand outputs of a terminated run have 4 MiB without spans: each repeats the reason."""
OK, REDIRECTION = 200, 300


def remedy(call: Call[Any]) -> str:
    """Return the advice for an answer to *call* that is too long."""
    if call.method == "GET" and call.path.endswith(LISTS):
        return "Ask for less with page_size, or check the api_url"
    if call.path.endswith(BULK):
        return "Put fewer items into one call (max_batch_items), or check the api_url"
    return "The API answers this call in a few lines: check the api_url, for something else does"


class BodyReader:
    """Collects the body of one answer."""

    def __init__(
        self, where: str, place: str, call: Call[Any], status: int, headers: Mapping[str, str]
    ) -> None:
        """Start empty.

        Args:
            where: The call in words.
            place: Host and port.
            call: The call.
            status: HTTP status of the answer.
            headers: Its headers.
        """
        self._where = where
        self._place = place
        self._call = call
        self._status = status
        self._headers = {name.lower(): value for name, value in headers.items()}
        encoding = self._headers.get("content-encoding", "").strip().lower()
        self._inflate = zlib.decompressobj(_GZIP_FORMAT) if encoding == GZIP else None
        self._parts: list[bytes] = []
        self._size = 0
        self._outputs: Outputs | None = None

    def add(self, chunk: bytes) -> None:
        """Add the next part, compressed as it arrived.

        Raises:
            ContractError: The answer is too long, or cannot be decompressed.
        """
        for part in self._decompressed(chunk):
            self._take(part)

    def answer(self) -> Answer:
        """Return the whole answer."""
        body = b"".join(self._parts) if self._outputs is None else self._outputs.answer()
        return Answer(self._status, self._headers, body)

    def _decompressed(self, chunk: bytes) -> Iterator[bytes]:
        if self._inflate is None:
            yield chunk
            return
        while chunk:
            try:
                yield self._inflate.decompress(chunk, PART_BYTES)
            except zlib.error as error:
                reason = _error_text.sentence(
                    _error_text.NOT_PACKED, error, place=self._place, timeout_s=0
                )
                failure = ContractError(f"{self._where}: {reason}")
            else:
                chunk = self._inflate.unconsumed_tail
                continue
            raise failure

    def _take(self, part: bytes) -> None:
        if self._outputs is not None:
            self._outputs.add(part)
        else:
            self._parts.append(part)
            self._size += len(part)
            if self._size > self._call.limit_bytes and self._may_be_shortened():
                self._outputs = Outputs()
                self._outputs.add(b"".join(self._parts))
                self._parts.clear()
        if self._is_too_long():
            raise ContractError(
                f"{self._where}: the answer is longer than {self._call.limit_bytes} bytes. "
                f"{remedy(self._call)}"
            )

    def _is_too_long(self) -> bool:
        limit = self._call.limit_bytes
        if self._outputs is None:
            return self._size > limit
        return self._outputs.waiting_bytes > limit or self._outputs.kept_bytes > KEPT_TIMES * limit

    def _may_be_shortened(self) -> bool:
        return self._call.by_output and OK <= self._status < REDIRECTION
