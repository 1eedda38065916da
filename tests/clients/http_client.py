"""Everything that `prefactor-http` can do, whatever its release: what it has, it uses.

Runs in an environment of its own, with nothing of remit. Prints one JSON object a line: a request
to terminate a run, which its starter carries out and answers with a line, and at the end the story:
what it did, what it was told, what it read.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import sys
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any, TypeAlias

# It has no type information, so that it is taken as it comes.
Published: TypeAlias = Any
http: Published = importlib.import_module("prefactor_http")

URL, TOKEN, AGENT = (os.environ[f"CLIENT_{name}"] for name in ("URL", "TOKEN", "AGENT"))
STARTED = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ENDED = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
NAIVE = datetime(2026, 1, 2, 3, 4, 7)  # noqa: DTZ001 - as users have them; sent without a zone
NOWHERE = "7d3f3b0c-4f0e-4a39-9a56-3f2f7a9c1c55"
VERSION = {"name": "Stranger", "external_identifier": "v1", "description": "From elsewhere"}
SCHEMA = {
    "external_identifier": "http-1",
    "span_type_schemas": [
        {"name": "desk:answer", "title": "Answer", "params_schema": {"type": "object"}},
        {"name": "desk:step", "params_schema": {"type": "object"}, "result_schema": {}},
    ],
}
QUALITIES = [
    {"name": "review", "schema": {"type": "object"}, "template": "scored {{ score }}"},
    {"name": "mood", "schema": {"type": "object"}},
]
PAGE = 3


def key(name: str) -> str:
    """Return a key that no other program in the account has."""
    return f"{name}/{AGENT[-12:]}"


def tell(**event: object) -> None:
    """Print one object."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


