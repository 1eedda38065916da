"""Items that wait cost the garbage collector of the program nothing."""

from __future__ import annotations

import gc
from collections.abc import Generator

import pytest

from remit._queued import Queued
from remit._sink import Item, Kind, RunFeed
from tests.buffered import RUN, Made
from tests.recording import agent

pytestmark = pytest.mark.python


@pytest.fixture
def counted() -> Generator[None]:
    """Have nothing collected, so that what the collector counts only grows."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_waiting_items_have_the_fields_of_an_item() -> None:
    """In its order: one is made of the other."""
    assert Queued.__struct_fields__ == Item._fields


@pytest.mark.usefixtures("counted")
def test_spans_that_wait_are_none_of_the_collectors_business() -> None:
    """It begins a collection when so many more objects were made than went; of ours, none counts.

    A tuple for each would have it run at every 700 spans, and each tenth time look at more.
    """
    made = Made()
    feed = RunFeed(RUN, agent(), "live", root=1)
    made.buffer.open_run(Item(Kind.RUN, RUN, 1, None, None, 1, None, None, None, None), feed)
    before = gc.get_count()[0]
    for _ in range(5_000):
        made.span()
    assert len(made.buffer) == 5_001
    assert gc.get_count()[0] - before < 100
