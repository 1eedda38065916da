"""The floor: a prototype that does the least, to show which costs cannot be avoided.

A closure as decorator, a context variable for the parent, a tuple of bytes into a deque, a thread
that posts bulk requests to the same sink. No redaction, no bounds, no schema, no spool, no runs
that end, no retry: remit's cost beyond the floor is the price of these.
"""

from __future__ import annotations

import functools
import http.client
import inspect
import random
import threading
import time
from collections import deque
from contextlib import nullcontext
from contextvars import ContextVar
from typing import Any, Final

import msgspec

from benchmarks.peers import FLUSH_S, Function, Peer, Place

BATCH: Final = 500
WAIT_S: Final = 0.01
RUN_ID: Final = b"01m87w83jttgb1tsy0aqwcmb8r9zyn2d"

_encode = msgspec.json.Encoder().encode
_random_bits = random.Random().getrandbits
_parent: ContextVar[int] = ContextVar("parent", default=0)
_pending: deque[tuple[str, int, int, int, int, bytes, bytes]] = deque()


def decorate(function: Function) -> Function:
    """Return *function*, recorded."""
    name, names = function.__qualname__, tuple(inspect.signature(function).parameters)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        began, key, parent = time.time_ns(), _random_bits(80), _parent.get()
        payload = _encode({**dict(zip(names, args, strict=False)), **kwargs})
        token = _parent.set(key)
        try:
            result = function(*args, **kwargs)
        finally:
            _parent.reset(token)
        _pending.append((name, key, parent, began, time.time_ns(), payload, _encode(result)))
        return result

    @functools.wraps(function)
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        began, key, parent = time.time_ns(), _random_bits(80), _parent.get()
        payload = _encode({**dict(zip(names, args, strict=False)), **kwargs})
        token = _parent.set(key)
        try:
            result = await function(*args, **kwargs)
        finally:
            _parent.reset(token)
        _pending.append((name, key, parent, began, time.time_ns(), payload, _encode(result)))
        return result

    return call_async if inspect.iscoroutinefunction(function) else call


def _body(count: int) -> bytes:
    items: list[bytes] = []
    for _ in range(count):
        name, key, parent, began, ended, payload, result = _pending.popleft()
        text = b"%026x" % key
        items.append(
            b'{"_type":"agent_spans/create","idempotency_key":"c-%b","details":{"schema_name":"%b",'
            b'"agent_instance_id":"%b","id":"%b","parent_span_id":"%b","status":"complete",'
            b'"started_at":"%d","finished_at":"%d","payload":%b,"result_payload":{"result":%b}}}'
            % (text, name.encode(), RUN_ID, text, b"%026x" % parent, began, ended, payload, result)
        )  # fmt: skip
    return b'{"items":[' + b",".join(items) + b"]}"


def _send(port: int, idle: threading.Event) -> None:
    """Post pending spans, again and again; *idle* is set while there are none."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    pause = threading.Event()
    while True:
        if count := min(len(_pending), BATCH):
            idle.clear()
            connection.request("POST", "/api/v1/bulk", _body(count))
            connection.getresponse().read()
        else:
            idle.set()
            pause.wait(WAIT_S)


def start(place: Place) -> Peer:
    """Return the prototype, with its thread running."""
    idle = threading.Event()
    threading.Thread(target=_send, args=(place.port, idle), daemon=True).start()

    def flush() -> None:
        # Twice: the thread may have looked just before the last span was recorded.
        for _ in range(2):
            idle.clear()
            idle.wait(FLUSH_S)

    return Peer(decorate=decorate, run=nullcontext, flush=flush, roots=0)
