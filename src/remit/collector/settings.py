"""The limits of a collector, each with its unit in its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one collector takes and does.

    Attributes:
        max_body_bytes: Longest request body as it comes over the wire.
        max_decompressed_bytes: Longest body after `Content-Encoding: gzip` was undone.
        max_bulk_items: Most operations in one bulk request.
        max_depth: How deep objects and arrays may nest in one payload.
        create_agents: Whether a registration that names an agent by an unknown id creates it.
            Local mode does, so that a program set up for a server runs without it; a server
            answers 404, which the clients of the API expect (CONTRACT.md section 18, row 4).
    """

    max_body_bytes: int = 16 * MIB
    max_decompressed_bytes: int = 32 * MIB
    max_bulk_items: int = 10_000
    max_depth: int = 100
    create_agents: bool = False
