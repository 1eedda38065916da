"""Reactions to rejected items and runs: pure decisions, no input or output."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from msgspec.structs import replace

from remit._deliver.losses import Loss, cut_marker
from remit._record.items import Item, ItemKind
from remit.errors import ApiError

MAX_TRIES: Final = 5
ALREADY_DONE: Final = "invalid_action"
NOT_FOUND: Final = "not_found"
"""Error codes of the API."""
# A payload or result of this size is kept in an item that is too large for the server.
KEPT_BYTES: Final = 256
# Bounds on a server's words in counts and log lines.
MAX_WORD_CHARS: Final = 60
MAX_FIELDS: Final = 5

_not_word_chars: Final = re.compile(r"[^\w.\[\]-]+")


class Reaction(StrEnum):
    """The reaction to a rejected item."""

    SET_ASIDE = "set_aside"
    """Sending it again cannot help."""
    RENEW_RUN = "renew_run"
    """The server does not know the run: register it once more, then send the item again."""
    CREATE = "create"
    """The server does not know the span: send it whole, with its terminal status."""
    TRY_AGAIN = "try_again"
    """It may work later; the tries are limited."""


def is_already_done(item: Item, code: str | None) -> bool:
    """Return whether an item was rejected because its span or run has ended already."""
    return code == ALREADY_DONE and item.kind in (ItemKind.FINISH, ItemKind.CLOSE)


def reaction(kind: int, code: str | None) -> Reaction:
    """Return the reaction to an item of *kind* that was rejected with *code*."""
    if code == NOT_FOUND:
        return Reaction.CREATE if kind == ItemKind.FINISH else Reaction.RENEW_RUN
    if code in ("bad_request", "validation_errors"):
        return Reaction.SET_ASIDE
    return Reaction.TRY_AGAIN


def without_contents(item: Item) -> Item:
    """Return *item* with markers in place of a long payload and a long result."""
    return replace(item, payload=_cut(item.payload), result=_cut(item.result))


def _cut(content: bytes | None) -> bytes | None:
    if content is None or len(content) <= KEPT_BYTES:
        return content
    return cut_marker(content)


@dataclass(frozen=True, slots=True)
class Rejection:
    """The reason for which an item, or everything of a run, is set aside.

    Attributes:
        topic: The first message of each topic is logged.
        problem: A sentence for the log, without its full stop.
        loss: The reason in the losses of the run; None if the whole run is rejected.
    """

    reason: str
    topic: str
    problem: str
    loss: Loss | None = None

    def message(self, *, kept: bool) -> str:
        """Return the sentences for the log; *kept* tells whether there is a spool to keep it in."""
        if kept:
            return (
                f"{self.problem}. It is set aside, and the other items are still delivered; "
                "remit.status().set_aside counts it, and `remit spool status` lists it"
            )
        return (
            f"{self.problem}. There is no spool to keep it in, so it is dropped, and the other "
            "items are still delivered; remit.status().dropped counts it"
        )

    @classmethod
    def of_item(cls, code: str | None, fields: Iterable[str]) -> Rejection:
        """Return the rejection of an item, without the server's sentence, which may quote data."""
        reason = _word(code or "unknown")
        named = ", ".join(_word(field) for field in list(fields)[:MAX_FIELDS])
        why = f"{reason} ({named})" if named else reason
        return cls(reason, why, f"the server rejected an item for good: {why}", Loss.REJECTED)

    @classmethod
    def of_error(cls, error: ApiError) -> Rejection:
        """Return the rejection of an item that was sent in its own request."""
        return cls.of_item(error.code or f"http_{error.status}", error.errors)

    @classmethod
    def of_run(cls, agent: str, error: ApiError) -> Rejection:
        """Return the rejection of a whole run of *agent*; registrations contain no user data."""
        reason = _word(error.code or f"http_{error.status}")
        problem = f"the server rejected a run of {agent} and all of its items: {error}"
        return cls(f"run_{reason}", f"{agent}: {reason}", problem)

    @classmethod
    def of_no_registration(cls, agent: str) -> Rejection:
        """Return the rejection of a run of *agent* whose registration could not be built."""
        problem = (
            f"the registration of {agent} could not be built because of a fault inside remit (see "
            "the log), so no run of it is delivered"
        )
        return cls("run_unregistered", f"{agent}: unregistered", problem)


FAULT: Final = Rejection(
    "fault", "fault", "an item could not be sent because of a fault inside remit", Loss.FAULT
)
RUN_FAULT: Final = Rejection(
    "run_fault",
    "run_fault",
    "a run could not be opened at the server because of a fault inside remit, and nothing of it "
    "can be sent",
)


def _word(text: str) -> str:
    return _not_word_chars.sub("_", text[:MAX_WORD_CHARS])
