"""Asks a person whether a step may run, once for each call, and lets it run only after a yes.

An ask fails closed: without a yes for the arguments with which the step runs, it does not run.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, NoReturn, TypeAlias, cast

import msgspec
from msgspec import Struct

from remit._base import guard
from remit._base.clock import NS_PER_MS, NS_PER_S
from remit._base.guard import guarded
from remit._base.ids import key_text, new_key
from remit._base.loops import in_event_loop, run_in_own_thread, running_trio
from remit._base.outcomes import is_only
from remit._declare.registry import ASKED_TYPE
from remit._inspect.introspection import type_name
from remit._policy import asks
from remit._policy.limits import Ceiling
from remit._record import binding, questions
from remit._record.approvals import (
    APPROVED,
    EXPIRED,
    REFUSED,
    SUPERSEDED,
    WITHDRAWN,
    ApprovalRequest,
    Approved,
    Approver,
    AskedCall,
    Outcome,
    Refused,
    RunAsks,
    resumed,
)
from remit._record.context import SavedContext, use_context
from remit._record.counts import give_back
from remit._record.runs import OpenRun, Reservation, SpanContext
from remit._record.stepping import await_stepwise
from remit.errors import DeniedError, Violation

MAX_ROUNDS: Final = 3
"""Questions about one call, whose arguments change while the person decides."""
WHERE: Final = "an ask"

IN_APPROVER: Final = Ceiling("", "", ())
"""Among the ceilings of an approver's own steps, which cannot ask."""


class ApprovalPending(BaseException):
    """Raised inside remit by a step that is judged in sync code and has to be awaited."""

    def __init__(self, asking: Asking) -> None:
        """Keep the ask."""
        self.asking = asking
        super().__init__()


Ask: TypeAlias = Callable[["Asking"], None]


def ask_now(asking: Asking) -> None:
    """Ask from a plain function."""
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    asking.now()


def ask_later(asking: Asking) -> None:
    """Leave the ask to the caller, which awaits `Asking.later`."""
    raise ApprovalPending(asking)


def refuse_unasked(asking: Asking) -> None:
    """Refuse a step where nobody can be asked."""
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    asking.refuse(asks.NOT_ASKABLE)


