"""A server that asks for client certificates: what is said without one, and how to give one."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from remit.client import Client
from remit.errors import UnavailableError
from tests.inside import httpx
from tests.loopback import request_of, serving
from tests.process.test_cli_exposure import certificate
from tests.subtests import each


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a certificate and its key, for the server and for its client."""
    return certificate(tmp_path_factory.mktemp("certificate"))


def strict(pair: tuple[Path, Path], version: ssl.TLSVersion) -> ssl.SSLContext:
    """Return the TLS of a server that asks for a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    context.load_verify_locations(pair[0])
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = version
    return context


@each("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_comes_by_the_transport(
    pair: tuple[Path, Path], version: ssl.TLSVersion
) -> None:
    """Without one, the error names TLS and the argument."""
    server = strict(pair, version)

    def behave(connection: socket.socket, _over: threading.Event) -> None:
        with server.wrap_socket(connection, server_side=True) as wrapped:
            request_of(wrapped)
            body = b'{"status": "success", "timestamp": "2026-01-01T00:00:00Z"}'
            head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            wrapped.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    trusting = ssl.create_default_context(cafile=str(pair[0]))
    known = ssl.create_default_context(cafile=str(pair[0]))
    known.load_cert_chain(*pair)
    with serving(behave) as plain:
        url = plain.replace("http://", "https://")
        for context, answers in ((trusting, False), (known, True)):
            transport = httpx.HTTPTransport(verify=context)
            with Client(url, "not-a-real-token", transport=transport, max_retries=0) as client:
                if answers:
                    assert client.ping().status == "success"
                    continue
                with pytest.raises(UnavailableError, match="refused the TLS connection") as raised:
                    client.ping()
                assert "client certificate" in str(raised.value)
