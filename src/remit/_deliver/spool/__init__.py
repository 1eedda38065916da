"""The spool: keeps undelivered items on disk, in one file for each process, or in memory.

`Outbox` is the interface between the writer, which puts rows, and the sender, which reads and
settles them. `SpoolOutbox` is the outbox of this process and uses a `FileOutbox` and a
`MemoryOutbox`. `Files` creates its file, and takes the files of ended processes.
"""

from remit._deliver.spool.files import Files
from remit._deliver.spool.folder import NO_OTHER_FILES, Folder, Identity, OtherFiles
from remit._deliver.spool.memory import MemoryOutbox
from remit._deliver.spool.outbox import Outbox, Row
from remit._deliver.spool.records import DamagedError, Registration, RunRecord, RunState
from remit._deliver.spool.recovery import is_damage
from remit._deliver.spool.spool import SpoolOutbox
from remit._deliver.spool.store import STORAGE_ERRORS, FileOutbox, OnLoss

__all__ = [
    "NO_OTHER_FILES",
    "STORAGE_ERRORS",
    "DamagedError",
    "FileOutbox",
    "Files",
    "Folder",
    "Identity",
    "MemoryOutbox",
    "OnLoss",
    "OtherFiles",
    "Outbox",
    "Registration",
    "Row",
    "RunRecord",
    "RunState",
    "SpoolOutbox",
    "is_damage",
]
