"""The approver `"server"`: asks a person through remit's server, and waits for the answer."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec
from pydantic import BaseModel

from remit._base.backoff import delays
from remit._base.clock import Clock, Deadline, SystemClock
from remit.client._http import AsyncHttpClient
from remit.client.endpoints.endpoint import Call, encode, segment
from remit.client.endpoints.responses import details, whole
from remit.errors import ApiError, NotFoundError, UnavailableError
from remit.models.asks import ASKS, MAX_WAIT_S, SEALS, AskState, SealUsed

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

CALL_S: Final = 10.0
"""Time for one call besides the wait for an answer, in seconds."""
GRACE_S: Final = 5.0
"""Time after the time limit in which the server says that the request has expired, in seconds."""
POLL_S: Final = 1.0
"""Time between two calls if the server does not hold them, in seconds."""
WITHDRAW_S: Final = 2.0
UNKNOWN_ASK: Final = "unknown_ask"
"""Error code of a server that takes requests for approval, but does not know this one."""
SEAL_USED: Final = "seal_used"
"""Error code of a server that knows another use of the seal."""
_NO_ASK: Final = "013xrzp12g3nqk8n0000000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a person is asked.

    Attributes:
        step: Name of the step, as in its declaration.
        words: Actions that the agent asks about, such as `financial_transactions`.
        agent: External identifier of the agent.
        run: Key of the run.
        arguments: Arguments by name, redacted, as a JSON object.
        hidden: Redacted arguments: the rule by the path of the argument.
        unbound: Arguments that are compared by type only.
        time_limit_s: Time in seconds after which no answer is one.
        ticket: Name of the question, unique within the run.
        seal: Digest of what the answer is bound to.
        after: Ticket of the question that this one replaces, because the arguments changed.
        changed: Arguments that differ from that question, also among the redacted ones.
        environment_id: Id of the environment of the run, if a declaration or a setting gives it.
    """

    step: str
    words: tuple[str, ...]
    agent: str
    run: str
    arguments: bytes
    time_limit_s: float
    ticket: str
    hidden: Mapping[str, str]
    unbound: tuple[str, ...] = ()
    seal: str | None = None
    after: str | None = None
    changed: tuple[str, ...] = ()
    environment_id: str | None = None


class Approved(NamedTuple):
    """A person's yes, for one call."""

    by: str


class Refused(NamedTuple):
    """No yes; `by` is the person who refused, None if nobody did."""

    why: str
    by: str | None = None


class Expired(NamedTuple):
    """No answer within the time limit."""


Decision: TypeAlias = Approved | Refused | Expired


class Sender(Protocol):
    """A synchronous client: of a server, or of the collector in this process."""

    def send(self, call: Call[T], *, timeout_s: float | None = None) -> T:
        """Return the API's response to *call*."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class _Send(NamedTuple):
    call: Call[Any]
    timeout_s: float


class _Wait(NamedTuple):
    seconds: float


_Steps: TypeAlias = Generator[_Send | _Wait, Any, Decision]


class ServerApprover:
    """Asks through a server. Usable from several threads and event loops."""

    def __init__(
        self,
        client: Sender,
        async_client: Callable[[], AsyncHttpClient] | None = None,
        *,
        wait: Callable[[float], object] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Ask through *client*.

        Args:
            client: Sends the calls.
            async_client: Returns a client for one question of a coroutine. Without it, the question
                is asked on another thread.
            wait: Waits some seconds on the calling thread.
            clock: Times the questions.
        """
        self._client = client
        self._async_client = async_client
        self._clock = clock or SystemClock()
        self._wait = wait or _wait

    def __call__(self, question: Question) -> Decision:
        """Return the answer of a person, `Expired` without one in time.

        If the wait is interrupted, the question is withdrawn.
        """
        asking = _Asking(question, self._clock)
        steps = asking.steps()
        try:
            step = next(steps)
            while True:
                try:
                    answer = self._done(step)
                except ApiError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            return _decided(end)
        except BaseException:
            # Otherwise the question expires at the server.
            with suppress(ApiError):
                asking.learn(self._client.send(asking.creation(), timeout_s=WITHDRAW_S))
                self._client.send(asking.withdrawal(), timeout_s=WITHDRAW_S)
            raise

    async def ask(self, question: Question) -> Decision:
        """Return the answer of a person, without blocking the event loop."""
        if self._async_client is None:
            return await asyncio.to_thread(self, question)
        client = self._async_client()
        asking = _Asking(question, self._clock)
        steps = asking.steps()
        try:
            step = next(steps)
            while True:
                try:
                    answer = await _adone(client, step)
                except ApiError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            return _decided(end)
        except BaseException:
            with suppress(ApiError):
                asking.learn(await client.send(asking.creation(), timeout_s=WITHDRAW_S))
                await client.send(asking.withdrawal(), timeout_s=WITHDRAW_S)
            raise
        finally:
            await client.aclose()

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def use(self, seal: str, nonce: str, *, timeout_s: float = CALL_S) -> bool:
        """Return whether this is the first use of a seal at the server.

        Args:
            seal: Digest of the seal, at most 200 characters.
            nonce: Random text of the use. A repetition with the same text is the same use.
            timeout_s: Longest time for which an unavailable server is asked again, in seconds.

        Raises:
            ApiError: The server cannot be reached, or rejects the request.
        """
        deadline, waits = Deadline.after(timeout_s, self._clock), delays()
        while True:
            try:
                self._client.send(_use(seal, nonce), timeout_s=deadline.remaining_s())
            except UnavailableError as error:
                wait_s = max(next(waits), error.retry_after_s or 0)
                if deadline.remaining_s() <= wait_s:
                    raise
                self._wait(wait_s)
            except ApiError as error:
                if error.code == SEAL_USED:
                    return False
                raise
            else:
                return True

    def _done(self, step: _Send | _Wait) -> object:
        if isinstance(step, _Wait):
            return self._wait(step.seconds)
        return self._client.send(step.call, timeout_s=step.timeout_s)


