"""The limits of a collector, each with its unit in its name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB


class MetricsFor(StrEnum):
    """Who may read `/metrics`."""

    LOOPBACK = "loopback"
    """Whoever is on this machine, and did not come through a proxy."""
    TOKEN = "token"  # noqa: S105 - a word, no secret
    """Whoever carries an account's token."""
    ALL = "all"
    """Everybody."""
    NONE = "none"
    """Nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one collector takes and does.

    Rates are counted for each process, and only for requests that came over a network.

    Attributes:
        max_body_bytes: Longest request body as it comes over the wire.
        max_decompressed_bytes: Longest body after `Content-Encoding: gzip` was undone.
        max_bulk_items: Most operations in one bulk request.
        max_bulk_s: After so many seconds no further operation of a bulk request begins.
        max_answer_bytes: Nor when the answers of those before are longer together.
        max_depth: How deep objects and arrays may nest in one payload.
        max_header_bytes: Longest head of a request: its first line and its headers.
        max_headers: Most headers of one request.
        max_requests_per_s: Most requests a second with one token, over some seconds; 0 is no limit.
        max_failures_per_minute: Most requests a minute from one address whose token was refused;
            0 is no limit.
        max_connections: Most connections at once, in each process. So many more may wait to be told
            that they are too many; what is beyond is closed.
        head_timeout_s: A request's head must have come whole so many seconds after its beginning,
            or after the connection was made; a TLS handshake has as long before.
        body_timeout_s: A request's body must have come whole so many seconds after its head.
        metrics: Who may read `/metrics`.
        create_agents: Whether a registration that names an agent by an unknown id creates it.
            Local mode does, so that a program set up for a server runs without it; a server
            answers 404, which the clients of the API expect (CONTRACT.md section 18, row 4).
    """

    max_body_bytes: int = 16 * MIB
    max_decompressed_bytes: int = 32 * MIB
    max_bulk_items: int = 10_000
    max_bulk_s: int = 5
    max_answer_bytes: int = 64 * MIB
    max_depth: int = 100
    max_header_bytes: int = 64 * KIB
    max_headers: int = 100
    max_requests_per_s: int = 5000
    max_failures_per_minute: int = 60
    max_connections: int = 1000
    head_timeout_s: int = 10
    body_timeout_s: int = 60
    metrics: str = MetricsFor.LOOPBACK
    create_agents: bool = False
