"""Delivering: from the buffer to the outbox, and from the outbox to the API.

Two threads: the writer moves and never touches the network, the sender sends and never touches
the buffer. Both start with the first run.
"""

from __future__ import annotations

from remit._delivery.calls import Client
from remit._delivery.circuit import without_credentials
from remit._delivery.delivery import Delivery

__all__ = [
    "Client",
    "Delivery",
    "without_credentials",
]
