"""A run through `prefactor-core`, with its queue, its workers and its monitor of terminations.

Runs in an environment of its own, with nothing of remit; prints as `http_client.py` does. Its token
is a deployment's, so that it names no agent.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from typing import Any, TypeAlias

# None of them has type information, so that they are taken as they come.
Published: TypeAlias = Any
http: Published = importlib.import_module("prefactor_http")
core: Published = importlib.import_module("prefactor_core")
monitoring: Published = importlib.import_module("prefactor_core.monitoring.termination_monitor")

URL, TOKEN = (os.environ[f"CLIENT_{name}"] for name in ("URL", "TOKEN"))
VERSION = {"name": "Stranger", "external_identifier": "v1"}
POLLS_EVERY_S = 0.1
PATIENCE_S = 30


def tell(**event: object) -> None:
    """Print one object."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


class Story:
    """What was done, in the form in which `http_client.py` tells it."""

    def __init__(self, client: Published) -> None:
        """Begin with nothing done."""
        self.client = client
        self.runs: dict[str, dict[str, Any]] = {}
        self.spans: dict[str, dict[str, Any]] = {}
        self.heard: list[list[str | None]] = []

    async def run(self, **said: Published) -> Published:
        """Create and start a run."""
        handle = await self.client.create_agent_instance(
            agent_version=VERSION, external_schema_version_id="core-1", **said
        )
        self.runs[handle.id] = {**said, "status": "active"}
        await handle.start()
        return handle

    def span(self, run: Published, context: Published, name: str, **said: Published) -> None:
        """Note what a span has to look like."""
        self.spans[context.id] = {"agent_instance_id": run.id, "schema_name": name, **said}


async def record(story: Story) -> None:
    """Record nested spans of every fate, and the run's quality."""
    run = await story.run(purpose="eval", external_identifier="core-run")
    async with run.span("desk:answer") as outer:
        await outer.start({"q": "why"})
        async with run.span("desk:step") as inner:
            await inner.start({"n": 1})
            await inner.fail({"error": "x"})
        said = {"parent_span_id": outer.id, "payload": {"n": 1}, "result_payload": {"error": "x"}}
        story.span(run, inner, "desk:step", status="failed", **said)
        async with run.span("desk:step") as dropped:
            await dropped.start({"n": 2})
            await dropped.cancel()
        story.span(run, dropped, "desk:step", status="cancelled", payload={"n": 2})
        async with run.span("desk:step", payload={"n": 3}) as careless:
            careless.set_result({"m": 3})
        said = {"payload": {"n": 3}, "result_payload": {"m": 3}}
        story.span(run, careless, "desk:step", status="complete", **said)
        await outer.complete({"a": 42})
    said = {"payload": {"q": "why"}, "result_payload": {"a": 42}, "parent_span_id": None}
    story.span(run, outer, "desk:answer", status="complete", **said)
    open_span = await run.create_span("desk:step", payload={"kept": "open"})
    await run.record_quality("review", {"score": 1})
    await run.record_quality("mood", {"good": True})
    await run.finish("complete")
    await run.finish_span(open_span, {"late": True})
    story.spans[open_span] = {"status": "complete", "result_payload": {"late": True}}
    quality = {"review": {"score": 1}, "mood": {"good": True}}
    story.runs[run.id].update(status="complete", quality_payloads=quality)


async def record_children_first(story: Story) -> None:
    """Start a child before its parent: it names the parent by an id that no server knows."""
    run = await story.run()
    async with run.span("desk:answer") as outer:
        unknown = outer.id
        async with run.span("desk:step") as inner:
            await inner.start({"first": True})
        await outer.start({"first": False})
    assert outer.id != unknown
    story.span(run, inner, "desk:step", status="complete", parent_span_id=unknown)
    story.span(run, outer, "desk:answer", status="complete", payload={"first": False})
    await run.finish("failed")
    story.runs[run.id]["status"] = "failed"


async def cancel_unstarted(story: Story) -> None:
    """Cancel a span that was never started; its id is not told."""
    run = await story.run()
    async with run.span("desk:step") as unstarted:
        await unstarted.cancel()
    await run.finish("cancelled")
    story.runs[run.id].update(status="cancelled", span_counts={"total": 1, "cancelled": 1})


async def be_terminated(story: Story, client: Published) -> None:
    """Go on after someone pulled the plug; hear of it from polling, and from an answer."""
    run = await story.run()
    while (  # noqa: ASYNC110 - what it waits for is elsewhere
        await client.agent_instances.get(run.id)
    ).status != "active":
        await asyncio.sleep(POLLS_EVERY_S)
    spans = [before := await run.create_span("desk:answer")]
    polling = monitoring.TerminationMonitor(client.agent_instances.get, POLLS_EVERY_S)
    polling.sync(run.id)
    # Its adapters, too, listen there.
    monitor = story.client._termination_monitor  # noqa: SLF001 - it has no public name
    assert not monitor.get_termination_event().is_set()
    tell(terminate=run.id, reason="too dear")
    await asyncio.to_thread(sys.stdin.readline)
    async with asyncio.timeout(PATIENCE_S):
        await polling.get_termination_event().wait()
        story.heard.append(["polled", polling.termination_reason])
        # It takes no notice until its loop, once a second, has seen the new run.
        while not monitor.get_termination_event().is_set():
            spans.append(await run.create_span("desk:step"))
            await run.finish_span(spans[-1])
            await asyncio.sleep(POLLS_EVERY_S)
        story.heard.append(["told", monitor.termination_reason])
    await run.finish_span(before)
    for span in spans:
        story.spans[span] = {"agent_instance_id": run.id, "status": "complete"}
    await run.finish()
    story.runs[run.id].update(status="terminated", termination_reason="too dear")


async def main() -> None:
    """Play every part; closing the client raises what its workers could not do."""
    registry_of: Published = importlib.import_module("prefactor_core.schema_registry")
    registry = registry_of.SchemaRegistry()
    registry.register("desk:answer", {"type": "object"})
    registry.register("desk:step", {"type": "object"})
    config = http.HttpClientConfig(api_url=URL, api_token=TOKEN, max_retries=0)
    settings = core.PrefactorCoreConfig(http_config=config, schema_registry=registry)
    async with (
        http.PrefactorHttpClient(config) as client,
        core.PrefactorCoreClient(settings) as one,
    ):
        story = Story(one)
        await record(story)
        await record_children_first(story)
        await cancel_unstarted(story)
        await be_terminated(story, client)
    told = {"runs": story.runs, "spans": story.spans, "heard": story.heard}
    tell(version=core.__version__, **told)


asyncio.run(main())
