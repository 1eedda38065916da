"""Keeps the holds that this process knows equal to those of the server.

Each answer of remit's collector has the number of the holds. If it differs from the number that the
process knows, the sender asks for the list, and then says that it knows it. While a run is open and
nothing else is answered, it asks from time to time. A server that sends no number is not asked.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from remit._base.clock import NS_PER_S
from remit._base.guard import guarded, logger
from remit._base.ids import key_text, new_key
from remit._deliver import calls
from remit._deliver.calls import SEND_ERRORS, OutOfTimeError
from remit._deliver.run_delivery import RunDeliveries
from remit._deliver.window import SenderContext
from remit._policy.holds import Hold
from remit.errors import (
    ApiError,
    ContractError,
    RejectedError,
    UnauthorizedError,
    UnavailableError,
)

HEARD_WITHIN_NS: Final = 3 * NS_PER_S // 2
"""Longest time without an answer while a run is open: a hold is known within two seconds."""
REPORT_EVERY_NS: Final = 60 * NS_PER_S
"""How often a process with an open run says which holds it knows."""
FIRST_REPORT_NS: Final = 5 * NS_PER_S
"""Age of a process that reports first, unless there are holds: short ones need not."""
MAX_AGENTS: Final = 100

SetHolds = Callable[[Sequence[Hold]], None]


@dataclass(slots=True)
class _Known:
    """The state of one process.

    Attributes:
        number: Number of the holds that were read last; 0 is that of none.
        rejected: Number for which the server rejected to list the holds.
        answers: Number of answers that the client had at the last look.
        answered_ns: When it had a further one.
        reported: The number that was reported last; the server takes 0 from a silent process.
        reported_ns: When it was reported.
    """

    number: int = 0
    rejected: int | None = None
    answers: int = 0
    answered_ns: int = 0
    reported: int = 0
    reported_ns: int = 0


class HoldUpdates:
    """Asks for the holds on the sender's thread."""

    def __init__(self, runs: RunDeliveries, context: SenderContext, set_holds: SetHolds) -> None:
        self._runs = runs
        self._context = context
        self._set_holds = set_holds
        first_ns = context.clock.monotonic_ns() + FIRST_REPORT_NS
        self._known = _Known(reported_ns=first_ns - REPORT_EVERY_NS)
        self._holds: list[Hold] = []
        self._process = key_text(new_key(context.clock.wall_ns()))

    def update(self) -> None:
        """Ask for the holds if they changed, or if nothing was answered for long."""
        client, known = self._context.client, self._known
        now_ns = self._context.clock.monotonic_ns()
        if client.answered != known.answers:
            known.answers, known.answered_ns = client.answered, now_ns
        self._end(now_ns)
        if client.deadline is not None or self.next_due_ns() > now_ns:
            return
        if self._is_changed() or now_ns - known.answered_ns >= HEARD_WITHIN_NS:
            self._ask()
        if self._is_to_report(now_ns):
            self._report(known.number, now_ns)

    def next_due_ns(self) -> int:
        """Return the time at which the holds are asked for, if nothing else is answered before."""
        known, client = self._known, self._context.client
        if client.hold_number is None or client.hold_number == known.rejected:
            return sys.maxsize
        if self._is_changed():
            return 0
        if not self._runs.any_running():
            return sys.maxsize
        return min(known.answered_ns + HEARD_WITHIN_NS, known.reported_ns + REPORT_EVERY_NS)

    def _is_changed(self) -> bool:
        return self._context.client.hold_number != self._known.number

    def _is_to_report(self, now_ns: int) -> bool:
        known = self._known
        return known.reported != known.number or now_ns - known.reported_ns >= REPORT_EVERY_NS

    def _end(self, now_ns: int) -> None:
        """Drop the holds that have ended by themselves."""
        left = [hold for hold in self._holds if not hold.is_over(now_ns)]
        if len(left) != len(self._holds):
            self._use(left)

    def _use(self, holds: list[Hold]) -> None:
        self._holds = holds
        self._set_holds(holds)

    @guarded("asking for the holds", passes=SEND_ERRORS)
    def _ask(self) -> None:
        client, known = self._context.client, self._known
        # After a rejection, or a fault here, it is not asked again before a change.
        known.rejected = client.hold_number
        try:
            listed = client.call(calls.holds_in_force())
        except (UnavailableError, OutOfTimeError):
            known.rejected = None
            raise
        except ApiError as error:
            # The token may not, or a proxy hides the path.
            self._log_rejection(error)
            return
        now_ns = self._context.clock.monotonic_ns()
        known.number, known.rejected = listed.number, None
        known.answers, known.answered_ns = client.answered, now_ns
        # Also if they are the same: the child of a fork has those of its parent.
        self._use([_hold(each, now_ns) for each in listed.holds])

    def _log_rejection(self, error: ApiError) -> None:
        logger.warning(
            "the server has holds that this process does not know, because it rejected the "
            "request for them: %s. Held steps run here",
            error,
        )

    @guarded("reporting the known holds", passes=SEND_ERRORS)
    def _report(self, number: int, now_ns: int) -> None:
        running = self._runs.running()
        agents = sorted({run.agent for run in running})[:MAX_AGENTS]
        self._known.reported, self._known.reported_ns = number, now_ns
        body: dict[str, Any] = {
            "process": self._process,
            "host": platform.node(),
            "agents": agents,
            "number": number,
        }
        with suppress(RejectedError, UnauthorizedError, ContractError):
            self._context.client.call(calls.report_holds(body))


def _hold(listed: calls.ListedHold, now_ns: int) -> Hold:
    ends_ns = None if listed.ends_in_s is None else now_ns + int(listed.ends_in_s * NS_PER_S)
    names = {name for agent in listed.agents for name in (agent.external_identifier, agent.name)}
    return Hold(
        listed.id,
        tuple(listed.actions),
        frozenset(filter(None, names)),
        listed.declared_only,
        listed.reason,
        listed.held_by,
        ends_ns,
    )