class Asking:
    """The ask of one call.

    Attributes:
        asked: The words for which it needs a yes, as violations.
        reservation: What the step counts for towards limits, given back if it does not run.
    """

    __slots__ = (
        "_asked_ns", "_call", "_judge_again", "_paused", "_questions", "_refuse", "_step", "asked",
        "parent", "reservation",
    )  # fmt: skip

    def __init__(
        self,
        step: str,
        parent: SpanContext,
        asked: tuple[Violation, ...],
        call: Callable[[], bytes],
        reservation: Reservation | None,
        *,
        judge_again: Callable[[], object],
        refuse: Callable[[tuple[Violation, ...], str | None, str | None], NoReturn],
    ) -> None:
        """Prepare the ask.

        Args:
            call: An `AskedCall`; a plain function if the arguments are not known, and then the step
                is refused.
            judge_again: Raises if the step may not run for another reason, after the wait.
            refuse: Records that the step is denied, by whom and why, and raises the error.
        """
        self._step = step
        self.parent = parent
        self.asked = asked
        self._call = call
        self.reservation = reservation
        self._judge_again = judge_again
        self._refuse = refuse
        self._paused: BaseException | None = None
        self._questions = 0
        self._asked_ns = 0

    def refuse(self, why: str, by: str | None = None) -> NoReturn:
        """Deny the step.

        Raises:
            DeniedError: Always.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        self._refuse(self.asked, by, why)

    def now(self) -> None:
        """Ask, and return after a yes.

        Raises:
            DeniedError: There was none.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        try:
            request: ApprovalRequest | None = self._first()
            while request is not None:
                request = self._after(request, self._answered(request))
        except (DeniedError, RecursionError):
            raise
        except Exception as error:
            if error is self._paused:
                raise
            self.react_to_fault(error)

    async def later(self) -> None:
        """Ask as `now` does, and await the answer."""
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        try:
            request: ApprovalRequest | None = self._first()
            while request is not None:
                request = self._after(request, await self._awaited(request))
        except BaseException as error:
            give_back(self.reservation)
            expected = isinstance(error, DeniedError | RecursionError) or error is self._paused
            if expected or not isinstance(error, Exception):
                raise
            self.react_to_fault(error)

    def react_to_fault(self, fault: Exception) -> NoReturn:
        """Contain a fault of the ask, and deny the step.

        Raises:
            DeniedError: Always.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        guard.contain(WHERE, fault)
        self.refuse(asks.FAULT)

    def _first(self) -> ApprovalRequest:
        """Return the first request to answer.

        Raises:
            DeniedError: Nobody can be asked, or a person has refused the same call.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        if IN_APPROVER in self.parent.ceilings:
            self.refuse(asks.IN_APPROVER)
        if self._approver is None:
            self.refuse(asks.NO_APPROVER)
        if not hasattr(self._call, "arguments"):
            self.refuse(asks.NOT_ASKABLE)
        return self._begin(self._request())

    def _begin(self, request: ApprovalRequest) -> ApprovalRequest:
        """Record that a person is asked *request*, and return it.

        Raises:
            DeniedError: A person has refused the same call, or an agent wants all arguments to be
                covered by the approval and they are not.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        known = self._known
        if request.uncovered and self._denies_unbound():
            self.refuse(asks.UNBOUND.format(", ".join(request.uncovered)))
        if (no := known.refusal_of(request)) is not None:
            self._deny(no)
        was_asked = known.paused.pop(request.digest, None) is not None
        if not was_asked and self._resumed_ticket(request) is None:
            self._record_asked(request)
        self._questions += 1
        self._asked_ns = self.parent.run.recorder.clock.monotonic_ns()
        return request

    def _after(self, request: ApprovalRequest, outcome: Outcome) -> ApprovalRequest | None:
        """Return the request to answer after *outcome*; None if *outcome* is a yes that holds.

        Raises:
            DeniedError: The step may not run.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        waited_ns = self.parent.run.recorder.clock.monotonic_ns() - self._asked_ns
        following = self._request()
        outcome = self._checked(request, following, outcome, waited_ns)
        self._record_answered(request, outcome)
        if outcome.decision == APPROVED:
            self._judge_again()
            return None
        if outcome.decision != SUPERSEDED:
            if outcome.by is not None:
                self._known.refused[request.digest] = outcome
            self._deny(outcome)
        if self._questions == MAX_ROUNDS:
            self.refuse(asks.CHANGED)
        following.follow(request)
        return self._begin(following)

    def _denies_unbound(self) -> bool:
        agents = {violation.agent for violation in self.asked}
        return any(
            ceiling.denies_unbound for ceiling in self.parent.ceilings if ceiling.agent in agents
        )

    @property
    def _known(self) -> RunAsks:
        """What is known of the questions of the run."""
        return self.parent.run.asks

    def _request(self) -> ApprovalRequest:
        run, known = self.parent.run, self._known
        request = ApprovalRequest(
            self._step,
            self.asked,
            run.feed.resumed_key or run.feed.key,
            cast("AskedCall", self._call),
            key_text(new_key(run.now_ns())),
            run.recorder.ask_timeout_s,
        )
        earlier = self._resumed_ticket(request) or known.paused.get(request.digest)
        request.ticket = earlier or self._portable_ticket(request, known) or request.ticket
        return request

    def _portable_ticket(self, request: ApprovalRequest, known: RunAsks) -> str | None:
        """Return the ticket that the approver gives a question, once in a process."""
        ticket_of = None if self._approver is None else self._approver.ticket_of
        ticket = None if ticket_of is None else ticket_of(request)
        if ticket is None or ticket in known.portable:
            return None
        known.portable.add(ticket)
        return ticket

    @staticmethod
    def _resumed_ticket(request: ApprovalRequest) -> str | None:
        framework = resumed.get()
        return None if framework is None else framework.ticket_of(request)

    @property
    def _approver(self) -> Approver | None:
        """The approver of the settings, else that of the framework."""
        framework = resumed.get()
        own = None if framework is None else framework.approver
        return self.parent.run.recorder.approver or own

    def _checked(
        self, request: ApprovalRequest, following: ApprovalRequest, outcome: Outcome, waited_ns: int
    ) -> Outcome:
        """Return *outcome*, or how a yes that does not hold ended."""
        if outcome.decision != APPROVED:
            return outcome
        if waited_ns > request.time_limit_s * NS_PER_S:
            return self._expired()
        if not request.use_seals():
            return Outcome(REFUSED, None, asks.USED_SEAL)
        if not request.equals(following):
            return outcome._replace(decision=SUPERSEDED)
        return outcome

    def _expired(self) -> Outcome:
        limit_s = self.parent.run.recorder.ask_timeout_s
        return Outcome(EXPIRED, None, asks.EXPIRED.format(limit_s))

    def _deny(self, outcome: Outcome) -> NoReturn:
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        why = outcome.why if outcome.by is not None else outcome.why or asks.NO_REASON
        self._refuse(self.asked, outcome.by, why)

    # The approver

    def _context(self, request: ApprovalRequest) -> SpanContext:
        """Return the context of the approver: below the question, and without further asks."""
        parent = self.parent
        ticket = request.ticket
        key = questions.asked_key(parent.run, ticket)
        if ticket in self._known.portable:
            key = questions.portable_key(ticket)
        ceilings = (*parent.ceilings, IN_APPROVER)
        return SpanContext(parent.run, key, ASKED_TYPE, ceilings, parent.outer_runs)

    def _answered(self, request: ApprovalRequest) -> Outcome:
        """Call the approver from sync code; return the outcome."""
        approver = cast("Approver", self._approver)
        with use_context(self._context(request)):
            try:
                answer = approver.now(request)
                if inspect.isawaitable(answer):
                    if in_event_loop():
                        _close(answer)
                        return Outcome(REFUSED, None, asks.IN_LOOP)
                    answer = asyncio.run(_within(answer, request.time_limit_s))
            except BaseException as error:
                return self._failed(request, error)
        if answer is _EXPIRED:
            return self._expired()
        return self._used(request, _outcome(answer))

    async def _awaited(self, request: ApprovalRequest) -> Outcome:
        """Call the approver from async code; return the outcome."""
        approver = cast("Approver", self._approver)
        try:
            limit_s = request.time_limit_s + approver.grace_s
            steps = _within(_called(approver, request), limit_s)
            answer = await await_stepwise(steps, SavedContext(self._context(request)))
            if answer is _EXPIRED:
                return self._expired()
            outcome = _outcome(answer)
            if self._seals_to_use(request, outcome):
                return await run_in_own_thread(partial(self._used, request, outcome))
        except BaseException as error:
            return self._failed(request, error)
        return outcome

    def _seals_to_use(self, request: ApprovalRequest, outcome: Outcome) -> list[str]:
        """Return the seals that a yes uses at the server."""
        if self.parent.run.recorder.use_seal is None or outcome.decision != APPROVED:
            return []
        of_framework = () if outcome.seal is None else (outcome.seal,)
        return sorted({*request.seals, *of_framework})

    def _used(self, request: ApprovalRequest, outcome: Outcome) -> Outcome:
        """Use the seals of a yes at the server; return *outcome*, or how it ended instead."""
        use, seals = self.parent.run.recorder.use_seal, self._seals_to_use(request, outcome)
        reason = None if use is None else next(filter(None, map(use, seals)), None)
        return outcome if reason is None else Outcome(REFUSED, None, reason)

    def _failed(self, request: ApprovalRequest, error: BaseException) -> Outcome:
        """Return the outcome of an exception of the approver.

        Raises:
            BaseException: *error* itself, if it pauses a framework or is no `Exception`.
        """
        run = self.parent.run
        if is_only(error, run.recorder.interrupts):
            self._known.paused[request.digest] = request.ticket
            self._known.asked_ns.setdefault(request.ticket, run.now_ns())
            self._paused = error
            raise error
        if not isinstance(error, Exception):
            self._record_answered(request, Outcome(WITHDRAWN))
            raise error
        return Outcome(REFUSED, None, asks.FAILED.format(type_name(type(error))))

    # The record

    def _record_asked(self, request: ApprovalRequest) -> None:
        known, approver = self._known, cast("Approver", self._approver)
        is_portable = request.ticket in known.portable
        record_asked(self.parent, self.asked, request, approver.how, is_portable=is_portable)
        if not is_portable:  # else another process may have asked it, at another time
            known.asked_ns[request.ticket] = self.parent.run.now_ns()

    @guarded("the record of an answer")
    def _record_answered(self, request: ApprovalRequest, outcome: Outcome) -> None:
        run, approver = self.parent.run, self._approver
        waited_ns = self._known.end_wait_ns(request.ticket, run.now_ns())
        if not run.recording:
            return
        verifies = approver is not None and approver.verifies
        payload = answered(outcome, waited_ns, verifies=verifies)
        questions.record_answered(run, self.parent.key, request.ticket, payload)


