"""How many modules `import remit` loads of libraries that it is to leave alone until their use."""

from __future__ import annotations

import sys
from functools import partial
from typing import Final

from benchmarks.measure import Case, Size, run, told
from benchmarks.results import Values

LIBRARIES: Final = ("httpx", "pydantic_settings")
CASE: Final = "kept out"
FIELD: Final = "kept_out"
SCRIPT: Final = f"""
import json, sys
import remit
loaded = [name for name in sys.modules if name.partition(".")[0] in {LIBRARIES!r}]
print(json.dumps({{"{FIELD}": len(loaded)}}))
"""


def _loaded(size: Size) -> Values:
    return told(run([sys.executable, "-c", SCRIPT], "remit", size.patience_s))


def case(table: str, size: Size) -> Case:
    """Return the measurement, for a table: in a fresh process, once, as nothing varies."""
    return Case(table, "remit", CASE, partial(_loaded, size), 1)
