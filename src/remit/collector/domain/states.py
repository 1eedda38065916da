"""The state machines of runs and spans, as functions from a row to the next one.

Each deviation from the plain machine is needed by the published clients; they are listed in
docs/reference/wire.md.
"""

from __future__ import annotations

from typing import Final

import msgspec

from remit.collector.errors import RequestError, invalid_action
from remit.collector.store.rows import SENSITIVE, RunRow, SpanRow

_replace = msgspec.structs.replace

PENDING: Final = "pending"
ACTIVE: Final = "active"
COMPLETE: Final = "complete"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
TERMINATED: Final = "terminated"
UNFINISHED: Final = frozenset({PENDING, ACTIVE})


def start_run(row: RunRow, at_us: int, now_us: int) -> RunRow:
    """Return the run started.

    One late start is accepted: a finish may overtake it in the clients' queues, and they stop
    after a rejection. It sets the time of the start and leaves the status alone.

    Raises:
        RequestError: It was started before, or terminated.
    """
    if row.start_seen or row.status == TERMINATED:
        raise _already("instance", row.status)
    status = ACTIVE if row.status == PENDING else row.status
    return _replace(row, status=status, start_seen=1, started_at=at_us, updated_at=now_us)


def finish_run(row: RunRow, status: str, at_us: int, now_us: int) -> RunRow:
    """Return the run finished; a finish of a pending one implies its start.

    Raises:
        RequestError: It is finished or terminated already.
    """
    if row.status not in UNFINISHED:
        raise _already("instance", row.status)
    started_at = at_us if row.status == PENDING else row.started_at
    return _replace(row, status=status, started_at=started_at, finished_at=at_us, updated_at=now_us)


def terminate_run(row: RunRow, reason: str, by: str, now_us: int) -> RunRow:
    """Return the run ended from outside; its open spans stay, for the client to finish.

    Raises:
        RequestError: It is not active.
    """
    if row.status == PENDING:
        raise invalid_action("instance is pending: only an active one can be terminated")
    if row.status != ACTIVE:
        raise _already("instance", row.status)
    return _replace(
        row,
        status=TERMINATED,
        termination_reason=reason,
        terminated_by=by,
        finished_at=now_us,
        updated_at=now_us,
    )


def finish_span(
    row: SpanRow, status: str, at_us: int, now_us: int, *, result: str | None, sensitive: bool
) -> SpanRow:
    """Return the span finished.

    An active span may be cancelled: the Python client does it, although the API documents it for
    pending ones only. The state of the run does not matter.

    Args:
        result: JSON of the result; None leaves the stored one.
        sensitive: Whether the payloads hold values in the `$sensitive` encoding from now on.

    Raises:
        RequestError: It is finished already, or pending and not to be cancelled.
    """
    if row.status not in UNFINISHED:
        raise _already("span", row.status)
    if row.status == PENDING and status != CANCELLED:
        raise invalid_action(f"span is pending: it can be cancelled, not become {status}")
    return _replace(
        row,
        status=status,
        flags=row.flags | (SENSITIVE if sensitive else 0),
        started_at=at_us if row.started_at is None else row.started_at,
        finished_at=at_us,
        updated_at=now_us,
        result_payload=row.result_payload if result is None else result,
    )


def _already(what: str, status: str) -> RequestError:
    return invalid_action(f"{what} is already {status}")
