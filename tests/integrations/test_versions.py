"""A library that an integration needs and that is missing or too old: its import says so."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.subtests import each

NEEDS = {
    "remit.integrations.anthropic": ("anthropic", "0.50"),
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
for name in ("agents", "crewai", "google.adk", "langchain", "mcp", "pydantic_ai"):
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
