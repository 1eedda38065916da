"""What every operation is given: who asks, when, and what it works on."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import NamedTuple

from remit._base.clock import Clock
from remit._base.ids import KEY_BYTES, new_key, partition_of, pfid
from remit.collector.ingest.allowance import Allowance
from remit.collector.meaning import Budget, Declarations
from remit.collector.settings import Settings
from remit.collector.store import AgentRow, InstanceRow, KeyRow, Writing


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose token a request carries.

    Attributes:
        account_id: The account; nothing of another one is ever seen.
        scope: `account`, or `agent_deployment` for one agent in one environment.
        agent_id: The agent, under a deployment's token.
        environment_id: The environment, under a deployment's token.
        token_id: Id of the token; None where none is needed.
    """

    account_id: str
    scope: str
    agent_id: str | None = None
    environment_id: str | None = None
    token_id: str | None = None

    @property
    def partition(self) -> int:
        """Partition of the account, which all its ids share."""
        return partition_of(self.account_id) or 0

    def sees(self, row: InstanceRow) -> bool:
        """Return whether the instance exists for this caller."""
        return (
            row.account_id == self.account_id
            and self.agent_id in {None, row.agent_id}
            and self.environment_id in {None, row.environment_id}
        )


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
            self._last = max(self._last + 1, int.from_bytes(new_key(self._clock.wall_ns())))
            return pfid(self._last.to_bytes(KEY_BYTES), partition)


class Place(NamedTuple):
    """Where a run belongs.

    Attributes:
        agent: The agent.
        environment_id: The environment.
        version_id: The version of the agent.
        schema_version_id: Its schema version.
        deployment_id: Its deployment in the environment.
    """

    agent: AgentRow
    environment_id: str
    version_id: str
    schema_version_id: str
    deployment_id: str


@dataclass(slots=True)
class RequestCounts:
    """What one transaction did, to be counted when it is kept.

    Attributes:
        spans: How many spans it created.
        items: How many operations of a bulk request it carried out or refused.
        refused: Codes of the items that it refused.
    """

    spans: int = 0
    items: int = 0
    refused: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Context:
    """One request, or one item of a bulk request, inside its transaction.

    Attributes:
        tx: The transaction; under a reading operation its writing half is not used.
        caller: Who asks.
        now_us: When, in microseconds since 1970.
        ids: Where new ids come from.
        settings: The limits.
        declarations: What the schema versions say.
        allowance: What a bulk request may still do.
        tally: What is counted.
        budget: How much longer payloads may be compared with their schemas.
        places: Where runs of equal registrations belong, as far as this request has found out.
        instances: Instances that the next operations of this bulk request name, by id; None for
            one that does not exist.
        changed: Those of them that were changed, to be written after these operations.
        keys: Idempotency keys of this bulk request that were read before, by operation and key;
            None for one that was not used.
        new_keys: Keys that this bulk request used, to be written at its end.
    """

    tx: Writing
    caller: Caller
    now_us: int
    ids: IdSource
    settings: Settings
    declarations: Declarations
    allowance: Allowance
    tally: RequestCounts = field(default_factory=RequestCounts)
    budget: Budget = field(default_factory=Budget)
    places: dict[bytes, Place] = field(default_factory=dict[bytes, Place])
    instances: dict[str, InstanceRow | None] = field(default_factory=dict[str, InstanceRow | None])
    changed: dict[str, InstanceRow] = field(default_factory=dict[str, InstanceRow])
    keys: dict[tuple[str, str], KeyRow | None] = field(
        default_factory=dict[tuple[str, str], KeyRow | None]
    )
    new_keys: list[KeyRow] = field(default_factory=list[KeyRow])

    def new_id(self) -> str:
        """Return a new id in the caller's account."""
        return self.ids.new(self.caller.partition)
