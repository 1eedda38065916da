"""The private parts of the SDK that tests use, in one place.

Tests outside `tests/unit` import what is private from here and from `tests.inside_collector`, so
that a new layout of the packages changes these two modules and no test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any

from remit._adapters.declare import add_to_header as add_to_header
from remit._adapters.declare import ceiling_of as ceiling_of
from remit._adapters.declare import declarations as declarations
from remit._adapters.declare import declare as declare
from remit._adapters.declare import declare_agent as declare_agent
from remit._adapters.declare import interrupts as interrupts
from remit._adapters.declare import name_tool as name_tool
from remit._adapters.declare import step_of as step_of
from remit._adapters.declare import undeclared as undeclared
from remit._adapters.spans import ManualSpan as ManualSpan
from remit._adapters.spans import collect_denials as collect_denials
from remit._adapters.spans import inside as inside
from remit._adapters.spans import judging as judging
from remit._adapters.spans import permit as permit
from remit._adapters.spans import start as start
from remit._adapters.spans import traceparent as traceparent
from remit._adapters.spans import within as within
from remit._adapters.tables import SessionTable as SessionTable
from remit._adapters.tables import SpanTable as SpanTable
from remit._base import guard as guard
from remit._base import ids as ids
from remit._base import version as version
from remit._base.clock import Clock as Clock
from remit._base.clock import Deadline as Deadline
from remit._base.clock import SystemClock as SystemClock
from remit._base.guard import Faults as Faults
from remit._base.guard import counting as counting
from remit._base.guard import guarded as guarded
from remit._base.guard import handing_faults_to as handing_faults_to
from remit._base.ids import key_text as key_text
from remit._base.ids import new_key as new_key
from remit._base.ids import new_partition as new_partition
from remit._base.ids import partition_of as partition_of
from remit._base.ids import pfid as pfid
from remit._base.step_names import NAMED_TYPES as NAMED_TYPES
from remit._base.step_names import step_name as step_name
from remit._capture.encode import Rules as Rules
from remit._capture.encode import capture_mapping as capture_mapping
from remit._capture.encode import redacted as redacted
from remit._capture.errors import denial_payload as denial_payload
from remit._capture.errors import error_payload as error_payload
from remit._capture.excluded import redact_excluded as redact_excluded
from remit._capture.fast import CallPlan as CallPlan
from remit._capture.plan import Plan as Plan
from remit._capture.redacted import RedactedTexts as RedactedTexts
from remit._capture.stream import Stream as Stream
from remit._capture.walk import Walk as Walk
from remit._capture.walk import decode as decode
from remit._declare.inference import Side as Side
from remit._declare.inference import effective as effective
from remit._declare.inference import inferred as inferred
from remit._declare.project import Project as Project
from remit._declare.project import identified as identified
from remit._declare.project import project_at as project_at
from remit._declare.registration import registration as registration
from remit._declare.registry import LOSS_TYPE as LOSS_TYPE
from remit._declare.registry import AgentType as AgentType
from remit._declare.registry import Registry as Registry
from remit._declare.registry import SpanType as SpanType
from remit._declare.risk import coerce as coerce
from remit._declare.schema.build import params_schema as params_schema
from remit._declare.schema.build import result_schema as result_schema
from remit._declare.schema.canonical import canonical as canonical
from remit._deliver.buffer import Buffer as Buffer
from remit._deliver.calls import BulkSupport as BulkSupport
from remit._deliver.calls import DeadlineClient
from remit._deliver.circuit import CircuitBreaker, waits
from remit._deliver.delivery import Delivery as Delivery
from remit._deliver.losses import Loss as Loss
from remit._deliver.losses import Losses as Losses
from remit._deliver.losses import cost as cost
from remit._deliver.sender import Sender
from remit._deliver.spool.files import Files as Files
from remit._deliver.spool.files import OnLoss as OnLoss
from remit._deliver.spool.folder import Folder as Folder
from remit._deliver.spool.folder import Identity as Identity
from remit._deliver.spool.folder import OtherFiles as OtherFiles
from remit._deliver.spool.outbox import Outbox as Outbox
from remit._deliver.spool.store import PAGE_BYTES as PAGE_BYTES
from remit._deliver.spool.store import Row as Row
from remit._deliver.spool.store import SpoolFile as SpoolFile
from remit._deliver.status import FlushResult as FlushResult
from remit._deliver.status import Health as Health
from remit._deliver.status import Status as Status
from remit._deliver.stored import Registration as Registration
from remit._deliver.stored import RunState as RunState
from remit._deliver.stored import StoredRun as StoredRun
from remit._deliver.stored import unpack as unpack
from remit._deliver.writer import Writer
from remit._inspect.signature import MISSING as MISSING
from remit._inspect.signature import CallKind as CallKind
from remit._inspect.signature import Parameter as Parameter
from remit._inspect.signature import SignatureInfo as SignatureInfo
from remit._inspect.signature import read as read
from remit._lock.content import risk_words as risk_words
from remit._lock.difference import Change as Change
from remit._lock.difference import Kind as Kind
from remit._lock.difference import Lock as Lock
from remit._lock.difference import What as What
from remit._lock.difference import changes as changes
from remit._lock.report import grouped as grouped
from remit._policy import violations as violations
from remit._policy.leaving import Leaves as Leaves
from remit._policy.limits import Ceiling as Ceiling
from remit._policy.limits import under as under
from remit._policy.limits import verdict as verdict
from remit._policy.maxima import Counted as Counted
from remit._policy.maxima import beyond as beyond
from remit._policy.violations import fields_of as fields_of
from remit._policy.violations import violations_in as violations_in
from remit._policy.widening import Effect as Effect
from remit._policy.words import CATEGORIES as CATEGORIES
from remit._record import binding
from remit._record.blocks import Run as Run
from remit._record.blocks import RunBlock as RunBlock
from remit._record.blocks import Span as Span
from remit._record.blocks import null_run as null_run
from remit._record.counts import give_back as give_back
from remit._record.counts import reserve as reserve
from remit._record.items import AgentRef as AgentRef
from remit._record.items import Item as Item
from remit._record.items import ItemKind as ItemKind
from remit._record.items import RunFeed as RunFeed
from remit._record.items import Sink as Sink
from remit._record.runs import contributed_interrupts as contributed_interrupts
from remit._record.runs import current_context as current_context
from remit._record.spans import SpanRecorder as SpanRecorder
from remit._record.wrappers import Agent as Agent
from remit._runtime import process as process
from remit._runtime import setup as setup
from remit._runtime import targets as targets
from remit.cli._schema_risk import suggested as suggested
from remit.cli._serve import LIMITS as LIMITS
from remit.cli._serve import VARIABLE_PREFIX as VARIABLE_PREFIX
from remit.cli._terminal import size as size
from remit.client._approver import Approved as Approved
from remit.client._approver import Expired as Expired
from remit.client._approver import Question as Question
from remit.client._approver import Refused as Refused
from remit.client._approver import ServerApprover as ServerApprover
from remit.client._http import AsyncHttpClient as AsyncHttpClient
from remit.client._http import HttpClient as HttpClient
from remit.client._library import httpx as httpx
from remit.client._sync import AgentInstances, Agents, AgentSpans, Bulk
from remit.client.endpoints import table
from remit.client.endpoints.bulk import bulk_raw as bulk_raw
from remit.client.endpoints.endpoint import Call as Call
from remit.client.endpoints.endpoint import Endpoint
from remit.config import Settings
from remit.integrations._llm import TESTED as TESTED
from remit.integrations._llm import required as required
from remit.integrations._llm import tokens_of as tokens_of
from remit.integrations._providers import provider_at as provider_at
from remit.integrations._providers import provider_named as provider_named
from remit.testing import FakeClock

URL = "http://api.example"
TOKEN = "pf_0123456789abcdef"

# Client


class Described:
    """The methods of the client, which return what they would send as a `Call`."""

    def __init__(self) -> None:
        """Send nothing."""

        def unsent(call: Any) -> Any:
            return call

        instances, spans, agents = AgentInstances(unsent), AgentSpans(unsent), Agents(unsent)
        self.ping: Any = table.PING.call
        self.register_instance: Any = instances.register
        self.start_instance: Any = instances.start
        self.finish_instance: Any = instances.finish
        self.get_instance: Any = instances.get
        self.list_instances: Any = instances.list
        self.terminate_instance: Any = instances.terminate
        self.record_quality: Any = instances.record_quality
        self.create_span: Any = spans.create
        self.finish_span: Any = spans.finish
        self.list_spans: Any = spans.list
        self.show_agent: Any = agents.show
        self.create_agent: Any = agents.create
        self.bulk: Any = Bulk(unsent).execute
        self.bulk_raw = bulk_raw


described = Described()
CLIENT_ENDPOINTS = [value for value in vars(table).values() if isinstance(value, Endpoint)]

# Asks


def forget_used_seals() -> None:
    """Forget which seals were used in this process, as another process does not know them."""
    binding._used_seals.clear()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


# Buffer


def make_buffer(
    *,
    losses: Losses,
    clock: Clock,
    max_bytes: int = 1 << 26,
    start_threads: Callable[[], None] = lambda: None,
    wake_writer: Callable[[], None] = lambda: None,
) -> Buffer:
    """Return a buffer that announces spans that are open for a second."""
    return Buffer(
        max_bytes=max_bytes,
        losses=losses,
        clock=clock,
        announce_after_s=1.0,
        start_threads=start_threads,
        wake_writer=wake_writer,
    )


# Delivery

POLL_INTERVAL_S = 30.0
STREAM_INTERVAL_S = 1.0
PACE = {
    "flush_interval_s": 0.05,
    "max_buffer_bytes": 1 << 26,
    "max_batch_items": 500,
    "max_batch_bytes": 1 << 20,
    "request_timeout_s": 10.0,
    "poll_interval_s": POLL_INTERVAL_S,
}


def make_delivery(
    transport: httpx.BaseTransport | None,
    data_dir: Path | None = None,
    *,
    url: str = URL,
    max_spool_bytes: int = 1 << 30,
    ticks: Sequence[Callable[[], None]] = (),
    clock: Clock | None = None,
    **pace: float,
) -> Delivery:
    """Return delivery with its threads, by default on the machine's clock.

    Args:
        transport: The server; without one, what listens at *url*.
        data_dir: Where the spool is; without one, all is in memory.
        url: Where to.
        max_spool_bytes: Most that the spool may take.
        ticks: Called at each pass of the writer.
        clock: The time.
        **pace: What differs from `PACE`.
    """
    clock = clock or SystemClock()
    spool = Folder(data_dir, Identity.of(url, TOKEN), max_spool_bytes) if data_dir else None
    return Delivery(
        paced(pace),
        http=HttpClient(url, TOKEN, transport=transport, clock=clock),
        clock=clock,
        target=url,
        spool=spool,
        ticks=ticks,
    )


def paced(pace: Mapping[str, float]) -> Settings:
    """Return settings, unchecked: `PACE`, and what differs from it."""
    values: dict[str, Any] = {**PACE, **pace}
    return Settings.model_construct(**values)


class Keeping(Outbox):
    """An outbox in memory that keeps what is set aside, as one with a spool does."""

    def set_aside(self, row: Row, reason: str) -> bool:
        """Take a row out of the order, and keep it."""
        super().set_aside(row, reason)
        return True


class Threadless(Delivery):
    """Delivery whose threads do not start."""

    def __init__(self, outbox: Callable[..., Outbox], settings: Settings, **more: Any) -> None:
        """Keep items in what *outbox* makes, given how to `release` memory."""
        self._outbox_of = outbox
        super().__init__(settings, **more)

    def _make_outbox(self) -> Outbox:
        return self._outbox_of(release=self._buffer.release)

    def _start_threads(self) -> None:
        """Start none."""

    @property
    def parts(self) -> tuple[Writer, Sender, Outbox, DeadlineClient, CircuitBreaker]:
        """The parts that threads would drive."""
        return self._writer, self._sender, self._outbox, self._client, self._circuit


class SteppedDelivery:
    """Delivery without threads: its owner moves the clock, makes each pass and sends each window.

    Attributes:
        clock: The time.
        sink: Where to record.
    """

    def __init__(
        self,
        transport: httpx.BaseTransport,
        *,
        outbox: Callable[..., Outbox] = partial(Keeping, None),  # noqa: B008 - makes no state
        ticks: Sequence[Callable[[], None]] = (),
        waits: Callable[[Health], Iterator[float]] = waits,
        support: BulkSupport | None = None,
        **pace: int,
    ) -> None:
        """Deliver to a server.

        Args:
            transport: The server.
            outbox: Makes what holds what waits, given how to `release` memory.
            ticks: Called at each pass.
            waits: How long to wait between two tries.
            support: Which operations the server is known to take in bulk.
            **pace: What differs from `PACE`.
        """
        self.clock = clock = FakeClock()
        self._delivery = Threadless(
            outbox,
            paced({"flush_interval_s": STREAM_INTERVAL_S, **pace}),
            http=HttpClient(URL, TOKEN, transport=transport, clock=clock),
            clock=clock,
            target=URL,
            ticks=ticks,
        )
        self._writer, self._sender, self._outbox, self._client, circuit = self._delivery.parts
        circuit.waits = waits
        if support is not None:
            known = self._sender.support
            known.registrations, known.runs, known.reads = astuple(support)
        buffer = self._delivery.sink
        assert isinstance(buffer, Buffer)
        self.sink = buffer

    def move(self, *, announce: bool = False) -> float:
        """Make a pass; return the seconds until the next.

        Args:
            announce: Send the beginnings of all open spans, however young.
        """
        if announce:
            self._writer.announce_all()
        return self._writer.step()

    def send(self, *, urged: bool = False) -> float:
        """Send one window; return the seconds until the next step makes sense.

        Args:
            urged: Try even if the last try failed just before.
        """
        if urged:
            self._sender.force()
        return self._sender.step()

    def end_within(self, seconds: float) -> None:
        """Send nothing that takes longer than *seconds* from now on, as while a shutdown waits."""
        self._client.deadline = Deadline.after(seconds, self.clock)

    def give_up(self) -> None:
        """Settle everything that is waiting, as after a full spool."""
        self._outbox.settle([row.id for row in self._outbox.head(1_000)])

    def fork(self) -> None:
        """Go on as the child of a fork does."""
        self.sink.after_fork_in_child()

    def holds(self, run_key: str) -> bool:
        """Tell whether anything of a run is kept for what may still come of it."""
        return self.sink.feed(run_key) is not None

    @property
    def status(self) -> Status:
        """Where delivery stands."""
        return self._delivery.status()


# Plan


def plan_of(described: Callable[..., object] | SignatureInfo, **declared: Any) -> Plan:
    """Return the capture plan of a function, or of its signature, with what is declared of it."""
    if not isinstance(described, SignatureInfo):
        described = read(described, skip_first=False)
    return CallPlan(described, **declared)


# Spool


def spool_folder(data_dir: Path, *, target: str, token: str | None, max_bytes: int) -> Folder:
    """Return the spool's folder in *data_dir*; nothing is created on disk."""
    return Folder(data_dir, Identity.of(target, token), max_bytes)


