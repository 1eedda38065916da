"""A program whose token may only record: all that the SDK does works, on each store."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import remit
from remit.collector import Store, create_token
from remit.errors import RunTerminated
from tests.asgi import AsgiTransport
from tests.collecting import URL, Api, World
from tests.fake_api import FakeApi, refusal
from tests.inside import httpx
from tests.processes import wait_until
from tests.spooling import in_child, wait_until_written
from tests.stores import ON_ONE_SERVER
from tests.subtests import each
from tests.unconfigured import unconfigured

SCOPES = ["account", "agent_deployment"]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Start from a process that has configured nothing."""
    with unconfigured():
        yield


@remit.span_type("recording:step", title="Step")
def step(number: int) -> int:
    """Do one step."""
    return number


@remit.agent("Recording agent")
def assistant() -> None:
    """Do two steps, and say how good they were."""
    step(1)
    step(2)
    run = remit.current_run()
    assert run is not None
    run.record_quality("review", {"score": 1})


def configure(transport: httpx.BaseTransport, secret: str, data_dir: Path) -> None:
    """Record to the collector behind *transport*."""
    remit.configure(
        api_url=URL,
        api_token=secret,
        transport=transport,
        data_dir=data_dir,
        flush_interval_s=0.05,
        poll_interval_s=0.05,
    )


def recording_token(store: Store, scope: str) -> str:
    """Return the secret of a token that may only record."""
    identifier = f"{__name__}:assistant"
    return create_token(store, scope, agent=identifier, may="record").secret


def runs_of(owner: Api) -> dict[str, str]:
    """Return the status of each run by its id, as somebody sees it who may read."""
    runs = owner.http.get("/api/remit/v1/runs").json()["runs"]
    return {run["id"]: run["status"] for run in runs}


def steps_of(owner: Api, run_id: str) -> int:
    """Return how many steps of a run are there."""
    return sum(span["schema_name"] == "recording:step" for span in owner.spans(run_id))


@pytest.mark.parametrize("store_kind", ON_ONE_SERVER)
@pytest.mark.parametrize("scope", SCOPES)
def test_a_run_is_recorded_ended_and_terminated_with_such_a_token(
    store: Store, scope: str, tmp_path: Path
) -> None:
    """It is registered, and the poll brings the termination with its reason."""
    world = World(store)
    owner = world.account()
    configure(AsgiTransport(world.app), recording_token(store, scope), tmp_path / "data")

    assistant()
    assert remit.flush(60), remit.status()
    (done,) = runs_of(owner)
    assert owner.shown(done)["status"] == "complete"
    assert owner.shown(done)["quality_payloads"] == {"review": {"score": 1}}
    assert steps_of(owner, done) == 2

    with assistant.run() as run:
        step(1)
        assert remit.flush(60), remit.status()
        owner.post(f"/agent_instance/{run.id}/terminate", {"reason": "too dear"})
        wait_until(lambda: run.terminated)
        with pytest.raises(RunTerminated, match="too dear"):
            step(2)
    assert remit.flush(60), remit.status()
    assert set(runs_of(owner).values()) == {"complete", "terminated"}
    assert not remit.status().dropped
    assert not remit.status().set_aside


@pytest.mark.parametrize("store_kind", ON_ONE_SERVER)
@pytest.mark.parametrize("scope", SCOPES)
def test_a_run_is_resumed_and_the_rest_of_an_ended_process_sent_with_such_a_token(
    store: Store, scope: str, tmp_path: Path
) -> None:
    """A process that is killed leaves a run without an end; the next one ends it as failed."""
    world, secret = World(store), recording_token(store, scope)
    owner, data_dir = world.account(), tmp_path / "data"

    def die() -> None:
        api = FakeApi(rules=[lambda _path, _body: refusal(503)])
        configure(api.transport, secret, data_dir)
        with assistant.run():
            step(1)
            wait_until_written(remit.status)
            os.kill(os.getpid(), signal.SIGKILL)

    in_child(die)
    configure(AsgiTransport(world.app), secret, data_dir)
    assert remit.flush(60), remit.status()
    wait_until(lambda: list(runs_of(owner).values()) == ["failed"])
    (left,) = runs_of(owner)
    assert steps_of(owner, left) == 1

    with assistant.run() as run:
        step(1)
        run.leave_open()
    assert remit.flush(60), remit.status()
    assert run.id is not None
    assert owner.shown(run.id)["status"] == "active"
    with assistant.run(resume=run.key):
        step(2)
    assert remit.flush(60), remit.status()
    assert owner.shown(run.id)["status"] == "complete"
    assert steps_of(owner, run.id) == 2
    assert not remit.status().dropped
    assert not remit.status().set_aside


@each(("may", "said"), [("read", "may only read,"), ("metrics", "may only read metrics,")])
def test_a_token_that_may_not_record_delivers_nothing(
    store: Store, may: str, said: str, tmp_path: Path
) -> None:
    """What was recorded waits, and the error names the permission that is missing."""
    world = World(store)
    with unconfigured():
        secret = create_token(store, "account", may=may).secret
        configure(AsgiTransport(world.app), secret, tmp_path / may)
        assistant()
        wait_until(lambda: remit.flush(0.1).last_error is not None)
        flushed = remit.flush(0.1)
        assert not flushed
        assert flushed.pending
        assert said in str(flushed.last_error)
