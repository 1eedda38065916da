"""The limits of a collector, each with its unit in its name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from remit.collector.prices import Prices

KIB: Final = 1024
MIB: Final = 1024 * KIB


class MetricsFor(StrEnum):
    """Who may read `/metrics`."""

    TOKEN = "token"  # noqa: S105 - a word, no secret
    """Clients with a token of the account."""
    ALL = "all"
    """All clients that can reach the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The limits of one collector.

    Each process counts requests separately, and counts only requests that arrive over a network.

    Attributes:
        max_body_bytes: Maximum size in bytes of a request body, both as received and after
            decompression.
        max_body_values: Maximum number of JSON values in one request body.
        max_pending_bytes: Maximum bytes of request bodies that one process holds in memory at the
            same time.
        body_timeout_s: Number of seconds within which a request body must arrive.
        max_bulk_items: Maximum number of operations in one bulk request.
        max_bulk_s: Time in seconds after which a bulk request starts no more operations.
        max_response_bytes: Size in bytes of the responses after which a bulk request does not start
            further operations. A page of spans ends before it would exceed this size.
        max_depth: Maximum nesting depth of objects and arrays in one payload.
        max_requests_per_s: Maximum requests per second with one token. 0 means no limit.
        max_connections: Maximum number of simultaneous connections in each process.
        metrics: Who may read `/metrics`.
        create_agents: Whether a registration with an unknown agent id creates the agent. Local mode
            creates it, so that a program with an agent id from a server also runs without the
            server. A server returns 404 instead, as clients of the API expect.
        retain: Age at which a server deletes spans and runs. None means that they are kept.
        retain_payloads: Age at which a server deletes the payloads of spans.
        prices: Model prices, from which costs are derived.
    """

    max_body_bytes: int = 8 * MIB
    max_body_values: int = 250_000
    max_pending_bytes: int = 64 * MIB
    body_timeout_s: int = 60
    max_bulk_items: int = 10_000
    max_bulk_s: float = 0.5
    max_response_bytes: int = 8 * MIB
    max_depth: int = 100
    max_requests_per_s: int = 0
    max_connections: int = 1000
    metrics: str = MetricsFor.TOKEN
    create_agents: bool = False
    retain: timedelta | None = None
    retain_payloads: timedelta | None = None
    prices: Prices | None = None
