"""A server in a separate process that accepts spans and counts what arrives.

It answers the Prefactor API: register, start, finish, bulk, and spans sent one by one.
`GET /counts` returns the numbers of spans, distinct spans, requests and bytes, and when the first
and the last span arrived by the monotonic clock. `cut` counts the spans of bulk requests that are
incomplete: a payload or result was cut, or the end did not arrive.
`python -m tests.sink [--port N] [--delay-s S] [--silent]`.
"""

from __future__ import annotations

import argparse
import json
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Generator, Hashable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, cast

import msgspec

ROOT: Final = Path(__file__).parents[1]
MOMENT: Final = "2026-01-01T00:00:00.000000Z"
ACCOUNT: Final = "01m87w83jttgb1tsy0aqwcmb8r9zyn2d"
CUT: Final = b'"$remit":"cut"'
ACTIVE: Final = "active"
NOTHING: Final = msgspec.Raw(b"{}")
TAKEN: Final = msgspec.Raw(msgspec.json.encode({"status": "success", "details": {"id": ACCOUNT}}))
"""The answer for each item, encoded once."""
INSTANCES: Final = "agent_instances/"
READ_AHEAD_BYTES: Final = 1 << 16
"""Larger than the head of a request; a longer body is read into a separate buffer."""
GZIP_OR_ZLIB: Final = 47
"""The largest window, and either header. Source: the documentation of `zlib.decompress`."""


class _Details(msgspec.Struct):
    schema_name: str = ""
    status: str = ""
    payload: msgspec.Raw = NOTHING
    result_payload: msgspec.Raw = NOTHING


class _Item(msgspec.Struct, rename={"type": "_type"}):
    type: str
    idempotency_key: str
    details: _Details | None = None
    result_payload: msgspec.Raw = NOTHING


class _Bulk(msgspec.Struct):
    items: list[_Item]


_bulk: Final = msgspec.json.Decoder(_Bulk).decode


def _is_cut(item: _Item) -> bool:
    """Tell whether a span, or its end, came without its payload or its result."""
    values = [item.result_payload]
    if item.details is not None:
        values += [item.details.payload, item.details.result_payload]
    return any(CUT in bytes(value) for value in values)


def plain(body: bytes, encoding: str) -> bytes:
    """Return a body without its `content-encoding`.

    Raises:
        ValueError: The encoding is neither gzip nor deflate.
    """
    if encoding in ("", "identity"):
        return body
    if encoding in ("gzip", "deflate"):
        return zlib.decompress(body, GZIP_OR_ZLIB)
    raise ValueError(f"a body came as {encoding}; the sink reads gzip and deflate")


