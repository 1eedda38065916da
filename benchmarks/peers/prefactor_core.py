"""prefactor-core, the published client of the API: spans by hand, in coroutines only.

It has no decorator and no synchronous interface. `start` of a span waits for the server's answer,
each span takes two requests, and all of it runs in the event loop of the host.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from benchmarks.peers import Function, Peer, Place
from benchmarks.workloads import EVENT_LOOP

_instance: ContextVar[Any] = ContextVar("instance")


class _Recorder:
    def __init__(self, place: Place) -> None:
        # Neither package has type information.
        http: Any = importlib.import_module("prefactor_http.config")
        self._core: Any = importlib.import_module("prefactor_core")
        self._config = self._core.PrefactorCoreConfig(
            http_config=http.HttpClientConfig(api_url=place.url, api_token="benchmark")
        )
        self._client: Any = None

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[None]:
        async with self._core.PrefactorCoreClient(self._config) as self._client:
            yield

    async def _begun(self) -> Any:
        instance = await self._client.create_agent_instance(
            agent_id="benchmark",
            agent_version={"name": "benchmark", "external_identifier": "1"},
            agent_schema_version={"external_identifier": "1", "span_schemas": {}},
        )
        await instance.start()
        return instance

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """Open a separate instance, and finish it."""
        instance = await self._begun()
        token = _instance.set(instance)
        yield
        _instance.reset(token)
        await instance.finish()

    @contextmanager
    def short_run(self) -> Generator[None]:
        instance = EVENT_LOOP.run(self._begun())
        token = _instance.set(instance)
        yield
        _instance.reset(token)
        EVENT_LOOP.run(instance.finish())

    @contextmanager
    def session(self) -> Generator[None]:
        connected = self.connected()
        EVENT_LOOP.run(connected.__aenter__())
        with self.short_run():
            yield
        EVENT_LOOP.run(connected.__aexit__(None, None, None))

    def decorate(self, function: Function) -> Function:
        name = function.__qualname__

        @functools.wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            async with _instance.get().span(name) as span:
                await span.start({"args": list(args), "kwargs": kwargs})
                result = await function(*args, **kwargs)
                await span.complete(result)
                return result

        return call


def start(place: Place) -> Peer:
    """Return the client; it connects when its session begins."""
    recorder = _Recorder(place)
    return Peer(
        decorate=recorder.decorate,
        run=nullcontext,
        flush=lambda: None,
        session=recorder.session,
        roots=0,
        short_run=recorder.short_run,
        session_in_loop=recorder.connected,
        run_in_loop=recorder.run,
    )
