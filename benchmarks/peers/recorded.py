"""remit: `@remit.span_type` in a run of an agent, with its defaults, delivered to the sink."""

from __future__ import annotations

import remit
from benchmarks.peers.base import FLUSH_S, MANY_ITEMS, Peer, Place


def _start(place: Place, **settings: object) -> Peer:
    remit.configure(
        api_url=place.url,
        api_token="benchmark",
        **{"data_dir": place.folder / "data", **settings},
    )

    @remit.agent
    def agent() -> None:
        """Hold the runs."""

    return Peer(decorate=remit.span_type, run=agent.run, flush=lambda: remit.flush(FLUSH_S))


def start(place: Place) -> Peer:
    """Return remit as it comes, with its spool."""
    return _start(place)


def start_without_spool(place: Place) -> Peer:
    """Return remit where no spool can be: a file stands in the place of its folder."""
    stands_there = place.folder / "file"
    stands_there.touch()
    room = {"max_buffer_bytes": MANY_ITEMS * 500} if place.roomy else {}
    return _start(place, data_dir=stands_there, **room)


def start_local(place: Place) -> Peer:
    """Return remit in local mode: the collector runs inside the process, on a file."""
    return _start(place, mode="local", api_url=None, api_token=None)


def start_off(place: Place) -> Peer:
    """Return remit switched off."""
    return _start(place, mode="off")
