"""A collector that strangers can reach, over a socket: what is sent and answered, byte by byte."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from remit.collector import Settings, Store
from remit.testing import FakeClock
from tests.collecting import on_a_port
from tests.inside_collector import AccessLog, ServerOptions, create_app


@contextmanager
def served(
    store: Store,
    settings: Settings,
    *,
    log: Path | None = None,
    options: ServerOptions | None = None,
    clock: FakeClock | None = None,
) -> Generator[str]:
    """Serve a store within limits on a free port; yield the URL."""
    access_log = None if log is None else AccessLog(str(log))
    app = create_app(store, settings=settings, clock=clock, access_log=access_log)
    try:
        with on_a_port(app, settings=settings, options=options) as url:
            yield url
    finally:
        if access_log is not None:
            access_log.close()


def answered(url: str, sent: bytes, *, closed: bool = False) -> bytes:
    """Return the answer to what was sent, all of it or, if asked, all until the server closes."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(sent)
        while (closed or not _whole(answer)) and (part := connection.recv(65536)):
            answer += part
    return answer


def _whole(answer: bytes) -> bool:
    head, ended, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: ([0-9]+)", head)
    return bool(ended) and length is not None and len(body) >= int(length[1])


def told(answer: bytes) -> tuple[int, str]:
    """Return status and code of an answer, which has the envelope of all others."""
    head, _, body = answer.partition(b"\r\n\r\n")
    said = json.loads(body)
    assert said["status"] == "error"
    assert b"content-type: application/json" in head
    assert not re.search(rb"uvicorn|h11|python|remit[/ ]?[0-9]", answer, re.IGNORECASE)
    return int(head.split()[1]), said["code"]
