"""Faults of our own in integrations: `python -m tests.faults.frameworks LIBRARY` plays scenes.

Each scene is an agent of one framework that calls a tool which its remit forbids, or a client that
calls a model in a run that was terminated. Each function of ours that it reaches raises in turn,
with settings as in production: `deny`, and faults contained. Prints one line of JSON for each
function, with what ran in spite of the remit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

import remit
from remit.models.data_risk import DataRisk
from tests.faults import own
from tests.inside import current_context, process
from tests.scenarios import DONE, Turn

ALWAYS: Final = ("remit._adapters", "remit.integrations.", "remit.otel.")
"""Modules whose functions raise also without `--full`."""
WAYS: Final = ((1, False), (1, True))
"""How often a function raises, and whether only after the model has answered."""
MORE_WAYS: Final = ((own.MOST_FAULTS, False), (own.MOST_FAULTS, True))
"""The ways of `--full`."""
FREE: Final = remit.risk()
"""A remit that forbids nothing."""
FORBIDS: Final = remit.risk(forbids="destroy_data")
DELETES: Final = remit.risk(allows="destroy_data", forbids="others")
"""What the tool says; no agent of other modules forbids it."""
NOTHING_FORBIDDEN: Final = "nothing is forbidden"
DESK: Final = "desk"
"""Name of the agent."""
DELETE: Final = "delete"
"""Name of the tool."""
TURNS: Final = (Turn(calls=((DELETE, {"order": 5}),)), DONE)
"""The answers of a model that calls the tool."""


@dataclass
class Play:
    """One time that a scene is played.

    Attributes:
        data_risk: The remit.
        ran: What ran.
        has_answered: Whether the model has asked for the tool.
        is_opening: Whether the run around is being opened.
    """

    data_risk: DataRisk
    ran: list[object] = field(default_factory=list[object])
    has_answered: bool = False
    is_opening: bool = False

    def answer(self, _number: int = 0) -> None:
        """Note that the model answers."""
        self.has_answered = True

    def deletion(self) -> Callable[[int], str]:
        """Return the tool."""

        def delete(order: int) -> str:
            """Delete an order."""
            self.ran.append(order)
            return "deleted"

        return delete

    @contextmanager
    def run_of_an_agent(self) -> Generator[None]:
        """Open a run that has the remit; that it opens is not the integration's."""

        @remit.agent(DESK, data_risk=self.data_risk)
        def desk() -> None:
            """Hold the run."""

        self.is_opening = True
        with desk.run():
            self.is_opening = False
            yield

    def may_fail(self, *, later: bool) -> bool:
        """Return whether functions raise by now, or only *later*, when the model has answered."""
        return self.has_answered if later else not self.is_opening


Scene: TypeAlias = Callable[[Play], object]


# LangChain


def langchain(
    play: Play,
    *,
    around: bool = False,
    handler: bool = True,
    governed: bool = True,
    known: bool = True,
    added_later: bool = False,
    awaited: bool = False,
) -> None:
    """Run an agent of LangChain.

    Args:
        play: What is played.
        around: It is that of the run around; else of `remits=`.
        handler: There is a `RemitHandler`.
        governed: There is a `RemitTools`.
        known: It was given the tool.
        added_later: Other middleware adds the tool at run time.
        awaited: The agent is awaited.
    """
    from langchain.agents import create_agent
    from langchain.agents.middleware import AgentMiddleware
    from langchain_core.tools import StructuredTool

    from remit.integrations.langchain import RemitHandler, RemitTools
    from tests.integrations.test_langchain import QUESTION, Scripted

    tool = StructuredTool.from_function(play.deletion(), name=DELETE)

    class Adding(AgentMiddleware[Any, Any, Any]):
        """Adds the tool at run time."""

        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            return handler(request.override(tools=[*request.tools, tool]))

        def wrap_tool_call(self, request: Any, handler: Any) -> Any:
            return handler(request.override(tool=tool))

    risks = {DELETE: DELETES}
    middleware: list[Any] = []
    if governed:
        middleware.append(RemitTools([tool], risks) if known else RemitTools([]))
    if added_later:
        middleware.append(Adding())
    agent: Any = create_agent(
        Scripted(turns=TURNS, on_call=play.answer),
        [] if added_later else [tool],
        name=DESK,
        middleware=middleware,
    )
    remits = None if around else {DESK: play.data_risk}
    config: Any = {"callbacks": [RemitHandler(remits=remits)] if handler else []}
    with play.run_of_an_agent() if around else nullcontext():
        if awaited:
            asyncio.run(agent.ainvoke(QUESTION, config))
        else:
            agent.invoke(QUESTION, config)


