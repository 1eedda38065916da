"""Keeps remit's own requests out of other tracers: they would trace the tracing.

Sentry, ddtrace and httpx's own log wrap `httpx.Client`, which the doors do not use.
OpenTelemetry, and Logfire with it, wraps the transports too, and knows a word to be left out.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

INSTRUMENTATION: Final = "opentelemetry.instrumentation.utils"
"""Loaded wherever an instrumentation of OpenTelemetry's is at work; never loaded by remit."""


def unseen() -> AbstractContextManager[object]:
    """Return the block in which no instrumentation of OpenTelemetry's takes note of a request."""
    instrumentation: Any = sys.modules.get(INSTRUMENTATION)
    suppress = getattr(instrumentation, "suppress_instrumentation", nullcontext)
    block: AbstractContextManager[object] = suppress()
    return block
