"""What an import costs, by pyperf: `python -m benchmarks.imports`, with pyperf's options.

Each value is the CPU time that a fresh interpreter takes to import a library and decorate one
function. remit's budget is a ratio to the libraries that it needs, and one model of pydantic.
"""

from __future__ import annotations

import sys
from typing import Final

import pyperf

from benchmarks import children
from benchmarks.peers import PEERS

BASE: Final = "remit's dependencies"
FUNCTION: Final = "def f(a: str, b: int) -> dict:\n    return {}\n"
PROGRAMS: Final = {
    BASE: "import wrapt, contextvars_extras\n"
    "from pydantic import BaseModel\n"
    "class Model(BaseModel): x: int = 1",
    **{name: FUNCTION + known.program for name, known in PEERS.items() if known.program},
}
SCRIPT: Final = """
import json, time
began_s = time.process_time()
{program}
took_s = time.process_time() - began_s
print(json.dumps({{"took_s": took_s}}))
"""


def timed(times: int, name: str) -> float:
    """Return the seconds of CPU that so many imports take."""
    command = [sys.executable, "-c", SCRIPT.format(program=PROGRAMS[name])]
    total_s = 0.0
    for _ in range(times):
        done = children.run(command, children.environment(name), children.PATIENCE_S)
        total_s += children.figures(done.stdout, done.stderr)["took_s"]
    return total_s


def main() -> None:
    """Measure each library."""
    runner = pyperf.Runner(program_args=("-m", "benchmarks.imports"), loops=1)
    runner.parse_args()
    for name in PROGRAMS:
        runner.bench_time_func(name, timed, name)


if __name__ == "__main__":
    main()
