"""How a call ended, in the API's words: complete, failed or cancelled."""

from __future__ import annotations

import asyncio
from typing import Final

from remit.errors import RunTerminated

ACTIVE: Final = "active"
COMPLETE: Final = "complete"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"

_INTERRUPTS: Final = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, RunTerminated)


def status_of(error: BaseException, control_flow: tuple[type[BaseException], ...] = ()) -> str:
    """Return the status of a call that ended by *error*.

    An interrupt is not a failure: cancellation, a closed generator, Ctrl-C, a termination and
    the user's `control_flow` types are cancelled. `sys.exit()` without a code is complete.
    """
    if isinstance(error, SystemExit):
        return FAILED if error.code else COMPLETE
    return CANCELLED if isinstance(error, (*_INTERRUPTS, *control_flow)) else FAILED
