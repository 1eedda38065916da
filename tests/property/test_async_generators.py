"""A decorated async generator does what the bare one does, on asyncio and on trio.

As for generators, and more can happen: a cancellation at any await, a time limit, steps from other
tasks, a step during a step, being dropped, being left to the end of the loop.
"""

from __future__ import annotations

import contextvars
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import pytest

from tests.loops import LOOPS, Loop
from tests.scripted import FACTOR, stage
from tests.scripts import LAST_STEPS, STEPS, Scene, Script, error_of, react, watched

pytestmark = [pytest.mark.python, pytest.mark.timeout(900)]

Anything: TypeAlias = Any

ASYNC_SCRIPTS = 1_000
ACTS = (*STEPS, "stop-async", "leave")
PLACES = ("here", "here", "task", "empty", "interrupted", "timeout", "intruded")
SETTLING_PAUSES = 6


@dataclass
class Air:
    """What a body awaits in, and what happens to it there.

    Attributes:
        loop: The event loop.
        fuse: Awaits to go until the cancellation, None without one.
        intruder: Called at the next await: what steps the generator once more.
    """

    loop: Loop
    fuse: int | None = None
    intruder: Callable[[], Awaitable[None]] | None = None

    async def pause(self) -> None:
        """Await, from inside the body."""
        intruder, self.intruder = self.intruder, None
        if intruder is not None:
            await intruder()
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                self.fuse = None
                self.loop.interrupt()
        await self.loop.pause()


async def async_body(scene: Scene) -> AsyncGenerator[object, object]:
    """Run the script's body, awaiting all over the place."""
    pause = scene.air.pause
    with scene:
        try:
            for place, action in enumerate(scene.script.body):
                scene.inside()
                try:
                    await pause()
                    if action == "raise":
                        raise KeyError(place)
                    if action == "return":
                        return
                    with scene.section(action):
                        scene.trace.append(("got", (yield (place, action))))
                        await pause()
                except ValueError as error:
                    scene.trace.append(("caught", repr(error)))
                    if action != "catch":
                        raise
                except GeneratorExit as error:
                    if react(scene, place, action, error):
                        return
                    yield "ignored"
                    raise
        finally:
            scene.inside()
            await pause()
            scene.trace.append("finally")


def play_async(loop: Loop, function: Anything, scene: Scene) -> None:
    """Do to an async generator what the script says, in a loop of its own."""
    scene.air = Air(loop)
    with watched(scene.trace):
        held: list[Any] = []
        loop.run(partial(consume, function, scene, held), scene.trace.append)
        scene.trace.append("the loop has ended")
        held.clear()
    if scene.fate is None:
        scene.dropped()


async def consume(function: Anything, scene: Scene, held: list[Any]) -> None:
    """Do what the script says, from the first step to the last."""
    held.append(function(scene))
    for act, number, where in scene.script.steps:
        if act == "leave":
            return
        if act == "drop":
            break
        scene.outside()
        await do_somewhere(scene, partial(step, scene, held[0], act, number), number, where)
    for _ in range(LAST_STEPS * scene.must_end):
        await step(scene, held[0], "next", 0)
    held.clear()
    for _ in range(SETTLING_PAUSES):
        await scene.air.loop.pause()
    scene.dropped()
    scene.outside()


async def do_somewhere(
    scene: Scene, act: Callable[[], Awaitable[None]], number: int, where: str
) -> None:
    """Do a step here, in another task, with an interruption, or with another step inside."""
    air: Air = scene.air
    if where == "task":
        await air.loop.in_task(act, contextvars.copy_context())
    elif where == "empty":
        await air.loop.in_task(act, contextvars.Context())
    elif where == "timeout":
        await air.loop.timed_out(act)
    elif where == "interrupted":
        air.fuse = number
        await air.loop.interruptible(act)
    else:
        air.intruder = act if where == "intruded" else None
        await act()
    air.fuse = air.intruder = None


async def step(scene: Scene, generator: Anything, act: str, number: int) -> None:
    """Do one step, and note what came of it."""
    acts = {
        "next": lambda: anext(generator),
        "send": lambda: generator.asend(number),
        "close": generator.aclose,
    }
    do = acts.get(act) or (lambda: generator.athrow(error_of(act, number)))
    try:
        item = await do()
    except BaseException as error:
        cancelled = scene.air.loop.cancelled
        scene.raised(act, error, (cancelled,))
        if isinstance(error, cancelled):
            raise
    else:
        scene.closed() if act == "close" else scene.came(item)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_decorated_async_generator_equals_the_bare_one(loop: str) -> None:
    """Stepped, thrown into, cancelled, timed out, closed elsewhere, dropped, left to the loop."""
    with stage(async_body, partial(play_async, LOOPS[loop])) as played:
        for seed in range(int(ASYNC_SCRIPTS * FACTOR)):
            played.compare(Script.random(seed, ACTS, PLACES))
