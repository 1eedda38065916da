"""Faults of our own: functions of remit raise in turn, and the program does not notice."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

import pytest

from remit.errors import DeniedError
from tests.architecture.sources import ROOT
from tests.faults import own
from tests.faults.frameworks import NOTHING_FORBIDDEN, SCENES
from tests.governed import BODIES, free
from tests.nesting import NESTED, new_payment, recording
from tests.subtests import each
from tests.untraced import UNTRACED

PROCESSES = 2
FULL = "REMIT_TEST_FULL" in os.environ
"""Whether each function raises, or only those that are not a part of one other."""
AT_LEAST = 400 if FULL else 200
TIMEOUT_S = 900
AT_LEAST_NESTED = 10
"""Functions between the start of a nested agent and the refusal of what it does."""
AT_LEAST_REACHED = 10
"""Functions of adapters and integrations that a client of a model reaches, the shortest scene."""


APART = ("crewai", "google.adk")
"""Not installed beside the pinned versions: `nox -s frameworks` plays their scenes."""


def has(library: str) -> bool:
    """Return whether a library is installed."""
    try:
        return find_spec(library) is not None
    except ModuleNotFoundError:  # the package around it
        return False


def printed_by(program: str, *words: str) -> list[dict[str, Any]]:
    """Run a program of `tests.faults`; return the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.faults.{program}", *words],
        cwd=ROOT,
        # To be traced line by line takes it three times as long.
        env=os.environ | UNTRACED,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(map(json.loads, done.stdout.splitlines()))


def met_by(part: int) -> list[dict[str, Any]]:
    """Run one of the processes; return what came of each function that remit itself called."""
    rows = printed_by("own", str(part), str(PROCESSES), *([] if FULL else ["--whole"]))
    return [row for row in rows if row["inside"]]


@pytest.mark.timeout(TIMEOUT_S)
def test_a_fault_of_ours_changes_nothing_and_is_counted() -> None:
    """The program's results are the same whichever function raises, on whatever thread."""
    with ThreadPoolExecutor(PROCESSES) as pool:
        met = [row for rows in pool.map(met_by, range(PROCESSES)) for row in rows]
    assert len(met) > AT_LEAST
    assert [row for row in met if row["outcome"] != "the same"] == []
    assert [row["name"] for row in met if not row["counted"] and not row["uncounted"]] == []


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize(
    ("mode", "most"),
    [
        ("auto", 1),
        ("off", 1),
        pytest.param("auto", own.MOST_FAULTS, marks=pytest.mark.full),
    ],
)
@each("kind", list(NESTED))
def test_no_fault_of_ours_lifts_the_remit_of_a_nested_agent(
    kind: str, mode: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each function between the policy and the body raises in turn, once or always."""
    # Said of a coroutine that was refused, and of an object whose `__init__` raised.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    with recording("deny", mode), free.run(), own.watched() as reached, suppress(DeniedError):
        NESTED[kind](new_payment())
    places = [place for place in own.places() if place.code in reached]
    assert len(places) > AT_LEAST_NESTED
    lifting: list[str] = []
    for place in places:
        callers: list[str] = []
        with (
            recording("deny", mode),
            free.run(),
            own.faulty(place, callers, most),
            suppress(Exception),
        ):
            NESTED[kind](new_payment())
        lifting += [place.name] * bool(BODIES)
    gc.collect()
    assert lifting == []


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize("library", [each for each in SCENES if each not in APART or has(each)])
def test_no_fault_of_ours_lifts_a_remit_in_an_integration(library: str) -> None:
    """Each function of adapters and integrations raises in turn, with faults contained as in use.

    It raises once, from the start or after the model has answered. In a full run it also raises
    each time, and the functions below adapters raise too.
    """
    if not has(library):
        pytest.skip(f"needs {library}")
    rows = printed_by("frameworks", library, *(["--full"] if FULL else []))
    for scene in SCENES[library]:
        free, governed, *faulty = (row for row in rows if row["scene"] == scene)
        assert free["ran"], "what nothing forbids runs"
        assert not governed["ran"]
        assert len({row["name"] for row in faulty}) > AT_LEAST_REACHED
    assert [row for row in rows if row["ran"] and row["name"] != NOTHING_FORBIDDEN] == []
