"""`configure(approver="server")`: a step waits for a person at remit's server, end to end."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import SecretStr
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

import remit
from remit.collector import Store, create_token
from remit.config import Settings
from remit.errors import DeniedError
from tests.collecting import on_a_port
from tests.inside import forget_used_seals, httpx, setup
from tests.inside_collector import ThreadExecutor, create_app
from tests.processes import wait_until
from tests.stores import EACH_STORE

ASKS: Final = "/api/remit/v1/asks"
UNKNOWN_PATH: Final = {"status": "error", "code": "not_found", "message": "there is no such path"}
PAID: list[tuple[str, float]] = []


@remit.span_type(
    name="served_till:refund",
    data_risk=remit.risk(allows="financial_transactions", forbids="others"),
)
async def refund(
    order: str, amount: float, api_key: str = "none", via: list[dict[str, str]] | None = None
) -> str:
    """Pay back."""
    del api_key, via
    PAID.append((order, amount))
    return "paid"


@remit.span_type(
    name="served_till:refund_cart",
    data_risk=remit.risk(allows="financial_transactions", forbids="others"),
)
async def refund_cart(cart: dict[str, float], note: str) -> None:
    """Pay back what the cart holds."""
    PAID.append((note, cart["amount"]))


@remit.agent("Served till", data_risk=remit.risk(asks="financial_transactions"))
async def till(work: Any) -> object:
    """Do the work."""
    return await work()


class Person:
    """A person who answers at the server with a token of their own."""

    def __init__(self, url: str, secret: str) -> None:
        """Sign in."""
        headers = {"Authorization": f"Bearer {secret}"}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=60)

    def waiting(self) -> list[dict[str, Any]]:
        """Return what waits for an answer."""
        found: list[dict[str, Any]] = self.http.get(ASKS, params={"status": "waiting"}).json()[
            "asks"
        ]
        return found

    def answer(self, answer: str = "approved", why: str | None = None) -> dict[str, Any]:
        """Answer the one request that waits, and return it."""
        wait_until(lambda: len(self.waiting()) == 1)
        (ask,) = self.waiting()
        body = {"answer": answer, "why": why}
        self.http.post(f"{ASKS}/{ask['id']}/answer", json=body).raise_for_status()
        shown: dict[str, Any] = self.http.get(f"{ASKS}/{ask['id']}").json()["details"]
        return shown


@pytest.mark.parametrize("store_kind", EACH_STORE)
def test_a_refund_is_asked_at_the_server(store: Store, tmp_path: Path) -> None:
    """A yes lets it run once; changed arguments are asked again; a no gives its reason."""
    PAID.clear()
    secret = create_token(store, "account", may="record", name="program").secret
    ben = create_token(store, "account", may="approve,read", name="ben").secret
    executor = ThreadExecutor(store.writes_at_once, store.reads_at_once)
    app = create_app(store, executor=executor)
    with on_a_port(app) as url, ThreadPoolExecutor() as pool:
        settings = Settings(
            api_url=url,
            api_token=SecretStr(secret),
            data_dir=tmp_path,
            approver="server",
            on_violation="deny",
            project="shop",
        )
        person = Person(url, ben)
        with setup.isolated(settings) as runtime:
            cart = {"amount": 20.0}
            via = [{"password": "hunter-2"}]
            ran = pool.submit(asyncio.run, till(lambda: refund("1021", 12.5, "sk-live-1", via)))
            shown = person.answer()
            assert shown["agent"]["name"] in {"Served till", f"shop/{__name__}:till"}
            assert shown["words"] == ["financial_transactions"]
            assert shown["arguments"]["amount"] == 12.5
            assert list(shown["hidden"]) == ["api_key", "via[0].password"]
            assert "sk-live-1" not in str(shown)
            assert "hunter-2" not in str(shown)
            assert ran.result(60) == "paid"

            ran = pool.submit(asyncio.run, till(lambda: refund_cart(cart, "gift")))
            wait_until(lambda: len(person.waiting()) == 1)
            cart["amount"] = 2000.0
            first = person.answer()
            second = person.answer("refused", "too much")
            assert (second["after"], second["changed"]) == (first["id"], ["cart"])
            with pytest.raises(DeniedError, match="too much") as raised:
                ran.result(60)
            assert raised.value.refused_by == "ben"
            assert "too much" in raised.value.for_model()
            assert runtime.flush(60)
        assert PAID == [("1021", 12.5)]
        person.http.close()
    executor.close()


@remit.span_type(
    name="served_till:refund_now",
    data_risk=remit.risk(allows="financial_transactions", forbids="others"),
)
def refund_now() -> None:
    """Pay back, in a plain function."""
    PAID.append(("now", 1.0))


async def pay_in_a_thread() -> None:
    """Call a plain step, which asks from a thread."""
    await asyncio.to_thread(refund_now)


@pytest.mark.parametrize("store_kind", EACH_STORE)
@pytest.mark.parametrize("work", [lambda: refund("1021", 12.5), pay_in_a_thread])
def test_a_request_that_gets_no_answer_expires(work: Any, store: Store, tmp_path: Path) -> None:
    """The server and the record say that, of plain and of coroutine steps."""
    PAID.clear()
    secret = create_token(store, "account", may="record,read", name="program").secret
    executor = ThreadExecutor(store.writes_at_once, store.reads_at_once)
    with on_a_port(create_app(store, executor=executor)) as url:
        settings = Settings(
            api_url=url,
            api_token=SecretStr(secret),
            data_dir=tmp_path,
            approver="server",
            on_violation="deny",
            ask_timeout_s=1.0,
        )
        with setup.isolated(settings) as runtime:
            with pytest.raises(DeniedError, match=r"no answer came within 1 seconds"):
                asyncio.run(till(work))
            assert runtime.flush(60)
        person = Person(url, secret)
        (ask,) = person.http.get(ASKS).json()["asks"]
        of_run = {"agent_instance_id": ask["run_id"], "include_summaries": "true"}
        spans = person.http.get("/api/v1/agent_spans", params=of_run).json()
        person.http.close()
    executor.close()
    assert ask["status"] == "expired"
    assert '"decision":"expired"' in json.dumps(spans, separators=(",", ":"))
    assert not PAID


class Pause(Exception):  # noqa: N818 - as frameworks call theirs
    """How a framework pauses."""


class Framework:
    """Pauses for a question, and goes on with its old answers."""

    def __init__(self) -> None:
        """Ask nothing yet."""
        self.seal = ""

    def __call__(self, request: remit.ApprovalRequest) -> remit.Approved:
        """Return the answer of a person, or pause until there is one."""
        if self.seal and request.matches(self.seal):
            return remit.Approved(by="dana")
        self.seal = request.seal()
        raise Pause

    def go_on(self, settings: Settings) -> None:
        """Run the step in another process."""
        forget_used_seals()
        settings = settings.model_copy(update={"approver": self, "control_flow": (Pause,)})
        with setup.isolated(settings):
            asyncio.run(till(lambda: refund("1021", 1.0)))


@pytest.mark.parametrize("store_kind", EACH_STORE)
def test_a_seal_is_used_once_in_all_processes(store: Store, tmp_path: Path) -> None:
    """A framework that goes on with its old answers, in another process, is refused."""
    PAID.clear()
    secret = create_token(store, "account", may="record", name="program").secret
    executor = ThreadExecutor(store.writes_at_once, store.reads_at_once)
    framework = Framework()
    settings = Settings(api_token=SecretStr(secret), data_dir=tmp_path, on_violation="deny")
    with on_a_port(create_app(store, executor=executor)) as url:
        settings = settings.model_copy(update={"api_url": url})
        with pytest.raises(Pause):
            framework.go_on(settings)
        framework.go_on(settings)
        with pytest.raises(DeniedError, match="answered before") as raised:
            framework.go_on(settings)
        assert raised.value.refused_by is None
    executor.close()
    with pytest.raises(DeniedError, match="could not be checked at the server"):
        framework.go_on(settings.model_copy(update={"exit_timeout_s": 0.1, "ask_timeout_s": 0.5}))
    assert PAID == [("1021", 1.0)]


def test_a_server_that_keeps_no_seals_lets_them_be_used(tmp_path: Path) -> None:
    """A seal can be used once in each process, as without a server."""
    PAID.clear()
    framework = Framework()
    settings = Settings(
        api_url="http://other.test",
        api_token=SecretStr("token"),
        data_dir=tmp_path,
        on_violation="deny",
        exit_timeout_s=0.1,
        transport=httpx.MockTransport(other_server),
    )
    with pytest.raises(Pause):
        framework.go_on(settings)
    framework.go_on(settings)
    framework.go_on(settings)
    assert len(PAID) == 2


def other_server(_: httpx.Request) -> httpx.Response:
    """Answer as a server of Prefactor's API answers an unknown path."""
    return httpx.Response(404, json=UNKNOWN_PATH)


