"""Measure remit and its peers: `python -m benchmarks [HEADLINE ...] [--quick]`.

pyperf measures calls and imports; its results stay in `build/benchmarks`, where `pyperf compare_to`
can read them. Rates, the outage and the collector have loops of their own. A run of all headlines
writes `docs/understand/benchmarks.md` and its pictures, a quick one a copy in
`build/benchmarks-quick`; a run of some headlines prints their tables. Nothing passes or fails by
time.

`python -m benchmarks storage --help` measures databases of a million runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import pyperf

from benchmarks import (
    children,
    collector,
    integrations,
    outage,
    page,
    peers,
    report,
    runs,
    throughput,
    web,
)
from benchmarks.storage import command as storage
from tests import sink

VERSIONS: Final = (
    "remit", "ddtrace", "sentry-sdk", "opentelemetry-sdk", "logfire", "langfuse", "prefactor-core",
    "pydantic", "msgspec", "wrapt", "httpx", "fastapi", "uvicorn", "pyperf",
)  # fmt: skip
THREADS: Final = (1, 8)
DELAYS: Final = {"": 0.0, " far": 0.05}
"""Seconds before each answer of the server, by the end of the name of a field."""
AT_LENGTH: Final = ("bare", "remit", "ddtrace")
"""The peers that record all spans of an outage, however long they take."""


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        folder: The directory of the results, below `build`.
        peers: The peers whose calls and rates are measured.
        outage_peers: The peers that record in an outage.
        rounds: Measurements of calls, rates and collectors. Several, because a machine that others
            use too can be slow for a minute.
        calls: Options of pyperf for calls, in each round.
        imports: Options of pyperf for imports.
        seconds: Time for which a rate is recorded; a slow peer records in an outage for five times
            as long.
        spans: Spans that are recorded for a rate, and five times as many in an outage.
        runs: Short runs that are recorded for their rate.
        accepted: Spans that a collector is sent.
    """

    folder: str
    peers: Sequence[str]
    outage_peers: Sequence[str]
    rounds: int
    calls: str
    imports: str
    seconds: float
    spans: int
    runs: int
    accepted: int


ALL: Final = tuple(peers.PEERS)
FULL: Final = Size(
    folder="benchmarks", peers=ALL, outage_peers=ALL, rounds=5,
    calls="--processes=1 --values=3", imports="--processes=5 --values=3",
    seconds=2.0, spans=200_000, runs=10_000, accepted=50_000,
)  # fmt: skip
QUICK: Final = Size(
    folder="benchmarks-quick", peers=peers.OFTEN, outage_peers=AT_LENGTH, rounds=1,
    calls="--processes=1 --values=2 --loops=1000", imports="--processes=1 --values=1",
    seconds=0.5, spans=20_000, runs=1_000, accepted=4_000,
)  # fmt: skip


class Run:
    """One run: what it measured, and what it could not measure."""

    def __init__(self, size: Size) -> None:
        """Begin without any figure."""
        self.size = size
        self.folder = children.ROOT / "build" / size.folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.results: report.Results = {"machine": machine(), "failures": []}

    def rounds(self) -> Iterator[Sequence[str]]:
        """Yield the peers that each round measures: all in the first."""
        yield self.size.peers
        yield from [peers.OFTEN] * (self.size.rounds - 1)

    def add(self, headline: str, peer: str, **values: float) -> None:
        """Keep one value of each field."""
        fields = self.results.setdefault(headline, {}).setdefault(peer, {})
        for field, value in values.items():
            fields.setdefault(field, []).append(value)

    @contextmanager
    def attempt(self, headline: str, peer: str) -> Generator[None]:
        """Keep the reason where a measurement in the block fails."""
        try:
            yield
        except (children.ChildError, OSError, subprocess.SubprocessError) as error:
            # The message of a time limit contains the command, with directories of this machine.
            late = isinstance(error, subprocess.TimeoutExpired)
            reason = f"took more than {children.PATIENCE_S:.0f} s" if late else str(error)
            self.results["failures"].append(f"{headline}, {peer}: {reason}")

    def pyperf(self, headline: str, peer: str, *options: str) -> None:
        """Run a script of pyperf, and append what it measured to the headline's file."""
        command = [sys.executable, "-m", f"benchmarks.{headline}", "--quiet", *options]
        command += ["--append", str(self.folder / f"{headline}.json")]
        command += ["--timeout", f"{children.PATIENCE_S:.0f}"]
        # pyperf hands a worker no variable that is not named.
        command += ["--inherit-environ", "PYDANTIC_DISABLE_PLUGINS"]
        done = children.run(command, children.environment(peer))
        if done.returncode:
            raise children.ChildError((done.stderr.strip().splitlines() or ["no message"])[-1])

    def loaded(self, headline: str) -> Iterator[tuple[str, list[float]]]:
        """Yield the names and values in a headline's file of pyperf."""
        path = self.folder / f"{headline}.json"
        if path.exists():
            for benchmark in pyperf.BenchmarkSuite.load(str(path)).get_benchmarks():
                yield benchmark.get_name(), list(benchmark.get_values())


