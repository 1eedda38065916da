"""Hides what Windows lacks. Python runs this module at its start where the folder is on its path.

It hides from remit and from a module `program`; other packages have the real system, because they
run on Windows by themselves:

- `sys.platform` is `win32`; modules, functions, flags and signals of POSIX are missing;
- `msvcrt.locking` locks a file for one open handle;
- folders have the mode 0o777, files 0o666, nobody owns them, and `chmod` does nothing;
- a file that any process has open can be neither deleted, nor renamed, nor replaced;
- a folder cannot be opened; `os.kill` with SIGTERM ends a process without its handlers;
- before Python 3.13, the clock advances in steps of 15.6 ms;
- `multiprocessing` has `spawn` only.

It does not show drives and backslashes, programs that hold files open for a moment, locks of
SQLite, the end of a process in the middle of a write.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import multiprocessing.context
import os
import select
import shutil
import signal
import socket
import stat
import sys
import time
import types
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any, Final

from tests.windows import missing

# Imported before what these modules use on the real system is hidden.
for _name in (
    *("asyncio", "concurrent.futures.process", "logging.handlers", "platform", "sqlite3", "ssl"),
    *("subprocess", "tempfile", "webbrowser", "zoneinfo"),
    *("multiprocessing.connection", "multiprocessing.managers", "multiprocessing.pool"),
    *("multiprocessing.popen_spawn_posix", "multiprocessing.queues", "multiprocessing.spawn"),
    *("multiprocessing.resource_tracker", "multiprocessing.synchronize", "multiprocessing.util"),
):
    import_module(_name)

SEEING: Final = {"remit", "program", "__main__", "__mp_main__"}
"""Top-level names of the modules that see a Windows."""
STEP_NS: Final = 15_625_000
INSIDE_PATHLIB: Final = ("pathlib", "genericpath", "posixpath", "os")

REAL: Final = types.SimpleNamespace(
    chmod=os.chmod,
    fstat=os.fstat,
    import_=builtins.__import__,
    kill=os.kill,
    listdir=os.listdir,
    lstat=os.lstat,
    open=os.open,
    readlink=os.readlink,
    rename=os.rename,
    replace=os.replace,
    stat=os.stat,
    time_ns=time.time_ns,
    unlink=os.unlink,
)


def sees(depth: int = 2) -> bool:
    """Return whether the caller's caller sees a Windows."""
    name = sys._getframe(depth).f_globals.get("__name__") or ""
    return name.partition(".")[0] in SEEING


def sees_through_pathlib() -> bool:
    """Return whether code that sees a Windows called the caller, maybe by `pathlib`."""
    frame: types.FrameType | None = sys._getframe(2)
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(INSIDE_PATHLIB):
        frame = frame.f_back
    name = "" if frame is None else str(frame.f_globals.get("__name__"))
    return name.partition(".")[0] in SEEING


def hide(
    module: types.ModuleType, names: Collection[str], values: Mapping[str, object] | None = None
) -> None:
    """Hide *names* of a module, and show other *values*, to code that sees a Windows."""
    shown = values or {}

    class Hidden(types.ModuleType):
        """The module as Windows has it."""

        # Not by properties: Python 3.14 reads the names of a module without them.
        def __getattribute__(self, name: str) -> object:
            if (name in names or name in shown) and sees():
                if name in shown:
                    return shown[name]
                message = f"module {module.__name__!r} has no attribute {name!r}"
                raise AttributeError(message)
            return super().__getattribute__(name)

    module.__class__ = Hidden


# Files that are open


def check_closed(*paths: Any) -> None:
    """Raise what Windows raises if any process has one of the files open."""
    for path in paths:
        if not isinstance(path, int) and is_open(path):
            raise PermissionError(errno.EACCES, "The file is used by another process", str(path))


def is_open(path: Any) -> bool:
    """Return whether any process has a regular file open."""
    try:
        if not stat.S_ISREG(REAL.lstat(path).st_mode):
            return False
    except OSError:
        return False
    target = os.path.realpath(path)
    return any(
        link_of(f"/proc/{pid}/fd/{number}") == target
        for pid in REAL.listdir("/proc")
        if pid.isdigit()
        for number in numbers_in(f"/proc/{pid}/fd")
    )


def numbers_in(folder: str) -> list[str]:
    """Return the descriptors of a process; none if it has ended."""
    try:
        return list(REAL.listdir(folder))
    except OSError:
        return []


