"""A fault of ours in one run's call holds up no other: tried a few times, then set aside."""

from __future__ import annotations

import json
import logging

import pytest

from remit._base import guard
from remit._deliver.reactions import MAX_TRIES
from tests.delivering import Stepped
from tests.fake_api import Answer, FakeApi, Json
from tests.inside import POLL_INTERVAL_S, httpx
from tests.recording import HandRun, agent

FAULTY = "desk:faulty"
ALWAYS = 1000


class OwnFaultError(Exception):
    """The fault that is planted."""


def plant(api: FakeApi, ending: str, times: int, run_key: str = "") -> list[str]:
    """Have calls raise whose path ends in *ending*; return their paths as they come.

    Args:
        api: The server.
        ending: Of the path.
        times: How many of them raise.
        run_key: Of which run; of all if empty.
    """
    met: list[str] = []

    def rule(path: str, body: Json) -> Answer:
        if not path.endswith(ending) or len(met) >= times or run_key not in str(body):
            return None
        met.append(path)
        return OwnFaultError("planted")

    api.rules.append(rule)
    return met


def with_two_runs(api: FakeApi) -> tuple[Stepped, HandRun, HandRun]:
    """Record a run, and one that a fault is planted for; each with a span and a quality."""
    stepped = Stepped(api)
    runs = [HandRun(stepped.sink, agent(name)).open() for name in (FAULTY, "desk:sound")]
    for run in runs:
        run.span(run.ref.external_identifier)
        run.quality()
        run.close()
    return stepped, runs[0], runs[1]


def finished(api: FakeApi) -> list[str]:
    """Return the keys of the runs that are finished."""
    return [each["external_identifier"] for each in api.instances.values() if "finished_at" in each]