def calls(run: Run) -> None:
    """Measure what a call costs its caller."""
    options = run.size.calls.split()
    for names in run.rounds():
        for peer in names:
            with run.attempt("calls", peer), sink.running(module=children.SINK) as port:
                run.pyperf("calls", peer, "--peer", peer, "--port", str(port), *options)
    for name, values in run.loaded("calls"):
        peer, _, case = name.partition(" ")
        for value in values:
            run.add("calls", peer, **{case: value * 1e6})


def imports(run: Run) -> None:
    """Measure what an import costs."""
    with run.attempt("imports", "all"):
        run.pyperf("imports", "logfire", *run.size.imports.split())
    for name, values in run.loaded("imports"):
        for value in values:
            run.add("imports", name, ms=value * 1e3)


def rates(run: Run) -> None:
    """Measure delivered spans a second."""
    for names in run.rounds():
        for threads in THREADS:
            for peer in names[1:]:
                if threads > 1 and peers.PEERS[peer].in_loop_only:
                    continue
                with run.attempt("throughput", peer):
                    values = throughput.measure(peer, threads, run.size.spans, run.size.seconds)
                    named = {f"{field} {threads}": value for field, value in values.items()}
                    run.add("throughput", peer, **named)


def short_runs(run: Run) -> None:
    """Measure short runs delivered a second, to a server on loopback and to one far away."""
    for names in run.rounds():
        for peer in names[1:]:
            for suffix, delay_s in DELAYS.items():
                with run.attempt("runs", peer):
                    values = runs.measure(peer, run.size.runs, run.size.seconds, delay_s)
                    named = {f"{field}{suffix}": value for field, value in values.items()}
                    run.add("runs", peer, **named)


def requests(run: Run) -> None:
    """Measure a service of FastAPI."""
    for names in run.rounds():
        for peer in names:
            with run.attempt("web", peer):
                run.add("web", peer, **web.measure(peer, run.size.seconds))


def steps(run: Run) -> None:
    """Measure the steps of integrations."""
    for _ in range(run.size.rounds):
        for case in integrations.CASES:
            with run.attempt("integrations", case):
                run.add("integrations", case, **integrations.measure(case))


def outages(run: Run) -> None:
    """Measure an outage."""
    for peer in run.size.outage_peers:
        seconds = children.PATIENCE_S if peer in AT_LENGTH else 5 * run.size.seconds
        with run.attempt("outage", peer):
            values = outage.measure(peer, 5 * run.size.spans, seconds)
            if raised := values.pop("raised"):
                raise children.ChildError(f"the program raises {raised}")
            run.add("outage", peer, **values)


def collectors(run: Run) -> None:
    """Measure what the collector accepts."""
    for _ in range(run.size.rounds):
        for store in collector.STORES:
            with run.attempt("collector", store):
                run.add("collector", store, **collector.measure(store, run.size.accepted))


def pages(run: Run) -> None:
    """Measure the page of a collector in a browser."""
    for _ in range(run.size.rounds):
        with run.attempt("page", "remit"):
            for part, values in page.measure().items():
                run.add("page", part, **values)


HEADLINES: Final[dict[str, Callable[[Run], None]]] = {
    "calls": calls,
    "throughput": rates,
    "runs": short_runs,
    "web": requests,
    "integrations": steps,
    "imports": imports,
    "outage": outages,
    "collector": collectors,
    "page": pages,
}


def machine() -> dict[str, Any]:
    """Return what is measured on."""
    info = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", info.read_text() if info.exists() else "")
    versions: dict[str, Any] = {}
    for name in VERSIONS:
        try:
            versions[f"`{name}`"] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[f"`{name}`"] = "not installed"
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "load before": round(os.getloadavg()[0], 1),
        "system": platform.system(),
        "python": platform.python_version(),
        **versions,
    }


def main() -> None:
    """Measure what is asked for, print it, and write the page after a run of all headlines."""
    if sys.argv[1:2] == ["storage"]:
        storage.main(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("headlines", nargs="*", metavar="HEADLINE",
                        help=f"some of {', '.join(HEADLINES)}; all without")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="a little of it, in about a minute")
    options = parser.parse_args()
    unknown = [name for name in options.headlines if name not in HEADLINES]
    if unknown:
        parser.error(f"there is no headline {unknown[0]}; expected {', '.join(HEADLINES)}")
    run = Run(QUICK if options.quick else FULL)
    began_s = time.monotonic()
    for name in options.headlines or HEADLINES:
        (run.folder / f"{name}.json").unlink(missing_ok=True)
        headline_began_s = time.monotonic()
        HEADLINES[name](run)
        print(f"{name}: {time.monotonic() - headline_began_s:.0f} s", file=sys.stderr, flush=True)
    run.results["machine"]["took"] = f"{(time.monotonic() - began_s) / 60:.1f} minutes"
    (run.folder / "results.json").write_text(json.dumps(run.results, indent=1))
    for name in ("budgets", *(options.headlines or HEADLINES), "failures"):
        print(f"{name}\n\n{report.SECTIONS[name](run.results)}\n")
    if not options.headlines:
        written = run.folder / "benchmarks.md" if options.quick else report.PAGE
        report.write(run.results, written)
        print(f"written to {written.relative_to(children.ROOT)}")


if __name__ == "__main__":
    # The end of this process ends what it has started, and removes their directories.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    main()
