"""What is written and not yet delivered: on disk, in one file for each process, or in memory.

`Outbox` is the seam between the writer, which puts, and the sender, which reads and settles. The
floors inside: `spool` over `files` over `file` over `moving`, `room`, `ledger` and `runs`, over
`database` and `packing`, over `folder` over `holders`, `outbox` and `memory`.
"""

from remit._spool.database import STORAGE_ERRORS
from remit._spool.file import SpoolFile
from remit._spool.files import Files
from remit._spool.folder import NO_OTHERS, Folder, Identity, Others
from remit._spool.memory import MemoryOutbox
from remit._spool.outbox import Outbox, Registration, Row, RunRecord, RunState
from remit._spool.packing import DamagedError
from remit._spool.salvage import is_damage
from remit._spool.spool import SpoolOutbox

__all__ = [
    "NO_OTHERS",
    "STORAGE_ERRORS",
    "DamagedError",
    "Files",
    "Folder",
    "Identity",
    "MemoryOutbox",
    "Others",
    "Outbox",
    "Registration",
    "Row",
    "RunRecord",
    "RunState",
    "SpoolFile",
    "SpoolOutbox",
    "is_damage",
]
