"""The composition root: the one place that knows all parts, and the one global.

Nothing starts at import. The first run builds the runtime from the settings; `configure()` may
come before it. A fork gives the child a runtime of its own. Whichever comes first imports what the
runtime is made of.
"""

from remit._runtime._process import (
    aflush,
    configure,
    configured,
    current,
    flush,
    isolated,
    registration,
    registry,
    send_spooled,
    shutdown,
    status,
    stay_quiet,
    unrecorded,
)

__all__ = [
    "aflush",
    "configure",
    "configured",
    "current",
    "flush",
    "isolated",
    "registration",
    "registry",
    "send_spooled",
    "shutdown",
    "status",
    "stay_quiet",
    "unrecorded",
]
