"""Why no answer came: each reason has its sentence, and none shows a token or a payload."""

from __future__ import annotations

import gzip
import socket
import ssl
import struct
import threading
from typing import NoReturn

import pytest

from remit.errors import ContractError, UnavailableError
from tests.http_clients import (
    PING,
    WRITE,
    Sends,
    answering,
    both,
    hides_everything,
)
from tests.inside import httpx
from tests.loopback import request_of, serving, unused_port
from tests.subtests import each


@both
async def test_certificates_that_are_not_there_are_told(
    send: Sends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the variable; it may work later, so what waits is kept."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with pytest.raises(UnavailableError, match="SSL_CERT_FILE"):
        await send(PING, url=f"https://127.0.0.1:{unused_port()}")


@both
async def test_a_refused_connection_is_told(send: Sends) -> None:
    """The error has host and port, and says what to do."""
    port = unused_port()
    with pytest.raises(
        UnavailableError, match=f"127.0.0.1:{port} refused the connection.*Start the server"
    ) as caught:
        await send(WRITE, url=f"http://127.0.0.1:{port}")
    assert caught.value.status is None
    hides_everything(caught.value)


@both
async def test_an_unknown_host_is_told(send: Sends, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the host."""

    def unknown(*_args: object, **_options: object) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UnavailableError, match=r"host name of nowhere.invalid:81 is unknown"):
        await send(PING, url="http://nowhere.invalid:81")


@both
async def test_a_server_that_says_nothing_is_told(send: Sends) -> None:
    """The error says how long the call waited."""

    def silent(connection: socket.socket, over: threading.Event) -> None:
        request_of(connection)
        over.wait()

    with (
        serving(silent) as url,
        pytest.raises(UnavailableError, match=r"no response from .* within 0.3 s") as caught,
    ):
        await send(WRITE, url=url, timeout_s=0.3)
    hides_everything(caught.value)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"


@both
async def test_an_answer_that_trickles_cannot_hold_a_call(send: Sends) -> None:
    """The deadline is one for the whole answer, not one for each read."""

    def trickle(connection: socket.socket, over: threading.Event) -> None:
        request_of(connection)
        connection.sendall(HEAD)
        for _ in range(100_000):
            connection.sendall(b" ")
            if over.wait(0.05):
                return

    with serving(trickle) as url, pytest.raises(UnavailableError, match="no response from"):
        await send(PING, url=url, timeout_s=0.3)


@both
async def test_a_connection_that_breaks_is_told(send: Sends) -> None:
    """The connection is reset while the answer comes."""

    def reset(connection: socket.socket, _over: threading.Event) -> None:
        request_of(connection)
        connection.sendall(HEAD)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with (
        serving(reset) as url,
        pytest.raises(UnavailableError, match=r"the connection to .* broke \(.*It may work later"),
    ):
        await send(PING, url=url)


@both
@each("words", [b"", b"SSH-2.0-OpenSSH_9.6\r\n"], ids=["nothing", "ssh"])
async def test_a_port_that_does_not_speak_http_is_told(send: Sends, words: bytes) -> None:
    """The server closes the connection, or answers in another protocol."""

    def other(connection: socket.socket, _over: threading.Event) -> None:
        request_of(connection)
        connection.sendall(words)

    with (
        serving(other) as url,
        pytest.raises(UnavailableError, match=r"broke off, or does not use HTTP .*http or https"),
    ):
        await send(PING, url=url)


@both
async def test_a_port_that_does_not_speak_tls_is_told(send: Sends) -> None:
    """The error asks whether the server speaks https."""

    def plain(connection: socket.socket, _over: threading.Event) -> None:
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with (
        serving(plain) as url,
        pytest.raises(UnavailableError, match=r"no TLS with .*whether it supports https"),
    ):
        await send(PING, url=url.replace("http:", "https:"))


@both
async def test_an_answer_in_a_broken_encoding_is_told(send: Sends) -> None:
    """Trying again cannot help."""
    handler = answering(gzip.compress(b"{}")[:-4] + b"oops", encoding="gzip")
    with pytest.raises(ContractError, match="cannot be decompressed"):
        await send(PING, handler=handler)


@both
@each(
    ("raised", "said"),
    [
        (httpx.ConnectTimeout("t"), "no connection to api.example within 60 s.*firewall"),
        (httpx.PoolTimeout("t"), "no response from api.example within 60 s"),
        (httpx.WriteTimeout("t"), "no response from"),
        (httpx.ProxyError("407 no\nforged"), r"the proxy rejected the request \(407 no forged\)"),
        (httpx.ConnectError("no route"), r"cannot be reached \(no route\)"),
        (httpx.WriteError(""), r"broke \(WriteError\)"),
        (httpx.LocalProtocolError("odd"), r"broke \(odd\)"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_every_failure_of_httpx_has_its_sentence(
    send: Sends, raised: Exception, said: str
) -> None:
    """The sentence shows neither token nor payload."""

    def fail(_request: httpx.Request) -> httpx.Response:
        raise raised

    with pytest.raises(UnavailableError, match=said) as caught:
        await send(WRITE, handler=fail)
    hides_everything(caught.value)


def connect_error(cause: BaseException) -> httpx.ConnectError:
    """Return what httpx raises because of *cause*."""
    error = httpx.ConnectError("All connection attempts failed")
    error.__cause__ = OSError("All connection attempts failed")
    error.__cause__.__cause__ = cause
    return error


def untrusted() -> ssl.SSLCertVerificationError:
    """Return what the system says of a certificate that nobody signed."""
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


@both
@each(
    ("cause", "said"),
    [
        (untrusted(), r"TLS certificate of api.example is not trusted.*SSL_CERT_FILE"),
        (ssl.SSLError(1, "wrong version number"), "no TLS with api.example .*wrong version"),
        (
            BaseExceptionGroup("all", [OSError(101, "down"), ConnectionRefusedError(111, "no")]),
            "api.example refused the connection",
        ),
        (OSError(113, "no route to host"), "api.example cannot be reached"),
    ],
    ids=["certificate", "tls", "refused twice", "no route"],
)
async def test_the_reason_is_looked_for_among_the_causes(
    send: Sends, cause: BaseException, said: str
) -> None:
    """The error of httpx is a `ConnectError` for all of them."""

    def fail(_request: httpx.Request) -> httpx.Response:
        raise connect_error(cause)

    with pytest.raises(UnavailableError, match=said):
        await send(PING, handler=fail)


@both
@each("kind", [httpx.ConnectError, httpx.ReadError, httpx.WriteError])
async def test_a_server_that_refuses_tls_is_told_from_a_broken_connection(
    send: Sends, kind: type[httpx.TransportError]
) -> None:
    """With TLS 1.3 the alert about a missing client certificate arrives after the handshake."""

    def fail(_request: httpx.Request) -> httpx.Response:
        alert = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert")
        raise kind(str(alert)) from alert

    with pytest.raises(
        UnavailableError, match=r"api\.example refused the TLS connection"
    ) as raised:
        await send(PING, handler=fail)
    assert "CERTIFICATE_REQUIRED" in str(raised.value)
    assert "client certificate" in str(raised.value)
    assert "transport=" in str(raised.value)
    assert "may work later" not in str(raised.value)


@both
@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        pytest.param("socks5://me:hunter2@127.0.0.1:9", "SOCKS", id="another-package"),
        pytest.param("gopher://127.0.0.1:9", "scheme", id="no-proxy"),
        pytest.param("http://me:hunter2@127.0.0.1:{port}", "onnect", id="away"),
    ],
)
async def test_a_proxy_that_cannot_be_used_is_told_apart_from_the_server(
    send: Sends, proxy: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the variable; user and password of the proxy are not shown."""
    for name in ("http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", proxy.format(port=unused_port()))
    with pytest.raises(
        UnavailableError, match=r"the proxy .*127.0.0.1:\d+ cannot be used .*HTTP_PROXY"
    ) as caught:
        await send(PING, url="http://127.0.0.1:9")
    assert reason in str(caught.value)
    assert "hunter2" not in str(caught.value)
    hides_everything(caught.value)
