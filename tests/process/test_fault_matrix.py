"""The fault matrix: whatever the back end does, the program does not notice and nothing is lost."""

from __future__ import annotations

import os

import pytest

from tests.faults.matrix import (
    RUNS,
    SPANS,
    Case,
    Outcome,
    Report,
    bare,
    meet,
    meet_all,
    moments,
)

FULL = "REMIT_TEST_FULL" in os.environ
# A call takes less than a millisecond once all is imported, and the event loop is held for a few.
# A call that waited for the back end would wait for the request's timeout, two seconds or more.
MAX_WAIT_MS = 1500
MAX_EXTRA_MIB = 32
# What differs from the case before it by a number alone.
VARIANTS = ("answers nothing", "403", "409", "429, Retry-After as a date", "503")
# Each fault from the first request on; from the middle on those that meet most of our code then.
# `python -m tests.faults` makes all of them.
IN_THE_MIDDLE = ("never answers", "answers half a JSON", "413 above a size")
MOMENTS = [
    (case, healthy)
    for case, healthy in moments()
    if (FULL or case.name not in VARIANTS) and (not healthy or case.name in IN_THE_MIDDLE)
]


@pytest.mark.timeout(900)
def test_a_faulty_back_end_is_not_felt_and_costs_nothing(subtests: pytest.Subtests) -> None:
    """Results are as without remit, and all is delivered or counted, and said once."""
    outcomes, plain = meet_all(MOMENTS, at_once=4), bare()
    for case, healthy in MOMENTS:
        with subtests.test(msg=f"{case.name}{', from the middle on' if healthy else ''}"):
            outcome = outcomes[case.name, healthy].result()
            if longest_wait_ms(outcome) >= MAX_WAIT_MS:
                # A busy machine held it up, or remit did: then it does so again.
                outcome = meet(case, healthy)
            check(case, outcome, plain)


def longest_wait_ms(outcome: Outcome) -> float:
    """Return the longest time for which a call or the event loop was held up."""
    return float(max(outcome.report["slowest_ms"], outcome.report["lag_ms"]))


def check(case: Case, outcome: Outcome, plain: Report) -> None:
    """Compare what came of a fault with the program without remit."""
    report = outcome.report
    assert report["results"] == plain["results"]
    assert (outcome.code, outcome.errors) == (0, "")
    assert longest_wait_ms(outcome) < MAX_WAIT_MS
    assert report["memory_mib"] < plain["memory_mib"] + MAX_EXTRA_MIB
    assert report["faults"] == {}
    assert report["pending"] == 0
    if case.refuses:
        # A run that is refused is counted with its root span, its registration and its end.
        missing = SPANS - outcome.delivered
        assert 0 < missing <= outcome.counted
        assert outcome.told["rejected"] <= missing
        assert outcome.warnings
    else:
        assert (outcome.delivered, outcome.finished) == (SPANS, RUNS)
        assert outcome.counted == outcome.cut
        assert outcome.told == outcome.losses
        assert bool(outcome.cut) == case.cuts
        assert len(outcome.warnings) + len(outcome.recoveries) == case.changes
