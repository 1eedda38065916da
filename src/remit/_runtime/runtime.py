"""The runtime of one process: connects settings, recorder and delivery, and keeps the runs."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from typing import Final

from msgspec.structs import replace

from remit import config
from remit._base import guard
from remit._base.clock import Clock, Deadline, SystemClock
from remit._base.frames import caller
from remit._base.guard import guarded, logger
from remit._base.locks import SignalSafeLock
from remit._base.loops import in_event_loop, is_own_thread, run_in_thread_within
from remit._capture.encode import Rules
from remit._capture.rules.switches import switched_off
from remit._declare.inference import plan_of
from remit._declare.limits import ceiling_of
from remit._declare.quality import Qualities
from remit._declare.registration import REDACT, registration
from remit._declare.registry import AgentType, Registry, SpanType
from remit._deliver.delivery import Delivery
from remit._deliver.spool.folder import NO_OTHER_FILES, OtherFiles
from remit._deliver.status import FlushResult, Status
from remit._inspect.docstrings import free_of_secrets
from remit._policy.holds import Hold
from remit._policy.limits import Ceilings, not_compared
from remit._policy.words import WITHOUT_EFFECT
from remit._record.items import AgentRef, NoSink, Sink
from remit._record.runs import (
    MAX_LOGGED,
    OBSERVE,
    AfterRun,
    OpenRun,
    Recorder,
    RunOptions,
)
from remit._record.spans import POLICY, SpanRecorder
from remit._runtime.approving import approver_of, seals_of
from remit._runtime.process import registry
from remit._runtime.targets import (
    LOCAL_FILE,
    Export,
    make_client,
    make_export,
    spool_of,
)
from remit.errors import (
    MODEL_OUTSIDE_RUN_HINT,
    OUTSIDE_RUN_HINT,
    DeniedError,
    RunTerminated,
    SettingsError,
    Violation,
    causes,
    denial,
)

# Seconds for the thread of a flush after a run to start and to end, beyond its deadline.
GRACE_S: Final = 0.2


class Runtime:
    """Records the runs of one process and delivers them.

    Attributes:
        mode: `remote`, `local` or `off`; never `auto`.
        target: Where items are sent, for messages.
        delivery: Takes the recorded items to the target; None in mode `off` and with a *sink*.
        started: Whether a run was opened; `configure()` is an error from then on.
    """

    def __init__(
        self,
        settings: config.Settings,
        *,
        on_start: Callable[[], None] = lambda: None,
        sink: Sink | None = None,
        clock: Clock | None = None,
        others: OtherFiles = NO_OTHER_FILES,
    ) -> None:
        """Connect the parts; threads, files and sockets are opened by the first run.

        Args:
            on_start: Called when delivery starts its threads, at the latest at each new run.
            sink: Receives the items instead of delivery, in tests.
            others: Selects the spool files of ended processes to send as well.
        """
        self.settings = settings
        self.mode: str = settings.resolved_mode
        self.target = ""
        self.started = False
        self._exit: Deadline | None = None
        self._clock = clock or SystemClock()
        # By identifier: version of the declarations, the agent, its reference, and a copy of them.
        self._agents: dict[str, tuple[int, AgentType, AgentRef, Registry]] = {}
        # Version of the declarations, and agent and span type of steps that it does not register.
        self._unregistered: tuple[int, set[tuple[str, str]]] = (-1, set())
        self._ceilings: tuple[int, Ceilings] | None = None
        self._outside: Counter[str] = Counter()
        # The agent that uses the `agent_id` setting.
        self._agent_of_setting: str | None = None
        self._counting = SignalSafeLock()
        self.delivery = self._make_delivery(on_start, others) if sink is None else None
        self._after_run: FlushAfterRun | None = None
        self._export: Export | None = None
        if self.delivery is not None:
            sink = self.delivery.sink
            if settings.flush_on == "run":
                self._after_run = FlushAfterRun(self.delivery, self._clock, settings.exit_timeout_s)
        if sink is not None and settings.span_processor is not None:
            sink = self._export = make_export(settings.span_processor, sink, registry())
        self._recording = sink is not None
        self.recorder = Recorder(
            NoSink() if sink is None else sink,
            self._clock,
            Rules(
                settings.max_payload_bytes,
                settings.redact,
                switched_off(settings.redact_off),
            ),
            on_violation=settings.on_violation,
            control_flow=settings.control_flow,
            approver=approver_of(settings, self._clock, has_target=self.delivery is not None),
            ask_timeout_s=settings.ask_timeout_s,
            use_seal=None if self.delivery is None else seals_of(settings, self._clock),
            run_linger_s=settings.run_linger_s,
            after_run=self._after_run or AfterRun(),
            registers=self._registers,
        )

    def open_run(self, agent: AgentType, options: RunOptions, ceilings: Ceilings) -> OpenRun:
        """Open a run of *agent*; the first run logs where items are sent.

        Raises:
            SettingsError: The `agent_id` setting would be the id of two agents.
        """
        ref = self._agent_ref(agent)
        if not self.started:
            self.started = True
            target = self.target or "nowhere"
            logger.info("remit: mode %s, to %s, agent %s", self.mode, target, agent.name)
            if self.settings.half_remote is not None:
                present, missing = self.settings.half_remote
                logger.warning(
                    "%s is set but %s is not set, so remit records in local mode, to %s: set "
                    "%s as well, or mode='local'",
                    present,
                    missing,
                    target,
                    config.variables(missing)[0],
                )
        return OpenRun(self.recorder, ref, options, recording=self._recording, ceilings=ceilings)

    def check_resumed(self, name: str) -> None:
        """Check that this process knows of no termination of a run; the server is asked later.

        Args:
            name: Id or key of the run.

        Raises:
            RunTerminated: The run was terminated.
        """
        feeds = [run.feed for run in list(self.recorder.runs)]
        for feed in (*feeds, *self.recorder.terminated):
            names = (feed.instance_id, feed.key, feed.resumed_key)
            if name in names and feed.terminated is not None:
                raise RunTerminated(feed.key, feed.terminated or None)

    def outside(self, step: SpanRecorder, *, deny: bool = True) -> None:
        """Count a call of *step* outside any run; deny it, or log once that it is not recorded.

        Raises:
            DeniedError: The `outside_run` setting denies the call, and *deny* allows it to.
        """
        held = self._held_outside(step) if deny else ()
        violations = self._denied_outside(step) if deny and not held else None
        if violations is None and not held:
            self._note_outside(step, None)
        else:
            raise self._denied_error_outside(step, violations, held)

    def _denied_error_outside(
        self,
        step: SpanRecorder,
        violations: tuple[Violation, ...] | None,
        held: tuple[Violation, ...],
    ) -> DeniedError:
        """Return the error of a call that is denied outside any run, which is counted."""
        if violations is not None:
            error = DeniedError(step.name, violations, _called_from(step))
        else:
            error = DeniedError(step.name, held)
        self._note_outside(step, error)
        return error

    def denies_outside(self, step: SpanRecorder) -> bool:
        """Return whether calls of *step* outside any run are denied."""
        return bool(self._held_outside(step)) or self._denied_outside(step) is not None

    def _held_outside(self, step: SpanRecorder) -> tuple[Violation, ...]:
        """Return how the holds deny a step outside any run, where those of all agents count."""
        holds = tuple(self.recorder.holds)
        if not holds:
            return ()
        now_ns = self._clock.monotonic_ns()
        names = self._names_of_agents()
        known = [
            hold
            for hold in holds
            if not hold.is_over(now_ns) and (names is None or hold.is_about(names))
        ]
        return step.held(None, known)

    @guarded(POLICY)
    def _names_of_agents(self) -> frozenset[str] | None:
        """Return identifiers and names of the agents declared so far; None after a fault."""
        agents = registry().agents()
        identifiers = {agent.identifier_in(self.settings.project) for agent in agents}
        return frozenset(
            identifiers.union(*((agent.external_identifier, agent.name) for agent in agents))
        )

    @guarded("the log of a call outside any run")
    def _note_outside(self, step: SpanRecorder, error: DeniedError | None) -> None:
        """Count a call, and log the first of each step; names beyond `MAX_LOGGED` do neither."""
        with self._counting:
            first = step.name not in self._outside
            if first and len(self._outside) >= MAX_LOGGED:
                return
            self._outside[step.name] += 1
        if first and error is not None and error.outside_run is None:
            why = "; ".join(causes(error.violations))
            logger.warning("%s is on hold, also outside any run: %s; it was denied", step.name, why)
        elif first and error is not None:
            message = denial(step.name, error.violations, error.outside_run)
            logger.warning("%s; outside_run='record' lets such calls run, unrecorded", message)
        elif first and self.mode != "off":
            logger.warning(
                "%s was called outside any run %s, so it is recorded nowhere. %s",
                step.name,
                _called_from(step),
                MODEL_OUTSIDE_RUN_HINT if step.kind == "llm" else OUTSIDE_RUN_HINT,
            )

    def _denied_outside(self, step: SpanRecorder) -> tuple[Violation, ...] | None:
        rule, observing = self.settings.outside_run, self.settings.on_violation == OBSERVE
        if rule == "record" or (rule is None and observing) or step.kind in WITHOUT_EFFECT:
            return None
        violations = self._violations_of(step)
        if violations is None:
            return (not_compared(step.name),)
        return violations if violations or rule == "deny" else None

    @guarded(POLICY, passes=(DeniedError, RecursionError))
    def _violations_of(self, step: SpanRecorder) -> tuple[Violation, ...] | None:
        """Return how *step* violates the data risks of the agents declared so far."""
        declared = registry()
        if self._ceilings is None or self._ceilings[0] != declared.version:
            ceilings = (ceiling_of(agent) for agent in declared.agents())
            self._ceilings = (declared.version, tuple(filter(None, ceilings)))
        verdict = step.verdict(self._ceilings[1])
        return None if verdict is None else verdict.violations + verdict.asked

    def flush(self, timeout_s: float) -> FlushResult:
        """Deliver the items recorded so far, within *timeout_s* seconds."""
        deadline = Deadline.after(timeout_s, self._clock)
        with self._flushed_export(deadline):
            if self.delivery is None:
                return FlushResult.nothing()
            return self.delivery.flush(deadline)

    def shutdown(self, timeout_s: float) -> FlushResult:
        """Flush, then stop the threads and close the connections."""
        deadline = Deadline.after(timeout_s, self._clock)
        with self._flushed_export(deadline):
            if self.delivery is None:
                return FlushResult.nothing()
            return self.delivery.shutdown(deadline)

    @contextmanager
    def _flushed_export(self, deadline: Deadline) -> Generator[None]:
        """Flush the span processor during the block, and wait for it until the deadline."""
        wait = None if self._export is None else self._export.begin_flush(deadline.remaining_s())
        try:
            yield
        finally:
            if wait is not None:
                wait(deadline.remaining_s())

    def status(self) -> Status:
        """Return mode, target, counters, and the state of delivery."""
        status = self.delivery.status() if self.delivery else Status.nothing()
        return replace(
            status,
            mode=self.mode,
            target=self.target,
            faults=dict(guard.faults.counts),
            redacted=dict(self.recorder.rules.redacted),
            violations=dict(self.recorder.violations),
            outside_run=dict(self._outside),
        )

    def at_exit(self) -> None:
        """End the open runs and deliver everything; all calls share one deadline."""
        if self._exit is None:
            self._exit = Deadline.after(self.settings.exit_timeout_s, self._clock)
        if self._after_run is not None:
            self._after_run.stop()  # one flush for all runs
        self.recorder.end_collected()
        for run in list(self.recorder.runs):
            run.abandon()
        with self._flushed_export(self._exit):
            if self.delivery is not None:
                self.delivery.shutdown(self._exit, exiting=True)

    def tick(self) -> None:
        """Regular work of the writer: follow the clock, end collected spans and overdue runs."""
        self.recorder.end_collected()
        for run in list(self.recorder.runs):
            run.tick()

    def hold(self, holds: Sequence[Hold]) -> None:
        """Deny the steps that *holds* name from now on, and no others; any thread may call it."""
        self.recorder.holds[:] = holds

    def after_fork_in_child(self) -> None:
        """Drop the items and threads of the parent, which ends its runs itself."""
        self.started = False
        for run in self.recorder.runs:
            run.deferred.clear()  # the parent ends them
        self.recorder.runs.clear()
        self.recorder.collected.clear()
        self.recorder.rules.redacted.clear()
        self.recorder.violations.clear()
        self._outside = Counter()
        self._counting = SignalSafeLock()
        if self.delivery is not None:
            self.delivery.after_fork_in_child()

    def _agent_ref(self, agent: AgentType) -> AgentRef:
        """Return the reference of an agent for delivery; a new one after each declaration."""
        declared = registry()
        known_ref = self._agents.get(agent.external_identifier)
        if known_ref is not None:
            version, referred, ref, _ = known_ref
            # Two handlers of a framework may give ids of their own to agents of one name.
            if version == declared.version and (referred is agent or referred.repeats(agent)):
                return ref
        local = self.mode == "local" and self.delivery is not None
        # A copy, because later declarations belong to the registration of the next run.
        known = declared.copy()
        ref = AgentRef(
            agent.external_identifier,
            agent.name,
            free_of_secrets(agent.description, REDACT),
            self._agent_id_of(agent),
            # The collector in local mode has one environment.
            None if local else agent.environment_id or self.settings.environment_id,
            cache(partial(registration, agent, known)),
            cache(partial(agent.identifier_in, self.settings.project)),
            cache(lambda: Qualities(agent, redact=REDACT).errors),
            lambda: plan_of(agent.span_type).error_rule,
        )
        self._agents[agent.external_identifier] = (declared.version, agent, ref, known)
        return ref

    def _agent_id_of(self, agent: AgentType) -> str | None:
        """Return the agent's id on the server: its own, or that of the setting.

        Raises:
            SettingsError: Another agent without an id of its own already uses the setting.
        """
        setting = self.settings.agent_id
        if agent.agent_id is not None or setting is None:
            return agent.agent_id
        identifier = agent.external_identifier
        first = self._agent_of_setting = self._agent_of_setting or identifier
        if first != identifier:
            raise SettingsError(
                f"the setting agent_id={setting!r} is for one agent, but this process runs "
                f"{first} and {identifier}, and neither has an id of its own: give each one with "
                "@remit.agent(agent_id=...)"
            )
        return setting

    def _registers(self, agent: str, name: str, declared: SpanType | None) -> bool:
        """Return whether the registration of *agent* includes the span type, if it is declared.

        Logs a span type that it does not include, includes from the next run on, or includes for
        another function of the same name.
        """
        version, unregistered = self._unregistered
        if (agent, name) in unregistered and version == registry().version:
            return False
        registered, owner = registry().span_type(name), registry().agent(agent)
        if registered is None or owner is None:
            return True  # the name of a block, which no registration includes
        if declared is not None and registered.shadows(declared):
            line = (
                f"two functions have the name {name!r}: {declared.place} and {registered.place}; "
                "only the second one's schema is registered: give one its own name"
            )
            if self.recorder.is_first(line):
                logger.warning("%s", line)
        if not owner.selects(registered):
            self._log_unregistered(owner, registered)
            if version != registry().version:
                self._unregistered = (registry().version, unregistered := set())
            unregistered.add((agent, name))
            return False
        registered_from = self._agents.get(agent)
        if registered_from is not None and registered_from[-1].span_type(name) is None:
            logger.info(
                "span type %s was first seen after %s was registered: its spans are still "
                "sent, and the next run registers it",
                name,
                agent,
            )
        return True

    def _log_unregistered(self, agent: AgentType, step: SpanType) -> None:
        """Log a step of elsewhere, one for each prefix that would include it."""
        prefix = step.prefix
        if self.recorder.is_first(f"{agent.external_identifier} does not register {prefix}"):
            logger.warning(
                "%s (%s) is used in a run of %s, whose registration does not include it: its spans "
                "are recorded and marked as unregistered, but not compared with a schema. To "
                "include it: @remit.agent(span_types=[%s])",
                step.name,
                step.place,
                agent.place,
                ", ".join(_members_with(agent, prefix)),
            )

    def _make_delivery(self, on_start: Callable[[], None], others: OtherFiles) -> Delivery | None:
        settings = self.settings
        if self.mode == "off":
            return None
        local, spool = self.mode == "local", spool_of(settings)
        self.target = str(settings.data_dir / LOCAL_FILE) if local else settings.api_url or ""
        return Delivery(
            settings,
            http=make_client(settings, self._clock, spool.path),
            clock=self._clock,
            target=self.target,
            spool=spool,
            others=others,
            on_start_threads=on_start,
            ticks=(self.tick,),
            set_holds=self.hold,
        )


def _members_with(agent: AgentType, prefix: str) -> list[str]:
    """Return the members of `span_types` that add *prefix* to what the agent registers today."""
    if agent.span_types:
        return ["...", repr(prefix)]
    top = agent.span_type.module.partition(".")[0]
    others = {
        step.prefix
        for step in registry().span_types_of(agent)
        if not (step.of_adapter or step.is_within(top))
    }
    return [repr(each) for each in sorted(others | {prefix})]


def _called_from(step: SpanRecorder) -> str:
    """Return where a step was called, for the end of a sentence."""
    place = caller(None if step.declared is None else step.declared.file)
    if place is not None:
        return f"at {place}"
    thread = threading.current_thread().name
    return f"in the thread {thread!r}, which was given {step.name} ({step.place}) directly"


class FlushAfterRun(AfterRun):
    """`flush_on="run"`: flushes in bounded time at the end of each run, before a function freezes.

    If the server does not answer, a flush waits only until everything is on disk.
    """

    def __init__(self, delivery: Delivery, clock: Clock, bound_s: float) -> None:
        """Flush *delivery* for at most *bound_s* seconds each time."""
        self._delivery = delivery
        self._clock = clock
        self._bound_s = bound_s
        self._stopped = False

    def stop(self) -> None:
        """Stop flushing: the process ends, and one flush serves all runs."""
        self._stopped = True

    @guarded("the flush after a run")
    def __call__(self) -> None:
        """Flush; in an event loop, on a thread of delivery and at exit only wake the writer."""
        if self._stopped or in_event_loop() or is_own_thread():
            self._delivery.wake_writer()
        else:
            self._flush()

    async def call_async(self) -> None:
        """Flush in a thread, without blocking the event loop."""
        # Raised in an unknown event loop, or if no thread can be started.
        with suppress(RuntimeError):
            await run_in_thread_within(self._flush, self._bound_s + GRACE_S)
            return
        self._delivery.wake_writer()

    @guarded("the flush after a run")
    def _flush(self) -> None:
        deadline = Deadline.after(self._bound_s, self._clock)
        self._delivery.flush(deadline, adopting=False, forced=False)
