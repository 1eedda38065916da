"""The machine and the versions that were measured."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from benchmarks.children import ROOT

SOURCE: Final = "src/remit"
PACE: Final = "pace"
CHANGING: Final = ("date", "load before", "load after", "took", PACE)
"""What may differ between two runs of the same on the same."""
PACKAGES = (
    "remit",
    "opentelemetry-sdk",
    "ddtrace",
    "sentry-sdk",
    "langfuse",
    "logfire",
    "prefactor-core",
    "pydantic",
    "msgspec",
    "httpx",
    "wrapt",
)


class MixedRunsError(Exception):
    """Runs of another source, or on another machine, say nothing of each other."""


def _first(path: str, pattern: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text())
    except OSError:
        return "unknown"
    return found[1].strip() if found else "unknown"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _git(*command: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *command, "--", SOURCE], cwd=ROOT, check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def commit() -> str:
    """Return the last commit of remit's source; of a source that differs from it, a digest too."""
    last, changes = _git("log", "-1", "--format=%H"), _git("status", "--porcelain")
    if last and changes == "":
        return last[:10]
    digest = hashlib.sha256()
    for path in sorted((ROOT / SOURCE).rglob("*.py")):
        digest.update(path.read_bytes())
    return f"{last[:10] if last else 'none'}, changed ({digest.hexdigest()[:10]})"


def identity(about: Mapping[str, Any]) -> dict[str, str]:
    """Return what two runs must share to stand on one page, by name."""
    told = {**about, **about.get("versions", {})}
    told.pop("versions", None)
    return {name: str(value) for name, value in told.items() if name not in CHANGING}


def load(when: str) -> dict[str, Any]:
    """Return how busy the machine is, to know how much to trust the figures."""
    return {f"load {when}": round(os.getloadavg()[0], 1)}


def check_alike(told: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Refuse runs of different sources, versions or machines.

    Args:
        told: What each was on, with its name in front.

    Raises:
        MixedRunsError: They differ; the message says in what.
    """
    for place, about in told[1:]:
        first, other = identity(told[0][1]), identity(about)
        differing = [
            f"{name}: {first.get(name, 'unknown')} / {other.get(name, 'unknown')}"
            for name in {**first, **other}
            if first.get(name) != other.get(name)
        ]
        if differing:
            raise MixedRunsError(
                f"{told[0][0]} and {place} were not measured on the same; {'; '.join(differing)}. "
                "Expected one source, one machine, the same versions: report one file alone, or "
                "measure the older tables anew (python -m benchmarks TABLE ..., without --resume)"
            )


def machine() -> dict[str, Any]:
    """Return what is measured on, and which versions."""
    kib = _first("/proc/meminfo", r"MemTotal:\s*(\d+)")
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "processor": _first("/proc/cpuinfo", r"model name\s*:(.*)"),
        "cores": os.cpu_count() or 0,
        "memory": f"{int(kib) / 1024 / 1024:.0f} GiB" if kib.isdigit() else kib,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "commit of `src/remit`": commit(),
        "versions": {package: _version(package) for package in PACKAGES},
        **load("before"),
    }
