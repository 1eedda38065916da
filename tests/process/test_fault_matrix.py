"""The fault matrix: whatever the back end does, the program does not notice and nothing is lost."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from tests.faults.matrix import (
    EXIT_TIMEOUT_S,
    RUNS,
    SPANS,
    Case,
    Outcome,
    Report,
    bare,
    meet_all,
    moments,
)

pytestmark = pytest.mark.gate

# A call takes microseconds, and a held loop would be held for the request's timeout, two seconds.
# At the start several programs import at a time.
MAX_WAIT_MS = 1000
MAX_START_MS = 1500
MAX_EXTRA_MIB = 32
# Half a second is promised; the interpreter's own end takes its time on a busy machine.
MAX_NOISE_S = 2.5
# Each fault from the first request on; from the middle on those that meet most of our code then.
# `python -m tests.faults` makes all of them.
IN_THE_MIDDLE = ("never answers", "answers half a JSON", "413 above a size")
MOMENTS = [
    (case, healthy) for case, healthy in moments() if not healthy or case.name in IN_THE_MIDDLE
]
MET = [
    pytest.param(case, healthy, id=f"{case.name}{', from the middle on' if healthy else ''}")
    for case, healthy in MOMENTS
]


@pytest.fixture(scope="module")
def plain() -> Report:
    """What the program does without remit."""
    return bare()


@pytest.fixture(scope="module")
def outcomes() -> dict[tuple[str, int], Future[Outcome]]:
    """What came of each fault; they are met while the tests wait."""
    return meet_all(MOMENTS, at_once=2)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("case", "healthy"), MET)
def test_a_faulty_back_end_is_not_felt_and_costs_nothing(
    case: Case,
    healthy: int,
    plain: Report,
    outcomes: dict[tuple[str, int], Future[Outcome]],
) -> None:
    """Results as without remit, no held loop, a short exit; all delivered or counted, said once."""
    outcome = outcomes[case.name, healthy].result()
    report = outcome.report
    assert report["results"] == plain["results"]
    assert (outcome.code, outcome.errors) == (0, "")
    assert max(report["first_ms"]) < MAX_START_MS
    assert max(report["slowest_ms"], report["lag_ms"]) < MAX_WAIT_MS
    assert report["memory_mib"] < plain["memory_mib"] + MAX_EXTRA_MIB
    assert outcome.exit_s < EXIT_TIMEOUT_S + MAX_NOISE_S
    assert report["faults"] == {}
    assert report["pending"] == 0
    if case.refuses:
        # A run that is refused is counted with its root span, its registration and its end.
        missing = SPANS - outcome.delivered
        assert 0 < missing <= outcome.counted
        assert outcome.told["refused"] <= missing
        assert outcome.warnings
    else:
        assert (outcome.delivered, outcome.finished) == (SPANS, RUNS)
        assert outcome.counted == outcome.cut
        assert outcome.told == outcome.losses
        assert bool(outcome.cut) == case.cuts
        assert len(outcome.warnings) + len(outcome.recoveries) == case.changes
