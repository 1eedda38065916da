"""The flush that is awaited: on both event loops, which go on meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

import remit
from tests.fake_api import FakeApi
from tests.unconfigured import unconfigured


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Start from a process that has configured nothing."""
    with unconfigured():
        yield


@remit.agent("Flushed agent")
def agent() -> None:
    """Hold the run of this test."""


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_flush_that_is_awaited_holds_no_loop(loop: str, tmp_path: Path) -> None:
    """The server answers when the loop says so, which turns while the flush waits."""
    asked, answering = threading.Event(), threading.Event()

    def wait(_path: str, _body: object) -> None:
        asked.set()
        assert answering.wait(60)

    api = FakeApi(rules=[wait])
    delivered: list[bool] = []

    async def flush() -> None:
        delivered.append(bool(await remit.aflush(60)))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(flush)
            while not asked.is_set():  # noqa: ASYNC110 - it is set by a thread
                await anyio.sleep(0.001)
            answering.set()

    remit.configure(
        api_url="http://remit.test", api_token="t", transport=api.transport, data_dir=tmp_path
    )
    agent()
    anyio.run(main, backend=loop)
    assert delivered == [True]
    assert len(api.spans) == 2
