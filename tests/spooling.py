"""The spool in a folder of a test's own: its files, and what is in them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from tests.inside import (
    NO_OTHERS,
    AnyItem,
    Files,
    Folder,
    Identity,
    Item,
    Kind,
    Loss,
    Others,
    Registration,
    RunRecord,
    RunState,
    SpoolFile,
    SpoolOutbox,
    Status,
    SystemClock,
)

TARGET = "https://api.example"
TOKEN = "pf_0123456789abcdef"
GIB = 1 << 30
KEEP_BYTES = 8 << 20
RUN = "01m87w83jttgb1tsy0aqwcmb8r"
ROOT = 7 << 80
REGISTRATION = Registration("m:a", "A", None, None, None, b"{}", b"{}")


Make: TypeAlias = "Callable[..., Spooled]"


class Spooled:
    """A folder, and what had to be given up in it."""

    def __init__(
        self,
        data_dir: Path,
        *,
        target: str = TARGET,
        token: str | None = TOKEN,
        max_bytes: int = GIB,
        others: Others = NO_OTHERS,
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        """Name the folder; nothing is made."""
        self.lost: Counter[str] = Counter()
        self.runs_lost: Counter[str] = Counter()
        self.freed_bytes = 0
        self.now_ns = SystemClock.wall_ns()
        self._outboxes: list[SpoolOutbox] = []
        self._taken: list[SpoolFile] = []
        self.folder = Folder(data_dir, Identity.of(target, token), max_bytes)
        self.files = Files(
            self.folder,
            wall_ns=lambda: self.now_ns,
            lose=self.lose,
            others=others,
            keep_bytes=keep_bytes,
        )

    def lose(self, reason: Loss, count: int, run_keys: Iterable[str] = ()) -> None:
        """Count what is given up."""
        self.lost[reason] += count
        self.runs_lost.update(run_keys)

    def outbox(self) -> SpoolOutbox:
        """Return an outbox of a process in the folder."""
        made = SpoolOutbox(self.files, release=self._release)
        self._outboxes.append(made)
        return made

    def take(self) -> SpoolFile:
        """Return the one file that a process left."""
        file = self.files.take()
        assert file is not None
        self._taken.append(file)
        return file

    def end(self) -> None:
        """Close what is still open."""
        for outbox in self._outboxes:
            outbox.close()
        for file in self._taken:
            file.close()

    def names(self) -> set[str]:
        """Return the endings of what is in the folder."""
        return {path.suffix for path in self.folder.path.iterdir()}

    def _release(self, freed_bytes: int) -> None:
        self.freed_bytes += freed_bytes


@contextmanager
def folders(data_dir: Path) -> Generator[Make]:
    """Yield what opens a folder, with what is asked for; all is closed at the end."""
    made: list[Spooled] = []

    def make(**asked: Any) -> Spooled:  # noqa: ANN401 - as `Spooled` takes them
        made.append(Spooled(data_dir, **asked))
        return made[-1]

    yield make
    for each in made:
        each.end()


def item(number: int, payload: bytes = b"{}", *, run: str = RUN) -> AnyItem:
    """Return a finished span that can be told from others."""
    return (int(Kind.SPAN), run, number, ROOT, "m:f", 1, 2, "complete", payload, None)


def active(number: int, parent: int | None = ROOT) -> AnyItem:
    """Return the beginning of a span."""
    return (int(Kind.SPAN), RUN, number, parent, "m:f", 1, None, "active", b'{"n":1}', None)


def finish(number: int, parent: int | None = ROOT) -> AnyItem:
    """Return the end of a span that began before."""
    return (int(Kind.FINISH), RUN, number, parent, "m:f", 1, 2, "complete", b'{"n":1}', b"{}")


def close(status: str | None = "complete") -> AnyItem:
    """Return the end of the run."""
    return Item(Kind.CLOSE, RUN, ROOT, None, None, 1, 2, status, None, None)


def record(
    state: RunState = RunState.NEW, *, inherited: bool = False, resumed: bool = False
) -> RunRecord:
    """Return the record of the run."""
    return RunRecord(RUN, ROOT, 1, "live", REGISTRATION, None, state, inherited, resumed)


def numbers(rows: Iterable[tuple[int, AnyItem]]) -> list[int]:
    """Return the numbers of rows' items."""
    return [row[2] for _, row in rows]


def wait_until_written(status: Callable[[], Status], limit_s: float = 60.0) -> None:
    """Wait until all that was recorded is on disk; the first pass builds the registrations."""
    pause, over_s = threading.Event(), time.monotonic() + limit_s
    while (now := status()).writer_lag_s or now.pending != now.spooled:
        assert time.monotonic() < over_s, "nothing is written"
        pause.wait(0.01)


def in_child(act: Callable[[], object]) -> None:
    """Run *act* in the child of a fork, which is then killed."""
    pid = os.fork()
    if pid == 0:
        with suppress(BaseException):
            act()
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), "the child failed"
