"""The floor: a prototype that does the least, to know what cannot be saved.

A closure as decorator, a context variable for the parent, a tuple of bytes into a deque, a thread
that posts bulk requests to the same sink. No redaction, no bounds, no schema, no spool, no runs
that end, no retry: what remit costs beyond it is the price of these.
"""

from __future__ import annotations

import functools
import http.client
import inspect
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import nullcontext
from contextvars import ContextVar
from typing import Any, Final

import msgspec

from benchmarks.peers.base import FLUSH_S, Function, Peer, Place
from remit import _ids

BATCH: Final = 500
WAIT_S: Final = 0.05
RUN_ID: Final = "01m87w83jttgb1tsy0aqwcmb8r9zyn2d"

_encode = msgspec.json.Encoder(enc_hook=vars).encode
_random_bits = random.Random().getrandbits
_parent: ContextVar[int] = ContextVar("parent", default=0)
_pending: deque[tuple[str, int, int, int, int, bytes, bytes]] = deque()


def _binder(function: Function) -> Callable[..., Mapping[str, Any]]:
    parameters = inspect.signature(function).parameters
    # Whose method it is says nothing of the call.
    skipped = "self" in parameters
    names = tuple(parameters)[skipped:]
    defaults = {
        name: parameter.default
        for name, parameter in parameters.items()
        if parameter.default is not parameter.empty
    }

    def bound(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, Any]:
        return {**defaults, **dict(zip(names, args[skipped:], strict=False)), **kwargs}

    return bound


def decorate(function: Function) -> Function:
    """Return *function*, recorded."""
    name, bound = function.__qualname__, _binder(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        began, key, parent = time.time_ns(), _random_bits(80), _parent.get()
        payload = _encode(bound(args, kwargs))
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
        payload = _encode(bound(args, kwargs))
        token = _parent.set(key)
        try:
            result = await function(*args, **kwargs)
        finally:
            _parent.reset(token)
        _pending.append((name, key, parent, began, time.time_ns(), payload, _encode(result)))
        return result

    @functools.wraps(function)
    def iterate(*args: Any, **kwargs: Any) -> Generator[Any]:
        began, key, parent = time.time_ns(), _random_bits(80), _parent.get()
        payload = _encode(bound(args, kwargs))
        items: list[Any] = []
        for item in function(*args, **kwargs):
            items.append(item)
            yield item
        _pending.append((name, key, parent, began, time.time_ns(), payload, _encode(items)))

    if inspect.iscoroutinefunction(function):
        return call_async
    return iterate if inspect.isgeneratorfunction(function) else call


def _body(count: int) -> bytes:
    items: list[bytes] = []
    for _ in range(count):
        name, key, parent, began, ended, payload, result = _pending.popleft()
        text = _ids.encode(key, 26)
        items.append(
            b'{"_type":"agent_spans/create","idempotency_key":"c-%b","details":{"schema_name":"%b",'
            b'"agent_instance_id":"%b","id":"%b","parent_span_id":"%b","status":"complete",'
            b'"started_at":"%d","finished_at":"%d","payload":%b,"result_payload":{"result":%b}}}'
            % (text.encode(), name.encode(), RUN_ID.encode(), text.encode(),
               _ids.encode(parent, 26).encode(), began, ended, payload, result)
        )  # fmt: skip
    return b'{"items":[' + b",".join(items) + b"]}"


class _Sender(threading.Thread):
    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.idle = threading.Event()
        self.pause = threading.Event()

    def run(self) -> None:
        """Post what is pending, again and again."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        while True:
            count = min(len(_pending), BATCH)
            if count:
                self.idle.clear()
                connection.request("POST", "/api/v1/bulk", _body(count))
                connection.getresponse().read()
            else:
                self.idle.set()
                self.pause.wait(WAIT_S)

    def flush(self) -> None:
        """Wait until nothing is pending."""
        while _pending:
            self.pause.wait(WAIT_S)
        self.idle.clear()
        self.idle.wait(FLUSH_S)


def start(place: Place) -> Peer:
    """Return the prototype, with its thread running."""
    sender = _Sender(place.port)
    sender.start()
    return Peer(decorate=decorate, run=nullcontext, flush=sender.flush, roots=0)
