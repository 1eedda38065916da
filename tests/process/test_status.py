"""What `remit.status()` and `remit.flush()` say is so: counted at the server and on the disk."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

import remit
from remit.collector import create_token, open_store
from remit.testing import isolated
from tests.collecting import on_a_port
from tests.fake_api import FakeApi, error, named, refusal
from tests.inside import FlushResult, Health, Status, guard
from tests.inside_collector import create_app
from tests.loopback import unused_port
from tests.processes import wait_until
from tests.seen import (
    ANSWERS,
    NEVER_S,
    agent,
    agrees,
    answer,
    arrived,
    checked,
    configure,
    cut,
    down,
    folder_bytes,
    fresh,
    oldest_put_s,
    on_disk,
    recorded,
    served,
    taken,
    whole,
)
from tests.spooling import wait_until_written

DOWN = "refused the connection"


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Start from a process that has configured nothing."""
    with fresh():
        yield


def test_a_fresh_process_has_nothing_and_made_nothing(tmp_path: Path) -> None:
    """Asking where things stand starts nothing."""
    configure("http://127.0.0.1:9/", tmp_path)
    assert checked() == replace(Status.nothing(), mode="remote", target="http://127.0.0.1:9")
    assert remit.flush(0.1) == FlushResult.nothing()
    assert list(tmp_path.iterdir()) == []


def test_what_was_sent_is_what_the_server_took(tmp_path: Path) -> None:
    """The counts agree item by item, and nothing is left on the disk."""
    api = FakeApi()
    with served(api) as url:
        configure(url, tmp_path)
        agent()
        flushed = remit.flush(60)
        status = checked()
        assert status.sent == taken(api) == recorded()
        assert (status.health, status.mode, status.target) == (Health.OK, "remote", url)
        assert (status.pending, status.buffer_bytes, status.spool_age_s) == (0, 0, 0.0)
        assert on_disk(tmp_path) == 0
        # What was settled is removed from the file a moment later, which changes its size.
        wait_until(lambda: remit.status().spool_bytes == folder_bytes(tmp_path))
        agrees(status, flushed)


def test_what_is_not_moved_yet_is_pending_and_ages(tmp_path: Path) -> None:
    """It is in memory alone; the lag is its age at most."""
    api = FakeApi()
    with served(api) as url:
        configure(url, tmp_path)
        agent()
        before = time.monotonic()
        assert remit.flush(60)
        sent = checked().sent
        with agent.run():
            answer("x" * 1000)
            done = time.monotonic()
            while time.monotonic() == done:
                pass
            age_s = time.monotonic() - done
            status = checked()
            assert age_s <= status.writer_lag_s <= time.monotonic() - before
            assert (status.pending, status.spooled, status.sent) == (3, 0, sent)
            assert 1000 < status.buffer_bytes < 10_000
            assert on_disk(tmp_path) == 0


def test_what_waits_is_what_is_on_the_disk(tmp_path: Path) -> None:
    """Rows, bytes and age agree, and the status has the reason."""
    configure(f"http://127.0.0.1:{unused_port()}", tmp_path)
    agent()
    remit.flush(0.1)
    wait_until_written(remit.status)
    flushed = remit.flush(0.1)
    agent()
    wait_until(lambda: not remit.flush(0.1) and remit.status().health is Health.FAILING)
    wait_until_written(remit.status)
    oldest_s = oldest_put_s(tmp_path)
    before_s = time.time()
    status = checked()
    assert before_s - oldest_s <= status.spool_age_s <= time.time() - oldest_s
    assert status.pending == status.spooled == on_disk(tmp_path) == recorded(2)
    assert flushed.pending == flushed.spooled == recorded(1)
    assert status.spool_bytes == folder_bytes(tmp_path)
    assert (status.health, status.sent, status.buffer_bytes) == (Health.FAILING, 0, 0)
    assert DOWN in (status.last_error or "")