def link_of(path: str) -> str:
    """Return what a link names."""
    try:
        return str(REAL.readlink(path))
    except OSError:
        return ""


def unlink(path: Any, *, dir_fd: int | None = None) -> None:
    """Delete a file that nobody has open."""
    if dir_fd is None:
        check_closed(path)
    REAL.unlink(path, dir_fd=dir_fd)


def rename(source: Any, target: Any, **options: Any) -> None:
    """Rename a file that nobody has open; another one is not replaced."""
    check_closed(source, target)
    if os.path.exists(target):
        raise FileExistsError(errno.EEXIST, "The file already exists", str(target))
    REAL.rename(source, target, **options)


def replace(source: Any, target: Any, **options: Any) -> None:
    """Replace a file that nobody has open."""
    check_closed(source, target)
    REAL.replace(source, target, **options)


# Modes, owners, folders


def windows_stat(info: os.stat_result) -> os.stat_result:
    """Return the state of a file without its mode and its owner."""
    mode = (info.st_mode & ~0o777) | (0o777 if stat.S_ISDIR(info.st_mode) else 0o666)
    values = [mode, *info[1:4], 0, 0, *info[6:10]]
    more = ("st_atime", "st_mtime", "st_ctime", "st_atime_ns", "st_mtime_ns", "st_ctime_ns")
    return os.stat_result(values, {name: getattr(info, name) for name in more})


def stating(real: Callable[..., os.stat_result]) -> Callable[..., os.stat_result]:
    """Return a function of the `stat` family as Windows has it."""

    def stat_of(*args: Any, **options: Any) -> os.stat_result:
        info = real(*args, **options)
        return windows_stat(info) if sees_through_pathlib() else info

    return stat_of


def open_(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    """Open a file, but no folder."""
    if sees() and not isinstance(path, int) and os.path.isdir(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))
    return int(REAL.open(path, flags, mode, dir_fd=dir_fd))


def kill(pid: int, number: int) -> None:
    """End a process at once, as `TerminateProcess` does."""
    if number == signal.SIGTERM and pid == os.getpid() and sees_through_pathlib():
        os._exit(number)
    REAL.kill(pid, number)


# Modules


def locking(descriptor: int, mode: int, _: int) -> None:
    """Lock a byte of a file, or raise what `msvcrt` raises."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if mode else fcntl.LOCK_UN)
    except BlockingIOError:
        raise PermissionError(errno.EACCES, "Permission denied") from None


def import_(name: str, *args: Any, **options: Any) -> Any:
    """Import what Windows has."""
    given = dict(zip(("globals", "locals", "fromlist", "level"), args, strict=False)) | options
    importer = str((given.get("globals") or {}).get("__name__")).partition(".")[0]
    if importer in SEEING and not given.get("level"):
        if name in missing.MODULES:
            message = f"No module named {name!r}"
            raise ModuleNotFoundError(message, name=name)
        if name == "msvcrt":
            return msvcrt
    return REAL.import_(name, *args, **options)


msvcrt: Any = types.ModuleType("msvcrt")
msvcrt.LK_UNLCK, msvcrt.LK_NBLCK = 0, 2
msvcrt.locking = locking


def change(module: types.ModuleType, **names: object) -> None:
    """Replace names of a module for all code."""
    for name, value in names.items():
        setattr(module, name, value)


change(builtins, __import__=import_)
change(shutil, _use_fd_functions=False)
change(
    os,
    chmod=lambda *_, **__: None,
    fstat=stating(REAL.fstat),
    kill=kill,
    lstat=stating(REAL.lstat),
    open=open_,
    remove=unlink,
    rename=rename,
    replace=replace,
    stat=stating(REAL.stat),
    unlink=unlink,
)
if sys.version_info < (3, 13):
    change(
        time,
        time_ns=lambda: REAL.time_ns() // STEP_NS * STEP_NS,
        time=lambda: REAL.time_ns() // STEP_NS * STEP_NS / 1e9,
    )

multiprocessing.set_start_method("spawn")
vars(multiprocessing.context)["_concrete_contexts"].pop("fork", None)
vars(multiprocessing.context)["_concrete_contexts"].pop("forkserver", None)

hide(select, missing.SELECT)
hide(signal, missing.SIGNAL, {"NSIG": 23})
hide(socket, missing.SOCKET)
hide(time, missing.TIME)
hide(sys, (), {"platform": "win32"})
hide(os, missing.OS)
