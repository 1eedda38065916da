"""remit: `@remit.span_type` in a run of an agent, with its spool, delivered to the sink."""

from __future__ import annotations

from typing import Any

import remit
from benchmarks.peers import FLUSH_S, Peer, Place

ROOMY_BYTES = 1 << 30


def start(place: Place) -> Peer:
    """Return remit with its defaults; by default the buffer holds 64 MiB."""
    room: dict[str, Any] = {"max_buffer_bytes": ROOMY_BYTES} if place.roomy else {}
    remit.configure(
        api_url=place.url, api_token="benchmark", data_dir=place.folder / "data", **room
    )

    @remit.agent
    def agent() -> None:
        """Hold the runs."""

    return Peer(decorate=remit.span_type, run=agent.run, flush=lambda: remit.flush(FLUSH_S))
