"""The spool's folder: one file for each process, and who may have which.

A file `<uuid>.db` belongs to whoever holds the lock on `<uuid>.lock`, by `flock`: the lock ends
with its process, however that ends, so that liveness is never guessed from a pid or an age. Where a
cleaner removed the lock, nobody has the file before its last connection is closed. A file with the
ending `.aside` holds only what a server refused, one with `.damaged` could not be read.
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
from typing import Final

from remit._files import PRIVATE_FILE, PRIVATE_FOLDER, check_private_folder, make_private_folder
from remit._spool.holders import is_open

DATABASE: Final = ".db"
ASIDE: Final = ".aside"
DAMAGED: Final = ".damaged"
ENDINGS: Final = (DATABASE, ASIDE, DAMAGED)
LOCK: Final = ".lock"
COMPANIONS: Final = ("-wal", "-shm", "-journal")
"""What SQLite puts beside a database."""
SUBFOLDER: Final = "spool"

FINGERPRINT_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose items a file holds: they are sent to this target, by this token, and to no other.

    Attributes:
        target: URL of the API without credentials, or `local`.
        fingerprint: Of the token, 8 bytes of its SHA-256; empty without a token.
    """

    target: str
    fingerprint: bytes

    @classmethod
    def of(cls, target: str, token: str | None) -> Identity:
        """Return the identity of *target* with *token*; space around it is no part of a token."""
        token = token and token.strip()
        digest = sha256(token.encode()).digest()[:FINGERPRINT_BYTES] if token else b""
        return cls(target.rstrip("/"), digest)


@dataclass(frozen=True, slots=True)
class Others:
    """Files of other targets or tokens that are sent too, because a command asks for it.

    Attributes:
        any_token: Whether to send what was recorded for the same target with another token.
        target: Another target whose files are sent, whatever their token.
    """

    any_token: bool = False
    target: str | None = None

    def include(self, identity: Identity | None, ours: Identity) -> bool:
        """Return whether a file of *identity* is sent; *ours* is the identity of this process."""
        if identity is None:
            return False
        same_target = self.any_token and identity.target == ours.target
        return identity == ours or same_target or identity.target == self.target


NO_OTHERS: Final = Others()


