"""Delivery with its threads: flush tells the truth, and nothing blocks the program."""

from __future__ import annotations

import gc
import logging
import socket
import threading
import time

import pytest

from remit._base import guard
from remit._base.loops import SENDER, WRITER
from remit._deliver.circuit import without_credentials
from remit._deliver.losses import Loss
from remit._deliver.status import FlushResult, Health, Status
from tests.delivering import NEVER_S, delivery, hang, record, within
from tests.fake_api import FakeApi, error, refusal
from tests.inside import httpx
from tests.loopback import serving, unused_port
from tests.processes import wait_until
from tests.recording import HandRun, agent, declared
from tests.running_threads import threads


def test_nothing_starts_before_the_first_run() -> None:
    """No thread, no request; a flush and a shutdown of nothing return at once."""
    api = FakeApi()
    made = delivery(api)
    assert made.flush(within(60)) == FlushResult(0, 0, 0, 0, {}, None)
    assert threads() == set()
    assert made.status().health is Health.IDLE
    assert made.shutdown(within(60)) == FlushResult.nothing()
    assert threads() == set()
    assert api.seen == []


def test_a_flush_delivers_everything_and_is_true() -> None:
    """It returns as soon as it is done, not at its deadline."""
    api = FakeApi()
    made = delivery(api, flush_interval_s=60)
    record(made)
    assert threads() == {WRITER, SENDER}
    result = made.flush(within(30))
    assert result
    assert result == FlushResult(7, 0, 0, 0, {}, None)
    assert [span["status"] for span in api.spans.values()] == ["complete"] * 4
    assert made.shutdown(within(60))
    assert threads() == set()


def test_the_threads_deliver_without_a_flush() -> None:
    """Every interval."""
    api = FakeApi()
    finished = threading.Event()

    def rule(path: str, _: object) -> None:
        if path.endswith("/finish"):
            finished.set()

    api.rules.append(rule)
    made = delivery(api, flush_interval_s=0.01)
    record(made)
    assert finished.wait(60)
    assert made.shutdown(within(60))


def test_a_flush_sends_the_beginnings_of_open_spans() -> None:
    """What has happened so far is then on the server."""
    api = FakeApi()
    made = delivery(api)
    run = HandRun(made.sink).open()
    start = run.start("open")
    assert made.flush(within(60))
    assert [span["status"] for span in api.spans.values()] == ["active", "active"]
    run.end(start)
    run.close()
    assert made.shutdown(within(60))
    assert [span["status"] for span in api.spans.values()] == ["complete", "complete"]


