"""`flush_on="run"`: what a run recorded has left the process's memory when the call returns."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import remit
from remit._runtime import process
from remit.config import SERVERLESS, load
from tests.delivering import wait_for
from tests.fake_api import FakeApi
from tests.inside import httpx
from tests.unconfigured import unconfigured

HOUR_S = 3600.0
LONG_S = 600.0
"""Longer than a test may take: what returns did not wait for it."""
SHORT_S = 0.5
RUNS = 240
"""If each waited for `SHORT_S`, they would take two minutes; half of it is for a busy machine."""


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start from a process that has configured nothing, on a machine that freezes nothing."""
    for name in SERVERLESS:
        monkeypatch.delenv(name, raising=False)
    with unconfigured():
        yield


@pytest.fixture
def api(tmp_path: Path) -> FakeApi:
    """Return a server to which a run's end alone brings anything in time."""
    api = FakeApi()
    configure(api.transport, tmp_path)
    return api


def configure(transport: httpx.BaseTransport, folder: Path, **settings: Any) -> None:
    """Flush after each run, and at no other time."""
    given: dict[str, Any] = {
        "exit_timeout_s": LONG_S,
        "flush_interval_s": HOUR_S,
        "flush_on": "run",
    } | settings
    remit.configure(
        api_url="http://remit.test", api_token="t", transport=transport, data_dir=folder, **given
    )


@remit.span_type("flushed step")
def step() -> None:
    """Be a step."""


@remit.agent
def answer() -> None:
    """Answer in one step."""
    step()


@remit.agent
def answers() -> Iterator[int]:
    """Answer bit by bit."""
    step()
    yield 1
    yield 2


@remit.agent
async def reply() -> None:
    """Answer in one step, on an event loop."""
    await anyio.lowlevel.checkpoint()
    step()


@remit.agent
async def replies() -> AsyncIterator[int]:
    """Answer bit by bit, on an event loop."""
    step()
    yield 1


def in_a_block() -> None:
    """Record a run by hand."""
    with answer.run():
        step()


def in_a_block_that_fails() -> None:
    """Record a run by hand, which fails."""
    with suppress(KeyError), answer.run():
        step()
        raise KeyError


def stopped_early() -> None:
    """Leave a stream before its end."""
    for _ in answers():
        break


def outliving() -> None:
    """Use up a stream after the block of its run."""
    with answer.run():
        stream = answers()
        next(stream)
    assert list(stream) == [2]


async def in_an_async_block() -> None:
    """Record a run by hand, on an event loop."""
    async with answer.run():
        step()


def statuses(api: FakeApi) -> set[str]:
    """Return the statuses of all runs and spans that the server has."""
    return {each["status"] for each in (*api.instances.values(), *api.spans.values())}


