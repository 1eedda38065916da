"""The processes of `remit serve --workers`: started, replaced when they die, stopped together.

They share one listening socket: a connection that waits to be taken is taken by another process
when one dies. A process whose parent is gone ends too.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from types import FrameType
from typing import Final

from remit._base.clock import NS_PER_S, Clock, Deadline, SystemClock
from remit._base.guard import logger
from remit.errors import SettingsError

PAUSE_S: Final = 1.0
"""A process that died is replaced no sooner after its own start."""
MOST_FAILURES: Final = 3
"""So often may each process fail before the first was ready; then there is no use in trying."""
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_LOOK_S: Final = 0.2


class Workers:
    """So many processes that all do the same.

    They are started afresh, not forked: what they work with must be picklable.
    """

    def __init__(
        self,
        count: int,
        work: Callable[..., None],
        arguments: tuple[object, ...],
        *,
        grace_s: float,
        clock: Clock | None = None,
    ) -> None:
        """Prepare *count* processes; each calls `work(ready, *arguments)`.

        Args:
            count: How many.
            work: A function of a module; it calls `ready()` when it is, and ends on SIGTERM.
            arguments: What it is called with.
            grace_s: How long a process may take to end, in seconds, before it is killed.
            clock: Times the waits.
        """
        self._context: SpawnContext = multiprocessing.get_context("spawn")
        self._ready, self._to_say_ready = self._context.Pipe(duplex=False)
        self._work = work
        self._arguments = arguments
        self._grace_s = grace_s
        self._clock = clock or SystemClock()
        self._stopping = False
        self._slots: list[SpawnProcess | None] = [None] * count
        self._not_before_ns = [0] * count
        self._failures = 0

    def run(self, on_start: Callable[[], object]) -> None:
        """Keep the processes going until SIGINT or SIGTERM; call *on_start* when one is ready.

        Raises:
            SettingsError: None of them could begin.
        """
        with self._signals():
            told = False
            try:
                while not self._stopping:
                    self._fill()
                    sentinels = [process.sentinel for process in self._alive()]
                    if self._ready in wait([self._ready, *sentinels], _LOOK_S):
                        self._ready.recv_bytes()
                        if not told:
                            on_start()
                        told = True
                    if not told and self._failures >= MOST_FAILURES * len(self._slots):
                        raise SettingsError("no worker could begin: each said why, above")
            finally:
                self._stop()
                self._ready.close()
                self._to_say_ready.close()

    def _alive(self) -> list[SpawnProcess]:
        return [process for process in self._slots if process is not None and process.is_alive()]

    def _fill(self) -> None:
        """Start what is not running, and say which process died."""
        for slot, process in enumerate(self._slots):
            if process is not None and process.is_alive():
                continue
            if process is not None:
                logger.warning(
                    "worker %s ended (%s), another begins", process.pid, process.exitcode
                )
                process.close()
                self._failures += 1
                self._slots[slot] = None
            now_ns = self._clock.monotonic_ns()
            if now_ns >= self._not_before_ns[slot]:
                self._not_before_ns[slot] = now_ns + int(PAUSE_S * NS_PER_S)
                self._slots[slot] = self._started()

    def _started(self) -> SpawnProcess:
        process = self._context.Process(
            target=_work_until_orphaned, args=(self._work, self._to_say_ready, *self._arguments)
        )
        process.start()
        return process

    def _stop(self) -> None:
        deadline = Deadline.after(self._grace_s, self._clock)
        for process in self._alive():
            process.terminate()
        for ending in [process for process in self._slots if process is not None]:
            ending.join(deadline.remaining_s())
            ending.kill()
            ending.join()
            ending.close()

    @contextmanager
    def _signals(self) -> Generator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._stopping = True


def _work_until_orphaned(
    work: Callable[..., None], to_say_ready: Connection[bytes, bytes], *arguments: object
) -> None:
    """Do the work in this process; end as on SIGTERM when the parent is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - this runs in a child only

    def watch() -> None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    # Ctrl-C reaches every process of a terminal; the parent is the one that hands it on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, name="remit-parent", daemon=True).start()
    work(lambda: to_say_ready.send_bytes(b"ready"), *arguments)