def test_after_a_recovery_all_of_it_was_sent(tmp_path: Path) -> None:
    """The last error stays to be read."""
    api = down()
    with served(api) as url:
        configure(url, tmp_path)
        agent()
        wait_until(lambda: not remit.flush(0.1) and remit.status().health is Health.FAILING)
        assert not remit.flush(0.1)
        checked()
        api.seen.clear()
        api.rules.clear()
        flushed = remit.flush(60)
        status = checked()
        assert flushed
        assert status.sent == taken(api) == recorded()
        assert (status.health, status.pending) == (Health.OK, 0)
        assert "503" in (status.last_error or "")
        agrees(status, flushed)


@pytest.mark.parametrize(
    ("status_code", "health"),
    [(401, Health.UNAUTHORIZED), (403, Health.UNAUTHORIZED), (302, Health.WRONG_SERVER)],
)
def test_the_health_tells_what_a_person_must_mend(
    status_code: int, health: Health, tmp_path: Path
) -> None:
    """The token, or the URL."""
    api = FakeApi(rules=[lambda _path, _body: refusal(status_code)])
    with served(api) as url:
        configure(url, tmp_path)
        agent()
        wait_until(lambda: not remit.flush(0.1) and remit.status().health is health)
        assert checked().pending == recorded()


def test_what_was_refused_is_set_aside_by_reason(tmp_path: Path) -> None:
    """It is in the file, and in the counts, and a flush is not true any more."""
    api = FakeApi()
    api.refuse_item(named("answer"), error("bad_request"), error("validation_errors"))
    with served(api) as url:
        configure(url, tmp_path)
        agent()
        flushed = remit.flush(60)
        status = checked()
        assert status.set_aside == {"bad_request": 1, "validation_errors": 1}
        assert on_disk(tmp_path, "SELECT count(*) FROM aside") == flushed.set_aside == 2
        assert arrived(api) == ANSWERS + 1 - 2
        assert status.sent == recorded() - 2
        assert "validation_errors" in (status.last_error or "")
        agrees(status, flushed)


def test_what_found_no_room_in_memory_is_counted(tmp_path: Path) -> None:
    """Spans and payloads have a reason each; there is no disk."""
    (tmp_path / "file").touch()
    api = down()
    with served(api) as url:
        configure(url, tmp_path / "file", max_buffer_bytes=100_000)
        agent(200, "x" * 1000)
        assert not remit.flush(2)
        kept = checked()
        assert (kept.spooled, kept.spool_bytes, kept.spool_age_s) == (0, 0, 0.0)
        assert 0 < kept.buffer_bytes <= 100_000
        api.rules.clear()
        flushed = remit.flush(60)
        status = checked()
        dropped = status.dropped["buffer_full"]
        assert dropped > 0
        assert arrived(api) + dropped == 200 + 1
        assert cut(api) == status.dropped["payload_buffer_full"] > 0
        assert status.sent + dropped == recorded(1, 200)
        agrees(status, flushed)


def test_what_found_no_room_on_the_disk_is_counted(tmp_path: Path) -> None:
    """Each item has a reason; a span whose start is sent before its end is two items."""
    api = FakeApi()
    with served(api) as url:
        configure(url, tmp_path, max_spool_bytes=900_000)
        agent(100)
        # From here on only a flush makes the writer pass. A pass that came late would announce
        # spans of the next run, which are two items each then.
        assert remit.flush(60)
        api.rules.append(lambda _path, _body: refusal(503))
        for _ in range(20):
            agent(100, large())
            write()
        with agent.run(), remit.span("long"):
            agent(100, large())
            write()
        write()
        full = checked()
        assert full.spooled == on_disk(tmp_path)
        assert full.spool_bytes == folder_bytes(tmp_path)
        api.rules.clear()
        flushed = remit.flush(60)
        status = checked()
        dropped = status.dropped["spool_full"]
        assert dropped > 0
        # Of "long" the start was dropped; the end arrived, with all of the span.
        assert named_in(api, "long") == ["complete"]
        assert whole(api) + dropped == 22 * 101 + 2
        assert status.sent + dropped == recorded(22, 100) + 2
        agrees(status, flushed)


