"""The memory limit of this process, and directories in memory, on Linux."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from remit._base.system import device_of, total_memory

MEMORY_FILE_SYSTEMS: Final = ("tmpfs", "ramfs")
ROOT: Final = Path("/")


def memory_limit(root: Path = ROOT) -> int | None:
    """Return the lowest limit of the cgroups and the machine in bytes; None if unknown.

    Args:
        root: Contains `proc` and `sys`.

    Source: `cgroups(7)`; the limit is `memory.max` in version 2 and `memory.limit_in_bytes` in
    version 1.
    """
    memory = total_memory()
    return min([*_cgroup_limits(root), *([memory] if memory else [])], default=None)


def memory_file_system(directory: Path, root: Path = ROOT) -> str | None:
    """Return the type of the file system of *directory* if it is in memory, else None.

    Source: `proc_pid_mountinfo(5)`.
    """
    device = device_of(directory)
    for line in _lines(root / "proc" / "self" / "mountinfo"):
        fields, _, source = line.partition(" - ")
        kind = source.partition(" ")[0]
        if fields.split()[2] == device and kind in MEMORY_FILE_SYSTEMS:
            return kind
    return None


def _cgroup_limits(root: Path) -> Iterator[int]:
    mounted = root / "sys" / "fs" / "cgroup"
    for line in _lines(root / "proc" / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top, name = mounted, "memory.max"
        elif "memory" in controllers.split(","):
            top, name = mounted / "memory", "memory.limit_in_bytes"
        else:
            continue
        # In a container the path may be that of the host; the limit is in the top directory.
        cgroup = top / path.lstrip("/")
        for directory in (cgroup, *cgroup.parents):
            if directory.is_relative_to(top):
                with suppress(OSError, ValueError):  # no such file, or the word `max`
                    yield int((directory / name).read_text())


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