def test_a_flush_that_loses_items_is_false_and_says_which(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also later: the totals stay. Without a spool nothing is set aside, and nobody says so."""
    api = FakeApi()
    api.refuse_item(lambda item: "details" in item, *[error("bad_request")] * 3)
    made = delivery(api)
    record(made, spans=9)
    result = made.flush(within(60))
    assert not result
    assert (result.sent, result.set_aside, result.pending) == (10, 0, 0)
    assert result.dropped == {"rejected": 3}
    assert "bad_request" in (result.last_error or "")
    (line,) = caplog.messages
    assert "no spool to keep it in" in line
    assert "set aside" not in line
    record(made)
    assert not made.flush(within(10))
    assert made.status().dropped == {"rejected": 3}
    made.shutdown(within(10))


def test_a_flush_waits_for_what_existed_when_it_began() -> None:
    """A program that never stops recording gets an answer."""
    api = FakeApi()
    made = delivery(api)
    run = HandRun(made.sink).open()
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(0.0001):
            run.span()

    recorder = threading.Thread(target=go_on)
    recorder.start()
    try:
        assert made.flush(within(NEVER_S))
    finally:
        over.set()
        recorder.join()
    assert made.shutdown(within(60))


def test_a_flush_is_false_while_the_writer_has_not_put_what_it_took() -> None:
    """Between buffer and outbox an item is in neither, and pending all the same."""
    go_on = threading.Event()

    def slow() -> dict[str, object]:
        assert go_on.wait(60)
        return declared()()

    made = delivery(FakeApi())
    HandRun(made.sink, agent(registration=slow)).open().span()
    flushed = made.flush(within(0.2))
    go_on.set()
    assert (bool(flushed), flushed.pending) == (False, 3)
    assert made.shutdown(within(60))


def test_a_flush_from_several_threads_at_once_is_true_for_each() -> None:
    """Each waits for its own."""
    made = delivery(FakeApi())
    results: list[bool] = []

    def work() -> None:
        for _ in range(5):
            record(made)
            results.append(bool(made.flush(within(60))))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == [True] * 20
    made.shutdown(within(10))


def test_a_flush_to_a_dead_port_says_what_is_pending() -> None:
    """It tries, returns by its deadline, and everything is delivered once a server is there."""
    port = unused_port()
    made = delivery(url=f"http://127.0.0.1:{port}")
    record(made)
    assert not made.flush(within(0.5))
    wait_until(lambda: made.status().last_error is not None)
    result = made.flush(within(0.1))
    assert not result
    assert (result.sent, result.pending) == (0, 7)
    assert "refused" in (result.last_error or "")
    assert made.status().health is Health.FAILING
    api = FakeApi()
    with socket.create_server(("127.0.0.1", port)) as listener:
        acceptor = threading.Thread(target=_accept, args=(listener, api), daemon=True)
        acceptor.start()
        assert made.flush(within(60))
        made.shutdown(within(5))
    assert len(api.spans) == 4


def _accept(listener: socket.socket, api: FakeApi) -> None:
    connection, _ = listener.accept()
    with connection:
        api.behave(connection, threading.Event())


def test_a_flush_returns_when_nothing_more_will_be_tried_before_its_deadline() -> None:
    """The server asked for a minute: waiting for it would only cost time."""
    api = FakeApi()
    api.script("/bulk", *[refusal(429, headers={"retry-after": "60"})] * 9)
    made = delivery(api)
    record(made)
    began_s = time.monotonic()
    assert not made.flush(within(20))
    assert not made.shutdown(within(20))
    assert time.monotonic() - began_s < 30
    assert len(api.seen) == 1


def test_a_server_that_asks_for_no_wait_is_not_asked_without_a_wait() -> None:
    """`Retry-After: 0` comes from proxies and gateways; the waits of remit hold beside it."""
    api = FakeApi(rules=[lambda _path, _body: refusal(503, headers={"retry-after": "0"})])
    made = delivery(api)
    record(made)
    assert not made.flush(within(1))
    wait_until(lambda: len(api.seen) > 0)
    made.shutdown(within(0))
    assert len(api.seen) < 100


def test_a_server_that_never_answers_blocks_nobody() -> None:
    """Recording goes on, the shutdown returns by its deadline, the request is left behind."""
    with serving(hang) as url:
        made = delivery(url=url, request_timeout_s=NEVER_S)
        run = HandRun(made.sink).open()
        assert made.status().pending <= 2
        made.flush(within(0.2))
        for _ in range(200):
            run.span()
        assert not made.flush(within(0.3))
        assert not made.shutdown(within(0.3))
        assert made.status().pending == 2 + 200


@pytest.mark.parametrize(
    "trouble",
    [ConnectionResetError(), refusal(500), refusal(503, headers={"retry-after": "0"})],
    ids=["reset", "500", "503"],
)
def test_over_a_real_connection_trouble_passes_and_nothing_is_lost_or_doubled(
    trouble: Exception | httpx.Response,
) -> None:
    """Every span arrives once, whatever became of the first tries."""
    api = FakeApi()
    api.script("/register", trouble)
    api.script("/bulk", None, trouble)
    with serving(api.behave) as url:
        made = delivery(url=url)
        runs = [record(made, spans=20) for _ in range(10)]
        assert made.flush(within(60))
        made.shutdown(within(5))
    assert len(api.spans) == 10 * 21
    assert {run.feed.instance_id for run in runs} == set(api.instances)
    assert {one["status"] for one in api.instances.values()} == {"complete"}


def test_a_wrong_token_that_becomes_right_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """One line says what to mend, one that it works again."""
    caplog.set_level(logging.INFO, "remit")
    api = FakeApi(rules=[lambda _path, _body: refusal(401, "bad_authtoken")])
    made = delivery(api)
    record(made)
    made.flush(within(0.05))
    wait_until(lambda: made.status().health is Health.UNAUTHORIZED)
    api.rules.clear()
    while not made.flush(within(1)).sent:
        pass
    assert made.shutdown(within(60))
    lines = [text for text in caplog.messages if "remit" in text or "delivery" in text]
    assert len(lines) == 2
    assert "api_token" in lines[0]
    assert "works again" in lines[1]


def test_memory_is_bounded_while_the_server_is_down() -> None:
    """What finds no room is counted; the caller never waits."""
    made = delivery(url=f"http://127.0.0.1:{unused_port()}", max_buffer_bytes=200_000)
    run = HandRun(made.sink).open()
    for _ in range(3000):
        run.span(payload=b"x" * 1000)
    made.flush(within(0.05))
    # While the writer moves an item, the status counts it twice.
    wait_until(lambda: not made.status().writer_lag_s)
    status = made.status()
    assert status.buffer_bytes <= 200_000
    assert status.dropped[Loss.PAYLOAD_BUFFER_FULL] > 0
    assert status.dropped[Loss.BUFFER_FULL] + status.pending == 3002
    assert run.feed.lost == status.dropped[Loss.BUFFER_FULL]
    made.shutdown(within(0))


def test_a_fault_in_a_thread_is_raised_by_a_strict_flush() -> None:
    """`isolated()` sets it, so that a test sees what production only counts."""
    made = delivery(FakeApi())
    record(made)
    assert made.flush(within(60))
    guard.faults.strict = True
    run = HandRun(made.sink).open()
    run.sink.end_span(run.broken(), 1, "complete", None)
    with pytest.raises((OverflowError, ValueError, OSError)):
        made.flush(within(60))
    guard.faults.strict = False
    made.shutdown(within(10))


def test_ticks_are_called_at_every_pass() -> None:
    """The runtime closes there the runs that linger too long."""
    ticked = threading.Event()
    made = delivery(FakeApi(), ticks=[ticked.set], flush_interval_s=0.01)
    record(made)
    assert ticked.wait(60)
    made.shutdown(within(10))


def test_the_status_tells_where_things_stand() -> None:
    """Mode, faults and what was redacted are the runtime's to fill in."""
    made = delivery(FakeApi(), flush_interval_s=60)
    record(made)
    made.flush(within(60))
    run = HandRun(made.sink).open()
    run.span()
    status = made.status()
    assert (status.health, status.sent, status.pending) == (Health.OK, 7, 3)
    assert status.target == "http://api.example"
    assert status.buffer_bytes > 0
    assert (status.spooled, status.spool_bytes, status.last_error) == (0, 0, None)
    made.shutdown(within(10))
    assert Status.nothing().health is Health.IDLE


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("https://app.prefactorai.com", "https://app.prefactorai.com"),
        ("https://user:pass@host:8420/x?token=t#f", "https://host:8420/x"),
        ("/home/me/remit.db", "/home/me/remit.db"),
        ("http://[broken", "an unreadable URL"),
    ],
    ids=["plain", "with credentials", "a file", "unreadable"],
)
def test_a_target_is_shown_without_credentials(target: str, shown: str) -> None:
    """It stands in log lines."""
    assert without_credentials(target) == shown


