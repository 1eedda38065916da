"""A connection to PostgreSQL that waits for an answer no longer than it is told to.

The server itself ends a statement that takes too long. One that hangs, or whose disk does, ends
nothing, and takes a client that trusts it along.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen

from remit._base.clock import Deadline, SystemClock

BEGIN_S: Final = 5.0
"""A transaction begins at once, or the server is not there."""
LOOK_S: Final = 7.0
"""So is one question answered; longer than the server's own limit of a wait for a lock."""
ANSWER_S: Final = 35.0
"""Longer than the server's own limit of a statement, which is to speak first."""
RV = TypeVar("RV")


class SilentError(psycopg.OperationalError):
    """The server did not answer in time."""


class BoundedConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection.

    Attributes:
        answer_within_s: How long the answer to a statement is waited for; None is for ever.
    """

    answer_within_s: float | None = BEGIN_S

    def wait(self, gen: PQGen[RV], *args: Any, **more: Any) -> RV:  # noqa: ANN401 - psycopg's own
        """Wait for what *gen* waits for.

        Raises:
            SilentError: It did not come in time; the connection is closed.
        """
        if self.answer_within_s is None:
            return super().wait(gen, *args, **more)
        try:
            return super().wait(_within(gen, self.answer_within_s), *args, **more)
        except SilentError:
            # The answer may still come, when another one is waited for.
            self.close()
            raise


def _within(gen: PQGen[RV], seconds: float) -> Generator[Any, Any, RV]:
    """Drive *gen* for so many seconds; who waits looks in ten times a second."""
    deadline = Deadline.after(seconds, SystemClock())
    try:
        waits_for = next(gen)
        while True:
            ready = yield waits_for
            if not ready and deadline.passed:
                raise SilentError(f"no answer within {seconds:g} seconds")
            waits_for = gen.send(ready)
    except StopIteration as end:
        result: RV = end.value
        return result
