"""The program that meets the faults: `python -m tests.faults.program bare|remit [trouble]`.

It answers questions with steps of its own, sync and async, while a ticker watches the event loop.
When the parent says that the back end has recovered it does the same again, flushes, and prints
one line of JSON: what it computed, what it felt, what was said.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import remit

# Names what makes pydantic load all of itself: that is no memory of what remit has to do.
_ = remit.DataRisk

T = TypeVar("T", bound=Callable[..., object])
Answer: TypeAlias = Callable[[int], Awaitable[list[object]]]

STEPS = 40
# So often a large text is read.
BIG_EVERY = 20
BIG_CHARS = 40_000
TICK_S = 0.02
FLUSH_S = 60.0
NOTICE_S = 60.0
HOUR_NS = 3_600_000_000_000


class Said(logging.Handler):
    """Keeps every line that remit logs.

    Attributes:
        lines: What was said.
        trouble: Set when there was a warning.
    """

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__()
        self.lines: list[str] = []
        self.trouble = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self.lines.append(f"{record.levelname} {record.getMessage()}")
        if record.levelno >= logging.WARNING:
            self.trouble.set()


class Felt:
    """What the program feels of being watched.

    Attributes:
        slowest_ms: The slowest call of a step.
        lag_ms: The longest that the event loop was held up.
        first_ms: Both of them, at the start.
    """

    def __init__(self) -> None:
        """Begin with nothing felt."""
        self.slowest_ms = 0.0
        self.lag_ms = 0.0
        self.first_ms = (0.0, 0.0)

    def go_on(self) -> None:
        """Take note that the start is over: what is imported, is."""
        self.first_ms = (self.slowest_ms, self.lag_ms)
        self.slowest_ms = self.lag_ms = 0.0

    def timed(self, call: Callable[[], Any]) -> Any:
        """Make a call and take note of how long it took."""
        began = time.perf_counter()
        result = call()
        self.slowest_ms = max(self.slowest_ms, (time.perf_counter() - began) * 1000)
        return result

    async def watch(self) -> None:
        """Tick, and take note of late ticks."""
        while True:
            began = time.perf_counter()
            await asyncio.sleep(TICK_S)
            late_s = time.perf_counter() - began - TICK_S
            self.lag_ms = max(self.lag_ms, late_s * 1000)


def hold_names(recovered: threading.Event) -> None:
    """Have every look-up of a name wait until the recovery, as with a resolver that is gone."""
    resolve = socket.getaddrinfo

    def waiting(*args: Any, **kwargs: Any) -> Any:
        recovered.wait()
        return resolve(*args, **kwargs)

    socket.getaddrinfo = waiting


class Decorator(Protocol):
    """Leaves a function's type as it is."""

    def __call__(self, function: T, /) -> T:
        """Decorate *function*."""
        ...


def bare(function: T) -> T:
    """Decorate nothing."""
    return function


def program(watched: bool, felt: Felt) -> Answer:
    """Return the agent, decorated or bare."""
    step: Decorator = remit.span_type if watched else bare

    @step
    def look_up(number: int) -> dict[str, int]:
        return {"number": number, "square": number * number}

    @step
    def refuse(number: int) -> None:
        message = f"{number} is odd"
        raise ValueError(message)

    @step
    def read(text: str) -> int:
        return len(text)

    @step
    async def wait(number: int) -> int:
        await asyncio.sleep(TICK_S)
        return -number

    async def answer(number: int) -> list[object]:
        found: list[object] = [felt.timed(lambda: look_up(number)), await wait(number)]
        try:
            felt.timed(lambda: refuse(number))
        except ValueError as error:
            found.append(str(error))
        if number % BIG_EVERY == 0:
            found.append(felt.timed(lambda: read("x" * BIG_CHARS)))
        return found

    return remit.agent(answer) if watched else answer


def memory_mib() -> float:
    """Return the most memory that this process had; what `getrusage` says begins before it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(peak) / 1024


def jump(ns: int) -> None:
    """Move the machine's clock, as remit and everything else here reads it."""
    shown, shown_ns = time.time, time.time_ns
    time.time = lambda: shown() + ns / 1e9
    time.time_ns = lambda: shown_ns() + ns


async def main(watched: bool, trouble: str) -> dict[str, object]:
    """Run the program; return the report."""
    loop = asyncio.get_running_loop()
    recovered = threading.Event()
    said, felt = Said(), Felt()
    logger = logging.getLogger("remit")
    logger.addHandler(said)
    logger.setLevel(logging.INFO)
    if trouble == "names":
        hold_names(recovered)
    answer = program(watched, felt)
    watcher = asyncio.create_task(felt.watch())
    results = [await answer(number) for number in range(STEPS // 2)]
    if trouble == "refusal":
        # Nobody else can tell when it was noticed.
        await loop.run_in_executor(None, said.trouble.wait, NOTICE_S)
    felt.go_on()
    jumps = {"forth": HOUR_NS, "back": -HOUR_NS}
    jump(jumps.get(trouble, 0))
    results += [await answer(number) for number in range(STEPS // 2, STEPS)]
    print("ready", flush=True)  # noqa: T201 - the parent waits for it
    await loop.run_in_executor(None, sys.stdin.readline)
    recovered.set()
    results += [await answer(number) for number in range(STEPS)]
    delivery = await delivered() if watched else {}
    watcher.cancel()
    return {
        "results": results,
        "slowest_ms": felt.slowest_ms,
        "lag_ms": felt.lag_ms,
        "first_ms": felt.first_ms,
        "memory_mib": memory_mib(),
        "log": said.lines,
        **delivery,
    }


async def delivered() -> dict[str, object]:
    """Flush, and return what became of what was recorded."""
    flushed = await remit.aflush(FLUSH_S)
    status = remit.status()
    return {
        "pending": flushed.pending,
        "set_aside": dict(status.set_aside),
        "dropped": dict(status.dropped),
        "faults": dict(status.faults),
    }


if __name__ == "__main__":
    report = asyncio.run(main(sys.argv[1] == "remit", sys.argv[2]))
    print(json.dumps(report), flush=True)  # noqa: T201 - what the parent reads
