"""Numbers of the advisory locks of PostgreSQL; remit's begin with `remi`."""

from __future__ import annotations

from typing import Final

_REMI: Final = 0x72656D69 << 32

SCHEMA_LOCK: Final = _REMI | 1
"""Held while the schema is changed."""
PARTS_LOCK: Final = _REMI | 2
"""Held while partitions are made or dropped."""
COUNTS_LOCK: Final = _REMI | 3
"""Held while changes of counts are added to them."""
LEADER_LOCK: Final = _REMI | 4
"""Held by the process that does the retention."""
KEPT_LOCK: Final = _REMI | 5
"""Keeps the rows to which runs refer, in a distributed database."""
