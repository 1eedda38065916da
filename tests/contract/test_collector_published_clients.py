"""The published clients of the API, unchanged, against a collector on loopback."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pytest

from remit.collector import Store, create_token, list_tokens
from tests.collecting import SCHEMA, on_a_port
from tests.inside_collector import create_app
from tests.stores import on_each_store

pytestmark = on_each_store

# Neither has type information, so that they are taken as they come.
Published: TypeAlias = Any
http: Published = importlib.import_module("prefactor_http")
models: Published = importlib.import_module("prefactor_http.models")
core: Published = importlib.import_module("prefactor_core")

VERSION = {"name": "Desk", "external_identifier": "v1"}
STARTED = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ENDED = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)


@pytest.fixture
def url(store: Store) -> Iterator[str]:
    """Return where the collector listens."""
    with on_a_port(create_app(store)) as listening:
        yield listening


def config(url: str, secret: str) -> Published:
    """Return the configuration of a published client that does not wait long."""
    return http.HttpClientConfig(
        api_url=url, api_token=secret, max_retries=1, initial_retry_delay=0.01
    )


@pytest.fixture
async def client(url: str, store: Store) -> AsyncIterator[Published]:
    """Return `prefactor-http` with an account's token."""
    async with http.PrefactorHttpClient(config(url, create_token(store, "account").secret)) as one:
        yield one


async def test_prefactor_http_records_a_run_and_reads_it_back(client: Published) -> None:
    """Register, start, spans, quality, finish, get: what went in comes out, typed."""
    agent = await client.agents.create(
        models.AgentForCreate(name="Desk", external_identifier="desk:support")
    )
    run = await client.agent_instances.register(
        agent_id=agent.id,
        agent_version=VERSION,
        agent_schema_version=SCHEMA,
        idempotency_key="reg-1",
        external_identifier="run-1",
        purpose="eval",
    )
    again = await client.agent_instances.register(
        agent_id=agent.id,
        agent_version=VERSION,
        agent_schema_version=SCHEMA,
        idempotency_key="reg-1",
        external_identifier="run-1",
        purpose="eval",
    )
    assert again == run
    assert (run.status, run.purpose, run.external_identifier) == ("pending", "eval", "run-1")

    started = await client.agent_instances.start(run.id, STARTED, "start-1")
    assert (started.status, started.started_at) == ("active", STARTED)
    root = await client.agent_spans.create(
        run.id, "desk:answer", "active", {"q": "é"}, started_at=STARTED, idempotency_key="root"
    )
    child = await client.agent_spans.create(
        run.id,
        "desk:plain",
        "complete",
        {"n": 1},
        {"r": [1, None]},
        parent_span_id=root.id,
        started_at=STARTED,
        finished_at=ENDED,
    )
    assert (child.parent_span_id, child.result_payload) == (root.id, {"r": [1, None]})
    assert (child.started_at, child.finished_at) == (STARTED, ENDED)
    done = await client.agent_spans.finish(root.id, "failed", {"error": "x"}, ENDED, "fin")
    again = await client.agent_spans.finish(root.id, "failed", {"error": "x"}, None, "fin")
    assert done == again
    assert (done.status, done.schema_title) == ("failed", "Answer")

    await client.agent_instances.record_quality(run.id, "review", {"score": 0.5})
    finished = await client.agent_instances.finish(run.id, "complete", ENDED)
    shown = await client.agent_instances.get(run.id)
    assert shown == finished
    assert shown.quality_payloads == {"review": {"score": 0.5}}
    assert (shown.span_counts.total, shown.span_counts.failed) == (2, 1)


async def test_prefactor_http_sends_in_bulk(client: Published) -> None:
    """Flat and wrapped items; the client dumps every field that it was given."""
    agent = await client.agents.create(models.AgentForCreate(name="Desk"))

    def item(kind: str, key: str, **said: Published) -> Published:
        return models.BulkItem(_type=kind, idempotency_key=key, **said)

    registered = await client.bulk.execute(
        models.BulkRequest(
            items=[
                item(
                    "agent_instances/register",
                    "register-1",
                    agent_id=agent.id,
                    agent_version=VERSION,
                    agent_schema_version=SCHEMA,
                )
            ]
        )
    )
    run_id = registered.outputs["register-1"].details["id"]
    span = {"agent_instance_id": run_id, "schema_name": "desk:answer", "status": "active"}
    spans = await client.bulk.execute(
        models.BulkRequest(
            items=[
                item("agent_instances/start", "start-001", agent_instance_id=run_id),
                item("agent_spans/create", "create-01", **span, payload={"a": 1}),
                item("agent_spans/create", "create-02", details={**span, "payload": {}}),
                item("agent_instances/show", "show-0001", agent_instance_id=run_id),
                item("agent_spans/finish", "finish-01", agent_span_id="nothing"),
                item("agents/list", "list-0001"),
            ]
        )
    )

    assert [output.status for output in spans.outputs.values()] == ["success"] * 4 + ["error"]
    assert spans.outputs["show-0001"].details["span_counts"]["active"] == 2


async def test_prefactor_http_manages_agents(client: Published) -> None:
    """Create, show, list, update, retire, reinstate, delete."""
    agent = await client.agents.create(
        models.AgentForCreate(name="Desk", external_identifier="desk")
    )

    assert await client.agents.get(agent.id) == agent
    assert (await client.agents.show(external_identifier="desk")).id == agent.id
    listed = await client.agents.list_agents(sorting="-id", page_size=100)
    assert [row.id for row in listed] == [agent.id]
    updated = await client.agents.update(agent.id, models.AgentForUpdate(name="Renamed"))
    assert updated.name == "Renamed"
    assert (await client.agents.retire(agent.id)).status == "retired"
    assert (await client.agents.reinstate(agent.id)).status == "active"
    await client.agents.delete(agent.id)
    with pytest.raises(http.PrefactorNotFoundError):
        await client.agents.get(agent.id)


