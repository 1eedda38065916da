"""`remit.collector.workers`: processes that are started, replaced and stopped together."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from remit.errors import SettingsError
from tests.inside_collector import Workers


def fail(ready: Callable[[], None]) -> None:
    """End at once, without having begun."""
    del ready
    raise SystemExit(3)


def note(ready: Callable[[], None], folder: Path) -> None:
    """Leave a file with the number of the process, and wait for SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    (folder / str(os.getpid())).touch()
    ready()
    stop.wait(60)
    (folder / str(os.getpid())).unlink()


def ignore(ready: Callable[[], None]) -> None:
    """Never end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready()
    threading.Event().wait(60)


def test_processes_that_cannot_begin_are_given_up() -> None:
    """After a few tries the parent raises an error."""
    told: list[bool] = []

    with pytest.raises(SettingsError, match="no worker could begin"):
        Workers(2, fail, (), grace_s=5).run(lambda: told.append(True))

    assert told == []


def test_all_end_in_their_own_time(tmp_path: Path) -> None:
    """The start is reported once."""
    told: list[int] = []
    before = signal.getsignal(signal.SIGTERM)

    def on_start() -> None:
        told.append(1)
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()

    Workers(2, note, (tmp_path,), grace_s=20).run(on_start)

    assert told == [1]
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before


def test_one_that_does_not_end_is_killed() -> None:
    """The kill follows at the end of the grace period."""
    Workers(1, ignore, (), grace_s=0.2).run(lambda: os.kill(os.getpid(), signal.SIGTERM))