def large() -> str:
    """Return a text of about 1 KB."""
    return f"{time.perf_counter_ns():x}" * 64


def named_in(api: FakeApi, name: str) -> list[str]:
    """Return the statuses of the spans of a type that came."""
    return [span["status"] for span in api.spans.values() if span["schema_name"] == name]


def write() -> None:
    """Have everything written that was recorded, open spans included; do not wait for a server."""
    remit.flush(0.01)
    wait_until_written(remit.status)


def test_local_mode_counts_what_is_in_its_database(tmp_path: Path) -> None:
    """Its target is that file."""
    remit.configure(mode="local", data_dir=tmp_path, flush_interval_s=NEVER_S)
    agent()
    assert remit.flush(60)
    status = checked()
    with closing(sqlite3.connect(tmp_path / "remit.db")) as opened:
        (spans,) = opened.execute("SELECT count(*) FROM spans").fetchone()
    assert spans == ANSWERS + 2
    assert status.sent == recorded()
    assert (status.mode, status.target) == ("local", str(tmp_path / "remit.db"))
    assert status.health is Health.OK


def test_mode_off_counts_nothing(tmp_path: Path) -> None:
    """It creates no file either."""
    remit.configure(mode="off", data_dir=tmp_path)
    agent()
    assert remit.flush(0.1) == FlushResult.nothing()
    assert checked() == Status.nothing()
    assert list(tmp_path.iterdir()) == []


def test_faults_are_counted_where_they_were_contained(tmp_path: Path) -> None:
    """A hook of the user's that fails, each time."""
    called: list[int] = []

    def broken(payload: dict[str, object]) -> object:
        called.append(len(payload))
        raise OSError

    with isolated(data_dir=tmp_path, redact=broken):
        guard.faults.strict = False  # isolated() turned it on
        agent(3)
        assert checked().faults == {"the hook of configure(redact=...)": len(called)}
        assert len(called) > 3
        assert "faults of remit's own" in str(checked())


def test_people_can_read_it(tmp_path: Path) -> None:
    """A few lines with every figure, for a log or a terminal."""
    api = FakeApi()
    api.refuse_item(named("answer"), error("bad_request"))
    with served(api) as url:
        configure(url, tmp_path)
        agent(2000)
        flushed = remit.flush(60)
        lines = str(checked()).splitlines()
    assert lines[0] == f"mode remote, to {url}: ok"
    counts = "2,004 sent, 0 pending, 0 of them on disk, "
    assert lines[1] == f"{counts}1 (bad_request 1) set aside, 0 dropped"
    assert str(flushed).startswith(f"{counts}1 set aside, 0 dropped; last error: the server rej")
    assert lines[2] == "writer behind by 0.0 s, 0 bytes in memory"
    assert lines[3].startswith("spool ")
    assert lines[4].startswith("last error: the server rejected an item")
    assert len(lines) == 5
    assert os.linesep not in str(flushed)


@remit.agent("cook")
def cook() -> None:
    """Run once, beside `agent`."""


def test_runs_that_the_server_records_as_another_agents_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A token of one agent's deployment makes all runs that agent's: said once, with both names."""
    store = open_store(tmp_path / "server.db")
    mine = "tests.seen:agent"
    token = create_token(store, "agent_deployment", agent=mine)
    with on_a_port(create_app(store)) as url:
        configure(url, tmp_path, api_token=token.secret)
        agent(1)
        for _ in range(2):
            cook()
        assert remit.flush(60)
        assert remit.status().misattributed == {f"remit/{__name__}:cook": 2}
        assert f"recorded as another agent's: 2 (remit/{__name__}:cook 2)" in str(remit.status())

    (line,) = [each for each in caplog.messages if "records the runs of" in each]
    assert f"{__name__}:cook as runs of the agent {mine}, because" in line
    store.close()
