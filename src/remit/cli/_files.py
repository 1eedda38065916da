"""Checks the data directory before a command uses it."""

from __future__ import annotations

from pathlib import Path

from remit._base.files import check_private_folder, make_private_folder
from remit.cli._failing import Failed


def private_directory(path: Path, *, create: bool = False) -> Path:
    """Return *path*, which only its owner can open; without *create* it need not exist.

    Raises:
        Failed: It cannot be created, or other users can open it.
    """
    try:
        make_private_folder(path) if create else check_private_folder(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        reason = f"{path}: {error.strerror}" if error.strerror else error
        raise Failed(f"the data directory cannot be used: {reason}") from error
    return path
