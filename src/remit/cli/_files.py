"""The data folder, as a command meets it."""

from __future__ import annotations

from pathlib import Path

from remit._files import check_private_folder, make_private_folder
from remit.cli._failing import Failed


def private(data_dir: Path, *, create: bool = False) -> Path:
    """Return the data folder; without *create* it need not exist.

    Raises:
        Failed: It cannot be made, or is open to other users.
    """
    try:
        make_private_folder(data_dir) if create else check_private_folder(data_dir)
    except FileNotFoundError:
        pass
    except OSError as error:
        said = f"{data_dir}: {error.strerror}" if error.strerror else error
        raise Failed(f"the data folder cannot be used: {said}") from error
    return data_dir