class Story:
    """What was done through one client.

    Attributes:
        runs: What each run has to look like, by its id.
        spans: The same of the spans.
        agents: The same of the agents; None when it was deleted.
        twice: Ids of the answers to one request that was sent twice.
        refused: Status and code of each refusal.
        heard: Reasons of terminations, and from where.
        lists: Ids as lists had them.
        bulk: Status of each output, or its code.
        features: What this release has of what not all have.
    """

    def __init__(self, client: Published) -> None:
        """Begin with nothing done."""
        self.client = client
        self.runs: dict[str, dict[str, Any]] = {}
        self.spans: dict[str, dict[str, Any]] = {}
        self.agents: dict[str, dict[str, Any] | None] = {}
        self.twice: list[list[str]] = []
        self.refused: dict[str, list[Any]] = {}
        self.heard: list[list[str | None]] = []
        self.lists: dict[str, list[str]] = {}
        self.bulk: list[list[str]] = []
        self.registering = inspect.signature(client.agent_instances.register).parameters
        creating = inspect.signature(client.agent_spans.create).parameters
        self.hears = "control_signal_callback" in creating
        self.features = [
            *(name for name in ("purpose", "external_identifier") if name in self.registering),
            *(["control"] if self.hears else []),
            *(["quality"] if hasattr(client.agent_instances, "record_quality") else []),
            *(["polling"] if hasattr(client.agent_instances, "get") else []),
            *(["agents"] if hasattr(client, "agents") else []),
            *(["bulk"] if hasattr(client, "bulk") else []),
            *(["ping"] if hasattr(client, "validate_token") else []),
        ]
        more = {"quality_schemas": QUALITIES} if "quality" in self.features else {}
        self.schema = {**SCHEMA, **more}

    async def run(self, name: str | None = None, **said: Published) -> str:
        """Register a run; it is expected to look like *said*."""
        known = {name: value for name, value in said.items() if name in self.registering}
        run = await self.client.agent_instances.register(
            agent_id=AGENT,
            agent_version=VERSION,
            agent_schema_version=self.schema,
            idempotency_key=None if name is None else key(name),
            **known,
        )
        assert run.status == "pending"
        self.runs.setdefault(run.id, {"agent_id": AGENT, "status": "pending", **known})
        return str(run.id)

    async def span(self, run: str, name: str, status: str, **said: Published) -> str:
        """Create a span; it is expected to look like *said*."""
        sent = dict(said)
        named = sent.pop("key", None)
        if self.hears:
            sent["control_signal_callback"] = lambda reason: self.heard.append(["create", reason])
        span = await self.client.agent_spans.create(
            run, name, status, idempotency_key=named, **sent
        )
        expected = {"agent_instance_id": run, "schema_name": name, "status": status, **said}
        expected.pop("key", None)
        self.spans.setdefault(span.id, expected)
        return str(span.id)

    async def finish(self, span: str, status: str | None = None, **said: Published) -> None:
        """Finish a span."""
        sent = dict(said)
        ended = sent.pop("finished_at", None)
        if self.hears:
            sent["control_signal_callback"] = lambda reason: self.heard.append(["finish", reason])
        done = await self.client.agent_spans.finish(span, status, timestamp=ended, **sent)
        assert done.id == span
        sent.pop("control_signal_callback", None)
        sent.pop("idempotency_key", None)
        times = {} if ended is None else {"finished_at": ended}
        self.spans[span].update(status=status or "complete", **sent, **times)

    async def refusal(self, what: str, call: Awaitable[object]) -> None:
        """Note how the collector refuses *call*."""
        try:
            await call
        except http.PrefactorApiError as error:
            self.refused[what] = [type(error).__name__, error.status_code, error.code]
        else:
            self.refused[what] = ["accepted"]

    async def all_of(self, path: str, **query: Published) -> list[str]:
        """Return the ids of a list, read page by page."""
        found: list[str] = []
        offset: int | None = 0
        while offset is not None:
            paging = {"pagination[offset]": offset, "pagination[page_size]": PAGE}
            answer = await self.client.request("GET", path, params={**query, **paging})
            found += [row["id"] for row in answer["summaries"]]
            assert len(answer["summaries"]) <= PAGE
            offset = answer["pagination"]["next_page_offset"]
        return found

    def told(self) -> dict[str, Any]:
        """Return the story as it is printed."""
        parts = (
            *("runs", "spans", "agents", "twice", "refused"),
            *("heard", "lists", "bulk", "features"),
        )
        return {part: getattr(self, part) for part in parts}


async def record(story: Story) -> None:
    """Record a run from its registration to its end, each step as it is meant to be."""
    more = {"purpose": "eval", "external_identifier": "stranger-1"}
    run = await story.run("register", **more)
    story.twice.append([run, await story.run("register", **more)])
    instances = story.client.agent_instances
    await instances.start(run, STARTED, key("start"))
    await instances.start(run, STARTED, key("start"))
    said = {"payload": {"q": "é ☃", "n": 2**53}, "started_at": STARTED, "key": key("root")}
    root = await story.span(run, "desk:answer", "active", **said)
    story.twice.append([root, await story.span(run, "desk:answer", "active", **said)])
    await story.span(
        run,
        "desk:step",
        "complete",
        payload={"deep": [{"a": None}, 1.5]},
        result_payload={"r": [1, None, True]},
        parent_span_id=root,
        started_at=STARTED,
        finished_at=ENDED,
    )
    failing = await story.span(run, "desk:step", "active", parent_span_id=root, started_at=NAIVE)
    await story.finish(failing, "failed", result_payload={"error": "x"}, finished_at=ENDED)
    dropped = await story.span(run, "desk:step", "active", parent_span_id=root)
    await story.finish(dropped, "cancelled")
    unstarted = await story.span(run, "desk:step", "pending")
    await story.finish(unstarted, "cancelled")
    await story.span(run, "stranger:undeclared", "active", parent_span_id=NOWHERE)
    at_once = await asyncio.gather(
        *(story.span(run, "desk:step", "complete", key=key("at once")) for _ in range(2))
    )
    story.twice.append(list(at_once))
    await story.finish(
        root, idempotency_key=key("end"), result_payload={"a": 42}, finished_at=ENDED
    )
    await story.finish(
        root, idempotency_key=key("end"), result_payload={"a": 42}, finished_at=ENDED
    )
    await story.refusal("a span's second end", story.client.agent_spans.finish(root))
    if "quality" in story.features:
        await instances.record_quality(run, "review", {"score": 0.5})
        await instances.record_quality(run, "mood", {"good": True})
        await instances.record_quality(run, "undeclared", {"n": 1})
        await instances.record_quality(run, "dropped", {"n": 2})
        await instances.record_quality(run, "dropped", None)
        kept = {"review": {"score": 0.5}, "mood": {"good": True}, "undeclared": {"n": 1}}
        story.runs[run]["quality_payloads"] = kept
        story.runs[run]["quality_summaries"] = {"review": "scored 0.5"}
    await instances.finish(run, "failed", ENDED, key("finish"))
    story.runs[run].update(status="failed", started_at=STARTED, finished_at=ENDED)
    await story.refusal("a run's second end", instances.finish(run))
    spans = {"path": "/api/v1/agent_spans", "agent_instance_id": run}
    story.lists[f"{run} asc"] = await story.all_of(**spans)
    story.lists[f"{run} desc"] = await story.all_of(**spans, sorting="-id")


