"""Distribution of an empty PostgreSQL database over the nodes of a Citus cluster."""

from __future__ import annotations

from typing import Any, Final

import psycopg

from remit.collector.store.open import shown
from remit.collector.store.postgres import PostgresStore, has_citus, is_distributed
from remit.collector.store.postgres_locks import SCHEMA_LOCK
from remit.errors import SettingsError

REFERENCES: Final = (
    "accounts",
    "environments",
    "agents",
    "span_types",
    "span_type_words",
    "run_places",
)
"""Tables with a copy on each node, because they are joined with tables of runs."""
BY_SHARD: Final = (
    "runs",
    "run_changes",
    "run_labels",
    "run_subjects",
    "spans",
    "span_payloads",
    "span_findings",
)
"""The tables that are distributed by shard; the rows of one shard are on one node."""
_LOCAL: Final = (
    "run_keys",
    "agent_versions",
    "agent_schema_versions",
    "agent_deployments",
    "api_tokens",
    "page_sessions",
    "idempotency_keys",
    "erasures",
    "asks",
    "late_answers",
    "used_seals",
    "holds",
    "hold_processes",
)
# A request about many runs sends a statement to each part that has one of them. A part cannot be on
# more than one worker, so that more workers need more parts.
_PARTS: Final = """
    SELECT COALESCE(
        (SELECT setting::int FROM pg_settings
         WHERE name = 'citus.shard_count' AND source <> 'default'),
        4 * %s
    )
"""
# Of this transaction record the coordinator keeps the number since Citus 13.1.
_VERSION: Final = """
    SELECT EXISTS (
        SELECT FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid
        WHERE c.relname = 'pg_dist_transaction' AND attname = 'outer_xid'
    )
"""
_NODES: Final = """
    SELECT COUNT(*) FILTER (WHERE groupid = 0),
        COUNT(*) FILTER (WHERE groupid <> 0 AND shouldhaveshards)
    FROM pg_dist_node WHERE noderole = 'primary'
"""


def distribute(url: str) -> int:
    """Distribute the database at *url*; it has nothing in it, or empty tables of remit's.

    Args:
        url: The database on the coordinator, `postgresql://user@host/database`.

    Returns:
        The number of workers that have shards.

    Raises:
        SettingsError: It cannot be distributed; the message says what to do.
    """
    PostgresStore(url).close()
    path = shown(url)
    try:
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
            workers = _check(cursor, path)
            cursor.execute("SET LOCAL citus.multi_shard_modify_mode TO 'sequential'")
            for table in REFERENCES:
                cursor.execute("SELECT create_reference_table(%s)", (table,))
            first, *others = BY_SHARD
            ((parts,),) = cursor.execute(_PARTS, (workers,)).fetchall()
            place = "SELECT create_distributed_table(%s, 'shard', colocate_with => %s"
            cursor.execute(f"{place}, shard_count => %s)".encode(), (first, "none", parts))
            for table in others:
                cursor.execute(f"{place})".encode(), (table, first))
    except psycopg.Error as error:
        raise SettingsError(f"the database {path} cannot be distributed: {error}") from error
    return workers


def _check(cursor: psycopg.Cursor[Any], path: str) -> int:
    """Return the number of workers."""
    if not has_citus(cursor):
        raise SettingsError(
            f"the database {path} has no extension citus: run CREATE EXTENSION citus in the "
            "database of this name on each node"
        )
    if is_distributed(cursor):
        raise SettingsError(f"the database {path} is distributed already")
    if cursor.execute(_VERSION).fetchall() != [(True,)]:
        raise SettingsError(f"the extension citus of {path} is too old: remit needs 13.1 or later")
    for table in (*REFERENCES, *BY_SHARD, *_LOCAL):
        if cursor.execute(f"SELECT FROM {table} LIMIT 1".encode()).fetchone() is not None:
            raise SettingsError(
                f"the database {path} is not empty: {table} has rows. Create a new database, and "
                "distribute it before a collector uses it"
            )
    ((coordinator, workers),) = cursor.execute(_NODES).fetchall()
    if not coordinator:
        raise SettingsError(
            f"the workers do not know the coordinator of {path}: run "
            "SELECT citus_set_coordinator_host('HOST', PORT) there"
        )
    if not workers:
        raise SettingsError(
            f"the database {path} has no worker: run SELECT citus_add_node('HOST', PORT) on the "
            "coordinator for each one"
        )
    return int(workers)
