"""Many short runs, and a server that fails at one request of theirs, or knows less than others.

The program records two windows of runs with two steps each. The first one meets a server of which
nothing is known yet.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from tests.fake_api import RUNS_IN_BULK, FakeApi, Json, error, raw, refusal
from tests.inside import httpx
from tests.loopback import request_of, serving
from tests.processes import DECLARED, errors_of, inherit, settings, start
from tests.recording import ROOT

RUNS: Final = 4
WINDOWS: Final = 2
STEPS: Final = 2
SPANS: Final = 2 + STEPS
"""Of each run: its root, the call of its agent, and its steps."""
PARENTS: Final = {"step": "notebook:work", "notebook:work": ROOT, ROOT: None}
BATCH_ITEMS: Final = 10
AT_ONCE: Final = 4
DELIVER_S: Final = 60.0
HALF: Final = 2

WORKER: Final = """
import json, logging

# A line for each fault would fill the pipe.
logging.getLogger("remit").addHandler(logging.NullHandler())

@remit.agent("Worker")
def work(number: int) -> None:
    step(2 * number)
    step(2 * number + 1)
"""
PROGRAM: Final = f"""
for line in sys.stdin:
    url, folder = json.loads(line)
    remit.configure(api_url=url, data_dir=folder)
    for first in range(0, {WINDOWS * RUNS}, {RUNS}):
        for number in range(first, first + {RUNS}):
            work(number)
        over = time.monotonic() + {DELIVER_S}
        while remit.flush(0.2).pending and time.monotonic() < over:
            pass
    status = remit.status()
    said = [status.pending, status.set_aside, status.dropped, status.faults]
    remit.shutdown(5)
    print(json.dumps(said), flush=True)
"""

KILLED: Final = f"""
for number in range({RUNS}):
    work(number)
remit.flush(0.01)
wait_until_written()
print("written", flush=True)
while True:
    remit.flush(1)
