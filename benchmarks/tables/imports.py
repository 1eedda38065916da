"""What it takes to import a library, and to decorate one function."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial

from benchmarks import shown
from benchmarks.known import DECORATED, PEERS
from benchmarks.measure import Case, Size, check_installed, run, told
from benchmarks.pictures import Picture
from benchmarks.results import Results, Values
from benchmarks.tables import kept_out
from benchmarks.tables.base import Table, title

NAME = "import"
CASE = "import"
BASE = "what remit stands on"
"""Not a peer: pydantic, wrapt and contextvars-extras alone."""
USED = "the same, and one model"
"""No peer either: pydantic imports most of itself for a first model, what most programs make."""
ALONE = {
    BASE: "import pydantic, wrapt, contextvars_extras",
    USED: "import wrapt, contextvars_extras\n"
    "from pydantic import BaseModel\n"
    "class Model(BaseModel): x: int = 1",
}
IMPORTED = (*ALONE, *(peer for peer in PEERS if PEERS[peer].imports))
SCRIPT = """
import json, time
began, used = time.perf_counter_ns(), time.process_time_ns()
{program}
took = {{"wall_ms": (time.perf_counter_ns() - began) / 1e6,
         "cpu_ms": (time.process_time_ns() - used) / 1e6}}
import sys
took["modules"] = len(sys.modules)
print(json.dumps(took))
"""


def _imported(peer: str, size: Size) -> Values:
    check_installed(peer)
    program = ALONE.get(peer) or DECORATED + PEERS[peer].imports
    command = [sys.executable, "-c", SCRIPT.format(program=program)]
    return told(run(command, peer, size.patience_s))


def cases(size: Size) -> Iterator[Case]:
    """Yield each library; one takes little, so there are more rounds of it."""
    for peer in IMPORTED:
        yield Case(NAME, peer, CASE, partial(_imported, peer, size), size.rounds * 3)
    yield kept_out.case(NAME, size)


def times(results: Results) -> str:
    """Return the table of imports."""
    base = results.middle(NAME, BASE, CASE, "cpu_ms")
    rows: list[list[str]] = []
    for peer in IMPORTED:
        cpu, wall = (results.spread(NAME, peer, CASE, field) for field in ("cpu_ms", "wall_ms"))
        rows.append([
            peer if peer in ALONE else title(peer),
            shown.spread(cpu),
            shown.spread(wall),
            shown.whole(results.middle(NAME, peer, CASE, "modules")),
            shown.times(results.middle(NAME, peer, CASE, "cpu_ms"), base),
        ])  # fmt: skip
    return shown.table(["", "CPU, ms", "wall, ms", "modules", f"CPU / {BASE}"], rows)


def pictures(results: Results) -> Iterator[Picture]:
    """Yield what there is to draw."""
    bars = {
        peer if peer in ALONE else PEERS[peer].title: results.middle(NAME, peer, CASE, "cpu_ms")
        for peer in IMPORTED
    }
    yield Picture("import", "Import and one decorated function, milliseconds of CPU", {"ms": bars},
                  logarithmic=False)  # fmt: skip


TABLE = Table(cases, {"import": times}, pictures)
