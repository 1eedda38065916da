"""The composition root: the state of the process, and the runtime that connects all packages.

Importing remit starts nothing. `configure()`, or else the first run, imports delivery and makes the
runtime from the settings (`setup`).
"""

from remit._runtime.process import (
    aflush,
    configure,
    current,
    flush,
    registration,
    shutdown,
    status,
)
from remit._runtime.state import registry

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
