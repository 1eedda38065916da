"""The approver "server": a program asks through a collector on a port, and a person answers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import pytest

from remit.collector import Store, create_token
from remit.testing import FakeClock
from tests.asgi import AsgiTransport
from tests.collecting import Api, Json, World, details, on_a_port
from tests.inside import (
    Approved,
    AsyncHttpClient,
    Expired,
    HttpClient,
    Question,
    Refused,
    ServerApprover,
    httpx,
)
from tests.inside_collector import ThreadExecutor, create_app
from tests.processes import wait_until
from tests.stores import EACH_STORE

ASKS: Final = "/api/remit/v1/asks"
PAYING: Final = Question(
    step="shop:refund",
    words=("financial_transactions",),
    agent="shop:desk",
    run="run-key-1",
    arguments=b'{"order":"1021","amount":"1240.00"}',
    hidden={},
    time_limit_s=60,
    ticket="ticket-1",
)


@dataclass
class Desk:
    """A served collector, a program that asks, and a person who answers."""

    url: str
    world: World
    secret: str
    ben: Api
    closing: ExitStack

    def approver(self) -> ServerApprover:
        """Return the approver of a new process."""
        client = self.closing.enter_context(closing(HttpClient(self.url, self.secret)))
        return ServerApprover(client, partial(AsyncHttpClient, self.url, self.secret))

    def waiting(self) -> list[dict[str, Json]]:
        """Return what waits."""
        found: list[dict[str, Json]] = self.ben.http.get(ASKS, params={"status": "waiting"}).json()[
            "asks"
        ]
        return found

    def answer(self, answer: str = "approved", why: str | None = None, count: int = 1) -> None:
        """Answer what waits, as soon as it does."""
        wait_until(lambda: len(self.waiting()) == count)
        for ask in self.waiting():
            body = {"answer": answer, "why": why}
            self.ben.http.post(f"{ASKS}/{ask['id']}/answer", json=body).raise_for_status()


@contextmanager
def served(store: Store) -> Iterator[Desk]:
    """Serve a store."""
    world = World(store)
    executor = ThreadExecutor(store.writes_at_once, store.reads_at_once)
    app = create_app(store, executor=executor)
    secret = create_token(store, "account", may="record", name="program").secret
    ben = create_token(store, "account", may="approve", name="ben").secret
    with ExitStack() as stack, on_a_port(app) as url:
        yield Desk(url, world, secret, Api(world.http(ben)), stack)
        stack.close()
    executor.close()


@pytest.fixture
def desk(store: Store) -> Iterator[Desk]:
    """Return a served collector."""
    with served(store) as each:
        yield each


@pytest.fixture
def thread() -> Generator[ThreadPoolExecutor]:
    """Return threads."""
    with ThreadPoolExecutor(max_workers=12) as pool:
        yield pool


@pytest.mark.parametrize("store_kind", EACH_STORE)
def test_a_program_goes_on_as_soon_as_a_person_answers(
    desk: Desk, thread: ThreadPoolExecutor
) -> None:
    """It reads who answered, and why not; each answer is used."""
    yes = thread.submit(desk.approver(), PAYING)
    desk.answer()
    assert yes.result(60) == Approved("ben")
    no = thread.submit(desk.approver(), replace(PAYING, ticket="ticket-2"))
    desk.answer("refused", "no receipt")
    assert no.result(60) == Refused("no receipt", "ben")

    shown = {each["ticket"]: each for each in desk.ben.http.get(ASKS).json()["asks"]}
    assert shown["ticket-1"]["used_at"] is not None
    assert shown["ticket-2"]["used_at"] is None


def test_coroutines_wait_together(desk: Desk, thread: ThreadPoolExecutor) -> None:
    """Many wait in one event loop, which goes on."""
    count = 20

    async def ask_all() -> tuple[list[object], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        approver = desk.approver()
        questions = [replace(PAYING, ticket=f"ticket-{number}") for number in range(count)]
        decisions = await asyncio.gather(*map(approver.ask, questions))
        ticking.cancel()
        return list(decisions), ticks

    answering = thread.submit(desk.answer, count=count)
    decisions, ticks = asyncio.run(ask_all())
    answering.result(60)
    assert decisions == [Approved("ben")] * count
    assert ticks > 1


def test_a_yes_is_used_once(desk: Desk, thread: ThreadPoolExecutor) -> None:
    """A process that asks with the ticket of another one gets no second yes out of one answer."""
    first = thread.submit(desk.approver(), PAYING)
    desk.answer()
    assert first.result(60) == Approved("ben")
    again = desk.approver()(PAYING)
    assert again == Refused("the approval was used before: one yes is good for one call")


def test_a_seal_of_a_framework_is_used_once(desk: Desk) -> None:
    """In any process of the account; a repetition of the same use succeeds."""
    used = [desk.approver().use("seal", nonce) for nonce in ("a", "a", "b")]
    assert used == [True, True, False]


def test_nobody_answers(desk: Desk) -> None:
    """The server and the program say that the request has expired."""
    question = replace(PAYING, time_limit_s=1)
    assert desk.approver()(question) == Expired()
    (shown,) = desk.ben.http.get(ASKS).json()["asks"]
    assert shown["status"] == "expired"


@pytest.mark.parametrize("store_kind", EACH_STORE)
def test_two_answers_at_once(desk: Desk, thread: ThreadPoolExecutor) -> None:
    """Exactly one counts, and the program gets that one."""
    asked = thread.submit(desk.approver(), PAYING)
    wait_until(lambda: len(desk.waiting()) == 1)
    (ask,) = desk.waiting()
    secrets = [
        create_token(desk.world.store, "account", may="approve", name=f"person-{number}").secret
        for number in range(6)
    ]
    ready = threading.Barrier(len(secrets))

    def answer(number: int) -> dict[str, Json]:
        headers = {"Authorization": f"Bearer {secrets[number]}"}
        body = {"answer": ("approved", "refused")[number % 2], "why": f"reason {number}"}
        with httpx.Client(base_url=desk.url, headers=headers) as http:
            ready.wait(60)
            found: dict[str, Json] = http.post(f"{ASKS}/{ask['id']}/answer", json=body).json()
            return found

    answers = list(thread.map(answer, range(len(secrets))))
    (counted,) = [each["details"] for each in answers if each["counted"]]
    decision = asked.result(60)
    first = counted["answer"]
    assert decision == (
        Approved(first["by"])
        if first["answer"] == "approved"
        else Refused(first["why"], first["by"])
    )
    shown = details(desk.ben.http.get(f"{ASKS}/{ask['id']}"))
    assert shown["answer"] == first
    assert len(shown["late_answers"]) == len(secrets) - 1


def test_an_interrupted_wait_withdraws_the_question(desk: Desk) -> None:
    """A cancelled task, and a function that is interrupted."""

    async def cancelled() -> None:
        task = asyncio.create_task(desk.approver().ask(PAYING))
        await asyncio.to_thread(wait_until, lambda: len(desk.waiting()) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    (shown,) = desk.ben.http.get(ASKS).json()["asks"]
    assert (shown["status"], shown["why"]) == ("withdrawn", "the program withdrew it")

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    # In this process the server holds no request, so the approver waits between two calls.
    client = HttpClient(desk.url, desk.secret, transport=AsgiTransport(desk.world.app))
    with pytest.raises(KeyboardInterrupt):
        ServerApprover(client, wait=interrupt)(replace(PAYING, ticket="ticket-2"))
    assert desk.waiting() == []


def test_a_terminated_run_ends_the_wait(desk: Desk, thread: ThreadPoolExecutor) -> None:
    """The program does not wait for the time limit."""
    owner = desk.world.account()
    run = owner.instance("active", external_identifier=PAYING.run)
    asked = thread.submit(desk.approver(), PAYING)
    wait_until(lambda: len(desk.waiting()) == 1)
    details(owner.post(f"/agent_instance/{run['id']}/terminate", {"reason": "enough"}))
    assert asked.result(60) == Refused("the run was terminated")


def test_a_server_without_asks_refuses() -> None:
    """Another server of the API, and a server that rejects the token."""

    def respond(status: int, code: str) -> ServerApprover:
        body = {"status": "error", "code": code, "message": "there is no such path"}
        transport = httpx.MockTransport(lambda _: httpx.Response(status, json=body))
        return ServerApprover(HttpClient("http://other.test", "token", transport=transport))

    other = respond(404, "not_found")
    assert other(PAYING) == Refused("the server does not take requests for approval")
    decision = respond(403, "forbidden")(PAYING)
    assert isinstance(decision, Refused)
    assert decision.by is None


def test_a_server_that_answers_another_request_is_not_believed() -> None:
    """A yes counts only with the id, the run and the ticket of the question."""
    state = {
        "id": "ask-1",
        "run": PAYING.run,
        "ticket": PAYING.ticket,
        "status": "waiting",
        "expires_at": "2030-01-01T00:00:00Z",
    }

    def respond(request: httpx.Request) -> httpx.Response:
        yes = {**state, "id": "ask-2", "status": "approved", "by": "ben"}
        body = state if request.method == "POST" else yes
        return httpx.Response(200, json={"status": "success", "details": body})

    transport = httpx.MockTransport(respond)
    approver = ServerApprover(HttpClient("http://other.test", "token", transport=transport))
    assert approver(PAYING) == Refused("the server answered another request")


@pytest.mark.parametrize("code", ["unknown_ask", "not_found"], ids=["remit", "another"])
def test_a_server_that_takes_the_place_of_the_first_one_knows_no_request(code: str) -> None:
    """The answer that a person gives at the first one does not arrive."""
    state = {"id": "ask-1", "run": PAYING.run, "ticket": PAYING.ticket, "status": "waiting"}
    state["expires_at"] = "2030-01-01T00:00:00Z"
    unknown = {"status": "error", "code": code, "message": "not found"}

    def respond(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(200, json={"status": "success", "details": state})
        return httpx.Response(404, json=unknown)

    transport = httpx.MockTransport(respond)
    approver = ServerApprover(HttpClient("http://other.test", "token", transport=transport))
    refused = Refused("the server does not know the request for approval any more")
    assert approver(PAYING) == refused


@pytest.mark.parametrize("reached", [0, 3], ids=["never", "at first"])
def test_a_server_that_stays_away_refuses_when_the_time_is_over(reached: int) -> None:
    """It is tried again until then."""
    clock = FakeClock()
    state = {"id": "ask-1", "run": PAYING.run, "ticket": PAYING.ticket, "status": "waiting"}
    state["expires_at"] = "2030-01-01T00:00:00Z"
    requests: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        requests.append(request.method)
        if len(requests) <= reached:
            return httpx.Response(200, json={"status": "success", "details": state})
        raise httpx.ConnectError("nothing listens")

    client = HttpClient("http://other.test", "token", transport=httpx.MockTransport(respond))
    approver = ServerApprover(client, wait=clock.advance, clock=clock)
    decision = approver(PAYING)
    assert isinstance(decision, Refused)
    assert decision.by is None
    assert decision.why == "the request for approval failed: the server cannot be reached"
    assert len(requests) > reached + 3
    waited_s = clock.monotonic_ns() / 1e9
    assert PAYING.time_limit_s / 2 < waited_s <= PAYING.time_limit_s
