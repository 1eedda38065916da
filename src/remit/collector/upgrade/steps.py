"""The steps of an upgrade, the same for both databases."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from importlib import import_module
from pathlib import Path
from typing import Final, NamedTuple, Protocol, cast

from remit.collector.store import Transaction, is_postgres
from remit.collector.store.version import VERSION
from remit.collector.upgrade.copying import Copy, numbers
from remit.collector.upgrade.sqlite import SqliteUpgrade
from remit.errors import SettingsError

# Imported by name: psycopg is an extra.
_POSTGRES: Final = "remit.collector.upgrade.postgres"


class Upgraded(NamedTuple):
    """What an upgrade did.

    Attributes:
        version: The version before.
        runs: Number of runs in the database.
        spans: Number of spans.
        keys: Number of idempotency keys.
        kept: Where the old data is, if it is kept.
        dropped: Where the old data was that was deleted.
    """

    version: int
    runs: int = 0
    spans: int = 0
    keys: int = 0
    kept: str | None = None
    dropped: str | None = None


class Database(Protocol):
    """A database whose rows are copied."""

    path: str
    version: int

    def begin(self, copy: Copy) -> None:
        """Make the new tables, unless a copy is continued."""
        ...

    def writing(self) -> AbstractContextManager[Transaction]:
        """Return a block that reads the old tables and writes the new ones."""
        ...

    def finish(self) -> None:
        """Replace the old tables by the new ones."""
        ...

    def kept(self) -> str | None:
        """Return where the old data is, if it is kept."""
        ...

    def drop_old(self) -> None:
        """Delete the old data that is kept."""
        ...

    def close(self) -> None:
        """Close the database; the copy can be continued."""
        ...


def upgrade(
    database: Path | str,
    *,
    drop_old: bool = False,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> Upgraded:
    """Copy a database of an older schema version into this one; continue a copy that was begun.

    Args:
        database: Path of an SQLite file, or `postgresql://...`.
        drop_old: Whether the old data is deleted at the end.
        report: Called with the number of copied rows and that of all rows.

    Raises:
        SettingsError: The database cannot be upgraded, or a process uses it.
        StoreUnavailableError: It cannot be read or written now; the copy can be continued.
    """
    with closing(_opened(database)) as opened:
        upgraded = Upgraded(opened.version)
        if opened.version != VERSION:
            upgraded = _upgrade(opened, report)
        kept = opened.kept()
        if not drop_old:
            return upgraded._replace(kept=kept)
        opened.drop_old()
        return upgraded._replace(dropped=kept)


def old_data(database: Path | str) -> str | None:
    """Return where an earlier upgrade keeps the old data of a database, if it does.

    Raises:
        SettingsError: It is no database of remit's.
    """
    with closing(_opened(database)) as opened:
        return opened.kept()


def _upgrade(opened: Database, report: Callable[[int, int], None]) -> Upgraded:
    copy = Copy(opened.version)
    opened.begin(copy)
    with opened.writing() as tx:
        before, after = numbers(tx)
    done, total = sum(after), sum(before)
    report(done, total)
    for step in (copy.next_keys, copy.next_runs):
        while True:
            with opened.writing() as tx:
                count = step(tx)
            if not count:
                break
            done += count
            report(done, total)
    with opened.writing() as tx:
        before, after = numbers(tx)
    if any(new < old for new, old in zip(after, before, strict=True)):
        raise SettingsError(
            f"of {before} runs, spans and idempotency keys in {opened.path}, {after} were "
            "copied: the old data was not replaced"
        )
    opened.finish()
    runs, spans, keys = after
    return Upgraded(opened.version, runs, spans, keys)


def _opened(database: Path | str) -> Database:
    if is_postgres(database):
        return cast("Database", import_module(_POSTGRES).PostgresUpgrade(str(database)))
    return SqliteUpgrade(Path(database))
