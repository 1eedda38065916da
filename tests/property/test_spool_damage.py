"""A spool file that was cut or altered at any byte: what can be read is sent, nothing else is."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inside import (
    SMALL_FOLDER_BYTES,
    SMALL_PAGE_BYTES,
    STORAGE_ERRORS,
    AnyItem,
    DamagedError,
    RunState,
    SpoolOutbox,
    is_damage,
)
from tests.spooling import Spooled, in_child, item, record

CHUNKS: Final = 40
# A folder of this size has small pages, so that many of them are read.
SMALL: Final = SMALL_FOLDER_BYTES - 1
# Source: SQLite's file format, "The Database Header".
SCHEMA_FORMAT_AT: Final = 44
ITEMS: Final = [item(number, b'"%s"' % (b"x" * 500)) for number in range(CHUNKS * 5)]


def fill(spooled: Spooled) -> SpoolOutbox:
    """Record some chunks, delivering nothing."""
    outbox = spooled.outbox()
    outbox.put([], [record(RunState.ENDED)])
    for begin in range(0, len(ITEMS), 5):
        outbox.put(ITEMS[begin : begin + 5], [])
    return outbox


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a folder with a tidied file, and one that a killed process left, with its log."""
    found = {kind: tmp_path_factory.mktemp(kind) for kind in ("closed", "killed")}
    fill(Spooled(found["closed"], max_bytes=SMALL)).close()
    in_child(lambda: fill(Spooled(found["killed"], max_bytes=SMALL)))
    return found


def taken(data_dir: Path) -> tuple[list[AnyItem], Spooled]:
    """Return the items that an adopter reads, however often it has to begin again."""
    spooled = Spooled(data_dir)
    items: list[AnyItem] = []
    file = spooled.files.take()
    while file is not None:
        try:
            while rows := file.head(1000):
                items += [each for _, each in rows]
                file.settle([row_id for row_id, _ in rows])
        except (DamagedError, *STORAGE_ERRORS) as error:
            if not is_damage(error):
                raise
            file = spooled.files.rescue(file.surrender(), error)
        else:
            file.close()
            file = spooled.files.take()
    return items, spooled


def harmed(source: Path, harm: bytes | None, place: float, suffix: str) -> list[AnyItem]:
    """Return what is read of a copy of *source*, cut or altered at *place* (0 to 1) of a file."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        shutil.copytree(source, data_dir)
        (path,) = (each for each in (data_dir / "spool").iterdir() if each.suffix == suffix)
        content = path.read_bytes()
        at = int(place * (len(content) - 1))
        rest = b"" if harm is None else harm + content[at + len(harm) :]
        path.write_bytes(content[:at] + rest)
        items, spooled = taken(data_dir)
        assert spooled.folder.files(".db") == [], "it is sent, deleted or put aside"
        return items


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("closed", ".db"), ("killed", ".db-wal"), ("killed", ".db")],
    ids=["file", "log", "file with its log"],
)
@settings(max_examples=60)
@given(place=st.floats(0, 1), harm=st.one_of(st.none(), st.binary(min_size=1, max_size=64)))
def test_what_is_read_of_a_damaged_file_was_written_so(
    written: dict[str, Path], kind: str, suffix: str, place: float, harm: bytes | None
) -> None:
    """Cut off or overwritten anywhere: no exception, no item that nobody recorded, in order."""
    found = harmed(written[kind], harm, place, suffix)
    assert all(each in ITEMS for each in found)
    assert [each[2] for each in found] == sorted(each[2] for each in found)


def test_a_file_of_an_impossible_format_is_put_aside(written: dict[str, Path]) -> None:
    """SQLite says so in words of its own, which damage has nowhere else."""
    (path,) = (written["closed"] / "spool").glob("*.db")
    place = (SCHEMA_FORMAT_AT + 0.5) / path.stat().st_size
    assert harmed(written["closed"], b"\0\0\0\5", place, ".db") == []


def test_most_of_a_file_that_is_cut_in_its_middle_is_saved(written: dict[str, Path]) -> None:
    """What is before the cut is sent."""
    found = harmed(written["closed"], None, 0.75, ".db")
    assert len(found) > len(ITEMS) / 3


def test_a_page_that_was_overwritten_costs_no_more_than_it_held(
    written: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """The chunks before and after it are sent; one line says that the file was put aside."""
    found = harmed(written["closed"], b"\xaa" * SMALL_PAGE_BYTES, 0.5, ".db")
    assert len(ITEMS) * 3 / 4 < len(found) < len(ITEMS)
    assert caplog.text.count("is damaged") <= 1
