"""One file of the spool: what a killed process leaves, and what becomes of a file when it ends."""

from __future__ import annotations

import math
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import msgspec
import pytest

from remit._deliver.losses import Loss
from remit._deliver.spool import store
from remit._deliver.spool.outbox import Outbox
from remit._deliver.spool.store import SpoolFile
from remit._deliver.stored import Registration, RunState
from tests.delivering import NEVER_S, wait_for
from tests.spooling import (
    ROOT,
    RUN,
    TARGET,
    Spooled,
    active,
    close,
    finish,
    in_child,
    item,
    numbers,
    stored_run,
)
from tests.subtests import each

MIB = 1 << 20


@pytest.fixture
def spooled(tmp_path: Path) -> Iterator[Spooled]:
    """Return a folder of the test's own."""
    spooled = Spooled(tmp_path)
    yield spooled
    spooled.end()


def settle_all(outbox: Outbox) -> None:
    """Settle what is pending, as after its delivery."""
    while rows := outbox.head(1000):
        outbox.settle([row.id for row in rows])


def test_what_a_killed_process_put_is_there(spooled: Spooled) -> None:
    """Items are in order and the run has its last saved state; nothing was closed or tidied."""

    def record_and_die() -> None:
        outbox = spooled.outbox()
        outbox.put([active(1), item(2)], [stored_run()])
        known = stored_run(RunState.STARTED)
        known.instance_id = "i-1"
        outbox.save_run(known)
        outbox.put([item(3)], [])
        outbox.settle([row.id for row in outbox.head(2)])

    in_child(record_and_die)
    file = spooled.take()
    assert numbers(file.head(9)) == [3]
    known = file.run(RUN)
    assert known is not None
    assert (known.state, known.instance_id) == (RunState.STARTED, "i-1")
    assert file.open_runs() == [known]
    assert numbers(file.open_spans()) == [1]


def test_the_beginning_of_a_span_whose_run_is_forgotten_keeps_no_file(spooled: Spooled) -> None:
    """No process can end such a span, so the file is deleted."""
    outbox = spooled.outbox()
    outbox.put([active(1)], [stored_run()])
    settle_all(outbox)
    outbox.forget_run(RUN)
    outbox.close()
    assert not spooled.files.has_files()


def test_the_registration_of_many_runs_is_written_once(spooled: Spooled) -> None:
    """It may be a megabyte long, and each state of a run is saved."""
    large = Registration("m:a", "A", None, None, None, b"{}", b"{}" * (MIB // 2))
    outbox = spooled.outbox()
    for number in range(8):
        run = msgspec.structs.replace(stored_run(), key=f"{RUN[:-1]}{number}", registration=large)
        outbox.put([active(number)], [run])

    assert len(spooled.content()) < 2 * MIB


def test_a_file_has_one_owner(spooled: Spooled) -> None:
    """The file of a live process is not taken, nor one that another process has taken."""
    outbox = spooled.outbox()
    outbox.put([item(1)], [stored_run()])
    assert spooled.files.has_files()
    assert spooled.files.take() is None
    outbox.close()
    file = spooled.take()
    assert Spooled(spooled.folder.path.parent).files.take() is None
    file.close()


def test_only_its_owner_can_read_what_is_in_it(spooled: Spooled) -> None:
    """Whatever the umask, files have mode 0600, and the folder, existing or new, has mode 0700."""
    spooled.folder.path.mkdir(mode=0o755, parents=True)
    before = os.umask(0)
    try:
        spooled.outbox().put([item(1)], [stored_run()])
    finally:
        os.umask(before)
    paths = list(spooled.folder.path.iterdir())
    assert {path.suffix for path in paths} >= {".db", ".db-wal", ".lock"}
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}
    assert spooled.folder.path.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("target", "token"),
    [
        ("https://other.example", "mine"),
        ("local", "mine"),
        (TARGET, "another"),
        (TARGET, None),
    ],
    ids=["server", "local", "token", "no token"],
)
def test_what_is_for_another_target_or_token_is_left_alone(
    tmp_path: Path, target: str, token: str | None
) -> None:
    """The next process of that target and token finds it unchanged."""
    spooled = Spooled(tmp_path, token="mine")
    theirs = Spooled(tmp_path, target=target, token=token)
    outbox = theirs.outbox()
    outbox.put([item(1)], [stored_run()])
    outbox.close()
    assert spooled.files.take() is None
    assert not spooled.files.has_files(), "it is remembered as not ours"
    assert numbers(theirs.take().head(9)) == [1]
    theirs.end()


