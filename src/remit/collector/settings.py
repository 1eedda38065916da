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

    Rates are counted in each process, for requests that arrive over a network.

    Attributes:
        max_body_bytes: Longest request body, as received and decompressed.
        max_body_values: Most JSON values in one request body.
        max_pending_bytes: Most bytes of request bodies in memory at once, in each process.
        body_timeout_s: Seconds within which the body of a request must arrive.
        max_bulk_items: Most operations in one bulk request.
        max_bulk_s: Seconds after which no further operation of a bulk request begins.
        max_response_bytes: Bytes of its responses after which none begins. A page of spans ends
            before the span whose payloads would make it longer.
        max_depth: How deep objects and arrays may nest in one payload.
        max_requests_per_s: Most requests a second with one token; 0 means no limit.
        max_connections: Most connections at once, in each process.
        metrics: Who may read `/metrics`.
        create_agents: Whether a registration with an unknown agent id creates the agent. Local
            mode does, so that a program set up for a server runs without it. A server returns 404,
            which clients of the API expect.
        retain: Age from which a server deletes spans and runs; None keeps them.
        retain_payloads: Age from which a server deletes the payloads of spans.
        prices: Prices of models, from which costs are derived.
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
