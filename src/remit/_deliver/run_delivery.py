"""Runs that are being delivered: their progress, and their registration."""

from __future__ import annotations

import platform
import sys
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import msgspec

from remit._base.clock import Clock
from remit._base.guard import guarded, logger
from remit._base.ids import PARTITION_CHARS, encode, key_text, key_within, partition_of
from remit._base.outcomes import TERMINATED
from remit._base.version import SDK
from remit._deliver import calls
from remit._deliver.buffer import Buffer
from remit._deliver.calls import BulkSupport, DeadlineClient, Instance, InstanceOperation
from remit._deliver.reactions import Rejection
from remit._deliver.spool.outbox import Outbox
from remit._deliver.status import Tally
from remit._deliver.stored import Registration, RunState, StoredRun, digest_of
from remit._record.items import AgentRef, RunFeed
from remit.errors import (
    ApiError,
    ContractError,
    NotFoundError,
    RejectedError,
    TooLargeError,
    UnauthorizedError,
)

# A quality payload may come after its run's end; a run that ended this many runs ago is forgotten.
MAX_ENDED: Final = 1000
AGENT_ID: Final = "agent_id"
UNKNOWN_SCHEMA: Final = "unknown_schema_version"
"""Error code of remit's collector for an identifier alone that it does not know."""
# A registration without version, schema and names.
REGISTRATION_BYTES: Final = 512
FORGOTTEN: Final = NotFoundError(
    "the server no longer knows the run, which may have been deleted there", code="not_found"
)
NOT_THERE: Final = (
    HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.FORBIDDEN
)  # fmt: skip
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


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Most items and bytes of one bulk request."""

    items: int
    size_bytes: int


class Registrations:
    """Makes stored runs; builds the registration of an agent once for each `AgentRef`.

    An agent gets a new `AgentRef` when a declaration is added, so that later runs register it.
    """

    def __init__(self) -> None:
        self._built: dict[str, tuple[AgentRef, Registration]] = {}

    def stored_run(self, feed: RunFeed, started_ns: int, *, inherited: bool = False) -> StoredRun:
        """Return the run of *feed*; the parent process opened and ends an *inherited* one."""
        opened = feed.instance_id is not None and not feed.resumed
        return StoredRun(
            feed.key,
            feed.root,
            started_ns,
            feed.purpose,
            self._registration(feed.agent),
            feed.instance_id,
            RunState.STARTED if opened else RunState.NEW,
            inherited=inherited,
            resumed=feed.resumed,
            continues=feed.continues,
            conversation=feed.conversation,
        )

    def _registration(self, agent: AgentRef) -> Registration:
        built = self._built.get(agent.external_identifier)
        if built is None or built[0] is not agent:
            built = self._built[agent.external_identifier] = (agent, _build(agent))
        return built[1]


def _build(agent: AgentRef) -> Registration:
    declared = _declared(agent)
    version, schema = declared or (b"", b"")
    bare = agent.external_identifier
    identifier = _identifier(agent) or bare
    return Registration(
        identifier,
        agent.name,
        agent.description,
        agent.agent_id,
        agent.environment_id,
        version,
        schema,
        complete=declared is not None,
        # A given identifier is taken as it is.
        bare_identifier=bare if identifier.endswith(f"/{bare}") else "",
    )


@guarded("looking for the project of an agent")
def _identifier(agent: AgentRef) -> str | None:
    """Return the agent's identifier on the wire, or None if there is none or after a fault."""
    return None if agent.identifier is None else agent.identifier()


@guarded("building a registration")
def _declared(agent: AgentRef) -> tuple[bytes, bytes]:
    """Return agent version and schema version as JSON; None after a fault."""
    declared: dict[str, Any] = agent.registration()
    version = {**declared["agent_version"], "runtime_environment": runtime_environment()}
    return msgspec.json.encode(version), msgspec.json.encode(declared["agent_schema_version"])


