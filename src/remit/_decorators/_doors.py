"""What a call finds outside any run: nothing for a span type, a run of its own for an agent."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, get_args

from remit import _runtime
from remit._capture import Plan
from remit._ids import is_pfid
from remit._recording import Ceiling, here
from remit._registry import AgentType, SpanType
from remit._risk import withholding
from remit._runs import OpenRun, Run, RunBlock, RunOptions
from remit._spans import Step
from remit.config import Purpose
from remit.errors import UsageError


class Door:
    """The door of a span type: a call outside any run is recorded nowhere, said once.

    Attributes:
        step: The declaration, made ready for recording.
    """

    __slots__ = ("_skip_first", "step")

    def __init__(self, step: Step, *, skip_first: bool = False) -> None:
        """Stand before *step*; with *skip_first* the function's first parameter is a receiver."""
        self.step = step
        self._skip_first = skip_first

    def recorded(self, instance: object, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments without the object or class that the call is on.

        wrapt takes it out when it binds. From Python 3.13 on a `classmethod` around ours binds
        by itself, and hands the class over as the first argument.
        """
        return args[1:] if self._skip_first and instance is None else args

    def outside(self) -> AbstractContextManager[Run | None]:
        """Return the block to put around a call outside any run."""
        _runtime.current().outside(self.step.name)
        return nullcontext()


class AgentDoor(Door):
    """The door of an agent: a call outside any run opens one.

    Attributes:
        agent: The declaration.
    """

    __slots__ = ("agent",)

    def __init__(self, step: Step, agent: AgentType) -> None:
        """Stand before the step of *agent*."""
        super().__init__(step, skip_first=agent.span_type.skip_first)
        self.agent = agent

    def outside(self) -> AbstractContextManager[Run | None]:
        """Return the block of a run of this agent."""
        return self.block()

    def open_run(self) -> OpenRun:
        """Open a run without making it current."""
        return self._open(None, None, None, None)

    def block(
        self,
        purpose: str | None = None,
        subject: str | None = None,
        labels: object = None,
        resume: str | None = None,
    ) -> RunBlock:
        """Return the block of a run, as `Agent.run`.

        Raises:
            UsageError: The purpose is none that the API knows, or *resume* is no id.
        """
        if purpose is not None and purpose not in get_args(Purpose):
            raise UsageError(
                f"run(purpose={purpose!r}) of {self.agent.external_identifier}: expected one of "
                f"{', '.join(get_args(Purpose))}"
            )
        if resume is not None and not (type(resume) is str and is_pfid(resume)):
            raise UsageError(
                f"run(resume=...) of {self.agent.external_identifier}: expected the id of an "
                "instance, 32 characters, as Run.id gives it"
            )
        return RunBlock(partial(self._open, purpose, subject, labels, resume))

    def _open(
        self, purpose: str | None, subject: str | None, labels: object, resume: str | None
    ) -> OpenRun:
        runtime = _runtime.current()
        options = RunOptions(purpose or runtime.settings.purpose, subject, labels, resume)
        return runtime.open_run(self.agent, options, self._ceiling())

    def _ceiling(self) -> Ceiling | None:
        """Return what this agent may do; around it, what the agents it is called in may do."""
        parent = here()
        outer = parent.ceiling if parent is not None else None
        if self.agent.data_risk is None:
            return outer
        return Ceiling(self.agent.external_identifier, self.agent.data_risk, outer)

    def registration(self) -> dict[str, object]:
        """Return the registration payload, as `Agent.registration`."""
        return _runtime.registration(self.agent)


def step_of(declared: SpanType, agent: AgentType | None = None) -> Step:
    """Return the declaration made ready for recording; its signature is read at the first call."""
    ceiling_of = None
    if agent is not None and agent.data_risk is not None:
        ceiling_of = (agent.external_identifier, agent.data_risk)
    return Step(
        declared.name,
        partial(_plan_of, declared),
        risk=declared.data_risk,
        ceiling_of=ceiling_of,
    )


def _plan_of(declared: SpanType) -> Plan:
    rule = withholding(declared.data_risk)
    return Plan(
        declared.reading,
        params_rule=rule.params_rule,
        result_rule=rule.result_rule,
        params_excluded=rule.params_excluded,
        result_excluded=rule.result_excluded,
        keep=declared.capture,
    )
