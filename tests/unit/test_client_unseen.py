"""remit's own requests are in nobody's log and in nobody's trace; the host's own are."""

from __future__ import annotations

import logging

import httpx
import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from remit._endpoints import ping
from remit.client._http import AsyncHttp, Http


def answer(request: httpx.Request) -> httpx.Response:
    """Answer every ping."""
    del request
    return httpx.Response(200, json={"status": "success", "details": {}})


TRANSPORT = httpx.MockTransport(answer)


async def send_both() -> None:
    """Send a ping of ours through each door."""
    Http("http://remit.test", "t", transport=TRANSPORT).send(ping())
    await AsyncHttp("http://remit.test", "t", transport=TRANSPORT).send(ping())


@pytest.mark.anyio
async def test_a_request_of_ours_leaves_no_line_of_httpx(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The host's own request does."""
    caplog.set_level(logging.INFO)
    await send_both()
    assert caplog.records == []
    async with httpx.AsyncClient(transport=TRANSPORT) as client:
        await client.get("http://host.test")
    assert [record.name for record in caplog.records] == ["httpx"]


def test_a_request_of_ours_is_no_span_of_opentelemetry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Although it wraps the very transport that we hand it to; the host's request is one."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(httpx, "HTTPTransport", Loopback)
    instrumentor = HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        Http("http://remit.test", "t").send(ping())
        assert exporter.get_finished_spans() == ()
        with httpx.Client(transport=httpx.HTTPTransport()) as client:
            client.get("http://host.test")
        assert len(exporter.get_finished_spans()) == 1
    finally:
        instrumentor.uninstrument()


class Loopback(httpx.BaseTransport):
    """Stands in for the network."""

    def __init__(self, **options: object) -> None:
        """Take what httpx's own takes."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer."""
        return answer(request)
