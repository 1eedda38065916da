"""What a limit costs a decorated call: `python -m benchmarks.limits`.

Prints the CPU time of one call of a sync step under an agent that forbids an action, and what is
added by a limit that the step does not count towards, by one that it counts towards, and by three.
The kinds take turns in one process, and the fastest round of each counts, so that a busy machine
disturbs all of them alike. Nothing is delivered.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import remit
from remit._record.items import NoSink
from remit._runtime import setup
from remit.config import Settings

CALLS: Final = 2_000
ROUNDS: Final = 60
MANY: Final = 1_000_000_000
"""A limit that no round reaches."""
FORBIDS: Final = remit.risk(forbids="destroy_data")


@remit.span_type(
    data_risk=remit.risk(allows=("financial_transactions", "read_data"), forbids="others")
)
def pay(amount: int) -> int:
    """Do nothing."""
    return amount


@remit.agent(data_risk=FORBIDS)
def unlimited() -> None:
    """Hold the runs."""


@remit.agent(data_risk=FORBIDS, limits=remit.limits(external_communication=MANY))
def other() -> None:
    """Hold the runs."""


@remit.agent(data_risk=FORBIDS, limits=remit.limits(financial_transactions=MANY))
def one() -> None:
    """Hold the runs."""


@remit.agent(
    data_risk=FORBIDS,
    limits=remit.limits(financial_transactions=MANY, read_data=MANY, steps=MANY),
)
def three() -> None:
    """Hold the runs."""


KINDS: Final[Mapping[str, Any]] = {
    "no limit": unlimited,
    "another word": other,
    "one limit": one,
    "three limits": three,
}


def timed(agent: Any) -> float:
    """Return the microseconds of one call in a run of *agent*."""
    with agent.run():
        began = time.thread_time_ns()
        for number in range(CALLS):
            pay(number)
        return (time.thread_time_ns() - began) / CALLS / 1_000


def measured() -> dict[str, float]:
    """Return the microseconds of one call of each kind."""
    rounds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with setup.isolated(Settings(on_violation="deny"), sink=NoSink()):
        for _ in range(ROUNDS):
            for kind, agent in KINDS.items():
                rounds[kind].append(timed(agent))
    return {kind: min(values) for kind, values in rounds.items()}


def main() -> None:
    """Measure and print."""
    times = measured()
    base = times["no limit"]
    print(f"{'one call':<14}{'us':>7}{'added':>8}")
    for kind, value in times.items():
        print(f"{kind:<14}{value:>7.2f}{value - base:>+8.2f}")


if __name__ == "__main__":
    main()
