"""Shared by the questions: a scope of runs, conditions, and words for flags and statuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from remit.collector.store.ids import to_bytes
from remit.collector.store.rows import (
    DENIED,
    FINDINGS,
    HOLE,
    INVALID,
    LOST,
    REDACTED,
    UNDECLARED,
    VIOLATION,
)
from remit.collector.store.statements import SPANS_OF_RUN, Value, Where
from remit.collector.store.transaction import Transaction

FLAGS: Final = {
    "denied": DENIED,
    "violation": VIOLATION,
    "redacted": REDACTED,
    "invalid": INVALID,
    "undeclared": UNDECLARED,
    "lost": LOST | HOLE,
}
"""The flags by which runs and spans can be listed, in bits of their column."""
FAILED: Final = "failed"
"""The flag of a failed span, and of a run with one; it is not a bit of the column."""
KINDS: Final = {
    name: kinds
    for name, bits in FLAGS.items()
    if (kinds := tuple(kind for kind in FINDINGS if kind & bits))
}
"""The flags of which `span_findings` has rows, and their kinds there, that of spans first."""
AGENT_NAME: Final = (
    "COALESCE(CASE WHEN REPLACE(a.external_identifier, ':', '') <> a.external_identifier "
    "THEN (SELECT v.name FROM agent_versions AS v WHERE v.id = p.agent_version_id) END, a.name)"
)
"""The name of the agent `a` of a run in the place `p`: the name that the version of the run gave,
because two programs may share an identifier. The SDK names a version as its agent; other clients,
whose identifiers are no `module:name`, do not.
"""
EVER_US: Final = 2**62
"""Later than all times."""


class Scope(NamedTuple):
    """The runs of an account, of one agent or all, in one environment or all."""

    account_id: str
    account_ref: int
    agent_ref: int | None = None
    environment_ref: int | None = None


class RunRef(NamedTuple):
    """The keys of a run in the database."""

    id: bytes
    ref: int
    agent_ref: int
    spans: int


def run_ref_of(tx: Transaction, run_id: str) -> RunRef | None:
    """Return the key of a run, if it exists."""
    of_shard, values = tx.in_shard("", to_bytes(run_id))
    spans = " + ".join(SPANS_OF_RUN)
    sql = f"SELECT id, ref, agent_ref, {spans} FROM runs WHERE {of_shard}id = ?"
    return next((RunRef(*row) for row in tx.rows(sql, (*values, to_bytes(run_id)))), None)


def scope_of(
    tx: Transaction,
    account_id: str,
    agent_id: str | None = None,
    environment_id: str | None = None,
) -> Scope | None:
    """Return the scope of these ids; None if one of them is unknown."""
    account_ref = _ref(tx, "SELECT ref FROM accounts WHERE id = ?", account_id)
    of_account = "WHERE id = ? AND account_id = ?"
    agent_ref = environment_ref = None
    if agent_id is not None:
        agent_ref = _ref(tx, f"SELECT ref FROM agents {of_account}", agent_id, account_id)
    if environment_id is not None:
        sql = f"SELECT ref FROM environments {of_account}"
        environment_ref = _ref(tx, sql, environment_id, account_id)
    known = (agent_id is None or agent_ref) and (environment_id is None or environment_ref)
    if account_ref is None or not known:
        return None
    return Scope(account_id, account_ref, agent_ref, environment_ref)


def _ref(tx: Transaction, sql: str, *values: str) -> int | None:
    return next((int(ref) for (ref,) in tx.rows(sql, values)), None)


class Query(NamedTuple):
    """A statement and its values."""

    sql: str
    values: Sequence[Value]


def same_shard(tx: Transaction, one: str, other: str) -> str:
    """Return the condition that two rows belong to one shard, with an AND; none in SQLite."""
    return f"{one}.shard = {other}.shard AND " if tx.dialect == "postgres" else ""


def columns(tx: Transaction, alias: str, *names: str) -> str:
    """Return columns of a row, with its shard where there are shards."""
    shard = ("shard",) if tx.dialect == "postgres" else ()
    return ", ".join(f"{alias}.{name}" for name in (*shard, *names))


def of_key(tx: Transaction, alias: str, run: RunRef) -> Where:
    """Return the condition that a row belongs to a run."""
    shard, values = tx.in_shard(f"{alias}.", run.id)
    return Where([f"{shard}{alias}.run_ref = ?"], [*values, run.ref])


def of_scope(scope: Scope) -> Where:
    """Return the condition that a run `r` lies in the scope."""
    where = Where()
    # The agent belongs to the account; without the account its own index serves.
    if scope.agent_ref is None:
        where.add("r.account_ref = ?", scope.account_ref)
    where.add_known("r.agent_ref = ?", scope.agent_ref)
    where.add_known("r.environment_ref = ?", scope.environment_ref)
    return where


def run_meets(tx: Transaction, alias: str, of_run: Where) -> Where:
    """Return the condition that the run of a row (`run_ref`) meets *of_run*.

    As a scalar subquery it is evaluated row by row, in the order of the index and up to the limit.
    """
    where = Where()
    join = f"{same_shard(tx, 'r', alias)}r.ref = {alias}.run_ref"
    where.add_nested(f"(SELECT {{}} FROM runs AS r WHERE {join})", of_run)
    return where
