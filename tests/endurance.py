"""Programs that record for long, watched from outside: memory, disk, log and time."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.architecture.sources import ROOT
from tests.inside import Item, unpack
from tests.untraced import UNTRACED

LOOK_EVERY_S = 0.02
KIB = 1 << 10
MIB = 1 << 20
NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Sample:
    """What was seen of a running program at one moment.

    Attributes:
        at_s: When, by the monotonic clock.
        memory_kib: Its resident memory.
        spool_bytes: Of all files of its spool.
        log_bytes: Of the write-ahead log alone.
    """

    at_s: float
    memory_kib: int
    spool_bytes: int
    log_bytes: int


@dataclass(frozen=True)
class Ended:
    """A program that has ended.

    Attributes:
        told: What it measured of itself.
        said: What else it wrote, line by line.
        samples: What was seen of it from outside.
        took_s: From its start to its end, in seconds.
        exit_s: From the end of its work to its own, in seconds.
    """

    told: dict[str, Any]
    said: list[str]
    samples: list[Sample]
    took_s: float
    exit_s: float

    @property
    def peak_mib(self) -> float:
        """The most memory it had."""
        return float(self.told["peak_kib"]) / KIB

    @property
    def spool_bytes(self) -> int:
        """The most that its spool took on disk."""
        return max(sample.spool_bytes for sample in self.samples)

    @property
    def log_bytes(self) -> int:
        """The most that the write-ahead log took on disk."""
        return max(sample.log_bytes for sample in self.samples)

    def memory_mib(self, begin: float, end: float) -> float:
        """Return the mean memory in a part of its work, given as two fractions of its time."""
        first, last = float(self.told["began_s"]), self.samples[-1].at_s
        span_s = last - first
        found = [
            sample.memory_kib
            for sample in self.samples
            if begin <= (sample.at_s - first) / span_s <= end
        ]
        return sum(found) / len(found) / KIB


@dataclass(frozen=True)
class Place:
    """Where a program records to.

    Attributes:
        folder: Of its data.
        port: Of the back end, on loopback.
    """

    folder: Path
    port: int

    @property
    def spool(self) -> Path:
        """The folder of the spool."""
        return self.folder / "spool"

    def environment(self, **settings: object) -> dict[str, str]:
        """Return the environment of a program that records to here."""
        named = {f"REMIT_{name.upper()}": str(value) for name, value in settings.items()}
        return {
            **os.environ,
            "REMIT_DATA_DIR": str(self.folder),
            "REMIT_API_URL": f"http://127.0.0.1:{self.port}",
            "REMIT_API_TOKEN": "endurance",
            # Whatever else is installed beside remit is not what is measured.
            "PYDANTIC_DISABLE_PLUGINS": "true",
            # Nor is what it costs to be traced line by line.
            **UNTRACED,
            **named,
        }


def watched(
    place: Place,
    *arguments: object,
    look: Callable[[], None] = lambda: None,
    **settings: object,
) -> Ended:
    """Run the program of `tests.endurance_program` to its end.

    Args:
        place: Where it records to.
        *arguments: What it is to do.
        look: Called again and again while it runs.
        **settings: Settings of remit.
    """
    command = [sys.executable, "-m", "tests.endurance_program", *map(str, arguments)]
    return run(command, place, look, **settings)


def sent(place: Place) -> Ended:
    """Have what waits sent by `remit spool send`."""
    command = [sys.executable, "-m", "remit", "spool", "send", "--all", "--timeout", "600"]
    return run(command, place)


def run(
    command: list[str], place: Place, look: Callable[[], None] = lambda: None, **settings: object
) -> Ended:
    """Run a command to its end, and look at it meanwhile."""
    place.folder.mkdir(exist_ok=True)
    out, errors = place.folder / "stdout", place.folder / "stderr"
    samples: list[Sample] = []
    pause = threading.Event()
    began_s = time.monotonic()
    with out.open("wb") as stdout, errors.open("wb") as stderr:
        environ = place.environment(**settings)
        program = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=stdout, stderr=stderr)
        while program.poll() is None:
            samples += _sample(program.pid, place)
            look()
            pause.wait(LOOK_EVERY_S)
    ended_s = time.monotonic()
    lines = out.read_text().splitlines()
    told: dict[str, Any] = json.loads(lines[-1]) if lines and lines[-1][:1] == "{" else {}
    said = [*(lines[:-1] if told else lines), *errors.read_text().splitlines()]
    assert program.returncode == 0, said
    exit_s = ended_s - told.get("over_s", ended_s)
    return Ended(told, said, samples, ended_s - began_s, exit_s)


def _sample(pid: int, place: Place) -> Iterator[Sample]:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return
    memory = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    sizes = sizes_of(place.spool)
    if memory:
        log_bytes = sum(size for name, size in sizes.items() if name.endswith("-wal"))
        at_s = time.monotonic()
        yield Sample(at_s, int(memory[0].split()[1]), sum(sizes.values()), log_bytes)


def sizes_of(folder: Path) -> dict[str, int]:
    """Return the sizes of the files in a folder that others write to."""
    sizes: dict[str, int] = {}
    if folder.exists():
        for path in folder.iterdir():
            try:
                sizes[path.name] = path.stat().st_size
            except FileNotFoundError:
                continue
    return sizes


def items_in(spool: Path, query: str = "ORDER BY id") -> list[Item]:
    """Return the items in the one file of a spool, read as any other program could."""
    (path,) = spool.glob("*.db")
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as file:
        rows = file.execute(f"SELECT crc, body FROM chunk {query}")
        return [item for row in rows for item in unpack(*row)]


def steps_of(items: list[Item]) -> list[Item]:
    """Return the spans that the program's calls are."""
    return [item for item in items if item.name == "endurance:step"]


def stale_s(spool: Path) -> float | None:
    """Return how old the newest span in a spool is: the oldest that is not there is no older."""
    try:
        steps = steps_of(items_in(spool, "ORDER BY id DESC LIMIT 1"))
    except (sqlite3.Error, ValueError):
        # The file is being made, or deleted.
        return None
    ended_ns = max((item.finished_ns or 0 for item in steps), default=0)
    return (time.time_ns() - ended_ns) / NS_PER_S if ended_ns else None


def states_of(steps: list[Item]) -> str:
    """Return a letter for each span: `w` of a whole one, `c` of one without its payload."""
    return "".join("c" if b'"$remit":"cut"' in (item.payload or b"") else "w" for item in steps)


def lost(ended: Ended) -> Counter[str]:
    """Return what a program had to give up, by reason."""
    return Counter(ended.told["dropped"])
