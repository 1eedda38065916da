"""The canary table: a secret in every place where a value can enter, and nowhere on its way out.

What is searched is what really leaves the program: the bodies of requests, every file that remit
writes, and every log line of the process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from remit.config import Settings
from tests.fake_api import FakeApi
from tests.hiding import by_hand, calls, failures
from tests.hiding.table import canaries, plant_all
from tests.inside import httpx, setup
from tests.spooling import wait_until_written

PLANTED_BY = (calls, failures, by_hand)
"""Their import fills the table."""

CANARIES = canaries()


class Lines(logging.Handler):
    """Keeps every log line of the process, with the tracebacks that a formatter would print."""

    def __init__(self) -> None:
        """Start without any."""
        super().__init__(logging.DEBUG)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.text += self.format(record) + "\n"


def planted(settings: Settings, *, delivered: bool = True) -> bytes:
    """Plant every canary, deliver what is recorded, and return every log line."""
    lines, root = Lines(), logging.getLogger()
    level = root.level
    root.addHandler(lines)
    root.setLevel(logging.DEBUG)
    try:
        with setup.isolated(settings) as runtime:
            plant_all()
            wait_until_written(runtime.status)
            assert bool(runtime.flush(30.0 if delivered else 1.0)) is delivered
            status = runtime.status()
            assert status.faults == {}
            assert sum(status.redacted.values()) > len(CANARIES)
    finally:
        root.setLevel(level)
        root.removeHandler(lines)
    return lines.text.encode()


def files(folder: Path) -> bytes:
    """Return what all files in *folder* hold."""
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def sending(folder: Path, answer: Callable[[httpx.Request], httpx.Response]) -> Settings:
    """Return the settings of a program that sends to a server which answers so."""
    return Settings(
        api_url="http://api.example",
        api_token=SecretStr("pf_0123456789abcdef"),
        transport=httpx.MockTransport(answer),
        data_dir=folder,
    )


def remote(folder: Path) -> bytes:
    """Return what a server is sent, what is left on disk, and what is logged."""
    api, bodies = FakeApi(), list[bytes]()

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(str(request.url).encode() + request.content)
        return api.answer(request)

    log = planted(sending(folder, answer))
    return b"\n".join((*bodies, files(folder), log))


def spooled(folder: Path) -> bytes:
    """Return what is kept on disk for a server that is down, and what is logged."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    log = planted(sending(folder, refuse), delivered=False)
    return files(folder) + log


def local(folder: Path) -> bytes:
    """Return what the collector inside the process stores, and what is logged."""
    log = planted(Settings(mode="local", data_dir=folder))
    return files(folder) + log


@pytest.mark.parametrize("leave", [remote, spooled, local], ids=lambda mode: mode.__name__)
def test_a_planted_secret_is_found_nowhere(leave: Callable[[Path], bytes], tmp_path: Path) -> None:
    """The place of each value is in the evidence, the value is not."""
    evidence = leave(tmp_path)
    # A table that shrinks by accident proves less than it says.
    assert len(CANARIES) >= 50
    assert [name for name in CANARIES if f'"place":"{name}"'.encode() not in evidence] == []
    assert [name for name, canary in CANARIES.items() if canary.encode() in evidence] == []
