"""One file of the spool: what a killed process leaves, and what is done with a file at its end."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from remit._losses import Loss
from remit._spool import Others, RunState
from remit._spool.database import Database
from tests.spooling import (
    RUN,
    TARGET,
    Spooled,
    active,
    close,
    finish,
    in_child,
    item,
    numbers,
    record,
)


@pytest.fixture
def spooled(tmp_path: Path) -> Iterator[Spooled]:
    """Return a folder of the test's own."""
    spooled = Spooled(tmp_path)
    yield spooled
    spooled.end()


def test_what_a_killed_process_put_is_there(spooled: Spooled) -> None:
    """Items in order, and the run with where it stood; nothing was closed or tidied."""

    def record_and_die() -> None:
        outbox = spooled.outbox()
        outbox.put([active(1), item(2)], [record()])
        known = record(RunState.STARTED)
        known.instance_id = "i-1"
        outbox.save_run(known)
        outbox.put([item(3)], [])
        outbox.settle([row_id for row_id, _ in outbox.head(2)])

    in_child(record_and_die)
    file = spooled.take()
    assert numbers(file.head(9)) == [3]
    known = file.run(RUN)
    assert known is not None
    assert (known.state, known.instance_id) == (RunState.STARTED, "i-1")
    assert file.open_runs() == [known]
    assert numbers((0, each) for each in file.open_spans()) == [1]


def test_a_transaction_that_was_broken_off_is_undone_by_the_next(
    spooled: Spooled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alarm may go off before the one that raises can be undone."""
    outbox = spooled.outbox()
    outbox.put([item(1)], [record()])
    with monkeypatch.context() as patch:
        patch.setattr(Database, "add_chunks", ring)
        patch.setattr(Database, "_roll_back", lambda _: None)
        with pytest.raises(AlarmError):
            outbox.put([item(2)], [])
    outbox.put([item(3)], [])
    assert numbers(outbox.head(9)) == [1, 3]


def test_the_beginning_of_a_span_whose_run_is_forgotten_keeps_no_file(spooled: Spooled) -> None:
    """Nobody can end it; adopters took such a file again and again."""
    outbox = spooled.outbox()
    outbox.put([active(1)], [record()])
    outbox.settle([row_id for row_id, _ in outbox.head(9)])
    outbox.forget_run(RUN)
    outbox.close()
    assert not spooled.files.left()


class AlarmError(Exception):
    """What a signal's handler raises."""


def ring(*_: object) -> None:
    """Go off."""
    raise AlarmError


def test_a_file_has_one_owner(spooled: Spooled) -> None:
    """Nobody takes the file of a process that lives, nor one that another has taken."""
    outbox = spooled.outbox()
    outbox.put([item(1)], [record()])
    assert spooled.files.left()
    assert spooled.files.take() is None
    outbox.close()
    file = spooled.take()
    assert Spooled(spooled.folder.path.parent).files.take() is None
    file.close()


def test_only_its_owner_can_read_what_is_in_it(spooled: Spooled) -> None:
    """Files 0600, whatever the umask, in a folder 0700, also one that was there before."""
    spooled.folder.path.mkdir(mode=0o755, parents=True)
    before = os.umask(0)
    try:
        spooled.outbox().put([item(1)], [record()])
    finally:
        os.umask(before)
    modes = {path.suffix: path.stat().st_mode & 0o777 for path in spooled.folder.path.iterdir()}
    assert modes == {".db": 0o600, ".db-wal": 0o600, ".db-shm": 0o600, ".lock": 0o600}
    assert spooled.folder.path.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "other",
    [
        {"target": "https://other.example"},
        {"target": "local"},
        {"token": "another"},
        {"token": None},
    ],
    ids=["server", "local", "token", "no token"],
)
def test_what_is_for_another_target_or_token_is_left_alone(
    spooled: Spooled, other: dict[str, str | None]
) -> None:
    """The next process of that target finds it as it was."""
    theirs = Spooled(spooled.folder.path.parent, **other)  # type: ignore[arg-type]  # two of them
    outbox = theirs.outbox()
    outbox.put([item(1)], [record()])
    outbox.close()
    assert spooled.files.take() is None
    assert not spooled.files.left(), "it is remembered as not ours"
    assert numbers(theirs.take().head(9)) == [1]
    theirs.end()


