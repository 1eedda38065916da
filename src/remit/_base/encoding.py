"""Encoding that survives a lack of memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Encoder(Protocol):
    """An encoder of msgspec, of JSON or of MessagePack."""

    def encode_into(self, value: object, buffer: bytearray, /) -> None:
        """Write the encoding of *value* to *buffer*."""
        ...


def growing(encoder: Encoder) -> Callable[[object], bytes]:
    """Return a function that encodes values of any size by *encoder*.

    It raises `MemoryError` when there is no memory for the encoding. With `encode` of msgspec 0.22
    the process ends there, by a segmentation fault, when its own buffer cannot grow.
    """
    encode_into = encoder.encode_into

    def encode(value: object, /) -> bytes:
        buffer = bytearray()
        encode_into(value, buffer)
        return bytes(buffer)

    return encode
