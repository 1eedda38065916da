"""prefactor-core, the published client of the API: spans by hand, in coroutines only.

It has no decorator and no synchronous interface. `start` of a span waits for the server's answer,
each span takes two requests, and the whole runs in the event loop of the host.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from typing import Any, TypeAlias

from benchmarks.peers.base import Function, Peer, Place

# Neither has type information, so that they are taken as they come.
Published: TypeAlias = Any


class _Recorder:
    def __init__(self, place: Place) -> None:
        http: Published = importlib.import_module("prefactor_http.config")
        self.core: Published = importlib.import_module("prefactor_core")
        self.config = self.core.PrefactorCoreConfig(
            http_config=http.HttpClientConfig(api_url=place.url, api_token="benchmark")
        )
        self.instance: Published = None

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[None]:
        async with self.core.PrefactorCoreClient(self.config) as client:
            self.instance = await client.create_agent_instance(
                agent_id="benchmark",
                agent_version={"name": "benchmark", "external_identifier": "1"},
                agent_schema_version={"external_identifier": "1", "span_schemas": {}},
            )
            await self.instance.start()
            yield
            await self.instance.finish()

    def decorate(self, function: Function) -> Function:
        name = function.__qualname__

        @functools.wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            async with self.instance.span(name) as span:
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
    )
