"""Reads an agent for its pages: the agent, its versions, and the numbers of its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from remit._policy.words import ACTION, ACTIONS, UNKNOWN
from remit.collector.domain.context import Context
from remit.collector.domain.declared import Declaration, declaration_of
from remit.collector.errors import invalid_field
from remit.collector.page.scope import scope_in
from remit.collector.page.visits import COUNTS, Visit
from remit.collector.page.windows import Period, period_of
from remit.collector.store.questions.versions import VersionUse, version_uses
from remit.collector.store.rows import SchemaVersionRow, VersionRow

MOST_RUNS: Final = 10_000
"""Number of runs of an agent, the newest, of which the versions are counted."""
Fields = Mapping[str, Any]


class Version(NamedTuple):
    """A version of an agent and its declaration."""

    use: VersionUse
    label: str
    since_us: int

    @property
    def key(self) -> str:
        """Its name in an address: `1.4.2~7k3m9x2q`; the part before the tilde is for people."""
        return f"{self.label}~{self._tail}"

    @property
    def _tail(self) -> str:
        return self.use.version_id[-4:] + self.use.schema_version_id[-4:]

    def is_named(self, key: str) -> bool:
        """Return whether *key* names it, even if it had another name then."""
        return key.rpartition("~")[2] == self._tail


class Subject(NamedTuple):
    """The agent that a page is about.

    Attributes:
        versions: Its versions, the last used first.
        shown: That version; None if none was registered.
        counts: Numbers of its spans by type in the period.
    """

    agent: Fields
    versions: list[Version]
    declared: Declaration
    shown: Version | None
    period: Period
    counts: Mapping[str, Fields]
    runs: int
    runs_failed: int

    @property
    def id(self) -> str:
        """Id of the agent."""
        return str(self.agent["id"])

    def total(self, name: str) -> int:
        """Return one of the numbers of all its spans in the time."""
        return sum(int(counts[name]) for counts in self.counts.values())

    @property
    def is_undeclared(self) -> bool:
        """Whether neither the agent nor any of its steps declares an action or a limit."""
        own = self.declared.own
        return not (own is not None and own.limits) and all(
            step.word(ACTION, name) == UNKNOWN for step in self.declared.all for name in ACTIONS
        )

    def ran(self, name: str) -> int:
        """Return how often a step ran in the time."""
        counts = self.counts.get(name, {"spans": 0, "denied": 0})
        return int(counts["spans"]) - int(counts["denied"])


def subject_of(visit: Visit) -> Subject:
    """Return the agent that the address names.

    Raises:
        RequestError: 404, there is none for this person; 422, the time or version is not valid.
    """
    period = period_of(visit)
    agent = visit.api.get(f"/api/v1/agent/{visit.named['id']}", include_counts="false")["details"]
    versions = visit.api.read(lambda ctx: versions_of(ctx, agent["id"]))
    shown = version_in(visit, versions, "version") or next(iter(versions), None)
    counted = {"agent_id": agent["id"], "since": period.since}
    counts = visit.api.get(COUNTS, by="type", **counted)
    runs = visit.api.get(COUNTS, of="runs", by="agent", **counted)["counts"]
    return Subject(
        agent,
        versions,
        read_declaration(visit, agent, shown),
        shown,
        period,
        {
            group["type"]: group
            for group in counts["counts"]
            if not group["type"].startswith("remit:")
        },
        sum(int(group["runs"]) for group in runs),
        sum(int(group["failed"]) for group in runs),
    )


def version_in(visit: Visit, versions: Sequence[Version], name: str) -> Version | None:
    """Return the version that a parameter of the address names; None if it has none.

    Raises:
        RequestError: 422, the agent has no such version.
    """
    key = visit.query.get(name)
    version = next((version for version in versions if version.is_named(key or "")), None)
    if key and version is None:
        raise invalid_field(
            name, "must be the key of a version, as in the links of the list of versions"
        )
    return version


def versions_of(ctx: Context, agent_id: str) -> list[Version]:
    """Return the versions of an agent with their runs, the last used first."""
    uses = version_uses(ctx.tx, scope_in(ctx, agent_id), most=MOST_RUNS)
    account_id = ctx.caller.account_id
    versions: list[Version] = []
    for use in uses:
        version = ctx.tx.row(VersionRow, account_id, use.version_id)
        label = None if version is None else version.external_identifier or version.name
        schema = ctx.tx.row(SchemaVersionRow, account_id, use.schema_version_id)
        known = [row.inserted_at for row in (version, schema) if row is not None]
        since_us = max(known, default=0)
        versions.append(Version(use, label or use.version_id[-6:], since_us))
    return versions


def read_declaration(visit: Visit, agent: Fields, version: Version | None) -> Declaration:
    """Return the declaration of a version of an agent; an empty one without a version."""
    if version is None:
        return declaration_of(None, None)

    def read(ctx: Context) -> str | None:
        row = ctx.tx.row(SchemaVersionRow, ctx.caller.account_id, version.use.schema_version_id)
        return None if row is None or row.agent_id != agent["id"] else row.span_type_schemas

    return declaration_of(visit.api.read(read), agent["external_identifier"], agent["name"])
