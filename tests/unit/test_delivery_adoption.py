"""Adoption: what an ended process left is sent by another with the stored keys, and ended."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from remit._base.loops import SENDER, WRITER
from remit._deliver.delivery import Delivery
from remit._record.items import Item, ItemKind
from remit.testing import FakeClock
from tests.delivering import NEVER_S, delivery, down, files, record, refuse_ours, wait_for, within
from tests.fake_api import FakeApi, error, named, refusal
from tests.recording import HandRun
from tests.running_threads import threads
from tests.spooling import in_child, wait_until_written


@pytest.fixture
def api() -> FakeApi:
    """Return a server."""
    return FakeApi()


def leave(
    data_dir: Path,
    spans: int = 3,
    *,
    close: bool = True,
    long: bool = False,
    beside: Delivery | None = None,
) -> None:
    """Record a run in a process that is killed while the server is down."""

    def act() -> None:
        api = FakeApi()
        down(api)
        made = delivery(api, data_dir)
        run = HandRun(made.sink).open()
        if long:
            run.start("long")
        for _ in range(spans):
            run.span()
        if close:
            run.close()
        made.flush(within(0.1))
        wait_until_written(made.status)

    in_child(act, beside)


@pytest.fixture
def made(api: FakeApi, tmp_path: Path) -> Iterator[Delivery]:
    """Return delivery in a folder of the test's own, to be shut down."""
    made = delivery(api, tmp_path)
    yield made
    api.rules.clear()
    made.shutdown(within(5))
    assert threads() == set()


def test_a_flush_delivers_what_an_ended_process_left(
    made: Delivery, api: FakeApi, tmp_path: Path
) -> None:
    """Although nothing was recorded here; the file is deleted then."""
    leave(tmp_path)
    assert files(tmp_path) == [".db", ".db-shm", ".db-wal", ".lock"]
    result = made.flush(within(60))
    assert result
    assert result.sent == 7
    assert [run["status"] for run in api.instances.values()] == ["complete"]
    assert len(api.spans) == 4
    assert files(tmp_path) == []


def test_it_is_sent_with_the_keys_of_the_process_that_recorded_it(
    made: Delivery, api: FakeApi, tmp_path: Path
) -> None:
    """So that a server that had it already keeps one of each."""
    leave(tmp_path)
    made.flush(within(60))
    (run,) = api.instances.values()
    key = run["external_identifier"]
    keys = [seen.body.get("idempotency_key") for seen in api.seen if "items" not in seen.body]
    assert keys == [f"reg-{key}", f"start-{key}", f"fin-{key}"]


def test_a_run_that_nobody_ended_is_ended_as_failed(
    made: Delivery, api: FakeApi, tmp_path: Path
) -> None:
    """With the reason at its root; so are the spans that were open. A key of its own tells who."""
    leave(tmp_path, close=False, long=True)
    assert made.flush(within(60))
    (run,) = api.instances.values()
    assert run["status"] == "failed"
    spans = {span["schema_name"]: span for span in api.spans.values()}
    assert spans["remit:run"]["status"] == "failed"
    result = {"reason": "process ended", "status": "failed", "lost": 0}
    assert spans["remit:run"]["result_payload"] == result
    assert spans["long"]["status"] == "failed"
    assert spans["long"]["result_payload"]["error"]["message"] == "process ended"
    ended = next(seen for seen in api.seen if seen.path.endswith("/finish"))
    assert ended.body["idempotency_key"] == f"orphan-{run['external_identifier']}"
    assert ended.body["timestamp"] >= spans["long"]["started_at"]
    assert files(tmp_path) == []