def spool_files(
    folder: Folder,
    *,
    on_loss: OnLoss,
    wall_ns: Callable[[], int] = SystemClock.wall_ns,
    any_token: bool = False,
) -> Files:
    """Return the files of *folder*, as one process sees them."""
    others = OtherFiles(any_token=any_token)
    return Files(folder, wall_ns=wall_ns, on_loss=on_loss, others=others)


def spool_outbox(files: Files | None, *, release: Callable[[int], None]) -> Outbox:
    """Return the outbox of a process; without *files* it keeps everything in memory."""
    return Outbox(files, release=release)


def taken_outbox(files: Files, file: SpoolFile) -> Outbox:
    """Return the outbox that sends the *file* of an ended process."""
    return Outbox(files, file=file)


def adopted(files: Files) -> list[Item]:
    """Return, in order, the items that the next process sends of what others left in *files*."""
    items: list[Item] = []
    file = files.take()
    while file is not None:
        outbox = taken_outbox(files, file)
        while rows := outbox.head(1000):
            items += [row.item for row in rows]
            outbox.settle([row.id for row in rows])
        if outbox.broken is not None:
            claim = outbox.detach()
            assert claim is not None
            file = files.rescue(claim, outbox.broken)
            continue
        for run in outbox.open_runs():
            outbox.forget_run(run.key)
        outbox.close()
        file = files.take()
    return items
