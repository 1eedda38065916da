"""The seam between the rules and a database: what a store can be asked.

A store keeps and finds; it decides nothing. Whatever is read inside `writing()` stays as it was
read until that block ends, so that a decision made from it holds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from remit.collector.store.rows import (
    AccountRow,
    AgentRow,
    DeploymentRow,
    EnvironmentRow,
    InstanceRow,
    KeyRow,
    SchemaVersionRow,
    SpanRow,
    TokenRow,
    VersionRow,
)

R = TypeVar("R")


class StoreUnavailableError(Exception):
    """The database is locked, full or gone; the same may work later."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of a list are wanted.

    Attributes:
        offset: How many rows to pass over.
        size: How many rows at most.
        field: Column to sort by, a name of the row's; ties are broken by id.
        descending: Largest first.
    """

    offset: int
    size: int
    field: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Listed(Generic[R]):
    """One page of rows, and how many there are in all."""

    rows: Sequence[R]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanFilter:
    """Which spans are wanted; what is None does not matter. Times are inclusive."""

    account_id: str | None = None
    agent_instance_id: str | None = None
    agent_id: str | None = None
    started_from_us: int | None = None
    started_to_us: int | None = None


class Reading(Protocol):
    """What can be read; `account_id` None means every account, for the machine's owner."""

    def accounts(self) -> list[AccountRow]:
        """Return all accounts, oldest first."""
        ...

    def environments(self, account_id: str) -> list[EnvironmentRow]:
        """Return the environments of an account, oldest first."""
        ...

    def tokens(self) -> list[TokenRow]:
        """Return all tokens, oldest first."""
        ...

    def token_of_hash(self, token_hash: bytes) -> TokenRow | None:
        """Return the token whose secret has this SHA-256."""
        ...

    def agent(self, account_id: str | None, agent_id: str) -> AgentRow | None:
        """Return the agent of this id."""
        ...

    def agent_of_identifier(self, account_id: str, external_identifier: str) -> AgentRow | None:
        """Return the agent of this external identifier."""
        ...

    def list_agents(
        self, account_id: str, equal: Mapping[str, str], page: Page
    ) -> Listed[AgentRow]:
        """Return agents whose columns equal the values in *equal*."""
        ...

    def instance_counts(self, agent_ids: Collection[str]) -> dict[str, dict[str, int]]:
        """Return how many instances stand where, by agent and status."""
        ...

    def deployments(self, agent_id: str) -> list[DeploymentRow]:
        """Return the deployments of an agent, oldest first."""
        ...

    def version(self, agent_id: str, external_identifier: str) -> VersionRow | None:
        """Return the version of an agent by its external identifier."""
        ...

    def schema_version(self, agent_id: str, external_identifier: str) -> SchemaVersionRow | None:
        """Return the schema version of an agent by its external identifier."""
        ...

    def schema_version_of_id(self, schema_version_id: str) -> SchemaVersionRow | None:
        """Return the schema version of this id."""
        ...

    def instances(
        self, account_id: str | None, instance_ids: Collection[str]
    ) -> dict[str, InstanceRow]:
        """Return those of the instances that exist, by id."""
        ...

    def instance_of_identifier(
        self, agent_id: str | None, external_identifier: str
    ) -> InstanceRow | None:
        """Return the instance of this external identifier; with no agent, the newest such."""
        ...

    def list_instances(
        self, account_id: str | None, equal: Mapping[str, str], page: Page
    ) -> Listed[InstanceRow]:
        """Return instances whose columns equal the values in *equal*."""
        ...

    def spans(self, account_id: str | None, span_ids: Collection[str]) -> dict[str, SpanRow]:
        """Return those of the spans that exist, by id."""
        ...

    def list_spans(self, wanted: SpanFilter, page: Page) -> Listed[SpanRow]:
        """Return spans that pass the filter."""
        ...

    def keys(self, account_id: str, operation: str, keys: Collection[str]) -> dict[str, KeyRow]:
        """Return those of the idempotency keys that were used, by key."""
        ...


class Writing(Reading, Protocol):
    """What can be read and written in one transaction."""

    def add(
        self,
        row: AccountRow
        | EnvironmentRow
        | AgentRow
        | VersionRow
        | SchemaVersionRow
        | DeploymentRow
        | TokenRow
        | InstanceRow,
    ) -> None:
        """Keep a new row; its id is new."""
        ...

    def add_keys(self, rows: Sequence[KeyRow]) -> None:
        """Keep idempotency keys that were not used before."""
        ...

    def add_spans(self, rows: Sequence[SpanRow]) -> None:
        """Keep new spans."""
        ...

    def change_spans(self, rows: Sequence[SpanRow]) -> None:
        """Keep what a finish changes in spans that exist."""
        ...

    def add_span_counts(self, instance_id: str, change: Mapping[str, int]) -> None:
        """Add to an instance's span counts, by status."""
        ...

    def change(self, row: AgentRow | DeploymentRow | TokenRow | InstanceRow) -> None:
        """Keep what can change in a row that exists; span counts are left alone."""
        ...

    def remove_agent(self, agent_id: str) -> None:
        """Forget an agent without instances, with its deployments, versions and tokens."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """Return a block whose writes are undone if it raises, and theirs only."""
        ...


class Store(Protocol):
    """A database; every method may be called from any thread."""

    def reading(self) -> AbstractContextManager[Reading]:
        """Return a block that sees one state of the database.

        Raises:
            StoreUnavailableError: The database is locked or gone.
        """
        ...

    def writing(self) -> AbstractContextManager[Writing]:
        """Return a block whose writes are kept together when it ends, or not at all.

        Raises:
            StoreUnavailableError: The database is locked, full or gone.
        """
        ...

    def close(self) -> None:
        """Let go of the database; a later use opens it again."""
        ...
