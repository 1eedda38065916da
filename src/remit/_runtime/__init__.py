"""The composition root: the only global, and the only package that knows all others.

Importing remit starts nothing. `configure()`, or else the first run, imports delivery and makes the
runtime from the settings (`_setup`). The child of a fork gets a runtime of its own.
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
