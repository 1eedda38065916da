"""Long work in the background: other threads get their turn sooner meanwhile."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from remit._gentle import TURN_S, gently

pytestmark = pytest.mark.python


@pytest.fixture(autouse=True)
def _interval() -> Iterator[None]:
    before_s = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before_s)


def test_others_get_their_turn_sooner_and_then_as_before() -> None:
    """Also if the work fails, and if more of it begins meanwhile."""
    before_s = sys.getswitchinterval()

    def work() -> None:
        with gently(), gently():
            assert sys.getswitchinterval() == TURN_S
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert sys.getswitchinterval() == before_s


def test_what_the_program_sets_stays() -> None:
    """Shorter before, or set while the work goes on."""
    sys.setswitchinterval(TURN_S / 2)
    with gently():
        assert sys.getswitchinterval() == TURN_S / 2
    with gently():
        sys.setswitchinterval(0.001)
    assert sys.getswitchinterval() == 0.001


def test_the_first_of_two_to_end_leaves_the_other_its_short_turns() -> None:
    """The writer's pass ends while the sender, which it woke, imports its client."""
    before_s = sys.getswitchinterval()
    first, second = gently(), gently()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert sys.getswitchinterval() == TURN_S
    second.__exit__(None, None, None)
    assert sys.getswitchinterval() == before_s


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only on Linux or macOS: needs os.fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_the_child_of_a_fork_has_the_turns_that_the_program_set() -> None:
    """The thread whose block it was is not there to end it; nor does the block's own end fail."""
    before_s = sys.getswitchinterval()
    with gently():
        pid = os.fork()
        own_s = sys.getswitchinterval()
    if not pid:
        os._exit(0 if own_s == sys.getswitchinterval() == before_s else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert sys.getswitchinterval() == before_s
