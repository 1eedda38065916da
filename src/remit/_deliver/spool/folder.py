"""The spool's folder: one file for each process, and the locks on the files.

A file `<uuid>.db` belongs to the process that holds the lock on `<uuid>.lock`. The lock ends with
the process in any case, so neither pids nor ages are compared. A file with the ending `.aside`
holds only rejected items; a file with the ending `.damaged` could not be read.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from remit._base.files import (
    PRIVATE_FILE,
    PRIVATE_FOLDER,
    check_private_folder,
    make_private_file,
    make_private_folder,
)
from remit._base.system import NO_LINK, delete_locked, lock_file

DATABASE: Final = ".db"
ASIDE: Final = ".aside"
DAMAGED: Final = ".damaged"
ENDINGS: Final = (DATABASE, ASIDE, DAMAGED)
LOCK: Final = ".lock"
LOG: Final = "-wal"
COMPANIONS: Final = (LOG, "-shm", "-journal")
"""Endings of the files that SQLite puts next to a database."""
SUBFOLDER: Final = "spool"

FINGERPRINT_BYTES: Final = 8
DIGEST_CHARS: Final = 16
MAX_FAILURE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Identity:
    """Target and token of a file: its items are sent only there, and with this token.

    Attributes:
        target: URL of the API without credentials, or `local`.
        fingerprint: 8 bytes of the SHA-256 of the token; empty without a token.
    """

    target: str
    fingerprint: bytes

    @classmethod
    def of(cls, target: str, token: str | None) -> Identity:
        """Return the identity of *target* and *token*, whose surrounding space is ignored."""
        token = token and token.strip()
        digest = sha256(token.encode()).digest()[:FINGERPRINT_BYTES] if token else b""
        return cls(target.rstrip("/"), digest)


class Failure(msgspec.Struct, frozen=True):
    """The attempts to deliver that have failed since the last one that succeeded.

    Attributes:
        since_ns: Wall time of the first one, nanoseconds since 1970.
        reason: Why the last one failed.
    """

    since_ns: int
    reason: str


_read_failure: Final = msgspec.json.Decoder(Failure).decode


@dataclass(frozen=True, slots=True)
class OtherFiles:
    """Selects files of other targets or tokens that are sent too, because a command asks for it.

    Attributes:
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


class Claim:
    """The lock on one file of the folder; its holder may read, write and delete the file."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Own the locked file that is open as *descriptor*."""
        self.path = path
        self._descriptor = descriptor

    def release(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            # Closing, not unlocking: in the child of a fork the lock stays with the parent.
            os.close(descriptor)

    def remove(self) -> None:
        """Delete the file, then its lock."""
        for path in files_of(self.path):
            path.unlink(missing_ok=True)
        self._remove_lock()

    def rename(self, ending: str) -> None:
        """Give the file another *ending* and unlock it; only files that end in `.db` are sent."""
        renamed = files_of(self.path.with_suffix(ending))
        for path, new_path in zip(files_of(self.path), renamed, strict=True):
            with suppress(FileNotFoundError):
                path.rename(new_path)
        self._remove_lock()

    def _remove_lock(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            delete_locked(_lock_of(self.path), descriptor)


class Folder:
    """The folder of the spool files of all targets.

    Attributes:
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

        It raises `OSError`, as `claim` does, if the folder cannot be written to or is open to other
        users, or if its file system has no locks.
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
        """Return the claim on the file at *path*, None while another process has it."""
        descriptor = os.open(_lock_of(path), os.O_CREAT | os.O_RDWR | NO_LINK, PRIVATE_FILE)
        locked = False
        try:
            with suppress(BlockingIOError):
                lock_file(descriptor)
                # Its last holder may have deleted file and lock after the lock was opened here.
                locked = os.fstat(descriptor).st_nlink > 0
        finally:
            if not locked:
                os.close(descriptor)
        return Claim(path, descriptor) if locked else None

    def in_use(self, path: Path) -> bool:
        """Return whether a process uses the file at *path*, without changing anything."""
        try:
            descriptor = os.open(_lock_of(path), os.O_RDONLY | NO_LINK)
            try:
                lock_file(descriptor, shared=True)
            finally:
                os.close(descriptor)
        except OSError as error:
            return isinstance(error, BlockingIOError)
        return False

    def sweep(self) -> None:
        """Remove locks without a file, with SQLite's files next to them, if no process holds them.

        A process that is killed while it creates or deletes its file leaves a lock.
        """
        for lock in self.files(LOCK):
            path = lock.with_suffix(DATABASE)
            with suppress(OSError):
                claim = None if _has_file(path) else self.claim(path)
                if claim is not None and _has_file(path):
                    claim.release()
                elif claim is not None:
                    claim.remove()

    def files(self, *endings: str) -> list[Path]:
        """Return the files with one of *endings*, the oldest first; empty without a folder."""
        dated = [
            (info.st_mtime_ns, entry.path)
            for entry, info in self._entries()
            if entry.name.endswith(endings) and not entry.is_symlink()
        ]
        return [Path(path) for _, path in sorted(dated)]

    def note_failure(self, reason: str, now_ns: int) -> None:
        """Note that an attempt to deliver failed, for `remit doctor`, which is another process."""
        with suppress(OSError):
            check_private_folder(self._data_dir)
            known = self.failure()
            noted = Failure(now_ns if known is None else known.since_ns, reason)
            path = self._failure_path()
            if noted != known:
                made = path.with_suffix(f".{os.getpid()}")
                make_private_file(made)
                made.write_bytes(msgspec.json.encode(noted))
                made.replace(path)

    def forget_failure(self) -> None:
        """Note that an attempt to deliver succeeded."""
        with suppress(OSError):
            self._failure_path().unlink()

    def failure(self) -> Failure | None:
        """Return why nothing can be delivered; None if the last attempt succeeded."""
        with suppress(OSError, msgspec.DecodeError), self._failure_path().open("rb") as file:
            return _read_failure(file.read(MAX_FAILURE_BYTES))
        return None

    def _failure_path(self) -> Path:
        """Return the file of the target and token, outside the spool, whose size has a bound."""
        identity = self.identity
        digest = sha256(identity.target.encode() + b"\0" + identity.fingerprint).hexdigest()
        return self._data_dir / f"undelivered-{digest[:DIGEST_CHARS]}.json"

    def size_bytes(self) -> int:
        return sum(info.st_size for _, info in self._entries())

    def usage(self) -> tuple[int, int]:
        """Return how much disk the files need, and the number of files that may be growing.

        A log counts twice, because its content is written into its file as well.
        """
        used_bytes = growing = 0
        for entry, info in self._entries():
            used_bytes += info.st_size * (2 if entry.name.endswith(LOG) else 1)
            growing += entry.name.endswith(DATABASE)
        return used_bytes, growing

    def _entries(self) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
        """Yield the entries of the folder; none if other users may write to it."""
        with suppress(OSError):
            check_private_folder(self._data_dir)
            check_private_folder(self.path)
            with os.scandir(self.path) as entries:
                for entry in entries:
                    with suppress(OSError):
                        yield entry, entry.stat(follow_symlinks=False)


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


def files_of(path: Path) -> list[Path]:
    """Return the paths of a file and of SQLite's files next to it."""
    return [path, *(Path(f"{path}{companion}") for companion in COMPANIONS)]


def _lock_of(path: Path) -> Path:
    return path.with_suffix(LOCK)
