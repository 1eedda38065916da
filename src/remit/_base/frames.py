"""Finds the file and line of the user's code, for messages."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Final

PACKAGE: Final = str(Path(__file__).parents[1])
STANDARD_LIBRARY: Final = f"{Path(os.__file__).parent}{os.sep}"
SCRIPTS: Final = f"{Path(sys.executable).parent}{os.sep}"
"""Where installed packages put their commands, such as `uvicorn`."""
INSTALLED: Final = re.compile(r".*[/\\](?:site|dist)-packages[/\\][^/\\]+")
"""The beginning of a path up to the folder or module of an installed package."""


def caller(own: str | None = None) -> str | None:
    """Return file and line of the innermost frame outside remit and the standard library.

    With *own*, a file of the program, a frame in another installed package or in code without a
    file does not count either. None if there is no such frame, as in a thread that calls a
    decorated function directly.
    """
    frame: FrameType | None = _caller_frame()
    while frame is not None and _is_foreign(frame.f_code.co_filename, own):
        frame = frame.f_back
    return None if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _is_foreign(file: str, own: str | None) -> bool:
    if file.startswith(("<frozen ", f"{PACKAGE}{os.sep}")):
        return True
    package = INSTALLED.match(file)
    if package is None and file.startswith(STANDARD_LIBRARY):
        return True
    if own is None or file == own:
        return False
    if package is not None:
        own_package = INSTALLED.match(own)
        return own_package is None or package[0] != own_package[0]
    return file == "<string>" or file.startswith(SCRIPTS)


def names_of_caller() -> Mapping[str, object]:
    """Return the names of the module whose frame is the innermost that is not remit's."""
    return _caller_frame().f_globals


def _caller_frame() -> FrameType:
    frame = sys._getframe(1)  # noqa: SLF001 - the documented way to a caller's line
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return frame
