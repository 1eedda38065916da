"""The parts of one process, wired: settings, recorder, delivery, and the runs that are open."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from remit import _inference, config
from remit._capture import Limits, Rules, redacted, switched_off
from remit._clock import Clock, Deadline, SystemClock
from remit._delivery import Delivery
from remit._docstrings import shown
from remit._frames import caller
from remit._guard import faults, logger
from remit._late import late
from remit._policy import Ceilings
from remit._recording import MAX_SAID, AfterRun, NothingAfter, Recorder
from remit._registry import AgentType, Registry
from remit._results import FlushResult, Status
from remit._runs import OpenRun, RunOptions
from remit._runtime._after_run import FlushAfterRun
from remit._runtime._doors import LOCAL_FILE, door_of, spool_of
from remit._sink import AgentRef, NoSink, QualityCheck, Sink
from remit.errors import SettingsError

if TYPE_CHECKING:
    from remit import _quality as qualities
    from remit import _registration as registering
    from remit.models import data_risk as models
else:
    # At the first registration, on delivery's thread: schemas take 5 ms to import.
    registering = late("remit._registration")
    qualities = late("remit._quality")
    models = late("remit.models.data_risk")

# A step that waits for a server is left alone after it.
HAND_OVER_S: Final = 0.2
FIRST_CALL: Final = (_inference.plan_of, _inference.effective)
"""What the first call in a run needs: imported with the runtime, so that the call need not wait."""
# Without the user's hook: the same source registers the same payload whatever the settings.
REDACT: Final = partial(redacted, rules=Rules(Limits(), None))


class Runtime:
    """The parts of one process, wired.

    Attributes:
        settings: What it was built from.
        mode: `remote`, `local` or `off`, as it really is.
        target: Where items go, for people.
        recorder: What its runs share.
        started: Whether a run was opened: from then on `configure()` is an error.
    """

    def __init__(
        self,
        settings: config.Settings,
        registry: Callable[[], Registry],
        *,
        on_start: Callable[[], None] = lambda: None,
        sink: Sink | None = None,
        clock: Clock | None = None,
        any_token: bool = False,
    ) -> None:
        """Wire the parts; no thread, no file, no socket before the first run.

        Args:
            settings: The settings.
            registry: Returns what is declared now.
            on_start: Called before the first run of each process, and at every later one.
            sink: Where items go instead of to delivery, in tests.
            clock: The time.
            any_token: Send also what ended processes recorded for the same target by another
                token.
        """
        self.settings = settings
        self._any_token = any_token
        self.mode: str = settings.resolved_mode
        self.target = ""
        self.started = False
        self._exit: Deadline | None = None
        self._registry = registry
        self._on_start = on_start
        self._clock = clock or SystemClock()
        self._runs: weakref.WeakSet[OpenRun] = weakref.WeakSet()
        self._agents: dict[str, tuple[int, AgentRef]] = {}
        self._outside_said: set[str] = set()
        self._delivery = self._make_delivery() if sink is None else None
        self._recording = sink is not None or self._delivery is not None
        if sink is None:
            sink = self._delivery.sink if self._delivery else NoSink()
        self.recorder = Recorder(
            sink,
            self._clock,
            Rules(
                Limits(settings.max_payload_bytes),
                settings.redact,
                switched_off(settings.redact_off),
            ),
            on_violation=settings.on_violation,
            control_flow=settings.control_flow,
            run_linger_s=settings.run_linger_s,
            after_run=self._after_run(),
            on_first_seen=self._first_seen,
        )

    def open_run(self, agent: AgentType, options: RunOptions, ceilings: Ceilings) -> OpenRun:
        """Open a run of *agent*; the first one says where it goes.

        Raises:
            SettingsError: The setting `agent_id` would serve two agents.
        """
        ref = self._agent_ref(agent)
        if not self.started:
            self.started = True
            self._on_start()
            target = self.target or "nowhere"
            logger.info("remit: mode %s, to %s, agent %s", self.mode, target, agent.name)
            if self.settings.half_remote is not None:
                given, missing = self.settings.half_remote
                logger.warning(
                    "%s is set but %s is not set, so remit records in local mode, to %s: set it, "
                    "or choose with mode='local'",
                    given,
                    missing,
                    target,
                )
        run = OpenRun(self.recorder, ref, options, recording=self._recording, ceilings=ceilings)
        if self._recording:
            self._runs.add(run)
        return run

    def outside(self, name: str) -> None:
        """Say once of a step that outside any run it is recorded nowhere, with the caller's place.

        Args:
            name: Its span type. Blocks may be named by the thousand; of those beyond that nothing
                is said.
        """
        said = self._outside_said
        if name in said or len(said) >= MAX_SAID or self.mode == "off":
            return
        said.add(name)
        logger.warning(
            "%s was called outside any run at %s, so it is recorded nowhere; open one with "
            "`with agent.run():`, or carry it there with remit.copy_context or Run.use()",
            name,
            caller(),
        )

    def adopt(self) -> None:
        """Begin to send what ended processes left in the spool, if there is anything."""
        if self._delivery is not None and self._delivery.adopt():
            self._on_start()

    def bring_back(self) -> None:
        """Make ready to be sent once more what a server refused."""
        if self._delivery is not None:
            self._delivery.bring_back()

    def flush(self, timeout_s: float, *, adopting: bool = True) -> FlushResult:
        """Deliver what was recorded so far, within *timeout_s* seconds.

        Args:
            timeout_s: Seconds to wait at most.
            adopting: Deliver also what ended processes left in the spool.
        """
        if self._delivery is None:
            return FlushResult.nothing()
        return self._delivery.flush(Deadline.after(timeout_s, self._clock), adopting=adopting)

    def shutdown(self, timeout_s: float) -> FlushResult:
        """Flush, then stop the threads and close the connections."""
        if self._delivery is None:
            return FlushResult.nothing()
        return self._delivery.shutdown(Deadline.after(timeout_s, self._clock))

    def hand_over(self) -> None:
        """Let go of everything for the runtime that comes after; nothing was recorded here yet."""
        self.shutdown(0)
        if self._delivery is not None:
            # A step that sends for an ended process holds its file, which the next one looks for.
            self._delivery.stopped(HAND_OVER_S)

    def status(self) -> Status:
        """Return where delivery stands."""
        status = self._delivery.status() if self._delivery else Status.nothing()
        return replace(
            status,
            mode=self.mode,
            target=self.target,
            faults=dict(faults.counts),
            withheld=dict(self.recorder.rules.withheld),
            exceeding=dict(self.recorder.exceeding),
        )

    def at_exit(self) -> None:
        """Close what is open and deliver it, by one deadline; go on with what was broken off."""
        if self._exit is None:
            self._exit = Deadline.after(self.settings.exit_timeout_s, self._clock)
        for run in list(self._runs):
            run.cancel_in_flight()
            if not run.closed:
                run.abandon()
        if self._delivery is not None:
            self._delivery.shutdown(self._exit, exiting=True)

    def keep_late(self) -> None:
        """Have what is recorded from now on kept on disk at once: the exit of the process began."""
        if self._delivery is not None:
            self._delivery.shutdown(Deadline.after(0, self._clock), exiting=True)

    def tend(self) -> None:
        """Look after the open runs: follow the clock, close those that linger for too long."""
        for run in list(self._runs):
            run.follow_clock()
            if run.overdue:
                run.settle()

    def before_fork(self) -> None:
        """Hold delivery's threads where a child is not hurt by what they hold."""
        if self._delivery is not None:
            self._delivery.before_fork()

    def after_fork_in_parent(self) -> None:
        """Let delivery's threads go on."""
        if self._delivery is not None:
            self._delivery.after_fork_in_parent()

    def after_fork_in_child(self) -> None:
        """Forget the parent's items and threads; its runs are the parent's to end."""
        self.started = False
        self._runs = weakref.WeakSet()
        self.recorder.lingering.clear()
        self.recorder.rules.withheld.clear()
        self.recorder.exceeding.clear()
        if self._delivery is not None:
            self._delivery.after_fork_in_child()

    def _agent_ref(self, agent: AgentType) -> AgentRef:
        """Return what delivery knows of an agent, resolved anew when something was declared."""
        declared = self._registry()
        known = self._agents.get(agent.external_identifier)
        if known is not None and known[0] == declared.version:
            return known[1]
        ref = AgentRef(
            agent.external_identifier,
            agent.name,
            shown(agent.description, REDACT),
            agent.agent_id or self._only_agent_id(agent),
            agent.environment_id or self.settings.environment_id,
            # A copy: what is declared after this run began belongs to the next one's.
            cache(partial(payload_of, agent, declared.copy())),
            cache(partial(quality_check_of, agent)),
        )
        self._agents[agent.external_identifier] = (declared.version, ref)
        return ref

    def _only_agent_id(self, agent: AgentType) -> str | None:
        if self.settings.agent_id is None:
            return None
        mine = agent.external_identifier
        others = [name for name in self._agents if name != mine]
        if others:
            raise SettingsError(
                f"the setting agent_id={self.settings.agent_id!r} serves one agent, but this "
                f"process runs {others[0]} and {mine}: give each its own with "
                "@remit.agent(agent_id=...)"
            )
        return self.settings.agent_id

    def _first_seen(self, agent: str, name: str, risk: models.DataRisk | None) -> None:
        """Take note of a span type that the registration of *agent* may not hold."""
        if self._registry().seen(name, risk, agent=agent):
            logger.info(
                "span type %s was first seen after %s was registered: its spans are sent all the "
                "same, and the next run registers it",
                name,
                agent,
            )

    def _after_run(self) -> AfterRun:
        """Return what is done when a run has ended."""
        if self._delivery is None or self.settings.flush_on != "run":
            return NothingAfter()
        return FlushAfterRun(self._delivery, self._clock, self.settings.exit_timeout_s)

    def _make_delivery(self) -> Delivery | None:
        settings = self.settings
        if self.mode == "off":
            return None
        local, spool = self.mode == "local", spool_of(settings)
        self.target = str(settings.data_dir / LOCAL_FILE) if local else settings.api_url or ""
        return Delivery(
            http=door_of(settings, self._clock, spool.path),
            clock=self._clock,
            flush_interval_s=settings.flush_interval_s,
            max_buffer_bytes=settings.max_buffer_bytes,
            max_batch_items=settings.max_batch_items,
            max_batch_bytes=settings.max_batch_bytes,
            request_timeout_s=settings.request_timeout_s,
            poll_interval_s=settings.poll_interval_s,
            target=self.target,
            spool=spool,
            any_token=self._any_token,
            # A child that records into its parent's run opens none of its own.
            on_rouse=self._on_start,
            ticks=(self.tend,),
        )


def quality_check_of(agent: AgentType) -> QualityCheck:
    """Return what the quality payloads of *agent* are compared by."""
    return qualities.Qualities(agent, redact=REDACT).errors


def payload_of(agent: AgentType, declared: Registry) -> dict[str, object]:
    """Return the registration payload of *agent* from what is *declared*."""
    return registering.registration(agent, declared, redact=REDACT)
