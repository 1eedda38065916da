"""What is in flight when a process ends or forks: each span ends once, by who began it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.fake_api import FakeApi
from tests.loopback import serving
from tests.processes import DECLARED, left_in, runs_in, settings, start, told_by
from tests.served import collector
from tests.stored import SPANS

STREAMS = """
import asyncio
from functools import partial

@remit.agent
def agent(): ...

@remit.span_type("generator")
def generator():
    yield 1
    yield 2

@remit.span_type("async generator")
async def async_generator():
    yield 1
    yield 2

def returned():
    return map(int, "12")

iterator = remit.span_type("iterator")(returned)
of_parent = remit.span_type("iterator of a parent")(returned)

@remit.span_type("coroutine")
def coroutine():
    return asyncio.sleep(0)

with agent.run():
    held = generator(), async_generator(), iterator(), coroutine()
    next(held[0])
    try:
        held[1].asend(None).send(None)
    except StopIteration:
        pass
    next(held[2])
    forked = [of_parent()]
    next(forked[0])
    child = os.fork()
    if not child:
        del forked[0]
        remit.flush()
        os._exit(0)
    os.waitpid(child, 0)
    list(forked[0])
"""

DAEMON = """
began = threading.Event()

@remit.span_type("endless")
def endless() -> None:
    began.set()
    threading.Event().wait()

@remit.agent("Parent")
def agent() -> None:
    threading.Thread(target=remit.copy_context(endless), daemon=True).start()
    began.wait()
    step(1)

agent()
if sys.argv[1] == "shutdown":
    remit.shutdown(20)
"""


def test_what_is_still_referenced_at_exit_is_cancelled(tmp_path: Path) -> None:
    """Its span ends, with the items that came, and the run that waited for it is complete.

    The child of a fork ends nothing of its parent: that takes the rest, and its span is complete.
    """
    api = FakeApi()
    with serving(api.behave) as url:
        environ = settings(tmp_path, url, "token") | {"PYTHONWARNINGS": "ignore"}
        told_by(start(DECLARED + STREAMS, environ))
    (instance,) = api.instances.values()
    assert instance["status"] == "complete"
    spans = {
        span["schema_name"]: (span["status"], (span.get("result_payload") or {}).get("items"))
        for span in api.spans.values()
    }
    spans.pop("remit:run")
    assert spans == {
        "generator": ("cancelled", [1]),
        "async generator": ("cancelled", [1]),
        "iterator": ("cancelled", [1]),
        "coroutine": ("cancelled", None),
        "iterator of a parent": ("complete", [1, 2]),
    }


ENDED = """
@remit.agent
def agent(): ...

@remit.span_type("stream")
def stream():
    yield 1
    yield 2

with agent.run() as run:
    pass
with run.use():
    held, forked = stream(), stream()
next(held)
next(forked)
child = os.fork()
if not child:
    list(forked)
    remit.flush()
    os._exit(0)
os.waitpid(child, 0)
"""


def test_streams_of_a_run_that_has_ended_are_cancelled_by_who_began_them(tmp_path: Path) -> None:
    """They were called after its end, as by a task that goes on in the background."""
    api = FakeApi()
    with serving(api.behave) as url:
        told_by(start(DECLARED + ENDED, settings(tmp_path, url, "token")))
    statuses = [span["status"] for span in api.spans.values() if span["schema_name"] == "stream"]
    assert statuses == ["cancelled", "cancelled"]


def spans_in(folder: Path) -> dict[str, str]:
    """Return the statuses of the spans at the server, by their types."""
    with closing(sqlite3.connect(folder / "remit.db")) as store:
        return dict(store.execute(f"SELECT schema_name, status FROM {SPANS}"))


@pytest.mark.parametrize("ending", ["end of main", "shutdown"])
def test_a_span_that_a_daemon_thread_has_open_at_the_exit_is_ended_there(
    tmp_path: Path, ending: str
) -> None:
    """A later process has nothing left to end; an earlier shutdown is no exit."""
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token)
        assert told_by(start(DECLARED + DAEMON, environ, ending)) == ("", "")
    is_exit = ending == "end of main"
    assert spans_in(tmp_path)["endless"] == ("failed" if is_exit else "active")
    assert spans_in(tmp_path)["step"] == "complete"
    assert runs_in(tmp_path) == ["complete" if is_exit else "active"]
    assert (left_in(tmp_path) == []) is is_exit


FORKED = """
import os, time
import remit
from tests.fake_api import FakeApi

api = FakeApi()
remit.configure(
    api_url="http://remit.test",
    api_token="token",
    transport=api.transport,
    flush_interval_s=0.05,
    poll_interval_s=60,
)

@remit.agent
def agent(): ...

@remit.span_type("stream")
def stream():
    yield 1
    yield 2

with agent.run():
    held = stream()
    next(held)
    remit.flush()
    child = os.fork()
    if not child:
        api.seen.clear()
        with remit.span("of the child"):
            pass
        remit.flush()
        time.sleep(1)  # twenty times the interval at which a run with an open stream is polled
        print(*(seen.method for seen in api.seen), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    list(held)
"""


def test_the_child_of_a_fork_does_not_poll_for_the_streams_of_its_parent(tmp_path: Path) -> None:
    """It delivers its own span; the parent polls for terminations of the run."""
    told, _ = told_by(start(FORKED, settings(tmp_path, "", "token")))
    assert set(told.split()) == {"POST"}
