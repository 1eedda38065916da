"""The public names: frozen, documented, and cheap to import."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path
from types import ModuleType

import pytest

import remit

# These end up in people's programs; a name that goes breaks them.
FROZEN = {
    "ActionProfile",
    "ApprovalRequest",
    "Approved",
    "ContextExecutor",
    "DataCategories",
    "DataRisk",
    "Refused",
    "Sensitive",
    "Skip",
    "about",
    "aflush",
    "agent",
    "configure",
    "copy_context",
    "current_run",
    "current_span",
    "errors",
    "flush",
    "limits",
    "risk",
    "shutdown",
    "span",
    "span_type",
    "status",
    "trace_headers",
}
# What those return, for annotations.
RETURNED = {"Agent", "FlushResult", "Run", "Span", "Status", "__version__"}

PUBLIC_MODULES = (
    "remit",
    "remit.client",
    "remit.collector",
    "remit.config",
    "remit.errors",
    "remit.models",
    "remit.models.agent_instance",
    "remit.models.agent_span",
    "remit.models.bulk",
    "remit.models.data_risk",
    "remit.models.envelope",
    "remit.otel",
    "remit.testing",
)

# What `import remit` must leave alone: each costs start-up time that most programs never need.
NOT_AT_IMPORT = {
    "click",
    "fastapi",
    "httpx",
    "httpx2",
    "jinja2",
    "opentelemetry",
    "psycopg",
    "pydantic_settings",
    "pytest",
    "sqlite3",
    "starlette",
    "uvicorn",
}
# What delivers, describes and tests is not needed to declare; nor is what mends a slip of the pen.
# What is private of it shows by what it imports: one of the above, or of these.
NOT_TO_DECLARE = {
    "difflib",
    "multiprocessing.process",
    "remit.client",
    "remit.config",
    "remit.models.agent_instance",
    "remit.models.agent_span",
    "remit.testing",
    "urllib.request",
}

PROBE = """
import sys, threading
before = set(sys.modules)
import remit
@remit.span_type(data_risk=remit.risk(allows="read_data", takes="contact_information"))
def find(order: str, limit: int = 10) -> dict[str, object]: return {}
@remit.agent(data_risk=remit.risk(forbids="destroy_data"))
async def answer(question: str) -> str: return question
print([sorted(set(sys.modules) - before), [thread.name for thread in threading.enumerate()]])
"""

RECORDING = """
import sys
import remit
@remit.agent
def answer(question: str) -> str: return question
remit.configure(
    mode=sys.argv[1], data_dir=sys.argv[2], exit_timeout_s=0,
    api_url="http://127.0.0.1:9", api_token="t" * 20)
before = set(sys.modules)
answer("why")
remit.flush(1)
later = {each.partition(".")[0] for each in set(sys.modules) - before}
print(sorted(later - sys.stdlib_module_names))
"""


def public_names(module: ModuleType) -> list[str]:
    """Return what *module* lists in `__all__`, else the classes and functions that it defines."""
    listed: list[str] | None = getattr(module, "__all__", None)
    if listed is not None:
        return listed
    found = vars(module).items()
    return [
        name
        for name, value in found
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def test_the_root_exports_the_frozen_names() -> None:
    """None is missing, and nothing is added but the types that they return."""
    names = set(remit.__all__)
    assert names >= FROZEN
    assert names - FROZEN <= RETURNED


def test_the_roots_names_are_sorted() -> None:
    """So that a name is found, and stands there once."""
    assert list(remit.__all__) == sorted(set(remit.__all__))


def test_a_declaration_loads_only_what_it_needs_and_starts_no_thread() -> None:
    """In a fresh process: what pytest has loaded proves nothing."""
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE], check=True, capture_output=True, text=True
    )
    loaded, threads = ast.literal_eval(answer.stdout)
    assert {name.partition(".")[0] for name in loaded} & NOT_AT_IMPORT == set()
    assert set(loaded) & NOT_TO_DECLARE == set()
    assert threads == ["MainThread"]


@pytest.mark.parametrize("mode", ["local", "remote"])
def test_everything_is_imported_before_the_first_run(mode: str, tmp_path: Path) -> None:
    """A thread of remit that imported something could do so while the program forks."""
    answer = subprocess.run(
        [sys.executable, "-c", RECORDING, mode, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert ast.literal_eval(answer.stdout) == []


def test_every_public_name_has_a_docstring() -> None:
    """What `help()` shows; values such as marks have their class's."""
    missing: list[str] = []
    for name in PUBLIC_MODULES:
        module = importlib.import_module(name)
        assert module.__doc__, name
        missing += [
            f"{name}.{each}"
            for each in public_names(module)
            if not inspect.getdoc(getattr(module, each))
        ]
    assert missing == []


def test_the_version_is_that_of_the_distribution() -> None:
    """Between releases it names the commit too; that of an editable installation may be older."""
    release, _, commit = importlib.import_module("remit._base.version").__version__.partition("+")
    assert release == version("remit").partition("+")[0]
    assert not commit or re.fullmatch("g[0-9a-f]{8}", commit)


def test_the_command_and_the_plugin_can_be_loaded() -> None:
    """The entry points of the distribution lead somewhere."""
    (command,) = entry_points(group="console_scripts", name="remit")
    (plugin,) = entry_points(group="pytest11", name="remit")
    assert callable(command.load())
    assert plugin.load().__name__ == "remit.testing.pytest_plugin"
