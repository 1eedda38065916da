"""The function as it is."""

from __future__ import annotations

from contextlib import nullcontext

from benchmarks.peers import Function, Peer, Place


def start(place: Place) -> Peer:
    """Return a peer that records nothing."""
    del place

    def decorate(function: Function) -> Function:
        return function

    return Peer(decorate=decorate, run=nullcontext, flush=lambda: None, roots=0)
