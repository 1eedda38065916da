"""Reads the file of a lock."""

from __future__ import annotations

import json
from typing import Final, cast

import msgspec

from remit._lock.difference import FORMAT, Lock

FILE: Final = "remit.lock.json"
"""The usual name of a lock."""


class LockError(ValueError):
    """The content of a file is not a lock, or one of another format."""


def parsed(content: bytes, source: str) -> Lock:
    """Return the lock in the *content* of *source*, a file or a file of a revision.

    Raises:
        LockError: It is none, or one of another format.
    """
    try:
        lock: object = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise LockError(f"{source} is not JSON: {error}") from error
    if not isinstance(lock, dict) or "remit_lock" not in lock:
        raise LockError(f"{source} is not a lock: `remit lock MODULE` writes one")
    version = cast("dict[str, object]", lock)["remit_lock"]
    if version != FORMAT:
        raise LockError(
            f"{source} has the format {json.dumps(version)}, and this version of remit reads the "
            f"format {FORMAT}: write it again with `remit lock`"
        )
    try:
        msgspec.convert(lock, Lock)
    except msgspec.ValidationError as error:
        raise LockError(f"{source} is not a lock as `remit lock` writes it: {error}") from error
    # As it was read, because the conversion leaves out what it does not know.
    return cast("Lock", lock)
