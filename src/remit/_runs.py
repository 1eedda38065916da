"""Runs: one instance of an agent, from its block's start to its last span's end."""

from __future__ import annotations

import os
import platform
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, cast

import msgspec
from msgspec import Struct

from remit import _capture
from remit._clock import NS_PER_S
from remit._guard import guarded, logger
from remit._ids import key_text, new_key
from remit._outcomes import (
    ACTIVE,
    CANCELLED,
    COMPLETE,
    FAILED,
    TERMINATED,
    Contained,
    is_only,
    status_of,
)
from remit._policy import Ceilings
from remit._recording import (
    MAX_SAID,
    Place,
    Recorder,
    RunState,
    at,
    enclosing,
    here,
    terminated_at,
    within,
)
from remit._registry import RUN_TYPE
from remit._sink import AgentRef, Item, Kind, RunFeed
from remit._version import SDK
from remit._words import shown
from remit.errors import UsageError


class RunOptions(Struct, frozen=True):
    """What a run was opened with.

    Attributes:
        purpose: `live`, `smoke_test` or `eval`.
        subject: Whose data the run is about, in the caller's words.
        labels: Free words or pairs to find the run by.
        resume: Id of the instance that goes on, if any.
    """

    purpose: str
    subject: str | None = None
    labels: object = None
    resume: str | None = None


