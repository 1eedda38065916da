"""The spool's folder: one file for each process, and the locks on the files.

A file `<uuid>.db` belongs to the process that holds the lock on `<uuid>.lock`, by `flock`. The lock
ends with the process in any case, so neither pids nor ages are compared. A file with the ending
`.aside` holds only refused items; a file with the ending `.damaged` could not be read.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from remit._base.files import (
    PRIVATE_FILE,
    PRIVATE_FOLDER,
    check_private_folder,
    make_private_file,
    make_private_folder,
)

DATABASE: Final = ".db"
ASIDE: Final = ".aside"
DAMAGED: Final = ".damaged"
ENDINGS: Final = (DATABASE, ASIDE, DAMAGED)
LOCK: Final = ".lock"
LOG: Final = "-wal"
COMPANIONS: Final = (LOG, "-shm", "-journal")
"""What SQLite puts beside a database."""
SUBFOLDER: Final = "spool"

FINGERPRINT_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Identity:
    """Target and token of a file: its items are sent only there, and with this token.

    Attributes:
        target: URL of the API without credentials, or `local`.
        fingerprint: Of the token, 8 bytes of its SHA-256; empty without a token.
    """

    target: str
    fingerprint: bytes

    @classmethod
    def of(cls, target: str, token: str | None) -> Identity:
        """Return the identity of *target* and *token*, whose surrounding space is ignored."""
        token = token and token.strip()
        digest = sha256(token.encode()).digest()[:FINGERPRINT_BYTES] if token else b""
        return cls(target.rstrip("/"), digest)


@dataclass(frozen=True, slots=True)
class OtherFiles:
    """Selects files of other targets or tokens that are sent too, because a command asks for it.

    Attributes:
        any_token: Select files of the same target with any token.
        target: Select files of this other target with any token.
    """

    any_token: bool = False
    target: str | None = None

    def include(self, identity: Identity | None, ours: Identity) -> bool:
        """Return whether a file of *identity* is sent; *ours* is this process's."""
        if identity is None:
            return False
        same_target = self.any_token and identity.target == ours.target
        return identity == ours or same_target or identity.target == self.target


NO_OTHER_FILES: Final = OtherFiles()


class Usage(NamedTuple):
    """Disk usage of the folder.

    Attributes:
        size_bytes: Size of all files.
        log_bytes: Size of SQLite's logs.
        growing: Number of processes that may be writing.
    """

    size_bytes: int
    log_bytes: int
    growing: int


class Claim:
    """The lock on one file of the folder; its holder may read, write and delete the file.

    Attributes:
        path: The database file.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        """Own the locked file that is open as *descriptor*."""
        self.path = path
        self._descriptor = descriptor

    def release(self) -> None:
        """Unlock the file; delete the lock of a file that was put aside."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        if self.path.suffix != DATABASE:
            _lock_of(self.path).unlink(missing_ok=True)
        # Closing, not unlocking: in the child of a fork the lock stays with the parent.
        os.close(descriptor)

    def remove(self) -> None:
        """Delete the file, then its lock."""
        for path in _files_of(self.path):
            path.unlink(missing_ok=True)
        self._remove_lock()

    def rename(self, ending: str) -> None:
        """Give the file another *ending* and unlock it; only files that end in `.db` are sent."""
        renamed = _files_of(self.path.with_suffix(ending))
        for path, new_path in zip(_files_of(self.path), renamed, strict=True):
            with suppress(FileNotFoundError):
                path.rename(new_path)
        self._remove_lock()

    def _remove_lock(self) -> None:
        if self._descriptor >= 0:
            _lock_of(self.path).unlink(missing_ok=True)
        self.release()


