"""The context of an operation: caller, time, transaction, and the limits of its request."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Final, NamedTuple

from remit._base.clock import Clock, Deadline
from remit._base.ids import KEY_BYTES, new_key, partition_of, pfid
from remit.collector.errors import RequestError, too_large
from remit.collector.settings import Settings
from remit.collector.store.rows import AgentRow, RunRow
from remit.collector.store.transaction import Transaction
from remit.collector.validation.budget import Budget
from remit.collector.validation.declarations import Declarations


class Permission(StrEnum):
    """A permission of a token. It applies within the token's scope."""

    READ = "read"
    """Read everything. Includes `metrics`."""
    WRITE = "write"
    """Change everything. Includes `read`, `record` and `stop`."""
    ERASE = "erase"
    """Erase runs. Includes `write`."""
    RECORD = "record"
    """Record runs, and read their state and agent, but not recorded values."""
    METRICS = "metrics"
    """Read `/metrics`."""
    STOP = "stop"
    """Terminate runs, and hold actions."""
    APPROVE = "approve"
    """Read and answer requests for approval. No other permission includes it."""


_INCLUDED: Final = {
    Permission.READ: {Permission.METRICS},
    Permission.WRITE: {Permission.READ, Permission.RECORD, Permission.METRICS, Permission.STOP},
    Permission.ERASE: {*Permission} - {Permission.ERASE, Permission.APPROVE},
}


@dataclass(frozen=True, slots=True)
class Permissions:
    """Permissions of a token.

    Attributes:
        words: In alphabetical order, without permissions that another one includes.
    """

    words: tuple[Permission, ...]

    @classmethod
    def of(cls, text: str) -> Permissions:
        """Return the permissions in *text*, comma-separated.

        Raises:
            ValueError: It names none, or something else.
        """
        words = {Permission(word) for word in text.split(",")}
        included = {other for word in words for other in _INCLUDED.get(word, ())}
        return cls(tuple(sorted(words - included)))

    def permits(self, *needed: Permission) -> bool:
        """Return whether they include all that is *needed*."""
        return all(
            one in self.words or any(one in _INCLUDED.get(word, ()) for word in self.words)
            for one in needed
        )

    @property
    def in_words(self) -> str:
        """The permissions in a sentence, after `may`: `read metrics and record`."""
        return " and ".join(
            "read metrics" if word is Permission.METRICS else word for word in self.words
        )

    def __str__(self) -> str:
        """Return the permissions with commas between them, as they are stored."""
        return ",".join(self.words)


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a token.

    Attributes:
        account_id: The account; nothing of another one is ever seen.
        scope: `account`, or `agent_deployment` for one agent in one environment.
        token_id: Id of the token; None where none is needed.
        in_session: Whether the caller is signed in at the page.
    """

    account_id: str
    scope: str
    agent_id: str | None = None
    environment_id: str | None = None
    token_id: str | None = None
    may: Permissions = Permissions((Permission.WRITE,))
    in_session: bool = False

    @property
    def reads(self) -> bool:
        """Whether responses have the values that were recorded."""
        return self.may.permits(Permission.READ)

    @property
    def partition(self) -> int:
        """Partition of the account, which all its ids share."""
        return partition_of(self.account_id) or 0

    def sees(self, row: RunRow) -> bool:
        """Return whether the run exists for this caller."""
        return (
            row.account_id == self.account_id
            and self.agent_id in {None, row.agent_id}
            and self.environment_id in {None, row.environment_id}
        )


class IdSource:
    """Makes PFIDs that grow, also within a millisecond: to sort by id is to sort by creation."""

    def __init__(self, clock: Clock) -> None:
        """Make ids from the time of *clock*."""
        self._clock = clock
        self._last = 0
        self._lock = threading.Lock()

    def new(self, partition: int) -> str:
        """Return a new id in *partition*."""
        with self._lock:
            self._last = max(self._last + 1, int.from_bytes(new_key(self._clock.wall_ns())))
            return pfid(self._last.to_bytes(KEY_BYTES), partition)


class Place(NamedTuple):
    """The agent, environment and versions of a run."""

    agent: AgentRow
    environment_id: str
    version_id: str
    schema_version_id: str
    deployment_id: str


@dataclass(slots=True)
class RequestCounts:
    """Counters of one transaction, added to the metrics when it is committed."""

    spans: int = 0
    items: int = 0
    rejected: list[str] = field(default_factory=list[str])


class Allowance:
    """Limits of one bulk request in time and in bytes of its responses; the first item always runs.

    A client that sends the remaining items again makes progress with each request.
    """

    __slots__ = ("_begun", "_bytes", "_deadline", "_settings")

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Apply the limits of *settings*, from now on."""
        self._settings = settings
        self._deadline = Deadline.after(settings.max_bulk_s, clock)
        self._bytes = 0
        self._begun = False

    def check(self) -> None:
        """Reject a further item if a limit is reached.

        Raises:
            RequestError: 413 or 503.
        """
        if not self._begun:
            return
        most = self._settings.max_response_bytes
        if self._bytes > most:
            raise too_large(f"the responses are more than {most} bytes: ask for less at once")
        if self._deadline.passed:
            raise RequestError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "unavailable",
                f"the request took more than {self._settings.max_bulk_s:g} seconds: send the rest "
                "of it again",
            )

    def take(self, response: bytes) -> None:
        """Count the response of an item."""
        self._begun = True
        self._bytes += len(response)


@dataclass(frozen=True, slots=True)
class Context:
    """One request, or one item of a bulk request, inside its transaction.

    Attributes:
        allowance: Operations that a bulk request may still do.
        minimal: Whether responses to writes leave out all that `Prefer: return=minimal` allows.
        budget: Time left for comparing payloads with their schemas.
        places: Where runs of equal registrations belong, as far as this request has read it.
    """

    tx: Transaction
    caller: Caller
    now_us: int
    ids: IdSource
    settings: Settings
    declarations: Declarations
    allowance: Allowance
    minimal: bool = False
    metrics: RequestCounts = field(default_factory=RequestCounts)
    budget: Budget = field(default_factory=Budget)
    places: dict[bytes, Place] = field(default_factory=dict[bytes, Place])

    def new_id(self) -> str:
        """Return a new id in the caller's account."""
        return self.ids.new(self.caller.partition)
