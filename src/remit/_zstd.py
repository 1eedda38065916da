"""Zstandard, from the standard library or its backport; both ends do without it too."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, Final

MODULES: Final = ("compression.zstd", "backports.zstd")
"""Of Python 3.14 and later, and the same for earlier ones: `pip install 'remit[zstd]'`."""


@cache
def zstd() -> Any | None:  # noqa: ANN401 - a module that may not be installed
    """Return the module; `None` if there is none."""
    for name in MODULES:
        try:
            return import_module(name)
        except ImportError:
            continue
    return None