@pytest.mark.parametrize("variable", SERVERLESS)
def test_it_is_chosen_where_functions_are_frozen(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a person says counts more, an empty variable counts for nothing."""
    assert load({}).flush_on == "interval"
    monkeypatch.setenv(variable, "")
    assert load({}).flush_on == "interval"
    monkeypatch.setenv(variable, "shop")
    assert load({}).flush_on == "run"
    assert load({"flush_on": "interval"}).flush_on == "interval"
    monkeypatch.setenv("REMIT_FLUSH_ON", "interval")
    assert load({}).flush_on == "interval"


@pytest.mark.parametrize(
    "call",
    [answer, lambda: list(answers()), in_a_block, in_a_block_that_fails, outliving],
    ids=["a call", "a stream", "a block", "a block that fails", "a stream outlives its block"],
)
def test_a_run_is_delivered_when_the_call_returns(call: Callable[[], object], api: FakeApi) -> None:
    """The whole of it: each span, and its end."""
    call()
    assert "flushed step" in api.names()
    assert "active" not in statuses(api)


def test_a_stream_that_is_left_early_is_delivered_too(api: FakeApi) -> None:
    """It ends its run as soon as nobody holds it."""
    stopped_early()
    assert statuses(api) == {"complete", "cancelled"}


@pytest.mark.parametrize("call", [reply, in_an_async_block])
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_an_awaited_run_is_delivered_while_the_loop_goes_on(
    call: Callable[[], Any], loop: str, api: FakeApi
) -> None:
    """The server answers when the loop says so."""
    asked, answering = threading.Event(), threading.Event()

    def wait(_path: str, _body: object) -> None:
        asked.set()
        answering.wait(LONG_S)

    async def turn() -> None:
        while not asked.is_set():  # noqa: ASYNC110 - it is set by a thread
            await anyio.sleep(0.001)
        answering.set()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(turn)
            with anyio.fail_after(LONG_S / 2):
                await call()
        assert statuses(api) == {"complete"}

    api.rules.append(wait)
    anyio.run(main, backend=loop)


def test_a_trio_that_another_thread_imports_is_none_yet(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender imports it, with httpcore, while the first run may end."""
    for name in ("trio", "trio.lowlevel"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    asyncio.run(reply())
    assert statuses(api) == {"complete"}


def sync_call() -> None:
    """Call a sync agent where an event loop runs."""
    answer()


def sync_block() -> None:
    """Open a sync block where an event loop runs."""
    in_a_block()


@pytest.mark.parametrize("call", [sync_call, sync_block, stopped_early, outliving])
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_run_that_cannot_be_awaited_holds_no_loop(
    call: Callable[[], None], loop: str, api: FakeApi
) -> None:
    """The call returns before the server answers, which has been asked without any interval."""
    asked, answering = threading.Event(), threading.Event()

    def wait(_path: str, _body: object) -> None:
        asked.set()
        answering.wait(LONG_S)

    async def main() -> None:
        call()
        assert not answering.is_set()
        assert await anyio.to_thread.run_sync(asked.wait, LONG_S / 2)
        answering.set()

    api.rules.append(wait)
    anyio.run(main, backend=loop)


def test_an_async_stream_is_begun_to_be_delivered_at_its_end(api: FakeApi) -> None:
    """Nothing is awaited at the end of a stream, which may be closed anywhere."""

    async def main() -> None:
        assert [each async for each in replies()] == [1]
        with anyio.fail_after(LONG_S / 2):
            while "complete" not in statuses(api):  # noqa: ASYNC110 - a thread delivers
                await anyio.sleep(0.001)

    anyio.run(main)


def test_a_coroutine_that_is_closed_awaits_nothing(api: FakeApi) -> None:
    """Closing it at any point is as quiet as closing a bare one, and it is delivered."""
    coroutine = reply()
    with pytest.raises(RuntimeError):
        coroutine.send(None)  # no event loop runs
    coroutine = in_an_async_block()
    with pytest.raises(StopIteration):
        coroutine.send(None)

    async def waiting() -> None:
        async with answer.run():
            await asyncio.Future()

    async def main() -> None:
        held = waiting()
        held.send(None)
        held.close()

    asyncio.run(main())
    assert remit.flush(LONG_S)
    assert statuses(api) == {"complete", "failed", "cancelled"}


class Silent(httpx.BaseTransport):
    """A server that never answers, until it is told to."""

    def __init__(self) -> None:
        """Begin in silence."""
        self.over = threading.Event()
        self.asked = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Wait."""
        self.asked += 1
        self.over.wait()
        raise httpx.ReadTimeout("silence", request=request)


def test_a_silent_server_costs_one_run_the_bound_and_the_next_nothing(tmp_path: Path) -> None:
    """What cannot be delivered is on disk when the call returns."""
    silent = Silent()
    configure(silent, tmp_path, exit_timeout_s=SHORT_S)
    began_s = time.monotonic()
    for _ in range(1 + RUNS):
        answer()
    assert time.monotonic() - began_s < RUNS * SHORT_S / 2
    now = remit.status()
    assert silent.asked == 1
    assert now.pending == now.spooled > RUNS * 3
    silent.over.set()


def test_a_server_that_is_down_is_tried_in_its_own_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not by every run; one line says so, and after the recovery all is delivered."""
    caplog.set_level(logging.INFO, "remit")
    api = FakeApi()
    down = [httpx.ConnectError("refused")]
    api.rules.append(lambda _path, _body: down[0] if down else None)
    configure(api.transport, tmp_path)
    for _ in range(50):
        answer()
    now = remit.status()
    assert now.pending == now.spooled > 50 * 3
    assert len(api.seen) < 10
    assert len([line for line in caplog.messages if "nothing can be delivered" in line]) == 1
    down.clear()
    assert remit.flush(LONG_S)
    answer()
    assert len(api.instances) == 51
    assert statuses(api) == {"complete"}


def test_a_run_waits_for_one_try_and_for_no_further_one(api: FakeApi) -> None:
    """The bound is for a server that is slow, not for the waits between tries."""

    def fail_slowly(_path: str, _body: object) -> httpx.ConnectError:
        threading.Event().wait(SHORT_S / 2)
        return httpx.ConnectError("refused")

    api.rules.append(fail_slowly)
    answer()
    api.rules.clear()


def test_a_stream_collected_by_the_sender_does_not_have_it_wait_for_itself(api: FakeApi) -> None:
    """A collected stream ends its run wherever the collector happens to run."""
    held = [answers()]
    next(held[0])

    def collect(_path: str, _body: object) -> None:
        held.clear()

    api.rules.append(collect)
    answer()
    assert held == []
    assert remit.flush(60)


def test_a_run_that_lingered_too_long_does_not_have_the_writer_wait_for_itself(
    tmp_path: Path,
) -> None:
    """It is the writer that ends such a run."""
    api = FakeApi()
    configure(api.transport, tmp_path, run_linger_s=0.0, flush_interval_s=0.05)
    held: list[Iterator[int]] = []

    with answer.run():
        held.append(answers())
        next(held[0])
    wait_for(lambda: "complete" in {each["status"] for each in api.instances.values()})
    held.clear()


def test_streams_in_flight_at_the_exit_cost_no_flush_each(tmp_path: Path) -> None:
    """The exit has one deadline, however many runs it ends."""
    api = FakeApi()
    configure(api.transport, tmp_path, exit_timeout_s=SHORT_S)
    streams = [answers() for _ in range(RUNS)]
    for stream in streams:
        next(stream)
    over = threading.Event()

    def linger(_path: str, _body: object) -> None:
        over.wait(SHORT_S / 4)

    api.rules.append(linger)
    began_s = time.monotonic()
    process.current().at_exit()
    assert time.monotonic() - began_s < RUNS * SHORT_S / 2
    over.set()
