"""What every test shares: examples in the documents, skips that count, Hypothesis' profiles."""

from __future__ import annotations

import gc
import os
from typing import Any

import pytest
from hypothesis import settings
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

from remit.testing import isolated

ACCEPTED_SKIPS = ("only on Python", "only on Linux", "only on macOS", "only on Windows")

# Logfire is installed to be tested beside; as a plugin of pydantic it would load in every child.
os.environ["PYDANTIC_DISABLE_PLUGINS"] = "logfire-plugin"

settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "desk")


def open_document(namespace: dict[str, Any]) -> None:
    """Give each document a runtime of its own, so that no example records into another's."""
    runtime = isolated()
    namespace["__runtime__"] = runtime
    runtime.__enter__()


def close_document(namespace: dict[str, Any]) -> None:
    """End the runtime of a document."""
    namespace.pop("__runtime__").__exit__(None, None, None)


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/**/*.md"],
    excludes=["docs/_build/**"],
    setup=open_document,
    teardown=close_document,
).pytest()


@pytest.fixture(autouse=True)
def _own_state(
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Keep what a test leaves to be sent later from your folder and from other tests."""
    own = f"state-{abs(hash(request.node.nodeid))}"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / own))


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
    if config.getoption("strict_skips"):
        config.pluginmanager.register(SkipGate(), "strict-skips")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run first what takes long: at the end, of several processes, all but one would have nothing.

    Tests of one module stay together.
    """
    items.sort(key=lambda item: item.get_closest_marker("gate") is None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Leave what pytest itself keeps out of every collection of garbage from here on.

    Ten thousand tests are 2.7 million objects: to look at them takes 1 s, and many tests have it
    done more than once.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


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
