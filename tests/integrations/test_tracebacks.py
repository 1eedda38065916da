"""What readers of tracebacks find in remit's frames: nothing that a call was given."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

import pytest

from tests.subtests import each

pytest.importorskip("sentry_sdk")
pytest.importorskip("rich")

PROGRAM: Final = r'''
import asyncio, json, logging, os, sys
import rich.traceback
import sentry_sdk
from sentry_sdk.transport import Transport
from traceback import walk_tb
from typing import Annotated
import remit

REMIT = os.path.dirname(remit.__file__) + os.sep
events = []

class Kept(Transport):
    def capture_envelope(self, envelope):
        events.extend(item.payload.json for item in envelope.items if item.payload.json)

options = {"attach_stacktrace": True} if "stack" in sys.argv else {}
sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=Kept,
                auto_enabling_integrations=False, **options)
remit.configure(mode=sys.argv[1], on_violation="deny" if "deny" in sys.argv else "observe")
Q = Annotated[str, remit.Sensitive()]

def secret():
    return "canary" + "-4711"

def fail():
    """Fail, with an event that says where."""
    logging.getLogger("app").error("a message")
    raise ValueError

class Thing:
    @remit.span_type
    def method(self, q: Q):
        del q
        fail()

    @remit.span_type
    @classmethod
    def of_class(cls, q: Q):
        del q
        fail()

    @remit.span_type
    def __call__(self, q: Q):
        del q
        fail()

@remit.span_type
def plain(q: Q):
    del q
    fail()

@remit.span_type
async def coroutine(q: Q):
    del q
    await asyncio.sleep(0)
    fail()

@remit.span_type
def generator(q: Q):
    del q
    asked = yield
    del asked
    fail()

@remit.span_type
async def stream(q: Q):
    del q
    asked = yield
    del asked
    fail()

@remit.span_type
def iterator(q: Q):
    def items():
        yield
        fail()
    del q
    return items()

@remit.span_type
def later(q: Q):
    async def work():
        await asyncio.sleep(0)
        fail()
    del q
    return work()

@remit.agent
def agent(q: Q):
    del q
    fail()

@remit.agent
async def async_agent(q: Q):
    del q
    fail()

@remit.agent(data_risk=remit.risk(forbids="destroy_data") if "deny" in sys.argv else None)
def host(call):
    return call()

async def sent():
    items = stream(secret())
    await items.asend(None)
    await items.asend(secret())

def to_generator():
    items = generator(secret())
    next(items)
    items.send(secret())

def in_pool():
    with remit.ContextExecutor(1) as pool:
        pool.submit(plain, secret()).result()

CALLS = {
    "function": lambda: plain(secret()),
    "keyword": lambda: plain(q=secret()),
    "method": lambda: Thing().method(secret()),
    "class method": lambda: Thing.of_class(secret()),
    "object": lambda: Thing()(secret()),
    "coroutine": lambda: asyncio.run(coroutine(secret())),
    "generator": to_generator,
    "async generator": lambda: asyncio.run(sent()),
    "iterator": lambda: list(iterator(secret())),
    "returned coroutine": lambda: asyncio.run(later(secret())),
    "agent": lambda: agent(secret()),
    "async agent": lambda: asyncio.run(async_agent(secret())),
    "executor": in_pool,
    "copied context": lambda: remit.copy_context(plain)(secret()),
    "wrong arguments": lambda: plain(secret(), 3),
}

def of_sentry():
    for event in events:
        traces = [each.get("stacktrace") for each in event.get("exception", {}).get("values", ())]
        traces += [each.get("stacktrace") for each in event.get("threads", {}).get("values", ())]
        traces.append(event.get("stacktrace"))
        for frame in (frame for trace in traces if trace for frame in trace["frames"]):
            yield frame["abs_path"], frame["function"], frame.get("vars", {})

def of_rich(error):
    raised = type(error), error, error.__traceback__
    for stack in rich.traceback.Traceback.extract(*raised, show_locals=True).stacks:
        for frame in stack.frames:
            yield frame.filename, frame.name, frame.locals or {}

def leaks(call):
    events.clear()
    try:
        call()
    except Exception as error:
        passed.update(frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__))
        sentry_sdk.capture_exception(error)
        assert events
        for reader, frames in (("sentry", of_sentry()), ("rich", of_rich(error))):
            for path, function, variables in frames:
                if path.startswith(REMIT):
                    for name, value in variables.items():
                        if "canary" in str(value):
                            yield f"{reader}: {path} {function} {name}"

found, passed = {}, set()
for name, call in CALLS.items():
    outside = [] if "deny" in sys.argv else leaks(call)
    found[name] = [*outside, *leaks(lambda: host(call))]
assert any(path.startswith(REMIT) for path in passed), "no call passed through remit"
print(json.dumps(found))
'''
CALLS: Final = [
    "function",
    "keyword",
    "method",
    "class method",
    "object",
    "coroutine",
    "generator",
    "async generator",
    "iterator",
    "returned coroutine",
    "agent",
    "async agent",
    "executor",
    "copied context",
    "wrong arguments",
]


@pytest.fixture(
    scope="module",
    params=[("off",), ("local", "stack"), ("local", "deny")],
    ids=["off", "stack", "deny"],
)
def leaks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str]]:
    """Return what Sentry with its default settings, and rich, find in remit's frames, by call.

    With `stack` each message of a log has the stack on which it was written, as well. With `deny`
    each call in a run is refused.
    """
    folder = tmp_path_factory.mktemp("tracebacks")
    program = folder / "program.py"
    program.write_text(PROGRAM)
    words: tuple[str, ...] = request.param
    done = subprocess.run(
        [sys.executable, str(program), *words],
        env={"HOME": str(folder), "REMIT_DATA_DIR": str(folder / "data")},
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


@each("call", CALLS)
def test_no_reader_of_tracebacks_finds_an_argument_in_remits_frames(
    leaks: dict[str, list[str]], call: str
) -> None:
    """Inside a run and outside any, whatever is called."""
    assert leaks[call] == []
