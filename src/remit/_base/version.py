"""The version, and the header that names the SDK and its adapters.

A release has the version `NEXT`. Between releases `NEXT` ends with `.dev0`, and the version names
the commit too: in a checkout the one that is checked out, in a built distribution the one that it
was built from. pyproject.toml takes the version from here, and the build writes it to a file. The
metadata of the distribution is not read, because that takes 20 ms; a checkout takes 0.1 ms.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

NEXT: Final = "0.1.0.dev0"
"""The version of a release; before it, the next version with `.dev0`."""

_SOURCES: Final = ("src", "remit", "_base")
_WRITTEN: Final = "version.txt"
_DIGITS: Final = 8
"""Characters of the commit's hash in a version."""


def _version() -> str:
    if not NEXT.endswith(".dev0"):
        return NEXT
    folder = Path(__file__).absolute().parent
    # Only in a checkout: `pip install --target` puts the package into any repository.
    commit = _commit(folder.parents[2]) if folder.parts[-3:] == _SOURCES else None
    if commit is not None:
        return f"{NEXT}+g{commit[:_DIGITS]}"
    try:
        return _line(folder / _WRITTEN)
    except OSError:
        return NEXT


def _commit(checkout: Path) -> str | None:
    """Return the commit of a checkout, from the files of git (see gitrepository-layout)."""
    git = checkout / ".git"
    try:
        if git.is_file():  # of a worktree or a submodule
            git = checkout / _line(git).removeprefix("gitdir: ")
        head = _line(git / "HEAD")
        ref = head.removeprefix("ref: ")
        if ref == head:
            return head
        common = git / "commondir"  # of a worktree
        references = git / _line(common) if common.exists() else git
        if (references / ref).exists():
            return _line(references / ref)
        packed = (references / "packed-refs").read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return None
    return next((line.split()[0] for line in packed if line.endswith(f" {ref}")), None)


def _line(file: Path) -> str:
    return file.read_text("utf-8").strip()


__version__: Final = _version()

SDK: Final = f"remit@{__version__}"
"""Name of the SDK on the wire."""

adapter_names: Final[list[str]] = []
"""Names of the adapters in use, outermost first."""


def add_adapter(name: str) -> None:
    """Name an adapter, such as `remit-langchain@0.1.0`, in the header of later requests."""
    if name not in adapter_names:
        adapter_names.insert(0, name)


def sdk_header() -> str:
    """Return the names of the adapters in use and of the SDK, outermost first."""
    return " ".join((*adapter_names, SDK))
