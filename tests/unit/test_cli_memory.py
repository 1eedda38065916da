"""The memory limit of a process, from its cgroups."""

from __future__ import annotations

from pathlib import Path

import pytest

from remit.cli._memory import memory_limit

MIB = 1 << 20
UNLIMITED_OF_VERSION_1 = "9223372036854771712"


@pytest.mark.parametrize(
    ("cgroup", "files"),
    [
        pytest.param("0::/\n", {"memory.max": f"{96 * MIB}\n"}, id="a container"),
        pytest.param(
            "0::/app.slice/web\n",
            {
                "app.slice/web/memory.max": "max\n",
                "app.slice/memory.max": f"{96 * MIB}\n",
                "memory.max": f"{200 * MIB}\n",
            },
            id="the cgroup above",
        ),
        pytest.param(
            "5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n",
            {"memory/memory.limit_in_bytes": f"{96 * MIB}\n"},
            id="version 1, the path of the host",
        ),
        pytest.param(
            "4:memory:/web\n0::/web\n",
            {
                "memory/web/memory.limit_in_bytes": f"{96 * MIB}\n",
                "memory/memory.limit_in_bytes": UNLIMITED_OF_VERSION_1,
            },
            id="both versions",
        ),
    ],
)
def test_the_least_limit_of_the_cgroups_counts(
    tmp_path: Path, cgroup: str, files: dict[str, str]
) -> None:
    """In either version, and where the path is not the one that is seen here."""
    for name, content in {"proc/self/cgroup": cgroup, **_below("sys/fs/cgroup", files)}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert memory_limit(tmp_path) == 96 * MIB


@pytest.mark.parametrize("cgroup", ["0::/\n", ""])
def test_without_a_limit_the_memory_of_the_machine_counts(tmp_path: Path, cgroup: str) -> None:
    """Also where there are no cgroups."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text(cgroup)
    assert (memory_limit(tmp_path) or 0) > 96 * MIB


def _below(folder: str, files: dict[str, str]) -> dict[str, str]:
    return {f"{folder}/{name}": content for name, content in files.items()}
