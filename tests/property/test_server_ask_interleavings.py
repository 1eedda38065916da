"""Random interleavings at the collector: each body has its own approval, which is used once.

Tasks of a run call asked steps with shared arguments, which other tasks change. Two persons answer
through the server: in time, late, twice, both at once, or another question. The run is terminated,
the action is held, the process is killed, responses are lost, and a second process asks with the
ticket of the first one. In some interleavings a framework pauses instead, and goes on with its old
answers, in this process and in others.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from pydantic import SecretStr
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import remit
from remit.collector import Store, create_token
from remit.config import Settings
from remit.errors import DeniedError, RunTerminated
from tests.collecting import on_a_port
from tests.inside import (
    Approved,
    AsyncHttpClient,
    HttpClient,
    OtherFiles,
    Question,
    ServerApprover,
    forget_used_seals,
    httpx,
    setup,
)
from tests.inside_collector import ThreadExecutor, create_app
from tests.stores import EACH_STORE, empty_store

ASKS: Final = "/api/remit/v1/asks"
HOLDS: Final = "/api/remit/v1/holds"
SEEDS: Final = (
    range(int(os.environ["REMIT_TEST_ASKS"]))
    if "REMIT_TEST_ASKS" in os.environ
    else (0, 2, 3, 8, 9, 14, 22, 26, 30, 41)
)
"""The default seeds are those that fail without one of the checks: the arguments, terminations and
holds after a yes, used approvals, and the end of a run."""
ORDERS: Final = 3
CALLS: Final = 3
PAUSING: Final = 0.25
"""Share of the interleavings in which a framework pauses."""
SHORT_S: Final = 0.25
LONG_S: Final = 60.0
"""Time limits of a question, in seconds."""
LOST: Final = 0.05
"""Share of the responses about questions that do not arrive."""
MONEY: Final = "financial_transactions"


class Pause(Exception):  # noqa: N818 - as frameworks call theirs
    """How the framework pauses."""


@remit.span_type(data_risk=remit.risk(allows="financial_transactions", forbids="others"))
async def pay(order: dict[str, int]) -> None:
    """Note with which arguments it runs."""
    Interleaving.current.note_body(order["euros"])


@remit.span_type(data_risk=remit.risk(allows="financial_transactions", forbids="others"))
def pay_now(order: dict[str, int]) -> None:
    """Note with which arguments it runs, on a thread."""
    Interleaving.current.note_yes_of(order["euros"])


@remit.agent(data_risk=remit.risk(asks="financial_transactions"))
def desk() -> None:
    """Ask about payments."""


class Network:
    """Between the program and the collector: loses responses, and is cut off.

    Attributes:
        cut: Whether the program is killed: nothing of it arrives.
        losing: The share of responses about questions that are lost.
    """

    def __init__(self, app: ASGIApp, secret: str) -> None:
        """Pass requests on to *app*."""
        self._app = app
        self._header = f"Bearer {secret}".encode()
        self.random = random.Random(0)
        self.cut = False
        self.losing = LOST

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        headers = dict(scope.get("headers", ()))
        if scope["type"] != "http" or headers.get(b"authorization") != self._header:
            await self._app(scope, receive, send)
            return
        about_asks = scope["path"].startswith((ASKS, "/api/remit/v1/seals"))
        lost = about_asks and self.random.random() < self.losing
        if not (self.cut or lost):
            await self._app(scope, receive, send)
            return

        async def drop(_: Message) -> None:
            """Send nothing."""

        if not self.cut:
            await self._app(scope, receive, drop)
        body = {"status": "error", "code": "unavailable", "message": "the network is down"}
        await JSONResponse(body, 503)(scope, receive, send)


@dataclass
class Desk:
    """A served collector.

    Attributes:
        secret: Token of the program.
        people: Tokens of two persons.
        operator: Token of who terminates and holds.
    """

    url: str
    network: Network
    secret: str
    people: tuple[str, str]
    operator: str
    folder: Path

    def client(self, secret: str) -> httpx.AsyncClient:
        """Return a client with a token."""
        headers = {"Authorization": f"Bearer {secret}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=60)


@contextmanager
def served(store: Store, folder: Path) -> Iterator[Desk]:
    """Serve a store."""
    secret = create_token(store, "account", may="record", name="program").secret
    ben = create_token(store, "account", may="approve,read", name="ben").secret
    dana = create_token(store, "account", may="approve,read", name="dana").secret
    operator = create_token(store, "account", name="operator").secret
    executor = ThreadExecutor(store.writes_at_once, store.reads_at_once)
    network = Network(create_app(store, executor=executor), secret)
    with on_a_port(network) as url:
        yield Desk(url, network, secret, (ben, dana), operator, folder)
    executor.close()


class Interleaving:
    """One interleaving, decided by a seed.

    Attributes:
        yeses: By arguments, the answers of persons that count.
        bodies: By arguments, the bodies that began.
        held: Whether the process knows a hold.
        patient: Whether the persons answer once the process knows a hold.
        ended: Whether the process knows that its run was terminated, or was killed.
    """

    current: Interleaving

    def __init__(self, seed: int, desk: Desk) -> None:
        """Prepare the arguments."""
        self.random = random.Random(seed)
        self.desk = desk
        self.desk.network.random = random.Random(seed)
        self.orders = [{"euros": number} for number in range(ORDERS)]
        self.yeses: Counter[int] = Counter()
        self.bodies: Counter[int] = Counter()
        self.held = self.was_held = self.ended = self.terminated = False
        self.pausing = self.random.random() < PAUSING
        self.limit_s = self.random.choice([LONG_S, LONG_S, SHORT_S])
        self.event = self.random.choice(["terminate", "hold", "none", "none"])
        self.patient = self.event == "hold" and self.random.random() < 0.5
        self.killing = not self.pausing and self.random.random() < 0.1
        self.key = ""
        self.asks: dict[str, dict[str, Any]] = {}
        """By id, the questions as a person saw them."""
        self.counted: set[str] = set()
        """The questions of which an answer counted."""
        self.sealed: dict[str, remit.Approved | remit.Refused] = {}
        self.done = asyncio.Event()
        self.wrong: list[BaseException] = []

    def note_body(self, euros: int) -> None:
        """Check that a body may begin now."""
        self.note_yes_of(euros)
        self.check(not self.held, "a body began during a hold")
        self.check(not self.ended, "a body began after the end of its run")

    def note_yes_of(self, euros: int) -> None:
        """Check that a yes is left for a body."""
        self.bodies[euros] += 1
        self.check(self.bodies[euros] <= self.yeses[euros], "a body began without its own yes")

    def check(self, right: bool, wrong: str) -> None:
        """Keep a failure, which a step or the approver may swallow."""
        if not right:
            self.wrong.append(AssertionError(wrong))

    async def wait(self, most_s: float = 0.02) -> None:
        """Let others act."""
        await asyncio.sleep(self.random.random() * most_s)

    # The program

    async def work(self) -> None:
        """Call the steps, and go on after a pause."""
        for _ in range(self.random.randrange(1, 4)):
            order = self.random.choice(self.orders)
            await self.wait()
            with suppress(DeniedError, RunTerminated, Pause):
                if self.random.random() < 0.7:
                    await pay(order)
                else:
                    await asyncio.to_thread(pay_now, order)

    async def change(self) -> None:
        """Change arguments at any time."""
        for _ in range(self.random.randrange(3)):
            await self.wait(0.08)
            self.random.choice(self.orders)["euros"] = self.random.randrange(ORDERS + 1)

    async def pause(self, request: remit.ApprovalRequest) -> object:
        """Answer as a framework's approver: pause, and go on with an old answer, in any process."""
        order: Any = request.arguments["order"]
        for seal, answer in list(self.sealed.items()):
            if self.random.random() < 0.5:
                forget_used_seals()
            if request.matches(seal):
                await self.wait()
                return answer
        yes = self.random.random() < 0.8
        answer = remit.Approved(by="dana") if yes else remit.Refused(by="dana", why="no")
        self.yeses[order["euros"]] += yes
        self.sealed[request.seal()] = answer
        raise Pause

    async def ask_elsewhere(self, ask: dict[str, Any]) -> None:
        """Ask with the ticket of the run, as the child of a fork or a copy of a process does."""
        question = Question(
            step=ask["step"],
            words=tuple(ask["words"]),
            agent=f"shop/{__name__}:desk",
            run=ask["run"],
            arguments=msgspec.json.encode(ask["arguments"]),
            hidden=ask["hidden"],
            unbound=tuple(ask["unbound"]),
            time_limit_s=self.limit_s,
            ticket=ask["ticket"],
            changed=tuple(ask["changed"]),
        )
        client = HttpClient(self.desk.url, self.desk.secret)
        asked = ServerApprover(client, partial(AsyncHttpClient, self.desk.url, self.desk.secret))
        decision = await asked.ask(question)
        if isinstance(decision, Approved):
            self.note_yes_of(ask["arguments"]["order"]["euros"])
        asked.close()

    # The people

    async def answer(self, http: httpx.AsyncClient, ask: dict[str, Any], answer: str) -> None:
        """Answer a question, and check whether the answer may count."""
        euros, ask_id = ask["arguments"]["order"]["euros"], ask["id"]
        expired = time.time() >= datetime.fromisoformat(ask["expires_at"]).timestamp()
        late = expired or ask_id in self.counted or self.terminated
        yes = answer == "approved" and not late
        self.yeses[euros] += yes
        body = {"answer": answer, "why": "because"}
        response = await http.post(f"{ASKS}/{ask_id}/answer", json=body)
        assert response.status_code == 200, response.text
        counted = response.json()["counted"]
        self.yeses[euros] -= yes and not counted
        self.check(not (counted and late), "a late answer counted")
        self.check(not counted or ask_id not in self.counted, "two answers counted")
        if counted:
            self.counted.add(ask_id)

    async def react(self, http: tuple[httpx.AsyncClient, ...], ask: dict[str, Any]) -> None:
        """Do something about a question that waits."""
        one, other = self.random.sample(http, 2)
        kind = self.random.choice(
            ["yes", "yes", "yes", "no", "twice", "no, yes", "both", "late", "other", "elsewhere"]
        )
        await self.wait()
        if self.patient:
            await self.until(lambda: self.was_held)
        if kind == "late" and self.limit_s == SHORT_S:
            await asyncio.sleep(SHORT_S)
        if kind == "other":
            ask = self.random.choice(list(self.asks.values()))
        if kind == "elsewhere":
            copy = asyncio.create_task(self.ask_elsewhere(ask))
            await self.wait()
            await self.answer(one, ask, "approved")
            await copy
            return
        if kind == "both":
            answers = ("approved", self.random.choice(["approved", "refused"]))
            await asyncio.gather(*map(self.answer, (one, other), (ask, ask), answers))
            return
        await self.answer(one, ask, "refused" if kind.startswith("no") else "approved")
        if kind in {"twice", "no, yes"}:
            await self.wait()
            await self.answer(self.random.choice(http), ask, "approved")

    async def answer_all(self, http: tuple[httpx.AsyncClient, ...]) -> None:
        """React to what waits until the program is done."""
        while not self.done.is_set():
            query = {"status": "waiting", "run": self.key}
            listed = (await http[0].get(ASKS, params=query)).json()["asks"]
            self.asks |= {ask["id"]: ask for ask in listed}
            chosen = [ask for ask in listed if self.random.random() < 0.7]
            await asyncio.gather(*(self.react(http, ask) for ask in chosen))
            await self.wait()

    # What else happens

    async def terminate(self, operator: httpx.AsyncClient, run: Any) -> None:
        """Terminate the run as soon as the server knows it."""
        await self.wait(0.2)
        run_id = None
        while run_id is None:
            if self.done.is_set():
                return
            ids = (ask["run_id"] for ask in self.asks.values())
            run_id = next(filter(None, ids), None)
            await asyncio.sleep(0.01)
        path = f"/api/v1/agent_instance/{run_id}/terminate"
        self.terminated = (await operator.post(path, json={"reason": "enough"})).is_success
        await self.until(lambda: run._run.feed.terminated is not None)  # noqa: SLF001
        self.ended = run._run.feed.terminated is not None  # noqa: SLF001

    async def hold(self, operator: httpx.AsyncClient, runtime: Any) -> None:
        """Hold the action, and lift the hold some time after the process knows of it."""
        await self.wait(0.1)
        body = {"actions": [MONEY], "reason": "wrong prices"}
        made = (await operator.post(HOLDS, json=body)).json()["hold"]
        await self.until(lambda: runtime.recorder.holds)
        self.held = bool(runtime.recorder.holds)
        self.was_held = True
        await self.wait(0.2)
        self.held = False
        await operator.post(f"{HOLDS}/{made['id']}/lift", json={})

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until something holds, or the program is done."""
        while not (self.done.is_set() or holds()):  # noqa: ASYNC110 - no event says it
            await asyncio.sleep(0.005)

    async def kill(self, tasks: list[asyncio.Task[None]]) -> None:
        """Cut the process off, and end what it does."""
        await self.wait(0.15)
        self.desk.network.cut = self.ended = True
        for task in tasks:
            task.cancel()

    # All together

    async def live(self, runtime: Any) -> None:
        """Live until the tasks of the program have ended."""
        clients = [self.desk.client(each) for each in (*self.desk.people, self.desk.operator)]
        people, operator = (clients[0], clients[1]), clients[2]
        with desk.run() as run:
            self.key = run.key
            programs = [asyncio.create_task(self.work()) for _ in range(CALLS)]
            events: list[Coroutine[Any, Any, None]] = [self.change(), self.answer_all(people)]
            if self.killing:
                events.append(self.kill(programs))
            elif self.event == "terminate" and not self.pausing:
                events.append(self.terminate(operator, run))
            elif self.event == "hold":
                events.append(self.hold(operator, runtime))
            others = [asyncio.create_task(each) for each in events]
            ended = await asyncio.gather(*programs, return_exceptions=True)
            self.done.set()
            ended += await asyncio.gather(*others, return_exceptions=True)
        self.wrong += [each for each in ended if isinstance(each, Exception)]
        if not self.pausing:
            await self.compare(people[0])
        for client in clients:
            await client.aclose()

    async def compare(self, http: httpx.AsyncClient) -> None:
        """Check that the server knows a used yes for each body."""
        listed = (await http.get(ASKS, params={"run": self.key})).json()["asks"]
        used = Counter(
            ask["arguments"]["order"]["euros"]
            for ask in listed
            if ask["status"] == "approved" and ask["used_at"] and ask["id"] in self.counted
        )
        self.check(self.bodies <= used, f"{self.bodies} bodies, {used} used approvals")
        if not self.killing:
            waiting = [ask["status"] for ask in listed if ask["status"] == "waiting"]
            self.check(not waiting, "a question waits after the end of the run")


def lives(seed: int, served_desk: Desk) -> Interleaving:
    """Live one interleaving."""
    return asyncio.run(_lives(seed, served_desk))


async def _lives(seed: int, served_desk: Desk) -> Interleaving:
    life = Interleaving.current = Interleaving(seed, served_desk)
    settings = Settings(
        api_url=served_desk.url,
        api_token=SecretStr(served_desk.secret),
        data_dir=served_desk.folder / str(seed),
        approver=life.pause if life.pausing else "server",
        control_flow=(Pause,),
        on_violation="deny",
        project="shop",
        ask_timeout_s=life.limit_s,
        flush_interval_s=0.05,
        exit_timeout_s=0.1 if life.killing else 10,
    )
    with setup.isolated(settings) as runtime:
        await life.live(runtime)
    if life.killing:
        served_desk.network.cut = False
        await asyncio.to_thread(
            setup.send_spooled, settings, 10, OtherFiles(any_token=False), set_aside=False
        )
        async with served_desk.client(served_desk.people[0]) as http:
            listed = (await http.get(ASKS, params={"run": life.key})).json()["asks"]
            waiting = [ask for ask in listed if ask["status"] == "waiting"]
            life.check(not waiting, "a question of a killed process waits after its run was ended")
            for ask in listed:
                await life.answer(http, ask, "approved")
    if life.wrong:
        raise AssertionError(f"seed {seed}") from life.wrong[0]
    return life


@pytest.mark.gate
@pytest.mark.parametrize("store_kind", EACH_STORE)
def test_each_body_has_a_yes_of_its_own_at_the_server(
    store_kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interleavings that need each check; `REMIT_TEST_ASKS=1000` tries a thousand."""
    # The program hears of an answer after half a second otherwise.
    monkeypatch.setattr("remit.collector.api.asgi.POLL_S", 0.02)
    with empty_store(store_kind, tmp_path) as store, served(store, tmp_path) as served_desk:
        lived = [lives(seed, served_desk) for seed in SEEDS]
    assert sum(life.bodies.total() for life in lived) > len(SEEDS) // 2
