"""Limits of one bulk request, in time and bytes: a few bytes of it can ask for hours of work."""

from __future__ import annotations

from http import HTTPStatus

from remit._base.clock import Clock, Deadline
from remit.collector.refusals import RequestError, too_large
from remit.collector.settings import Settings


class Allowance:
    """How long the answers of one request may take and be; the first is always allowed.

    Whoever sends again what was left out comes further each time.
    """

    __slots__ = ("_begun", "_bytes", "_deadline", "_settings")

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Allow what *settings* say, from now on."""
        self._settings = settings
        self._deadline = Deadline.after(settings.max_bulk_s, clock)
        self._bytes = 0
        self._begun = False

    def check(self) -> None:
        """Let another operation begin.

        Raises:
            RequestError: 413 or 503: those before took too long, or their answers are too much.
        """
        if not self._begun:
            return
        most = self._settings.max_answer_bytes
        if self._bytes > most:
            raise too_large(f"the answers are more than {most} bytes: ask for less at once")
        if self._deadline.passed:
            raise RequestError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "unavailable",
                f"the request took more than {self._settings.max_bulk_s:g} seconds: send the rest "
                "of it again",
            )

    def take(self, answer: bytes) -> None:
        """Note what an operation answered."""
        self._begun = True
        self._bytes += len(answer)