class Folder:
    """The folder of the spool files of all targets.

    Attributes:
        path: The folder.
        identity: Target and token whose files this process sends.
        max_bytes: Bound of the size of all files together.
    """

    def __init__(self, data_dir: Path, identity: Identity, max_bytes: int) -> None:
        """Use the folder in *data_dir*, which is created when it is needed."""
        self._data_dir = data_dir
        self.path = data_dir / SUBFOLDER
        self.identity = identity
        self.max_bytes = max_bytes

    def create(self) -> Claim:
        """Return the claim on a new, empty file.

        Raises:
            OSError: The folder cannot be written to or is open to other users, or its file system
                has no locks.
        """
        make_private_folder(self._data_dir)
        make_private_folder(self.path)
        if self.path.stat().st_mode & 0o077:
            self.path.chmod(PRIVATE_FOLDER)
        path = self.path / f"{uuid.uuid4()}{DATABASE}"
        claim = self.claim(path)
        if claim is None:
            # Another process removed the lock between its creation and the locking.
            return self.create()
        try:
            make_private_file(path)
        except OSError:
            claim.remove()
            raise
        return claim

    def claim(self, path: Path) -> Claim | None:
        """Return the claim on the file at *path*, `None` while another process has it.

        Raises:
            OSError: The folder cannot be written to, or its file system has no locks.
        """
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(_lock_of(path), flags, PRIVATE_FILE)
        claim = Claim(path, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            claim.release()
            return None
        except OSError:
            claim.release()
            raise
        if not os.fstat(descriptor).st_nlink:
            # Its last holder deleted file and lock after the lock was opened here.
            claim.release()
            return None
        return claim

    def in_use(self, path: Path) -> bool:
        """Return whether a process uses the file at *path*, without changing anything."""
        try:
            descriptor = os.open(_lock_of(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return False

    def sweep(self) -> None:
        """Remove locks without a file, with SQLite's files beside them, if no process holds them.

        A process that is killed while it creates or deletes its file leaves a lock.
        """
        for lock in self.files(LOCK):
            path = lock.with_suffix(DATABASE)
            claim: Claim | None = None
            with suppress(OSError):
                claim = None if _has_file(path) else self.claim(path)
            if claim is None:
                continue
            if _has_file(path):
                claim.release()
            else:
                claim.remove()

    def files(self, *endings: str) -> list[Path]:
        """Return the files with one of *endings*, the oldest first; empty without a folder."""
        entries = [
            entry
            for entry in self._entries()
            if entry.name.endswith(endings) and not entry.is_symlink()
        ]
        dated = [(info.st_mtime_ns, entry.path) for entry in entries if (info := _stat(entry))]
        return [Path(path) for _, path in sorted(dated)]

    def size_bytes(self) -> int:
        """Return the size of all files together."""
        return self.usage().size_bytes

    def usage(self) -> Usage:
        """Measure the disk usage of the folder."""
        size_bytes = log_bytes = growing = 0
        for entry in self._entries():
            info = _stat(entry)
            if info is not None:
                size_bytes += info.st_size
                log_bytes += info.st_size if entry.name.endswith(LOG) else 0
                growing += entry.name.endswith(DATABASE)
        return Usage(size_bytes, log_bytes, growing)

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        """Yield the entries of the folder; none if other users may write to it."""
        try:
            check_private_folder(self._data_dir)
            check_private_folder(self.path)
            with os.scandir(self.path) as entries:
                yield from entries
        except OSError:
            return


def _stat(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:
        return None


def size_of(path: Path) -> int:
    """Return the size of one file together with SQLite's files beside it."""
    sizes: list[int] = []
    for file in _files_of(path):
        with suppress(OSError):
            sizes.append(file.stat().st_size)
    return sum(sizes)


def modified_ns(path: Path) -> int:
    """Return the time at which one file or its log was last written to.

    SQLite's index is left out, because readers write to it as well.
    """
    times: list[int] = []
    for file in (path, Path(f"{path}-wal"), Path(f"{path}-journal")):
        with suppress(OSError):
            times.append(file.stat().st_mtime_ns)
    return max(times, default=0)


def _has_file(path: Path) -> bool:
    return any(path.with_suffix(ending).exists() for ending in ENDINGS)


def _files_of(path: Path) -> list[Path]:
    return [path, *(Path(f"{path}{companion}") for companion in COMPANIONS)]


def _lock_of(path: Path) -> Path:
    return path.with_suffix(LOCK)
