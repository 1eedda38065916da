"""The composition root: the one place that knows all parts, and the one global.

Nothing starts at import. The first run, or `configure()` before it, imports delivery and builds the
runtime from the settings (`_setup`). A fork gives the child a runtime of its own.
"""

from remit._runtime._process import (
    aflush,
    configure,
    current,
    flush,
    registration,
    shutdown,
    status,
)
from remit._runtime._state import registry

__all__ = [
    "aflush",
    "configure",
    "current",
    "flush",
    "registration",
    "registry",
    "shutdown",
    "status",
]
