"""What an import takes, beside the libraries it stands on and beside peers.

`python -m benchmarks.imports [--rounds N]`. Each import runs in a fresh process, from bytecode that
is kept and with the plugins of pydantic switched off; the imports take turns, so that a machine
that slows down slows all of them.

Two floors are measured. `floor` is what remit asks for, imported and not used: pydantic then
imports a part of itself. `floor, one model` also defines a model with one field, as every program
with a declared risk does: pydantic imports the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

FLOOR: Final = "floor"
USED_FLOOR: Final = "floor, one model"
DECLARED: Final = "remit"

REMIT: Final = """
import remit
@remit.span_type(data_risk=remit.risk(allows="read_data"))
def lookup(order_id: str, limit: int) -> dict[str, object]: return {}
"""
ONE_MODEL: Final = """
import wrapt, contextvars_extras
from pydantic import BaseModel
class Model(BaseModel): x: int = 1
"""
IMPORTS: Final[dict[str, str]] = {
    FLOOR: "import pydantic, wrapt, contextvars_extras",
    USED_FLOOR: ONE_MODEL,
    DECLARED: REMIT,
    "import remit": "import remit",
}
# What a program of theirs imports to decorate a function and to send what it does.
PEERS: Final[dict[str, tuple[str, str]]] = {
    "opentelemetry": (
        "opentelemetry.exporter.otlp.proto.http",
        "import opentelemetry.sdk.trace, opentelemetry.exporter.otlp.proto.http.trace_exporter",
    ),
    "sentry": ("sentry_sdk", "import sentry_sdk"),
    "ddtrace": ("ddtrace", "from ddtrace.trace import tracer"),
    "langfuse": ("langfuse", "from langfuse import observe"),
    "logfire": ("logfire", "import logfire"),
    "prefactor-core": ("prefactor_core", "import prefactor_core"),
}
TIMED: Final = """
import json, sys, time
cpu, wall = time.process_time_ns(), time.perf_counter_ns()
exec(sys.argv[1])
print(json.dumps([time.process_time_ns() - cpu, time.perf_counter_ns() - wall]))
"""
NS_PER_MS: Final = 1e6


@dataclass(frozen=True, slots=True)
class Import:
    """What one import takes, over all rounds, in milliseconds.

    Attributes:
        cpu_ms: Median of the processor's time.
        least_ms: Least of it.
        most_ms: Most of it.
        wall_ms: Median of the wall's time.
    """

    cpu_ms: float
    least_ms: float
    most_ms: float
    wall_ms: float


def installed_peers() -> dict[str, str]:
    """Return the import of each peer that is installed."""
    return {name: text for name, (package, text) in PEERS.items() if _is_installed(package)}


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def measure_imports(rounds: int = 15, peers: dict[str, str] | None = None) -> dict[str, Import]:
    """Return what each import takes.

    Args:
        rounds: Processes for each.
        peers: Statements by name; those of the installed peers if not given.
    """
    imports = {**IMPORTS, **(installed_peers() if peers is None else peers)}
    taken: dict[str, list[tuple[int, int]]] = {name: [] for name in imports}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            for name, text in imports.items():
                found = _imported(text, folder)
                # The first round writes the bytecode.
                if number:
                    taken[name].append(found)
    return {name: _summary(found) for name, found in taken.items()}


def _imported(text: str, folder: str) -> tuple[int, int]:
    """Return the time of the processor and of the wall that an import takes, in nanoseconds."""
    asked = {"PYTHONPYCACHEPREFIX": folder, "PYDANTIC_DISABLE_PLUGINS": "__all__"}
    environment = {**os.environ, **asked}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", TIMED, text],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    # An import may print; the measurement comes last.
    cpu_ns, wall_ns = json.loads(done.stdout.splitlines()[-1])
    return cpu_ns, wall_ns


def _summary(found: list[tuple[int, int]]) -> Import:
    cpu_ms = [cpu_ns / NS_PER_MS for cpu_ns, _ in found]
    wall_ms = [wall_ns / NS_PER_MS for _, wall_ns in found]
    return Import(statistics.median(cpu_ms), min(cpu_ms), max(cpu_ms), statistics.median(wall_ms))


def table(measured: dict[str, Import]) -> str:
    """Return the measurements as a table."""
    floor, used = measured[FLOOR].cpu_ms, measured[USED_FLOOR].cpu_ms
    heads = ("CPU ms", "least", "most", "wall ms", "/ floor", "/ used")
    lines = [f"{'import':<18}" + "".join(f"{head:>9}" for head in heads)]
    lines += [
        f"{name:<18}{each.cpu_ms:>9.1f}{each.least_ms:>9.1f}{each.most_ms:>9.1f}"
        f"{each.wall_ms:>9.1f}{each.cpu_ms / floor:>9.2f}{each.cpu_ms / used:>9.2f}"
        for name, each in measured.items()
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="processes for each import")
    print(table(measure_imports(parser.parse_args().rounds)))


if __name__ == "__main__":
    main()
