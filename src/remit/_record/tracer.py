"""`StepTracer`: what a wrapper needs to record the calls of one decorated callable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from remit import _capture
from remit._base import guard
from remit._inspect.decorated import SelfParameter
from remit._record.runs import OpenRun
from remit._record.spans import START, SpanRecorder


class StepTracer(Struct, frozen=True, eq=False):
    """What a wrapper needs to record the calls of one decorated callable.

    Attributes:
        recorder: Records its spans.
        self_parameter: Whether the arguments of a call begin with the object or class.
        outside: Returns the block around a call outside any run; of an agent, that of a new run.
            May raise `DeniedError`.
        rules: Returns the capture rules for a call outside any run.
        open_run: For an agent, opens a run without making it current.
    """

    recorder: SpanRecorder
    self_parameter: SelfParameter
    outside: Callable[[], Any]
    rules: Callable[[], _capture.Rules]
    open_run: Callable[[], OpenRun] | None = None

    # Unguarded: contains its own faults.
    def recorded(self, instance: object, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments that the recorded signature names: without `self` or `cls`.

        A bound method puts its object first among *args*. Any other descriptor is bound already,
        and *instance* is its object.
        """
        if instance is not None:
            return args
        try:
            return args[1:] if self.self_parameter.resolve() else args
        except Exception as error:  # noqa: BLE001 - a guard
            guard.contain(START, error)
            return args
