"""A program that records spans and measures itself: `python -m tests.endurance_program SPANS`.

Without remit it does the same work bare. It prints one JSON object when everything else, the
interpreter's exit hooks included, is over.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import heapq
import json
import logging
import sys
import threading
import time
from array import array
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any

BATCH = 20
"""Calls between two breaths: about a third of a millisecond in a loop."""
LOOK_EVERY_S = 0.02
SLOW_S = 0.5
"""A callback that waits for a network takes longer."""
US_PER_S = 1e6
NS_PER_US = 1e3
NS_PER_S = 1e9
NOTICE_S = 60.0
WORD = "where is my order? "

told: dict[str, Any] = {}


class SlowCallbacks(logging.Handler):
    """Collects what asyncio's debug mode says of slow callbacks.

    Attributes:
        said: What it said.
    """

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line."""
        if record.msg.startswith("Executing"):
            self.said.append(record.getMessage()[-60:])


def peak_kib() -> int:
    """Return the most memory that this process ever had."""
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in status if line.startswith("VmHWM:")]
    return int(line.split()[1])


def writes_of_this_thread() -> int:
    """Return how many calls of the system that write this thread has made."""
    counted = Path("/proc/thread-self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in counted)["syscw"])


def due(number: int, options: argparse.Namespace, began_s: float) -> float:
    """Return the seconds until the call of this number is due, if the work is to take a while."""
    at_s: float = began_s + options.at_least_s * number / options.spans
    return max(0.0, at_s - time.monotonic())


def work(
    call: Callable[[int, str], object], numbers: range, taken: array[int], pause: Callable[..., Any]
) -> None:
    """Make calls, and note how long each takes."""
    clock, text = time.perf_counter_ns, told["text"]
    for number in numbers:
        if number % BATCH == 0:
            pause(number)
        began = clock()
        call(number, text)
        taken[number] = clock() - began


async def work_in_loop(
    call: Callable[[int, str], Awaitable[object]],
    numbers: range,
    taken: array[int],
    pause: Callable[[int], float],
) -> None:
    """Make calls in a loop that says which callbacks are slow, and note how long each takes."""
    asyncio.get_running_loop().slow_callback_duration = SLOW_S
    clock, text = time.perf_counter_ns, told["text"]
    for number in numbers:
        if number % BATCH == 0:
            await asyncio.sleep(pause(number))
        began = clock()
        await call(number, text)
        taken[number] = clock() - began


def answer(number: int, text: str) -> dict[str, object]:
    """Return a small answer to a question."""
    return {"order": number, "asked": len(text), "answer": "it is on its way to you"}


async def answer_later(number: int, text: str) -> dict[str, object]:
    """Return the same, in a coroutine."""
    return answer(number, text)


def around(step: Callable[[int, str], object]) -> Callable[[int, str], object]:
    """Return a function that calls *step*."""

    def outer(number: int, text: str) -> object:
        return step(number, text)

    return outer


def decorated(options: argparse.Namespace) -> tuple[Any, Callable[[], AbstractContextManager[Any]]]:
    """Return the function that is called, and what opens a run around calls."""
    function: Any = answer_later if options.loop else answer
    if options.bare:
        return function, nullcontext
    import remit  # noqa: PLC0415 - the bare program does without

    step = remit.span_type("endurance:step")(function)
    if options.nested:
        step = remit.span_type("endurance:outer")(around(step))

    @remit.agent("Endurance")
    def agent() -> None:
        """Hold the runs."""

    return step, agent.run


def look_at_lag(over: threading.Event) -> None:
    """Keep the longest lag of the writer, as it tells itself, until all is over."""
    import remit  # noqa: PLC0415 - the bare program does without

    told["lag_s"] = 0.0
    while not over.wait(LOOK_EVERY_S):
        told["lag_s"] = max(told["lag_s"], remit.status().writer_lag_s)


def wait_for_trouble() -> None:
    """Wait until remit has met what is wrong with the back end."""
    pause, over_s = threading.Event(), time.monotonic() + NOTICE_S
    while sys.modules["remit"].status().last_error is None and time.monotonic() < over_s:
        pause.wait(LOOK_EVERY_S)


def wait_while_more_wait(items: int | None, pause: threading.Event) -> None:
    """Wait until no more than *items* recorded items are still to be sent, if that is given."""
    while items is not None and sys.modules["remit"].status().pending > items:
        pause.wait(LOOK_EVERY_S)


def record(options: argparse.Namespace) -> array[int]:
    """Do the work of the program; return what each call took, in nanoseconds."""
    step, run = decorated(options)
    if options.flush_s:
        # What is loaded at the first request has its place in memory before it is looked at.
        with run():
            step(options.spans, told["text"])
        sys.modules["remit"].flush(options.flush_s)
    taken = array("Q", bytes(8 * options.spans))
    each, began_s = options.spans // options.runs, time.monotonic()
    breathe = threading.Event()

    def wait(number: int) -> None:
        breathe.wait(due(number, options, began_s))
        if number == BATCH and options.meet_trouble:
            wait_for_trouble()

    writes = writes_of_this_thread()
    for first in range(0, options.spans, each):
        numbers = range(first, first + each)
        with run():
            if options.loop:
                slow = SlowCallbacks()
                logging.getLogger("asyncio").addHandler(slow)
                loop = work_in_loop(step, numbers, taken, lambda n: due(n, options, began_s))
                asyncio.run(loop, debug=True)
                told["slow"] = slow.said
            else:
                work(step, numbers, taken, wait)
        wait_while_more_wait(options.keep_up, breathe)
    told["writes"] = writes_of_this_thread() - writes
    told["began_s"], told["recorded_s"] = began_s, time.monotonic() - began_s
    return taken


def main() -> None:
    """Record, and have the figures printed at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spans", type=int)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--keep-up", type=int, help="begin no run while more items wait than this")
    parser.add_argument("--text-chars", type=int, default=100)
    parser.add_argument("--at-least-s", type=float, default=0.0, help="spread the calls over this")
    parser.add_argument("--bare", action="store_true", help="without remit")
    parser.add_argument("--meet-trouble", action="store_true", help="go on when it was met")
    parser.add_argument("--nested", action="store_true", help="each span below another")
    parser.add_argument("--loop", action="store_true", help="in an event loop in debug mode")
    parser.add_argument(
        "--flush-s", type=float, default=0.0, help="flush after one call, and at the end"
    )
    options = parser.parse_args()
    atexit.register(tell)
    told["text"] = (WORD * (1 + options.text_chars // len(WORD)))[: options.text_chars]
    over = threading.Event()
    looking = threading.Thread(target=look_at_lag, args=(over,))
    if options.loop and not options.bare:
        looking.start()
    taken = record(options)
    over.set()
    if options.flush_s:
        sys.modules["remit"].flush(options.flush_s)
    told["delivered_s"] = time.monotonic() - told["began_s"]
    slowest = heapq.nlargest(1 + len(taken) // 1000, taken)
    told["first_us"], told["p50_us"] = taken[0] / NS_PER_US, median(taken[::100]) / NS_PER_US
    told["p999_us"], told["max_us"] = slowest[-1] / NS_PER_US, slowest[0] / NS_PER_US
    told["over_s"] = time.monotonic()


def tell() -> None:
    """Print the figures: registered first, so the last of the exit hooks."""
    told["hooks_s"] = time.monotonic() - told["over_s"]
    told["peak_kib"] = peak_kib()
    remit: Any = sys.modules.get("remit")
    if remit is not None:
        status = remit.status()
        told["sent"], told["spooled"] = status.sent, status.spooled
        told["dropped"], told["faults"] = status.dropped, status.faults
    print(json.dumps(told))  # noqa: T201 - what the program is for


if __name__ == "__main__":
    main()
