"""Recording by hand: what the SDK's decorators do to a sink, without them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from tests.inside import AgentRef, Item, ItemKind, RunFeed, Sink, key_text, new_key

ROOT = "remit:run"
ROOT_PAYLOAD = b'{"labels":null}'
RUN_NS = 5_000_000


def declared(version: str = "1") -> Callable[[], dict[str, object]]:
    """Return what builds a small registration."""
    return lambda: {
        "agent_version": {"external_identifier": version, "name": "Support"},
        "agent_schema_version": {"external_identifier": "schema-abc", "span_type_schemas": []},
    }


def agent(
    name: str = "desk:support",
    *,
    agent_id: str | None = None,
    registration: Callable[[], dict[str, object]] | None = None,
) -> AgentRef:
    """Return an agent as delivery knows it."""
    return AgentRef(name, "Support", "Answers.", agent_id, None, registration or declared())


@dataclass
class HandRun:
    """One run that is recorded by hand.

    Attributes:
        sink: Where it goes.
        ref: Its agent.
        purpose: Its purpose.
        resume: Id of the instance that it continues.
    """

    sink: Sink
    ref: AgentRef = field(default_factory=agent)
    purpose: str = "live"
    resume: str | None = None

    def __post_init__(self) -> None:
        """Give it its keys."""
        self.started_ns = time.time_ns()
        self.root = new_key(self.started_ns)
        self.key = key_text(new_key(self.started_ns))
        self.feed = RunFeed(
            self.key, self.ref, self.purpose, root=self.root, instance_id=self.resume
        )

    def open(self) -> HandRun:
        """Open it, its root span active; that of one that is resumed is there already."""
        if self.resume is not None:
            self.sink.open_run(self._item(ItemKind.RUN, payload=ROOT_PAYLOAD), self.feed)
            return self
        self.sink.open_run(self._item(ItemKind.RUN), self.feed)
        self.sink.put(self._item(ItemKind.SPAN, status="active", payload=ROOT_PAYLOAD))
        return self

    def start(self, name: str = "desk:find", payload: bytes = b'{"order":1}') -> Item:
        """Begin a span under the root."""
        now_ns = time.time_ns()
        start = Item(
            ItemKind.SPAN, self.key, new_key(now_ns), self.root, name, now_ns, None, "active",
            payload, None,
        )  # fmt: skip
        self.sink.start_span(start)
        return start

    def broken(self) -> Item:
        """Return the beginning of a span whose time no server can read."""
        return replace(
            self._item(ItemKind.SPAN, status="active"), key=b"b" * 16, started_ns=1 << 90
        )

    def end(
        self, start: Item, status: str = "complete", result: bytes | None = b'{"result":2}'
    ) -> str:
        """End a span; return the 26 characters of its key."""
        self.sink.end_span(start, (start.started_ns or 0) + 1_500_000, status, result)
        return key_text(start.key)

    def span(self, name: str = "desk:find", payload: bytes = b'{"order":1}') -> str:
        """Record a whole span."""
        return self.end(self.start(name, payload))

    def quality(self, name: str = "helpful", payload: bytes | None = b'{"score":1}') -> None:
        """Record a quality payload."""
        now_ns = time.time_ns()
        self.sink.put(
            Item(
                ItemKind.QUALITY,
                self.key,
                new_key(now_ns),
                None,
                name,
                now_ns,
                None,
                None,
                payload,
                None,
            )
        )

    def end_root(self, status: str = "complete") -> None:
        """End the root span alone."""
        self.sink.put(
            self._item(
                ItemKind.FINISH,
                status=status,
                finished_ns=self.started_ns + RUN_NS,
                payload=ROOT_PAYLOAD,
                result=b'{"lost":0,"spans":1}',
            )
        )

    def close(self, status: str = "complete", *, leave_open: bool = False) -> None:
        """End the root span and the run, unless it is left open."""
        if not leave_open:
            self.end_root(status)
        self.sink.put(
            self._item(
                ItemKind.CLOSE,
                status=None if leave_open else status,
                finished_ns=self.started_ns + RUN_NS,
            )
        )

    def _item(
        self,
        kind: int,
        *,
        status: str | None = None,
        finished_ns: int | None = None,
        payload: bytes | None = None,
        result: bytes | None = None,
    ) -> Item:
        return Item(
            kind,
            self.key,
            self.root,
            None,
            ROOT,
            self.started_ns,
            finished_ns,
            status,
            payload,
            result,
        )
