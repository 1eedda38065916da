"""The spool: keeps undelivered items on disk, in one file for each process, or in memory.

The writer puts rows into the `Outbox` of the process, and the sender reads and settles them. An
outbox writes to a `SpoolFile`. `Files` creates the file of the process, and takes the files of
ended processes, each of which the sender reads through an outbox of its own.
"""

from remit._deliver.records import Registration, RunRecord, RunState, digest_of
from remit._deliver.spool.files import Files, OnLoss
from remit._deliver.spool.folder import NO_OTHER_FILES, Folder, Identity, OtherFiles
from remit._deliver.spool.outbox import Outbox
from remit._deliver.spool.store import Row, SpoolFile, is_damage

__all__ = [
    "NO_OTHER_FILES",
    "Files",
    "Folder",
    "Identity",
    "OnLoss",
    "OtherFiles",
    "Outbox",
    "Registration",
    "Row",
    "RunRecord",
    "RunState",
    "SpoolFile",
    "digest_of",
    "is_damage",
]
