"""Checks the data folder before a command uses it."""

from __future__ import annotations

from pathlib import Path

from remit._base.files import check_private_folder, make_private_folder
from remit.cli._failing import Failed


def private_folder(path: Path, *, create: bool = False) -> Path:
    """Return *path*, checked to be closed to other users; without *create* it need not exist.

    Raises:
        Failed: It cannot be made, or is open to other users.
    """
    try:
        make_private_folder(path) if create else check_private_folder(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        said = f"{path}: {error.strerror}" if error.strerror else error
        raise Failed(f"the data folder cannot be used: {said}") from error
    return path
