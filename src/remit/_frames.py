"""Where the user's code stands, for messages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

PACKAGE: Final = str(Path(__file__).parent)


def caller() -> str:
    """Return file and line of the innermost frame that is not remit's."""
    frame = sys._getframe(1)  # noqa: SLF001 - the documented way to a caller's line
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