@pytest.mark.parametrize("knows_asks", [True, False], ids=["remit", "another"])
def test_a_server_without_asks_is_said_at_the_first_contact(
    knows_asks: bool, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In one log line and in the status, before a step asks; a step that asks is denied."""
    secret = create_token(store, "account", may="record", name="program").secret
    executor = ThreadExecutor(store.writes_at_once, store.reads_at_once)
    app = create_app(store, executor=executor)

    async def without_asks(scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as a server that does not know the paths."""
        unknown = scope.get("path", "").startswith(ASKS)
        await (JSONResponse(UNKNOWN_PATH, 404) if unknown else app)(scope, receive, send)

    settings = Settings(
        api_token=SecretStr(secret), data_dir=tmp_path, approver="server", on_violation="deny"
    )
    with (
        on_a_port(app if knows_asks else without_asks) as url,
        setup.isolated(settings.model_copy(update={"api_url": url})) as runtime,
    ):
        for _ in range(2):
            with till.run():
                pass
            assert runtime.flush(60)
        wait_until(lambda: knows_asks or runtime.status().approver is not None)
        status = runtime.status()
        if not knows_asks:
            with pytest.raises(DeniedError, match="does not take requests for approval"):
                asyncio.run(till(lambda: refund("1021", 1.0)))
        assert runtime.flush(60)
    executor.close()
    said = [each.getMessage() for each in caplog.records if "approver='server'" in each.message]
    if knows_asks:
        assert (status.approver, said) == (None, [])
    else:
        assert status.approver == "the server does not take requests for approval"
        assert f"are denied: {status.approver}" in str(status)
        (line,) = said
        assert status.approver in line


def test_without_a_server_the_step_is_denied() -> None:
    """Mode `off` has nobody to ask."""
    with (
        setup.isolated(Settings(mode="off", approver="server", on_violation="deny")),
        pytest.raises(DeniedError, match="needs a server of remit"),
    ):
        asyncio.run(till(lambda: refund("1021", 1.0)))


def test_the_collector_in_the_process_asks_too(tmp_path: Path) -> None:
    """A person answers with `remit asks approve --db`, or on the page of the same file."""
    PAID.clear()
    settings = Settings(
        mode="local", data_dir=tmp_path, approver="server", on_violation="deny", ask_timeout_s=0.5
    )
    with setup.isolated(settings), pytest.raises(DeniedError, match="no answer came"):
        asyncio.run(till(lambda: refund("1021", 1.0)))
    assert not PAID
