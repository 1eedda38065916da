"""Runs that are being delivered: their records, their progress, and their registration."""

from __future__ import annotations

import platform
import sys
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import msgspec

from remit._base.clock import Clock
from remit._base.guard import guarded, logger
from remit._base.ids import PARTITION_BITS, PARTITION_CHARS, encode, key_within, partition_of
from remit._base.outcomes import TERMINATED
from remit._base.version import SDK
from remit._deliver import calls
from remit._deliver.calls import DeadlineClient, Instance
from remit._deliver.refusals import Refusal, Tally
from remit._deliver.spool import Outbox, Registration, RunRecord, RunState
from remit._record.items import AgentRef, Item, RunFeed
from remit.errors import ApiError, ContractError, NotFoundError, RejectedError, UnauthorizedError

# A quality payload may come after its run's end; a run that ended this many runs ago is forgotten.
MAX_ENDED: Final = 1000
AGENT_ID: Final = "agent_id"
FINISHED: Final = ("complete", "failed", "cancelled")


def runtime_environment() -> dict[str, object]:
    """Return the runtime environment of the agent; it is not part of a version's hash."""
    version = ".".join(map(str, sys.version_info[:3]))
    return {
        "agent_sdk": [SDK],
        "os": platform.system().lower(),
        "prefactor_sdk": [SDK],
        "runtime": f"python {version}",
    }


class Registrations:
    """Makes run records; builds the registration of each agent once.

    An agent gets a new `AgentRef` when its declarations have changed, so that later runs register
    span types that were first used later.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._built: dict[str, tuple[AgentRef, Registration]] = {}

    def record(self, item: Item, feed: RunFeed) -> RunRecord:
        """Return the record of the run that *item* opened."""
        return self._record(item.started_ns or 0, feed)

    def inherited(self, feed: RunFeed) -> RunRecord:
        """Return the record of a run that the parent process opened, and will end."""
        record = self._record(0, feed)
        record.inherited = True
        return record

    def _record(self, started_ns: int, feed: RunFeed) -> RunRecord:
        opened = feed.instance_id is not None and not feed.resumed
        return RunRecord(
            feed.key,
            feed.root,
            started_ns,
            feed.purpose,
            self._registration(feed.agent),
            feed.instance_id,
            RunState.STARTED if opened else RunState.NEW,
            resumed=feed.resumed,
        )

    def _registration(self, agent: AgentRef) -> Registration:
        known = self._built.get(agent.external_identifier)
        if known is not None and known[0] is agent:
            return known[1]
        built = _build(agent)
        if known is not None and known[1] == built:
            built = known[1]
        self._built[agent.external_identifier] = (agent, built)
        return built


class _Payload(msgspec.Struct):
    """The parts of a registration that are the same for every run of an agent."""

    agent_version: dict[str, object]
    agent_schema_version: dict[str, object]


def _build(agent: AgentRef) -> Registration:
    declared = _declared(agent)
    version, schema = declared or (b"", b"")
    return Registration(
        agent.local_identifier or agent.external_identifier,
        agent.name,
        agent.description,
        agent.agent_id,
        agent.environment_id,
        version,
        schema,
        complete=declared is not None,
    )


@guarded("building a registration")
def _declared(agent: AgentRef) -> tuple[bytes, bytes]:
    declared = msgspec.convert(agent.registration(), _Payload)
    running = {**declared.agent_version, "runtime_environment": runtime_environment()}
    return msgspec.json.encode(running), msgspec.json.encode(declared.agent_schema_version)


@dataclass(slots=True, eq=False)
class RunDelivery:
    """The delivery of one run.

    Attributes:
        record: The data needed to deliver the run; kept in the outbox.
        feed: Passes the server's answers to the recording; None once the run has ended there.
        partition: Partition of the instance's id, as text; the ids of its spans have the same.
        root_key: Key of the root span at the server.
        answered_ns: Monotonic time of the server's last answer about the run.
        renewed: The run was registered again, because the server did not know it any more.
        root_sent: The end of the root span was delivered.
        loss_sent: The server has the loss span.
        refusal: The reason for which the run is set aside; None if it is not.
    """

    record: RunRecord
    feed: RunFeed | None
    partition: str = ""
    root_key: bytes = b""
    answered_ns: int = 0
    renewed: bool = False
    root_sent: bool = False
    loss_sent: bool = False
    refusal: Refusal | None = None

    @property
    def ready(self) -> bool:
        """Whether the items of the run can be sent."""
        return self.record.state in (RunState.STARTED, RunState.ENDED)

    def refuse(self, why: ApiError | Refusal) -> None:
        """Set the run aside: all of its items are set aside when they are sent."""
        self.record.state = RunState.SET_ASIDE
        if isinstance(why, ApiError):
            why = Refusal.of_run(self.record.registration.external_identifier, why)
        self.refusal = why

    @property
    def running(self) -> bool:
        """Whether the server knows the run, and it is recorded and not terminated."""
        if self.feed is None or self.feed.terminated is not None or self.root_sent:
            return False
        return self.record.state is RunState.STARTED

    @property
    def streaming(self) -> bool:
        """Whether a stream of the run is open; it may be silent for long, and can be stopped."""
        return self.feed is not None and bool(self.feed.streams)

    def identify(self, instance_id: str) -> None:
        """Set the id that the server gave the run, and pass it to the recording."""
        self.record.instance_id = instance_id
        self.partition = partition_text(instance_id)
        # Derived, because a process that resumes the run knows only the instance's id.
        self.root_key = key_within(instance_id, "root") or self.record.root
        if self.feed is not None:
            self.feed.instance_id = instance_id

    def note_status(self, status: str | None, reason: str | None) -> None:
        """Handle the status that the run has at the server."""
        if status == TERMINATED:
            self.terminate(reason)

    def terminate(self, reason: str | None) -> None:
        """Pass the termination of the run to the recording."""
        if self.feed is not None and self.feed.terminated is None:
            self.feed.terminated = reason or ""


def partition_text(instance_id: str) -> str:
    """Return the partition of an id; for an id that is no PFID, a partition derived from it.

    It is derived, not random, so that a later process uses the same ids for the same spans.
    """
    partition = partition_of(instance_id)
    if partition is None:
        partition = zlib.crc32(instance_id.encode()) & ((1 << PARTITION_BITS) - 1)
    return encode(partition, PARTITION_CHARS)


def _no_feed(_: str) -> None:
    """Return no feed: the process that recorded the run has ended."""


class RunTable:
    """The runs by key; the oldest of more than 1,000 ended runs is removed."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        feed_of: Callable[[str], RunFeed | None] = _no_feed,
        forget: Callable[[str], object] = _no_feed,
    ) -> None:
        """Begin with none.

        Args:
            outbox: Holds the records.
            feed_of: Returns the feed of a run by its key, None for a run of an ended process.
            forget: Removes the feed of a run.
        """
        self._outbox = outbox
        self._feed_of = feed_of
        self._forget = forget
        self._open: dict[str, RunDelivery] = {}
        self._ended: OrderedDict[str, RunDelivery] = OrderedDict()

    def get(self, run_key: str) -> RunDelivery | None:
        """Return the run of a key, None if it is unknown."""
        return self._open.get(run_key) or self._ended.get(run_key) or self._begin(run_key)

    def running(self) -> list[RunDelivery]:
        """Return the runs that are still recorded, and may be terminated."""
        return [run for run in self._open.values() if run.running]

    def end(self, run: RunDelivery) -> None:
        """End a run whose own end was delivered or refused."""
        key = run.record.key
        if run.record.state is not RunState.SET_ASIDE:
            run.record.state = RunState.ENDED
        self._open.pop(key, None)
        self._ended[key] = run
        run.feed = None
        self._forget(key)
        self._outbox.save_run(run.record)
        if len(self._ended) > MAX_ENDED:
            oldest, _ = self._ended.popitem(last=False)
            self._outbox.forget_run(oldest)

    def end_orphaned(self) -> None:
        """End runs whose own end was lost: their root has ended, and no row waits."""
        for run in [run for run in self._open.values() if run.root_sent]:
            self.end(run)

    def _begin(self, run_key: str) -> RunDelivery | None:
        record = self._outbox.run(run_key)
        if record is None:
            return None
        if record.state is RunState.SET_ASIDE:
            # Set aside by an ended process; the server may have been fixed since.
            record.state = RunState.NEW
        run = self._open[run_key] = RunDelivery(record, self._feed_of(run_key))
        if record.instance_id is not None:
            run.identify(record.instance_id)
        return run


