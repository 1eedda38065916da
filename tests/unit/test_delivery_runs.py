"""Runs on their way: quality, ends, late items, terminations, forks."""

from __future__ import annotations

import logging
from functools import partial
from types import SimpleNamespace

import pytest

from remit._deliver.losses import Loss
from remit._deliver.polls import MAX_POLLS
from remit._deliver.run_delivery import MAX_ENDED
from remit._record.items import AgentRef, Item, ItemKind
from tests.delivering import Stepped
from tests.fake_api import FakeApi, error, refusal
from tests.inside import POLL_INTERVAL_S, STREAM_INTERVAL_S, httpx
from tests.recording import HandRun, agent


def recorded(
    stepped: Stepped,
    ref: AgentRef | None = None,
    *,
    purpose: str = "live",
    resume: str | None = None,
) -> HandRun:
    """Record a run with one span, and deliver it."""
    run = HandRun(stepped.sink, ref or agent(), purpose, resume).open()
    run.span()
    run.close()
    stepped.deliver()
    return run


def test_a_run_is_registered_started_filled_and_finished_in_that_order() -> None:
    """Each call has its derived key; the run key is the instance's external identifier."""
    api = FakeApi()
    stepped = Stepped(api)
    run = recorded(stepped)
    assert api.paths() == ["register", "start", "bulk", "finish"]
    register, start, _, finish = (seen.body for seen in api.seen)
    assert register["idempotency_key"] == f"reg-{run.key}"
    assert register["external_identifier"] == run.key
    assert start == {
        "idempotency_key": f"start-{run.key}",
        "timestamp": next(iter(api.spans.values()))["started_at"],
    }
    assert finish["idempotency_key"] == f"fin-{run.key}"
    assert finish["status"] == "complete"
    assert run.feed.instance_id in api.instances
    assert stepped.status.pending == 0
    assert stepped.status.sent == 5
    assert not stepped.holds(run.key)
    assert stepped.status.buffer_bytes == 0


def test_a_quality_payload_goes_to_its_own_endpoint() -> None:
    """After the run's spans, before its end; `None` removes the name."""
    api = FakeApi()
    stepped = Stepped(api)
    run = HandRun(stepped.sink).open()
    run.quality("helpful", b'{"score":1}')
    run.quality("polite", None)
    run.close()
    stepped.deliver()
    assert api.paths() == [
        "register",
        "start",
        "bulk",
        "record_quality",
        "record_quality",
        "finish",
    ]
    assert api.quality == {"helpful": {"score": 1}, "polite": None}
    assert api.seen[3].body["idempotency_key"].startswith("q-")


def test_a_refused_quality_payload_is_set_aside_alone() -> None:
    """The run goes on."""
    api = FakeApi()
    api.script("/record_quality", refusal(422, "validation_errors", errors={"payload": ["x"]}))
    stepped = Stepped(api)
    run = HandRun(stepped.sink).open()
    run.quality()
    run.close()
    stepped.deliver()
    assert stepped.status.set_aside == {"validation_errors": 1}
    assert next(iter(api.instances.values()))["status"] == "complete"


def test_a_quality_payload_may_come_after_the_runs_end() -> None:
    """People judge an answer when they have read it."""
    api = FakeApi()
    stepped = Stepped(api)
    run = recorded(stepped)
    run.quality()
    stepped.deliver()
    assert api.quality == {"helpful": {"score": 1}}


def test_what_ended_long_ago_is_forgotten_and_what_comes_for_it_counted() -> None:
    """Memory of ended runs is bounded."""
    api = FakeApi()
    stepped = Stepped(api)
    first = recorded(stepped)
    for _ in range(MAX_ENDED):
        HandRun(stepped.sink).open().close()
    stepped.deliver()
    first.quality()
    first.span()
    first.close()
    stepped.deliver()
    assert stepped.status.dropped == {Loss.RUN_UNKNOWN: 4}
    assert stepped.status.pending == 0


