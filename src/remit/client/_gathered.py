"""The body of an answer while it comes, up to a limit."""

from __future__ import annotations

from typing import Any, Final

from remit._endpoints import Call
from remit.client._target import Answer
from remit.errors import ContractError

# A page of 100 spans with payloads and results at their limit is 13 MB.
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024

LISTS: Final = ("/agent_instance", "/agent_spans")
BULK: Final = "/bulk"


def remedy(call: Call[Any]) -> str:
    """Return what to do about an answer to *call* that is too long."""
    if call.method == "GET" and call.path.endswith(LISTS):
        return "Ask for less with page_size, or check the api_url"
    if call.path.endswith(BULK):
        return "Put fewer items into one call (max_batch_items), or check the api_url"
    return "The API answers this call in a few lines: check the api_url, for something else does"


class Gathered:
    """What came of an answer so far."""

    def __init__(self, where: str, call: Call[Any]) -> None:
        """Start empty; *where* is the *call* in words."""
        self._where = where
        self._call = call
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> None:
        """Take the next part.

        Raises:
            ContractError: The answer is too large.
        """
        self._parts.append(chunk)
        self._size += len(chunk)
        if self._size > MAX_ANSWER_BYTES:
            raise ContractError(
                f"{self._where}: the answer is longer than {MAX_ANSWER_BYTES} bytes. "
                f"{remedy(self._call)}"
            )

    def answer(self, status: int, headers: dict[str, str]) -> Answer:
        """Return the whole answer."""
        return Answer(status, headers, b"".join(self._parts))
