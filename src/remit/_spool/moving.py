"""A file that a cleaner removed while it was in use: everything in it goes into a new one."""

from __future__ import annotations

from contextlib import suppress

from remit._guard import logger
from remit._spool.database import STORAGE_ERRORS, Database
from remit._spool.folder import Claim, Folder


def copied(removed: Database, folder: Folder) -> tuple[Claim, Database] | None:
    """Return a new file in *folder*, and its claim, with all of *removed*; None if none can be.

    SQLite goes on with a file that was removed as if it were there.
    """
    claim: Claim | None = None
    database: Database | None = None
    try:
        claim = folder.create()
        # SQLite copies into pages of the same size alone.
        page_bytes = removed.page_bytes
        database = Database(claim.path, max_bytes=folder.max_bytes, page_bytes=page_bytes)
        removed.copy_to(database)
    except STORAGE_ERRORS:
        if database is not None:
            database.close()
        if claim is not None:
            claim.remove()
        return None
    return claim, database


def say_moved(left: Claim, folder: Folder) -> None:
    """Log that the file of a claim was removed and what became of it."""
    logger.warning(
        "the spool's file %s was removed while it was in use; what was in it is in a new one now, "
        "and nothing is lost. Have whatever cleans up there spare %s",
        left.path,
        folder.path,
    )


def clear_away(left: Claim, removed: Database) -> None:
    """Delete what a cleaner left of a file, before others can have it, and close it."""
    with suppress(*STORAGE_ERRORS):
        left.remove()
    with suppress(*STORAGE_ERRORS):
        removed.close()
