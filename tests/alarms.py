"""Alarms that go off wherever a signal's handler may raise: where a function begins or returns.

It may also raise when a function in C has returned, and so before any line that comes after.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


class AlarmError(Exception):
    """What the handler of a program's alarm raises."""


class Alarm:
    """Goes off once, at the so-manieth place in the code of some files."""

    def __init__(self, place: int, files: tuple[str, ...], *, lines: bool = False) -> None:
        """Go off at *place*, counted from 0, in the files whose names end in *files*.

        Args:
            place: Which.
            files: Where places are counted.
            lines: Before each line too.
        """
        self.place = place
        self._left = place
        self._files = files
        self._lines = lines
        self.rung = False

    def during(self, act: Callable[[], object]) -> None:
        """Do *act* on this thread, and go off in it."""
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            act()
        except AlarmError:
            pass
        finally:
            sys.settrace(before)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:  # noqa: ANN401 - as Python has it
        del argument
        if not frame.f_code.co_filename.endswith(self._files):
            return None
        frame.f_trace_lines = self._lines
        if not self.rung and (event in ("call", "return") or _is_place(frame, event)):
            self._left -= 1
            if self._left < 0:
                self.rung = True
                raise AlarmError
        return self._trace


def _is_place(frame: FrameType, event: str) -> bool:
    """Tell whether an alarm may come before a line: at the end of a `with` the lock is let go."""
    text = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    return event == "line" and not text.lstrip().startswith("with ")


def everywhere(*files: str, lines: bool = False) -> Iterator[Alarm]:
    """Yield alarms for one place after the other, until one has not gone off."""
    place = 0
    while True:
        alarm = Alarm(place, files, lines=lines)
        yield alarm
        if not alarm.rung:
            return
        place += 1