class RunDelivery(msgspec.Struct, gc=False, eq=False):
    """The delivery of one run; untracked by the garbage collector, as all that waits.

    Attributes:
        stored: The data needed to deliver the run; kept in the outbox.
        feed: Passes the server's answers to the recording; None once the run has ended there.
        partition: Partition of the instance's id, as text; the ids of its spans have the same. It
            is 0 for an id that is not a PFID.
        answered_ns: Monotonic time of the server's last answer about the run.
        renewed: The run was registered again, because the server did not know it any more.
        rejection: The reason for which the run is set aside; None if it is not.
    """

    stored: StoredRun
    feed: RunFeed | None
    partition: str = ""
    root_key: bytes = b""
    answered_ns: int = 0
    renewed: bool = False
    losses_sent: bool = False
    rejection: Rejection | None = None

    @property
    def agent(self) -> str:
        return self.stored.registration.external_identifier

    @property
    def new(self) -> bool:
        """Whether the run has to be registered before anything of it can be sent."""
        return self.stored.state is RunState.NEW

    @property
    def ready(self) -> bool:
        """Whether the items of the run can be sent, after its start if `needs_start`."""
        return self.stored.state in (RunState.REGISTERED, RunState.STARTED, RunState.ENDED)

    @property
    def needs_start(self) -> bool:
        """Whether the start of the run has to be sent first."""
        return self.stored.state is RunState.REGISTERED

    @property
    def running(self) -> bool:
        """Whether the server knows the run, and it is recorded and not terminated."""
        if self.feed is None or self.feed.terminated is not None:
            return False
        return self.stored.state is RunState.STARTED

    @property
    def streaming(self) -> bool:
        """Whether a stream of the run is open; it may be silent for long, and can be stopped."""
        run = None if self.feed is None else self.feed.run()
        return run is not None and bool(run.deferred)

    def reject(self, rejection: Rejection) -> None:
        """Set the run aside: all of its items are set aside when they are sent."""
        self.stored.state = RunState.SET_ASIDE
        self.rejection = rejection

    def identify(self, instance_id: str) -> None:
        """Set the id that the server gave the run, and pass it to the recording."""
        self.stored.instance_id = instance_id
        self.partition = encode(partition_of(instance_id) or 0, PARTITION_CHARS)
        # Derived, because a process that resumes the run knows only the instance's id.
        self.root_key = key_within(instance_id, "root") or self.stored.root
        if self.feed is not None:
            self.feed.instance_id = instance_id

    def note_instance(self, instance: Instance) -> None:
        """Pass a termination to the recording, if that is the run's status at the server."""
        if instance.status == TERMINATED:
            self.terminate(instance.termination_reason)

    def terminate(self, reason: str | None) -> None:
        """Pass the termination of the run to the recording."""
        if self.feed is not None and self.feed.terminated is None:
            self.feed.terminated = reason or ""


class RunDeliveries:
    """The runs by key; the oldest of more than 1,000 ended runs is removed."""

    def __init__(self, outbox: Outbox, buffer: Buffer | None = None) -> None:
        """Begin with none.

        Args:
            buffer: Holds the feeds; None for the runs of an ended process, which have none.
        """
        self._outbox = outbox
        self._buffer = buffer
        self._open: dict[str, RunDelivery] = {}
        self._ended: OrderedDict[str, RunDelivery] = OrderedDict()

    def get(self, run_key: str) -> RunDelivery | None:
        """Return the run of a key, None if it is unknown."""
        return self._open.get(run_key) or self._ended.get(run_key) or self._begin(run_key)

    def running(self) -> list[RunDelivery]:
        """Return the runs that are still recorded, and may be terminated."""
        return [run for run in self._open.values() if run.running]

    def any_running(self) -> bool:
        """Return whether there are any of `running`."""
        return any(run.running for run in self._open.values())

    def end(self, run: RunDelivery) -> None:
        """End a run whose own end was delivered or rejected."""
        key = run.stored.key
        if run.stored.state is not RunState.SET_ASIDE:
            run.stored.state = RunState.ENDED
        self._open.pop(key, None)
        self._ended[key] = run
        run.feed = None
        if self._buffer is not None:
            self._buffer.forget_feed(key)
        self._outbox.save_run(run.stored)
        if len(self._ended) > MAX_ENDED:
            oldest, _ = self._ended.popitem(last=False)
            self._outbox.forget_run(oldest)

    def _begin(self, run_key: str) -> RunDelivery | None:
        stored = self._outbox.run(run_key)
        if stored is None:
            return None
        if stored.state is RunState.SET_ASIDE:
            # Set aside by an ended process; the server may have been fixed since.
            stored.state = RunState.NEW
        feed = self._buffer.feed(run_key) if self._buffer is not None else None
        run = self._open[run_key] = RunDelivery(stored, feed)
        if stored.instance_id is not None:
            run.identify(stored.instance_id)
        return run