@guarded("the record of a question")
def record_asked(
    parent: SpanContext,
    asked: tuple[Violation, ...],
    request: ApprovalRequest,
    how: str,
    *,
    is_portable: bool = False,
) -> None:
    """Record below *parent* that a person is asked *request*, because of the words *asked*.

    Args:
        is_portable: Whether other processes may record the same question, with the same ticket.
    """
    run = parent.run
    if not run.recording:
        return
    payload = {
        questions.ASKED: asks.question(request.step, asked),
        questions.HOW: how,
        "step": request.step,
        "words": list(request.words),
        "unbound": list(request.unbound),
        "time_limit_s": request.time_limit_s,
    }
    arguments = msgspec.Raw(request.captured_arguments())
    key = questions.portable_key(request.ticket) if is_portable else None
    questions.record_asked(
        run, parent.key, request.ticket, payload, captured={"arguments": arguments}, key=key
    )


def answered(
    outcome: Outcome, waited_ns: int | None, *, verifies: bool = False
) -> Mapping[str, object]:
    """Return the payload of the answer to a question of an approver."""
    return {
        questions.ANSWER: {APPROVED: "yes", REFUSED: "no"}.get(outcome.decision),
        questions.BY: outcome.by,
        questions.AS_CLAIMED: not verifies,
        questions.WAITED_MS: None if waited_ns is None else waited_ns // NS_PER_MS,
        "decision": outcome.decision,
        "why": outcome.why,
    }


