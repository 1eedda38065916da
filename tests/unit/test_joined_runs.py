"""Runs of several processes, joined by `remit.trace_headers()` and `agent.run(traceparent=...)`."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import Event
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

import remit
from remit._base.ids import key_from_text, key_of
from remit._base.traceparent import known_part, trace_id
from remit._runtime import setup
from remit.cli import main
from remit.collector import create_token, open_store
from remit.config import Settings
from remit.testing import RecordingSink, isolated
from tests.collecting import World, on_a_port
from tests.subtests import each

TRACE = "0af7651916cd43dd8448eb211c80319c"
MOMENT_S = 0.002
"""Runs are listed in the order of the milliseconds in which they began."""
FOREIGN = f"00-{TRACE}-b7ad6b7169203331-01"


@remit.span_type
def sent() -> dict[str, str]:
    """Return the headers that a request would have."""
    return remit.trace_headers()


@remit.agent("Planner")
def planner() -> dict[str, str]:
    """Send a request from within a step."""
    return sent()


@remit.agent("Worker")
def worker() -> None:
    """Serve a request."""


# What is sent


@pytest.mark.usefixtures("recorder")
def test_outside_any_run_there_is_nothing_to_send() -> None:
    """The headers can be sent all the same."""
    assert remit.trace_headers() == {}


def test_the_trace_id_is_the_key_of_the_run(recorder: RecordingSink) -> None:
    """The span is the current one: the step, or the run's root span."""
    with planner.run() as run:
        (outer,), (inner,) = remit.trace_headers().values(), planner().values()
        assert list(remit.trace_headers()) == ["traceparent"]
    (step,) = recorder.spans("sent")
    for header, key in ((outer, run.key), (inner, step.key)):
        version, trace, span, flags = header.split("-")
        assert (version, flags) == ("00", "01")
        assert bytes.fromhex(trace) == key_from_text(run.key)
        assert bytes.fromhex(span) == (key_from_text(key) or b"")[-8:]


@pytest.mark.usefixtures("recorder")
def test_a_resumed_run_sends_what_any_process_knows_of_it() -> None:
    """The key of its instance: the key that it has here is not known to the server."""
    instance = "01m87w8wm0q8f390g9b02c8fnhe7825b"
    with planner.run(resume=instance) as run:
        (header,) = remit.trace_headers().values()
    assert trace_id(header) == (key_of(instance) or b"").hex()
    assert key_from_text(run.key) != key_of(instance)


def test_a_run_that_is_not_recorded_sends_nothing() -> None:
    """No record would name it."""
    with setup.isolated(Settings(mode="off")), planner.run():
        assert remit.trace_headers() == {}


# What is taken


def test_a_run_keeps_the_header_that_it_was_opened_with(recorder: RecordingSink) -> None:
    """Whoever sends it: also another tracing system."""
    with worker.run(traceparent=FOREIGN):
        pass
    with worker.run(**remit.trace_headers()):
        pass
    with planner.run(), worker.run(**remit.trace_headers()) as inner:
        pass
    foreign, unlinked, _, linked = recorder.runs
    assert foreign.root.payload["traceparent"] == FOREIGN
    assert "traceparent" not in unlinked.root.payload
    assert inner.key == linked.key
    assert trace_id(linked.root.payload["traceparent"]) == trace_of(recorder.runs[2].key)


def trace_of(key: str) -> str:
    """Return the trace id of a run's key."""
    return (key_from_text(key) or b"").hex()


MALFORMED: list[Any] = [
    "",
    "sk-live-0123456789abcdef0123456789abcdef",
    FOREIGN.upper(),
    FOREIGN + "-more",
    FOREIGN[:-1],
    "ff" + FOREIGN[2:],
    f"00-{'0' * 32}-b7ad6b7169203331-01",
    f"00-{TRACE}-{'0' * 16}-01",
    FOREIGN + "\n",
    FOREIGN.encode(),
    7,
]


@each("header", MALFORMED)
def test_a_malformed_header_gives_a_run_without_a_link(header: Any) -> None:
    """Not an error, for it comes from outside."""
    with isolated() as recorder:
        with worker.run(traceparent=header) as run:
            pass
        assert run.status == "complete"
        assert "traceparent" not in recorder.runs[0].root.payload


def test_a_malformed_header_is_logged_once_for_each_agent(
    recorder: RecordingSink, caplog: pytest.LogCaptureFixture
) -> None:
    """The line says what was seen and what was expected, and quotes no key."""

    @remit.agent
    def served() -> None:
        """Serve a request."""

    for _ in range(2):
        with served.run(traceparent=MALFORMED[1]):
            pass
    (line,) = (
        record.getMessage() for record in caplog.records if record.levelno == logging.WARNING
    )
    assert "run(traceparent=...)" in line
    assert "remit.trace_headers()" in line
    assert "sk-live" not in caplog.text
    assert len(recorder.runs) == 2


