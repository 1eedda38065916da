"""A spool file that was cut or altered at any byte: what can be read is sent, nothing else is."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.inside import PAGE_BYTES, Item, Loss, Outbox, RunState
from tests.spooling import Spooled, in_child, item, stored_run

PUTS: Final = 40
PAGE: Final = b"\xaa" * PAGE_BYTES
# Source: SQLite's file format, "The Database Header".
SCHEMA_FORMAT_AT: Final = 44
# The header with the application id, the schema, and the table `about`.
PAGES_OF_IDENTITY: Final = 2 * PAGE_BYTES
ITEMS: Final = [item(number, b'"%s"' % (b"x" * 500)) for number in range(PUTS * 5)]


def fill(spooled: Spooled) -> Outbox:
    """Record many items and deliver none."""
    outbox = spooled.outbox()
    outbox.put([], [stored_run(RunState.ENDED)])
    for begin in range(0, len(ITEMS), 5):
        outbox.put(ITEMS[begin : begin + 5], [])
    return outbox


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a folder with a tidied file, and one that a killed process left, with its log."""
    found = {kind: tmp_path_factory.mktemp(kind) for kind in ("closed", "killed")}
    fill(Spooled(found["closed"])).close()
    in_child(lambda: fill(Spooled(found["killed"])))
    return found


def harmed(
    source: Path, harm: bytes | None, place: float, suffix: str
) -> tuple[list[Item], Spooled]:
    """Read a copy of *source* of which a file was cut or altered at *place* (0 to 1)."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        shutil.copytree(source, data_dir)
        (path,) = (file for file in (data_dir / "spool").iterdir() if file.suffix == suffix)
        content = path.read_bytes()
        at = int(place * (len(content) - 1))
        rest = b"" if harm is None else harm + content[at + len(harm) :]
        path.write_bytes(content[:at] + rest)
        spooled = Spooled(data_dir)
        items = spooled.adopted()
        # Damage of the first pages may make it the file of another program or another target.
        if suffix != ".db" or harm is None or at >= PAGES_OF_IDENTITY:
            assert spooled.folder.files(".db") == [], "it is sent, deleted or put aside"
        return items, spooled


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("closed", ".db"), ("killed", ".db-wal"), ("killed", ".db")],
    ids=["file", "log", "file with its log"],
)
@given(place=st.floats(0, 1), harm=st.one_of(st.none(), st.binary(min_size=1, max_size=64)))
def test_what_is_read_of_a_damaged_file_was_written_so(
    written: dict[str, Path], kind: str, suffix: str, place: float, harm: bytes | None
) -> None:
    """A file may be cut off or overwritten anywhere: nothing raises, and order is kept."""
    found, _ = harmed(written[kind], harm, place, suffix)
    assert all(each in ITEMS for each in found)
    assert [each.key for each in found] == sorted(each.key for each in found)


def test_a_schema_that_is_not_utf_8_is_damage(written: dict[str, Path]) -> None:
    """SQLite quotes it in its messages, which Python then cannot decode; any byte may be hit."""
    (path,) = (written["closed"] / "spool").glob("*.db")
    size, page = path.stat().st_size, path.read_bytes()[:PAGE_BYTES]
    for at in range(page.index(b"CREATE TABLE") - 40, PAGE_BYTES, 13):
        found, _ = harmed(written["closed"], b"\x80", (at + 0.5) / size, ".db")
        assert all(each in ITEMS for each in found)


@pytest.mark.parametrize("kind", ["closed", "killed"])
def test_an_undamaged_file_is_read_whole_without_a_word(
    written: dict[str, Path], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is counted as lost, and the log has no line."""
    found, spooled = harmed(written[kind], b"", 0.5, ".db")
    assert found == ITEMS
    assert not spooled.lost
    assert not caplog.text


def test_a_file_of_an_impossible_format_is_put_aside(written: dict[str, Path]) -> None:
    """SQLite reports this kind of damage with a different message; one loss is counted."""
    (path,) = (written["closed"] / "spool").glob("*.db")
    place = (SCHEMA_FORMAT_AT + 0.5) / path.stat().st_size
    found, spooled = harmed(written["closed"], b"\0\0\0\5", place, ".db")
    assert found == []
    assert spooled.lost[Loss.SPOOL_DAMAGED] > 0


@pytest.mark.parametrize("tree", ["aside_run", "open_span"])
def test_a_file_damaged_beside_its_items_does_not_stay(written: dict[str, Path], tree: str) -> None:
    """Its items are sent, and it is put aside instead of being taken again and again."""
    (path,) = (written["closed"] / "spool").glob("*.db")
    with closing(sqlite3.connect(path)) as database:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        (page,) = database.execute(query, [tree]).fetchone()
    place = ((page - 1) * PAGE_BYTES + 0.5) / path.stat().st_size
    assert harmed(written["closed"], PAGE, place, ".db")[0] == ITEMS


@pytest.mark.parametrize("harm", [None, PAGE], ids=["cut", "page overwritten"])
def test_what_is_before_the_damage_is_sent_and_the_rest_is_counted(
    written: dict[str, Path], harm: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    """One line of the log says that the file was put aside."""
    found, spooled = harmed(written["closed"], harm, 0.75, ".db")
    assert len(ITEMS) / 3 < len(found) < len(ITEMS)
    assert found[: len(ITEMS) // 3] == ITEMS[: len(ITEMS) // 3]
    assert spooled.lost[Loss.SPOOL_DAMAGED] > 0
    (line,) = caplog.messages
    assert "renamed to end with .damaged" in line
