"""Random interleavings of asks: no body without a yes of its own, and no yes for two bodies.

Tasks call an asked step with shared arguments, which other tasks change. The approver says yes, no
or something else, fails, is killed, answers too late, or pauses its framework, which goes on with
old answers. A task is cancelled, and the run terminated, at any time.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Annotated, Any

import pytest

import remit
from remit.errors import DeniedError, RunTerminated
from remit.testing import FakeClock, isolated

CALLS = 6
ORDERS = 3
TIME_LIMIT_S = 10.0
SEEDS = int(os.environ.get("REMIT_TEST_ASKS", "100"))


class Pause(Exception):  # noqa: N818 - as frameworks call theirs
    """How the framework pauses."""


class Killed(BaseException):
    """How an approver ends that is no `Exception`."""


@remit.span_type(data_risk=remit.risk(allows="financial_transactions"))
async def send(order: dict[str, int], world: Annotated[World, remit.Skip]) -> None:
    """Note with which arguments it runs, and that it runs."""
    world.note_body(order)
    await asyncio.sleep(0)


@remit.span_type(data_risk=remit.risk(allows="financial_transactions"))
def send_now(euros: int, note: Callable[[int], None]) -> None:
    """Note with which arguments it runs."""
    note(euros)


@remit.agent(data_risk=remit.risk(asks="financial_transactions"))
def desk() -> None:
    """Ask about payments."""


class World:
    """One interleaving, decided by a seed.

    Attributes:
        yeses: By arguments, the answers of persons that were in time, each counted once.
        bodies: By arguments, the bodies that began.
    """

    def __init__(self, seed: int) -> None:
        """Prepare the arguments."""
        self.random = random.Random(seed)
        self.clock = FakeClock()
        self.orders = [{"euros": number} for number in range(ORDERS)]
        self.yeses: Counter[int] = Counter()
        self.bodies: Counter[int] = Counter()
        self.ended = False
        self.sealed: dict[str, tuple[int, object]] = {}
        """By seal, what was shown and the answer."""

    def note_body(self, order: dict[str, int]) -> None:
        """Check that a body may begin now."""
        euros = order["euros"]
        self.bodies[euros] += 1
        assert not self.ended, "a body began after the termination"
        assert self.bodies[euros] <= self.yeses[euros], "a body began without a yes of its own"

    async def wait(self) -> None:
        """Let other tasks run."""
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)

    async def approve(self, request: remit.ApprovalRequest) -> object:
        """Answer in some way, after some time."""
        order: Any = request.arguments["order"]
        shown: int = order["euros"]
        for seal, (_, answer) in list(self.sealed.items()):
            if request.matches(seal):
                await self.wait()
                return answer
        await self.wait()
        kind = self.random.choice(
            ["yes", "yes", "yes", "no", "other", "fails", "killed", "late", "pause", "pause"]
        )
        if kind == "fails":
            raise ValueError
        if kind == "killed":
            raise Killed
        if kind == "pause":
            seal = request.seal()
            yes = self.random.random() < 0.7
            self.sealed[seal] = (shown, remit.Approved(by="dana") if yes else remit.Refused(by="d"))
            self.yeses[shown] += yes
            raise Pause
        if kind == "late":
            self.clock.advance(TIME_LIMIT_S + 1)
            return remit.Approved(by="dana")
        if kind == "no":
            return remit.Refused(by="dana")
        if kind == "yes":
            self.yeses[shown] += 1
            return remit.Approved(by="dana")
        return self.random.choice([None, True, "yes", remit.Refused()])

    async def work(self) -> None:
        """Call the step, and go on after a pause with the old answers, more than once."""
        order = self.random.choice(self.orders)
        for _ in range(self.random.randrange(1, 4)):
            await self.wait()
            with suppress(DeniedError, Pause, Killed, RunTerminated):
                await send(order, self)

    async def change(self) -> None:
        """Change arguments at any time."""
        for _ in range(self.random.randrange(3)):
            await self.wait()
            self.random.choice(self.orders)["euros"] = self.random.randrange(ORDERS + 1)

    async def end(self, tasks: list[asyncio.Task[None]], feed: Any) -> None:
        """Cancel a task or terminate the run at any time, or neither."""
        await self.wait()
        await self.wait()
        what = self.random.randrange(4)
        if what == 0:
            self.random.choice(tasks).cancel()
        elif what == 1:
            feed.terminated, self.ended = "by a person", True

    async def live(self) -> None:
        """Run all tasks to their ends."""
        with desk.run() as run:
            tasks = [asyncio.create_task(self.work()) for _ in range(CALLS)]
            tasks += [asyncio.create_task(self.change())]
            tasks += [asyncio.create_task(self.end(tasks[:CALLS], run._run.feed))]  # noqa: SLF001
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        wrong = [each for each in ended if isinstance(each, AssertionError)]
        if wrong:
            raise wrong[0]


def lives(seed: int) -> World:
    """Live one interleaving."""
    world = World(seed)
    with isolated(
        on_violation="deny",
        approver=world.approve,
        ask_timeout_s=TIME_LIMIT_S,
        control_flow=(Pause,),
        clock=world.clock,
    ):
        asyncio.run(world.live())
    return world


def test_each_body_has_a_yes_of_its_own() -> None:
    """Each check of an ask is needed in several of a hundred; `REMIT_TEST_ASKS=1000` tries more."""
    worlds = [lives(seed) for seed in range(SEEDS)]
    bodies = sum(world.bodies.total() for world in worlds)
    yeses = sum(world.yeses.total() for world in worlds)
    assert SEEDS < bodies <= yeses


@pytest.mark.parametrize("seed", range(10))
def test_threads_with_one_answer_for_each_seal(seed: int) -> None:
    """Eight threads go on with the same old answers at the same time."""
    chance = random.Random(seed)
    lock, start = threading.Lock(), threading.Barrier(8)
    sealed: dict[str, int] = {}
    bodies: Counter[int] = Counter()

    def approve(request: remit.ApprovalRequest) -> remit.Approved:
        for seal in list(sealed):
            if request.matches(seal):
                return remit.Approved(by="dana")
        with lock:
            sealed[request.seal()] = int(str(request.arguments["euros"]))
        raise Pause

    def note(euros: int) -> None:
        with lock:
            bodies[euros] += 1

    def work() -> None:
        start.wait(10)
        for _ in range(5):
            with suppress(DeniedError, Pause):
                send_now(chance.randrange(2), note)

    with (
        isolated(on_violation="deny", approver=approve, control_flow=(Pause,)),
        desk.run(),
        ThreadPoolExecutor(8) as pool,
    ):
        for future in [pool.submit(remit.copy_context(work)) for _ in range(8)]:
            future.result(30)
    yeses = Counter(sealed.values())
    assert all(count <= yeses[euros] for euros, count in bodies.items())
    assert bodies