def test_a_higher_version_may_have_more_fields() -> None:
    """What version 00 has of it is kept."""
    assert known_part("01" + FOREIGN[2:] + "-more") == "01" + FOREIGN[2:]
    assert known_part("01" + FOREIGN[2:] + "more") is None


# What is shown


@dataclass(frozen=True)
class Place:
    """Where a command reads: a database, or the server of it."""

    words: tuple[str, ...]
    env: Mapping[str, str]

    def show(self, run: str) -> list[str]:
        """Return the head that `runs show` prints of a run."""
        result = self._run("show", run)
        assert result.exit_code == 0, result.output
        head: list[str] = result.stdout.partition("\n\n")[0].splitlines()
        return head

    def json(self, run: str) -> dict[str, Any]:
        """Return the run as JSON."""
        shown: dict[str, Any] = json.loads(self._run("show", run, "--json").stdout)
        return shown

    def _run(self, *words: str) -> Any:
        env = {"COLUMNS": "100", **self.env}
        return CliRunner().invoke(main, ["runs", *words, *self.words], env=env)


@dataclass(frozen=True)
class Joined:
    """The keys of runs that were recorded at one server, and where to read them."""

    places: tuple[Place, Place]
    planner: str
    workers: tuple[str, ...]
    resumed: str
    after: str
    foreign: str


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Joined]:
    """A run that causes 22 others, one that is resumed and causes another, and one of a trace."""
    folder = tmp_path_factory.mktemp("joined")
    store = open_store(folder / "served.db")
    world, token = World(store), create_token(store, "account").secret
    with on_a_port(world.app) as url:
        settings = Settings(api_url=url, api_token=SecretStr(token), data_dir=folder / "recording")
        with setup.isolated(settings) as runtime:
            with planner.run() as first:
                headers = planner()
            workers = []
            for _ in range(22):
                with worker.run(**headers) as run:
                    workers.append(run.key)
                Event().wait(MOMENT_S)
            with planner.run() as open_run:
                open_run.leave_open()
            assert runtime.flush(60)
            with planner.run(resume=open_run.key):
                headers = remit.trace_headers()
            with worker.run(**headers) as after:
                pass
            with worker.run(traceparent=FOREIGN) as foreign:
                pass
            assert runtime.flush(60)
        off = {"REMIT_API_URL": "", "REMIT_API_TOKEN": ""}
        places = (
            Place(("--db", str(folder / "served.db")), off),
            Place((), {"REMIT_API_URL": url, "REMIT_API_TOKEN": token}),
        )
        keys = (first.key, tuple(workers), open_run.key, after.key, foreign.key)
        yield Joined(places, *keys)
    store.close()


@pytest.mark.parametrize("place", [0, 1], ids=["database", "server"])
def test_each_of_two_joined_runs_names_the_other(joined: Joined, place: int) -> None:
    """By key and agent; of the runs that a run caused the first twenty."""
    shown = joined.places[place]
    worker_head = shown.show(joined.workers[0])
    assert f"  caused by  {joined.planner}  Planner  complete" in worker_head
    planner_head = shown.show(joined.planner)
    start = planner_head.index(f"  caused     {joined.workers[0]}  Worker  complete")
    for line, key in zip(planner_head[start + 1 :], joined.workers[1:20], strict=False):
        assert line == f"             {key}  Worker  complete"
    assert planner_head[-1] == "             2 more"
    assert not any("caused by" in line for line in planner_head)


@pytest.mark.parametrize("place", [0, 1], ids=["database", "server"])
def test_a_run_that_was_resumed_is_named_too(joined: Joined, place: int) -> None:
    """The process that resumed it did not know its key."""
    shown = joined.places[place]
    assert f"  caused by  {joined.resumed}  Planner  complete" in shown.show(joined.after)
    assert f"  caused     {joined.after}  Worker  complete" in shown.show(joined.resumed)


@pytest.mark.parametrize("place", [0, 1], ids=["database", "server"])
def test_a_trace_of_another_system_is_shown_as_it_is(joined: Joined, place: int) -> None:
    """It can be looked up there."""
    shown = joined.places[place]
    assert f"  caused by  trace {TRACE}" in shown.show(joined.foreign)
    assert shown.json(joined.foreign)["caused_by"] == {"trace_id": TRACE, "run": None}


@pytest.mark.parametrize("place", [0, 1], ids=["database", "server"])
def test_links_are_in_the_json(joined: Joined, place: int) -> None:
    """With id and status of each run."""
    cause = joined.places[place].json(joined.workers[3])["caused_by"]
    assert cause["trace_id"] == trace_of(joined.planner)
    assert cause["run"]["key"] == joined.planner
    assert cause["run"]["agent"]["name"] == "Planner"
    caused = joined.places[place].json(joined.planner)["caused"]
    assert [run["key"] for run in caused] == list(joined.workers[:20])
    assert {run["status"] for run in caused} == {"complete"}
