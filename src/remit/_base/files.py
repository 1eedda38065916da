"""Creates and checks files and folders that only their owner may use."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from remit._base.system import user_id

PRIVATE_FILE: Final = 0o600
PRIVATE_FOLDER: Final = 0o700
_OTHERS_WRITE: Final = 0o022


def make_private_folder(path: Path) -> None:
    """Make a folder and missing folders above it for their owner only; existing ones are kept.

    Raises:
        OSError: It cannot be made, or another user owns it or may write to it.
    """
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    check_private_folder(path)


def check_private_folder(path: Path) -> None:
    """Check that only this user and root can put files into a folder.

    On Windows the rights are not checked: a folder inherits those of the user's profile.

    Raises:
        OSError: There is no such folder, or another user owns it or may write to it.
    """
    info = path.stat()
    if not stat.S_ISDIR(info.st_mode):
        raise NotADirectoryError(f"{path} is not a directory")
    user = user_id()
    if user is None:
        return
    if info.st_uid != user:
        raise PermissionError(
            f"the directory {path} belongs to another user (uid {info.st_uid}, this process has "
            f"{user}): use a directory of your own, or a new one inside it"
        )
    if info.st_mode & _OTHERS_WRITE:
        raise PermissionError(
            f"other users may write to the directory {path} (mode {stat.S_IMODE(info.st_mode):o}): "
            "run chmod go-w on it, or use a new directory inside it"
        )


def make_private_file(path: Path) -> bool:
    """Make an empty file for its owner only; return False if there is something at *path*.

    Raises:
        OSError: It cannot be made.
    """
    try:
        # With O_EXCL a symbolic link counts as existing.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    except FileExistsError:
        return False
    os.close(descriptor)
    return True


def reject_link(path: Path) -> None:
    """Check that *path* itself is not a symbolic link; the folders above it may be links.

    Raises:
        OSError: It is a symbolic link.
    """
    if path.is_symlink():
        raise OSError(
            f"{path} is a symbolic link to {path.readlink()}, and links are not followed: use "
            "the path of the file itself"
        )
