"""What every operation is given: who asks, when, and what it works on."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final, TypedDict, cast

import msgspec

from remit._clock import Clock
from remit._ids import new_key, partition_of, pfid
from remit.collector.settings import Settings
from remit.collector.store import InstanceRow, Reading, Writing

NS_PER_US: Final = 1000
_MAX_TITLES: Final = 1000


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose token a request carries.

    Attributes:
        account_id: The account; nothing of another one is ever seen.
        scope: `account`, or `agent_deployment` for one agent in one environment.
        agent_id: The agent, under a deployment's token.
        environment_id: The environment, under a deployment's token.
    """

    account_id: str
    scope: str
    agent_id: str | None = None
    environment_id: str | None = None

    @property
    def partition(self) -> int:
        """Partition of the account, which all its ids share."""
        return partition_of(self.account_id) or 0

    def sees(self, row: InstanceRow) -> bool:
        """Return whether the instance exists for this caller."""
        return row.account_id == self.account_id and self.agent_id in {None, row.agent_id}


class IdSource:
    """Makes PFIDs that grow, also within a millisecond: to sort by id is to sort by creation."""

    def __init__(self, clock: Clock) -> None:
        """Make ids of the time that *clock* tells."""
        self._clock = clock
        self._last = 0
        self._lock = threading.Lock()

    def new(self, partition: int) -> str:
        """Return a new id in *partition*."""
        with self._lock:
            self._last = max(self._last + 1, new_key(self._clock.wall_ns()))
            return pfid(self._last, partition)


class _Named(TypedDict):
    name: str
    title: str | None


class Titles:
    """Titles of span types by schema version: those never change, so they are read once."""

    def __init__(self) -> None:
        """Start with none read."""
        self._known: dict[str, dict[str, str]] = {}

    def of(self, tx: Reading, schema_version_id: str) -> dict[str, str]:
        """Return the titles of a schema version, by name of the span type."""
        known = self._known.get(schema_version_id)
        if known is None:
            if len(self._known) >= _MAX_TITLES:
                self._known.clear()
            known = self._known[schema_version_id] = _titles(tx, schema_version_id)
        return known


def _titles(tx: Reading, schema_version_id: str) -> dict[str, str]:
    row = tx.schema_version_of_id(schema_version_id)
    types = cast("list[_Named]", msgspec.json.decode(row.span_type_schemas)) if row else []
    return {one["name"]: one["title"] or one["name"] for one in types}


@dataclass(frozen=True, slots=True)
class Context:
    """One request, or one item of a bulk request, inside its transaction.

    Attributes:
        tx: The transaction; under a reading operation its writing half is not used.
        caller: Who asks.
        now_us: When, in microseconds since 1970.
        ids: Where new ids come from.
        settings: The limits.
        titles: Titles of span types.
    """

    tx: Writing
    caller: Caller
    now_us: int
    ids: IdSource
    settings: Settings
    titles: Titles

    def new_id(self) -> str:
        """Return a new id in the caller's account."""
        return self.ids.new(self.caller.partition)