def test_a_run_that_was_left_open_stays_open(made: Delivery, api: FakeApi, tmp_path: Path) -> None:
    """Another process is to resume it."""

    def act() -> None:
        failing = FakeApi()
        down(failing)
        child = delivery(failing, tmp_path)
        run = HandRun(child.sink).open()
        run.close(leave_open=True)
        child.flush(within(0.1))
        wait_until_written(child.status)

    in_child(act)
    assert made.flush(within(60))
    (run,) = api.instances.values()
    assert run["status"] == "active"
    assert [span["status"] for span in api.spans.values()] == ["active"]
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("names", "status"),
    [
        (["remit:asked"], "active"),
        (["remit:asked", "remit:answered"], "failed"),
    ],
    ids=["asked", "answered"],
)
def test_a_run_that_asked_a_person_is_not_ended(
    made: Delivery, api: FakeApi, tmp_path: Path, names: list[str], status: str
) -> None:
    """The answer may come to another process. With the answer, it was running."""

    def act() -> None:
        failing = FakeApi()
        down(failing)
        child = delivery(failing, tmp_path)
        run = HandRun(child.sink).open()
        run.start("graph")
        for number, name in enumerate(names):
            key, at_ns = bytes(6) + bytes(9) + bytes([number]), run.started_ns
            question = Item(
                ItemKind.SPAN, run.key, key, run.root, name, at_ns, at_ns, "complete", b"{}", b"{}"
            )  # fmt: skip
            child.sink.put(question)
        child.flush(within(0.1))
        wait_until_written(child.status)

    in_child(act)
    assert made.flush(within(60))
    (run,) = api.instances.values()
    assert run["status"] == status
    spans = {span["schema_name"]: span["status"] for span in api.spans.values()}
    assert spans["remit:run"] == status
    assert spans["graph"] == ("cancelled" if status == "active" else "failed")
    asked = next(span for span in api.spans.values() if span["schema_name"] == "remit:asked")
    assert asked["id"][:10] == run["id"][:10]


def test_a_server_without_waiting_runs_gets_a_run_of_its_own(made: Delivery, api: FakeApi) -> None:
    """With its root span; the one request more is answered by 404."""
    run = HandRun(made.sink)
    run.feed.continues, run.feed.conversation = "", "thread-9"
    made.sink.open_run(run._item(ItemKind.RUN, payload=b'{"purpose":"live"}'), run.feed)
    run.span()
    run.close()
    assert made.flush(within(60))
    (instance,) = api.instances.values()
    assert instance["status"] == "complete"
    spans = {span["schema_name"]: span for span in api.spans.values()}
    assert spans["remit:run"]["status"] == "complete"
    assert spans["desk:find"]["parent_span_id"] == spans["remit:run"]["id"]
    asked = [seen.path for seen in api.seen if seen.path.endswith("/waiting")]
    assert len(asked) == 1


def test_a_parents_run_is_the_parents_to_end(made: Delivery, api: FakeApi) -> None:
    """What a killed child recorded into it is delivered, and the run goes on."""
    run = HandRun(made.sink).open()
    assert made.flush(within(60))

    def act() -> None:
        down(api)
        made.after_fork_in_child()
        run.span("child's")
        run.start("child's open")
        made.flush(within(0.1))
        wait_until_written(made.status)

    in_child(act, made)
    assert made.flush(within(60))
    spans = {span["schema_name"]: span["status"] for span in api.spans.values()}
    assert spans == {"remit:run": "active", "child's": "complete", "child's open": "failed"}
    assert [each["status"] for each in api.instances.values()] == ["active"]
    run.close()
    assert made.flush(within(60))
    assert [each["status"] for each in api.instances.values()] == ["complete"]


def test_a_child_of_a_fork_leaves_its_parents_file_alone(
    made: Delivery, api: FakeApi, tmp_path: Path
) -> None:
    """Its lock is still held when the child has ended, and what is in it is sent once."""
    down(api)
    record(made)
    made.flush(within(0.2))
    wait_until_written(made.status)
    in_child(made.after_fork_in_child, made)
    other = delivery(FakeApi(), tmp_path)
    assert other.flush(within(60)).sent == 0
    other.shutdown(within(1))
    api.rules.clear()
    assert made.flush(within(60)).sent == 7


