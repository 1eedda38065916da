"""When a process asks for the holds: after a change, and while nothing else is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from remit._deliver import calls
from remit._deliver.holds import HoldUpdates
from remit._deliver.run_delivery import RunDeliveries
from remit._deliver.window import SenderContext
from remit._policy.holds import Hold
from remit.client.endpoints.endpoint import Call
from remit.errors import RejectedError, UnavailableError
from remit.testing import FakeClock

LISTED = calls.ListedHold("hold-1", ["read_data"], [], declared_only=False, reason="", held_by="")


@dataclass
class Server:
    """A server, the runs of a process, and what it was asked."""

    clock: FakeClock = field(default_factory=FakeClock)
    hold_number: int | None = None
    deadline: None = None
    answered: int = 0
    is_running: bool = False
    error: Exception | None = None
    asked: list[str] = field(default_factory=list[str])
    holds: Sequence[Hold] = ()
    listed: list[calls.ListedHold] = field(default_factory=lambda: [LISTED])

    def call(self, call: Call[Any]) -> Any:
        """Answer a request."""
        self.asked.append(call.method)
        if self.error is not None:
            raise self.error
        self.answered += 1
        return calls.ListedHolds(self.hold_number or 0, self.listed) if call.query else None

    def any_running(self) -> bool:
        """Return whether a run is open."""
        return self.is_running

    def running(self) -> list[Any]:
        """Return no run that has a name."""
        return []

    def set_holds(self, holds: Sequence[Hold]) -> None:
        """Keep what the process knows."""
        self.holds = holds

    def updates(self) -> Callable[[], None]:
        """Return the update of a process."""
        self.client = self
        context = cast("SenderContext", self)
        return HoldUpdates(cast("RunDeliveries", self), context, self.set_holds).update


def test_a_server_without_holds_is_never_asked() -> None:
    """Neither one that sends no number, nor one where nothing was ever held."""
    for number in (None, 0):
        server = Server(hold_number=number)
        update = server.updates()
        for _ in range(5):
            update()
            server.clock.advance(10)
        assert server.asked == []


def test_a_change_is_asked_for_once_and_reported() -> None:
    """Whether or not a run is open."""
    server = Server(hold_number=0)
    update = server.updates()
    update()
    server.hold_number = 1
    update()
    update()
    assert server.asked == ["GET", "POST"]
    assert [hold.id for hold in server.holds] == ["hold-1"]
    server.hold_number, server.listed = 2, []
    update()
    assert list(server.holds) == []


def test_an_idle_run_asks_within_two_seconds() -> None:
    """Not if something else is answered meanwhile."""
    server = Server(hold_number=0, is_running=True)
    update = server.updates()
    server.answered = 1
    for _ in range(4):
        update()
        server.clock.advance(1)
    assert server.asked == ["GET"]
    for _ in range(4):
        server.answered += 1
        update()
        server.clock.advance(1)
    assert "POST" in server.asked
    assert server.asked.count("GET") == 1


def test_a_rejection_is_asked_again_after_a_change_only() -> None:
    """An outage at every step, as the sender's circuit allows; what is known stays."""
    server = Server(hold_number=1, error=RejectedError("no", status=403))
    update = server.updates()
    update()
    update()
    assert server.asked == ["GET"]
    server.hold_number, server.error = 2, UnavailableError("later")
    for _ in range(2):
        with pytest.raises(UnavailableError):
            update()
    server.error = None
    update()
    assert [hold.id for hold in server.holds] == ["hold-1"]


def test_a_hold_ends_at_its_time() -> None:
    """Without a further answer."""
    ending = calls.ListedHold(
        "hold-1", ["read_data"], [], declared_only=False, reason="", held_by="", ends_in_s=5.0
    )
    server = Server(hold_number=1, listed=[ending])
    update = server.updates()
    update()
    assert len(server.holds) == 1
    server.clock.advance(5)
    update()
    assert len(server.holds) == 0
