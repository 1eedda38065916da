"""The interface between recording and delivery: the items, and the sink that takes them.

An item is a flat structure of int, str, bytes and None, and refers to no object of the user. It is
the same in the buffer, in the spool and at the sender.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

from msgspec import Struct


class ItemKind:
    """Kinds of items, in the order in which they are sent for one run.

    Plain integers, because comparing and packing members of an `IntEnum` costs twice as much.
    """

    RUN: Final = 0
    """A run began at started_ns: register and start it. The key is that of the root span.

    For a resumed run, whose root span the server has, this item carries the payload.
    """
    SPAN: Final = 1
    """A whole span, or with status `active` the beginning of one."""
    FINISH: Final = 2
    """The end of a span that was sent as `active`: key, finished_ns, status, result."""
    QUALITY: Final = 3
    """A quality payload: `name`, `payload` (None removes the name).

    `result` is a JSON array of the differences from the declaration. It is not delivered, because
    the collector compares the payload itself.
    """
    CLOSE: Final = 4
    """A run ended: finished_ns and status. Without a status it was left open, to be resumed."""


class Item(Struct, gc=False, array_like=True):
    """One thing to deliver.

    `gc=False` spares the garbage collector from examining all waiting items. The spool stores an
    item as a msgpack array of the fields in this order.

    Attributes:
        key: Key of the span, 16 bytes (`remit._base.ids`); of a quality payload, its own.
        parent: Key of the parent span, or None at the root.
        name: Span type, agent or quality name.
        started_ns: Wall time, nanoseconds since 1970 in UTC.
        finished_ns: Wall time, never before the start.
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
"""Takes name and JSON of a quality payload; returns how it differs from the declaration."""


class AgentRef(Struct, frozen=True):
    """An agent, as far as delivery needs it; replaced by a new one after each declaration.

    Attributes:
        external_identifier: `module:qualname`, by which this process knows the agent.
        description: First paragraph of the docstring, or None.
        agent_id: Id on the server, from the decorator or the setting, or None.
        registration: Returns `agent_version` and `agent_schema_version` as a JSON object; called
            on delivery's thread, because building schemas takes milliseconds. It may raise.
        identifier: Returns the identifier on the wire, with the project; called on delivery's
            thread. None: `external_identifier`.
        quality_check: Returns the function that checks its quality payloads. It may raise.
        error_rule: Returns the rule by which its declaration redacts the messages of errors.
    """

    external_identifier: str
    name: str
    description: str | None
    agent_id: str | None
    environment_id: str | None
    registration: Callable[[], dict[str, object]]
    identifier: Callable[[], str] | None = None
    quality_check: Callable[[], QualityCheck] = lambda: lambda _name, _body: []
    error_rule: Callable[[], str | None] = lambda: None


def nothing() -> None:
    """Return None, as a weak reference to an object that does not exist any more does."""


class RunFeed(Struct, gc=False, eq=False):
    """State of one run that recording and delivery share.

    Recording creates it. Delivery sets `instance_id` and `terminated` on its own thread; recording
    reads them, and sets `terminated` if the policy ends the run. There is no lock: only `lost` is
    updated from its own value by several threads, and may be too low.

    `gc=False`, because it waits for delivery with the items of the run. It is in no reference
    cycle: it refers to the run weakly, and only as long as the run or one of its streams is open.

    Attributes:
        instance_id: Id from the server, or from `resume=`.
        resumed_key: Key of the run that is resumed, from `resume=`.
        resumed: Whether the instance exists already; it is then neither registered nor started.
        continues: Key of the run that waits for an answer and goes on, if the server still has it;
            empty if only the server knows the run, by agent and conversation.
        conversation: What is said of the run.
        lost: Number of spans of this run that delivery has dropped.
        closed: Whether the end of the run was recorded.
        run: Returns the run (`remit._record.runs.OpenRun`) as long as it or one of its streams is
            open; None afterwards, or if nothing else refers to it.
        counts: By agent and action, or `steps`, how many steps count (`remit._record.counts`);
            None before the first.
    """

    key: str
    agent: AgentRef
    purpose: str
    root: bytes
    instance_id: str | None = None
    resumed: bool = False
    terminated: str | None = None
    lost: int = 0
    closed: bool = False
    run: Callable[[], Any] = nothing
    resumed_key: str | None = None
    counts: dict[tuple[str, str], int] | None = None
    continues: str | None = None
    conversation: str | None = None

    def __post_init__(self) -> None:
        """Note that a run that has the id or the key of another one resumes it."""
        self.resumed = self.instance_id is not None or self.resumed_key is not None


class Sink(Protocol):
    """Takes recorded items. No method blocks on I/O."""

    def open_run(self, item: Item, feed: RunFeed) -> None:
        """Take the `ItemKind.RUN` item of a new run, with the feed that belongs to it."""
        ...

    def start_span(self, start: Item) -> None:
        """Take the beginning of a span; a long span is sent as `active` before its end."""
        ...

    def end_span(self, start: Item, finished_ns: int, status: str, result: bytes | None) -> None:
        """Take the end of a span that `start_span` took; the sink may change *start*."""
        ...

    def put(self, item: Item) -> None:
        """Take any other item: an active root span, a quality payload, the end of a run."""
        ...


class NoSink:
    """Drops every item; the sink of mode `off`."""

    def open_run(self, item: Item, feed: RunFeed) -> None:
        """Drop it."""

    def start_span(self, start: Item) -> None:
        """Drop it."""

    def end_span(self, start: Item, finished_ns: int, status: str, result: bytes | None) -> None:
        """Drop it."""

    def put(self, item: Item) -> None:
        """Drop it."""
