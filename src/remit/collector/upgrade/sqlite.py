"""The upgrade of an SQLite file: the copy is a new file, which takes the name of the old one.

`NAME.upgrading` is written while the old file keeps its name and its version, so that a collector
refuses it. At the end the old file also gets the name `NAME.v6` (of its version), and the new one
replaces it, in one step of the file system.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from remit._base import sqlite
from remit._base.system import WINDOWS, copy_rights, sync
from remit.collector.store import SqliteStore, StoreUnavailableError
from remit.collector.store.execution import References
from remit.collector.store.sqlite_rows import SqliteTransaction
from remit.collector.store.version import OLDEST, VERSION, check_upgradable
from remit.collector.upgrade.copying import BEFORE, Copy
from remit.errors import SettingsError

ENDING: Final = ".upgrading"
_PRAGMAS: Final = (
    "PRAGMA synchronous = NORMAL",
    "PRAGMA cache_size = -65536",
    "PRAGMA secure_delete = ON",
)
# The file that is copied, so that a copy of another state is not continued.
_SOURCE: Final = "CREATE TABLE upgrade_source (file TEXT NOT NULL)"


class SqliteUpgrade:
    """The files of one upgrade.

    Attributes:
        path: The database.
        version: Its schema version.
    """

    def __init__(self, path: Path) -> None:
        """Look at the file at *path*; nothing is changed yet.

        Raises:
            SettingsError: It is no database of remit's, or has a version that cannot be upgraded.
        """
        self.path = str(path)
        self._path = path
        self._new = path.with_name(path.name + ENDING)
        self._references = References()
        self._old: sqlite3.Connection | None = None
        self._connection: sqlite3.Connection | None = None
        try:
            sqlite.check_ours(path, sqlite.COLLECTOR)
            with closing(sqlite.reader(path)) as connection:
                (version,) = connection.execute("PRAGMA user_version").fetchone()
        except (sqlite3.Error, OSError, sqlite.ForeignError) as error:
            raise SettingsError(f"the database {path} cannot be read: {error}") from error
        self.version = int(version)
        self._old_path = path.with_name(f"{path.name}.v{self.version}")
        check_upgradable(self.version, self.path)

    def begin(self, copy: Copy) -> None:
        """Lock the old file, and open the new one, made now if there is none to continue.

        Raises:
            SettingsError: A process has the database open, there is not enough space, or another
                file is where the old one is to be kept.
            StoreUnavailableError: A file cannot be read or written.
        """
        if self._old_path.exists() and not self._old_path.samefile(self._path):
            raise SettingsError(
                f"{self._old_path} exists, from an earlier upgrade: delete it or move it away"
            )
        with self._failing():
            self._lock()
            source = str(_state(self._path))
            if not self._continues(source):
                self._create(copy, source)
            else:
                self._open()

    @contextmanager
    def writing(self) -> Generator[SqliteTransaction]:
        """Return a block that reads the old file and writes the new one."""
        assert self._connection is not None  # noqa: S101 - begun
        with self._failing():
            self._connection.execute("BEGIN")
            transaction = SqliteTransaction(self._connection, self._references)
            try:
                yield transaction
                transaction.flush()
                self._connection.execute("COMMIT")
            except BaseException:
                # After some faults (a full disk) SQLite has rolled back by itself.
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
            self._references.add(transaction.references)

    def finish(self) -> None:
        """Give the new file the name of the old one, which keeps another name."""
        assert self._connection is not None  # noqa: S101 - begun
        with self._failing():
            self._connection.execute("DROP TABLE upgrade_source")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.close()
            copy_rights(self._path, self._new)
            sync(self._new)
            if not self._old_path.exists():
                os.link(self._path, self._old_path)
            if WINDOWS and self._old is not None:
                self._old.close()  # a file that is open cannot be replaced there
            self._new.replace(self._path)
            sync(self._path.parent)

    def kept(self) -> str | None:
        """Return where old files are, if they are kept."""
        return ", ".join(map(str, self._kept())) or None

    def drop_old(self) -> None:
        """Delete the old files."""
        with self._failing():
            for path in self._kept():
                path.unlink()

    def _kept(self) -> list[Path]:
        paths = (self._path.with_name(f"{self._path.name}.v{n}") for n in range(OLDEST, VERSION))
        return [path for path in paths if path.exists()]

    def close(self) -> None:
        """Close the files; the copy can be continued."""
        for connection in (self._connection, self._old):
            if connection is not None:
                connection.close()

    def _lock(self) -> None:
        """Keep other processes from writing the old file until the end.

        Raises:
            SettingsError: One has it open.
        """
        self._old = sqlite.open_file(self._path, "rw", timeout_s=0.0)
        try:
            # This needs the file for itself, and writes its log into it.
            self._old.execute("PRAGMA journal_mode = DELETE")
            self._old.execute("BEGIN IMMEDIATE")
            (version,) = self._old.execute("PRAGMA user_version").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            raise SettingsError(
                f"a process has the database {self.path} open: stop collectors and programs that "
                "record into it, and start the upgrade again"
            ) from error
        if version != self.version:
            raise SettingsError(f"another upgrade of {self.path} has just ended")

    def _continues(self, source: str) -> bool:
        """Return whether there is a copy of this state of the old file; delete any other."""
        if self._new.exists():
            with suppress(sqlite3.Error), closing(sqlite.open_file(self._new, "rw")) as copy:
                if copy.execute("SELECT file FROM upgrade_source").fetchall() == [(source,)]:
                    return True
        for ending in ("", *sqlite.LOGS, sqlite.INDEX):
            Path(f"{self._new}{ending}").unlink(missing_ok=True)
        return False

    def _create(self, copy: Copy, source: str) -> None:
        needed, free = self._path.stat().st_size, shutil.disk_usage(self._path.parent).free
        if free < needed:
            raise SettingsError(
                f"the upgrade of {self.path} needs {needed >> 20} MiB beside it, and there are "
                f"{free >> 20} MiB: free some space, or move the file to a larger disk"
            )
        SqliteStore(self._new).close()
        self._open()
        with self.writing() as tx:
            copy.things(tx)
            tx.run(_SOURCE)
            tx.run("INSERT INTO upgrade_source (file) VALUES (?)", (source,))

    def _open(self) -> None:
        self._connection = sqlite.open_file(self._new, "rw")
        for pragma in _PRAGMAS:
            self._connection.execute(pragma)
        before = f"{self._path.absolute().as_uri()}?mode=ro"
        self._connection.execute(f"ATTACH DATABASE ? AS {BEFORE}", (before,))

    @contextmanager
    def _failing(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise StoreUnavailableError(f"{self.path}: {error}") from error


def _state(path: Path) -> tuple[int, int, int]:
    info = path.stat()
    return info.st_ino, info.st_size, info.st_mtime_ns