@pytest.mark.parametrize("ending", ["/register", "/start"])
def test_a_run_that_cannot_be_opened_is_set_aside_and_the_others_go_on(
    ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Tried five times, with growing waits; all of it is set aside, counted, said once."""
    api = FakeApi()
    stepped, faulty, sound = with_two_runs(api)
    met = plant(api, ending, ALWAYS, faulty.key)
    stepped.deliver()
    assert len(met) == 1
    assert finished(api) == [sound.key]
    assert api.names() == ["desk:sound"]
    with caplog.at_level(logging.WARNING, "remit"):
        stepped.settle()
    assert len(met) == MAX_TRIES
    assert guard.faults.counts == {"opening a run at the server": MAX_TRIES}
    assert stepped.status.set_aside == {"run_fault": 6}
    assert sum("could not be opened" in line for line in caplog.messages) == 1
    assert finished(api) == [sound.key]
    assert not stepped.holds(faulty.key)
    assert stepped.deliver() == POLL_INTERVAL_S


@pytest.mark.parametrize("ending", ["/register", "/start", "/record_quality", "/finish"])
def test_a_fault_that_passes_costs_nothing(ending: str) -> None:
    """Everything arrives in the order that it has."""
    api = FakeApi()
    met = plant(api, ending, MAX_TRIES - 1)
    stepped, *runs = with_two_runs(api)
    stepped.settle()
    assert len(met) == MAX_TRIES - 1
    assert sorted(finished(api)) == sorted(run.key for run in runs)
    assert sorted(api.names()) == [FAULTY, "desk:sound"]
    assert stepped.status.set_aside == {}
    assert stepped.status.sent == 12


@pytest.mark.parametrize(("ending", "ended"), [("/record_quality", 2), ("/finish", 0)])
def test_a_call_that_cannot_be_made_is_set_aside_alone(ending: str, ended: int) -> None:
    """Of each of the runs; the rest of them arrives."""
    api = FakeApi()
    met = plant(api, ending, ALWAYS)
    stepped, *runs = with_two_runs(api)
    stepped.settle()
    assert len(met) == 2 * MAX_TRIES
    assert stepped.status.set_aside == {"fault": 2}
    assert len(finished(api)) == ended
    assert sorted(api.names()) == [FAULTY, "desk:sound"]
    assert not any(stepped.holds(run.key) for run in runs)
    assert guard.faults.counts == {"the end or a quality payload of a run": 2 * MAX_TRIES}


def test_a_bulk_call_that_cannot_be_made_is_tried_no_more_often_than_others() -> None:
    """Its items are set aside, the runs end, and nothing is tried for ever."""
    api = FakeApi()
    met = plant(api, "/bulk", ALWAYS)
    stepped, *runs = with_two_runs(api)
    stepped.settle()
    assert stepped.status.pending == 0
    assert stepped.status.set_aside == {"fault": 6}
    assert sorted(finished(api)) == sorted(run.key for run in runs)
    assert len(met) == guard.faults.counts["the bulk call"] <= 2 * 6 * MAX_TRIES
    assert stepped.deliver() == POLL_INTERVAL_S


def test_an_item_that_keeps_a_bulk_call_from_being_made_is_set_aside_alone() -> None:
    """The items beside it arrive at once, by halves."""
    api = FakeApi()

    def fail(path: str, body: Json) -> Answer | None:
        if path.endswith("/bulk") and FAULTY in json.dumps(body):
            raise OwnFaultError
        return None

    api.rules.append(fail)
    stepped, *runs = with_two_runs(api)
    stepped.deliver()
    assert "desk:sound" in api.names()
    stepped.settle()
    assert stepped.status.set_aside == {"fault": 1}
    assert sorted(finished(api)) == sorted(run.key for run in runs)


def test_nothing_of_a_run_overtakes_its_opening() -> None:
    """Neither its end, where there is nothing between, nor a span that comes later."""
    api = FakeApi()
    met = plant(api, "/start", 1)
    stepped = Stepped(api)
    run = HandRun(stepped.sink).open()
    stepped.deliver()
    assert len(met) == 1
    run.close()
    stepped.deliver()
    assert api.paths() == ["register", "start"]
    stepped.settle()
    assert api.paths() == ["register", "start", "start", "bulk", "finish"]


def test_what_waits_for_its_run_is_not_tried_without_it() -> None:
    """Nor does it keep the sender busy: the run has its own times."""
    api = FakeApi()
    stepped = Stepped(api)
    run = HandRun(stepped.sink).open()
    stepped.deliver()
    api.instances.clear()
    met = plant(api, "/register", 3)
    run.quality()
    stepped.settle()
    assert len(met) == 3
    assert api.paths().count("record_quality") == 2
    assert api.quality == {"helpful": {"score": 1}}


def test_a_run_of_which_everything_was_given_up_waits_no_longer() -> None:
    """As where the spool had no room for it."""
    api = FakeApi()
    stepped = Stepped(api)
    stepped.record("a")
    plant(api, "/start", 1)
    assert stepped.deliver() < POLL_INTERVAL_S
    stepped.give_up()
    stepped.clock.advance(10)
    assert stepped.deliver() == POLL_INTERVAL_S


def test_a_look_that_fails_is_one_that_was_made() -> None:
    """It has its next turn when the others had theirs."""
    api = FakeApi()
    stepped = Stepped(api)
    stepped.record("a")
    stepped.deliver()
    instance = next(iter(api.instances))
    met = plant(api, instance, ALWAYS)
    for number in range(1, 4):
        stepped.clock.advance(POLL_INTERVAL_S)
        assert stepped.deliver() == POLL_INTERVAL_S
        assert len(met) == number
    assert guard.faults.counts == {"looking after a run": 3}


@pytest.mark.parametrize(
    ("times", "arrived"), [(1, ["a", "a2", "b"]), (ALWAYS, ["b"])], ids=["once", "always"]
)
def test_a_fault_while_a_run_is_registered_again_is_that_runs_alone(
    times: int, arrived: list[str]
) -> None:
    """It waits, and is set aside in the end."""
    api = FakeApi()
    stepped = Stepped(api)
    run = HandRun(stepped.sink).open()
    stepped.deliver()
    api.instances.clear()
    met = plant(api, "/register", times, run.key)
    run.span("a")
    run.span("a2")
    stepped.record("b")
    stepped.settle()
    assert sorted(api.names()) == arrived
    assert len(met) == (1 if times == 1 else MAX_TRIES)
    assert stepped.status.set_aside == ({} if times == 1 else {"run_fault": 2})


@pytest.mark.parametrize("answer", [httpx.ConnectError("down"), None], ids=["down", "up"])
def test_what_is_no_fault_of_ours_is_none(answer: Answer) -> None:
    """A server that is down is not counted as one."""
    api = FakeApi()
    api.script("/register", answer)
    stepped, *_ = with_two_runs(api)
    stepped.settle()
    assert guard.faults.counts == {}
    assert len(finished(api)) == 2
