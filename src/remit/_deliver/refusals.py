"""Outcomes of rows: delivered, set aside or dropped, with their counts and log messages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from remit._deliver.circuit import CircuitBreaker
from remit._deliver.losses import Loss, Losses
from remit._deliver.spool import Outbox, Row
from remit._record.items import Kind
from remit.errors import ApiError

# Bounds on a server's words in counts and log lines.
MAX_WORD_CHARS: Final = 60
MAX_FIELDS: Final = 5

_not_word_chars: Final = re.compile(r"[^\w.\[\]-]+")


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason for which rows are set aside.

    Attributes:
        reason: One word, for the counts.
        topic: The first message of each topic is logged.
        message: A sentence for the log.
        message_without_spool: The same without a spool to keep the rows in.
        loss: The reason in the losses of the run; None if the whole run is refused.
    """

    reason: str
    topic: str
    message: str
    message_without_spool: str
    loss: Loss | None = None

    @classmethod
    def of_item(cls, code: str | None, fields: Iterable[str]) -> Refusal:
        """Return the refusal of an item, without the server's sentence, which may quote data.

        Args:
            code: The server's error code.
            fields: Names of the invalid fields.
        """
        reason = _word(code or "unknown")
        named = ", ".join(_word(field) for field in list(fields)[:MAX_FIELDS])
        why = f"{reason} ({named})" if named else reason
        return cls(
            reason,
            why,
            f"the server refused an item for good: {why}. It is set aside and the rest goes on; "
            "remit.status().set_aside counts them, `remit spool status` lists them",
            f"the server refused an item for good: {why}. There is no spool to keep it in, so it "
            "is given up and the rest goes on; remit.status().dropped counts them",
            Loss.REFUSED,
        )

    @classmethod
    def of_run(cls, agent: str, error: ApiError) -> Refusal:
        """Return the refusal of a whole run of *agent*; registrations contain no user data."""
        reason = _word(error.code or f"http_{error.status}")
        return cls(
            f"run_{reason}",
            f"{agent}: {reason}",
            f"the server refused a run of {agent}, so everything of it is set aside: {error}",
            f"the server refused a run of {agent}, and there is no spool to keep it in, so "
            f"everything of it is given up: {error}",
        )

    @classmethod
    def of_no_registration(cls, agent: str) -> Refusal:
        """Return the refusal of a run of *agent* whose registration could not be built."""
        what = (
            f"the registration of {agent} could not be built because of a fault inside remit (see "
            "the log), so no run of it is delivered:"
        )
        return cls(
            "run_unregistered",
            f"{agent}: unregistered",
            f"{what} its runs are set aside; remit.status().set_aside counts them",
            f"{what} there is no spool to keep its runs in, so they are dropped; "
            "remit.status().dropped counts them",
        )


FAULT: Final = Refusal(
    "fault",
    "fault",
    "an item could not be sent, through a fault of remit's; it is set aside",
    "an item could not be sent, through a fault of remit's, and there is no spool to keep it in; "
    "it is given up",
    Loss.FAULT,
)
RUN_FAULT: Final = Refusal(
    "run_fault",
    "run_fault",
    "a run could not be opened at the server, through a fault of remit's, so everything of it is "
    "set aside; `remit spool send --set-aside` tries again",
    "a run could not be opened at the server, through a fault of remit's, and there is no spool to "
    "keep it in, so everything of it is given up",
)


def _word(text: str) -> str:
    return _not_word_chars.sub("_", text[:MAX_WORD_CHARS])


class Tally:
    """Counts of what a process delivered: its own rows and adopted ones.

    Attributes:
        sent: Rows that were delivered.
        set_aside: Rows that a server refused for good and that are kept, by reason.
        misattributed: Runs that the server records as another agent's, by the program's agent.
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self.sent = 0
        self.set_aside: Counter[str] = Counter()
        self.misattributed: Counter[str] = Counter()


class Acknowledger:
    """Settles rows in the outbox and keeps the counts.

    Attributes:
        settled: Number of rows that were delivered, set aside or dropped.
    """

    def __init__(
        self, outbox: Outbox, losses: Losses, tally: Tally, circuit: CircuitBreaker
    ) -> None:
        """Begin with nothing settled."""
        self.settled = 0
        self._outbox = outbox
        self._losses = losses
        self._tally = tally
        self._circuit = circuit

    def deliver(self, ids: Sequence[int]) -> None:
        """Settle rows that the server took."""
        if ids:
            self._outbox.settle(ids)
            self._tally.sent += len(ids)
            self.settled += len(ids)

    def refuse(self, rows: Sequence[Row], refusal: Refusal) -> None:
        """Set rows aside, or drop them if they cannot be kept."""
        kept = self._outbox.set_aside(rows, refusal.reason)
        if kept:
            self._tally.set_aside[refusal.reason] += kept
        if kept < len(rows):
            self._losses.add(Loss.REFUSED, len(rows) - kept)
        self._circuit.report(
            refusal.topic, refusal.message if kept else refusal.message_without_spool
        )
        if refusal.loss is not None:
            for _, item in rows:
                if item.kind in (Kind.SPAN, Kind.FINISH):
                    self._losses.add_to_run(item.run_key, refusal.loss)
        self.settled += len(rows)

    def drop(self, rows: Sequence[Row], loss: Loss) -> None:
        """Drop rows and count them as *loss*."""
        self._outbox.settle([row_id for row_id, _ in rows])
        self._losses.add(loss, len(rows))
        self.settled += len(rows)