class _Asking:
    """One question, without input and output: `steps` yields what to send and how long to wait."""

    def __init__(self, question: Question, clock: Clock) -> None:
        self._question = question
        self._limit = Deadline.after(question.time_limit_s, clock)
        self._deadline = Deadline.after(question.time_limit_s + GRACE_S, clock)
        self._clock = clock
        self._id: str | None = None

    def creation(self) -> Call[AskState]:
        """Return the call that creates the question; a repetition changes nothing."""
        return _create(self._question, self._limit)

    def learn(self, state: AskState) -> None:
        """Keep the id of the question at the server."""
        self._id = state.id

    def withdrawal(self) -> Call[AskState]:
        """Return the call that withdraws the question."""
        path = f"{ASKS}/{segment('ask_id', self._id or '')}/withdraw"
        return Call("POST", path, details(AskState), b"{}")

    def steps(self) -> _Steps:
        try:
            return (yield from self._ask())
        except NotFoundError as error:
            if error.code != UNKNOWN_ASK and self._id is None:
                return Refused("the server does not take requests for approval")
            return Refused("the server does not know the request for approval any more")
        except ApiError as error:
            return Refused(f"the request for approval failed: {cause_of(error)}")

    def _ask(self) -> _Steps:
        question = self._question
        state: AskState = yield from self._lasting(self.creation)
        self.learn(state)
        while state.status == "waiting" and not self._deadline.passed:
            began_ns = self._clock.monotonic_ns()
            state = yield from self._lasting(self._next_look)
            held = Deadline(self._clock, began_ns + int(POLL_S * 1e9)).passed
            if state.status == "waiting" and not held:
                yield _Wait(POLL_S)
        if (state.id, state.run, state.ticket) != (self._id, question.run, question.ticket):
            return Refused("the server answered another request")
        if state.status == "refused":
            return Refused(state.why or "no reason given", state.by)
        if state.status == "withdrawn":
            return Refused(state.why or "the request was withdrawn")
        if state.status != "approved" or not state.by:
            with suppress(ApiError):
                yield _Send(self.withdrawal(), WITHDRAW_S)
            return Expired()
        nonce = secrets.token_hex(16)
        try:
            yield from self._lasting(lambda: _use(state.id, nonce))
        except ApiError as error:
            if error.code == SEAL_USED:
                return Refused("the approval was used before: one yes is good for one call")
            raise
        return Approved(state.by)

    def _next_look(self) -> tuple[Call[AskState], float]:
        wait_s = min(MAX_WAIT_S, int(self._deadline.remaining_s()) + 1)
        return _await_answer(self._id or "", wait_s), wait_s + CALL_S

    def _lasting(self, make: Callable[[], tuple[Call[T], float] | Call[T]]) -> Generator[Any, T, T]:
        """Send a call until the server responds, or the time limit has passed."""
        waits = delays()
        while True:
            made = make()
            call, timeout_s = made if isinstance(made, tuple) else (made, CALL_S)
            try:
                return (yield _Send(call, timeout_s))
            except UnavailableError as error:
                wait_s = max(next(waits), error.retry_after_s or 0)
                if self._limit.remaining_s() <= wait_s:
                    raise
            yield _Wait(wait_s)


def _create(question: Question, limit: Deadline) -> Call[AskState]:
    body = {
        "run": question.run,
        "ticket": question.ticket,
        "agent": question.agent,
        "step": question.step,
        "words": list(question.words),
        "arguments": msgspec.Raw(question.arguments),
        "hidden": dict(question.hidden),
        "unbound": list(question.unbound),
        "time_limit_s": max(limit.remaining_s(), 0.001),
        "seal": question.seal,
        "after": question.after,
        "changed": list(question.changed),
    }
    if question.environment_id is not None:
        body["environment_id"] = question.environment_id
    return Call("POST", ASKS, details(AskState), msgspec.json.encode(body))


def cause_of(error: ApiError) -> str:
    """Return why a call failed, in words that a model may read: without the server's address."""
    if error.status is None:
        return "the server cannot be reached"
    code = f" ({error.code})" if error.code else ""
    return f"the server responded with HTTP {error.status}{code}"


def show_no_ask() -> Call[AskState]:
    """Return a call that a server that takes requests for approval rejects with `UNKNOWN_ASK`."""
    return _await_answer(_NO_ASK, 0)


def _await_answer(ask_id: str, wait_s: int) -> Call[AskState]:
    path = f"{ASKS}/{segment('ask_id', ask_id)}/answer"
    return Call("GET", path, details(AskState), query=(("wait_s", str(wait_s)),))


def _use(seal: str, nonce: str) -> Call[SealUsed]:
    body = encode("seals.use", {"seal": seal, "use": nonce})
    return Call("POST", SEALS, whole(SealUsed), body)


def _decided(end: StopIteration) -> Decision:
    decision: Decision = end.value
    return decision


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


async def _adone(client: AsyncHttpClient, step: _Send | _Wait) -> object:
    if isinstance(step, _Wait):
        await client.wait(step.seconds)
        return None
    return await client.send(step.call, timeout_s=step.timeout_s)