"""

Said: TypeAlias = list[Any]
"""What is pending, set aside, dropped, and faults of remit, as the program sees it."""
NOTHING: Final[Said] = [0, {}, {}, {}]
Fault: TypeAlias = Callable[["Server", socket.socket, httpx.Request], None]
"""Treats one request wrongly, on the connection it came on."""


@dataclass
class Server:
    """The API on a socket; it fails once.

    Attributes:
        api: What it keeps.
        fault: How it fails.
        at: At which of the requests that can meet the fault, from 1.
        in_bulk: Whether only a bulk request can meet it.
        seen: How many requests came that can meet it.
        sent: Path and body of each request that came.
        met: The path of the request that met the fault.
        open: Requests wait until it is set.
    """

    api: FakeApi
    fault: Fault | None = None
    at: int = 0
    in_bulk: bool = False
    seen: int = 0
    sent: list[tuple[str, Json]] = field(default_factory=list[tuple[str, Json]])
    met: str | None = None
    open: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def behave(self, connection: socket.socket, over: threading.Event) -> None:
        """Serve one connection, until one side closes it."""
        while not over.is_set() and (request := _read(connection)):
            self.open.wait()
            with self._lock:
                self.sent.append((request.url.path, json.loads(request.content or b"{}")))
                self.seen += not self.in_bulk or bool(_items(request))
                meets = self.met is None and self.seen == self.at
                if meets:
                    self.met = request.url.path
            if meets and self.fault is not None:
                self.fault(self, connection, request)
            else:
                connection.sendall(raw(self.api.answer(request)))


def _read(connection: socket.socket) -> httpx.Request | None:
    start, _, body = request_of(connection).partition(b"\r\n\r\n")
    if not start:
        return None
    request_line, *fields = start.decode().split("\r\n")
    method, target, _ = request_line.split(" ")
    headers = dict(line.lower().split(": ", 1) for line in fields)
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(1 << 20)
    return httpx.Request(method, f"http://api{target}", content=body)


def _items(request: httpx.Request) -> list[Json]:
    items: list[Json] = json.loads(request.content or b"{}").get("items", [])
    return items


def _says(status: int, code: str | None, *, done: bool = False) -> Fault:
    def fault(server: Server, connection: socket.socket, request: httpx.Request) -> None:
        if done:
            server.api.answer(request)
        connection.sendall(raw(refusal(status, code)))

    return fault


def _closes(server: Server, connection: socket.socket, request: httpx.Request) -> None:
    """Close the connection, and do nothing."""
    del server, request
    connection.shutdown(socket.SHUT_RDWR)


def _closes_when_done(server: Server, connection: socket.socket, request: httpx.Request) -> None:
    """Do what is asked, and close the connection without an answer."""
    server.api.answer(request)
    connection.shutdown(socket.SHUT_RDWR)


def _cuts(server: Server, connection: socket.socket, request: httpx.Request) -> None:
    """Do what is asked, and close the connection in the middle of the answer."""
    answer = raw(server.api.answer(request))
    connection.sendall(answer[: -len(answer) // HALF])
    connection.shutdown(socket.SHUT_RDWR)


def _halves(server: Server, connection: socket.socket, request: httpx.Request) -> None:
    """Do what is asked, and answer with the first half of the JSON."""
    content = server.api.answer(request).content
    connection.sendall(raw(httpx.Response(200, content=content[: len(content) // HALF])))


def _stops(place: str, code: str | None) -> Fault:
    """Do the items of a bulk request up to one, which has an error or is left out."""

    def fault(server: Server, connection: socket.socket, request: httpx.Request) -> None:
        items = _items(request)
        bad = {"first": 0, "middle": len(items) // HALF, "last": len(items) - 1}[place]
        before = json.dumps({"items": items[:bad]}).encode()
        answer = server.api.answer(httpx.Request("POST", request.url, content=before))
        outputs: Json = answer.json()["outputs"]
        failed = any(output["status"] == "error" for output in outputs.values())
        if code is not None and not failed:
            outputs[items[bad]["idempotency_key"]] = error(code)
        told = httpx.Response(200, json={"status": "success", "outputs": outputs})
        connection.sendall(raw(told))

    return fault


def _forgets(server: Server, connection: socket.socket, request: httpx.Request) -> None:
    """Forget the instances that have no span yet, and answer rightly."""
    server.api.forget_unused()
    connection.sendall(raw(server.api.answer(request)))


def _forgets_schemas(server: Server, connection: socket.socket, request: httpx.Request) -> None:
    """Forget the schema versions that it kept, and answer rightly."""
    server.api.schemas.clear()
    connection.sendall(raw(server.api.answer(request)))


FAULTS: Final[Mapping[str, Fault]] = {
    "429": _says(429, "rate_limited"),
    "500": _says(500, "internal_error"),
    "504, done": _says(504, None, done=True),
    "413": _says(413, "too_large"),
    "404": _says(404, None),
    "404, not_found": _says(404, "not_found"),
    "401": _says(401, "unauthorized"),
    "closed": _closes,
    "closed, done": _closes_when_done,
    "cut, done": _cuts,
    "half a JSON, done": _halves,
    "forgets instances": _forgets,
    "forgets schema versions": _forgets_schemas,
}
STOPS: Final[Mapping[str, Fault]] = {
    f"{how} at the {place} item": _stops(place, code)
    for place in ("first", "middle", "last")
    for how, code in (("fails", "internal_error"), ("ends", None))
}
FORMS: Final = {
    "all in bulk": RUNS_IN_BULK,
    "registrations in bulk": frozenset({"register"}),
    "spans in bulk": frozenset[str](),
}
REQUESTS: Final = {"all in bulk": 8, "registrations in bulk": 23, "spans in bulk": 30}
BULKS: Final = {"all in bulk": 8, "registrations in bulk": 7, "spans in bulk": 6}
"""So many requests there are without a fault; some more if the writer's first pass comes early."""
REFUSED: Final = ("413",)
"""A refusal for good, of what cannot be divided: it is set aside."""


@dataclass(frozen=True)
class Case:
    """One row of the matrix.

    Attributes:
        form: What the server takes in bulk.
        fault: How it fails, once.
        at: At which of the requests that can meet it.
    """

    form: str
    fault: str
    at: int

    def __str__(self) -> str:
        """Return the case in words."""
        return f"{self.form}: {self.fault}, {'bulk ' * (self.fault in STOPS)}request {self.at}"

    def server(self) -> Server:
        """Return the server."""
        in_bulk = FORMS[self.form]
        # As the collector does, which takes everything in bulk.
        api = FakeApi(in_bulk=in_bulk, keeps_schema=in_bulk == RUNS_IN_BULK, keys_by_endpoint=True)
        stops = self.fault in STOPS
        return Server(api, {**FAULTS, **STOPS}[self.fault], self.at, stops)


