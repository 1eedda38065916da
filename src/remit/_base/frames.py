"""Finds the file, line and source root of the user's code."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path, PurePath
from types import FrameType
from typing import Any, Final

PACKAGE: Final = str(Path(__file__).parents[1])
STANDARD_LIBRARY: Final = f"{Path(os.__file__).parent}{os.sep}"
SCRIPTS: Final = f"{Path(sys.executable).parent}{os.sep}"
"""Where installed packages put their commands, such as `uvicorn`."""
MAIN: Final = frozenset({"__main__", "__mp_main__"})
"""The program's own module, in the parent and in a spawned child."""
NOTEBOOK: Final = "notebook"
"""Module name of code without a module, such as the cell of a notebook."""
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


def imported_as(module: str, names: Mapping[str, Any]) -> str:
    """Return the name that a module with *names* would be imported under.

    `__main__` is the module that `python -m` was given, else the name without suffix of the script,
    or of the folder or archive that Python runs, else `notebook`.
    """
    if module not in MAIN:
        return module
    spec, file = names.get("__spec__"), names.get("__file__")
    if spec is not None and spec.name not in MAIN:
        return str(spec.name)
    if not isinstance(file, str):
        return NOTEBOOK
    path = PurePath(file)
    return path.stem if spec is None else path.parent.stem


def source_root(module: str, file: str | None) -> str:
    """Return the folder or archive from which the top-level module of *module* was imported.

    Args:
        module: The name that the module is imported under (`imported_as`).
        file: The module's `__file__`; None for a notebook or a prompt, whose source root is the
            current folder.

    Raises:
        OSError: The current folder does not exist.
    """
    if file is None:
        return str(Path.cwd())
    path = Path(file).absolute()
    levels = module.count(".") + (path.stem == "__init__")
    return str(path.parents[min(levels, len(path.parents) - 1)])