def test_another_token_of_the_same_target_can_be_included(spooled: Spooled) -> None:
    """After a token was replaced, by hand; never another target."""
    old = Spooled(spooled.folder.path.parent, token="old")
    outbox = old.outbox()
    outbox.put([item(1)], [record()])
    outbox.close()
    everything = Spooled(spooled.folder.path.parent, others=Others(any_token=True))
    assert numbers(everything.take().head(9)) == [1]
    everything.end()
    local = Spooled(spooled.folder.path.parent, target="local", others=Others(any_token=True))
    assert local.files.take() is None


def test_a_slash_at_the_end_of_a_url_makes_no_other_target(spooled: Spooled) -> None:
    """Nor does it matter how the URL is written in the next program."""
    slashed = Spooled(spooled.folder.path.parent, target=f"{TARGET}/")
    assert slashed.folder.identity == spooled.folder.identity


def test_a_file_that_is_done_with_is_deleted(spooled: Spooled) -> None:
    """With its lock and everything that SQLite put beside it."""
    outbox = spooled.outbox()
    outbox.put([item(1), close()], [record()])
    ended = record(RunState.ENDED)
    outbox.save_run(ended)
    outbox.settle([row_id for row_id, _ in outbox.head(9)])
    outbox.close()
    assert list(spooled.folder.path.iterdir()) == []


def test_a_file_with_an_open_run_is_left_for_another_to_end_it(spooled: Spooled) -> None:
    """Also when all that was recorded of it is delivered; but not a run of the parent's."""
    outbox = spooled.outbox()
    outbox.put([item(1)], [record(RunState.STARTED)])
    outbox.settle([row_id for row_id, _ in outbox.head(9)])
    outbox.close()
    file = spooled.take()
    assert [run.key for run in file.open_runs()] == [RUN]
    known = file.run(RUN)
    assert known is not None
    known.inherited = True
    file.close()
    assert list(spooled.folder.path.iterdir()) == []


def test_what_is_delivered_of_a_chunk_is_not_sent_by_the_next_process(spooled: Spooled) -> None:
    """Unless this one is killed: then it is sent once more, by the same keys."""
    outbox = spooled.outbox()
    outbox.put([item(number) for number in range(5)], [record()])
    ids = [row_id for row_id, _ in outbox.head(9)]
    outbox.settle(ids[1:4])
    outbox.close()
    assert numbers(spooled.take().head(9)) == [0, 4]


def test_an_announced_span_is_open_until_its_end_is_put(spooled: Spooled) -> None:
    """So that another process can end it; its payload is at the server and not kept."""
    outbox = spooled.outbox()
    outbox.put([active(1), active(2), active(3)], [record()])
    outbox.put([finish(2), active(4), finish(4)], [])
    outbox.close()
    found = spooled.take().open_spans()
    assert numbers((0, each) for each in found) == [1, 3]
    assert [each[8] for each in found] == [None, None]


def test_the_root_of_a_run_that_was_left_open_is_nobodys_to_end(spooled: Spooled) -> None:
    """The end of the run tells, although the server is told nothing."""
    outbox = spooled.outbox()
    outbox.put([active(record().root, None), close(None)], [record()])
    outbox.close()
    assert spooled.take().open_spans() == []


def test_refused_items_are_kept_with_their_reason_until_they_are_asked_for(
    spooled: Spooled,
) -> None:
    """The file is put aside, is found by nobody, and is sent again when a person says so."""
    outbox = spooled.outbox()
    outbox.put([item(1), item(2)], [record(RunState.SET_ASIDE)])
    outbox.set_aside(outbox.head(9), "run_forbidden")
    outbox.close()
    assert spooled.names() == {".aside"}
    assert spooled.files.take() is None
    assert spooled.files.bring_back() == 2
    file = spooled.take()
    assert numbers(file.head(9)) == [1, 2]
    assert [run.state for run in file.open_runs()] == [RunState.NEW]


