"""The runs of a process that wait for a person's answer, for the calls that go on with them."""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

MAX_WAITING: Final = 10_000
"""Runs that are remembered. A call that goes on with another one asks the server."""


class WaitingRun(Struct, gc=False):
    """A run that waits.

    Attributes:
        key: Key of the latest run that was recorded as a part of it.
        root: Key of its root span.
        asked_ns: When each open question was asked, as wall time, by its ticket.
    """

    key: str
    root: bytes
    asked_ns: dict[str, int] = field(default_factory=dict[str, int])


class WaitingRuns:
    """The waiting runs of a process, by agent and conversation; used from any thread."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, str], WaitingRun] = {}

    def get(self, agent: str, conversation: str | None) -> WaitingRun | None:
        """Return the waiting run of an agent in a conversation."""
        return None if conversation is None else self._runs.get((agent, conversation))

    def ask(
        self, agent: str, conversation: str, run: WaitingRun, ticket: str, asked_ns: int
    ) -> bool:
        """Add a question to the waiting run, which *run* is from now on.

        Returns:
            False if the question is open already: a framework asks it again when another one is
            answered.
        """
        known = self._runs.pop((agent, conversation), None)
        if known is not None:
            run.asked_ns = known.asked_ns
        is_new = ticket not in run.asked_ns
        run.asked_ns.setdefault(ticket, asked_ns)
        if len(self._runs) >= MAX_WAITING:
            self._runs.pop(next(iter(self._runs)), None)
        self._runs[agent, conversation] = run
        return is_new

    def answer(self, agent: str, conversation: str, ticket: str) -> int | None:
        """Remove a question, and a run without any; return when it was asked."""
        run = self._runs.get((agent, conversation))
        if run is None:
            return None
        asked_ns = run.asked_ns.pop(ticket, None)
        if not run.asked_ns:
            self.discard(agent, conversation)
        return asked_ns

    def discard(self, agent: str, conversation: str) -> None:
        """Forget the questions of a conversation that went on without an answer."""
        self._runs.pop((agent, conversation), None)