def test_the_feed_of_a_run_is_kept_until_its_end_is_delivered() -> None:
    """Also without a handle: the handle of a run that waits for its server gets the id later."""
    api = FakeApi()
    stepped = Stepped(api)
    run = HandRun(stepped.sink).open()
    run.close()
    stepped.move()
    assert stepped.holds(run.key)
    stepped.settle()
    assert not stepped.holds(run.key)
    assert run.feed.instance_id in api.instances


def test_a_run_without_its_beginning_is_dropped_and_counted() -> None:
    """The buffer had no room for it; its record was never made."""
    stepped = Stepped(FakeApi())
    run = HandRun(stepped.sink)
    stepped.sink.put(Item(ItemKind.RUN, run.key, b"1" * 16, None, None, 1, None, None, None, None))
    run.span()
    stepped.deliver()
    assert stepped.status.dropped == {Loss.RUN_UNKNOWN: 2}


def test_a_run_that_is_left_open_is_let_go_of() -> None:
    """Nothing more will come of it here; a program that does so for ever does not grow."""
    api = FakeApi()
    stepped = Stepped(api)
    run = HandRun(stepped.sink).open()
    run.close(leave_open=True)
    stepped.deliver()
    assert not stepped.holds(run.key)
    assert next(iter(api.instances.values()))["status"] == "active"
    stepped.clock.advance(2 * POLL_INTERVAL_S)
    stepped.deliver()
    assert "GET" not in {seen.method for seen in api.seen}


def test_a_span_in_a_run_that_came_through_a_fork_registers_it_with_the_same_key() -> None:
    """So the child learns the id; the parent, which opened the run, starts and ends it."""
    api = FakeApi()
    stepped = Stepped(api)
    run = HandRun(stepped.sink).open()
    stepped.fork()
    run.span()
    stepped.deliver()
    assert api.paths() == ["register", "bulk"]
    assert api.seen[0].body["idempotency_key"] == f"reg-{run.key}"
    assert run.feed.instance_id in api.instances


def test_a_span_in_a_forked_run_whose_id_is_known_is_just_sent() -> None:
    """The parent had its answer before the fork."""
    api = FakeApi()
    stepped = Stepped(api)
    run = HandRun(stepped.sink).open()
    stepped.deliver()
    child = Stepped(api)
    child.sink.open_run(
        Item(ItemKind.RUN, run.key, run.root, None, None, 1, None, None, None, None), run.feed
    )
    child.fork()
    run.sink = child.sink
    run.span()
    seen = len(api.seen)
    child.deliver()
    assert api.paths()[seen:] == ["bulk"]


@pytest.mark.parametrize("reason", ["too costly", None], ids=["with a reason", "without"])
def test_a_termination_in_a_span_answer_reaches_the_run(reason: str | None) -> None:
    """`control` stands beside the answer to a create or a finish."""
    api = FakeApi(control={"terminate": True, "reason": reason})
    stepped = Stepped(api)
    run = recorded(stepped)
    assert run.feed.terminated == (reason or "")
    api.control = {"terminate": True, "reason": "again"}
    run.feed.terminated = "first"
    run.quality()
    stepped.deliver()
    assert run.feed.terminated == "first"


def test_a_control_signal_that_does_not_terminate_changes_nothing() -> None:
    """It is there to be extended."""
    api = FakeApi(control={"terminate": False})
    assert recorded(Stepped(api)).feed.terminated is None


def test_a_run_that_sends_nothing_is_asked_after() -> None:
    """Its termination is found within the poll interval; then it is left alone."""
    api = FakeApi()
    stepped = Stepped(api)
    run = HandRun(stepped.sink).open()
    assert stepped.deliver() == 30.0
    stepped.clock.advance(29)
    assert stepped.send() == pytest.approx(1.0)
    instance = next(iter(api.instances.values()))
    instance |= {"status": "terminated", "termination_reason": "stop it"}
    stepped.clock.advance(1)
    stepped.send()
    assert run.feed.terminated == "stop it"
    seen = len(api.seen)
    stepped.clock.advance(60)
    assert stepped.send() == 30.0
    assert len(api.seen) == seen


