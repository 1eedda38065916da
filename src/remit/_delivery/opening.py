"""Opening runs at the server: which agent, register, start."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from remit._clock import Clock
from remit._delivery import calls
from remit._delivery.calls import Door, Instance
from remit._delivery.settling import Tally
from remit._delivery.tracks import Track
from remit._guard import logger
from remit._spool import Outbox, Registration, RunRecord, RunState
from remit.errors import ApiError, ContractError, NotFoundError, RejectedError, UnauthorizedError

AGENT_ID: Final = "agent_id"
FINISHED: Final = ("complete", "failed", "cancelled")


class UnregistrableError(RejectedError):
    """The registration could not be built, so the run is not offered. Never leaves delivery."""


class Opening:
    """Registers and starts runs; every call has a key of the run's, so that all can be repeated.

    Attributes:
        advanced: How often a run came a step further.
    """

    def __init__(self, door: Door, outbox: Outbox, clock: Clock, tally: Tally) -> None:
        """Send through *door*, keep what comes of it in *outbox*, count in *tally*."""
        self._door = door
        self._outbox = outbox
        self._clock = clock
        self._tally = tally
        self.advanced = 0
        self._names: dict[str, str] = {}
        self._agent_ids: dict[str, str] = {}
        # What is known is not asked anew: a server that fails at each second request would never
        # be asked the rest.
        self._wanted: set[str] = set()
        self._missing: set[str] = set()

    def open(self, track: Track) -> None:
        """Bring a run to where its items can be sent.

        Raises:
            UnregistrableError: The run has no registration.
            RejectedError: The server refuses the run.
            ApiError: Nothing can be sent now.
        """
        try:
            self._advance(track)
        except NotFoundError:
            # The server forgot the instance between the two calls.
            if track.record.state is not RunState.REGISTERED or track.renewed:
                raise
            self.renew(track)

    def renew(self, track: Track) -> None:
        """Register a run once more, with the same key, because the server does not know it.

        Raises:
            RejectedError: It was done before, or the server refuses.
            ApiError: Nothing can be sent now.
        """
        if track.renewed:
            raise NotFoundError(
                "the server does not know the run any longer; it may have been deleted there",
                code="not_found",
            )
        track.renewed = True
        track.record.state = RunState.NEW
        self._advance(track)

    def _advance(self, track: Track) -> None:
        record = track.record
        if record.resumed:
            self._find(track)
            self._save(track, RunState.STARTED)
            return
        if record.state is RunState.NEW:
            instance = self._register(record)
            self._compare_agents(record.registration, instance)
            track.identify(instance.id)
            self._save(track, RunState.REGISTERED)
        if not record.inherited:
            self._start(record)
        self._save(track, RunState.STARTED)

    def _find(self, track: Track) -> None:
        """See that the instance is there with which a run goes on."""
        instance_id = track.record.instance_id or ""
        try:
            instance = self._door.call(calls.look(instance_id))
        except NotFoundError as error:
            raise NotFoundError(
                f"it resumes {instance_id}, which the server does not know; expected the Run.id "
                "of a run that was left open, in the account of this token",
                status=error.status,
                code=error.code,
            ) from error
        track.heed(instance.status, instance.termination_reason)
        if instance.status in FINISHED:
            logger.warning(
                "a run of %s resumes %s, which is %s already: its spans are added, but its status "
                "stays",
                track.record.registration.external_identifier,
                instance_id,
                instance.status,
            )

    def _save(self, track: Track, state: RunState) -> None:
        track.record.state = state
        self.advanced += 1
        track.answered_ns = self._clock.monotonic_ns()
        self._outbox.save_run(track.record)

    def _register(self, record: RunRecord) -> Instance:
        registration = record.registration
        name = registration.external_identifier
        if not registration.complete:
            raise UnregistrableError("its registration could not be built", code="unregistered")
        agent_id = registration.agent_id or self._agent_ids.get(name)
        if agent_id is not None or name not in self._wanted:
            try:
                return self._call_register(record, agent_id)
            except RejectedError as error:
                if agent_id is not None or not _lacks_agent_id(error):
                    self._agent_ids.pop(name, None)
                    raise
            self._wanted.add(name)
        try:
            self._agent_ids[name] = self._find_or_make(registration)
        except (RejectedError, UnauthorizedError) as error:
            raise type(error)(
                f"the server wants to be told which agent {name} is, and does not let it be found "
                f"or made: {error}. Set the agent_id, or write @remit.agent(agent_id=...)",
                status=error.status,
                code=error.code,
            ) from error
        for known in (self._wanted, self._missing):
            known.discard(name)
        return self._call_register(record, self._agent_ids[name])

    def _call_register(self, record: RunRecord, agent_id: str | None) -> Instance:
        """Register a run.

        Raises:
            ContractError: Also for a 404 of the API: no run can be refused for it, because the
                URL or an id in the settings is wrong.
        """
        try:
            return self._door.call(calls.register(record, agent_id))
        except NotFoundError as error:
            # The next attempt looks for the agent, and creates it if it is gone.
            self._agent_ids.pop(record.registration.external_identifier, None)
            raise ContractError(str(error), status=error.status, code=error.code) from error

    def _compare_agents(self, registration: Registration, instance: Instance) -> None:
        """Count a run that the server records as another agent's, and log it once for each agent.

        The server decides, and the run continues.
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
            self._door.call(calls.start(record, record.instance_id or ""))
        except RejectedError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise

    def _find_or_make(self, registration: Registration) -> str:
        find, name = calls.find_agent(registration), registration.external_identifier
        try:
            if name not in self._missing:
                return self._door.call(find).id
        except ApiError as error:
            # Also a 404 without the API's words: the URL is right, the registration was answered.
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            self._missing.add(name)
        try:
            return self._door.call(calls.make_agent(registration)).id
        except RejectedError:
            # Another process made it between the two calls, or the server takes none.
            return self._door.call(find).id


def _lacks_agent_id(error: RejectedError) -> bool:
    return AGENT_ID in error.errors or AGENT_ID in str(error)