def test_a_flush_that_is_true_leaves_a_health_that_says_so() -> None:
    """Also while the thread that sends is not done with its step: it is asking after a run."""
    api = FakeApi(rules=[lambda _path, _body: refusal(503)])
    made = delivery(api, poll_interval_s=0.0)
    run = HandRun(made.sink).open()
    run.span()
    assert not made.flush(within(0.5))
    wait_until(lambda: made.status().health is Health.FAILING)
    looking, go_on = threading.Event(), threading.Event()

    def look(path: str, _body: object) -> None:
        if path.split("/")[-2] == "agent_instance" and not path.endswith("/register"):
            looking.set()
            go_on.wait(60)

    api.rules[:] = [look]
    seen: list[tuple[bool, Health]] = []
    flushing = threading.Thread(
        target=lambda: seen.append((bool(made.flush(within(60))), made.status().health))
    )
    flushing.start()
    assert looking.wait(60)
    run.span()
    made.wake_writer()  # which has the flush look whether it is done
    flushing.join(0.3)
    go_on.set()
    flushing.join(60)
    assert seen == [(True, Health.OK)]
    run.close()
    made.shutdown(within(10))


def test_a_finaliser_that_records_hangs_nowhere() -> None:
    """The garbage collector may run anywhere in remit, also where one of its locks is held."""
    made = delivery(FakeApi(), flush_interval_s=0.001)
    run, usual = HandRun(made.sink).open(), gc.get_threshold()
    over = threading.Event()

    class Records:
        """Records when it is collected, as an abandoned generator does."""

        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            run.span("finaliser's")

    def litter() -> None:
        for _ in range(300):
            Records()
            run.span()
            made.status()
        over.set()

    gc.set_threshold(1)
    try:
        threading.Thread(target=litter, daemon=True).start()
        assert over.wait(60)
    finally:
        gc.set_threshold(*usual)

    def delivered() -> bool:
        # It does nothing while another thread collects.
        gc.collect()
        return bool(made.flush(within(60))) and made.status().sent == 2 + 2 * 300

    wait_until(delivered)
    made.shutdown(within(10))
