"""The composition root: the one place that knows all parts, and the one global.

Nothing starts at import. The first run builds the runtime from the settings; `configure()` may
come before it. A fork gives the child a runtime of its own.
"""

from remit._runtime._doors import check_target, missing_for_local, spool_of
from remit._runtime._process import (
    aflush,
    configure,
    current,
    flush,
    isolated,
    registration,
    registry,
    send_spooled,
    shutdown,
    status,
    stay_quiet,
)
from remit._runtime._runtime import Runtime

__all__ = [
    "Runtime",
    "aflush",
    "check_target",
    "configure",
    "current",
    "flush",
    "isolated",
    "missing_for_local",
    "registration",
    "registry",
    "send_spooled",
    "shutdown",
    "spool_of",
    "status",
    "stay_quiet",
]
