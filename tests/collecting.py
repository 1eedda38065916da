"""A collector to ask: the app behind a client, with its agents, runs and spans at hand."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from uuid import uuid4

from starlette.types import ASGIApp

from remit.collector import Settings, Store, create_token
from tests.asgi import AsgiTransport
from tests.inside import Clock, SystemClock, httpx, new_partition
from tests.inside_collector import (
    AccountRow,
    EnvironmentRow,
    IdSource,
    Server,
    ServerOptions,
    TokenRow,
    create_app,
    listen,
)

Json: TypeAlias = Any
URL: Final = "http://collector.test"
NOBODY: Final = "013xrzp12g3nqk8nzzzzzzzzzzzzzzzz"
"""An id that nothing has."""
FINISHED: Final = ("complete", "failed", "cancelled")

SCHEMA: Final[dict[str, Json]] = {
    "external_identifier": "schema-1",
    "span_type_schemas": [
        {"name": "desk:answer", "title": "Answer", "params_schema": {"type": "object"}},
        {"name": "desk:plain", "params_schema": {}},
    ],
}


def details(response: httpx.Response) -> dict[str, Json]:
    """Return what a success is about."""
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["status"] == "success", answer
    found: dict[str, Json] = answer["details"]
    return found


def refusal(response: httpx.Response, status: int) -> dict[str, Json]:
    """Return the envelope of a refusal with this status."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    answer: dict[str, Json] = response.json()
    assert answer["status"] == "error"
    assert isinstance(answer["code"], str)
    assert isinstance(answer["message"], str)
    return answer


@dataclass
class Api:
    """One token's view of a collector.

    Attributes:
        http: Where requests go.
        agent_id: The agent of which runs are registered; None under a deployment's token.
    """

    http: httpx.Client
    agent_id: str | None = None

    def get(self, path: str, **query: Json) -> httpx.Response:
        """Read something."""
        return self.http.get(f"/api/v1{path}", params=query)

    def post(self, path: str, body: Json = None, **more: Json) -> httpx.Response:
        """Do something; without a body the request has none."""
        sent = {} if body is None else {"json": body}
        return self.http.post(f"/api/v1{path}", **sent, **more)

    def put(self, path: str, body: Json) -> httpx.Response:
        """Replace something."""
        return self.http.put(f"/api/v1{path}", json=body)

    def registration(self, **more: Json) -> dict[str, Json]:
        """Return the body of a registration."""
        named = {} if self.agent_id is None else {"agent_id": self.agent_id}
        return {
            "agent_version": {"external_identifier": "v1", "name": "One"},
            "agent_schema_version": SCHEMA,
            **named,
            **more,
        }

    def instance(self, status: str = "active", **more: Json) -> dict[str, Json]:
        """Return a new instance that stands at *status*."""
        made = details(self.post("/agent_instance/register", self.registration(**more)))
        path = f"/agent_instance/{made['id']}"
        if status not in {"pending", "cancelled"}:
            made = details(self.post(f"{path}/start", {}))
        if status in FINISHED:
            made = details(self.post(f"{path}/finish", {"status": status}))
        if status == "terminated":
            made = details(self.post(f"{path}/terminate", {"reason": "enough"}))
        assert made["status"] == status
        return made

    def span_body(self, instance_id: str, **more: Json) -> dict[str, Json]:
        """Return the body of a span's creation."""
        return {
            "details": {
                "agent_instance_id": instance_id,
                "schema_name": "desk:answer",
                "status": "active",
                "payload": {"question": "why"},
                **more,
            }
        }

    def span(self, instance_id: str, **more: Json) -> dict[str, Json]:
        """Return a new span."""
        return details(self.post("/agent_spans", self.span_body(instance_id, **more)))

    def bulk(self, *items: dict[str, Json]) -> dict[str, Json]:
        """Carry out *items*, each with a key of its own unless it has one; return the outputs."""
        keyed = [{"idempotency_key": f"item-{uuid4().hex}", **item} for item in items]
        response = self.post("/bulk", {"items": keyed})
        assert response.status_code == 200, response.text
        outputs: dict[str, Json] = response.json()["outputs"]
        return outputs

    def shown(self, instance_id: str) -> dict[str, Json]:
        """Return an instance as it stands."""
        return details(self.get(f"/agent_instance/{instance_id}"))

    def spans(self, instance_id: str) -> list[dict[str, Json]]:
        """Return the spans of an instance, at most a page."""
        response = self.get("/agent_spans", agent_instance_id=instance_id)
        assert response.status_code == 200, response.text
        found: list[dict[str, Json]] = response.json()["summaries"]
        return found


class World:
    """A collector over a store, and those who ask it."""

    def __init__(
        self, store: Store, *, clock: Clock | None = None, settings: Settings | None = None
    ) -> None:
        """Open the app over *store*."""
        self.store = store
        self.clock = clock or SystemClock()
        self.app: ASGIApp = create_app(store, settings=settings, clock=self.clock)

    def http(self, secret: str | None) -> httpx.Client:
        """Return a client that carries the token *secret*."""
        headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        return httpx.Client(transport=AsgiTransport(self.app), base_url=URL, headers=headers)

    def account(self) -> Api:
        """Return the view of an account's token, with an agent."""
        http = self.http(create_token(self.store, "account", clock=self.clock).secret)
        body = {"details": {"name": "Desk"}}
        return Api(http, details(http.post("/api/v1/agent", json=body))["id"])

    def foreign(self) -> Api:
        """Return the view of another account's token; the tools make one account only."""
        ids = IdSource(self.clock)
        partition = new_partition()
        account, environment, token = (ids.new(partition) for _ in range(3))
        with self.store.writing() as tx:
            tx.add(AccountRow(account, "other", 0, 0))
            tx.add(EnvironmentRow(environment, account, "other", 0, 0))
            hashed = hashlib.sha256(token.encode()).digest()
            unbound = (None, None, None)
            tx.add(TokenRow(token, account, "account", *unbound, hashed, "active", None, 0, 0))
        http = self.http(token)
        body = {"details": {"name": "Foreign"}}
        return Api(http, details(http.post("/api/v1/agent", json=body))["id"])

    def deployment(self, agent: str = "desk") -> Api:
        """Return the view of a deployment's token."""
        made = create_token(self.store, "agent_deployment", agent=agent, clock=self.clock)
        return Api(self.http(made.secret))

    def deployed(self, api: Api, environment_id: str) -> tuple[Api, str]:
        """Return the view of a new token for the agent of *api* in an environment, and its id."""
        named = {"agent_id": api.agent_id, "environment_id": environment_id}
        body = {"details": {"token_scope": "agent_deployment", **named}}
        answer = api.post("/api_token", body)
        return Api(self.http(answer.json()["token"])), details(answer)["id"]


@contextmanager
def on_a_port(
    app: ASGIApp, *, settings: Settings | None = None, options: ServerOptions | None = None
) -> Generator[str]:
    """Serve *app* on a free port of loopback, on a thread; yield the URL."""
    ready = threading.Event()
    with listen("127.0.0.1", 0) as listener:
        server = Server(
            app, listener, settings=settings, options=options, on_start=lambda _: ready.set()
        )
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            assert ready.wait(60)
            yield server.url
        finally:
            server.stop()
            thread.join(60)
            assert not thread.is_alive()