async def record_in_odd_orders(story: Story) -> None:
    """Do what workers that overtake each other do."""
    instances = story.client.agent_instances
    run = await story.run(purpose="smoke_test")
    early = await story.span(run, "desk:answer", "active")
    await instances.start(run)
    await instances.finish(run)
    await story.finish(early)
    await story.span(run, "desk:step", "complete", parent_span_id=early)
    story.runs[run]["status"] = "complete"
    overtaken = await story.run()
    await instances.finish(overtaken)
    await instances.start(overtaken)
    story.runs[overtaken]["status"] = "complete"
    given_up = await story.run()
    await instances.finish(given_up, "cancelled", ENDED)
    story.runs[given_up].update(status="cancelled", started_at=ENDED, finished_at=ENDED)


async def be_terminated(story: Story) -> None:
    """Go on after someone pulled the plug, hear of it, and stop."""
    instances = story.client.agent_instances
    run = await story.run()
    await instances.start(run)
    before = await story.span(run, "desk:answer", "active")
    assert story.heard == []
    tell(terminate=run, reason="too dear")
    sys.stdin.readline()
    after = await story.span(run, "desk:step", "active", parent_span_id=before)
    await story.finish(after)
    await story.finish(before, "cancelled")
    if "polling" in story.features:
        polled = await instances.get(run)
        story.heard.append([polled.status, polled.termination_reason])
    await story.refusal("a terminated run's end", instances.finish(run))
    story.runs[run].update(status="terminated", termination_reason="too dear")


