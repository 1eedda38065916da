"""The end of delivery: deadlines, a process without threads, a forked child."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from remit._base.loops import SENDER, WRITER
from remit._deliver.losses import Loss
from tests.delivering import NEVER_S, delivery, hang, record, refuse_ours, wait_for, within
from tests.fake_api import FakeApi, refusal
from tests.inside import HttpClient, httpx, make_delivery
from tests.loopback import serving, unused_port
from tests.recording import HandRun
from tests.running_threads import threads


def test_a_shutdown_delivers_then_counts_what_comes_after() -> None:
    """It is done once; a second one changes nothing."""
    api = FakeApi()
    made = delivery(api)
    run = record(made)
    assert made.shutdown(within(60))
    run.quality()
    run.span()
    result = made.shutdown(within(10))
    assert result.dropped == {Loss.AFTER_SHUTDOWN: 2}
    assert not result
    assert made.flush(within(60)) == result
    assert threads() == set()


def test_what_a_shutdown_cannot_deliver_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """How much, where to, and what went wrong."""
    made = delivery(url=f"http://127.0.0.1:{unused_port()}")
    record(made)
    wait_for(lambda: made.status().last_error)
    result = made.shutdown(within(0.2))
    assert result.pending == 7
    (line,) = [text for text in caplog.messages if "deadline of the shutdown" in text]
    assert "7 recorded items" in line
    assert "refused the connection" in line


def test_a_shutdown_without_time_says_that_there_was_none(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no fault of the server."""
    made = delivery(FakeApi(), flush_interval_s=60)
    refuse_ours(monkeypatch, SENDER)
    record(made)
    result = made.shutdown(within(0))
    assert (result.sent, result.pending) == (0, 7)
    assert "exit_timeout_s" in caplog.text


class Timed(httpx.BaseTransport):
    """A server whose first answer waits.

    Attributes:
        reached: Whether it was asked.
        go_on: Whether it may answer.
        timeouts_s: What each request was given, in seconds.
    """

    def __init__(self) -> None:
        """Begin with nothing asked."""
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.timeouts_s: list[float] = []
        self._api = FakeApi().transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer, when it may."""
        self.timeouts_s.append(request.extensions["timeout"]["read"])
        self.reached.set()
        assert self.go_on.wait(60)
        return self._api.handle_request(request)


def test_a_request_that_begins_in_a_shutdown_does_not_outlast_it() -> None:
    """Its timeout is what is left, so that the thread ends and the connection is closed."""
    server, passed = Timed(), threading.Event()
    made = make_delivery(server, ticks=[passed.set], flush_interval_s=60, request_timeout_s=30)
    record(made)
    made.wake_writer()
    assert server.reached.wait(60)
    passed.clear()
    ending = threading.Thread(target=made.shutdown, args=(within(10),))
    ending.start()
    assert passed.wait(60)  # the shutdown has begun: it moves what was recorded
    server.go_on.set()
    ending.join()
    assert made.stopped(60)
    first_s, *others_s = server.timeouts_s
    assert first_s == 30
    assert len(others_s) >= 3
    assert max(others_s) <= 10


@pytest.mark.parametrize(
    "names", [(WRITER,), (SENDER,), (WRITER, SENDER)], ids=["writer", "sender", "both"]
)
def test_without_threads_a_flush_does_the_work_itself(
    names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the interpreter exits no thread starts any more."""
    refuse_ours(monkeypatch, *names)
    api = FakeApi()
    made = delivery(api)
    record(made)
    assert made.flush(within(60))
    record(made)
    assert made.shutdown(within(60))
    assert len(api.spans) == 8


def test_without_threads_a_flush_tries_again_while_there_is_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that fails for a moment gets everything."""
    refuse_ours(monkeypatch, WRITER, SENDER)
    api = FakeApi()
    api.script("/register", refusal(500), refusal(500))
    made = delivery(api)
    record(made)
    assert made.flush(within(60))
    made.shutdown(within(1))


def test_without_threads_a_flush_keeps_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request of a server that hangs is cut to what is left of the time."""
    refuse_ours(monkeypatch, WRITER, SENDER)
    with serving(hang) as url:
        hanging = delivery(url=url, request_timeout_s=NEVER_S)
        record(hanging)
        assert not hanging.flush(within(0.3))
        assert not hanging.shutdown(within(0.3))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only on Linux or macOS: needs os.fork")
def test_a_forked_child_delivers_its_own_and_only_its_own() -> None:
    """The parent's items are the parent's; a span in an inherited run lands in that run."""
    api = FakeApi()
    with serving(api.behave) as url:
        made = delivery(url=url, flush_interval_s=60)
        inherited = HandRun(made.sink).open()
        assert made.flush(within(60))
        inherited.span("parent's")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                made.after_fork_in_child()
                assert made.status().pending == made.status().sent == 0
                inherited.span("child's")
                record(made)
                code = 0 if made.flush(within(60)) and made.shutdown(within(5)) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        inherited.close()
        assert made.shutdown(within(60))
    names = sorted(span["schema_name"] for span in api.spans.values())
    assert names == ["child's", *["desk:find"] * 3, "parent's", *["remit:run"] * 2]
    of_inherited = {
        span["schema_name"]
        for span in api.spans.values()
        if span["agent_instance_id"] == inherited.feed.instance_id
    }
    assert of_inherited == {"child's", "parent's", "remit:run"}


def test_an_alarm_in_a_fork_that_waits_for_the_disk_stops_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent resumes all that it paused until then."""
    monkeypatch.setattr(HttpClient, "holds_locks", True)
    made = delivery(FakeApi(), tmp_path)
    record(made)
    assert made.flush(within(60))
    (path,) = (tmp_path / "spool").glob("*.db")

    def ring(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        record(made)
        wait_for(lambda: made.status().writer_lag_s > 0.1)

        def interrupted() -> None:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            made.before_fork()

        with pytest.raises(TimeoutError):
            interrupted()
        made.after_fork_in_parent()
    signal.signal(signal.SIGALRM, before)
    assert made.flush(within(60))
    assert made.shutdown(within(60))
