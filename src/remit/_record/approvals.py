"""What an approver gets and returns: a request, and the answer of a person."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar, cast

from msgspec import Struct, field

from remit._base.text import describe_value
from remit._record import binding
from remit.errors import UsageError, Violation

MAX_RUNS: Final = 1_000
"""Runs whose refusals are kept."""
APPROVED: Final = "approved"
REFUSED: Final = "refused"
EXPIRED: Final = "expired"
SUPERSEDED: Final = "superseded"
WITHDRAWN: Final = "withdrawn"


class Approved(Struct, frozen=True, kw_only=True):
    """The answer of an approver that a step may run, once, with the arguments in the request.

    Attributes:
        by: The person who said yes, as the approver names them.
    """

    by: str

    def __post_init__(self) -> None:
        """Check the name.

        Raises:
            UsageError: It is not a string, or is empty.
        """
        _check_text("Approved", "by", self.by)


class Refused(Struct, frozen=True, kw_only=True):
    """The answer of an approver that a step may not run.

    Attributes:
        by: The person who said no, as the approver names them. None if no person decided. Only the
            no of a person holds for the rest of the run.
        why: The reason. The language model that requested the step reads it.
    """

    by: str | None = None
    why: str | None = None

    def __post_init__(self) -> None:
        """Check the texts.

        Raises:
            UsageError: One of them is not a string, or is empty.
        """
        for name, value in (("by", self.by), ("why", self.why)):
            if value is not None:
                _check_text("Refused", name, value)


def _check_text(of: str, name: str, value: object) -> None:
    if not (isinstance(value, str) and value.strip()):
        raise UsageError(
            f"remit.{of}({name}=...): saw {describe_value(value)}; expected a non-empty text"
        )


Answer: TypeAlias = Approved | Refused


class ApprovalRequest:
    """A step that a person is asked about, as an approver receives it.

    Attributes:
        step: Name of the span type.
        words: The actions for which the step needs a yes.
        agent: External identifier of the agent that asks; of several, the outermost.
        run: Key of the run, 26 characters.
        arguments: The arguments by name, with defaults, and `self` for a method. They are the
            objects of the call, not redacted.
        unbound: Names and paths of the values that an approval does not cover, because remit does
            not read them, such as files, connections and objects of libraries. Only their types are
            compared before the step runs.
        ticket: Id of the request, 26 characters.
        time_limit_s: Seconds within which the answer has to come.
        after: Ticket of the request before, if its arguments changed while the person decided.
        changed: Names of the arguments that differ from that request.
    """

    __slots__ = (
        "_by_name", "_by_type", "_capture", "_digest", "_seals", "after", "agent", "arguments",
        "changed", "run", "step", "ticket", "time_limit_s", "unbound", "words",
    )  # fmt: skip

    def __init__(
        self,
        step: str,
        asked: tuple[Violation, ...],
        run: str,
        call: AskedCall,
        ticket: str,
        time_limit_s: float,
    ) -> None:
        """Read the arguments of *call*."""
        self.step = step
        self.words: tuple[str, ...] = tuple(dict.fromkeys(each.name for each in asked))
        self.agent = asked[0].agent
        self.run = run
        arguments = dict(call.arguments())
        self.arguments: Mapping[str, object] = binding.read_only(arguments)
        self._by_type = call.by_type
        self._digest, self.unbound, self._by_name = binding.read(
            step, arguments, call.by_type, call.file
        )
        self.after: str | None = None
        self.changed: tuple[str, ...] = ()
        self.ticket = ticket
        self.time_limit_s = time_limit_s
        self._capture: Callable[[], bytes] = call
        self._seals: set[str] = set()

    def seal(self) -> str:
        """Return a text that identifies the step and its arguments, for use over a pause.

        An approver that pauses its framework sends the seal with the question, and gets it back
        with the answer. Each call returns another text. It contains no arguments, but allows a
        reader to check a guess of them.
        """
        return binding.seal_of(self._digest)

    def matches(self, seal: object) -> bool:
        """Return whether *seal* was made for the same step with equal arguments, and is unused.

        A seal is used when a step runs because of the answer that came with it. A framework that
        goes on after a pause may run a tool again with the old answers. In this process, each seal
        lets one call run. A server of remit keeps the used seals, so there each seal lets one call
        run in all processes.

        Args:
            seal: The text of an earlier `seal()`, also from another process.
        """
        if not self.is_about(seal):
            return False
        text = cast("str", seal)
        if binding.is_used(text):
            return False
        self._seals.add(text)
        return True

    def is_about(self, seal: object) -> bool:
        """Return whether *seal* was made for the same step with equal arguments, used or not."""
        return binding.is_sealed(self._digest, seal)

    def captured_arguments(self) -> bytes:
        """Return the arguments as JSON, redacted and cut, as they are recorded."""
        return self._capture()

    def equals(self, other: ApprovalRequest) -> bool:
        """Return whether both are about the same step with equal arguments."""
        return self._digest == other._digest

    def follow(self, before: ApprovalRequest) -> None:
        """Note that this request takes the place of *before*, whose arguments have changed."""
        digests = (before._by_name, self._by_name)
        names = dict.fromkeys(name for each in digests for name in each)
        self.after = before.ticket
        self.changed = tuple(name for name in names if digests[0].get(name) != digests[1].get(name))

    @property
    def digest(self) -> bytes:
        """Digest of step and arguments, in this process only; never recorded."""
        return self._digest

    @property
    def uncovered(self) -> tuple[str, ...]:
        """The entries of `unbound` that are not arguments which a framework injects, or `Skip`."""
        return tuple(path for path in self.unbound if path not in self._by_type)

    @property
    def seals(self) -> frozenset[str]:
        """The matched seals."""
        return frozenset(self._seals)

    def use_seals(self) -> bool:
        """Mark the matched seals as used; return whether all of them were unused."""
        return all(binding.use_seal(seal) for seal in self._seals)

    def __repr__(self) -> str:
        """Return a text without the arguments."""
        return f"<ApprovalRequest {self.ticket}: {self.step} ({', '.join(self.words)})>"


TicketOf: TypeAlias = Callable[[ApprovalRequest], str | None]
_PAUSING: Final = "__remit_pausing__"
HOW: Final = "approver"
"""How a person is asked, in the record, by an approver that pauses no framework."""
_Function = TypeVar("_Function", bound=Callable[[ApprovalRequest], object])


def pausing(how: str, ticket_of: TicketOf | None = None) -> Callable[[_Function], _Function]:
    """Return a decorator of an approver that pauses its framework.

    Args:
        how: The means of the framework by which it asks, in the record. New input in the
            conversation drops such a question.
        ticket_of: Names a question, if the framework asks it again in each process that goes on, so
            that it is recorded once.
    """

    def mark(approver: _Function) -> _Function:
        vars(approver)[_PAUSING] = (how, ticket_of)
        return approver

    return mark


class Approver(Struct, frozen=True, eq=False):
    """The approver of the settings.

    Attributes:
        now: Called from a plain function; returns an answer, or an awaitable of one.
        later: Called from a coroutine function; None: *now* is called in a thread.
        verifies: Whether it knows who answered; otherwise the name is what the program says.
        grace_s: Seconds after the time limit in which it says itself that no answer came.
        ticket_of: Returns a ticket that is the same in every process in which the framework asks
            the same question; None if there is none. See `pausing`.
        how: How it asks, in the record.
    """

    now: Callable[[ApprovalRequest], object]
    later: Callable[[ApprovalRequest], Awaitable[object]] | None = None
    verifies: bool = False
    grace_s: float = 0.0
    ticket_of: TicketOf | None = None
    how: str = HOW

    @classmethod
    def of(cls, function: Callable[[ApprovalRequest], object]) -> Approver:
        """Return the approver that calls *function*, which is plain or a coroutine function."""
        inner: Any = function
        while isinstance(inner, partial):
            inner = inner.func
        awaited = inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(
            getattr(inner, "__call__", None)  # noqa: B004 - an object with an async `__call__`
        )
        later = cast("Any", function) if awaited else None
        how, ticket_of = getattr(inner, _PAUSING, (HOW, None))
        return cls(function, later, ticket_of=cast("TicketOf | None", ticket_of), how=how)


class AskedCall(Protocol):
    """A call that a person may be asked about.

    Attributes:
        by_type: Names of arguments that are compared by type.
        file: The file of the step; None if it is not known.
    """

    by_type: frozenset[str]
    file: str | None

    def __call__(self) -> bytes:
        """Return the captured arguments."""
        ...

    def arguments(self) -> Mapping[str, object]:
        """Return the arguments by name, as they are now."""
        ...


class Outcome(NamedTuple):
    """How a question ended.

    Attributes:
        decision: One of the words in the record.
        seal: In a yes of a framework without seals, a text that is the same in all processes that
            get this yes. The server uses it once.
    """

    decision: str
    by: str | None = None
    why: str | None = None
    seal: str | None = None


class RunAsks(Struct, eq=False):
    """What is known of the questions of one run.

    Attributes:
        refused: The refusals of persons, by digest of step and arguments.
        refused_seals: Those to questions that another process asked, by seal.
        paused: The tickets of questions that paused a framework, by digest.
        deferred: The tickets of questions that paused one call of a tool, by the id of the call.
        portable: The tickets that an approver gave, each for one question of this process.
        asked_ns: When each open question was asked, as wall time, by its ticket.
    """

    refused: dict[bytes, Outcome] = field(default_factory=dict[bytes, Outcome])
    refused_seals: dict[str, Outcome] = field(default_factory=dict[str, Outcome])
    paused: dict[bytes, str] = field(default_factory=dict[bytes, str])
    deferred: dict[str, str] = field(default_factory=dict[str, str])
    portable: set[str] = field(default_factory=set[str])
    asked_ns: dict[str, int] = field(default_factory=dict[str, int])

    def end_wait_ns(self, ticket: str | None, now_ns: int) -> int | None:
        """Return how long a question waited that is answered now; None if it was asked elsewhere.

        Args:
            now_ns: Wall time.
        """
        asked_ns = None if ticket is None else self.asked_ns.pop(ticket, None)
        return None if asked_ns is None else max(0, now_ns - asked_ns)

    def refusal_of(self, request: ApprovalRequest) -> Outcome | None:
        """Return the no of a person to the same step with equal arguments."""
        if (no := self.refused.get(request.digest)) is not None:
            return no
        seals = self.refused_seals.items()
        return next((no for seal, no in seals if request.is_about(seal)), None)

    def refuse(self, ticket: str | None, seal: object, no: Outcome) -> None:
        """Keep the no to a question that paused a framework; a person's holds for the run."""
        digest = next((each for each, known in self.paused.items() if known == ticket), None)
        if digest is not None:
            del self.paused[digest]
        if no.by is None:
            return
        if digest is not None:
            self.refused[digest] = no
        elif isinstance(seal, str):
            self.refused_seals[seal] = no


class AsksOfRuns:
    """What is known of the questions of the latest runs, by key of the root span."""

    __slots__ = ("_runs",)

    def __init__(self) -> None:
        self._runs: dict[bytes, RunAsks] = {}

    def of(self, root: bytes) -> RunAsks:
        """Return what is known of the questions of a run; the first use makes room for it."""
        known = self._runs.get(root)
        if known is None:
            if len(self._runs) >= MAX_RUNS:
                self._runs.pop(next(iter(list(self._runs))), None)
            known = self._runs.setdefault(root, RunAsks())
        return known


class Resumed(Struct, frozen=True):
    """How a framework goes on with one call of a tool after a pause.

    Attributes:
        ticket_of: Returns the ticket of the question about a request, which is recorded already.
        approver: Answers the questions of steps in the call, if the settings have no approver.
    """

    ticket_of: Callable[[ApprovalRequest], str | None]
    approver: Approver | None = None


resumed: Final[ContextVar[Resumed | None]] = ContextVar("remit_resumed", default=None)
"""The call of a tool around the current step, as far as its framework asks for approvals."""
