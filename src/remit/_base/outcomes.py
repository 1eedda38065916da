"""Statuses of spans and runs, as the API spells them, and the status of a call that raised."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from remit._base.ids import key_from_text
from remit.errors import RunTerminated

ACTIVE: Final = "active"
COMPLETE: Final = "complete"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
TERMINATED: Final = "terminated"
SUSPENDED: Final = "suspended"
"""Shown for a step that a question to a person cancelled. It goes on after the answer."""

ASKED_SPAN: Final = "remit:asked"
"""Type of the span of a question to a person."""

_INTERRUPTS: Final = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, RunTerminated)
# Read as the interpreter does: a property of a user's class would run the user's code.
_MEMBERS: Final[Any] = vars(BaseExceptionGroup)["exceptions"].__get__
_CODE: Final[Any] = vars(SystemExit)["code"].__get__


class StepCounts(NamedTuple):
    """Numbers of the steps of a run.

    Attributes:
        recorded: All that were recorded, if fewer are there.
    """

    here: int
    failed: int
    recorded: int | None = None

    def __str__(self) -> str:
        """Return the number; if some are missing, also the total: `44 of 151`."""
        return str(self.here) if self.recorded is None else f"{self.here} of {self.recorded}"


def step_counts(key: str | None, status: str, spans: Mapping[str, int | None]) -> StepCounts:
    """Return the numbers of a run's steps: of its spans without the root span.

    A run that remit recorded has a root span; its key has the form of remit's keys.

    Args:
        spans: Numbers of its spans, as the API has them.
    """
    total, failed, recorded = spans["total"] or 0, spans["failed"] or 0, spans.get("recorded")
    if not total or key_from_text(key or "") is None:
        return StepCounts(total, failed, recorded)
    has_failed = status == FAILED or (status == TERMINATED and not spans["active"])
    return StepCounts(
        total - 1, max(0, failed - has_failed), None if recorded is None else recorded - 1
    )


def suspended_steps(steps: Iterable[tuple[str, str | None, str, str]]) -> frozenset[str]:
    """Return the ids of the steps that a question to a person suspended.

    They are the cancelled ones at and below the parent of the question.

    Args:
        steps: Id, id of the parent, type and status of each span of a run.
    """
    asking: set[str | None] = set()
    cancelled: dict[str | None, list[str]] = {}
    for span_id, parent_id, schema_name, status in steps:
        if status == CANCELLED:
            cancelled.setdefault(parent_id, []).append(span_id)
        if schema_name == ASKED_SPAN:
            asking.add(parent_id)
    found: set[str] = set()
    waiting = [span_id for ids in cancelled.values() for span_id in ids if span_id in asking]
    for span_id in waiting:
        if span_id not in found:
            found.add(span_id)
            waiting += cancelled.get(span_id, ())
    return frozenset(found)


def is_only(error: BaseException, types: tuple[type[BaseException], ...]) -> bool:
    """Return whether *error* is of one of *types*, or a group of nothing else."""
    if issubclass(type(error), types):
        return True
    return issubclass(type(error), BaseExceptionGroup) and all(
        is_only(member, types) for member in _MEMBERS(error)
    )


def status_of(error: BaseException, control_flow: tuple[type[BaseException], ...] = ()) -> str:
    """Return the status of a call that ended by *error*.

    An interrupt is not a failure: cancellation, a closed generator, Ctrl-C, a termination and
    the user's `control_flow` types are cancelled. `sys.exit()` without a code is complete.
    """
    if issubclass(type(error), SystemExit):
        return FAILED if _exits_with(_CODE(error)) else COMPLETE
    interrupts = (*_INTERRUPTS, *_trio_cancellation(), *control_flow)
    return CANCELLED if is_only(error, interrupts) else FAILED


def _exits_with(code: object) -> bool:
    """Return whether the process ends with an error: any code but none and zero."""
    return code is not None and not (type(code) in {int, bool} and code == 0)


def _trio_cancellation() -> tuple[type[BaseException], ...]:
    cancelled = getattr(sys.modules.get("trio"), "Cancelled", None)
    return () if cancelled is None else (cancelled,)
