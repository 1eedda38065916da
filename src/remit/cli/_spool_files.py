"""Lists and deletes the spool files of all processes, targets and tokens."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from remit._base import sqlite
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
from remit._deliver.stored import DamagedError


class FileState(StrEnum):
    IN_USE = "in use"
    """Its process runs, or another process sends its items."""
    WAITING = "waiting"
    """Its process has ended; the next one with the same target and token sends it."""
    SET_ASIDE = "set aside"
    """A server rejected its items; `remit spool send --set-aside` tries again."""
    EMPTY = "empty"
    """Its process ended before it wrote anything; the next process removes it."""
    DAMAGED = "damaged"
    """It cannot be read completely; the readable part is or was sent."""


@dataclass(frozen=True, slots=True)
class RejectedItem:
    """An item that a server rejected.

    Attributes:
        reason: One word of the server.
        name: Span type, or name of a score.
    """

    reason: str
    name: str
    run_key: str


@dataclass(frozen=True, slots=True)
class SpoolFileInfo:
    """One file.

    Attributes:
        written_ns: Time of the last write, by the wall clock.
        identity: Target and token of its items; None if unreadable or not written yet.
        items: Number of waiting items.
        open_runs: Number of runs of its process that have not ended.
    """

    path: Path
    state: FileState
    size_bytes: int
    written_ns: int
    identity: Identity | None = None
    items: int = 0
    open_runs: int = 0
    rejected: Counter[RejectedItem] = field(default_factory=Counter[RejectedItem])


def listed(folder: Folder) -> list[SpoolFileInfo]:
    return [
        _listed(folder, path)
        for path in folder.files(DATABASE, ASIDE, DAMAGED)
        if path.suffix == DAMAGED or not is_foreign(path)
    ]


def purge(folder: Folder, files: Iterable[SpoolFileInfo]) -> list[SpoolFileInfo]:
    deleted: list[SpoolFileInfo] = []
    for file in files:
        with suppress(OSError):
            claim = folder.claim(file.path)
            if claim is not None:
                claim.remove()
                deleted.append(file)
    return deleted


def _listed(folder: Folder, path: Path) -> SpoolFileInfo:
    states = {ASIDE: FileState.SET_ASIDE, DAMAGED: FileState.DAMAGED}
    size_bytes = 0
    for file in files_of(path):
        with suppress(OSError):
            size_bytes += file.stat().st_size
    info = SpoolFileInfo(
        path, states.get(path.suffix, FileState.WAITING), size_bytes, modified_ns(path)
    )
    in_use = folder.in_use(path)
    if in_use:
        info = replace(info, state=FileState.IN_USE)
    if info.state is not FileState.DAMAGED:
        try:
            with closing(sqlite.open_read_only(path, abandoned=not in_use)) as connection:
                return _read(info, connection)
        except (DamagedError, *STORAGE_ERRORS) as error:
            if is_damage(error) and not in_use:
                return replace(info, state=FileState.DAMAGED)
    return info


def _read(info: SpoolFileInfo, connection: sqlite3.Connection) -> SpoolFileInfo:
    about = read_about(connection)
    if about is None:
        in_use = info.state is FileState.IN_USE
        return info if in_use else replace(info, state=FileState.EMPTY)
    return replace(
        info,
        identity=about[1],
        items=sum(chunk.items for chunk in read_chunks(connection).values()),
        open_runs=sum(not (run.ended or run.inherited) for run in read_runs(connection)),
        rejected=Counter(
            RejectedItem(reason, item.name or "", item.run_key)
            for reason, item in read_aside(connection)
        ),
    )