def cases() -> list[Case]:
    """Return all cases."""
    return [
        Case(form, fault, at)
        for form in FORMS
        for faults, requests in ((FAULTS, REQUESTS[form]), (STOPS, BULKS[form]))
        for fault in faults
        for at in range(1, requests + 1)
    ]


def meet_all(servers: Mapping[str, Server], folder: Path) -> dict[str, Said]:
    """Run the program against each server; return what it says of each."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        shares = [list(servers.items())[first::AT_ONCE] for first in range(AT_ONCE)]
        done = pool.map(partial(_meet_some, folder), shares)
        return {name: said for each in done for name, said in each.items()}


def _meet_some(folder: Path, servers: list[tuple[str, Server]]) -> dict[str, Said]:
    environ = settings(folder, "", "t") | {
        "REMIT_FLUSH_INTERVAL_S": "600",
        "REMIT_MAX_BATCH_ITEMS": str(BATCH_ITEMS),
    }
    found: dict[str, Said] = {}
    with start(DECLARED + WORKER + PROGRAM, environ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        for name, server in servers:
            server.open.set()
            with serving(server.behave) as url:
                program.stdin.write(json.dumps([url, str(folder / name)]) + "\n")
                found[name] = json.loads(program.stdout.readline())
        assert errors_of(program) == ""
    return found


def kill(server: Server, folder: Path, *, done: bool) -> None:
    """Kill the program at the request at which *server* fails, and have another deliver the rest.

    Args:
        server: The server.
        folder: The program's.
        done: Whether the server does what that request asks.
    """

    def fault(server: Server, connection: socket.socket, request: httpx.Request) -> None:
        if done:
            server.api.answer(request)
        os.killpg(program.pid, signal.SIGKILL)
        connection.shutdown(socket.SHUT_RDWR)

    server.fault = fault
    with serving(server.behave) as url:
        environ = settings(folder, url, "t") | {"REMIT_MAX_BATCH_ITEMS": str(BATCH_ITEMS)}
        slow = {"REMIT_FLUSH_INTERVAL_S": "600"}
        with start(DECLARED + WORKER + KILLED, environ | slow) as program:
            try:
                assert program.stdout is not None
                assert program.stdout.readline() == "written\n"
                server.open.set()
                program.wait(DELIVER_S)
            finally:
                program.kill()
        inherit(environ)


def check(
    server: Server, said: Said = NOTHING, *, runs: int = WINDOWS * RUNS, refused: bool = False
) -> None:
    """Assert that each run and each span arrived once, with the right status.

    Args:
        server: The server.
        said: What the program says of it.
        runs: How many runs it recorded.
        refused: Whether it may have refused one thing for good, which is set aside then.
    """
    pending, set_aside, dropped, faults = said
    assert (pending, dropped, faults) == (0, {}, {})
    check_keys(server.sent, ids_change=server.fault is _forgets)
    api = server.api
    if set_aside:
        # What is set aside is one run, or the end of one.
        assert refused, (set_aside, server.met)
        assert sum(set_aside.values()) <= 3 + SPANS
    complete = runs - bool(set_aside)
    finished = [each for each in api.instances.values() if each["status"] == "complete"]
    assert len(finished) == complete
    assert all("started_at" in each and "finished_at" in each for each in finished)
    of_runs = Counter(span["agent_instance_id"] for span in api.spans.values())
    whole = Counter({each["id"]: SPANS for each in finished})
    assert of_runs == whole or (set_aside and of_runs >= whole)
    assert {span["status"] for span in api.spans.values()} == {"complete"}
    numbers = sorted(
        span["payload"]["number"] for span in api.spans.values() if span["schema_name"] == "step"
    )
    wanted = range(runs * STEPS)
    assert len(numbers) == len(set(numbers))
    assert numbers == list(wanted) or (set_aside and len(numbers) == complete * STEPS)
    check_parents(api)


def check_parents(api: FakeApi) -> None:
    """Assert that the spans of each run are below each other as they were recorded."""
    nothing = {"schema_name": None}
    for span in api.spans.values():
        above = api.spans.get(span["parent_span_id"], nothing)
        assert above.get("agent_instance_id") in (None, span["agent_instance_id"])
        assert PARENTS[span["schema_name"]] == above["schema_name"]


def check_keys(sent: Iterable[tuple[str, Json]], *, ids_change: bool) -> None:
    """Assert that the server can tell whatever came twice: one operation, one key, one content.

    Args:
        sent: Path and body of each request.
        ids_change: Whether instances get new ids.
    """
    by_operation: dict[tuple[str, str], set[str]] = {}
    by_key: dict[str, set[str]] = {}
    for operation, key, subject, content in _operations(sent):
        by_operation.setdefault((operation, subject), set()).add(key)
        by_key.setdefault(key, set()).add(f"{operation} {content}")
    assert {len(keys) for keys in by_operation.values()} == {1}
    if not ids_change:
        assert {len(contents) for contents in by_key.values()} == {1}


def _operations(sent: Iterable[tuple[str, Json]]) -> Generator[tuple[str, str, str, str]]:
    """Yield operation, key, subject and content of what was sent, the same in both forms."""
    for path, body in sent:
        for item in body.get("items", [body]):
            if "idempotency_key" not in item or path.endswith("/agent"):
                continue
            fields = {**item, **item.get("details", {})}
            operation = fields.pop("_type", f"agent_instances/{path.rpartition('/')[2]}")
            key = fields.pop("idempotency_key")
            instance = path.removeprefix("/api/v1/agent_instance/").partition("/")[0]
            match operation:
                case "agent_instances/register":
                    subject = fields["external_identifier"]
                    # These depend on what is known of the server.
                    for name in ("agent_schema_version", "schema_kept", "agent_id"):
                        fields.pop(name, None)
                case "agent_spans/create":
                    subject = fields["id"]
                case "agent_spans/finish":
                    subject = fields["agent_span_id"]
                case _:
                    subject = fields.setdefault("agent_instance_id", instance)
            yield operation, key, subject, json.dumps(fields, sort_keys=True)


# Servers that know less than others, all the time

TYPES: Final = {
    "registrations": ("agent_instances/register",),
    "starts and ends": ("agent_instances/start", "agent_instances/finish"),
    "anything of runs": ("agent_instances/",),
}


def _refusing_requests(types: tuple[str, ...]) -> FakeApi:
    """Return an API that refuses a whole bulk request which has an item of *types*."""

    def rule(path: str, body: Json) -> httpx.Response | None:
        items = body.get("items", ()) if path.endswith("/bulk") else ()
        if any(item["_type"].startswith(types) for item in items):
            return refusal(422, "validation_errors", errors={"items": ["has an unknown _type"]})
        return None

    return FakeApi(in_bulk=RUNS_IN_BULK, rules=[rule])


def _refusing_items(types: tuple[str, ...]) -> FakeApi:
    """Return an API that answers an item of *types* with an error, and stops there."""

    def rule(item: Json) -> Json | None:
        return error("bad_request") if item["_type"].startswith(types) else None

    return FakeApi(in_bulk=RUNS_IN_BULK, item_rules=[rule])


def _leaving_items_out(types: tuple[str, ...]) -> FakeApi:
    """Return an API that answers a bulk request as if it had no items of *types*."""
    api = FakeApi(in_bulk=RUNS_IN_BULK)

    def rule(path: str, body: Json) -> httpx.Response | None:
        if not path.endswith("/bulk"):
            return None
        items = [item for item in body["items"] if not item["_type"].startswith(types)]
        return httpx.Response(200, json=api.take_bulk(items))

    api.rules.append(rule)
    return api


WAYS: Final = {
    "refuses the request": _refusing_requests,
    "refuses the item": _refusing_items,
    "leaves the item out": _leaving_items_out,
}
LEFT_OUT: Final = ("starts and ends",)
"""A registration that is left out may have been carried out: it is repeated in bulk."""


def limited_servers() -> dict[str, Server]:
    """Return the servers that do not take a type in bulk, and those that want the agent's id."""
    servers = {
        f"{way}, {name}": Server(make(types))
        for way, make in WAYS.items()
        for name, types in TYPES.items()
        if make is not _leaving_items_out or name in LEFT_OUT
    }
    for form, in_bulk in FORMS.items():
        api = FakeApi(in_bulk=in_bulk, needs_agent_id=True)
        servers[f"wants the agent's id, {form}"] = Server(api)
    return servers
