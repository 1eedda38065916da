"""A decorated generator does what the bare one does, whatever is done to it and wherever.

The same random script is played with both: values, exceptions with their links, the order of
`finally`, log lines and warnings must be equal. So must the current span: the body's own inside,
the consumer's outside. And each span ends once, as the script says.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import pytest

from tests.scripted import FACTOR, stage
from tests.scripts import LAST_STEPS, STEPS, Scene, Script, error_of, somewhere, sync_body, watched

pytestmark = [pytest.mark.python, pytest.mark.timeout(900)]

Anything: TypeAlias = Any

SYNC_SCRIPTS = 2_000
PLACES = ("here", "here", "copy", "empty", "thread")


def play_sync(function: Anything, scene: Scene) -> None:
    """Do to a generator what the script says."""
    with watched(scene.trace):
        held = [function(scene)]
        for act, number, where in scene.script.steps:
            if act == "drop":
                break
            scene.outside()
            step_sync(scene, held[0], act, number, where)
        for _ in range(LAST_STEPS * scene.must_end):
            step_sync(scene, held[0], "next", 0, "here")
        somewhere(scene.script.steps[-1][2] if scene.script.steps else "here", held.clear)
        scene.dropped()
        scene.outside()


def step_sync(scene: Scene, generator: Anything, act: str, number: int, where: str) -> None:
    """Do one step, and note what came of it."""
    acts = {
        "next": lambda: next(generator),
        "send": lambda: generator.send(number),
        "close": generator.close,
    }
    do = acts.get(act) or (lambda: generator.throw(error_of(act, number)))
    try:
        item = somewhere(where, do)
    except BaseException as error:  # noqa: BLE001 - what comes out is what is compared
        scene.raised(act, error)
    else:
        scene.closed() if act == "close" else scene.came(item)


def test_a_decorated_generator_equals_the_bare_one() -> None:
    """Stepped, sent to, thrown into, closed and dropped, in any context and on any thread."""
    with stage(sync_body, play_sync) as played:
        for seed in range(int(SYNC_SCRIPTS * FACTOR)):
            played.compare(Script.random(seed, STEPS, PLACES))
