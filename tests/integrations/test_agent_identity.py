"""The agents that integrations declare: whose they are, and the ids that a program gives them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from claude_agent_sdk import ClaudeAgentOptions
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, MessagesState, StateGraph
from opentelemetry.sdk.trace import TracerProvider
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

from remit.errors import DeclarationError
from remit.integrations import claude_agent_sdk, mcp, openai_agents, pydantic_ai
from remit.integrations.langchain import RemitHandler
from remit.otel import Bridge
from remit.testing import RecordingSink, isolated
from tests.subtests import each

SCRIPT = """
from langgraph.graph import START, MessagesState, StateGraph

import remit
from remit.integrations.langchain import RemitHandler

remit.configure()
builder = StateGraph(MessagesState)
builder.add_node("answer", lambda state: {"messages": []})
builder.add_edge(START, "answer")


def ask(handler, **options):
    builder.compile(**options).invoke({"messages": []}, {"callbacks": [handler]})


ask(RemitHandler())
"""
MORE = """
ask(RemitHandler(), name="desk")
ask(RemitHandler(external_identifier="till"))
ask(RemitHandler())
"""

MAKERS: dict[str, Callable[..., object]] = {
    "RemitHandler": RemitHandler,
    "Remit": pydantic_ai.Remit,
    "RemitProcessor": openai_agents.RemitProcessor,
    "Recorded": partial(mcp.Recorded, "shop"),
    "Bridge": Bridge,
    "govern": partial(claude_agent_sdk.govern, ClaudeAgentOptions()),
}


def run_graph(handler: RemitHandler, **options: Any) -> None:
    """Run a graph of one node."""
    builder = StateGraph(MessagesState)
    builder.add_node("answer", lambda _: {"messages": []})
    builder.add_edge(START, "answer")
    config: RunnableConfig = {"callbacks": [handler]}
    builder.compile(**options).invoke({"messages": []}, config)


def run_span(bridge: Bridge) -> None:
    """Run an agent without a name, as OpenTelemetry reports one."""
    provider = TracerProvider()
    provider.add_span_processor(bridge)
    attributes = {"gen_ai.operation.name": "invoke_agent"}
    with provider.get_tracer("shop").start_as_current_span("invoke_agent", attributes=attributes):
        pass


def agent_of(run: Callable[[], object]) -> str:
    """Return the agent of the run that *run* opens."""
    with isolated() as recorder:
        run()
    return recorder.runs[0].agent


def test_an_unnamed_agent_belongs_to_the_module_that_made_the_handler() -> None:
    """The framework gives the unnamed agents of all programs the same name."""
    assert agent_of(lambda: run_graph(RemitHandler())) == f"{__name__}:LangGraph"
    assert agent_of(lambda: run_span(Bridge())) == f"{__name__}:agent"
    capability = pydantic_ai.Remit()
    answer = Agent(TestModel(), capabilities=[capability]).run
    assert agent_of(lambda: asyncio.run(answer("?"))) == f"{__name__}:agent"


def test_a_named_agent_belongs_to_its_framework() -> None:
    """Its name distinguishes it."""
    assert agent_of(lambda: run_graph(RemitHandler(), name="desk")) == "langchain.agents:desk"


@each("where", MAKERS)
@each("key", ["agent_id", "external_identifier"])
def test_an_identifier_that_is_not_a_text_is_an_error(where: str, key: str) -> None:
    """The message names the integration and the argument."""
    with pytest.raises(DeclarationError, match=f"{where}: {key} is of type int; expected a str"):
        MAKERS[where](**{key: 3})


def declared_ids(recorder: RecordingSink, name: str) -> list[tuple[str | None, str | None]]:
    """Return the ids of the declared agents of one display name."""
    agents = recorder.registry.agents()
    return [
        (agent.agent_id, agent.given_identifier) for agent in agents if agent.explicit_name == name
    ]


def test_given_ids_are_those_of_the_agents_that_the_object_declares() -> None:
    """Both at once are possible: the id then counts, as in `@remit.agent`."""
    ids: Any = {"agent_id": "01ag", "external_identifier": "till"}
    with isolated() as recorder:
        run_graph(RemitHandler(**ids), name="graph")
        clerk = Agent(TestModel(), name="clerk", capabilities=[pydantic_ai.Remit(**ids)])
        asyncio.run(clerk.run("?"))
        mcp.Recorded("server", **ids)
        run_span(Bridge(**ids))
        for name in ("graph", "clerk", "server", "agent"):
            assert ("01ag", "till") in declared_ids(recorder, name), name


def test_handlers_with_other_ids_are_two() -> None:
    """LangChain keeps one of two equal handlers."""
    assert RemitHandler() == RemitHandler()
    assert RemitHandler() != RemitHandler(agent_id="01ag")
    assert len({RemitHandler(), RemitHandler(external_identifier="till")}) == 2


def test_two_scripts_of_one_directory_have_an_agent_each(tmp_path: Path) -> None:
    """On the wire, the project of the module that made the handler precedes the identifier."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "pyproject.toml").write_text('[project]\nname = "shop"\n')
    environ = {**os.environ, "HOME": str(tmp_path), "REMIT_MODE": "local"}
    environ |= {"REMIT_DATA_DIR": str(tmp_path / "data"), "REMIT_EXIT_TIMEOUT_S": "60"}
    for script, code in (("payments.py", SCRIPT), ("orders.py", SCRIPT + MORE)):
        (folder / script).write_text(code)
        subprocess.run([sys.executable, script], cwd=folder, env=environ, check=True, timeout=100)
    words = [sys.executable, "-m", "remit", "runs", "list", "--json"]
    listed = subprocess.run(
        words, cwd=folder, env=environ, capture_output=True, text=True, check=True, timeout=100
    )
    agents = [run["agent"]["external_identifier"] for run in json.loads(listed.stdout)]
    assert sorted(agents) == [
        "shop/langchain.agents:desk",
        "shop/orders:LangGraph",
        "shop/orders:LangGraph",
        "shop/payments:LangGraph",
        "till",
    ]
