"""Finds the file and line of the user's code, for messages."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Final

PACKAGE: Final = str(Path(__file__).parents[1])
STANDARD_LIBRARY: Final = f"{Path(os.__file__).parent}{os.sep}"
INSTALLED: Final = tuple(f"{STANDARD_LIBRARY}{name}" for name in ("site-packages", "dist-packages"))


def caller() -> str | None:
    """Return file and line of the innermost frame outside remit and the standard library.

    None if there is no such frame, as in a thread that calls a decorated function directly.
    """
    frame: FrameType | None = _caller_frame()
    while frame is not None and _is_of_python(frame.f_code.co_filename):
        frame = frame.f_back
    return None if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _is_of_python(file: str) -> bool:
    """Return whether *file* belongs to the standard library or to this package."""
    if file.startswith(("<frozen ", f"{PACKAGE}{os.sep}")):
        return True
    return file.startswith(STANDARD_LIBRARY) and not file.startswith(INSTALLED)


def names_of_caller() -> Mapping[str, object]:
    """Return the names of the module whose frame is the innermost that is not remit's."""
    return _caller_frame().f_globals


def _caller_frame() -> FrameType:
    frame = sys._getframe(1)  # noqa: SLF001 - the documented way to a caller's line
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return frame
