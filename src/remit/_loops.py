"""Whether an event loop runs in this thread; what is not imported yet runs none."""

from __future__ import annotations

import sys
from typing import Any


def looping() -> bool:
    """Tell whether an event loop runs in this thread: asyncio's or trio's."""
    running_loop = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
    if running_loop is not None and running_loop() is not None:
        return True
    return running_trio() is not None


def running_trio() -> Any:  # noqa: ANN401 - the module, which may not be installed
    """Return trio if one of its tasks runs in this thread."""
    # Not there either while another thread imports trio, as httpcore does.
    in_trio_task = getattr(sys.modules.get("trio.lowlevel"), "in_trio_task", None)
    return sys.modules["trio"] if in_trio_task is not None and in_trio_task() else None
