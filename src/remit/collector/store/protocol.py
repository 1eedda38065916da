"""The seam between the rules and a database: what a store can be asked.

A store keeps and finds; it decides nothing. Whatever is read inside `writing()` stays as it was
read until that block ends, so that a decision made from it holds. Two exceptions: spans and their
keys stay where their instance is held, and what was not there may be added by somebody faster,
which is a conflict: the block is undone, and may be begun anew (`write` does it).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol, TypeVar

from remit.collector.store.queries import Listed, Page, Removed, SpanFilter, SpanKind
from remit.collector.store.rows import (
    AccountRow,
    AgentRow,
    DeploymentRow,
    EnvironmentRow,
    ErasureRow,
    InstanceRow,
    KeyRow,
    Row,
    SchemaVersionRow,
    SpanRow,
    SubjectRow,
    TokenRow,
    VersionRow,
)

R = TypeVar("R", bound=Row)
T = TypeVar("T")

WRITE_TRIES: Final = 4
"""So often is a block begun that others are in the way of."""


class StoreUnavailableError(Exception):
    """The database is locked, full or gone; the same may work later."""


class TooSlowError(StoreUnavailableError):
    """A query took longer than the database allows; the database is available."""


class ConflictError(StoreUnavailableError):
    """Another transaction was faster; the same, begun anew, finds what that one did."""


class Reading(Protocol):
    """What can be read; `account_id` None means every account, for the machine's owner."""

    def row(self, kind: type[R], account_id: str | None, row_id: str) -> R | None:
        """Return the row of this id."""
        ...

    def list_rows(
        self, kind: type[R], account_id: str, equal: Mapping[str, str], page: Page
    ) -> Listed[R]:
        """Return rows of the account whose columns equal the values in *equal*.

        Rows of schema versions have no schemas.
        """
        ...

    def accounts(self) -> list[AccountRow]:
        """Return all accounts, oldest first."""
        ...

    def environments(self, account_id: str) -> list[EnvironmentRow]:
        """Return the environments of an account, oldest first."""
        ...

    def tokens(self) -> list[TokenRow]:
        """Return all tokens, oldest first."""
        ...

    def tokens_made_by(self, token_ids: Collection[str]) -> list[TokenRow]:
        """Return the tokens that these tokens made."""
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

    def instance_counts(
        self, agent_ids: Collection[str], environment_id: str | None = None
    ) -> dict[str, dict[str, int]]:
        """Return how many instances stand where, by agent and status."""
        ...

    def deployments(self, agent_id: str) -> list[DeploymentRow]:
        """Return the deployments of an agent, oldest first."""
        ...

    def version(self, agent_id: str, external_identifier: str) -> VersionRow | None:
        """Return the version of an agent by its external identifier."""
        ...

    def schema_version(
        self, agent_id: str, external_identifier: str, content_hash: str
    ) -> SchemaVersionRow | None:
        """Return the schema version of an agent with this external identifier and content."""
        ...

    def newest_schema_version(self, agent_id: str, external_identifier: str) -> str | None:
        """Return the id of an agent's newest schema version with this external identifier."""
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
        self, agent_id: str, environment_id: str, external_identifier: str
    ) -> InstanceRow | None:
        """Return the instance of an agent in an environment with this external identifier."""
        ...

    def list_instances(
        self, account_id: str | None, equal: Mapping[str, str], page: Page
    ) -> Listed[InstanceRow]:
        """Return instances whose columns equal the values in *equal*."""
        ...

    def spans(self, account_id: str | None, span_ids: Collection[str]) -> dict[str, SpanRow]:
        """Return those of the spans that exist, by id."""
        ...

    def list_spans(
        self, wanted: SpanFilter, page: Page, *, most_chars: int | None = None
    ) -> Listed[SpanRow]:
        """Return spans that pass the filter.

        Args:
            wanted: The filter.
            page: Which of them.
            most_chars: The page ends before the span whose payloads would make it longer than
                this, but not before the first one.
        """
        ...

    def span_kinds(self, wanted: SpanFilter) -> list[SpanKind]:
        """Return how many spans of each kind pass the filter."""
        ...

    def span_moves(self, instance_id: str | None, first_id: str) -> dict[str, int]:
        """Return of each instance a number that grows whenever one of its spans begins or ends.

        Args:
            instance_id: Of this one only; else of those that may still have a span begin or end.
            first_id: An instance that ended may, if its id is not less than this.
        """
        ...

    def keys(self, account_id: str, operation: str, keys: Collection[str]) -> dict[str, KeyRow]:
        """Return those of the idempotency keys that were used, by key."""
        ...

    def instances_of_subject(self, subject_hash: str) -> list[str]:
        """Return the ids of the instances that are about somebody, oldest first."""
        ...

    def instances_of_agent(self, agent_id: str) -> list[str]:
        """Return the ids of an agent's instances, oldest first."""
        ...

    def erasures(self, instance_id: str) -> list[ErasureRow]:
        """Return what was erased of an instance, oldest first."""
        ...


