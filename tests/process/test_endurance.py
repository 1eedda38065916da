"""Programs that record for long, while the back end is down, silent, slow or well.

A few seconds of each here; `REMIT_TEST_SPANS=1000000` for as many spans as the guarantees name.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import sink
from tests.endurance import (
    MIB,
    Ended,
    Place,
    items_in,
    lost,
    sent,
    sizes_of,
    stale_s,
    states_of,
    steps_of,
    watched,
)
from tests.inside import Loss
from tests.loopback import unused_port

SPANS = int(os.environ.get("REMIT_TEST_SPANS", "20000"))
"""How many each program records; 1,000,000 on a long night."""
AT_LEAST_S = 2.0
"""How long a program records that is looked at while it does."""
FULL = SPANS >= 1_000_000
SHORT_TEXT_CHARS = 100 if FULL else 200
LONG_TEXT_CHARS = 100 if FULL else 1000
MAX_BUFFER_MIB = 64
OVERHEAD_MIB = 32
GROWTH_MIB = 4
EXIT_TIMEOUT_S = 5.0
"""The exit writes to the disk, which takes seconds on a busy machine."""
# Far above the promise: unit tests check the deadline with a fake clock.
EXIT_S = 4 * EXIT_TIMEOUT_S
INTERVAL_S = 0.1
MAX_LAG_S = 20 * INTERVAL_S
LONG_S = 10 * MAX_LAG_S if FULL else 2 * MAX_LAG_S
# Large enough for everything, and small enough that the log goes into the file more than once.
ROOMY_SPOOL_BYTES = (1024 if FULL else 64) * MIB
# A transaction may be longer than what SQLite keeps of its log.
MAX_LOG_BYTES = 16 * MIB
# A busy machine may hold up one call; what waits for the disk is seen in the count of writes.
SLOWEST_S = 10.0
KEEP_UP_ITEMS = 20_000
US_PER_S = 1e6

pytestmark = [
    pytest.mark.gate,
    pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: reads /proc"),
    pytest.mark.timeout(120 + SPANS // 2_000),
]


@dataclass(frozen=True)
class Outage:
    """A program that recorded while its back end was down, and what became of it afterwards.

    Attributes:
        place: Where it recorded to.
        bare: The same program without remit.
        program: The program.
        waiting: Sizes of the files that it left in the spool.
        heir: What sent them when the back end was there again.
        arrived: What the back end counted then.
    """

    place: Place
    bare: Ended
    program: Ended
    waiting: dict[str, int]
    heir: Ended
    arrived: Counter[str]


@pytest.fixture(scope="module")
def outage(tmp_path_factory: pytest.TempPathFactory) -> Outage:
    """Return how an outage went."""
    place = Place(tmp_path_factory.mktemp("outage"), unused_port())
    bare = watched(place, SPANS, "--bare")
    program = watched(place, SPANS, "--meet-trouble", exit_timeout_s=EXIT_TIMEOUT_S)
    waiting = sizes_of(place.spool)
    with sink.running("--port", str(place.port)) as port:
        heir = sent(place)
        return Outage(place, bare, program, waiting, heir, sink.counts(port))


def test_an_outage_takes_no_more_memory_than_is_allowed(outage: Outage) -> None:
    """The bound of the buffer and 32 MiB beyond the bare program; sending it later, too."""
    allowed_mib = outage.bare.peak_mib + MAX_BUFFER_MIB + OVERHEAD_MIB
    assert outage.program.peak_mib <= allowed_mib
    assert max(sample.memory_kib for sample in outage.heir.samples) / 1024 <= allowed_mib


def test_an_outage_is_said_in_one_line(outage: Outage) -> None:
    """The line names the place of the waiting items; the exit adds none."""
    (trouble,) = outage.program.said
    assert trouble.startswith("nothing can be delivered to")
    assert str(outage.place.spool) in trouble


def test_an_outage_delays_no_call_and_holds_no_exit(outage: Outage) -> None:
    """The thread that calls writes nothing, so it waits for no disk either."""
    told = outage.program.told
    assert told["max_us"] <= SLOWEST_S * US_PER_S
    assert told["writes"] <= outage.bare.told["writes"]
    assert outage.program.exit_s <= EXIT_S


def test_what_an_outage_held_up_is_delivered_once_when_it_is_over(outage: Outage) -> None:
    """Nothing was given up, and the folder of the spool is empty again."""
    assert outage.program.told["dropped"] == {}
    assert outage.program.told["faults"] == {}
    assert outage.arrived["step"] == SPANS
    assert outage.arrived["cut"] == 0
    assert outage.arrived["spans"] == outage.arrived["distinct"]
    assert sum(outage.waiting.values()) > 0
    assert sizes_of(outage.place.spool) == {}


@pytest.mark.parametrize(
    ("spool_bytes", "text_chars"),
    [
        pytest.param((200 if FULL else 16) * MIB, LONG_TEXT_CHARS, id="long texts"),
        pytest.param((50 if FULL else 3) * MIB, SHORT_TEXT_CHARS, id="short texts"),
    ],
)
def test_a_small_spool_stays_small_and_counts_what_goes(
    tmp_path: Path, spool_bytes: int, text_chars: int
) -> None:
    """All that went is counted, and the rest arrives once."""
    place = Place(tmp_path / "data", unused_port())
    options = ("--text-chars", text_chars, "--at-least-s", AT_LEAST_S, "--meet-trouble")
    program = watched(
        place,
        SPANS,
        *options,
        max_spool_bytes=spool_bytes,
        flush_interval_s=0.1,
        exit_timeout_s=EXIT_TIMEOUT_S,
    )
    assert program.spool_bytes <= spool_bytes
    (trouble,) = program.said
    assert trouble.startswith("nothing can be delivered to")
    given_up, kept = lost(program), steps_of(items_in(place.spool))
    assert given_up[Loss.SPOOL_FULL] > 0
    assert len(kept) + given_up[Loss.SPOOL_FULL] + given_up[Loss.BUFFER_FULL] == SPANS
    with sink.running("--port", str(place.port)) as port:
        sent(place)
        arrived = sink.counts(port)
    assert arrived["spans"] == arrived["distinct"]
    assert (arrived["step"], arrived["cut"]) == (len(kept), states_of(kept).count("c"))
    assert sizes_of(place.spool) == {}


@pytest.mark.full
def test_a_silent_back_end_slows_no_callback_and_holds_nothing_in_memory(tmp_path: Path) -> None:
    """What is recorded is on disk soon, by our word and by the file itself."""
    seen: list[tuple[float, float]] = []
    with sink.running("--silent") as port:
        place = Place(tmp_path, port)

        def look() -> None:
            age_s = stale_s(place.spool)
            if age_s is not None:
                seen.append((time.monotonic(), age_s))

        options = ("--loop", "--at-least-s", LONG_S)
        program = watched(place, SPANS, *options, look=look, flush_interval_s=INTERVAL_S)
    told = program.told
    assert told["slow"] == []
    assert program.exit_s <= EXIT_S
    assert told["dropped"] == {}
    assert told["lag_s"] < MAX_LAG_S
    ages = [min(age_s, at_s - told["began_s"]) for at_s, age_s in seen if at_s < told["over_s"]]
    assert 0 < max(ages) < MAX_LAG_S


@pytest.mark.full
@pytest.mark.parametrize("runs", [1, SPANS // 200], ids=["in one run", "in many runs"])
def test_memory_stays_flat_while_all_is_delivered(tmp_path: Path, runs: int) -> None:
    """Each span arrives once; the file of the spool is gone in the end."""
    with sink.running() as port:
        place = Place(tmp_path, port)
        options = ("--runs", runs, "--nested", "--flush-s", 600, "--at-least-s", AT_LEAST_S)
        # Each run that waits takes memory: of a program that is quicker than its sender, more and
        # more do.
        paced = ("--keep-up", KEEP_UP_ITEMS)
        program = watched(place, SPANS // 2, *options, *paced, flush_interval_s=0.1)
        arrived = sink.counts(port)
    assert program.said == []
    assert program.told["dropped"] == {}
    assert arrived["step"] == arrived["outer"] == SPANS // 2 + 1
    assert arrived["run"] == runs + 1
    assert arrived["spans"] == arrived["distinct"]
    assert program.memory_mib(0.75, 1.0) - program.memory_mib(0.25, 0.5) <= GROWTH_MIB
    assert sizes_of(place.spool) == {}


@pytest.mark.full
def test_a_slow_back_end_lets_no_write_ahead_log_grow(tmp_path: Path) -> None:
    """It goes into the file when it is as long as it may be, whatever waits to be sent."""
    options = ("--text-chars", LONG_TEXT_CHARS)
    with sink.running("--delay-s", "0.3") as port:
        place = Place(tmp_path, port)
        program = watched(place, SPANS, *options, max_spool_bytes=ROOMY_SPOOL_BYTES)
    assert program.told["dropped"] == {}
    assert 0 < program.told["sent"] < SPANS
    assert program.spool_bytes > MAX_LOG_BYTES, "too little was written"
    assert program.log_bytes <= MAX_LOG_BYTES
