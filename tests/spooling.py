"""The spool in a folder of a test's own: its files, and what is in them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from tests.inside import (
    Delivery,
    Item,
    ItemKind,
    Loss,
    Outbox,
    Registration,
    Row,
    RunState,
    Status,
    StoredRun,
    adopted,
    spool_files,
    spool_folder,
    spool_outbox,
    taken_outbox,
)

TARGET = "https://api.example"
TOKEN = "pf_0123456789abcdef"
GIB = 1 << 30
RUN = "01m87w83jttgb1tsy0aqwcmb8r"
ROOT = 7 << 80
ROOT_KEY = ROOT.to_bytes(16)
REGISTRATION = Registration("m:a", "A", None, None, None, b"{}", b"{}")


class Spooled:
    """The spool's folder as one process sees it, and what the process lost in it."""

    def __init__(
        self,
        data_dir: Path,
        *,
        target: str = TARGET,
        token: str | None = TOKEN,
        max_bytes: int = GIB,
        any_token: bool = False,
    ) -> None:
        """Name the folder; nothing is created on disk."""
        self.lost: Counter[str] = Counter()
        self.runs_lost: Counter[str] = Counter()
        self.freed_bytes = 0
        self.last_write_ns = 0
        self._open: list[Outbox] = []
        self.folder = spool_folder(data_dir, target=target, token=token, max_bytes=max_bytes)
        self.files = spool_files(self.folder, on_loss=self._lose, any_token=any_token)

    def outbox(self) -> Outbox:
        """Return an outbox of the process."""
        made = spool_outbox(self.files, release=self._release)
        self._open.append(made)
        return made

    def take(self) -> Outbox:
        """Return the outbox of the one file that another process left."""
        file = self.files.take()
        assert file is not None
        self.last_write_ns = file.last_write_ns
        taken = taken_outbox(self.files, file)
        self._open.append(taken)
        return taken

    def adopted(self) -> list[Item]:
        """Return, in order, all items that other processes left; the folder is empty then."""
        return adopted(self.files)

    def end(self) -> None:
        """Close what is still open."""
        for each in self._open:
            each.close()

    def names(self) -> set[str]:
        """Return the suffixes of what is in the folder."""
        return {path.suffix for path in self.folder.path.iterdir()}

    def content(self) -> bytes:
        """Return the bytes of all files in the folder."""
        return b"".join(path.read_bytes() for path in self.folder.path.iterdir())

    def _lose(self, reason: Loss, count: int, run_keys: Iterable[str] = ()) -> None:
        self.lost[reason] += count
        self.runs_lost.update(run_keys)

    def _release(self, freed_bytes: int) -> None:
        self.freed_bytes += freed_bytes


def key(number: int) -> bytes:
    """Return *number* as a key."""
    return number.to_bytes(16)


def item(number: int, payload: bytes = b"{}", *, run: str = RUN) -> Item:
    """Return a finished span that can be told from others."""
    return Item(ItemKind.SPAN, run, key(number), ROOT_KEY, "m:f", 1, 2, "complete", payload, None)


def active(number: int, parent: int | None = ROOT) -> Item:
    """Return the beginning of a span."""
    above = None if parent is None else key(parent)
    return Item(ItemKind.SPAN, RUN, key(number), above, "m:f", 1, None, "active", b'{"n":1}', None)


def finish(number: int, parent: int | None = ROOT) -> Item:
    """Return the end of a span that began before."""
    above = None if parent is None else key(parent)
    return Item(
        ItemKind.FINISH, RUN, key(number), above, "m:f", 1, 2, "complete", b'{"n":1}', b"{}",
    )  # fmt: skip


def close(status: str | None = "complete") -> Item:
    """Return the end of the run."""
    return Item(ItemKind.CLOSE, RUN, ROOT_KEY, None, None, 1, 2, status, None, None)


def stored_run(
    state: RunState = RunState.NEW, *, inherited: bool = False, resumed: bool = False
) -> StoredRun:
    """Return the run as it is stored."""
    return StoredRun(RUN, ROOT_KEY, 1, "live", REGISTRATION, None, state, inherited, resumed)


def numbers(rows: Iterable[Row | Item]) -> list[int]:
    """Return the numbers of rows' items."""
    items = [row.item if isinstance(row, Row) else row for row in rows]
    return [int.from_bytes(item.key) for item in items]


def wait_until_written(status: Callable[[], Status], limit_s: float = 60.0) -> None:
    """Wait until all that was recorded is on disk; the first pass builds the registrations."""
    pause, over_s = threading.Event(), time.monotonic() + limit_s
    while (now := status()).writer_lag_s or now.pending != now.spooled:
        assert time.monotonic() < over_s, "nothing is written"
        pause.wait(0.01)


def in_child(act: Callable[[], object], beside: Delivery | None = None) -> None:
    """Run *act* in the child of a fork, which is then killed.

    Threads that deliver *beside* it use SQLite. They are paused during the fork, as by the hooks of
    the runtime.
    """
    if beside is not None:
        beside.before_fork()
    pid = os.fork()
    if pid == 0:
        with suppress(BaseException):
            act()
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(1)
    if beside is not None:
        beside.after_fork_in_parent()
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), "the child failed"
