"""The runtime of the process: the only global; it connects recording, delivery and settings.

Importing remit starts nothing and imports no httpx. `configure()`, or else the first run, imports
`setup`, which needs delivery and httpx, and makes the runtime from the settings. The child of a
fork keeps it, with an empty buffer and new threads.
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