class Writing(Reading, Protocol):
    """What can be read and written in one transaction; each write may raise `ConflictError`."""

    def hold(self, instance_ids: Collection[str], span_ids: Collection[str]) -> bool:
        """Keep others from these instances, and from those of these spans, until the end.

        Returns:
            Whether there may be some of the spans. Who then adds one of them nevertheless, because
            somebody else was faster, meets a conflict.
        """
        ...

    def add(
        self,
        row: AccountRow
        | EnvironmentRow
        | AgentRow
        | VersionRow
        | SchemaVersionRow
        | DeploymentRow
        | TokenRow
        | InstanceRow
        | ErasureRow,
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

    def add_span_counts(self, changes: Mapping[str, Mapping[str, int]]) -> None:
        """Add to the span counts of instances, by id and status."""
        ...

    def change_instances(self, rows: Collection[InstanceRow]) -> None:
        """Keep what can change in instances that exist; span counts are left alone."""
        ...

    def change(
        self, row: AccountRow | EnvironmentRow | AgentRow | DeploymentRow | TokenRow | InstanceRow
    ) -> None:
        """Keep what can change in a row that exists; span counts are left alone."""
        ...

    def row_to_remove(self, kind: type[R], account_id: str, row_id: str) -> R | None:
        """Return the row of this id, locked until the transaction ends."""
        ...

    def remove(self, row: EnvironmentRow | DeploymentRow | TokenRow) -> None:
        """Forget a row; whoever reads an environment or a deployment meanwhile ends first.

        Whether it was still in use has to be asked afterwards: nobody can use it any more then.
        """
        ...

    def remove_agent(self, agent_id: str) -> None:
        """Forget an agent without instances, with its deployments, versions and tokens."""
        ...

    def forget_spans(self, first_id: str, most: int) -> int:
        """Forget some of the spans whose id is less than *first_id*; return how many.

        Where spans are kept in parts by time, only those that are in no such part.
        """
        ...

    def forget_old(self, before_us: int, first_id: str, most: int) -> Removed:
        """Forget some of what is old: keys that lead nowhere, and instances without spans.

        Args:
            before_us: An instance is old if it ended, and was last changed, before this.
            first_id: A span is old if its id is less than this; old spans are gone already.
            most: How many rows of a kind at most; fewer are removed when there are no more.
        """
        ...

    def touch_token(self, token_id: str, now_us: int) -> None:
        """Note that a token was used."""
        ...

    def add_subjects(self, rows: Collection[SubjectRow]) -> None:
        """Note whose data runs are about; what is known already is left alone."""
        ...

    def note_causes(self, causes: Mapping[str, str]) -> None:
        """Note by which traces instances were caused, by id."""
        ...

    def erase(self, instance_id: str, erased_at: int) -> int:
        """Erase the payloads of an instance; return how many spans had some.

        What its keys were answered is for `replace_answers`.
        """
        ...

    def replace_answers(self, instance_id: str, answer: bytes) -> int:
        """Put *answer* in the place of all that the keys of an instance were answered."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """Return a block whose writes are undone if it raises, and theirs only."""
        ...


class Reader(Protocol):
    """A database that is only read.

    Attributes:
        path: Its path, or its URL without the password.
    """

    path: str

    def reading(self) -> AbstractContextManager[Reading]:
        """Return a block that sees one state of the database.

        Raises:
            StoreUnavailableError: The database is locked or gone.
        """
        ...

    def close(self) -> None:
        """Close the database; a later use opens it again."""
        ...


class Store(Protocol):
    """A database; every method may be called from any thread.

    Attributes:
        at_once: How many blocks of one process may be open at once; others wait.
    """

    at_once: int

    def reading(self) -> AbstractContextManager[Reading]:
        """Return a block that sees one state of the database.

        Raises:
            StoreUnavailableError: The database is locked or gone.
        """
        ...

    def look(self, question: Callable[[Reading], T]) -> T:
        """Return what *question* returns, which asks one thing; it may be called more than once.

        For one thing no block need be opened, which is two of three times that the database is
        spoken to.

        Raises:
            StoreUnavailableError: The database is locked or gone.
        """
        ...

    def writing(self) -> AbstractContextManager[Writing]:
        """Return a block whose writes are kept together when it ends, or not at all.

        Raises:
            ConflictError: Another transaction was faster.
            StoreUnavailableError: The database is locked, full or gone.
        """
        ...

    def retain(self, before_us: int) -> Removed:
        """Remove what is older: spans by the time of their id, instances that ended, their keys.

        An instance stays while it has a span that stays. It may take long; others go on meanwhile.

        Args:
            before_us: What is older than this goes, in microseconds since 1970.

        Raises:
            StoreUnavailableError: The database cannot be used now; the same may be done again.
        """
        ...

    def is_current(self) -> bool:
        """Return whether the database has the schema that this remit knows.

        Raises:
            StoreUnavailableError: The database cannot be read now.
        """
        ...

    def scrub(self) -> None:
        """Make what was erased unreadable in the database's files, as far as they are its own.

        Raises:
            StoreUnavailableError: Somebody else uses the database; it is to be done again.
        """
        ...

    def close(self) -> None:
        """Close the database; a later use opens it again."""
        ...


def write(store: Store, work: Callable[[Writing], T]) -> T:
    """Return what *work* returns in a writing block; after a conflict it is done anew.

    Args:
        store: The database.
        work: Reads, decides and writes; it leaves nothing behind but what it wrote.

    Raises:
        StoreUnavailableError: The database is locked, full or gone.
    """
    for _ in range(WRITE_TRIES - 1):
        try:
            with store.writing() as tx:
                return work(tx)
        except ConflictError:
            continue
    with store.writing() as tx:
        return work(tx)
