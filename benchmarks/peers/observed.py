"""Langfuse: `@observe`, with arguments and result, over OTLP and HTTP."""

from __future__ import annotations

import importlib
from typing import Any

from benchmarks.peers.base import Peer, Place
from benchmarks.peers.opentelemetry import make_roomy


def start(place: Place) -> Peer:
    """Return Langfuse as it comes."""
    make_roomy(place)
    # Its types are not complete, so that they are taken as they come.
    langfuse: Any = importlib.import_module("langfuse")
    keys = {"public_key": "pk-lf-benchmark", "secret_key": "sk-lf-benchmark"}
    client = langfuse.Langfuse(**keys, base_url=place.url)
    return Peer(
        decorate=langfuse.observe(),
        run=lambda: client.start_as_current_observation(as_type="span", name="run"),
        flush=client.flush,
    )
