"""Runs that were left open, and those that go on with them: what the server is told."""

from __future__ import annotations

import logging

import pytest

from remit._base.ids import new_key, pfid
from tests.delivering import Stepped
from tests.fake_api import FakeApi, Json
from tests.recording import ROOT, HandRun, agent

NOBODY = pfid(new_key(1_790_000_000_000_000_000), 5)
"""The id of an instance that no server knows."""


def left_open(api: FakeApi) -> str:
    """Record a run with a span in a process of its own, leave it open; return its id."""
    stepped = Stepped(api)
    run = HandRun(stepped.sink).open()
    run.span("desk:ask")
    run.close(leave_open=True)
    stepped.deliver()
    assert run.feed.instance_id is not None
    return run.feed.instance_id


def resumed(api: FakeApi, instance_id: str, *, leave_open: bool = False) -> HandRun:
    """Record a run with a span that goes on with an instance, in a process of its own."""
    stepped = Stepped(api)
    run = HandRun(stepped.sink, resume=instance_id).open()
    run.span("desk:act")
    run.close(leave_open=leave_open)
    stepped.deliver()
    return run


def roots(api: FakeApi) -> list[Json]:
    """Return the root spans at the server."""
    return [span for span in api.spans.values() if span["schema_name"] == ROOT]


def test_a_run_that_is_left_open_stays_active_with_its_root() -> None:
    """Nothing is finished; the program lets go of it all the same."""
    api = FakeApi()
    instance_id = left_open(api)
    assert api.paths() == ["register", "start", "bulk"]
    assert api.instances[instance_id]["status"] == "active"
    assert [root["status"] for root in roots(api)] == ["active"]


def test_a_resumed_run_goes_on_under_the_root_that_was_left_open() -> None:
    """No registration, no start; one instance and one root, which the second process ends."""
    api = FakeApi()
    instance_id = left_open(api)
    api.seen.clear()
    resumed(api, instance_id)
    assert api.paths() == [instance_id, "bulk", "finish"]
    assert list(api.instances) == [instance_id]
    (root,) = roots(api)
    assert root["status"] == "complete"
    steps = [span for span in api.spans.values() if span is not root]
    assert [step["schema_name"] for step in steps] == ["desk:ask", "desk:act"]
    assert {step["parent_span_id"] for step in steps} == {root["id"]}
    assert {step["agent_instance_id"] for step in steps} == {instance_id}
    assert {span_id[10:16] for span_id in api.spans} == {instance_id[10:16]}
    assert api.instances[instance_id]["status"] == "complete"


def test_a_run_may_be_left_open_and_resumed_several_times() -> None:
    """The root stays one."""
    api = FakeApi()
    instance_id = left_open(api)
    for _ in range(3):
        resumed(api, instance_id, leave_open=True)
    assert [root["status"] for root in roots(api)] == ["active"]
    assert api.instances[instance_id]["status"] == "active"
    resumed(api, instance_id)
    assert [root["status"] for root in roots(api)] == ["complete"]
    assert len(api.names()) == 5


def test_an_instance_that_another_client_opened_gets_its_root_at_the_end() -> None:
    """The end of a root that the server does not know is sent as the whole span, payload too."""
    api = FakeApi(instances={NOBODY: {"id": NOBODY, "status": "active"}})
    resumed(api, NOBODY)
    (root,) = roots(api)
    assert root["status"] == "complete"
    assert root["payload"] == {"labels": None}
    assert api.instances[NOBODY]["status"] == "complete"


def test_an_unknown_id_is_said_once_and_nothing_is_registered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A registration would make an instance that nobody asked for."""
    api = FakeApi()
    stepped = Stepped(api)
    run = HandRun(stepped.sink, resume=NOBODY).open()
    run.span()
    run.close()
    stepped.deliver()
    assert api.paths() == [NOBODY]
    assert api.spans == {}
    assert stepped.status.pending == 0
    assert stepped.status.set_aside == {"run_not_found": 4}
    (record,) = caplog.records
    assert NOBODY in record.message
    assert "expected the Run.key or the Run.id of a run that was left open" in record.message


def test_an_instance_that_is_deleted_while_its_run_goes_on_is_not_registered_anew() -> None:
    """It was registered elsewhere, by a run with another key."""
    api = FakeApi()
    instance_id = left_open(api)
    stepped = Stepped(api)
    run = HandRun(stepped.sink, resume=instance_id).open()
    run.span()
    stepped.deliver()
    api.instances.clear()
    api.seen.clear()
    run.span()
    stepped.deliver()
    assert "register" not in api.paths()
    assert stepped.status.set_aside == {"run_not_found": 1}


def test_a_terminated_run_cannot_go_on() -> None:
    """The recording hears of it before the first span arrives."""
    api = FakeApi(
        instances={
            NOBODY: {"id": NOBODY, "status": "terminated", "termination_reason": "by the operator"}
        }
    )
    stepped = Stepped(api)
    run = HandRun(stepped.sink, resume=NOBODY).open()
    stepped.deliver()
    assert run.feed.terminated == "by the operator"


def test_what_is_finished_already_gets_the_spans_and_keeps_its_status(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The mistake is said; no data is lost for it."""
    api = FakeApi(instances={NOBODY: {"id": NOBODY, "status": "failed"}})
    with caplog.at_level(logging.WARNING, "remit"):
        resumed(api, NOBODY)
    assert api.names() == ["desk:act"]
    assert api.instances[NOBODY]["status"] == "failed"
    assert f"a run of desk:support resumes {NOBODY}, which is already failed" in caplog.text


def test_the_child_of_a_fork_finds_the_same_root() -> None:
    """Its spans stand under the root that its parent announced."""
    api = FakeApi()
    parent = Stepped(api)
    run = HandRun(parent.sink, agent()).open()
    parent.deliver()
    parent.fork()
    run.span()
    parent.deliver()
    (root,) = roots(api)
    assert [s["parent_span_id"] for s in api.spans.values() if s is not root] == [root["id"]]