# pydantic-ai


def pydantic_ai(play: Play, *, around: bool = False) -> None:
    """Run an agent of pydantic-ai; the remit is that of the run *around*, or its own."""
    from pydantic_ai import Agent

    from remit.integrations.pydantic_ai import Remit
    from tests.integrations.test_pydantic_ai import Script

    capability = Remit(risks={DELETE: DELETES}, data_risk=None if around else play.data_risk)
    agent = Agent(
        Script(TURNS, play.answer).model,
        name=DESK,
        tools=[play.deletion()],
        capabilities=[capability],
    )
    with play.run_of_an_agent() if around else nullcontext():
        asyncio.run(agent.run("Delete it."))


def pydantic_ai_output(play: Play) -> None:
    """Run an agent of pydantic-ai whose output is a function that deletes."""
    from pydantic_ai import Agent

    from remit.integrations.pydantic_ai import Remit
    from tests.integrations.test_pydantic_ai import Script

    output: Any = play.deletion()
    turns = [Turn(calls=(("final_result", {"order": 5}),))]
    agent: Any = Agent(
        Script([*turns, *turns, *turns], play.answer).model,
        name=DESK,
        output_type=output,
        capabilities=[Remit(data_risk=play.data_risk)],
    )
    asyncio.run(agent.run("Delete it."))


# Google ADK


def google_adk(play: Play, *, around: bool = False) -> None:
    """Run an agent of the Google ADK; the remit is that of the run *around*, or of `remits=`."""
    from google.adk.agents import LlmAgent

    from remit.integrations.google_adk import RemitPlugin
    from tests.integrations.test_google_adk import Script, ask

    remits = None if around else {DESK: play.data_risk}
    plugin = RemitPlugin(risks={DELETE: DELETES}, remits=remits)
    agent = LlmAgent(name=DESK, model=Script(TURNS, play.answer), tools=[play.deletion()])
    with play.run_of_an_agent() if around else nullcontext():
        asyncio.run(ask(agent, plugins=[plugin]))


# CrewAI


def crewai(play: Play, *, around: bool = False) -> None:
    """Run a crew; the remit is that of the run *around*, or of `remits=`."""
    from remit.integrations.crewai import RemitListener
    from tests.integrations.test_crewai import Script, agent_of, crew_of

    remits = None if around else {DESK: play.data_risk}
    agent = agent_of(Script(TURNS, play.answer), play.deletion(), role=DESK)
    listener = RemitListener(risks={DELETE: DELETES}, remits=remits)
    # It draws errors on standard output, which is for the rows.
    around_it = play.run_of_an_agent() if around else nullcontext()
    with listener, redirect_stdout(sys.stderr), around_it:
        crew_of(agent).kickoff()


# OpenAI Agents


def openai_agents(play: Play, *, around: bool = False, traced: bool = True) -> None:
    """Run an agent of OpenAI Agents; the remit is that of the run *around*, or of `remits=`."""
    import agents

    from remit.integrations.openai_agents import RemitProcessor, govern
    from tests.integrations.test_openai_agents import ScriptedModel

    name = DESK
    agents.set_trace_processors([RemitProcessor()] if traced else [])
    tool = agents.function_tool(play.deletion())
    agent: Any = govern(
        agents.Agent(name=name, model=ScriptedModel(TURNS, play.answer), tools=[tool]),
        risks={DELETE: DELETES},
        remits=None if around else {name: play.data_risk},
    )
    config = agents.RunConfig(tracing_disabled=not traced)
    with play.run_of_an_agent() if around else nullcontext():
        asyncio.run(agents.Runner.run(agent, "Delete it.", run_config=config))


def openai_shell(play: Play, *, hosted: bool = False, around: bool = False) -> None:
    """Run an agent whose shell deletes; of a *hosted* one, that the model may call it counts."""
    import agents

    from remit.integrations.openai_agents import RemitProcessor, govern
    from tests.integrations.test_openai_agents import SHELL, Asks, ScriptedModel

    agents.set_trace_processors([RemitProcessor()])
    shell = agents.ShellTool(executor=lambda _request: play.deletion()(5))
    if hosted:
        shell = agents.ShellTool(environment={"type": "container_auto"})
    model = ScriptedModel([DONE] if hosted else [Asks(item=SHELL), DONE], play.answer)
    agent: Any = govern(
        agents.Agent(name=DESK, model=model, tools=[shell]),
        risks={"shell": DELETES},
        remits=None if around else {DESK: play.data_risk},
    )
    try:
        with play.run_of_an_agent() if around else nullcontext():
            asyncio.run(agents.Runner.run(agent, "Delete it."))
    finally:
        play.ran += [name for names in model.offered for name in names if hosted]


