"""Playing random scripts with the bare and with the decorated, and what has to be equal."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import remit
from remit.config import Settings
from remit.testing import RecordingSink
from tests.inside import Item, setup
from tests.scripts import Scene, Script

Body: TypeAlias = Callable[[Scene], Any]
Play: TypeAlias = Callable[[Body, Scene], None]

FACTOR: Final = float(os.environ.get("REMIT_TEST_SCRIPTS", "1"))
"""More scripts for a long night, fewer for a slow machine."""


class CountingSink(RecordingSink):
    """Keeps what was recorded, and how often each span was ended."""

    def __init__(self) -> None:
        """Start empty."""
        self.forget()

    def forget(self) -> None:
        """Be as good as new."""
        super().__init__()
        self.ended: Counter[bytes] = Counter()

    def end_span(self, start: Item, finished_ns: int, status: str, result: bytes | None) -> None:
        """Take the end of a span."""
        self.ended[start.key] += 1
        super().end_span(start, finished_ns, status, result)


class Stage:
    """Where scripts are played, with a bare function and with the same one decorated."""

    def __init__(
        self, body: Body, play: Play, sink: CountingSink, scene: type[Scene] = Scene
    ) -> None:
        """Decorate *body*; *play* does what a script says to what it returns."""

        @remit.agent
        def holder() -> None:
            """Hold the runs."""

        self._scene = scene
        self._bare = body
        self._play = play
        self._sink = sink
        self._holder = holder
        self._step = remit.span_type("made", capture=False)(body)
        self._agent = remit.agent(body)

    def compare(self, script: Script) -> None:
        """Play *script* with both, and compare all that can be observed.

        Every fourth is an agent outside any run, the others are span types in a consumer's span.
        """
        bare = self._scene(script)
        self._play(self._bare, bare)
        self._sink.forget()
        decorated = self._alone(script) if script.seed % 4 == 0 else self._in_a_run(script)
        assert decorated.trace == bare.trace, script
        assert (decorated.started, decorated.fate) == (bare.started, bare.fate), script
        self._check_spans(decorated)

    def _in_a_run(self, script: Script) -> Scene:
        with self._holder.run(), remit.span("consumer"):
            scene = self._scene(script, "made", remit.current_span())
            self._play(self._step, scene)
        return scene

    def _alone(self, script: Script) -> Scene:
        scene = self._scene(script, f"{self._bare.__module__}:{self._bare.__qualname__}")
        self._play(self._agent, scene)
        return scene

    def _check_spans(self, scene: Scene) -> None:
        """Each span has ended once, with the right status, and so has each run."""
        spans = [each for each in self._sink.spans() if each.name == scene.name]
        fates = [] if scene.fate == "none" else [scene.fate]
        assert [each.status for each in spans] == fates, scene
        assert set(self._sink.ended.values()) <= {1}, scene
        assert all(run.status != "active" for run in self._sink.runs), scene


@contextmanager
def stage(body: Body, play: Play, scene: type[Scene] = Scene) -> Generator[Stage]:
    """Set the stage for scripts that are played with *body*.

    Garbage is collected at the end of each playing and at no other time, so that what it says is
    said of the right one; what was there before is set aside for good, else that would take for
    ever, here and in every test after this one.
    """
    sink = CountingSink()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        with setup.isolated(Settings(), sink=sink):
            yield Stage(body, play, sink, scene)
    finally:
        gc.enable()