class OpenRun(RunState):
    """One run while it lasts: how it begins, how it ends.

    Attributes:
        place: The place directly under the root span.
    """

    __slots__ = (
        "_began_ns",
        "_closing",
        "_exited_ns",
        "_payload",
        "_pid",
        "_started_ns",
        "left_open",
        "outcome",
        "place",
    )

    def __init__(
        self,
        recorder: Recorder,
        agent: AgentRef,
        options: RunOptions,
        *,
        recording: bool,
        ceilings: Ceilings,
    ) -> None:
        """Open the run: from here on it has a key and, when recording, a root span."""
        self._started_ns = recorder.clock.wall_ns()
        self._began_ns = recorder.clock.monotonic_ns()
        key, root = key_text(new_key(self._started_ns)), new_key(self._started_ns)
        feed = RunFeed(key, agent, options.purpose, root=root, instance_id=options.resume)
        super().__init__(recorder, feed, recording=recording)
        self.place: Final = Place(self, root, RUN_TYPE, ceilings, enclosing(here()))
        self.handle = Run(self)
        self.outcome: tuple[str, str | None] | None = None
        self.left_open = False
        self._exited_ns: int | None = None
        self._payload: bytes | None = None
        self._pid = os.getpid()
        # Whoever pops the one element ends the run: its block, its last span, or the reaper.
        self._closing = [True]
        if recording:
            self._announce(options)

    @property
    def status(self) -> str:
        """`active`, `complete`, `failed`, `cancelled` or `terminated`."""
        if self.feed.terminated is not None:
            return TERMINATED
        ended = self.exited and (self.feed.closed or not self.open)
        if self.outcome is not None and ended and not self.left_open:
            return self.outcome[0]
        return ACTIVE

    def decide(self, status: str, reason: str | None = None) -> None:
        """Let the run end with *status*, however its block ends."""
        self.outcome = (status, reason)
        self.left_open = False

    def leave_open(self) -> None:
        """Let the run go on after its block, however that ends."""
        if self.outcome is not None and self.outcome[0] == FAILED:
            self._say(
                "leave_open() came after fail(): the last of them counts, so the run stays open "
                "and that it failed is recorded nowhere"
            )
        self.left_open = True

    @guarded("the log of a run")
    def _say(self, what: str) -> None:
        """Log once for each agent what of a run is not as its caller may think."""
        agent = self.feed.agent.external_identifier
        topic, said = f"{agent}: {what}", self.recorder.said
        if topic not in said and len(said) < MAX_SAID:
            said.add(topic)
            logger.warning("a run of %s: %s", agent, what)

    @guarded("the comparison of a quality payload")
    def wrong_in_quality(self, name: str, body: bytes) -> bytes | None:
        """Log what in a quality payload differs from its declaration; return it as JSON."""
        wrong = self.feed.agent.quality_check()(name, body)
        if not wrong:
            return None
        self._say(f"the quality {shown(name)} is not as declared: {'; '.join(wrong)}")
        return msgspec.json.encode(wrong)

    @guarded("the end of a run's block")
    def exit(self, error: BaseException | None, *, awaited: bool = False) -> None:
        """Take the end of the block; the run closes now, or when its last span ends.

        What is to be done after a run is done here, unless the caller does it, *awaited*.
        """
        if self.outcome is None and not self.left_open:
            self._conclude(error)
        self._exited_ns = self.recorder.clock.monotonic_ns()
        self.outliving = frozenset(self.open)
        self.exited = True
        if self.open:
            self.recorder.lingering.add(self)
        else:
            self._close()
        if not awaited:
            self.recorder.after_run()

    @guarded("the outcome of a run")
    def _conclude(self, error: BaseException | None) -> None:
        control_flow = self.recorder.control_flow
        if error is None:
            self.decide(COMPLETE)
        elif is_only(error, control_flow):
            self.leave_open()
        else:
            status = status_of(error, control_flow)
            self.decide(status, None if status == COMPLETE else type(error).__qualname__)

    def fail_after_block(self, key: bytes, parent: bytes | None, error: BaseException) -> None:
        """Fail a run whose block completed, because a span that outlived the block failed.

        A span inside another open span does not count: the code around it may catch the exception.

        Args:
            key: Key of the span.
            parent: Key of the span around it.
            error: The exception that it raised.
        """
        if key not in self.outliving or parent in self.open:
            return
        if self.outcome is not None and self.outcome[0] == COMPLETE:
            self.outcome = (FAILED, type(error).__qualname__)

    @guarded("the end of a run")
    def settle(self) -> None:
        """Close the run, whose block has ended."""
        if self._close():
            self.recorder.after_run()

    @guarded("the end of a run")
    def _close(self) -> bool:
        """Close the run, once, if this process opened it; tell whether it did."""
        self.recorder.lingering.discard(self)
        if self._pid != os.getpid():
            return False
        try:
            self._closing.pop()
        except IndexError:
            return False
        try:
            if self.recording:
                self._send_end()
        except BaseException:
            # A signal's handler may raise at any point: whoever comes next ends the run.
            self._closing.append(True)
            raise
        self.feed.closed = True
        if self.feed.terminated is not None:
            self.recorder.terminated.append(self.feed)
        return self.recording

    def _send_end(self) -> None:
        if self.feed.terminated is not None:
            # The server that terminated it knows, and keeps its own word.
            self._finish(FAILED, self.feed.terminated)
        elif self.left_open:
            self.recorder.sink.put(self._item(Kind.CLOSE, finished_ns=self._now_ns()))
        else:
            self._finish(*(self.outcome or (FAILED, None)))

    def abandon(self) -> None:
        """Close a run whose process ends before it did; one that was left open stays so."""
        self.outcome = self.outcome or (FAILED, "process ended")
        self.exited = True
        self.settle()

    @property
    def overdue(self) -> bool:
        """Whether the block has ended, and its spans too or they have had `run_linger_s`."""
        if self._exited_ns is None or self.feed.closed:
            return False
        if not self.open:
            # The last of them ended where nothing could be called.
            return True
        waited_ns = self.recorder.clock.monotonic_ns() - self._exited_ns
        return waited_ns >= self.recorder.run_linger_s * NS_PER_S

    @guarded("the start of a run")
    def _announce(self, options: RunOptions) -> None:
        payload = {
            "subject": options.subject,
            "labels": options.labels,
            "purpose": options.purpose,
            "sdk": SDK,
            "pid": self._pid,
            "host": platform.node(),
        }
        body = self._payload = _capture.snapshot(payload, self.recorder.rules)
        sink = self.recorder.sink
        if self.feed.resumed:
            # The server has its root span, open since the run was left so.
            if options.subject is not None or options.labels is not None:
                self._say(
                    "run(resume=...) was given a subject or labels; those that the run was begun "
                    "with stay"
                )
            sink.open_run(self._item(Kind.RUN, payload=body), self.feed)
            return
        sink.open_run(self._item(Kind.RUN), self.feed)
        sink.put(self._item(Kind.SPAN, status=ACTIVE, payload=body))

    def _now_ns(self) -> int:
        """Return the wall time of the start plus the monotonic time since."""
        return self._started_ns + self.recorder.clock.monotonic_ns() - self._began_ns

    def _finish(self, status: str, reason: str | None) -> None:
        """Send the end of the root span, and of the instance."""
        finished_ns = self._now_ns()
        counts = {"spans": self.spans, "lost": self.feed.lost}
        outcome = {"status": self.status, "reason": reason, **counts}
        known = self.secrets.get(self.place.key)
        result = _capture.snapshot(outcome, self.recorder.rules, known=known)
        put = self.recorder.sink.put
        # With its payload: a server that does not have the span gets it whole.
        finish = self._item(Kind.FINISH, status=status, finished_ns=finished_ns, result=result)
        finish.payload = self._payload
        put(finish)
        put(self._item(Kind.CLOSE, status=status, finished_ns=finished_ns))

    def _item(
        self,
        kind: int,
        *,
        status: str | None = None,
        finished_ns: int | None = None,
        payload: bytes | None = None,
        result: bytes | None = None,
    ) -> Item:
        """Return an item about the run itself; its key is the root span's."""
        return Item(
            kind, self.feed.key, self.place.key, None, RUN_TYPE, self._started_ns,
            finished_ns, status, payload, result,
        )  # fmt: skip


