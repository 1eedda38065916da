"""Lists and deletes the files in the spool's folder, of every process, target and token."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from remit._base import sqlite
from remit._deliver.records import DamagedError
from remit._deliver.spool.folder import (
    ASIDE,
    DAMAGED,
    DATABASE,
    Folder,
    Identity,
    files_of,
    modified_ns,
)
from remit._deliver.spool.store import (
    STORAGE_ERRORS,
    is_damage,
    is_foreign,
    read_about,
    read_aside,
    read_chunks,
    read_runs,
)


class FileState(StrEnum):
    """State of a file."""

    IN_USE = "in use"
    """Its process runs, or another process sends it."""
    WAITING = "waiting"
    """Its process has ended; the next one with the same target and token sends it."""
    SET_ASIDE = "set aside"
    """A server refused its items; `remit spool send --set-aside` tries again."""
    EMPTY = "empty"
    """Its process ended before it wrote anything; the next process removes it."""
    DAMAGED = "damaged"
    """It cannot be read completely; the readable part is or was sent."""


@dataclass(frozen=True, slots=True)
class RefusedItem:
    """Items of one file that a server refused for one reason.

    Attributes:
        reason: In one word, as the server gave it.
        name: Their span type, or quality name.
    """

    reason: str
    name: str
    run_key: str


@dataclass(frozen=True, slots=True)
class SpoolFileInfo:
    """One file.

    Attributes:
        written_ns: When it was written to last, by the wall clock.
        identity: Target and token of its items; None if unreadable or not written yet.
        items: How many items wait in it.
        open_runs: How many runs of its process have not ended.
        refused: How many items of it were refused, and why.
    """

    path: Path
    state: FileState
    size_bytes: int
    written_ns: int
    identity: Identity | None = None
    items: int = 0
    open_runs: int = 0
    refused: Counter[RefusedItem] = field(default_factory=Counter[RefusedItem])


def listed(folder: Folder) -> list[SpoolFileInfo]:
    """Return the files of *folder*, the oldest first."""
    return [
        _listed(folder, path)
        for path in folder.files(DATABASE, ASIDE, DAMAGED)
        if path.suffix == DAMAGED or not is_foreign(path)
    ]


def purge(folder: Folder, found: Iterable[SpoolFileInfo]) -> list[SpoolFileInfo]:
    """Delete the files in *found* that no process uses; return those."""
    deleted: list[SpoolFileInfo] = []
    for file in found:
        with suppress(OSError):
            claim = folder.claim(file.path)
            if claim is not None:
                claim.remove()
                deleted.append(file)
    return deleted


def _listed(folder: Folder, path: Path) -> SpoolFileInfo:
    """Read a file without changing it or the folder."""
    states = {ASIDE: FileState.SET_ASIDE, DAMAGED: FileState.DAMAGED}
    size_bytes = 0
    for file in files_of(path):
        with suppress(OSError):
            size_bytes += file.stat().st_size
    found = SpoolFileInfo(
        path, states.get(path.suffix, FileState.WAITING), size_bytes, modified_ns(path)
    )
    in_use = folder.in_use(path)
    if in_use:
        found = replace(found, state=FileState.IN_USE)
    if found.state is not FileState.DAMAGED:
        try:
            with closing(sqlite.reader(path, abandoned=not in_use)) as connection:
                return _read(found, connection)
        except (DamagedError, *STORAGE_ERRORS) as error:
            if is_damage(error) and not in_use:
                return replace(found, state=FileState.DAMAGED)
    return found


def _read(found: SpoolFileInfo, connection: sqlite3.Connection) -> SpoolFileInfo:
    about = read_about(connection)
    if about is None:
        in_use = found.state is FileState.IN_USE
        return found if in_use else replace(found, state=FileState.EMPTY)
    return replace(
        found,
        identity=about[1],
        items=sum(chunk.items for chunk in read_chunks(connection).values()),
        open_runs=sum(not (run.ended or run.inherited) for run in read_runs(connection)),
        refused=Counter(
            RefusedItem(reason, item.name or "", item.run_key)
            for reason, item in read_aside(connection)
        ),
    )
