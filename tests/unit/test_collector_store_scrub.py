"""What was removed from an SQLite file is not in it any more, whatever SQLite itself overwrites."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from remit.collector.store.sqlite_rows import SqliteTransaction
from remit.testing import FakeClock
from tests.collecting import World
from tests.inside_collector import sqlite_store

CANARY = "canary-4711"


def content(folder: Path) -> bytes:
    """Return all that stands in the files of a folder."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_a_scrubbed_file_holds_nothing_that_was_removed(tmp_path: Path) -> None:
    """Also where SQLite leaves what is deleted in place, which depends on how it was built."""
    store = sqlite_store(tmp_path / "remit.db")
    api = World(store).account()
    run = api.instance("active")
    for number in range(50):
        api.span(run["id"], payload={"q": CANARY * (number * 40 + 1)})
    with closing(sqlite3.connect(tmp_path / "remit.db")) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        tx = SqliteTransaction(connection)
        tx.erase(tx.runs(None, [run["id"]])[run["id"]], 1)
        connection.commit()
    assert CANARY.encode() in content(tmp_path)

    store.scrub()

    assert CANARY.encode() not in content(tmp_path)
    assert len(api.spans(run["id"])) == 50
    store.close()


def test_what_was_old_is_not_in_the_file_any_more(tmp_path: Path) -> None:
    """Once it was removed, though the file is in use."""
    clock = FakeClock()
    store = sqlite_store(tmp_path / "remit.db")
    api = World(store, clock=clock).account()
    run = api.instance("active")
    for number in range(50):
        api.span(run["id"], payload={"q": CANARY * (number * 40 + 1)})
    # As it is when others serve it: nothing is tidied up when the command ends.
    other = sqlite_store(tmp_path / "remit.db")
    other.scrub()
    assert CANARY.encode() in content(tmp_path)

    removed = store.retain(clock.wall_ns() // 1000 + 3_600_000_000)

    assert removed.spans == 50
    assert CANARY.encode() not in (tmp_path / "remit.db").read_bytes()
    other.close()
    store.close()