async def send_in_bulk(story: Story) -> None:
    """Send flat and wrapped items; the first error stops the request."""

    async def bulk(*items: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
        made = [
            http.BulkItem(_type=kind, idempotency_key=key(name), **more)
            for kind, name, more in items
        ]
        answer = await story.client.bulk.execute(http.BulkRequest(items=made))
        outputs = {
            name.partition("/")[0]: output.model_dump() for name, output in answer.outputs.items()
        }
        story.bulk += [[name, each.get("code", each["status"])] for name, each in outputs.items()]
        return outputs

    registration = {"agent_id": AGENT, "agent_version": VERSION, "agent_schema_version": SCHEMA}
    made = await bulk(("agent_instances/register", "register-bulk", registration))
    run = made["register-bulk"]["details"]["id"]
    flat = {"agent_instance_id": run, "schema_name": "desk:step", "status": "active"}
    wrapped = {**flat, "status": "complete", "payload": {"n": 1}, "result_payload": {"n": 2}}
    made = await bulk(
        ("agent_instances/start", "start-bulk", {"agent_instance_id": run}),
        ("agent_spans/create", "create-flat", {**flat, "payload": {"n": 0}}),
        ("agent_spans/create", "create-wrapped", {"details": wrapped}),
    )
    first, second = (made[f"create-{form}"]["details"]["id"] for form in ("flat", "wrapped"))
    story.spans[first] = {**flat, "status": "failed", "payload": {"n": 0}}
    story.spans[second] = wrapped
    end = {"agent_span_id": first, "status": "failed"}
    await bulk(
        ("agent_spans/finish", "end-bulk", end),
        ("agent_spans/finish", "end-bulk-again", end),
        ("agent_spans/create", "never-reached", flat),
    )
    made = await bulk(
        ("agent_spans/list", "list-bulk", {"agent_instance_id": run}),
        ("agent_instances/show", "show-bulk", {"agent_instance_id": run}),
        ("agent_instances/finish", "finish-bulk", {"agent_instance_id": run}),
    )
    story.lists[f"{run} asc"] = [row["id"] for row in made["list-bulk"]["summaries"]]
    assert made["show-bulk"]["details"]["status"] == "active"
    story.runs[run] = {"agent_id": AGENT, "status": "complete"}


async def manage_agents(story: Story) -> None:
    """Make agents, find, list, change, retire and delete them."""
    models: Published = importlib.import_module("prefactor_http.models")
    agents = story.client.agents
    names = ("Stranger C", "Stranger A", "Stranger B")
    made = [
        await agents.create(models.AgentForCreate(name=name, external_identifier=f"of {name}"))
        for name in names
    ]
    third, first, second = made
    assert (await agents.show(external_identifier="of Stranger A")).id == first.id
    assert (await agents.get(second.id)).name == "Stranger B"
    for sorting in ("name", "-name"):
        rows = await agents.list_agents(sorting=sorting, page_size=100)
        story.lists[f"agents {sorting}"] = [row.name for row in rows if row.name in names]
    await agents.update(first.id, models.AgentForUpdate(name="Stranger D", description="New"))
    await agents.retire(second.id)
    await agents.retire(third.id)
    await agents.reinstate(third.id)
    doomed = await agents.create(models.AgentForCreate(name="Doomed"))
    await agents.delete(doomed.id)
    story.agents = {
        first.id: {"name": "Stranger D", "description": "New"},
        second.id: {"name": "Stranger B", "status": "retired"},
        third.id: {"name": "Stranger C", "status": "active"},
        doomed.id: None,
    }


async def be_refused(story: Story) -> None:
    """Make mistakes."""
    run = await story.run()
    instances, spans = story.client.agent_instances, story.client.agent_spans
    await story.refusal("an unknown run's start", instances.start("nothing"))
    await story.refusal("a span without a name", spans.create(run, "", "active"))
    config = http.HttpClientConfig(api_url=URL, api_token="wrong", max_retries=0)
    async with http.PrefactorHttpClient(config) as stranger:
        await story.refusal("a wrong token", stranger.agent_instances.start(run))


async def list_runs(story: Story) -> None:
    """Read all runs of the agent, both ways round."""
    runs = {"path": "/api/v1/agent_instance", "agent_id": AGENT}
    story.lists["runs asc"] = await story.all_of(**runs)
    sorting = {"sorting[field]": "id", "sorting[direction]": "desc"}
    story.lists["runs desc"] = await story.all_of(**runs, **sorting)


async def main() -> None:
    """Play every part that this release can play."""
    config = http.HttpClientConfig(api_url=URL, api_token=TOKEN, max_retries=0)
    async with http.PrefactorHttpClient(config) as client:
        story = Story(client)
        if "ping" in story.features:
            await client.validate_token()
        await record(story)
        await record_in_odd_orders(story)
        await be_terminated(story)
        await send_in_bulk(story)
        if "agents" in story.features:
            await manage_agents(story)
        await be_refused(story)
        await list_runs(story)
        tell(version=http.__version__, **json.loads(json.dumps(story.told(), default=str)))


asyncio.run(main())