def test_a_run_that_had_an_answer_is_not_asked_after() -> None:
    """The answer would have carried the signal."""
    api = FakeApi()
    stepped = Stepped(api)
    run = HandRun(stepped.sink).open()
    for _ in range(6):
        run.span()
        stepped.deliver()
        stepped.clock.advance(20)
    assert "GET" not in {seen.method for seen in api.seen}


def test_a_run_that_is_not_found_when_asked_after_goes_on() -> None:
    """Its next span will find out."""
    api = FakeApi()
    stepped = Stepped(api)
    run = HandRun(stepped.sink).open()
    stepped.deliver()
    api.instances.clear()
    stepped.clock.advance(31)
    stepped.send()
    assert run.feed.terminated is None
    assert stepped.status.health == "ok"


def test_many_quiet_runs_are_asked_after_a_few_at_a_time() -> None:
    """A thousand open runs are no burst of requests."""
    api = FakeApi()
    stepped = Stepped(api)
    for _ in range(MAX_POLLS + 5):
        HandRun(stepped.sink).open()
    stepped.deliver()
    stepped.clock.advance(31)
    assert stepped.send() == STREAM_INTERVAL_S
    assert sum(seen.method == "GET" for seen in api.seen) == MAX_POLLS


def test_runs_with_open_streams_are_asked_after_at_each_interval_a_few_at_a_time() -> None:
    """A stream sends nothing between its beginning and its end."""
    api = FakeApi()
    stepped = Stepped(api)
    for number in range(MAX_POLLS + 5):
        stream = {number.to_bytes(16): api}
        HandRun(stepped.sink).open().feed.run = partial(SimpleNamespace, deferred=stream)
    stepped.deliver()
    looks = []
    for _ in range(3):
        stepped.clock.advance(STREAM_INTERVAL_S)
        assert stepped.send() == STREAM_INTERVAL_S
        looks.append([seen.path for seen in api.seen if seen.method == "GET"])
    assert [len(paths) for paths in looks] == [MAX_POLLS, 2 * MAX_POLLS, 3 * MAX_POLLS]
    assert len(set(looks[1])) == MAX_POLLS + 5


def test_runs_are_not_asked_after_when_time_is_short() -> None:
    """At a shutdown what is left of the time belongs to what was recorded."""
    api = FakeApi()
    stepped = Stepped(api)
    HandRun(stepped.sink).open()
    stepped.deliver()
    stepped.clock.advance(100)
    stepped.end_within(1)
    stepped.send()
    assert "GET" not in {seen.method for seen in api.seen}


def test_an_answer_that_is_not_the_apis_stops_the_sending() -> None:
    """A registration that answers HTML is no registration."""
    api = FakeApi()
    api.script("/register", httpx.Response(200, text="<html>log in</html>"))
    stepped = Stepped(api)
    run = HandRun(stepped.sink).open()
    stepped.deliver()
    assert stepped.status.health == "wrong_server"
    assert run.feed.instance_id is None
    stepped.clock.advance(1)
    stepped.deliver()
    assert run.feed.instance_id is not None


def test_the_log_names_no_payload(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is refused, by whatever words."""
    caplog.set_level(logging.DEBUG, "remit")
    api = FakeApi()
    api.refuse_item(
        lambda _: True, *[error("bad_request", message="c4nary", errors={"a": ["c4nary"]})] * 9
    )
    stepped = Stepped(api)
    run = HandRun(stepped.sink).open()
    run.span(payload=b'{"q":"c4nary"}')
    stepped.deliver()
    assert stepped.status.set_aside == {"bad_request": 2}
    assert "bad_request" in caplog.text
    assert "c4nary" not in caplog.text
    assert "c4nary" not in (stepped.status.last_error or "")
