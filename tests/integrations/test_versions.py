"""A library that an integration needs and that is missing, too old, or without a needed part."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from itertools import chain
from typing import Any, Final

import agents
import openai
import pytest
from agents.agent import AgentBase
from langchain.agents.middleware import AgentMiddleware
from langchain_core.callbacks import BaseCallbackHandler
from mcp.server.extension import Extension
from pydantic_ai.capabilities import AbstractCapability

from remit.errors import DeclarationError
from remit.integrations import mcp, openai_agents
from remit.integrations.langchain import RemitHandler, RemitTools
from remit.integrations.openai import watch
from remit.integrations.pydantic_ai import Remit
from tests.architecture.sources import ROOT
from tests.inside import TESTED
from tests.subtests import each

NEEDS = {
    "remit.integrations.anthropic": ("anthropic", "0.50"),
    "remit.integrations.claude_agent_sdk": ("claude-agent-sdk", "0.2.178"),
    "remit.integrations.crewai": ("crewai", "1.15.10"),
    "remit.integrations.google_adk": ("google-adk", "2.5"),
    "remit.integrations.langchain": ("langchain", "1.2.11"),
    "remit.integrations.mcp": ("mcp", "2.0"),
    "remit.integrations.openai": ("openai", "1.66"),
    "remit.integrations.openai_agents": ("openai-agents", "0.20"),
    "remit.integrations.pydantic_ai": ("pydantic-ai-slim", "2.38"),
    "remit.otel.bridge": ("opentelemetry-sdk", "1.25"),
}
PROGRAM = """
import importlib, json, sys
from importlib import metadata
from types import ModuleType

found, modules = sys.argv[1], sys.argv[2:]

def version(name):
    if not found:
        raise metadata.PackageNotFoundError(name)
    return found

metadata.version = version
for name in ("anthropic", "openai"):
    sys.modules[name] = ModuleType(name) if found else None
    if found:
        sys.modules[name].__version__ = found
frameworks = "agents claude_agent_sdk crewai google.adk langchain mcp pydantic_ai"
for name in frameworks.split():
    sys.modules[name] = None
said = {}
for name in modules:
    try:
        importlib.import_module(name)
    except Exception as error:
        said[name] = f"{type(error).__name__}: {error}"
print(json.dumps(said))
"""


@each(("found", "seen"), [("0.1rc1", "found 0.1rc1"), ("", None)])
def test_a_library_that_is_missing_or_too_old_is_named(found: str, seen: str | None) -> None:
    """With the lowest version and the command that installs it."""
    expected = {
        module: f"DeclarationError: {module.removesuffix('.bridge')} needs {package}>={lowest}; "
        f"{seen or f'{package} is not installed'}; pip install '{package}>={lowest}'"
        for module, (package, lowest) in NEEDS.items()
    }
    command = [sys.executable, "-c", PROGRAM, found, *expected]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == expected


OWN_ENVIRONMENT = {"crewai", "google-adk"}
"""What does not install with the gate's libraries."""


def test_the_tested_versions_are_those_of_the_gate() -> None:
    """The pinned ones, which are installed; messages name them."""
    pins, own = (
        (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
        for name in ("dev", "frameworks")
    )
    for package, tested in TESTED.items():
        if package in OWN_ENVIRONMENT:
            assert f"{package}=={tested}" in own
        else:
            assert f"{package}=={tested}" in pins
            assert metadata.version(package) == tested
    assert {package for package, _ in NEEDS.values()} <= {*TESTED}


def test_the_newest_release_of_each_framework_is_tried() -> None:
    """By the session `newest`."""
    table = re.search(
        r"^FRAMEWORKS = \{.*?^\}", (ROOT / "noxfile.py").read_text(), re.DOTALL | re.MULTILINE
    )
    assert table is not None
    tests = ast.literal_eval(table[0].partition("=")[2].strip())
    assert sorted(chain.from_iterable(tests.values())) == sorted({*TESTED} - OWN_ENVIRONMENT)
    for name in tests:
        assert (ROOT / "tests" / "integrations" / f"test_{name}.py").exists()


class Logged(openai.OpenAI):
    """A client of a program that has its own way to send a call."""

    def post(self, *args: Any, **kwargs: Any) -> Any:
        """Send a call."""
        return super().post(*args, **kwargs)


class Plain(agents.Agent[Any]):
    """An agent whose clones are made in another way."""

    def clone(self, **_: Any) -> Any:
        """Return another agent."""
        return agents.Agent[Any](name="clone")


GONE: Final[dict[str, tuple[Any, str, Callable[[], object], str, str]]] = {
    "middleware": (
        AgentMiddleware, "awrap_tool_call", RemitTools, "langchain",
        "RemitTools: .* AgentMiddleware.awrap_tool_call",
    ),
    "handler": (
        BaseCallbackHandler, "raise_error", RemitHandler, "langchain-core",
        "RemitHandler: .* GraphCallbackHandler.raise_error",
    ),
    "capability": (
        AbstractCapability, "wrap_tool_execute", Remit, "pydantic-ai-slim",
        "Remit: .* AbstractCapability.wrap_tool_execute",
    ),
    "extension": (
        Extension, "intercept_tool_call", lambda: mcp.Recorded("orders"), "mcp",
        "Recorded: .* Extension.intercept_tool_call",
    ),
    "agent": (
        AgentBase, "get_mcp_tools",
        lambda: openai_agents.govern(agents.Agent[Any](name="Desk")), "openai-agents",
        "govern: .* Agent.get_mcp_tools",
    ),
    "handoff": (
        agents.Handoff, "_agent_ref",
        lambda: openai_agents.govern(agents.Agent[Any](name="Desk")), "openai-agents",
        "govern: .* Handoff._agent_ref",
    ),
}  # fmt: skip
"""What a release drops, what relies on it, the framework, and the message."""


@pytest.mark.parametrize("what", GONE)
def test_a_release_without_a_part_on_which_denials_rely_is_named(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the program makes the object, and with the version that was tested."""
    owner, name, make, package, message = GONE[what]
    make()
    fields = getattr(owner, "__dataclass_fields__", {})
    monkeypatch.delitem(fields, name, raising=False)
    monkeypatch.delattr(owner, name)
    with pytest.raises(DeclarationError, match=message) as raised:
        make()
    assert f"pip install '{package}=={TESTED[package]}'" in str(raised.value)
    assert f"found {package} {metadata.version(package)} without" in str(raised.value)


@pytest.mark.parametrize("cls", [openai.OpenAI, openai.AsyncOpenAI])
def test_a_client_that_sends_its_calls_in_another_way_is_named(
    cls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be watched in vain."""

    def post(self: Any, *_: Any, **__: Any) -> Any:
        return self.send()

    assert isinstance(watch(Logged(api_key="none")), Logged)
    monkeypatch.setattr(cls, "post", post, raising=False)
    monkeypatch.setattr(cls, "send", post, raising=False)
    with pytest.raises(DeclarationError, match=r"openai.watch: .* a post that calls request, "):
        watch(cls(api_key="none"))


def test_an_agent_whose_clones_would_not_be_governed_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The check clones an agent."""
    monkeypatch.setattr(agents.Agent, "clone", Plain.clone)
    with pytest.raises(
        DeclarationError, match=r"govern: .* clones of an Agent that have its class"
    ):
        openai_agents.govern(agents.Agent[Any](name="Desk"))