def test_what_waits_is_counted_and_told(made: Delivery, api: FakeApi, tmp_path: Path) -> None:
    """Pending and on disk, with its size and age; a flush is not true while it waits."""
    leave(tmp_path)
    down(api)
    made.flush(within(0.5))
    wait_for(lambda: made.status().spooled == 7)
    result = made.flush(within(0.1))
    assert not result
    assert (result.pending, result.spooled) == (7, 7)
    status = made.status()
    assert (status.pending, status.spooled) == (7, 7)
    assert status.spool_bytes > 4096
    assert 0 < status.spool_age_s < 60


def test_what_a_shutdown_leaves_in_an_outage_is_kept_and_said_once(
    api: FakeApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Why, where, and how it gets to the server; the next process does send it."""
    down(api)
    first = delivery(api, tmp_path)
    record(first)
    wait_for(lambda: first.status().last_error)
    wait_until_written(first.status)
    result = first.shutdown(within(0.3))
    assert (result.pending, result.spooled) == (7, 7)
    (line,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert line.startswith("nothing can be delivered to")
    assert str(tmp_path / "spool") in line
    assert "remit spool send" in line
    api.rules.clear()
    second = delivery(api, tmp_path)
    assert second.flush(within(60)).sent == 7
    second.shutdown(within(5))
    assert files(tmp_path) == []


def test_what_is_found_at_the_start_is_sent_without_a_flush(
    made: Delivery, api: FakeApi, tmp_path: Path
) -> None:
    """Configuring is enough."""
    assert not made.adopt(), "there is nothing, so no thread is started"
    assert threads() == set()
    leave(tmp_path)
    assert made.adopt()
    wait_for(lambda: made.status().sent == 7)
    assert len(api.spans) == 4


def test_a_flush_for_a_run_does_not_wait_for_what_others_left(api: FakeApi, tmp_path: Path) -> None:
    """Its caller waits for its own."""
    for _ in range(3):
        leave(tmp_path)
    made = delivery(api, tmp_path)
    record(made)
    result = made.flush(within(60), adopting=False)
    assert result.sent >= 7
    made.shutdown(within(20))
    assert len(api.instances) == 4


def test_what_is_refused_is_set_aside_in_its_file(
    made: Delivery, api: FakeApi, tmp_path: Path
) -> None:
    """Counted by reason, out of the way, and sent again when a person asks for it."""
    leave(tmp_path)
    api.refuse_item(named("desk:find"), error("bad_request"))
    result = made.flush(within(60))
    assert (result.sent, result.set_aside, result.pending) == (6, 1, 0)
    assert files(tmp_path) == [".aside"]
    made.bring_back()
    assert made.flush(within(60)).sent == 7
    assert sorted(api.names()) == ["desk:find"] * 3 + ["remit:loss"]
    assert files(tmp_path) == []


def test_a_registration_that_was_refused_can_be_sent_again(
    made: Delivery, api: FakeApi, tmp_path: Path
) -> None:
    """When the agent was made known to the server, for instance."""
    leave(tmp_path)
    api.script("/register", refusal(403, "forbidden"), refusal(422, "validation_errors"))
    made.flush(within(0.5))
    wait_for(lambda: made.status().last_error)
    assert made.flush(within(60)).set_aside == 7
    assert files(tmp_path) == [".aside"]
    made.bring_back()
    result = made.flush(within(60))
    assert (result.sent, result.pending) == (7, 0)
    assert [run["status"] for run in api.instances.values()] == ["complete"]


def test_a_damaged_file_is_put_aside_and_the_others_go_on(
    made: Delivery, api: FakeApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says so."""
    leave(tmp_path)
    (tmp_path / "spool" / "broken.db").write_bytes(b"no database" * 1000)
    assert made.flush(within(60)).sent == 7
    assert len(api.instances) == 1
    assert files(tmp_path) == [".damaged"]
    assert [line for line in caplog.messages if "damaged" in line] == [
        line for line in caplog.messages if "broken.db" in line
    ]
    assert caplog.text.count("is damaged") == 1


def test_a_flush_does_not_wait_for_what_its_process_cannot_read(
    api: FakeApi, tmp_path: Path
) -> None:
    """It is left to a later process, and what comes after it is sent."""
    made = delivery(api, tmp_path, poll_interval_s=0.1)
    down(api)
    record(made)
    made.flush(within(1))
    wait_until_written(made.status)
    (path,) = (tmp_path / "spool").glob("*.db")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE chunk SET crc = crc + 1")
    api.rules.clear()
    assert not made.flush(within(NEVER_S))
    kept = made.status().pending
    record(made)
    assert not made.flush(within(NEVER_S))
    assert made.status().pending == made.status().spooled == kept > 0
    assert made.status().sent > 0
    made.shutdown(within(5))


def test_two_processes_do_not_send_the_same_file(api: FakeApi, tmp_path: Path) -> None:
    """Whoever has its lock sends it."""
    for _ in range(4):
        leave(tmp_path)
    pair = [delivery(api, tmp_path) for _ in range(2)]
    for each in pair:
        assert each.adopt()
    wait_for(lambda: len(api.instances) == 4 and not files(tmp_path))
    assert sum(each.status().sent for each in pair) == 4 * 7
    registered = [seen for seen in api.seen if seen.path.endswith("/register")]
    assert len(registered) == 4
    for each in pair:
        each.shutdown(within(5))


def test_a_living_process_finds_what_another_leaves_later(api: FakeApi, tmp_path: Path) -> None:
    """It looks again from time to time."""
    made = delivery(api, tmp_path, poll_interval_s=0.1)
    record(made)
    assert made.flush(within(60)).sent == 7
    leave(tmp_path, beside=made)
    wait_for(lambda: made.status().sent == 14)
    assert len(api.instances) == 2
    made.shutdown(within(5))


def test_what_a_child_inherits_is_on_disk(
    made: Delivery, api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was opened just before the fork can be ended whoever of the two is killed."""

    def act() -> None:
        refuse_ours(monkeypatch, WRITER, SENDER)
        parent = delivery(api, tmp_path)
        HandRun(parent.sink).open()
        parent.before_fork()

    in_child(act)
    assert made.flush(within(60))
    assert [run["status"] for run in api.instances.values()] == ["failed"]


def test_a_fork_does_not_wait_until_everything_is_on_disk(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that records all the time would wait for seconds; the rest stays in memory."""

    class Hurried(FakeClock):
        """A clock by which a drain takes more than a quarter of a second."""

        def monotonic_ns(self) -> int:
            self.advance(0.1)
            return super().monotonic_ns()

    refuse_ours(monkeypatch, WRITER, SENDER)
    made = delivery(api, tmp_path, clock=Hurried())
    run = HandRun(made.sink).open()
    for _ in range(20_000):
        run.span()
    made.before_fork()
    made.after_fork_in_parent()
    status = made.status()
    assert 0 < status.spooled < status.pending == 20_002
    made.shutdown(within(20))


def test_a_span_that_the_spool_gave_up_is_counted_for_its_run(api: FakeApi, tmp_path: Path) -> None:
    """The run's end tells how many of its spans were lost."""
    down(api)
    made = delivery(api, tmp_path, max_spool_bytes=600_000)
    run = HandRun(made.sink).open()
    for _ in range(3_000):
        run.span()
    made.flush(within(0.5))
    wait_until_written(made.status)
    assert run.feed.lost == made.status().dropped["spool_full"]
    assert run.feed.lost > 0
    made.shutdown(within(0.2))


def test_nothing_is_said_of_a_healthy_spool(
    made: Delivery, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither while it works nor at the end."""
    caplog.set_level(logging.INFO)
    record(made)
    assert made.flush(within(60))
    assert made.shutdown(within(60))
    assert caplog.messages == []
    assert files(tmp_path) == []
