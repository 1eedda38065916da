"""What a call finds outside any run: nothing for a span type, a run of its own for an agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any, Final, get_args

from remit import _inference, _runtime
from remit._capture.statics import is_a, is_mapping
from remit._decorators._receivers import NO_RECEIVER, Receiver
from remit._guard import guarded
from remit._ids import is_pfid
from remit._policy import Ceiling, Ceilings, under
from remit._recording import check_terminated, here
from remit._registry import AgentType, SpanType
from remit._run_blocks import RunBlock
from remit._runs import OpenRun, RunOptions
from remit._signature import MISSING
from remit._spans import OpenSpan, Step, begin
from remit._words import shown
from remit.errors import UsageError
from remit.models._words import Purpose

COLLECTIONS: Final = (list, tuple, set, frozenset)
begun: Final = guarded("the start of a call")(begin)
"""`begin` from a door: returns None after a fault of ours as well."""


@guarded("a call outside any run")
def outside(step: Step) -> None:
    """Count a call outside any run, or refuse it.

    Raises:
        DeniedError: The settings refuse it.
    """
    _runtime.current().outside(step)


class Door:
    """The door of a span type: a call outside any run is refused, or counted and logged once.

    Attributes:
        step: The declaration, made ready for recording.
        receiver: Whether the object or class of a call is among the arguments: it is not recorded.
    """

    __slots__ = ("_returns", "receiver", "step")

    def __init__(
        self,
        step: Step,
        *,
        receiver: Receiver = NO_RECEIVER,
        returns: Callable[[], object] = lambda: MISSING,
    ) -> None:
        """Stand before a step.

        Args:
            step: The declaration, made ready for recording.
            receiver: Whether the object or class of a call is among the arguments.
            returns: Reads the return annotation.
        """
        self.step = step
        self.receiver = receiver
        self._returns = returns

    @property
    def returns(self) -> object:
        """The resolved return annotation, or `MISSING`."""
        return self._returns()

    def recorded(self, instance: object, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments by the names that the signature was read with.

        A function that is a method is handed its object by the method around it; of a descriptor
        of another kind, *instance* is the object that it gave the callable for.
        """
        if instance is not None:
            return args
        taken = self.receiver.taken
        if taken is None:
            taken = self.receiver.find(args)
        return args[1:] if taken else args

    @guarded("the start of a call")
    def enter(
        self, instance: object, args: tuple[Any, ...], kwargs: Mapping[str, Any], /
    ) -> OpenSpan | None:
        """Begin the span of a call, after asking whether it may run.

        Returns:
            None outside any run, and where nothing is recorded.

        Raises:
            RunTerminated: The run was terminated, from outside or because this step exceeds it.
            DeniedError: The step exceeds the agent's remit, and the setting says to deny.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        parent = here()
        if parent is None:
            return None
        if instance is None and self.receiver.taken is not False:
            args = self.recorded(instance, args)
        return begin(self.step, parent, args, kwargs)

    @guarded("the end of a call")
    def fail(self, span: OpenSpan, error: BaseException) -> None:
        """End the span of a call with the exception that it raised."""
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        span.fail(error)

    @guarded("a call outside any run")
    def outside(self) -> RunBlock | nullcontext[None]:
        """Return the block to put around a call outside any run.

        Raises:
            DeniedError: The settings refuse such a call.
        """
        outside(self.step)
        return nullcontext()


class AgentDoor(Door):
    """The door of an agent: a call outside any run opens one.

    Attributes:
        agent: The declaration.
    """

    __slots__ = ("agent",)

    def __init__(self, step: Step, agent: AgentType, *, receiver: Receiver = NO_RECEIVER) -> None:
        """Stand before the step of *agent*."""
        own = agent.span_type
        super().__init__(
            step,
            receiver=receiver,
            returns=lambda: own.reading.returns,
        )
        self.agent = agent

    @guarded("a call outside any run")
    def outside(self) -> RunBlock | nullcontext[None]:
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
            UsageError: The API does not know the purpose, *subject* is no string, *labels* are
                neither a mapping nor a collection, or *resume* is no id. Entering the block raises
                `RunTerminated` if a run around it, or the one to be resumed, was terminated.
        """
        self._check(purpose, subject, labels, resume)
        return RunBlock(partial(self._open, purpose, subject, labels, resume))

    @guarded("the arguments of a run", passes=(UsageError,))
    def _check(self, purpose: object, subject: object, labels: object, resume: object) -> None:
        if purpose is not None and not (type(purpose) is str and purpose in get_args(Purpose)):
            raise self._misuse("purpose", purpose, f"one of {', '.join(get_args(Purpose))}")
        if subject is not None and not is_a(subject, str):
            raise self._misuse("subject", subject, "a text")
        if labels is not None and not (is_mapping(labels) or is_a(labels, *COLLECTIONS)):
            expected = 'a list of words or a mapping of words, as in {"channel": "mail"}'
            raise self._misuse("labels", labels, expected)
        if resume is not None and not (type(resume) is str and is_pfid(resume)):
            expected = "the id of an instance, 32 characters, as Run.id gives it"
            raise self._misuse("resume", resume, expected)

    def _misuse(self, name: str, value: object, expected: str) -> UsageError:
        agent = self.agent.external_identifier
        return UsageError(f"run({name}=...) of {agent}: saw {shown(value)}; expected {expected}")

    def _open(
        self, purpose: str | None, subject: str | None, labels: object, resume: str | None
    ) -> OpenRun:
        runtime = _runtime.current()
        around = here()
        if around is not None:
            check_terminated(around)
        if resume is not None:
            runtime.check_resumed(resume)
        options = RunOptions(purpose or runtime.settings.purpose, subject, labels, resume)
        return runtime.open_run(self.agent, options, self._ceilings())

    def _ceilings(self) -> Ceilings:
        """Return what this agent may do; around it, what the agents it is called in may do."""
        parent = here()
        return under(parent.ceilings if parent is not None else (), self.step.ceiling)

    def registration(self) -> dict[str, object]:
        """Return the registration payload, as `Agent.registration`."""
        return _runtime.registration(self.agent)


def step_of(declared: SpanType, agent: AgentType | None = None) -> Step:
    """Return the declaration made ready for recording; its signature is read at the first call."""
    ceiling = None
    if agent is not None:
        ceiling = Ceiling.of(agent.external_identifier, declared.place, agent.data_risk)
    return Step(
        declared.name,
        lambda: _inference.plan_of(declared),
        place=declared.place,
        find_risk=lambda: _inference.effective(declared),
        ceiling=ceiling,
    )
