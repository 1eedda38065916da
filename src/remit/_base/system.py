"""Differences between POSIX and Windows: forks, locks, owners, folders, sockets, memory.

The other modules use nothing that one of the two lacks.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from errno import EINVAL
from pathlib import Path
from typing import Final

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

WINDOWS: Final = sys.platform == "win32"

NO_LINK: Final[int] = getattr(os, "O_NOFOLLOW", 0)
"""Flag of `os.open` to fail at a symbolic link. Windows lacks it; links need a privilege there."""

STOP_SIGNALS: Final = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGBREAK")
    if name in signal.Signals.__members__
)
"""Signals that ask a process to end. SIGBREAK is Ctrl-Break on Windows."""


def at_fork(
    *,
    before: Callable[[], object] | None = None,
    after_in_parent: Callable[[], object] | None = None,
    after_in_child: Callable[[], object] | None = None,
) -> None:
    """Call functions around each fork of this process; Windows has no forks."""
    hooks = {
        "before": before,
        "after_in_parent": after_in_parent,
        "after_in_child": after_in_child,
    }
    if sys.platform != "win32":
        os.register_at_fork(**{name: hook for name, hook in hooks.items() if hook is not None})


# Files


def lock_file(descriptor: int, *, shared: bool = False) -> None:
    """Lock an open file until it is closed, which the end of the process does too.

    Args:
        shared: Whether others may hold such a lock too. On Windows they may not.

    Raises:
        BlockingIOError: Another open file has the lock.
        OSError: The file system has no locks.
    """
    if sys.platform == "win32":
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(error.errno, error.strerror) from error
    else:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def delete_locked(path: Path, descriptor: int) -> None:
    """Delete a file that is open and locked as *descriptor*, and close it.

    Windows deletes no file that is open, so it is closed first, and a file that another process has
    opened stays. POSIX deletes it while it is locked: a process that had opened it before then sees
    that it has no name.
    """
    if sys.platform == "win32":
        os.close(descriptor)
        with suppress(PermissionError):
            path.unlink(missing_ok=True)
    else:
        try:
            path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def user_id() -> int | None:
    """Return the user of this process, as in `st_uid`; None on Windows, where files name none."""
    if sys.platform == "win32":
        return None
    else:
        return os.geteuid()


def is_closed_pipe(error: OSError) -> bool:
    """Return whether a write failed because the reader of a pipe has ended."""
    return isinstance(error, BrokenPipeError) or (WINDOWS and error.errno == EINVAL)


def is_readable(socket: int) -> bool:
    """Return whether the peer of a socket has sent something or closed it, without waiting."""
    if sys.platform == "win32":
        return bool(select.select([socket], [], [], 0)[0])
    else:
        # On POSIX `select` has no room for descriptors from 1,024 on.
        poll = select.poll()
        poll.register(socket, select.POLLIN)
        return bool(poll.poll(0))


# The machine


def state_folder() -> Path:
    """Return the folder for the state of a user's programs: `~/.local/state`, or `AppData/Local`.

    Raises:
        RuntimeError: The user has no home folder.

    Source: the XDG base directory specification; known folders of Windows.
    """
    folder = Path(os.environ.get("LOCALAPPDATA" if WINDOWS else "XDG_STATE_HOME", ""))
    if folder.is_absolute():
        return folder
    return Path.home().joinpath(*(("AppData", "Local") if WINDOWS else (".local", "state")))


def total_memory() -> int | None:
    """Return the bytes of memory of the machine, None if that is not known."""
    if sys.platform != "win32":
        with suppress(OSError, ValueError):
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def allow_open_files(needed: int) -> int:
    """Let this process open *needed* files, as far as the system permits; return how many it may.

    Windows has no such limit.
    """
    if sys.platform == "win32":
        return needed
    else:
        # Only the server needs it, and it would be 0.4 ms of `import remit`.
        import resource  # noqa: PLC0415

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY or soft >= needed:
            return needed
        allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        return allowed


def device_of(path: Path) -> str:
    """Return the device of a file as `MAJOR:MINOR`, the form of `/proc`; empty on Windows."""
    device = path.stat().st_dev
    if sys.platform == "win32":
        return ""
    else:
        return f"{os.major(device)}:{os.minor(device)}"
