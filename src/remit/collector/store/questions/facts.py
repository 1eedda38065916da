"""Facts about a database."""

from __future__ import annotations

from typing import Final, NamedTuple

from remit.collector.store.transaction import Transaction

_SQLITE: Final = (
    "SELECT sqlite_version(), c.page_count * s.page_size "
    "FROM pragma_page_count() AS c, pragma_page_size() AS s"
)
_POSTGRES: Final = "SELECT current_setting('server_version'), pg_database_size(current_database())"


class DatabaseFacts(NamedTuple):
    """Facts about a database.

    Attributes:
        kind: `SQLite` or `PostgreSQL`.
        size: Its size in bytes; of a distributed one, that of the node which was asked.
        distributed: Whether its tables lie on several nodes.
    """

    kind: str
    version: str
    size: int
    distributed: bool


def database_facts(tx: Transaction) -> DatabaseFacts:
    """Return facts about the database of a transaction."""
    is_sqlite = tx.dialect == "sqlite"
    version, size = next(iter(tx.rows(_SQLITE if is_sqlite else _POSTGRES)))
    kind = "SQLite" if is_sqlite else "PostgreSQL"
    return DatabaseFacts(kind, str(version), int(size), tx.distributed)
