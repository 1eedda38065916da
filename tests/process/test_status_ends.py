"""How the counts end: in a process that has ended, in the child of a fork, at a shutdown."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from pydantic_core.core_schema import CoreSchema, any_schema

import remit
from tests.fake_api import FakeApi
from tests.inside import Health, guard
from tests.loopback import unused_port
from tests.processes import wait_until
from tests.seen import (
    RUN_ITEMS,
    agent,
    agrees,
    answer,
    checked,
    configure,
    down,
    fresh,
    oldest_put_s,
    on_disk,
    recorded,
    redacted,
    served,
    taken,
)
from tests.spooling import in_child, wait_until_written


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Start from a process that has configured nothing."""
    with fresh():
        yield


class Slow:
    """Takes its time to say what it looks like."""

    over = threading.Event()

    @classmethod
    def __get_pydantic_core_schema__(cls, _: object, __: object) -> CoreSchema:
        """Wait until the test is over."""
        cls.over.wait(60)
        return any_schema()


@remit.span_type("log in")
def log_in(password: str) -> bool:
    """Do a step with a secret."""
    return bool(password)


def test_what_an_ended_process_left_counts_once_it_is_taken_up(tmp_path: Path) -> None:
    """It is pending, then sent; the age is that of the older file."""
    api = down()
    with served(api) as url:

        def leave() -> None:
            configure(url, tmp_path)
            agent()
            remit.flush(0.1)
            wait_until_written(remit.status)

        in_child(leave)
        left, oldest_s = on_disk(tmp_path), oldest_put_s(tmp_path)
        assert left == recorded()
        configure(url, tmp_path)
        agent()
        wait_until(lambda: not remit.flush(0.1) and remit.status().pending == left + recorded())
        wait_until_written(remit.status)
        before_s = time.time()
        status = checked()
        assert status.pending == status.spooled == on_disk(tmp_path) == left + recorded()
        assert before_s - oldest_s <= status.spool_age_s <= time.time() - oldest_s
        api.seen.clear()
        api.rules.clear()
        flushed = remit.flush(60)
        assert flushed
        assert checked().sent == taken(api) == left + recorded()
        agrees(checked(), flushed)


def test_the_child_of_a_fork_counts_its_own(tmp_path: Path) -> None:
    """The counts of its parent are not part of it."""
    api = FakeApi()
    told = tmp_path / "told"
    with served(api) as url:
        configure(url, tmp_path / "data")
        with agent.run():
            log_in("hunter2")
        assert remit.flush(60)
        guard.faults.counts["a place"] += 1
        mine = checked()
        assert sum(mine.redacted.values()) == redacted(api) == 1

        def child() -> None:
            status = remit.status()
            with agent.run():
                log_in("hunter3")
            flushed = remit.flush(60)
            later = remit.status()
            first = [status.sent, dict(status.redacted), dict(status.faults)]
            told.write_text(json.dumps([*first, flushed.sent, dict(later.redacted)]))

        in_child(child)
        assert json.loads(told.read_text()) == [0, {}, {}, RUN_ITEMS + 1, dict(mine.redacted)]
        assert replace(checked(), spool_bytes=mine.spool_bytes) == mine
        assert taken(api) == 2 * (RUN_ITEMS + 1)


def test_after_a_shutdown_the_status_tells_how_it_ended(tmp_path: Path) -> None:
    """Asking starts nothing, and the next `configure` begins with new counts."""
    configure(f"http://127.0.0.1:{unused_port()}", tmp_path)
    agent()
    wait_until(lambda: not remit.flush(0.1) and remit.status().health is Health.FAILING)
    wait_until_written(remit.status)
    ended = remit.shutdown(0.5)
    status = checked()
    assert ended.pending == ended.spooled == status.pending == on_disk(tmp_path) == recorded()
    assert (status.mode, status.health) == ("remote", Health.FAILING)
    assert remit.flush(0.1) == remit.shutdown(0.1) == ended
    agrees(status, ended)
    remit.configure(mode="off")
    assert checked().pending == 0


def test_what_a_writer_holds_that_hangs_is_pending(tmp_path: Path) -> None:
    """A hook of a user's type hangs while a registration is built; asking again changes nothing."""
    configure(f"http://127.0.0.1:{unused_port()}", tmp_path)

    # Declared afterwards: `configure()` builds what is declared before it.
    @remit.span_type("slow")
    def slow(value: Slow) -> None:
        del value

    assert slow.__name__ == "slow"
    agent()
    ended = remit.shutdown(0.2)
    assert (ended.pending, ended.spooled) == (recorded(), 0)
    assert remit.shutdown(0.1) == remit.flush(0.1) == ended
    agrees(checked(), ended)
    Slow.over.set()


def test_what_comes_after_a_shutdown_is_counted(tmp_path: Path) -> None:
    """A run that was open then cannot be ended any more."""
    api = FakeApi()
    with served(api) as url:
        configure(url, tmp_path)
        run = agent.run()
        run.__enter__()
        remit.shutdown(60)
        answer("late")
        run.__exit__(None, None, None)
        status = checked()
        assert status.dropped == {"after_shutdown": 3}
        assert status.sent == taken(api) == 2
        assert not remit.flush(0.1)