class UnregistrableError(RejectedError):
    """The registration could not be built, so the run is not sent. It is caught in delivery."""


class RunRegistrar:
    """Registers and starts runs; all calls have keys derived from the run and can be repeated.

    Attributes:
        advanced: Number of state changes of runs.
    """

    def __init__(self, client: DeadlineClient, outbox: Outbox, clock: Clock, tally: Tally) -> None:
        """Send by *client*, save the records in *outbox*, count in *tally*."""
        self._client = client
        self._outbox = outbox
        self._clock = clock
        self._tally = tally
        self.advanced = 0
        self._names: dict[str, str] = {}
        self._agent_ids: dict[str, str] = {}
        # Agents whose answers are known: a server that fails at each second request would otherwise
        # get the same requests without end.
        self._needs_agent_id: set[str] = set()
        self._unknown_agents: set[str] = set()

    def open(self, run: RunDelivery) -> None:
        """Register and start a run, so that its items can be sent.

        Raises:
            UnregistrableError: The run has no registration.
            RejectedError: The server refuses the run.
            ApiError: Nothing can be sent now.
        """
        try:
            self._advance(run)
        except NotFoundError:
            # The server forgot the instance between the two calls.
            if run.record.state is not RunState.REGISTERED or run.renewed:
                raise
            self.renew(run)

    def renew(self, run: RunDelivery) -> None:
        """Register a run again, with the same key, because the server does not know it any more.

        Raises:
            RejectedError: It was registered again before, or the server refuses.
            ApiError: Nothing can be sent now.
        """
        if run.renewed:
            raise NotFoundError(
                "the server does not know the run any longer; it may have been deleted there",
                code="not_found",
            )
        run.renewed = True
        run.record.state = RunState.NEW
        self._advance(run)

    def _advance(self, run: RunDelivery) -> None:
        record = run.record
        if record.resumed:
            self._find(run)
            self._save(run, RunState.STARTED)
            return
        if record.state is RunState.NEW:
            instance = self._register(record)
            self._compare_agents(record.registration, instance)
            run.identify(instance.id)
            self._save(run, RunState.REGISTERED)
        if not record.inherited:
            self._start(record)
        self._save(run, RunState.STARTED)

    def _find(self, run: RunDelivery) -> None:
        """Check that the instance exists which a run resumes."""
        instance_id = run.record.instance_id or ""
        try:
            instance = self._client.call(calls.get_instance(instance_id))
        except NotFoundError as error:
            raise NotFoundError(
                f"it resumes {instance_id}, which the server does not know; expected the Run.id "
                "of a run that was left open, in the account of this token",
                status=error.status,
                code=error.code,
            ) from error
        run.note_status(instance.status, instance.termination_reason)
        if instance.status in FINISHED:
            logger.warning(
                "a run of %s resumes %s, which is %s already: its spans are added, but its status "
                "stays",
                run.record.registration.external_identifier,
                instance_id,
                instance.status,
            )

    def _save(self, run: RunDelivery, state: RunState) -> None:
        run.record.state = state
        self.advanced += 1
        run.answered_ns = self._clock.monotonic_ns()
        self._outbox.save_run(run.record)

    def _register(self, record: RunRecord) -> Instance:
        registration = record.registration
        name = registration.external_identifier
        if not registration.complete:
            raise UnregistrableError("its registration could not be built", code="unregistered")
        agent_id = registration.agent_id or self._agent_ids.get(name)
        if agent_id is not None or name not in self._needs_agent_id:
            try:
                return self._call_register(record, agent_id)
            except RejectedError as error:
                if agent_id is not None or not _lacks_agent_id(error):
                    self._agent_ids.pop(name, None)
                    raise
            self._needs_agent_id.add(name)
        try:
            self._agent_ids[name] = self._find_or_create_agent(registration)
        except (RejectedError, UnauthorizedError) as error:
            raise type(error)(
                f"the server wants to be told which agent {name} is, and does not let it be found "
                f"or made: {error}. Set the agent_id, or write @remit.agent(agent_id=...)",
                status=error.status,
                code=error.code,
            ) from error
        for known in (self._needs_agent_id, self._unknown_agents):
            known.discard(name)
        return self._call_register(record, self._agent_ids[name])

    def _call_register(self, record: RunRecord, agent_id: str | None) -> Instance:
        """Register a run.

        Raises:
            ContractError: Also for a 404 of the API: no run can be refused for it, because the
                URL or an id in the settings is wrong.
        """
        try:
            return self._client.call(calls.register(record, agent_id))
        except NotFoundError as error:
            # The next try looks the agent up, and creates it if it is gone.
            self._agent_ids.pop(record.registration.external_identifier, None)
            raise ContractError(str(error), status=error.status, code=error.code) from error

    def _compare_agents(self, registration: Registration, instance: Instance) -> None:
        """Count a run that the server records as another agent's; log it once for each agent.

        The run continues under the server's agent.
        """
        mine, agent_id, agent = registration.external_identifier, instance.agent_id, instance.agent
        if agent_id is None or agent_id == registration.agent_id:
            return
        # Without the agent's name, two agents that are given the same id show the mismatch.
        first = self._names.setdefault(agent_id, mine)
        named = first if agent is None else agent.external_identifier or first
        recorded_as = agent_id if registration.agent_id is not None else named
        if recorded_as == mine:
            return
        self._tally.misattributed[mine] += 1
        if self._tally.misattributed[mine] == 1:
            logger.warning(
                "the server records the runs of %s as runs of the agent %s, because the token is "
                "for that agent's deployment. Use a token of its own or of the account; if the "
                "other agent is meant, write @remit.agent(agent_id=%r). "
                "remit.status().misattributed counts these runs",
                mine,
                recorded_as,
                agent_id,
            )

    def _start(self, record: RunRecord) -> None:
        try:
            self._client.call(calls.start(record, record.instance_id or ""))
        except RejectedError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise

    def _find_or_create_agent(self, registration: Registration) -> str:
        find, name = calls.find_agent(registration), registration.external_identifier
        try:
            if name not in self._unknown_agents:
                return self._client.call(find).id
        except ApiError as error:
            # Also a 404 without an error code: the registration was answered, so the URL is right.
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            self._unknown_agents.add(name)
        try:
            return self._client.call(calls.create_agent(registration)).id
        except RejectedError:
            # Another process created it between the two calls, or the server does not allow it.
            return self._client.call(find).id


def _lacks_agent_id(error: RejectedError) -> bool:
    return AGENT_ID in error.errors or AGENT_ID in str(error)
