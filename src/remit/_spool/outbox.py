"""The seam between the writer, which puts, and the sender, which reads and settles."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeAlias

from remit._sink import Item

Row: TypeAlias = tuple[int, Item]
"""The row's id, larger than every earlier one, and the item."""


class RunState(StrEnum):
    """How far the delivery of a run has come."""

    NEW = "new"
    """Not registered yet; of one that is resumed, not looked up yet."""
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
        complete: Whether it could be built; the runs of one that could not are set aside.
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
        resumed: It goes on with an instance that is at the server, as its user says: to be looked
            up, never registered.
    """

    key: str
    root: bytes
    started_ns: int
    purpose: str
    registration: Registration
    instance_id: str | None = None
    state: RunState = RunState.NEW
    inherited: bool = False
    resumed: bool = False
    lost: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def ended(self) -> bool:
        """Whether nobody has to end it any more."""
        return self.state in (RunState.ENDED, RunState.SET_ASIDE)


class Outbox(Protocol):
    """Rows in the order of their ids, and run records. One writer, one sender."""

    def put(self, items: Sequence[Item], runs: Sequence[RunRecord]) -> None:
        """Add *runs*, then *items* in order; all or nothing."""
        ...

    def took(self, items: Sequence[Item]) -> bool:
        """Tell whether *items* are those of the last `put`, the same object, and were added.

        Whatever it raised: a signal's handler may raise between the adding and the return.
        """
        ...

    def head(self, limit: int) -> list[Row]:
        """Return the first rows that are not settled, at most *limit*."""
        ...

    def settle(self, ids: Collection[int]) -> None:
        """Remove rows that were delivered, or given up and counted elsewhere."""
        ...

    def set_aside(self, rows: Sequence[Row], reason: str) -> int:
        """Take rows out of the order because sending them again cannot help.

        Returns:
            How many of them are kept, with the *reason*.
        """
        ...

    def run(self, key: str) -> RunRecord | None:
        """Return the record of a run."""
        ...

    def save_run(self, record: RunRecord) -> None:
        """Keep what is new in *record*, at the latest with what is settled next."""
        ...

    def forget_run(self, key: str) -> None:
        """Remove a run's record, at the latest with what is settled next."""
        ...

    def open_spans(self) -> list[Item]:
        """Return the beginnings of spans that were put and whose ends were not, without payloads.

        Only those that outlive the process: somebody has to end them.
        """
        ...

    def last_id(self) -> int:
        """Return the id of the newest row ever put, 0 before the first."""
        ...

    def pending(self, up_to: int | None = None) -> int:
        """Count the rows that are not settled, those with ids up to *up_to* alone if given."""
        ...

    def spooled(self, up_to: int | None = None) -> int:
        """Count those of the pending rows that are on disk, and so outlive the process."""
        ...

    def close(self) -> None:
        """Let go of files and locks."""
        ...
