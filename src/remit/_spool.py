"""What is written and not yet delivered: rows in order, and what is known of each run.

`Outbox` is the seam between the writer, which puts, and the sender, which reads and settles.
`MemoryOutbox` keeps it in memory; it is bounded by the buffer, which counts its bytes as its own.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Protocol, TypeAlias

from remit._sink import AnyItem

Row: TypeAlias = tuple[int, AnyItem]
"""The row's id, larger than every earlier one, and the item."""


class RunState(StrEnum):
    """How far the delivery of a run has come."""

    NEW = "new"
    """Not registered yet."""
    REGISTERED = "registered"
    """The server gave it an id."""
    STARTED = "started"
    """The server knows that it runs."""
    ENDED = "ended"
    """Its end was delivered, or its root span's: nothing but late items can come."""
    SET_ASIDE = "set_aside"
    """The server refused it; so is everything of it set aside."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What the server is told of an agent; one object is shared by many runs.

    Attributes:
        external_identifier: `module:qualname`.
        name: Display name.
        description: In a sentence, or None.
        agent_id: Id on the server, if the declaration or a setting gave it.
        environment_id: The same for the environment.
        version: `agent_version` as JSON.
        schema: `agent_schema_version` as JSON.
        complete: Whether it could be built; else only the run's existence is told.
    """

    external_identifier: str
    name: str
    description: str | None
    agent_id: str | None
    environment_id: str | None
    version: bytes
    schema: bytes
    complete: bool = True


@dataclass(slots=True)
class RunRecord:
    """What must be known to deliver one run, also by a later process.

    Attributes:
        key: Key of the run, 26 characters.
        root: Key of its root span.
        started_ns: Wall time, nanoseconds since 1970.
        purpose: `live`, `smoke_test` or `eval`.
        registration: Of its agent.
        instance_id: The server's id, once known.
        state: How far it has come.
        inherited: Another process, our parent, opened the run; it starts and ends it.
    """

    key: str
    root: int
    started_ns: int
    purpose: str
    registration: Registration
    instance_id: str | None = None
    state: RunState = RunState.NEW
    inherited: bool = False


class Outbox(Protocol):
    """Rows in the order of their ids, and run records. One writer, one sender."""

    durable: bool
    """Whether what is left survives the process."""

    def put(self, items: Sequence[AnyItem], runs: Sequence[RunRecord]) -> None:
        """Add *runs*, then *items* in order; all or nothing."""
        ...

    def head(self, limit: int) -> list[Row]:
        """Return the first *limit* rows that are not settled."""
        ...

    def settle(self, ids: Collection[int]) -> None:
        """Remove rows that were delivered, or given up and counted elsewhere."""
        ...

    def set_aside(self, ids: Collection[int], reason: str) -> None:
        """Take rows out of the order because sending them again cannot help."""
        ...

    def run(self, key: str) -> RunRecord | None:
        """Return the record of a run."""
        ...

    def save_run(self, record: RunRecord) -> None:
        """Keep what is new in *record*."""
        ...

    def forget_run(self, key: str) -> None:
        """Remove a run's record."""
        ...

    def last_id(self) -> int:
        """Return the id of the newest row ever put, 0 before the first."""
        ...

    def pending(self, up_to: int | None = None) -> int:
        """Count the rows that are not settled, those with ids up to *up_to* alone if given."""
        ...

    def set_aside_by_reason(self) -> dict[str, int]:
        """Count the rows that were set aside."""
        ...

    def size_bytes(self) -> int:
        """Return the bytes on disk."""
        ...

    def close(self) -> None:
        """Let go of files and locks."""
        ...


class MemoryOutbox:
    """An outbox that ends with the process; set-aside rows leave only their count."""

    durable = False

    def __init__(self, *, cost: Callable[[AnyItem], int], release: Callable[[int], None]) -> None:
        """Begin empty.

        Args:
            cost: Bytes that an item is counted with.
            release: Told how many bytes left memory.
        """
        self._cost = cost
        self._release = release
        self._rows: deque[Row] = deque()
        # Settled rows behind the first unsettled one: they leave when they get to the front.
        self._settled: set[int] = set()
        self._runs: dict[str, RunRecord] = {}
        self._aside: Counter[str] = Counter()
        self._last_id = 0
        self._lock = threading.Lock()

    def put(self, items: Sequence[AnyItem], runs: Sequence[RunRecord]) -> None:
        """Add *runs*, then *items* in order."""
        with self._lock:
            self._runs.update((run.key, run) for run in runs)
            self._rows.extend(enumerate(items, self._last_id + 1))
            self._last_id += len(items)

    def head(self, limit: int) -> list[Row]:
        """Return the first *limit* rows that are not settled."""
        with self._lock:
            if not self._settled:
                return list(islice(self._rows, limit))
            open_rows = (row for row in self._rows if row[0] not in self._settled)
            return list(islice(open_rows, limit))

    def settle(self, ids: Collection[int]) -> None:
        """Remove rows; their bytes are released when they leave memory."""
        cost, freed_bytes = self._cost, 0
        with self._lock:
            settled, rows = self._settled, self._rows
            settled.update(ids)
            while rows and rows[0][0] in settled:
                row_id, item = rows.popleft()
                settled.discard(row_id)
                freed_bytes += cost(item)
        self._release(freed_bytes)

    def set_aside(self, ids: Collection[int], reason: str) -> None:
        """Count rows as set aside for *reason*, and remove them."""
        with self._lock:
            self._aside[reason] += len(ids)
        self.settle(ids)

    def run(self, key: str) -> RunRecord | None:
        """Return the record of a run."""
        return self._runs.get(key)

    def save_run(self, record: RunRecord) -> None:
        """Keep *record*."""
        self._runs[record.key] = record

    def forget_run(self, key: str) -> None:
        """Remove a run's record."""
        self._runs.pop(key, None)

    def last_id(self) -> int:
        """Return the id of the newest row ever put, 0 before the first."""
        return self._last_id

    def pending(self, up_to: int | None = None) -> int:
        """Count the rows that are not settled, those with ids up to *up_to* alone if given."""
        with self._lock:
            if up_to is None:
                return len(self._rows) - len(self._settled)
            if not self._rows:
                return 0
            # Ids run without a gap, so counting needs no walk.
            below = max(0, up_to - self._rows[0][0] + 1)
            return min(below, len(self._rows)) - sum(row_id <= up_to for row_id in self._settled)

    def set_aside_by_reason(self) -> dict[str, int]:
        """Count the rows that were set aside."""
        with self._lock:
            return dict(self._aside)

    def size_bytes(self) -> int:
        """Return 0: nothing is on disk."""
        return 0

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""
