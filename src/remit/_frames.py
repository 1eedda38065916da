"""Where the user's code stands, for messages."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Final

PACKAGE: Final = str(Path(__file__).parent)


def caller() -> str:
    """Return file and line of the innermost frame that is not remit's."""
    frame = _outside()
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def names_of_caller() -> Mapping[str, object]:
    """Return the names of the module whose frame is the innermost that is not remit's."""
    return _outside().f_globals


def _outside() -> FrameType:
    frame = sys._getframe(1)  # noqa: SLF001 - the documented way to a caller's line
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return frame