def test_another_token_of_the_same_target_can_be_included(spooled: Spooled) -> None:
    """It is taken on request after a token was replaced; another target's never is."""
    old = Spooled(spooled.folder.path.parent, token="old")
    outbox = old.outbox()
    outbox.put([item(1)], [stored_run()])
    outbox.close()
    everything = Spooled(spooled.folder.path.parent, any_token=True)
    assert numbers(everything.take().head(9)) == [1]
    everything.end()
    local = Spooled(spooled.folder.path.parent, target="local", any_token=True)
    assert local.files.take() is None


def test_a_slash_at_the_end_of_a_url_makes_no_other_target(spooled: Spooled) -> None:
    """The next program may write the URL either way."""
    slashed = Spooled(spooled.folder.path.parent, target=f"{TARGET}/")
    assert slashed.folder.identity == spooled.folder.identity


def test_a_file_that_is_done_with_is_deleted(spooled: Spooled) -> None:
    """Its lock and SQLite's companion files are deleted too."""
    outbox = spooled.outbox()
    outbox.put([item(1), close()], [stored_run()])
    outbox.save_run(stored_run(RunState.ENDED))
    settle_all(outbox)
    outbox.close()
    assert list(spooled.folder.path.iterdir()) == []


def test_a_file_with_an_open_run_is_left_for_another_to_end_it(spooled: Spooled) -> None:
    """It stays when all recorded items are delivered, unless the run belongs to the parent."""
    outbox = spooled.outbox()
    outbox.put([item(1)], [stored_run(RunState.STARTED)])
    settle_all(outbox)
    outbox.close()
    file = spooled.take()
    assert [run.key for run in file.open_runs()] == [RUN]
    known = file.run(RUN)
    assert known is not None
    known.inherited = True
    file.close()
    assert list(spooled.folder.path.iterdir()) == []


def test_what_is_delivered_of_a_put_is_not_sent_by_the_next_process(spooled: Spooled) -> None:
    """The rest of the put is sent in order."""
    outbox = spooled.outbox()
    outbox.put([item(number) for number in range(5)], [stored_run()])
    ids = [row.id for row in outbox.head(9)]
    outbox.settle(ids[1:4])
    outbox.close()
    assert numbers(spooled.take().head(9)) == [0, 4]


def test_an_announced_span_is_open_until_its_end_is_put(spooled: Spooled) -> None:
    """Another process can end it; its payload is at the server and is not kept."""
    outbox = spooled.outbox()
    outbox.put([active(1), active(2), active(3)], [stored_run()])
    outbox.put([finish(2), active(4), finish(4)], [])
    outbox.close()
    found = spooled.take().open_spans()
    assert numbers(found) == [1, 3]
    assert [span.payload for span in found] == [None, None]


def test_the_root_of_an_ended_run_is_not_open(spooled: Spooled) -> None:
    """The end of the run ends its root span."""
    outbox = spooled.outbox()
    outbox.put([active(ROOT, None), close(None)], [stored_run()])
    outbox.close()
    assert spooled.take().open_spans() == []


def test_refused_items_are_kept_with_their_reason_until_they_are_asked_for(
    spooled: Spooled,
) -> None:
    """The file is put aside and is not taken, until a command brings it back."""
    outbox = spooled.outbox()
    outbox.put([item(1), item(2)], [stored_run(RunState.SET_ASIDE)])
    for row in outbox.head(9):
        outbox.set_aside(row, "run_forbidden")
    outbox.close()
    assert spooled.names() == {".aside"}
    assert spooled.files.take() is None
    spooled.files.bring_back()
    file = spooled.take()
    assert numbers(file.head(9)) == [1, 2]
    assert [run.state for run in file.open_runs()] == [RunState.NEW]


