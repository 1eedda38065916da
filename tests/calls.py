"""Our calls with the arguments of the published clients' requests."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from tests.inside import Call, described
from tests.vectors import Exchange, exchanges

Write: TypeAlias = Callable[..., Call[Any]]


def named(exchange: Exchange) -> str:
    """Return the id in the path of *exchange*."""
    found = re.search(r"/([0-9a-z]{32})/", exchange.path)
    assert found
    return found[1]


def again(exchange: Exchange) -> Call[Any]:
    """Return our call with the arguments of a published client's request."""
    sent: Any = exchange.body
    query = dict(parse_qsl(exchange.path.partition("?")[2]))

    def on_one(function: Write) -> Call[Any]:
        return function(named(exchange), **sent)

    calls: dict[str, Write] = {
        "GET /api/v1/ping": described.ping,
        "GET /api/v1/agent_instance/{id}": lambda: described.get_instance(exchange.path[-32:]),
        "GET /api/v1/agent/show": lambda: described.show_agent(**query),
        "POST /api/v1/agent_instance/register": lambda: described.register_instance(**sent),
        "POST /api/v1/agent": lambda: described.create_agent(**sent["details"]),
        "POST /api/v1/agent_spans": lambda: described.create_span(**sent["details"]),
        "POST /api/v1/bulk": lambda: described.bulk(sent["items"]),
        "POST /api/v1/agent_instance/{id}/start": partial(on_one, described.start_instance),
        "POST /api/v1/agent_instance/{id}/finish": partial(on_one, described.finish_instance),
        "POST /api/v1/agent_instance/{id}/record_quality": partial(
            on_one, described.record_quality
        ),
        "POST /api/v1/agent_spans/{id}/finish": partial(on_one, described.finish_span),
    }
    return calls[exchange.endpoint]()


# What the client of this package does not offer.
NOT_OURS = ("/agent/{id}", "/retire", "/reinstate", "GET /api/v1/agent")
OURS = [
    exchange
    for client in ("http-latest", "http-0.1.2", "core-latest")
    for exchange in exchanges(client)
    if not exchange.endpoint.endswith(NOT_OURS)
]