async def test_prefactor_http_reads_every_refusal(client: Published, url: str) -> None:
    """It raises its own error for each, and tries none again."""
    agent = await client.agents.create(models.AgentForCreate(name="Desk"))
    run = await client.agent_instances.register(
        agent_id=agent.id, agent_version=VERSION, agent_schema_version=SCHEMA
    )
    await client.agent_instances.finish(run.id)

    with pytest.raises(http.PrefactorValidationError) as wrong:
        await client.agent_spans.create(run.id, "", "active")
    assert list(wrong.value.errors) == ["schema_name"]
    with pytest.raises(http.PrefactorNotFoundError):
        await client.agent_instances.get("nothing")
    with pytest.raises(http.PrefactorApiError) as conflict:
        await client.agent_instances.finish(run.id)
    assert conflict.value.status_code == 409
    async with http.PrefactorHttpClient(config(url, "wrong")) as stranger:
        with pytest.raises(http.PrefactorAuthError):
            await stranger.validate_token()


async def test_prefactor_http_may_send_its_key_as_a_header(client: Published) -> None:
    """Its low-level call is the only one that does."""
    asked = ("POST", "/api/v1/pfid/generate")

    one = await client.request(*asked, json_data={"count": 2}, idempotency_key="header-key")
    two = await client.request(*asked, json_data={"count": 2}, idempotency_key="header-key")

    assert len(one["details"]["pfids"]) == 2
    assert one == two


async def test_prefactor_http_hears_of_a_termination(client: Published) -> None:
    """It learns of it from the answer to a span, and when it polls."""
    agent = await client.agents.create(models.AgentForCreate(name="Desk"))
    run = await client.agent_instances.register(
        agent_id=agent.id, agent_version=VERSION, agent_schema_version=SCHEMA
    )
    await client.agent_instances.start(run.id)
    path = f"/api/v1/agent_instance/{run.id}/terminate"
    await client.request("POST", path, json_data={"reason": "too dear"})
    reasons: list[str | None] = []

    span = await client.agent_spans.create(
        run.id, "desk:answer", "active", control_signal_callback=reasons.append
    )
    await client.agent_spans.finish(span.id, control_signal_callback=reasons.append)

    assert reasons == ["too dear", "too dear"]
    polled = await client.agent_instances.get(run.id)
    assert (polled.status, polled.termination_reason) == ("terminated", "too dear")


@pytest.mark.parametrize("may", ["write", "record"])
@pytest.mark.parametrize("scope", ["account", "agent_deployment"])
async def test_prefactor_core_records_a_run(url: str, store: Store, scope: str, may: str) -> None:
    """Its workers send spans before the start is answered."""
    made = create_token(store, scope, may=may)
    agent_id = made.info.agent_id
    if agent_id is None:
        async with http.PrefactorHttpClient(config(url, made.secret)) as owner:
            agent_id = (await owner.agents.create(models.AgentForCreate(name="Desk"))).id
    named = {"agent_id": agent_id} if scope == "account" else {}

    settings = core.PrefactorCoreConfig(http_config=config(url, made.secret))
    async with core.PrefactorCoreClient(settings) as client:
        handle = await client.create_agent_instance(
            agent_version=VERSION, agent_schema_version=SCHEMA, **named
        )
        await handle.start()
        async with handle.span("desk:answer") as outer:
            await outer.start({"q": "why"})
            async with handle.span("desk:plain") as inner:
                await inner.start({"n": 1})
                await inner.fail({"error": "x"})
            async with handle.span("desk:plain") as dropped:
                await dropped.start({"n": 2})
                await dropped.cancel()
            async with handle.span("desk:plain") as unstarted:
                await unstarted.cancel()
            await outer.complete({"a": 42})
        await handle.record_quality("review", {"score": 1})
        await handle.finish("complete")

    assert len(list_tokens(store)) == 1
    reader = create_token(store, "account").secret
    async with http.PrefactorHttpClient(config(url, reader)) as client:
        run = await client.agent_instances.get(handle.id)
        query = {"agent_instance_id": handle.id}
        spans = await client.request("GET", "/api/v1/agent_spans", params=query)
    assert (run.status, run.agent_id) == ("complete", agent_id)
    assert run.quality_payloads == {"review": {"score": 1}}
    told = [(one["schema_name"], one["status"]) for one in spans["summaries"]]
    assert sorted(told) == [
        ("desk:answer", "complete"),
        ("desk:plain", "cancelled"),
        ("desk:plain", "cancelled"),
        ("desk:plain", "failed"),
    ]


async def test_many_published_clients_at_once_lose_nothing(url: str, store: Store) -> None:
    """Twenty of them, each with a run of its own."""
    made = create_token(store, "agent_deployment")

    async def one() -> str:
        async with http.PrefactorHttpClient(config(url, made.secret)) as client:
            run = await client.agent_instances.register(
                agent_version=VERSION, agent_schema_version=SCHEMA
            )
            await client.agent_instances.start(run.id)
            for _ in range(5):
                span = await client.agent_spans.create(run.id, "desk:answer", "active", {})
                await client.agent_spans.finish(span.id)
            shown = await client.agent_instances.finish(run.id)
            assert shown.span_counts.complete == 5
            return str(run.id)

    runs = await asyncio.gather(*(one() for _ in range(20)))

    assert len(set(runs)) == 20