def test_a_damaged_item_does_not_keep_the_other_refused_ones(spooled: Spooled) -> None:
    """It is counted as lost."""
    outbox = spooled.outbox()
    outbox.put([item(1), item(2)], [stored_run(RunState.ENDED)])
    for row in outbox.head(9):
        outbox.set_aside(row, "bad_request")
    outbox.close()
    (path,) = spooled.folder.files(".aside")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE aside SET crc = crc + 1 WHERE id = 1")
    spooled.files.bring_back()
    assert numbers(spooled.take().head(9)) == [2]
    assert spooled.lost == {Loss.SPOOL_DAMAGED: 1}


def test_a_run_is_remembered_while_something_of_it_is_set_aside(spooled: Spooled) -> None:
    """What was set aside needs the run's record to be sent again."""
    outbox = spooled.outbox()
    outbox.put([item(1)], [stored_run(RunState.ENDED)])
    for row in outbox.head(1):
        outbox.set_aside(row, "bad_request")
    outbox.forget_run(RUN)
    outbox.put([item(2)], [])
    settle_all(outbox)
    outbox.close()
    spooled.files.bring_back()
    assert spooled.take().run(RUN) is not None


def test_the_sender_is_not_handed_more_than_fits_in_memory(spooled: Spooled) -> None:
    """A read returns a few batches of large payloads; one that is larger still comes alone."""
    outbox = spooled.outbox()
    outbox.put([item(number, b'"%s"' % (b"x" * 600_000)) for number in range(20)], [stored_run()])
    outbox.put([item(99, b'"%s"' % (b"y" * 9_000_000))], [])
    reads: list[list[int]] = []
    while rows := outbox.head(2000):
        reads.append(numbers(rows))
        outbox.settle([row.id for row in rows])
    assert [number for read in reads for number in read] == [*range(20), 99]
    assert reads[-1] == [99]
    assert all(len(read) * 600_000 <= 8 * MIB for read in reads)


def test_an_empty_file_gives_its_bytes_back(spooled: Spooled) -> None:
    """The file shrinks when an outage is over."""
    outbox = spooled.outbox()
    for number in range(40):
        outbox.put([item(number, b'"%s"' % (b"x" * 1_000_000))], [stored_run()])
    assert spooled.folder.size_bytes() > 40_000_000
    settle_all(outbox)
    outbox.erase_settled()
    assert spooled.folder.size_bytes() < 300_000


def test_what_is_settled_leaves_no_byte_in_file_and_log(spooled: Spooled) -> None:
    """Whatever the sizes, and in whatever order: an open run keeps the file."""
    draw, outbox = Random(28), spooled.outbox()
    outbox.put([item(0, b'"planted"')], [stored_run(RunState.STARTED)])
    for number in range(1, 400):
        outbox.put([item(number, b'"%s"' % (b"planted" * draw.choice([1, 300, 2000, 9000])))], [])
        if draw.random() < 0.7:
            outbox.settle([row.id for row in outbox.head(draw.randrange(1, 4))])
    assert b"planted" in spooled.content()
    settle_all(outbox)
    outbox.erase_settled()
    assert b"planted" not in spooled.content()
    assert spooled.names() == {".db", ".db-shm", ".db-wal", ".lock"}


