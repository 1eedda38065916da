"""The seam between recording and delivering: what a sink takes, and the items it is given.

An item is a flat structure of int, str, bytes and None, so that a million of them hold no object of
the user's alive. It is the same in the buffer, in the spool and at the sender.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from msgspec import Struct


class Kind:
    """What an item says; the order is the order in which one run's items make sense.

    Plain integers: members of an `IntEnum` are compared and packed at twice the cost.
    """

    RUN: Final = 0
    """A run began at started_ns: register and start it. Key is the root span's.

    The root span of a resumed run is at the server already; this item carries its payload.
    """
    SPAN: Final = 1
    """A whole span, or with status `active` the beginning of one."""
    FINISH: Final = 2
    """The end of a span whose beginning was sent before: key, finished_ns, status, result."""
    QUALITY: Final = 3
    """A quality payload: `name`, `payload` (None removes the name).

    `result` is a JSON array of what differs from the declaration. It is not delivered, because the
    collector compares the payload itself.
    """
    CLOSE: Final = 4
    """A run ended: finished_ns and status. Without a status it was left open, to be resumed."""


class Item(Struct, gc=False, array_like=True):
    """One thing to deliver.

    Without `gc=False` the garbage collector would examine all waiting items again and again. The
    spool stores an item as a msgpack array of the fields in this order.

    Attributes:
        kind: One of `Kind`.
        run_key: Key of the run, 26 characters.
        key: Key of the span, 16 bytes (`remit._base.ids`); for other kinds a key of the item's own.
        parent: Key of the parent span, or None at the root.
        name: Span type, agent or quality name.
        started_ns: Wall time, nanoseconds since 1970 in UTC.
        finished_ns: The same, never before the start.
        status: The API's word for the status.
        payload: JSON object as UTF-8 bytes, redacted and bounded.
        result: JSON object as UTF-8 bytes, redacted and bounded.
    """

    kind: int
    run_key: str
    key: bytes
    parent: bytes | None
    name: str | None
    started_ns: int | None
    finished_ns: int | None
    status: str | None
    payload: bytes | None
    result: bytes | None


QualityCheck: TypeAlias = Callable[[str, bytes], list[str]]
"""Takes name and JSON of a quality payload; returns what differs from the declaration."""


class AgentRef(Struct, frozen=True):
    """An agent as delivery needs to know it; one for each agent and runtime.

    Attributes:
        external_identifier: `module:qualname`, by which remit's collector finds the agent.
        name: Display name.
        description: First paragraph of the docstring, or None.
        agent_id: Id on the server, from the decorator or the setting, or None.
        environment_id: The same for the environment.
        registration: Returns `agent_version` and `agent_schema_version` as a JSON object; called
            on delivery's thread, because building schemas takes milliseconds. It may raise.
        local_identifier: The identifier in local mode, where projects share a file; else None.
        quality_check: Returns the function that checks its quality payloads. It may raise.
    """

    external_identifier: str
    name: str
    description: str | None
    agent_id: str | None
    environment_id: str | None
    registration: Callable[[], dict[str, object]]
    local_identifier: str | None = None
    quality_check: Callable[[], QualityCheck] = lambda: lambda _name, _body: []


class RunFeed:
    """What recording and delivery exchange about one run.

    Recording makes it; delivering sets `instance_id` and `terminated` from its own thread, and
    recording reads them, or sets `terminated` where the policy ends the run. Nothing is ever read
    and written in one, so no lock is needed.

    Attributes:
        key: Key of the run, 26 characters.
        root: Key of its root span.
        agent: The agent.
        purpose: `live`, `smoke_test` or `eval`.
        instance_id: Id that the server gave, or that `resume=` named.
        terminated: Reason of a termination ("" if none was given), None while the run goes on.
        resumed: The instance exists already: neither register nor start it.
        lost: Spans of this run that delivery had to drop so far.
        streams: Keys of the streams that were called and have not ended.
        closed: Whether the end of the run was recorded.
    """

    __slots__ = (
        "__weakref__",
        "agent",
        "closed",
        "instance_id",
        "key",
        "lost",
        "purpose",
        "resumed",
        "root",
        "streams",
        "terminated",
    )

    def __init__(
        self,
        key: str,
        agent: AgentRef,
        purpose: str,
        *,
        root: bytes,
        instance_id: str | None = None,
    ) -> None:
        """Open the feed of a run; with *instance_id* the run goes on where another stopped."""
        self.key = key
        self.root = root
        self.agent = agent
        self.purpose = purpose
        self.instance_id = instance_id
        self.resumed = instance_id is not None
        self.terminated: str | None = None
        self.lost = 0
        self.closed = False
        self.streams: set[bytes] = set()


class Sink(Protocol):
    """Where recorded items go. No method blocks on I/O."""

    def open_run(self, item: Item, feed: RunFeed) -> None:
        """Take the `Kind.RUN` item of a new run, with the feed that belongs to it."""
        ...

    def start_span(self, start: Item) -> None:
        """Take the beginning of a span; it is sent as `active` if it lives long."""
        ...

    def end_span(self, start: Item, finished_ns: int, status: str, result: bytes | None) -> None:
        """Take the end of a span that `start_span` was given; *start* is the sink's to change."""
        ...

    def put(self, item: Item) -> None:
        """Take any other item: a root span sent active, a quality payload, a run's end."""
        ...


class NoSink:
    """Takes everything and keeps nothing; the sink of mode `off`."""

    def open_run(self, item: Item, feed: RunFeed) -> None:
        """Forget it."""

    def start_span(self, start: Item) -> None:
        """Forget it."""

    def end_span(self, start: Item, finished_ns: int, status: str, result: bytes | None) -> None:
        """Forget it."""

    def put(self, item: Item) -> None:
        """Forget it."""
