"""The machine and the versions that were measured."""

from __future__ import annotations

import os
import platform
import re
import time
from importlib import metadata
from pathlib import Path
from typing import Any

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


def load(when: str) -> dict[str, Any]:
    """Return how busy the machine is, to know how much to trust the figures."""
    return {f"load {when}": round(os.getloadavg()[0], 1)}


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
        "versions": {package: _version(package) for package in PACKAGES},
        **load("before"),
    }
