"""A handle on a span, for the user's code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from remit import _capture
from remit._capture.statics import is_a
from remit._guard import guarded
from remit._ids import key_text
from remit._outcomes import FAILED
from remit._recording import RunState, here
from remit._runs import Run, run_of


class Span:
    """A handle on a span: its ids, and a way to say how it ended.

    Two are equal when their keys are.

    Attributes:
        key: 26 characters, made here.
        name: Its span type.
        run: The `Run` it belongs to; None when it was begun outside any run.
    """

    __slots__ = ("_key", "_state", "name")

    # Unguarded: assignments.
    def __init__(self, key: bytes, name: str, state: RunState | None) -> None:
        """Hold the ids of a span."""
        self._key = key
        self._state = state
        self.name = name

    @property
    def key(self) -> str:
        """26 characters, made here."""
        return key_text(self._key)

    @property
    def run(self) -> Run | None:
        """The run that the span belongs to."""
        return run_of(self._state)

    def set_result(self, result: Mapping[str, object]) -> None:
        """Set the span's result; it wins over what the call returns.

        Args:
            result: What to record; redacted and bounded like every payload.
        """
        self._override(None, result)

    def fail(self, reason: str | BaseException) -> None:
        """End the span as failed, for *reason*, even if its block ends normally.

        Args:
            reason: In words, or the error itself: recorded as if it had been raised.
        """
        self._override(FAILED, reason)

    @guarded("a result set by hand")
    def _override(self, status: str | None, result: object) -> None:
        state = self._state
        if state is None or self._key not in state.open:
            return
        if status is None:
            captured = _capture.capture_mapping(result, state.rules)
        elif is_a(result, BaseException):
            captured = _capture.error_payload(cast("BaseException", result), state.rules)
        else:
            captured = _capture.failure_payload(result, state.rules)
        before, _ = state.overrides.get(self._key, (None, b""))
        state.overrides[self._key] = (status or before, captured)

    def __eq__(self, other: object) -> bool:
        """Two handles are equal when their keys are."""
        return isinstance(other, Span) and self._key == other._key

    def __hash__(self) -> int:
        """Hash by the key."""
        return hash(self._key)

    def __repr__(self) -> str:
        """Show the name and the key."""
        return f"<Span {self.name} {self.key}>"


def current_span() -> Span | None:
    """Return a handle on the current span, or `None` outside any run.

    Directly inside a run's block that is the run's root span, `remit:run`.
    """
    place = here()
    return None if place is None else Span(place.key, place.name, place.run)