class Run:
    """A handle on one run of an agent: to name it, judge it, end it.

    Made by `agent.run(...)`. Attributes are safe to read from any thread.
    """

    __slots__ = ("__weakref__", "_run")

    # Unguarded: an assignment.
    def __init__(self, run: OpenRun) -> None:
        """Hold *run*."""
        self._run = run

    @property
    def key(self) -> str:
        """Key of the run, 26 characters, made here; the server's `external_identifier`."""
        return self._run.feed.key

    @property
    def id(self) -> str | None:
        """The server's id of the instance; `None` until its registration was answered."""
        return self._run.feed.instance_id

    @property
    def status(self) -> str:
        """`active`, `complete`, `failed`, `cancelled` or `terminated`."""
        return self._run.status

    @property
    def terminated(self) -> bool:
        """Whether the run was terminated, from outside or by its agent's remit.

        While it lasts, also whether one around it was: no step of it begins any more.
        """
        run = self._run
        ended = run.feed.terminated is not None
        return ended if run.exited else terminated_at(run.place) is not None

    @guarded("a quality payload")
    def record_quality(self, name: str, payload: object) -> None:
        """Record how good the run was, under *name*.

        A payload that differs from the agent's declaration is logged once, and still sent.

        Args:
            name: Name of the quality, as declared by `agent(quality=...)`.
            payload: A mapping, a model or a dataclass, redacted like every payload. Any other value
                is recorded under `value`; `None` removes the name.
        """
        run = self._run
        if not run.recording:
            return
        if type(name) is not str or not name:
            raise UsageError(f"record_quality() got the name {shown(name)}; expected a text")
        name = _capture.redacted_name(name.encode("utf-8", "replace").decode(), run.recorder.rules)
        now_ns = run.recorder.clock.wall_ns()
        body = None if payload is None else _capture.snapshot(payload, run.recorder.rules)
        wrong = None if body is None else run.wrong_in_quality(name, body)
        key = new_key(now_ns)
        run.recorder.sink.put(
            Item(Kind.QUALITY, self.key, key, None, name, now_ns, None, None, body, wrong)
        )

    def fail(self, reason: str | BaseException) -> None:
        """Let the run end as failed for *reason*, however its block ends; of an error, its type."""
        is_error = issubclass(type(reason), BaseException)
        self._run.decide(FAILED, type(reason).__qualname__ if is_error else cast("str", reason))

    def cancel(self) -> None:
        """Let the run end as cancelled, however its block ends."""
        self._run.decide(CANCELLED)

    def leave_open(self) -> None:
        """Let the run go on after its block, to be resumed with `agent.run(resume=run.id)`.

        Nothing is finished: the instance and its root span stay active. An exception of a type
        in the setting `control_flow` does the same. The last of `fail`, `cancel` and this counts.
        """
        self._run.leave_open()

    @contextmanager
    def use(self) -> Generator[Run]:
        """Make the run current in this block: in a thread, a callback, a sync dependency.

        Inside the block of another run the ceilings of both apply, and so does the termination of
        either.
        """
        with at(within(self._run.place, here())):
            yield self

    # Unguarded: makes a plain object.
    def contained(self) -> Contained:
        """Return a block in which the termination of this run is a value and not an exception.

        For code that serves many runs in one task group, which an exception would end. Inside the
        block `RunTerminated` of this run ends the block, also as part of an exception group; the
        code behind it goes on. Everything else passes: terminations of other runs, and what else
        is in such a group.

        Example:
            with agent.run() as run:
                with run.contained() as ended:
                    answer = agent(question)
                if ended:
                    answer = f"This session was ended: {ended.reason}"
        """
        return Contained(self.key)

    def __repr__(self) -> str:
        """Show the agent, the key and the status."""
        return f"<Run {self._run.feed.agent.external_identifier} {self.key} {self.status}>"


# Unguarded: reads an attribute.
def run_of(state: RunState | None) -> Run | None:
    """Return the public handle of a run's state."""
    handle = None if state is None else state.handle
    return handle if isinstance(handle, Run) else None


def current_run() -> Run | None:
    """Return the current run, or `None` outside any."""
    place = here()
    return None if place is None else run_of(place.run)
