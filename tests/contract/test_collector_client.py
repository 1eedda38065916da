"""remit's own client against the collector: every call, typed, and every refusal as its error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from remit.client import AsyncClient, Client
from remit.collector import Store, create_token
from remit.errors import NotFoundError, RejectedError, UnauthorizedError
from tests.asgi import AsgiTransport
from tests.collecting import NOBODY, SCHEMA, URL, World
from tests.inside import CLIENT_ENDPOINTS, httpx
from tests.inside_collector import ENDPOINTS

VERSION = {"external_identifier": "v1"}
AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.fixture
def client(world: World, store: Store) -> Iterator[Client]:
    """Return a client with an account's token."""
    secret = create_token(store, "account").secret
    with Client(URL, secret, transport=AsgiTransport(world.app)) as one:
        yield one


def run_of(client: Client) -> str:
    """Return the id of a new run of a new agent."""
    agent = client.agents.create(name="Desk")
    made = client.agent_instances.register(
        agent_id=agent.id, agent_version=VERSION, agent_schema_version=SCHEMA
    )
    return made.id


def test_a_run_from_registration_to_the_list(client: Client) -> None:
    """What went in is what comes out."""
    run_id = run_of(client)
    instances, spans = client.agent_instances, client.agent_spans

    assert instances.start(run_id, timestamp=AT).started_at == AT
    root = spans.create(
        agent_instance_id=run_id,
        schema_name="desk:answer",
        status="active",
        payload={"q": 1},
        started_at=AT,
    )
    done = spans.finish(root.id, status="failed", result_payload={"e": 1}, timestamp=AT)
    assert (done.status, done.finished_at) == ("failed", AT)
    assert instances.record_quality(run_id, name="review", payload={"s": 1}).quality_payloads == {
        "review": {"s": 1}
    }
    assert instances.finish(run_id, status="failed", timestamp=AT).finished_at == AT
    shown = instances.get(run_id)
    assert shown.span_counts is not None
    assert shown.span_counts.failed == 1
    assert [row.id for row in instances.list(agent_id=shown.agent_id).summaries] == [run_id]
    (listed,) = spans.list(agent_instance_id=run_id, start_time=AT, sorting="-id").summaries
    assert listed.model_dump() == done.model_dump(exclude={"control"})


def test_a_termination_reaches_the_client(client: Client) -> None:
    """It comes with the next span."""
    run_id = run_of(client)
    client.agent_instances.start(run_id)
    client.agent_instances.terminate(run_id, reason="too dear")

    span = client.agent_spans.create(
        agent_instance_id=run_id, schema_name="desk:answer", status="complete"
    )

    assert span.control is not None
    assert (span.control.terminate, span.control.reason) == (True, "too dear")


def test_bulk_ping_and_agents(client: Client) -> None:
    """The rest of the endpoints."""
    agent = client.agents.create(name="Desk", external_identifier="desk")
    item = {"_type": "agents/show", "idempotency_key": "show-0001", "agent_id": agent.id}

    outputs = client.bulk.execute([item]).outputs

    assert outputs["show-0001"].details["name"] == "Desk"
    assert client.agents.show(external_identifier="desk").id == agent.id
    assert (client.ping().details or {})["token_scope"] == "account"


def test_a_refusal_is_the_error_that_names_the_reaction(world: World, client: Client) -> None:
    """Sending it again, mending the id, mending the token."""
    run_id = run_of(client)
    client.agent_instances.finish(run_id)

    with pytest.raises(RejectedError) as conflict:
        client.agent_instances.finish(run_id)
    with pytest.raises(RejectedError) as wrong:
        client.agents.create(name="")
    with pytest.raises(NotFoundError):
        client.agent_instances.get(NOBODY)
    with (
        Client(URL, "wrong", transport=AsgiTransport(world.app)) as stranger,
        pytest.raises(UnauthorizedError),
    ):
        stranger.ping()
    assert (conflict.value.status, conflict.value.code) == (409, "invalid_action")
    assert list(wrong.value.errors) == ["name"]


async def test_the_asynchronous_client_does_the_same(world: World, store: Store) -> None:
    """Many at once."""
    secret = create_token(store, "agent_deployment").secret
    transport = httpx.ASGITransport(world.app)
    async with AsyncClient(URL, secret, transport=transport) as client:

        async def one() -> str:
            made = await client.agent_instances.register(
                agent_version=VERSION, agent_schema_version=SCHEMA
            )
            await client.agent_instances.start(made.id)
            return (await client.agent_instances.finish(made.id)).status

        assert await asyncio.gather(*(one() for _ in range(10))) == ["complete"] * 10


def test_the_collector_serves_every_route_of_the_client() -> None:
    """Under the name, with the body and with the id that the client sends."""
    served = {
        (row.operation, row.method, row.path, row.body, row.wrapped, row.id_field)
        for row in ENDPOINTS
    }
    for route in (endpoint.route for endpoint in CLIENT_ENDPOINTS):
        assert (*route[:3], route.body, route.wrapped, route.id_field) in served