# Claude Agent SDK


def claude_agent_sdk(play: Play, *, around: bool = False, by: str = "query") -> None:
    """Ask Claude Code; the remit is that of the run *around*, or of `remits=`.

    Args:
        play: What is played.
        around: It is that of the run around.
        by: What is governed: `query`, a `client` or `options`.
    """
    import claude_agent_sdk as sdk

    from remit.integrations.claude_agent_sdk import govern
    from tests.claude_code import Play as Script
    from tests.integrations.test_claude_agent_sdk import SERVER, server, transport

    tool = SERVER + DELETE
    turns: list[dict[str, Any]] = [{"calls": [(tool, {"order": 5})]}, {"text": "ok"}]
    process = transport(Script(turns, on_model_call=play.answer))
    options = sdk.ClaudeAgentOptions(mcp_servers=server(play.deletion()))
    rules: dict[str, Any] = {"name": DESK, "risks": {tool: DELETES}}
    if not around:
        rules["remits"] = {DESK: play.data_risk}

    async def ask() -> None:
        if by == "client":
            client = govern(sdk.ClaudeSDKClient(options, process), **rules)
            async with client:
                await client.query("Delete it.")
                async for _ in client.receive_response():
                    pass
            return
        governed = govern(options, **rules) if by == "options" else options
        query = govern(sdk.query, **rules) if by == "query" else sdk.query
        async for _ in query(prompt="Delete it.", options=governed, transport=process):
            pass

    with play.run_of_an_agent() if around else nullcontext():
        asyncio.run(ask())


# MCP


async def _call_mcp(play: Play, *, governed: bool, **recorded: Any) -> None:
    from mcp import Client
    from mcp.server import MCPServer

    from remit.integrations.mcp import Recorded, govern

    name, risks = "shop", {DELETE: DELETES}
    server = MCPServer(name)
    if recorded:
        extension = Recorded(name, risks=risks, **recorded)
        server = extension.of(MCPServer(name, extensions=[extension]))
    server.add_tool(play.deletion())
    async with Client(server) as client:
        called = govern(client, name, risks=risks) if governed else client
        # What leaves the block of the client is in an exception group, with a task that waits.
        with suppress(Exception, remit.errors.RunTerminated):
            await called.call_tool(DELETE, {"order": 5})


def mcp_client(play: Play) -> None:
    """Call a tool of MCP through a governed client in a run."""
    with play.run_of_an_agent():
        asyncio.run(_call_mcp(play, governed=True))


def mcp_server(play: Play) -> None:
    """Call a tool of a recorded server."""
    asyncio.run(_call_mcp(play, governed=False, data_risk=play.data_risk))


# OpenTelemetry


def bridge(play: Play) -> None:
    """Call a tool in a span of OpenTelemetry, beneath that of an agent."""
    from opentelemetry.sdk.trace import TracerProvider

    from remit.otel import Bridge

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Bridge(enforce=True, risks={DELETE: DELETES}))
    tracer = provider.get_tracer("test")
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "desk"}
    tool = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": DELETE,
        "gen_ai.tool.call.arguments": '{"order": 5}',
    }
    with (
        play.run_of_an_agent(),
        tracer.start_as_current_span("invoke_agent desk", attributes=agent),
        tracer.start_as_current_span("POST"),
    ):
        play.answer()
        with tracer.start_as_current_span("execute_tool", attributes=tool):
            play.ran.append(5)


# Clients of models


def model_client(play: Play, *, provider: str) -> None:
    """Ask a model, in a run that was terminated if the remit forbids something."""
    from importlib import import_module

    module = import_module(provider)
    watch = import_module(f"remit.integrations.{provider}").watch
    from tests.model_clients import http_library

    http = http_library(module)

    def answer(request: Any) -> Any:
        play.ran.append(str(request.url))
        return http.Response(400, json={"error": {"message": "no"}})

    client_class: Any = module.OpenAI if provider == "openai" else module.Anthropic
    client = watch(
        client_class(
            api_key="none",
            max_retries=0,
            http_client=http.Client(transport=http.MockTransport(answer)),
        )
    )
    asked: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Delete it."}]}
    with play.run_of_an_agent():
        if play.data_risk is not FREE:
            context = current_context()
            assert context is not None
            context.run.feed.terminated = "stopped"
        if provider == "openai":
            client.chat.completions.create(**asked)
        else:
            client.messages.create(max_tokens=8, **asked)


