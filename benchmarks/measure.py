"""How one thing is measured: in a fresh process, against a sink in another, within a time limit."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import children, probe, sink
from benchmarks.children import ROOT
from benchmarks.known import ONCE, PEERS
from benchmarks.results import RATE, Values
from tests.loopback import unused_port

BYTECODE: Final = ROOT / "build" / "bytecode"
"""Kept from one process to the next, as that of an installed program is."""
WARNINGS_CHARS: Final = 200
LEARNS_S: Final = 0.05
BEST: Final = probe.Best()
"""The best pace of this machine, so far."""


class MeasureError(Exception):
    """A measurement gave no value; the message says why, for the table."""


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        rounds: How often each thing is.
        seconds: For which the caller records, in one measurement.
        turns: Of a loop at most, where the cost of one is wanted.
        spans: That are recorded at most, where the rate is wanted.
        many: Spans of the largest outage and of the longest growth.
        workloads: How many of them, in their order.
        collector: Spans that a collector is sent.
        reads: Spans in the database that is read from.
        calm_s: For which a measurement waits for the processor, at most.
        patience_s: After which a measurement is given up.
        brief: Whether peers that take long are left out where only time would be lost.
    """

    rounds: int = 3
    seconds: float = 0.4
    turns: int = 50_000
    spans: int = 200_000
    many: int = 1_000_000
    workloads: int = 99
    collector: int = 50_000
    reads: int = 1_000_000
    calm_s: float = 2.0
    patience_s: float = 180.0
    brief: bool = False


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    Attributes:
        table: The table that it is for.
        peer: What is measured.
        case: Of what; a workload, a number of threads, a size.
        measure: Does it, and returns the values.
        rounds: How often, if not as often as the rest.
    """

    table: str
    peer: str
    case: str
    measure: Callable[[], Values]
    rounds: int | None = None

    def rounds_of(self, rounds: int) -> int:
        """Return how often it is measured where *rounds* are asked for."""
        return self.rounds or (1 if self.peer in ONCE else rounds)

    def values(self) -> Values:
        """Return what was measured, or why nothing was."""
        try:
            return self.measure()
        except MeasureError as error:
            return {"error": str(error)}
        except subprocess.TimeoutExpired as error:
            return {"error": f"gave up after {error.timeout:.0f} s"}
        except Exception as error:  # noqa: BLE001 - one that fails is told in the table
            return {"error": f"{type(error).__name__}: {str(error)[:WARNINGS_CHARS]}"}


def environment(peer: str) -> dict[str, str]:
    """Return the environment of a measured process: of all settings, none, and kept bytecode."""
    environ = children.environment()
    if peer == "logfire":
        del environ["PYDANTIC_DISABLE_PLUGINS"]
    return {**environ, "PYTHONPYCACHEPREFIX": str(BYTECODE)}


def run(command: list[str], peer: str, patience_s: float) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.

    Raises:
        MeasureError: It failed.
        subprocess.TimeoutExpired: It took too long, and was ended.
    """
    ended = children.run(command, environment(peer), patience_s)
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["no word"])[-1]
        raise MeasureError(f"ended with {ended.returncode}: {last[:WARNINGS_CHARS]}")
    return ended


def told(ended: subprocess.CompletedProcess[str]) -> Values:
    """Return the JSON object that a process printed last.

    Raises:
        MeasureError: It printed none.
    """
    for line in reversed(ended.stdout.splitlines()):
        if line.startswith("{"):
            found: dict[str, Any] = json.loads(line)
            return found
    raise MeasureError("printed no figures")


def check_installed(peer: str) -> None:
    """Refuse a peer that is not there.

    Raises:
        MeasureError: It is not installed.
    """
    missing = PEERS[peer].missing() if peer in PEERS else None
    if missing:
        raise MeasureError(missing)


def asked_of(measure: str, peer: str, size: Size) -> Values:
    """Return what a measured process is told, whatever it measures.

    Args:
        measure: What, by the name that `benchmarks.inside` has for it.
        peer: Of which peer.
        size: How much.
    """
    best_ns = BEST.learn(LEARNS_S)
    return {"measure": measure, "peer": peer, "best_ns": best_ns, "calm_s": size.calm_s}


def _alone(what: Values, size: Size) -> Values:
    with tempfile.TemporaryDirectory(prefix="remit-bench-") as folder:
        asked = json.dumps({**what, "folder": folder})
        command = [sys.executable, "-m", "benchmarks.inside", asked]
        return told(run(command, what["peer"], size.patience_s))


def inside(
    measure: str, peer: str, size: Size, asked: Mapping[str, object], *, listening: bool = True
) -> Values:
    """Measure a peer in a fresh process, and return what it and the sink say.

    Args:
        measure: What, by the name that `benchmarks.inside` has for it.
        peer: Of which peer.
        size: How much.
        asked: What else the process is told.
        listening: Whether there is a sink.

    Raises:
        MeasureError: It cannot be measured here.
    """
    check_installed(peer)
    what = {**asked_of(measure, peer, size), **asked}
    if not listening:
        return _alone({**what, "port": unused_port()}, size)
    with sink.running() as port:
        values = _alone({**what, "port": port}, size)
        arrived = sink.counts(port)
    # remit sends a span about what it gave up; it is not one of those that were asked for.
    values["arrived"] = (arrived["distinct"] or arrived["spans"]) - arrived["loss"]
    values["cut"] = arrived["cut"]
    values["requests"], values["bytes"] = arrived["requests"], arrived["bytes"]
    if "began_s" in values and "last_s" in arrived:
        values["arrived_s"] = arrived["last_s"] - values["began_s"]
        recorded = values["arrived"] - (values["expected"] - values["recorded"])
        values[RATE] = recorded / values["arrived_s"]
    values["lost"] = max(values["expected"] - values["arrived"], 0)
    return values
