"""How a call ended, in the API's words: complete, failed or cancelled."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final

from remit.errors import RunTerminated

ACTIVE: Final = "active"
COMPLETE: Final = "complete"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"

_INTERRUPTS: Final = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, RunTerminated)
# Read as the interpreter does: a property of a user's group would run the user's code.
_MEMBERS: Final[Any] = vars(BaseExceptionGroup)["exceptions"].__get__


def is_only(error: BaseException, types: tuple[type[BaseException], ...]) -> bool:
    """Return whether *error* is of one of *types*, or a group of nothing else."""
    if isinstance(error, types):
        return True
    return isinstance(error, BaseExceptionGroup) and all(
        is_only(each, types) for each in _MEMBERS(error)
    )


def status_of(error: BaseException, control_flow: tuple[type[BaseException], ...] = ()) -> str:
    """Return the status of a call that ended by *error*.

    An interrupt is not a failure: cancellation, a closed generator, Ctrl-C, a termination and
    the user's `control_flow` types are cancelled. `sys.exit()` without a code is complete.
    """
    if isinstance(error, SystemExit):
        return FAILED if error.code else COMPLETE
    interrupts = (*_INTERRUPTS, *_trio_cancellation(), *control_flow)
    return CANCELLED if is_only(error, interrupts) else FAILED


def _trio_cancellation() -> tuple[type[BaseException], ...]:
    """Return how trio cancels, if the program uses it."""
    cancelled = getattr(sys.modules.get("trio"), "Cancelled", None)
    return () if cancelled is None else (cancelled,)
