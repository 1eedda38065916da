"""How long a bulk of 100 spans takes each 20 ms with readers, against a running `remit serve`.

The database behind it was filled by `load`. Readers are processes of their own, started as
`python -m benchmarks.storage.beside URL TOKEN PAUSE_MS SECONDS PATH...`; each asks its paths one
after the other, and prints what it measured.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import httpx

from benchmarks import children, collector
from benchmarks.storage import synthetic
from benchmarks.storage.long_runs import long_run
from benchmarks.storage.population import MODEL
from remit.collector.times import format_us

EACH_S: Final = 0.02
READERS: Final = 2
PAUSE_MS: Final = 10
PROBE_S: Final = 0.1
START_S: Final = 0.5
"""Time in which the readers start."""
OWN: Final = "/api/remit/v1"
FIELDS: Final = (
    "p50_ms", "p95_ms", "max_ms", "late", "health_max_ms", "log_mb", "reads", "read_p50_ms"
)  # fmt: skip
"""What is measured, in milliseconds and megabytes; `late` counts bulks that began 20 ms late."""
DAY_US: Final = 24 * 3600 * 1_000_000
OPENED: Final = 50_000
"""Steps of the run that a tab opens."""
LIST_MS: Final = 1000
OPENING_MS: Final = 100
LIVE_MS: Final = 2000
"""Pauses of the three tabs between two requests."""


@dataclass(frozen=True)
class Target:
    """A collector: its URL, the secret of an account's token, and the log of its SQLite file."""

    url: str
    token: str
    log: Path | None = None

    def connect(self) -> HTTPConnection:
        """Return a connection."""
        parts = urlsplit(self.url)
        return HTTPConnection(parts.hostname or "127.0.0.1", parts.port)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a request."""
        return {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}


def figures(times_s: Sequence[float]) -> dict[str, float]:
    """Return the median, the 95th percentile and the maximum, in milliseconds."""
    if len(times_s) < 2:
        return dict.fromkeys(("p50_ms", "p95_ms", "max_ms"), (times_s or [0.0])[0] * 1e3)
    return {
        "p50_ms": statistics.median(times_s) * 1e3,
        "p95_ms": statistics.quantiles(times_s, n=20)[-1] * 1e3,
        "max_ms": max(times_s) * 1e3,
    }


class Probe(threading.Thread):
    """Requests `/healthz` and reads the size of the log until it is stopped."""

    def __init__(self, target: Target) -> None:
        """Prepare to ask."""
        super().__init__(daemon=True)
        self._target = target
        self._over = threading.Event()
        self.times_s: list[float] = []
        self.log_bytes = 0

    def run(self) -> None:
        """Ask."""
        connection = self._target.connect()
        while not self._over.wait(PROBE_S):
            began_s = time.perf_counter()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            self.times_s.append(time.perf_counter() - began_s)
            log = self._target.log
            if log is not None and log.exists():
                self.log_bytes = max(self.log_bytes, log.stat().st_size)
        connection.close()

    def stop(self) -> dict[str, float]:
        """Stop; return what was measured."""
        self._over.set()
        self.join()
        health = figures(self.times_s)
        return {"health_max_ms": health["max_ms"], "log_mb": self.log_bytes / 1e6}


def write(target: Target, requests: Sequence[bytes]) -> dict[str, float]:
    """Send a bulk each 20 ms; return how long they took, and how many began late.

    Raises:
        ChildError: The collector rejected one.
    """
    connection, pause = target.connect(), threading.Event()
    times_s: list[float] = []
    late = 0
    due_s = time.perf_counter()
    for body in requests:
        wait_s = due_s - time.perf_counter()
        if wait_s > 0:
            pause.wait(wait_s)
        else:
            late += wait_s < -EACH_S
        began_s = time.perf_counter()
        connection.request("POST", collector.PATH, body, target.headers)
        answer = connection.getresponse()
        text = answer.read()
        times_s.append(time.perf_counter() - began_s)
        if answer.status != 200 or text.count(b'"success"') != collector.BULK + 1:
            raise children.ChildError(f"the collector answered {answer.status}: {text[:200]!r}")
        due_s += EACH_S
    connection.close()
    return {**figures(times_s), "late": late}


def cookie(target: Target) -> str:
    """Sign in to the page; return the cookie of the session.

    Raises:
        ChildError: The page does not take the token.
    """
    connection = target.connect()
    form = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
    connection.request("POST", "/sign-in", urlencode({"secret": target.token}), form)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 303:
        raise children.ChildError(f"the page answered {answer.status}")
    return (answer.headers["set-cookie"] or "").partition(";")[0]


def read(target: Target, paths: Sequence[str], pause_ms: float, seconds: float) -> dict[str, Any]:
    """Ask *paths* one after the other for some seconds; return what was measured."""
    headers = {"Accept-Encoding": "gzip", **target.headers}
    if not paths[0].startswith("/api"):
        headers |= {"Cookie": cookie(target)}
    connection, pause = target.connect(), threading.Event()
    times_s: list[float] = []
    statuses: Counter[int] = Counter()
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        path = paths[len(times_s) % len(paths)]
        began_s = time.perf_counter()
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        times_s.append(time.perf_counter() - began_s)
        statuses[answer.status] += 1
        if pause_ms:
            pause.wait(pause_ms / 1000)
    connection.close()
    return {"asked": len(times_s), **figures(times_s), "statuses": statuses}


def beside(
    target: Target, requests: Sequence[bytes], readers: Sequence[tuple[float, Sequence[str]]]
) -> dict[str, Any]:
    """Send bulks while others read; return the measurements.

    Args:
        target: The collector.
        requests: The bulks.
        readers: The pause in milliseconds, and the paths, of each reader.

    Raises:
        ChildError: The collector rejected a request.
    """
    seconds = len(requests) * EACH_S + START_S
    with ExitStack() as stack:
        processes: list[subprocess.Popen[str]] = []
        for pause_ms, paths in readers:
            command = [sys.executable, "-m", __name__, target.url, target.token]
            command += [str(pause_ms), str(seconds), *paths]
            started = children.started(
                command, children.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            processes.append(stack.enter_context(started))
        probe = Probe(target)
        probe.start()
        threading.Event().wait(START_S)
        written = write(target, requests)
        measured: dict[str, Any] = {**written, **probe.stop()}
        answers = [children.figures(*process.communicate()) for process in processes]
    statuses: Counter[str] = Counter()
    for answer in answers:
        statuses.update(answer["statuses"])
    # 204 is the answer if nothing has changed.
    if set(statuses) - {"200", "204"}:
        raise children.ChildError(f"readers were answered {dict(statuses)}")
    if answers:
        measured["read_p50_ms"] = max(answer["p50_ms"] for answer in answers)
        measured["reads"] = sum(answer["asked"] for answer in answers)
    return measured


def paths(http: httpx.Client) -> tuple[list[str], str, dict[str, str]]:
    """Return what readers ask, the risk of an agent, and the place of the bulks."""
    agents = http.get("/api/v1/agent").raise_for_status().json()["summaries"]
    environments = http.get("/api/v1/environment").raise_for_status().json()["summaries"]
    agent = min(agents, key=lambda summary: str(summary["name"]))["id"]
    until_us = synthetic.UNTIL_MS * 1000

    def times(days: int) -> str:
        since, until = format_us(until_us - days * DAY_US), format_us(until_us)
        return f"since={quote(since)}&until={quote(until)}"

    newest = http.get(f"{OWN}/runs?limit=1").raise_for_status().json()["runs"][0]["id"]
    cursor = http.get(f"{OWN}/changes?limit=1").raise_for_status().json()["cursor"]
    label = quote("=".join(synthetic.LABEL))
    asked = [
        f"{OWN}/runs",
        f"{OWN}/runs?status=failed",
        f"{OWN}/runs?agent_id={agent}&status=terminated",
        f"{OWN}/runs?label={label}",
        f"{OWN}/spans?run_id={newest}",
        f"{OWN}/spans?type={MODEL}&{times(1)}",
        f"{OWN}/spans?flag=denied&{times(7)}",
        f"{OWN}/spans?status=failed&{times(7)}",
        f"{OWN}/counts?by=type&{times(30)}",
        f"{OWN}/counts?by=day&{times(30)}",
        f"{OWN}/counts?of=runs&by=hour&{times(30)}",
        f"{OWN}/changes?after={quote(str(cursor))}",
    ]
    place = {"agent_id": agent, "environment_id": environments[0]["id"]}
    return asked, f"/api/v1/agent/{agent}/risk", place


def tabs(
    http: httpx.Client, target: Target, place: dict[str, str]
) -> list[tuple[float, Sequence[str]]]:
    """Return the readers of three tabs: the list, a long run that is opened, one that goes on."""
    run = long_run(http, place, OPENED)
    with httpx.Client(base_url=target.url, headers={"Cookie": cookie(target)}) as page:
        outline = f"/runs/{run}/outline"
        opening = [f"/runs/{run}", outline]
        answer = page.get(outline).raise_for_status().json()
        live = f"/live?run={run}&since={answer['cursor']}"
        while answer["next"]:
            opening.append(f"{outline}?after={answer['next']}")
            answer = page.get(opening[-1]).raise_for_status().json()
    return [(LIST_MS, ["/runs"]), (OPENING_MS, opening), (LIVE_MS, [live])]


def measure(target: Target, seconds: float) -> dict[str, dict[str, Any]]:
    """Return the measurements without readers, and with readers of several kinds.

    Raises:
        ChildError: The collector rejected a request.
    """
    count = int(seconds / EACH_S)
    headers = {"Authorization": f"Bearer {target.token}"}
    with httpx.Client(base_url=target.url, headers=headers, timeout=children.PATIENCE_S) as http:
        asked, risk, place = paths(http)
        # The first requests open connections and prepare statements.
        write(target, collector.bodies(http, collector.WARM_BULKS, place))
        cases: dict[str, Sequence[tuple[float, Sequence[str]]]] = {
            "nobody reads": (),
            f"{READERS} readers, {PAUSE_MS} ms apart": [(PAUSE_MS, asked)] * READERS,
            "the risk of an agent, without a pause": [(0, [risk])],
            f"three tabs, one opens a run of {OPENED:,}": tabs(http, target, place),
        }
        return {
            name: beside(target, collector.bodies(http, count, place), readers)
            for name, readers in cases.items()
        }


def main() -> None:
    """Read in this process, and print what was measured."""
    url, token, pause_ms, seconds, *asked = sys.argv[1:]
    print(json.dumps(read(Target(url, token), asked, float(pause_ms), float(seconds))))


if __name__ == "__main__":
    main()