class Sink:
    """Answers requests and counts the spans in them; a subclass may read other protocols."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._counts: Counter[str] = Counter()
        self._seen: set[Hashable] = set()
        # Keys of spans that have not ended, and of those that arrived without some value.
        self._open: set[str] = set()
        self._cut: set[str] = set()
        self._instances: dict[str, str] = {}
        self._times: dict[str, float] = {}
        self._ids = 0

    def answer(self, path: str, body: bytes, encoding: str = "") -> dict[str, Any]:
        """Return the answer to one request, after counting it."""
        if path == "/counts":
            partial = len(self._cut | self._open)
            return {**self._counts, **self._times, "distinct": len(self._seen), "cut": partial}
        self._counts["requests"] += 1
        self._counts["bytes"] += len(body)
        before = self._counts["spans"]
        answer = self._read(path, plain(body, encoding))
        if self._counts["spans"] > before:
            now_s = time.monotonic()
            self._times = {"first_s": self._times.get("first_s", now_s), "last_s": now_s}
        return answer

    def _read(self, path: str, body: bytes) -> dict[str, Any]:
        if path.endswith("/bulk"):
            return self._take(_bulk(body).items, any_cut=CUT in body)
        if path.startswith("/api/v1/agent_spans"):
            return {"status": "success", "details": self._one_span(path)}
        if path.startswith("/api/v1/agent_instance"):
            return {"status": "success", "details": self._instance(path, body)}
        return self._read_other(path, body)

    def _read_other(self, path: str, body: bytes) -> dict[str, Any]:
        """Return the answer to a request of another API."""
        del path, body
        return {}

    def _count(self, keys: Collection[Hashable]) -> None:
        """Count spans by what identifies them."""
        self._counts["spans"] += len(keys)
        self._seen.update(keys)

    def _new_id(self) -> str:
        self._ids += 1
        return f"{ACCOUNT[:-8]}{self._ids:08x}"

    def _one_span(self, path: str) -> dict[str, Any]:
        """Return a span as the API answers it; the published client sends each by itself."""
        self._counts["spans"] += not path.endswith("/finish")
        return {
            "type": "agent_span",
            "id": self._new_id(),
            "agent_instance_id": ACCOUNT,
            "schema_name": "step",
            "status": "active",
        }

    def _take(self, items: list[_Item], *, any_cut: bool) -> dict[str, Any]:
        outputs: dict[str, Any] = {}
        seen, spans = self._seen, 0
        fresh: list[_Details] = []
        for item in items:
            key = item.idempotency_key
            if item.type.startswith(INSTANCES):
                outputs[key] = self._instance_output(item.type, key)
                continue
            if item.details is not None:
                spans += 1
                if key not in seen:
                    seen.add(key)
                    fresh.append(item.details)
                    if item.details.status == ACTIVE:
                        self._open.add(key)
            elif (created := f"c-{key.removeprefix('f-')}") in seen:
                self._open.discard(created)
            else:
                # A bulk request stops at its first error.
                outputs[key] = {"status": "error", "code": "not_found"}
                self._counts["unknown"] += 1
                break
            outputs[key] = TAKEN
        self._counts["spans"] += spans
        for name, count in Counter([details.schema_name for details in fresh]).items():
            self._counts[name.rpartition(":")[2]] += count
        if any_cut:
            self._cut.update(f"c-{item.idempotency_key[2:]}" for item in items if _is_cut(item))
        return {"status": "success", "outputs": outputs}

    def _instance_output(self, operation: str, key: str) -> msgspec.Raw | dict[str, Any]:
        """Return the output of an operation on an instance; each registration key has its own."""
        if not operation.endswith("/register"):
            return TAKEN
        instance_id = self._instances.setdefault(key, self._new_id())
        return {"status": "success", "details": {"id": instance_id}}

    def _instance(self, path: str, body: bytes) -> dict[str, Any]:
        """Return an agent instance as the API answers it; each registration key has its own."""
        instance_id = ACCOUNT
        if path.endswith("/register"):
            key = json.loads(body).get("idempotency_key", str(time.time_ns()))
            instance_id = self._instances.setdefault(key, self._new_id())
        ids = ("account", "agent", "agent_version", "environment", "agent_deployment")
        return {
            "type": "agent_instance",
            "id": instance_id,
            **{f"{each}_id": ACCOUNT for each in ids},
            "status": "active",
            "inserted_at": MOMENT,
            "updated_at": MOMENT,
        }


class Server(socketserver.ThreadingTCPServer):
    """Listens on loopback, with a thread for each connection; one at a time counts.

    Attributes:
        delay_s: Seconds before each answer; None answers nothing, ever.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, sink: Sink, port: int, delay_s: float | None) -> None:
        """Listen on *port*, on a free one if it is 0."""
        super().__init__(("127.0.0.1", port), _Connection)
        self.delay_s = delay_s
        self._sink = sink
        self._counting = threading.Lock()

    def answer(self, path: str, body: bytes, encoding: str) -> bytes:
        """Return the text of an answer."""
        with self._counting:
            return msgspec.json.encode(self._sink.answer(path, body, encoding))


class _Connection(socketserver.StreamRequestHandler):
    """Answers requests until the client closes the connection."""

    disable_nagle_algorithm = True
    rbufsize = READ_AHEAD_BYTES

    def handle(self) -> None:
        """Answer one after the other."""
        with suppress(ConnectionError):
            while line := self.rfile.readline():
                self._answer(cast("Server", self.server), line.decode("latin-1").split(" ")[1])

    def _answer(self, server: Server, path: str) -> None:
        headers: dict[str, str] = {}
        while (line := self.rfile.readline().decode("latin-1").strip().lower()) != "":
            name, _, value = line.partition(": ")
            headers[name] = value
        size = int(headers.get("content-length", "0"))
        body = self.rfile.read(size)
        if len(body) < size:
            raise ConnectionResetError("the client has gone")
        text = server.answer(path, body, headers.get("content-encoding", ""))
        if path != "/counts" and server.delay_s != 0:
            threading.Event().wait(server.delay_s)
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(text)}"
        self.wfile.write(head.encode() + b"\r\n\r\n" + text)


def main(make: Callable[[], Sink] = Sink) -> None:
    """Listen on loopback, print the port, and serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="a free one if it is 0")
    parser.add_argument("--delay-s", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--silent", action="store_true", help="take everything, never answer")
    options = parser.parse_args()
    with Server(make(), options.port, None if options.silent else options.delay_s) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


@contextmanager
def running(*options: str, module: str = "tests.sink") -> Generator[int]:
    """Start a sink in a process of its own; yield its port."""
    command = [sys.executable, "-m", module, *options]
    # Without the environment: neither coverage nor a setting of Python slows the sink down.
    with subprocess.Popen(command, cwd=ROOT, env={}, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def counts(port: int) -> Counter[str]:
    """Return what the sink at *port* has counted, and when, in seconds of the monotonic clock."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts") as response:
        return Counter(json.loads(response.read()))


if __name__ == "__main__":
    main()