class Claim:
    """The lock on one file of the folder; whoever holds it may read, write and delete the file.

    Attributes:
        path: The database file.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        """Hold the lock that is open as *descriptor*."""
        self.path = path
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others have the file; one that was put aside needs no lock until then."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        if self.path.suffix != DATABASE:
            _lock_of(self.path).unlink(missing_ok=True)
        # Closing, not unlocking: in the child of a fork the lock stays with the parent.
        os.close(descriptor)

    @property
    def linked(self) -> bool:
        """Whether the lock is where others look for it."""
        return self._descriptor >= 0 and os.fstat(self._descriptor).st_nlink > 0

    def take_over(self, other: Claim) -> None:
        """Hold the lock of *other*, which was made for the same file, in place of the lost one."""
        lost, self._descriptor, other._descriptor = self._descriptor, other._descriptor, -1
        if lost >= 0:
            os.close(lost)

    def remove(self) -> None:
        """Delete the file, then its lock."""
        for path in _files_of(self.path):
            path.unlink(missing_ok=True)
        self.remove_lock()

    def put_aside(self, ending: str) -> None:
        """Give the file another *ending*, so that nobody sends it, and let go of it."""
        kept = self.path.with_suffix(ending)
        for file, companion in zip(_files_of(self.path), ("", *COMPANIONS), strict=True):
            with suppress(FileNotFoundError):
                file.rename(f"{kept}{companion}")
        self.remove_lock()

    def bring_back(self) -> None:
        """Give a file that was put aside its first ending again."""
        path = self.path.with_suffix(DATABASE)
        self.path.rename(path)
        self.path = path

    def remove_lock(self) -> None:
        """Delete the lock alone, which others have no use for any more, and let go of it."""
        if self._descriptor >= 0:
            _lock_of(self.path).unlink(missing_ok=True)
        self.release()


class Folder:
    """The folder of one target's files, and of others' that are left alone.

    Attributes:
        path: Where it is.
        identity: Whose files are ours.
        max_bytes: Most bytes that all its files take together.
    """

    def __init__(self, data_dir: Path, identity: Identity, max_bytes: int) -> None:
        """Name the folder in *data_dir*; nothing is made before it is needed."""
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
            # Somebody cleaned up between the making of the lock and the locking.
            return self.create()
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE))
        except OSError:
            claim.remove()
            raise
        return claim

    def claim(self, path: Path) -> Claim | None:
        """Return the claim on the file at *path*, `None` while another process has it.

        Raises:
            OSError: The folder cannot be written to, or its file system has no locks.
        """
        claim = self._locked(path)
        if claim is not None and path.suffix == DATABASE and is_open(path):
            # Somebody removed the lock of a process that lives. The new one is left to it.
            claim.release()
            return None
        return claim

    def in_use(self, path: Path) -> bool:
        """Return whether a process uses the file at *path*, without changing anything."""
        try:
            descriptor = os.open(_lock_of(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return is_open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return is_open(path)

    def renew(self, claim: Claim) -> bool:
        """Make the lock of *claim* again, which somebody removed; tell whether that worked.

        While another process looks at the file it does not: to be tried again.
        """
        try:
            made = self._locked(claim.path)
        except OSError:
            return False
        if made is not None:
            claim.take_over(made)
        return made is not None

    def _locked(self, path: Path) -> Claim | None:
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
        if not claim.linked:
            # Its last holder deleted file and lock after we had opened the lock.
            claim.release()
            return None
        return claim

    def sweep(self) -> None:
        """Remove the locks that nobody holds and beside which there is nothing any more.

        A process that was killed while it made or deleted its file leaves one.
        """
        names = [entry.name for entry in self._entries()]
        others = {_stem(name) for name in names if not name.endswith(LOCK)}
        for name in names:
            if name.endswith(LOCK) and _stem(name) not in others and _is_ours(_stem(name)):
                with suppress(OSError):
                    self._remove_alone(self.path / f"{_stem(name)}{DATABASE}")

    def _remove_alone(self, path: Path) -> None:
        """Remove the lock of the file at *path*, if nobody holds it and there is no such file.

        Whoever makes a file holds its lock before: one that comes for the lock at the same time
        finds it taken, or gone, and takes another name.
        """
        claim = self._locked(path)
        if claim is not None and not any(path.with_suffix(each).exists() for each in ENDINGS):
            claim.remove_lock()
        elif claim is not None:
            claim.release()

    def files(self, *endings: str) -> list[Path]:
        """Return the files with one of *endings*, the oldest first; empty without a folder."""
        found = [
            entry
            for entry in self._entries()
            if entry.name.endswith(endings) and not entry.is_symlink()
        ]
        dated = [(info.st_mtime_ns, entry.path) for entry in found if (info := _stat(entry))]
        return [Path(path) for _, path in sorted(dated)]

    def size_bytes(self) -> int:
        """Return the bytes that all files take together."""
        return self.taken()[0]

    def taken(self) -> tuple[int, int]:
        """Return the bytes that all files take together, and how many may be growing."""
        size_bytes = growing = 0
        for entry in self._entries():
            info = _stat(entry)
            size_bytes += info.st_size if info else 0
            growing += entry.name.endswith(DATABASE)
        return size_bytes, growing

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
    """Return the bytes of one file with what SQLite put beside it."""
    sizes: list[int] = []
    for file in _files_of(path):
        with suppress(OSError):
            sizes.append(file.stat().st_size)
    return sum(sizes)


def identities(path: Path) -> dict[Path, tuple[int, int]]:
    """Return which files on disk one file and what SQLite put beside it are, by their paths."""
    found: dict[Path, tuple[int, int]] = {}
    for file in _files_of(path):
        with suppress(OSError):
            info = file.stat()
            found[file] = (info.st_dev, info.st_ino)
    return found


def modified_ns(path: Path) -> int:
    """Return when one file or its log was last written to.

    SQLite's index is left out, because readers write to it as well.
    """
    times: list[int] = []
    for file in (path, Path(f"{path}-wal"), Path(f"{path}-journal")):
        with suppress(OSError):
            times.append(file.stat().st_mtime_ns)
    return max(times, default=0)


def _stem(name: str) -> str:
    return name.partition(".")[0]


def _is_ours(stem: str) -> bool:
    """Tell whether a file of the folder has its name from `create`."""
    try:
        return str(uuid.UUID(stem)) == stem
    except ValueError:
        return False


def _files_of(path: Path) -> list[Path]:
    return [path, *(Path(f"{path}{companion}") for companion in COMPANIONS)]


def _lock_of(path: Path) -> Path:
    return path.with_suffix(LOCK)