def test_a_run_is_remembered_while_something_of_it_is_set_aside(spooled: Spooled) -> None:
    """Else what was set aside could never be sent again."""
    outbox = spooled.outbox()
    outbox.put([item(1)], [record(RunState.ENDED)])
    outbox.set_aside(outbox.head(1), "bad_request")
    outbox.forget_run(RUN)
    outbox.put([item(2)], [])
    outbox.settle([row_id for row_id, _ in outbox.head(9)])
    outbox.close()
    spooled.files.bring_back()
    assert spooled.take().run(RUN) is not None


def test_the_sender_is_not_handed_more_than_fits_in_memory(spooled: Spooled) -> None:
    """A few batches of large payloads; a single one that is larger still comes alone."""
    outbox = spooled.outbox()
    large = b'"%s"' % (b"x" * 600_000)
    outbox.put([item(number, large) for number in range(20)], [record()])
    first = numbers(outbox.head(2000))
    assert first == list(range(6))
    outbox.put([item(99, b'"%s"' % (b"y" * 9_000_000))], [])
    outbox.settle([row_id for _ in range(4) for row_id, _ in outbox.head(2000)])
    while numbers(outbox.head(2000)) != [99]:
        outbox.settle([row_id for row_id, _ in outbox.head(2000)])
    assert outbox.pending() == 1


def test_a_chunk_that_is_not_what_was_written_is_given_up_and_counted(spooled: Spooled) -> None:
    """Never sent: what is wrong in it nobody knows; the others go on."""
    outbox = spooled.outbox()
    outbox.put([item(1), item(2)], [record()])
    outbox.put([item(3)], [])
    outbox.close()
    (path,) = spooled.folder.files(".db")
    with sqlite3.connect(path) as connection:
        (body,) = connection.execute("SELECT body FROM chunk WHERE id = 1").fetchone()
        altered = body.replace(b"m:f", b"m:g")
        connection.execute("UPDATE chunk SET body = ? WHERE id = 1", (altered,))
    connection.close()
    file = spooled.take()
    assert numbers(file.head(9)) == [3]
    assert file.pending() == 1
    assert spooled.lost == {Loss.SPOOL_DAMAGED: 2}


def test_an_empty_file_gives_its_bytes_back(spooled: Spooled) -> None:
    """After an outage the file does not stay as large as it became."""
    outbox = spooled.outbox()
    for number in range(40):
        outbox.put([item(number, b'"%s"' % (b"x" * 1_000_000))], [record()])
    assert spooled.folder.size_bytes() > 40_000_000
    while rows := outbox.head(9):
        outbox.settle([row_id for row_id, _ in rows])
    assert spooled.folder.size_bytes() < 5_000_000


def test_the_file_of_a_process_that_wrote_nothing_is_removed(spooled: Spooled) -> None:
    """It was killed between making the file and its first item."""
    claim = spooled.folder.create()
    claim.release()
    assert spooled.files.take() is None
    assert list(spooled.folder.path.iterdir()) == []


def test_a_file_of_a_later_version_is_left_alone(spooled: Spooled) -> None:
    """What it means nobody here knows."""
    outbox = spooled.outbox()
    outbox.put([item(1)], [record()])
    outbox.close()
    (path,) = spooled.folder.files(".db")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE about SET format = 2")
    connection.close()
    assert spooled.files.take() is None
    assert path.exists()


def test_an_end_waits_no_longer_for_the_file_than_it_may(spooled: Spooled) -> None:
    """Who hangs in it has it; what is in it is left to a later process."""
    outbox = spooled.outbox()
    outbox.put([item(1)], [record()])
    held, over = threading.Event(), threading.Event()

    def hang() -> None:
        assert outbox.hold(10)
        held.set()
        over.wait(60)
        outbox.let_go()

    holder = threading.Thread(target=hang)
    holder.start()
    assert held.wait(10)
    began = time.monotonic()
    outbox.close(0.1)
    assert time.monotonic() - began < 4
    over.set()
    holder.join(10)


def test_an_end_waits_no_longer_for_another_process_than_it_may(spooled: Spooled) -> None:
    """Somebody looks at the file with a tool that locks it."""
    outbox = spooled.outbox()
    outbox.put([item(1)], [record()])
    outbox.put([item(2)], [])
    outbox.settle([outbox.head(1)[0][0]])
    (path,) = spooled.folder.files(".db")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    outbox.close(0.1)
    assert time.monotonic() - began < 4
    other.execute("ROLLBACK")
    other.close()
