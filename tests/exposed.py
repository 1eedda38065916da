"""A collector that strangers can reach, over a socket: what is sent and answered, byte by byte."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from remit.collector import Settings, Store, create_app
from remit.collector.exposure import AccessLog
from remit.collector.server import Door, Server, listen


@contextmanager
def served(
    store: Store, settings: Settings, *, log: Path | None = None, door: Door | None = None
) -> Generator[str]:
    """Serve a store within limits on a free port; yield the URL."""
    access_log = None if log is None else AccessLog(str(log))
    app = create_app(store, settings=settings, access_log=access_log)
    ready = threading.Event()
    with listen("127.0.0.1", 0) as listener:
        server = Server(app, listener, settings=settings, door=door, on_start=lambda _: ready.set())
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            assert ready.wait(10)
            yield server.url
        finally:
            server.stop()
            thread.join(20)
            if access_log is not None:
                access_log.close()


def answered(url: str, sent: bytes) -> bytes:
    """Return what comes back until the connection is closed, for what was sent and left open."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(sent)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def told(answer: bytes) -> tuple[int, str]:
    """Return status and code of an answer, which has the envelope of all others."""
    head, _, body = answer.partition(b"\r\n\r\n")
    said = json.loads(body)
    assert said["status"] == "error"
    assert b"content-type: application/json" in head
    assert not re.search(rb"uvicorn|httptools|python|remit[/ ]?[0-9]", answer, re.IGNORECASE)
    return int(head.split()[1]), said["code"]
