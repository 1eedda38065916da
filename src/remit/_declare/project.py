"""The project of an agent, which tells apart agents of the same module and name."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import partial
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from remit._base.guard import attempt
from remit._base.text import PROJECT_PATTERN

FILE: Final = "pyproject.toml"
_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})


class Project(NamedTuple):
    """A project, and where its name comes from, for people.

    Attributes:
        name: Its name; None if there is none.
    """

    name: str | None
    origin: str


def project_at(root: str | None, file: str) -> Project:
    """Return the project of code.

    It is the distribution that installed the file, else the nearest `pyproject.toml` with a name at
    or above the source root, up to the directory with `.git` or the home directory. The name of a
    directory is never used: it changes with checkouts and releases.

    Args:
        root: Source root of the code; None if it has no place.
        file: File of the code.
    """
    if root is None:
        return Project(None, "the code has no file; set REMIT_PROJECT")
    folder = Path(root)
    if folder.name in _INSTALLED:
        installed = attempt(partial(_distribution_of, folder, Path(file)))
        if isinstance(installed, str):
            return Project(normalised(installed), f"the distribution {installed}")
        return Project(None, f"no distribution installed {file}; set REMIT_PROJECT")
    for path in _candidates(folder):
        name = attempt(partial(_name_in, path))
        if isinstance(name, str):
            return Project(normalised(name), str(path))
    return Project(None, f"no {FILE} with a name at or above {folder}; set REMIT_PROJECT")


def identified(identifier: str, project: str | None) -> str:
    """Return the identifier of an agent on the wire: `project/module:qualname`.

    A top-level package with the project's name stands for the project.
    """
    package = identifier.partition(":")[0].partition(".")[0]
    if project is None or normalised(package) == normalised(project):
        return identifier
    return f"{project}/{identifier}"


def normalised(name: str) -> str:
    """Return the name of a distribution as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _candidates(folder: Path) -> Iterator[Path]:
    """Yield the files that may name the project, the nearest first."""
    home = attempt(Path.home)
    for each in (folder, *folder.parents):
        if each == home:
            return
        yield each / FILE
        if (each / ".git").exists():
            return


def _name_in(path: Path) -> str | None:
    """Return the name of the project in a file; None if it has none, or is not there."""
    if not path.is_file():
        return None
    content: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    tables = (content.get("project"), content.get("tool", {}).get("poetry"))
    for table in tables:
        name = table.get("name") if isinstance(table, dict) else None
        if isinstance(name, str) and re.fullmatch(PROJECT_PATTERN, name):
            return name
    return None


def _distribution_of(folder: Path, file: Path) -> str | None:
    """Return the name of the distribution in *folder* that installed *file*."""
    wanted = PurePosixPath(file.relative_to(folder).as_posix())
    for each in distributions(path=[str(folder)]):
        if _has(each, wanted):
            return each.metadata["Name"]
    return None


def _has(distribution: Distribution, wanted: PurePosixPath) -> bool:
    return any(PurePosixPath(path) == wanted for path in distribution.files or ())