_EXPIRED: Final = object()
"""In place of an answer that did not come in time."""


def _outcome(answer: object) -> Outcome:
    if type(answer) is Approved:
        return Outcome(APPROVED, answer.by)
    if type(answer) is Refused:
        return Outcome(REFUSED, answer.by, answer.why)
    if type(answer) is Outcome:  # of a framework, which may not know who answered
        return answer
    return Outcome(REFUSED, None, asks.OTHER_ANSWER.format(type_name(type(answer))))


async def _called(approver: Approver, request: ApprovalRequest) -> object:
    """Return the answer of the approver, which is awaited or called in a thread."""
    if approver.later is not None:
        return await approver.later(request)
    answer = await run_in_own_thread(partial(approver.now, request))
    return await answer if inspect.isawaitable(answer) else answer


async def _within(answer: Awaitable[object], limit_s: float) -> object:
    """Return what *answer* gives, `_EXPIRED` if that takes longer than *limit_s* seconds."""
    trio = running_trio()
    if trio is not None:
        result: object = _EXPIRED
        with trio.move_on_after(limit_s):
            result = await answer
        return result  # noqa: RET504 - the scope may end the wait
    timeout = asyncio.timeout(limit_s)
    try:
        async with timeout:
            return await answer
    except TimeoutError:
        if timeout.expired():
            return _EXPIRED
        raise


def _close(awaitable: Any) -> None:
    """Close a coroutine that is not awaited, so that Python does not warn of it."""
    if inspect.iscoroutine(awaitable):
        awaitable.close()


class StepCall(Struct, eq=False):
    """The call of a declared function or block, for a judge.

    Attributes:
        capture: Captures its arguments, as `SpanRecorder.params`.
        owner: The object or class that a method is called on, else None.
    """

    capture: Callable[[tuple[object, ...], Mapping[str, object], OpenRun], bytes]
    declared: Any
    run: OpenRun
    owner: object
    args: tuple[object, ...]
    kwargs: Mapping[str, object]

    def __call__(self) -> bytes:
        """Return the captured arguments."""
        return self.capture(self.args, self.kwargs, self.run)

    @property
    def by_type(self) -> frozenset[str]:
        """Names of parameters that are not compared: those that frameworks inject, and `Skip`."""
        none: frozenset[str] = frozenset()
        return none if self.declared is None else binding.injected_in(self.declared)

    def check_fit(self) -> None:
        """Check that the call has the arguments of its function.

        Raises:
            TypeError: It has not.
        """
        binding.check_fit(self.declared, self.args, self.kwargs)

    @property
    def file(self) -> str | None:
        """The file of the declaration."""
        return None if self.declared is None else self.declared.file

    def arguments(self) -> Mapping[str, object]:
        """Return the arguments by name, as they are now."""
        return binding.arguments_of(self.declared, self.owner, self.args, self.kwargs)
