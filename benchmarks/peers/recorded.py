"""remit: `@remit.span_type` in a run of an agent, with its defaults, delivered to the sink."""

from __future__ import annotations

from typing import Any

import remit
from benchmarks.peers.base import FLUSH_S, Peer, Place

ROOMY_BYTES = 1 << 30


def _start(settings: dict[str, Any]) -> Peer:
    remit.configure(**settings)

    @remit.agent
    def agent() -> None:
        """Hold the runs."""

    return Peer(decorate=remit.span_type, run=agent.run, flush=lambda: remit.flush(FLUSH_S))


def _settings(place: Place) -> dict[str, Any]:
    # By default the buffer holds 64 MiB, and gives up payloads first.
    room = {"max_buffer_bytes": ROOMY_BYTES} if place.roomy else {}
    return {
        "api_url": place.url,
        "api_token": "benchmark",
        "data_dir": place.folder / "data",
        **room,
    }


def start(place: Place) -> Peer:
    """Return remit as it comes, with its spool."""
    return _start(_settings(place))


def start_without_spool(place: Place) -> Peer:
    """Return remit where no spool can be: a file stands in the place of its folder."""
    stands_there = place.folder / "file"
    stands_there.touch()
    return _start({**_settings(place), "data_dir": stands_there})


def start_local(place: Place) -> Peer:
    """Return remit in local mode: the collector runs inside the process, on a file."""
    return _start({"mode": "local", "data_dir": place.folder / "data"})


def start_off(place: Place) -> Peer:
    """Return remit switched off."""
    return _start({"mode": "off", "data_dir": place.folder / "data"})
