"""What is written and not delivered yet: on disk, in one file for each process, or in memory.

`Outbox` is the seam between the writer, which puts, and the sender, which reads and settles.
`SpoolOutbox` is a process's own, over `FileOutbox` and `MemoryOutbox`; `Files` makes its file and
takes those that ended processes left.
"""

from remit._deliver.spool.files import Files
from remit._deliver.spool.folder import NO_OTHERS, Folder, Identity, Others
from remit._deliver.spool.memory import MemoryOutbox
from remit._deliver.spool.outbox import Outbox, Row
from remit._deliver.spool.records import DamagedError, Registration, RunRecord, RunState
from remit._deliver.spool.recovery import is_damage
from remit._deliver.spool.spool import SpoolOutbox
from remit._deliver.spool.store import STORAGE_ERRORS, FileOutbox, Lose

__all__ = [
    "NO_OTHERS",
    "STORAGE_ERRORS",
    "DamagedError",
    "FileOutbox",
    "Files",
    "Folder",
    "Identity",
    "Lose",
    "MemoryOutbox",
    "Others",
    "Outbox",
    "Registration",
    "Row",
    "RunRecord",
    "RunState",
    "SpoolOutbox",
    "is_damage",
]