def with_options(scene: Callable[..., object], **options: Any) -> Scene:
    """Return a scene with its *options*."""
    return lambda play: scene(play, **options)


SCENES: Final[Mapping[str, Mapping[str, Scene]]] = {
    "langchain": {
        "remit of its own": langchain,
        "run around": with_options(langchain, around=True),
        "awaited": with_options(langchain, awaited=True, known=False),
        "without RemitTools": with_options(langchain, governed=False),
        "without handler": with_options(
            langchain, around=True, handler=False, known=False, added_later=True
        ),
    },
    "pydantic_ai": {
        "remit of its own": pydantic_ai,
        "run around": with_options(pydantic_ai, around=True),
        "output function": pydantic_ai_output,
    },
    "agents": {
        "remit of its own": openai_agents,
        "run around": with_options(openai_agents, around=True),
        "not traced": with_options(openai_agents, traced=False),
        "shell": openai_shell,
        "shell in a run": with_options(openai_shell, around=True),
        "hosted shell": with_options(openai_shell, hosted=True),
        "hosted shell in a run": with_options(openai_shell, hosted=True, around=True),
    },
    "claude_agent_sdk": {
        "remit of its own": claude_agent_sdk,
        "run around": with_options(claude_agent_sdk, around=True),
        "client": with_options(claude_agent_sdk, by="client"),
        "options": with_options(claude_agent_sdk, by="options"),
    },
    "google.adk": {
        "remit of its own": google_adk,
        "run around": with_options(google_adk, around=True),
    },
    "crewai": {
        "remit of its own": crewai,
        "run around": with_options(crewai, around=True),
    },
    "mcp": {"client": mcp_client, "server": mcp_server},
    "opentelemetry.sdk": {"run around": bridge},
    "openai": {"terminated": with_options(model_client, provider="openai")},
    "anthropic": {"terminated": with_options(model_client, provider="anthropic")},
}
"""The scenes, by the library that they need."""


@contextmanager
def nothing_known() -> Generator[None]:
    """Forget in the end what is declared in the block."""
    declared = process.state.registry
    process.state.registry = declared.copy(declared)
    try:
        yield
    finally:
        process.state.registry = declared


def played(scene: Scene, play: Play) -> str:
    """Play a scene; return how it ended."""
    try:
        # A fault may leave a span open and current.
        copy_context().run(scene, play)
    except BaseException as error:  # noqa: BLE001 - what reaches the program is the answer
        return type(error).__name__
    return "ended"


def rows(scene: Scene, *, is_full: bool) -> Iterator[dict[str, object]]:
    """Play a scene with nothing forbidden, then under a remit, then with each function raising."""
    play = Play(FREE)
    with nothing_known():
        ended = played(scene, play)
    yield {"name": NOTHING_FORBIDDEN, "ended": ended, "ran": play.ran}
    play = Play(FORBIDS)
    with nothing_known(), own.watched() as reached:
        ended = played(scene, play)
    yield {"name": "no fault", "ended": ended, "ran": play.ran}
    for place in own.places(loaded=True):
        if place.code not in reached or not (is_full or place.name.startswith(ALWAYS)):
            continue
        for most, later in (*WAYS, *MORE_WAYS) if is_full else WAYS:
            play, callers = Play(FORBIDS), list[str]()
            begins = partial(play.may_fail, later=later)
            with nothing_known(), own.faulty(place, callers, most, begins):
                ended = played(scene, play)
            if callers:
                yield {
                    "name": place.name,
                    "most": most,
                    "later": later,
                    "ended": ended,
                    "ran": play.ran,
                }


def main() -> None:
    """Play the scenes of the library that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=SCENES)
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    logging.disable()
    sys.unraisablehook = lambda _: None
    with own.configured(on_violation="deny"):
        for name, scene in SCENES[options.library].items():
            for row in rows(scene, is_full=options.full):
                print(json.dumps({"scene": name, **row}), flush=True)  # noqa: T201 - for the test


if __name__ == "__main__":
    main()
