"""The project of an agent, which distinguishes agents with the same module and name."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import partial
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple, cast

from remit._base.guard import attempt
from remit._base.text import PROJECT_PATTERN

FILE: Final = "pyproject.toml"
_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})


class Project(NamedTuple):
    """A project, and a readable description of the source of its name.

    Attributes:
        name: The project's name, or None if it has no name.
    """

    name: str | None
    origin: str


def project_at(root: str | None, file: str) -> Project:
    """Return the project that the code belongs to.

    Installed code belongs to the distribution that installed the file. For other code, the nearest
    `pyproject.toml` with a name determines the project. The search starts at the source root and
    goes up to the directory that contains `.git`, or to the home directory. A directory name is
    never used, because it changes with checkouts and releases.

    Args:
        root: Source root of the code, or None if the code has no file.
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
    """Return the agent identifier that is sent to the server: `project/module:qualname`.

    The project is omitted if the top-level package has the project's name.
    """
    package = identifier.partition(":")[0].partition(".")[0]
    if project is None or normalised(package) == normalised(project):
        return identifier
    return f"{project}/{identifier}"


def normalised(name: str) -> str:
    """Return the name of a distribution, normalised according to PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _candidates(folder: Path) -> Iterator[Path]:
    """Yield the files that can contain the project's name, the nearest first."""
    home = attempt(Path.home)
    for each in (folder, *folder.parents):
        if each == home:
            return
        yield each / FILE
        if (each / ".git").exists():
            return


def _name_in(path: Path) -> str | None:
    """Return the project's name in a file, or None without such a name or file."""
    if not path.is_file():
        return None
    content: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    tables = (content.get("project"), content.get("tool", {}).get("poetry"))
    for table in tables:
        name = cast("dict[str, object]", table).get("name") if isinstance(table, dict) else None
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
