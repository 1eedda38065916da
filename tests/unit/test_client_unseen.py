"""remit's own requests are in nobody's log and in nobody's trace; the host's own are."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from opentelemetry.instrumentation import httpx as instrumentation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from remit.client import AsyncClient, Client
from tests.inside import httpx
from tests.loopback import request_of, serving


@contextmanager
def server() -> Generator[str]:
    """Serve an answer to every request; yield the URL."""

    def answer(connection: socket.socket, _over: threading.Event) -> None:
        while request_of(connection):
            connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"status":"success"}')

    with serving(answer) as url:
        yield url


async def ping_twice(url: str) -> None:
    """Send a ping through each of the two clients."""
    with Client(url, "t") as client:
        client.ping()
    async with AsyncClient(url, "t") as async_client:
        await async_client.ping()


async def test_a_request_of_ours_leaves_no_line_of_httpx(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log has the host's own request alone."""
    caplog.set_level(logging.INFO)
    with server() as url:
        await ping_twice(url)
        assert caplog.records == []
        async with httpx.AsyncClient(timeout=60) as client:
            await client.get(url)
    assert [record.name for record in caplog.records] == [httpx.__name__]


async def test_a_request_of_ours_is_no_span_of_opentelemetry() -> None:
    """Its instrumentation of httpx sees the host's own request alone."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = getattr(instrumentation, f"{httpx.__name__.upper()}ClientInstrumentor")()
    instrumentor.instrument(tracer_provider=provider)
    try:
        with server() as url:
            await ping_twice(url)
            assert exporter.get_finished_spans() == ()
            async with httpx.AsyncClient(timeout=60) as client:
                await client.get(url)
        assert len(exporter.get_finished_spans()) == 1
    finally:
        instrumentor.uninstrument()