def test_a_log_that_another_process_reads_is_emptied_afterwards(
    spooled: Spooled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the sender tries again every half second."""
    monkeypatch.setattr(store, "BUSY_TIMEOUT_S", NEVER_S)
    outbox = spooled.outbox()
    outbox.put([item(0, b'"planted"')], [stored_run(RunState.STARTED)])
    (path,) = spooled.folder.files(".db")
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM chunk").fetchone() == (1,)
        settle_all(outbox)
        outbox.erase_settled()
        assert 0 < outbox.erase_settled() <= 1
        assert b"planted" in spooled.content()
    wait_for(lambda: outbox.erase_settled() == math.inf)
    assert b"planted" not in spooled.content()


def test_a_damaged_part_is_left_to_a_later_process(
    spooled: Spooled, caplog: pytest.LogCaptureFixture
) -> None:
    """The process goes on in memory; the later one sends the other items and counts the damaged."""
    outbox = spooled.outbox()
    for number in range(3):
        outbox.put([item(number)], [stored_run(RunState.ENDED)] if not number else [])
    (path,) = spooled.folder.files(".db")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE chunk SET crc = crc + 1 WHERE id = 2")
    assert numbers(outbox.head(9)) == [0]
    outbox.put([item(3)], [])
    assert numbers(outbox.head(9)) == [3]
    outbox.settle([outbox.head(9)[0].id])
    assert (outbox.pending(), outbox.spooled()) == (3, 3)
    outbox.close()
    assert numbers(spooled.adopted()) == [0, 2]
    assert spooled.lost == {Loss.SPOOL_DAMAGED: 1}
    assert spooled.names() == {".damaged"}
    assert [line for line in caplog.messages if "cannot be used" in line] == caplog.messages[:1]


def test_a_damaged_file_waits_for_a_disk_that_takes_what_can_be_read(
    spooled: Spooled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then it stays as it is, and each attempt leaves nothing behind."""

    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    outbox = spooled.outbox()
    for number in range(3):
        outbox.put([item(number)], [stored_run(RunState.ENDED)] if not number else [])
    outbox.close()
    (path,) = spooled.folder.files(".db")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE chunk SET crc = crc + 1 WHERE id = 2")
    with monkeypatch.context() as patch:
        patch.setattr(SpoolFile, "write", full)
        descriptors = len([*Path("/dev/fd").iterdir()])
        for _ in range(3):
            assert numbers(spooled.adopted()) == [0]
        assert len([*Path("/dev/fd").iterdir()]) == descriptors
    assert spooled.folder.files(".db") == [path]
    assert not spooled.lost
    assert numbers(spooled.adopted()) == [0, 2]
    assert spooled.lost == {Loss.SPOOL_DAMAGED: 1}


def test_the_file_of_a_process_that_wrote_nothing_is_removed(spooled: Spooled) -> None:
    """A process may be killed between creating the file and its first item."""
    claim = spooled.folder.create()
    claim.release()
    assert spooled.files.take() is None
    assert list(spooled.folder.path.iterdir()) == []


def test_a_file_of_a_later_version_is_left_alone(spooled: Spooled) -> None:
    """This version cannot know what is in it."""
    outbox = spooled.outbox()
    outbox.put([item(1)], [stored_run()])
    outbox.close()
    (path,) = spooled.folder.files(".db")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE about SET format = format + 1")
    assert spooled.files.take() is None
    assert path.exists()


def test_what_comes_after_the_close_is_left_to_a_later_process(spooled: Spooled) -> None:
    """A writer that hangs beyond the shutdown may still put items."""
    outbox = spooled.outbox()
    outbox.close()
    outbox.put([item(1)], [stored_run()])
    assert numbers(spooled.take().head(9)) == [1]


@each("holder", ["a thread", "another process"])
def test_an_end_waits_no_longer_for_the_file_than_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder: str
) -> None:
    """What is in a file that is held is left to a later process."""
    monkeypatch.setattr(store, "BUSY_TIMEOUT_S", NEVER_S)
    spooled = Spooled(tmp_path / holder)
    outbox = spooled.outbox()
    outbox.put([item(1)], [stored_run()])
    outbox.put([item(2)], [])
    outbox.settle([outbox.head(1)[0].id])
    (path,) = spooled.folder.files(".db")
    held, over = threading.Event(), threading.Event()

    def pause() -> None:
        if holder == "a thread":
            assert spooled.files.pause(10)
            held.set()
            over.wait()
            spooled.files.resume()
            return
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            held.set()
            over.wait()
            other.execute("ROLLBACK")

    thread = threading.Thread(target=pause)
    thread.start()
    assert held.wait(60)
    outbox.close(0.1)
    over.set()
    thread.join(60)
    outbox.close()
    assert 2 in numbers(spooled.take().head(9))
    spooled.end()
