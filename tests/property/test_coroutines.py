"""What a function returned ends as the bare one does when it is closed or collected elsewhere.

Coroutines of coroutine functions, and what plain functions return: coroutines and generators. They
are stepped as an event loop steps them, in a context of their own, and closed, thrown into or
collected in another context or on another thread.
"""

from __future__ import annotations

import contextvars
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any, TypeAlias

import pytest

from tests.scripted import FACTOR, stage
from tests.scripts import (
    LAST_STEPS,
    Scene,
    Script,
    error_of,
    react,
    somewhere,
    sync_body,
    watched,
)
from tests.subtests import each

pytestmark = [pytest.mark.python, pytest.mark.timeout(900)]

Anything: TypeAlias = Any

SCRIPTS = 2_000
# Nobody throws `GeneratorExit` into a coroutine but its `close`.
ACTS = ("next", "next", "next", "send", "throw", "stop", "base", "close", "drop")
# What awaits on being closed ends with the error of that, when an `async def` awaits it.
UNFIT = frozenset({"drop", "close"})
PLACES = ("task", "task", "task", "here", "empty", "thread")


class Beat:
    """What a body awaits: one step of its driver."""

    def __init__(self, token: object) -> None:
        """Hand *token* to the driver."""
        self._token = token

    def __await__(self) -> Generator[object, object, object]:
        """Yield once; return what is sent."""
        return (yield self._token)


async def coroutine_body(scene: Scene) -> object:
    """Run the script's body, awaiting where a generator would yield."""
    with scene:
        try:
            for place, action in enumerate(scene.script.body):
                scene.inside()
                try:
                    if action == "raise":
                        raise KeyError(place)
                    if action == "return":
                        return place
                    with scene.section(action):
                        scene.trace.append(("got", await Beat((place, action))))
                except ValueError as error:
                    scene.trace.append(("caught", repr(error)))
                    if action != "catch":
                        raise
                except GeneratorExit as error:
                    if react(scene, place, action, error):
                        return "swallowed"
                    await Beat("ignored")
                    raise
        finally:
            scene.inside()
            scene.trace.append("finally")
    return "end"


def returns_a_coroutine(scene: Scene) -> Coroutine[Any, Any, object]:
    """Return one, as a method does that hands a call on."""
    return coroutine_body(scene)


def returns_a_generator(scene: Scene) -> Generator[object, object, object]:
    """Return one, as a function does that chooses between several."""
    return sync_body(scene)


class ReturnedScene(Scene):
    """The span of a plain function begins with the call, so one never stepped is cancelled."""

    unstarted = "cancelled"


def play(function: Anything, scene: Scene) -> None:
    """Do to what the function returned what the script says, one place for each step."""
    task = contextvars.copy_context()
    with watched(scene.trace):
        held = [function(scene)]
        where = "here"
        for act, number, where in scene.script.steps:
            if act == "drop":
                break
            scene.outside()
            # A coroutine belongs to the run that its first step stands in.
            in_task = where == "task" or not scene.started
            step(scene, held[0], act, number, task if in_task else where)
        for _ in range(LAST_STEPS * scene.must_end):
            step(scene, held[0], "next", 0, task)
        somewhere("copy" if where == "task" else where, held.clear)
        scene.dropped()
        scene.outside()


def step(
    scene: Scene, coroutine: Anything, act: str, number: int, where: str | contextvars.Context
) -> None:
    """Do one step, and note what came of it."""
    acts = {
        "next": lambda: coroutine.send(None),
        "send": lambda: coroutine.send(number),
        "close": coroutine.close,
    }
    do = acts.get(act) or (lambda: coroutine.throw(error_of(act, number)))
    run = where.run if isinstance(where, contextvars.Context) else partial(somewhere, where)
    try:
        item = run(do)
    except BaseException as error:  # noqa: BLE001 - what comes out is what is compared
        scene.raised(act, error)
    else:
        scene.closed() if act == "close" else scene.came(item)


@each(
    ("body", "scene"),
    [
        pytest.param(coroutine_body, Scene, id="coroutine"),
        pytest.param(returns_a_coroutine, ReturnedScene, id="returned-coroutine"),
        pytest.param(returns_a_generator, ReturnedScene, id="returned-generator"),
    ],
)
def test_what_was_closed_or_collected_elsewhere_ended_once(
    body: Anything, scene: type[Scene]
) -> None:
    """Equal traces, the consumer's span untouched, one end with the right status."""
    with stage(body, play, scene) as played:
        for seed in range(int(SCRIPTS * FACTOR / 3) + 2):
            played.compare(Script.random(seed, ACTS, PLACES, UNFIT))
