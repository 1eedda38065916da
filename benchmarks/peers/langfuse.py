"""Langfuse: `@observe`, with arguments and result, over OTLP and HTTP."""

from __future__ import annotations

import importlib
from typing import Any

from benchmarks.peers import Peer, Place
from benchmarks.peers.opentelemetry import make_roomy


def start(place: Place) -> Peer:
    """Return Langfuse as it comes."""
    make_roomy(place)
    # Its types are incomplete.
    langfuse: Any = importlib.import_module("langfuse")
    client = langfuse.Langfuse(
        public_key="pk-lf-benchmark", secret_key="sk-lf-benchmark", base_url=place.url
    )
    return Peer(
        decorate=langfuse.observe(),
        run=lambda: client.start_as_current_observation(as_type="span", name="run"),
        flush=client.flush,
    )
