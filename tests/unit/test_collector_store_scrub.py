"""What was removed from an SQLite file is not in it any more, whatever SQLite itself overwrites."""

from __future__ import annotations

from pathlib import Path

from remit.collector.store import SqliteStore
from tests.collecting import World

CANARY = "canary-4711"


def content(folder: Path) -> bytes:
    """Return all that stands in the files of a folder."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_a_scrubbed_file_holds_nothing_that_was_removed(tmp_path: Path) -> None:
    """Also where SQLite leaves what is deleted in place, which depends on how it was built."""
    store = SqliteStore(tmp_path / "remit.db")
    connection = store._connection
    assert connection is not None
    connection.execute("PRAGMA secure_delete = OFF")
    api = World(store).account()
    run = api.instance("active")
    for number in range(50):
        api.span(run["id"], payload={"q": CANARY * (number * 40 + 1)})
    with store.writing() as tx:
        tx.erase(run["id"], 1)
    assert CANARY.encode() in content(tmp_path)

    store.scrub()

    assert CANARY.encode() not in content(tmp_path)
    assert len(api.spans(run["id"])) == 50
    store.close()
