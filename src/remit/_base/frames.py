"""Finds the file, line and source root of the user's code, and reads tracebacks."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path, PurePath
from types import CodeType, FrameType, TracebackType
from typing import Any, Final

from msgspec import Struct


def _folder_above(code: CodeType) -> Path:
    """Return the folder above that of the file that *code* names.

    In a program that cx_Freeze made, frames name the files that it was made from, and `os` has no
    `__file__`.
    """
    return Path(code.co_filename).parents[1]


PACKAGE: Final = str(_folder_above(_folder_above.__code__))
STANDARD_LIBRARY: Final = f"{_folder_above(re.compile.__code__)}{os.sep}"
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
    while frame is not None and is_foreign(frame.f_code.co_filename, own):
        frame = frame.f_back
    return None if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def is_foreign(file: str, own: str | None) -> bool:
    """Return whether *file* is of remit, of the standard library or, with *own*, as in `caller`."""
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


# Tracebacks

MAX_LINKS: Final = 2_000
"""Most entries of a traceback that are read: each `raise` of an exception adds one."""
MAX_FILES: Final = 10_000
MAX_CHARS: Final = 200
"""Limit for the path of a file and the name of a function."""

# Owner of the code of a frame; a lower value says more about the program.
_PROGRAM: Final = 0
_GENERATED: Final = 1
"""Code without a file, as in a notebook, of `python -c`, or of a dataclass."""
_FOREIGN: Final = 2
_REMIT: Final = 3

_NAMES: Final[Any] = dict
"""Its methods are called, because the globals of a frame may be of a derived class."""


class Frame(Struct, frozen=True, gc=False):
    """A frame of a traceback.

    Attributes:
        file: Path relative to the source root of its module, to `site-packages` or to the standard
            library, with slashes; the name alone if that is not known.
        line: The line that was executed; 0 if it is not known.
    """

    file: str
    line: int
    function: str


class Frames(Struct, frozen=True):
    """The frames of a traceback, without those of remit.

    Attributes:
        at: The innermost frame of the program's own code; without one, the innermost of all.
        outermost: The outermost frames, without those that are in `innermost`, in the same order.
        total: How many frames there are; at most 2,000 are read.
    """

    at: Frame
    innermost: list[Frame]
    outermost: list[Frame]
    total: int


class _File(Struct, frozen=True):
    name: str
    origin: int
    package: str | None
    """The folder or module in `site-packages`, for an installed package."""


_files: Final[dict[str, _File]] = {}
"""By the file name of a code object: at a failure nothing is looked up twice."""


def read_traceback(traceback: TracebackType | None, each_end: int, own: str = "") -> Frames | None:
    """Return the frames of *traceback*; no value of a frame is read, and none is kept alive.

    Args:
        each_end: Most frames returned from either end.
        own: The installed package that is the program, if it is one.

    Returns:
        None if all frames are remit's.
    """
    links: list[tuple[TracebackType, str]] = []
    place, origin = 0, _REMIT
    for _ in range(MAX_LINKS):
        if traceback is None:
            break
        frame = traceback.tb_frame
        name = frame.f_code.co_filename
        file = _files.get(name) or _file_of(name, frame.f_globals)
        if file.origin != _REMIT:
            closeness = _PROGRAM if file.package == own else file.origin
            if closeness <= origin:
                place, origin = len(links), closeness
            links.append((traceback, file.name[-MAX_CHARS:]))
        traceback = traceback.tb_next
    total = len(links)
    if not total:
        return None
    at = links[place]
    links.reverse()
    kept = (at, *links[:each_end], *links[max(each_end, total - each_end) :])
    first, *frames = [
        Frame(file, link.tb_lineno or 0, link.tb_frame.f_code.co_name[:MAX_CHARS])
        for link, file in kept
    ]
    return Frames(first, frames[:each_end], frames[each_end:], total)


def _file_of(name: str, names: Mapping[str, Any]) -> _File:
    if len(_files) >= MAX_FILES:
        _files.clear()
    file = _files[name] = _described(name, names)
    return file


def _described(name: str, names: Mapping[str, Any]) -> _File:
    if name.startswith(f"{PACKAGE}{os.sep}"):
        return _File(name, _REMIT, None)
    if name.startswith("<"):
        return _File(name, _FOREIGN if name.startswith("<frozen ") else _GENERATED, None)
    path = PurePath(name)
    installed = INSTALLED.match(name)
    if installed is not None:
        package = PurePath(installed[0])
        shown = path.relative_to(package.parent).as_posix()
        return _File(shown, _FOREIGN, package.stem)
    if name.startswith(STANDARD_LIBRARY):
        return _File(path.relative_to(STANDARD_LIBRARY).as_posix(), _FOREIGN, None)
    if name.startswith(SCRIPTS):
        return _File(path.name, _FOREIGN, None)
    root = _root_of(names)
    if root is not None and path.is_relative_to(root):
        path = path.relative_to(root)
    is_known = not path.is_absolute() and ".." not in path.parts
    return _File(path.as_posix() if is_known else path.name, _PROGRAM, None)


def _root_of(names: Mapping[str, Any]) -> str | None:
    """Return the source root of the module with *names*; None if name and file do not agree."""
    name, file, spec = (_NAMES.get(names, key) for key in ("__name__", "__file__", "__spec__"))
    if not (type(name) is str and type(file) is str):
        return None
    module = imported_as(
        name, {"__file__": file, "__spec__": spec if type(spec) is ModuleSpec else None}
    )
    try:
        root = source_root(module, file)
        path = Path(file).absolute().relative_to(root)
    except (OSError, ValueError):
        return None
    parts = [part for part in path.with_suffix("").parts if part != "__init__"]
    return root if parts == module.split(".") else None
