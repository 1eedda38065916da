"""What runs inside a measured process: the parts of a call, which are the whole, and its runs."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from benchmarks import path
from benchmarks.peers.base import Peer
from benchmarks.turns import Turns, turned
from remit._sink import NoSink


def test_the_layers_and_what_stands_alone_are_what_the_ladder_spans() -> None:
    """Nothing is counted twice, and nothing between two rungs is left out."""
    with path.recorded(NoSink()):
        names = list(path.Ladder().works())
    rungs = {name: 3.0 - 0.3 * number**1.2 for number, name in enumerate(names)}
    alone = {name: 0.01 * number for number, name in enumerate(path.ALONE, 1)}
    layers = path.layers(rungs, alone)
    spanned = rungs[names[0]] - rungs[names[-1]]
    assert sum(layers.values()) + sum(alone.values()) == pytest.approx(spanned)


def test_each_rung_of_the_ladder_leaves_the_run_as_it_was() -> None:
    """No span stays open, whichever layers are left out."""
    with path.recorded(NoSink()):
        ladder = path.Ladder()
        for name, work in ladder.works().items():
            work(3)
            assert not ladder.parent.run.open, name


def test_all_parts_come_out_at_the_whole() -> None:
    """With what cannot be attributed, which has a line of its own."""
    *parts, rest, whole = path.parts(2)
    assert (rest[0], whole[0]) == ("what cannot be attributed", "in all")
    assert sum(part for _, part in (*parts, rest)) == pytest.approx(whole[1])
    assert len(dict(parts)) == len(parts) == 15


@pytest.mark.parametrize(("run_turns", "runs"), [(300, 4), (10_000, 1)])
def test_a_run_has_so_many_turns_at_most(run_turns: int, runs: int) -> None:
    """As many as the peer keeps of one."""
    turns = Turns(1_000, 60.0)
    peer = Peer(
        decorate=lambda function: function,
        run=nullcontext,
        flush=lambda: None,
        run_turns=run_turns,
    )
    turned(peer, lambda times: None, turns)  # noqa: ARG005 - a loop that does nothing
    assert (turns.done, turns.runs) == (1_000, runs)