class RunRegistrar:
    """Registers runs; all calls have keys derived from the run and can be repeated.

    Attributes:
        advanced: Number of state changes of runs.
    """

    def __init__(
        self,
        client: DeadlineClient,
        outbox: Outbox,
        clock: Clock,
        tally: Tally,
        limits: BatchLimits,
        support: BulkSupport,
    ) -> None:
        """Send by *client*, save the runs in *outbox*, count in *tally*."""
        self._client = client
        self._outbox = outbox
        self._clock = clock
        self._tally = tally
        self._limits = limits
        self._support = support
        self.advanced = 0
        # Digests of registrations whose schema version the server keeps: it takes the identifier.
        self._kept: set[bytes] = set()
        # Ids of agents without one in the settings, for a server that needs one. Answers are kept:
        # a server that fails at every second request would get the same requests without end.
        self._agent_ids: dict[str, str] = {}
        self._need_id: set[str] = set()
        self._unknown: set[str] = set()
        self._first_agents: dict[str, str] = {}

    def take(self, runs: deque[RunDelivery], most: int) -> list[RunDelivery]:
        """Remove from *runs* and return those that are registered next, by one request.

        They are at most *most*. A run that needs requests of its own is returned alone.
        """
        taken = [runs.popleft()]
        size_bytes = self._size_bytes(taken[0])
        while runs and len(taken) < most and self._can_be_together(taken[-1]):
            size_bytes += self._size_bytes(runs[0])
            if size_bytes > self._limits.size_bytes or not self._can_be_together(runs[0]):
                break
            taken.append(runs.popleft())
        return taken

    def _size_bytes(self, run: RunDelivery) -> int:
        """Return the approximate size of a registration as JSON."""
        registration = run.stored.registration
        schema_bytes = 0 if self._is_kept(registration) else len(registration.schema)
        return REGISTRATION_BYTES + len(registration.version) + schema_bytes

    def _is_kept(self, registration: Registration) -> bool:
        return digest_of(registration) in self._kept

    def _can_be_together(self, run: RunDelivery) -> bool:
        stored = run.stored
        return (
            self._support.registrations is not False
            and not (stored.alone or stored.resumed or stored.continues is not None)
            and stored.registration.complete
            and not self._lacks_agent(stored.registration)
        )

    def _lacks_agent(self, registration: Registration) -> bool:
        """Return whether the agent of a registration has to be looked up first."""
        name = registration.external_identifier
        return registration.agent_id is None and name in self._need_id

    def register(self, runs: Sequence[RunDelivery]) -> list[tuple[RunDelivery, ApiError]]:
        """Register the *runs* that `take` returned; look up the instance of a resumed one.

        A run whose output is missing from the answer may have been registered. It stays new, to be
        registered again in the same form.

        Returns:
            The run that the server rejected, with its error, if it rejected one.

        Raises:
            RejectedError: The server rejects the request of several runs.
            ApiError: Nothing can be sent now.
        """
        if not self._prepare(runs[0]):
            return []
        try:
            answer = self._request(runs)
        except RejectedError as error:
            if len(runs) > 1 and (self._support.registrations or isinstance(error, TooLargeError)):
                raise
            answer = {runs[0].stored.key: error}
        rejected: list[tuple[RunDelivery, ApiError]] = []
        for run in runs:
            result = answer.get(run.stored.key)
            if isinstance(result, Instance):
                self._registered(run, result)
            elif result is not None and not self._corrects(run.stored.registration, result):
                rejected.append((run, result))
        return rejected

    def _prepare(self, run: RunDelivery) -> bool:
        """Make the lookups that a run needs first; return whether it is to be registered then."""
        registration = run.stored.registration
        try:
            if run.stored.continues is not None:
                self._look_for_waiting(run)
            if run.stored.resumed:
                self._find(run)
                self._save(run, RunState.STARTED)
            elif not registration.complete:
                run.reject(Rejection.of_no_registration(run.agent))
            elif self._lacks_agent(registration):
                self._agent_ids[run.agent] = self._find_or_create_agent(registration)
                self._need_id.discard(run.agent)
                self._unknown.discard(run.agent)
        except RejectedError as error:
            run.reject(Rejection.of_run(run.agent, error))
        return run.new

    def _request(self, runs: Sequence[RunDelivery]) -> calls.Instances:
        """Return by the key of each run its instance, or its rejection."""
        if not runs[0].stored.alone and self._support.registrations is False:
            self._leave_bulk(runs[0].stored)
        operations = {run.stored.key: self._operation(run.stored) for run in runs}
        if runs[0].stored.alone:
            ((key, operation),) = operations.items()
            instance = self._client.call(calls.alone(operation))
            if self._support.registrations is None:
                # The server rejected it in bulk.
                self._support.registrations = False
            return {key: instance}
        answer = self._client.call(calls.in_bulk(list(operations.values())))
        answered = {
            key: answer[operation.key]
            for key, operation in operations.items()
            if operation.key in answer
        }
        if not answered:
            raise ContractError(calls.NAMES_NONE)
        if any(isinstance(result, Instance) for result in answered.values()):
            self._support.registrations = True
        return answered

    def _corrects(self, registration: Registration, error: ApiError) -> bool:
        """Return whether a registration that was rejected can be sent again with a correction."""
        if error.code == UNKNOWN_SCHEMA and self._is_kept(registration):
            # It was deleted there, or another server answers now: send it whole.
            self._kept.clear()
            return True
        # If the agent was found, the next try looks for it again.
        known_id = self._agent_ids.pop(registration.external_identifier, None)
        if known_id or registration.agent_id or not _names_agent_id(error):
            return False
        self._need_id.add(registration.external_identifier)
        return True

    def rejects_bulk(self, run: RunDelivery, error: ApiError) -> bool:
        """Return whether *error* may be due to the bulk form; the run is then registered alone.

        The server has taken no registration in bulk, and says that it did not carry out this one. A
        413 does not say so: it may be a proxy's, and may be due to the answer.

        Raises:
            UnauthorizedError: The token may not register the run.
            ContractError: The API answered 404: the URL or an id in the settings is wrong.
        """
        too_large = isinstance(error, TooLargeError)
        if self._support.registrations is None and not run.stored.alone and not too_large:
            self._leave_bulk(run.stored)
            return True
        if isinstance(error, UnauthorizedError):
            raise error
        if isinstance(error, NotFoundError):
            raise ContractError(str(error), status=error.status, code=error.code) from error
        return False

    def _leave_bulk(self, stored: StoredRun) -> None:
        """Have a run registered alone; it is written first, for a process that adopts the run."""
        stored.alone = True
        self._outbox.write_run(stored)

    def started(self, run: RunDelivery) -> None:
        """Save that the server knows that a run has started."""
        self._save(run, RunState.STARTED)

    def _registered(self, run: RunDelivery, instance: Instance) -> None:
        self._compare_agents(run.stored.registration, instance)
        if instance.collision is not None:
            self._note_collision(run.stored.registration.external_identifier, instance.collision)
        if instance.keeps_schema:
            self._kept.add(digest_of(run.stored.registration))
        run.identify(instance.id)
        # The parent process starts an inherited run.
        self._save(run, RunState.STARTED if run.stored.inherited else RunState.REGISTERED)

    def _note_collision(self, name: str, other: calls.Collision) -> None:
        """Keep that another program registers the same agent; log it once for each agent."""
        of_it = f"declares {', '.join(other.steps)}" if other.steps else "has other steps"
        if other.owner:
            of_it += f" and belongs to {other.owner}"
        if name not in self._tally.collisions:
            logger.warning(
                "another program registered the agent %s in the last 24 hours. It %s. If the "
                "programs are different agents, set REMIT_PROJECT in one of them, or write "
                "@remit.agent(external_identifier=...)",
                name,
                of_it,
            )
        self._tally.collisions[name] = f"another program {of_it}"

    def _operation(self, stored: StoredRun) -> InstanceOperation:
        registration = stored.registration
        known_id = self._agent_ids.get(registration.external_identifier)
        kept = self._is_kept(registration)
        return calls.register(stored, registration.agent_id or known_id, kept=kept)

    def renew(self, run: RunDelivery, error: ApiError = FORGOTTEN) -> None:
        """Have a run registered again, once, with the same key: the server does not know it."""
        if run.renewed:
            run.reject(Rejection.of_run(run.agent, error))
        else:
            run.renewed = True
            self._save(run, RunState.NEW)

    def _save(self, run: RunDelivery, state: RunState) -> None:
        run.stored.state = state
        self.advanced += 1
        run.answered_ns = self._clock.monotonic_ns()
        self._outbox.save_run(run.stored)

    def _look_for_waiting(self, run: RunDelivery) -> None:
        """Find the waiting run with which *run* goes on; without one, it is a run of its own."""
        stored = run.stored
        first = self._outbox.run(stored.continues or "")
        instance_id = None if first is None else first.instance_id
        if instance_id is None:
            instance_id = self._waiting_instance(stored)
        stored.continues = None
        if instance_id is not None:
            stored.resumed = True
            run.identify(instance_id)
        self._outbox.save_run(stored)

    def _waiting_instance(self, stored: StoredRun) -> str | None:
        try:
            return self._client.call(calls.find_waiting(stored)).id
        except ApiError as error:
            # A server without this request answers 404, or 405.
            if error.status in NOT_THERE:
                return None
            raise

    def _find(self, run: RunDelivery) -> None:
        """Check that the instance exists which a run resumes."""
        name = run.stored.instance_id or key_text(run.stored.root)
        try:
            instance = self._client.call(calls.get_instance(name))
        except NotFoundError as error:
            raise NotFoundError(
                f"it resumes {name}, which the server does not know; expected the Run.key or the "
                "Run.id of a run that was left open and delivered, in the account of this token",
                status=error.status,
                code=error.code,
            ) from error
        if run.stored.instance_id is None:
            run.identify(instance.id)
        run.note_instance(instance)
        if instance.status in FINISHED:
            logger.warning(
                "a run of %s resumes %s, which is already %s: its spans are added, but its status "
                "does not change",
                run.agent,
                name,
                instance.status,
            )

    def _find_or_create_agent(self, registration: Registration) -> str:
        """Return the id of the agent of a registration, for a server that needs it."""
        name, bare = registration.external_identifier, registration.bare_identifier
        find = calls.find_agent(name)
        try:
            if name not in self._unknown:
                known_id = self._find_agent(name)
                if known_id is None and bare:
                    known_id = self._find_without_project(registration)
                if known_id is not None:
                    return known_id
                self._unknown.add(name)
            try:
                return self._client.call(calls.create_agent(registration)).id
            except RejectedError:
                # Another process created it between the two calls, or the server does not allow it.
                return self._client.call(find).id
        except (RejectedError, UnauthorizedError) as error:
            raise type(error)(
                f"the server needs the id of the agent {name}, which remit can neither find nor "
                f"create there: {error}. Set agent_id, or write @remit.agent(agent_id=...)",
                status=error.status,
                code=error.code,
            ) from error

    def _find_agent(self, identifier: str) -> str | None:
        try:
            return self._client.call(calls.find_agent(identifier)).id
        except ApiError as error:
            # Also a 404 without an error code: the registration was answered, so the URL is right.
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return None

    def _find_without_project(self, registration: Registration) -> str | None:
        """Return the id of an agent that was created without the project, which keeps its runs.

        remit's collector decides whether it is the same program. Other servers do not compare.
        """
        try:
            agent = self._client.call(calls.identify_agent(registration))
        except (RejectedError, UnauthorizedError, ContractError):
            return self._find_agent(registration.bare_identifier)
        return None if agent is None else agent.id

    def _compare_agents(self, registration: Registration, instance: Instance) -> None:
        """Count a run that the server records as another agent's; log it once for each agent.

        The run continues under the server's agent.
        """
        name, agent_id = registration.external_identifier, instance.agent_id
        if agent_id is None or agent_id == registration.agent_id:
            return
        if registration.agent_id is not None:
            recorded_as = agent_id
        else:
            # Without the agent's name, two agents that are given the same id show the mismatch.
            first = self._first_agents.setdefault(agent_id, name)
            recorded_as = (instance.agent and instance.agent.external_identifier) or first
        if recorded_as in {name, registration.bare_identifier}:
            return
        self._tally.misattributed[name] += 1
        if self._tally.misattributed[name] == 1:
            logger.warning(
                "the server records the runs of %s as runs of the agent %s, because the token is "
                "for that agent's deployment. Use a token for this agent or for the account; if "
                "the other agent is meant, write @remit.agent(agent_id=%r). "
                "remit.status().misattributed counts these runs",
                name,
                recorded_as,
                agent_id,
            )


def _names_agent_id(error: ApiError) -> bool:
    return AGENT_ID in error.errors or AGENT_ID in str(error)
