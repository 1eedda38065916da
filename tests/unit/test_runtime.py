"""The runtime of the process: configuring, modes, exit, fork, and what the registration holds."""

from __future__ import annotations

import functools
import importlib
import logging
import os
import runpy
import subprocess
import sys
import typing
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import remit
from remit._base import guard
from remit._runtime import process, setup
from remit.config import Settings
from remit.errors import SettingsError, UsageError
from remit.testing import RecordingSink, isolated
from tests.inside import httpx
from tests.unconfigured import unconfigured


@pytest.fixture
def recorder() -> Iterator[RecordingSink]:
    """Record into memory."""
    with isolated() as sink:
        yield sink


@pytest.fixture
def fresh() -> Iterator[None]:
    """Start from a process that has configured nothing."""
    with unconfigured():
        yield


@remit.agent("Runtime's agent")
def agent() -> None:
    """Hold the runs of these tests."""


@pytest.mark.usefixtures("fresh")
def test_configure_again_before_the_first_run_replaces() -> None:
    """After it, it is an error that says what to do."""
    remit.configure(mode="off", purpose="eval")
    remit.configure(mode="off", purpose="smoke_test")
    assert process.current().settings.purpose == "smoke_test"
    with agent.run(), pytest.raises(UsageError, match=r"remit\.shutdown\(\) first"):
        remit.configure(mode="off")
    remit.shutdown()
    remit.configure(mode="off")


RERUN = """
import remit

remit.configure(mode="off", redact={redact}, on_violation="deny")


@remit.agent
def page(clicks: int) -> int:
    \"\"\"Answer a click.\"\"\"
    return clicks


page(1)
"""


@pytest.mark.usefixtures("fresh")
def test_an_equal_configure_after_the_first_run_changes_nothing(tmp_path: Path) -> None:
    """Streamlit and notebooks run a script again in the same process."""
    script = tmp_path / "page.py"
    script.write_text(RERUN.format(redact=None))
    runpy.run_path(str(script), run_name="__main__")
    first = process.current()
    runpy.run_path(str(script), run_name="__main__")
    assert process.current() is first


@pytest.mark.usefixtures("fresh")
def test_a_configure_that_differs_after_the_first_run_names_what_differs(tmp_path: Path) -> None:
    """A function that the script defines again is another one, also with the same source."""
    script = tmp_path / "page.py"
    script.write_text(RERUN.format(redact="lambda payload: payload"))
    runpy.run_path(str(script), run_name="__main__")
    with pytest.raises(UsageError, match=r"changes redact: .*remit\.shutdown\(\) first"):
        runpy.run_path(str(script), run_name="__main__")


@pytest.mark.usefixtures("fresh")
def test_a_wrong_variable_is_said_once_and_the_program_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only `configure()` raises; the first use without it never does."""
    monkeypatch.setenv("REMIT_FLUSH_INTERVAL_S", "often")
    for _ in range(2):
        with agent.run() as run:
            assert len(run.key) == 26
    assert remit.status().mode == "off"
    remit.shutdown()
    agent()
    assert caplog.text.count("REMIT_FLUSH_INTERVAL_S: saw 'often'") == 1


@pytest.mark.usefixtures("fresh")
def test_the_first_start_says_where_to_which_agent_which_mode(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line, without the token."""
    caplog.set_level(logging.INFO)
    transport = httpx.MockTransport(lambda _: httpx.Response(503))
    remit.configure(
        api_url="http://remit.test", api_token="hunter2", transport=transport, exit_timeout_s=0.1
    )
    for _ in range(2):
        with agent.run():
            pass
    lines = [
        record.getMessage() for record in caplog.records if "mode remote" in record.getMessage()
    ]
    assert lines == ["remit: mode remote, to http://remit.test, agent Runtime's agent"]
    remit.shutdown(0.1)
    assert "hunter2" not in caplog.text


@pytest.mark.usefixtures("fresh")
def test_the_settings_outlive_a_shutdown() -> None:
    """The next run keeps to what `configure()` was given: where to, and what is redacted."""
    remit.configure(mode="off", purpose="eval")
    remit.shutdown(0.1)
    assert process.current().settings.purpose == "eval"


@pytest.mark.usefixtures("fresh")
def test_nothing_is_there_to_flush_before_the_first_use() -> None:
    """An empty flush is true."""
    assert remit.flush(0.1)
    assert remit.shutdown(0.1)


@pytest.mark.parametrize(
    ("order", "refused"),
    [
        ("bare own later bare", None),
        ("own bare later own bare", None),
        ("bare other", "other"),
        ("other own bare", "bare"),
        ("own bare later other", "other"),
    ],
)
def test_the_setting_agent_id_is_of_the_one_agent_without_its_own(
    order: str, refused: str | None
) -> None:
    """A second such agent that runs is an error that names both, whatever else was declared."""
    setting, explicit = "01m87w83jttgb1tsy0aqwcmb8r9zyn2d", "01m87w83jttgb1tsy0aqwcmb8r9zyn2e"
    with isolated(agent_id=setting) as sink:

        @remit.agent
        def bare() -> None: ...

        @remit.agent
        def other() -> None: ...

        @remit.agent(agent_id=explicit)
        def own() -> None: ...

        agents = {"bare": bare, "other": other, "own": own}
        for name in order.split():
            if name == "later":
                remit.span_type("declared later")(len)
            elif name == refused:
                with pytest.raises(SettingsError, match=r"bare and .*other|other and .*bare"):
                    agents[name].run().__enter__()
            else:
                with agents[name].run():
                    pass
        sent = {run.agent.rpartition(".")[2]: run.feed.agent.agent_id for run in sink.runs}
        assert sent == {
            name: explicit if name == "own" else setting
            for name in order.split()
            if name not in {"later", refused}
        }


def test_a_type_first_seen_later_joins_the_next_runs_registration(
    recorder: RecordingSink, caplog: pytest.LogCaptureFixture
) -> None:
    """One of a module that a run imports; its spans are sent all the same, and one line says so."""
    caplog.set_level(logging.INFO)
    names: dict[str, Any] = {"__name__": __name__, "remit": remit}
    for _ in range(2):
        with agent.run():
            if "later" not in names:
                exec("@remit.span_type\ndef later() -> None: ...", names)
            for _ in range(2):
                names["later"]()
    first, second = (run.feed.agent.registration() for run in recorder.runs)
    assert f"{__name__}:later" not in names_of(first)
    assert f"{__name__}:later" in names_of(second)
    assert caplog.text.count(f"{__name__}:later was first seen after") == 1
    assert len(recorder.spans("later")) == 4


def test_a_type_of_elsewhere_is_said_once_and_joins_no_registration(
    recorder: RecordingSink, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Its spans are recorded; one line for the steps of its module says how to add them."""
    names = module_of(
        tmp_path,
        "@remit.span_type\ndef first(a: int) -> None: ...\n"
        "@remit.span_type\ndef second(a: int) -> None: ...\n",
        "elsewhere",
    )
    for _ in range(2):
        with agent.run():
            names["first"](1)
            names["second"](2)
    first, second = (run.feed.agent.registration() for run in recorder.runs)
    assert first == second
    assert "elsewhere:first" not in names_of(first)
    assert caplog.text.count("elsewhere:") == 2
    # Other modules of the tests have steps, too.
    _, _, listed = caplog.text.partition("To include it: @remit.agent(span_types=[")
    assert "'elsewhere:'" in listed
    assert [span.payload for span in recorder.spans()] == [{"a": 1}, {"a": 2}] * 2


TWICE = {
    "setter": """
class Order:
    @property
    @remit.span_type
    def total(self) -> int: return 1
    @total.setter
    @remit.span_type
    def total(self, value: int) -> None: ...
use = lambda: Order().total
""",
    "dispatch": """
@functools.singledispatch
def size(value): ...
@size.register
@remit.span_type
def _(value: int) -> int: return 1
@size.register
@remit.span_type
def _(value: str) -> int: return 1
use = lambda: size(1)
""",
    "explicit name in a script": """
@remit.span_type("dup")
def one() -> None: ...
@remit.span_type("dup")
def other() -> None: ...
use = lambda: one()
""",
}
"""Modules that declare one name twice, and use the first function."""
REDEFINED = {
    "condition": """
if True:
    @remit.span_type
    def tool() -> None: ...
else:
    @remit.span_type
    def tool() -> None: ...
use = lambda: tool()
""",
    "overload": """
@typing.overload
@remit.span_type
def tool(value: int) -> int: ...
@typing.overload
@remit.span_type
def tool(value: str) -> str: ...
@remit.span_type
def tool(value): return value
use = lambda: tool(1)
""",
    "later definition": """
@remit.span_type
def tool() -> int: return 1
@remit.span_type
def tool() -> int: return 2
use = lambda: tool()
""",
    "factory": """
def make(value):
    if value:
        @remit.span_type
        def tool() -> None: ...
    else:
        @remit.span_type
        def tool() -> None: ...
    return tool
use = lambda first=make(True), second=make(False): (first(), second())
""",
}
"""Modules that declare one name more than once, as Python programs do."""


def module_of(folder: Path, source: str, name: str = "orders") -> dict[str, Any]:
    """Return the names of a module that is made of *source*, in a new file."""
    file = folder / f"{name}.py"
    names: dict[str, Any] = {"__name__": name, "__file__": str(file)}
    names |= {"remit": remit, "functools": functools, "typing": typing}
    exec(compile(source, file, "exec"), names)
    return names


@pytest.mark.parametrize("case", TWICE)
def test_two_functions_of_one_name_are_logged_once_when_the_first_is_used(
    case: str, recorder: RecordingSink, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The line names both places, as only one of them is registered."""
    names = module_of(tmp_path, TWICE[case], "__main__" if "script" in case else "orders")
    for _ in range(2):
        with agent.run():
            names["use"]()
    assert len(recorder.spans()) == 2
    (line,) = [each.getMessage() for each in caplog.records if "two functions" in each.getMessage()]
    assert line.count(f"{names['__file__']}:") == 2
    assert "give one its own name" in line


@pytest.mark.parametrize("case", REDEFINED)
def test_a_function_that_is_defined_again_is_not_logged(
    case: str, recorder: RecordingSink, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The function that is used is the registered one, or depends on a condition."""
    names = module_of(tmp_path, REDEFINED[case])
    with agent.run():
        names["use"]()
    assert recorder.spans()
    assert "two functions" not in caplog.text


def test_a_function_from_before_a_reload_is_not_logged(
    recorder: RecordingSink,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An edit moved it, and another module holds the earlier one."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    source = "import remit\n@remit.span_type\ndef tool() -> None: ...\n"
    file = tmp_path / "reloaded_orders.py"
    file.write_text(source)
    module = importlib.import_module(file.stem)
    before = module.tool
    file.write_text(f"# An edit.\n{source}")
    importlib.reload(module)
    with agent.run():
        before()
        module.tool()
    assert len(recorder.spans("tool")) == 2
    assert "two functions" not in caplog.text


def test_a_block_changes_no_registration(recorder: RecordingSink) -> None:
    """The same source gives the same identifier, whichever blocks ran before."""
    before = agent.registration()
    for _ in range(2):
        with agent.run(), remit.span("plan", {"goal": "refund"}):
            pass
    assert agent.registration() == before
    assert [run.feed.agent.registration() for run in recorder.runs] == [before, before]


def names_of(registration: dict[str, object]) -> set[str]:
    """Return the names of the span types in a registration."""
    schema = registration["agent_schema_version"]
    assert isinstance(schema, dict)
    return {entry["name"] for entry in schema["span_type_schemas"]}


def test_a_sink_in_which_nothing_is_yet_is_one() -> None:
    """Some have a length, which is zero then."""

    class Counting(RecordingSink):
        def __len__(self) -> int:
            """Count the runs."""
            return len(self.runs)

    with setup.isolated(Settings(), sink=Counting()):
        agent()
        assert remit.current_run() is None
        sink = process.current().recorder.sink
    assert isinstance(sink, Counting)
    assert len(sink) == 1


def test_a_registration_is_complete(recorder: RecordingSink) -> None:
    """Version, schema version under its hash, one entry for each span type."""

    @remit.span_type(
        title="Find",
        template="Found {{ result }}",
        data_risk=remit.risk(allows="read_data", takes="contact_information"),
    )
    def find(email: str, limit: int = 3) -> list[str]:
        """Find orders.

        More words.
        """
        return [email] * limit

    @remit.agent("Finder", version="2.0")
    def finder(question: str) -> str:
        """Answer questions."""
        return question

    found = finder.registration()
    assert found["agent_version"] == {
        "name": "Finder",
        "external_identifier": "2.0",
        "description": "Answer questions.",
    }
    schema = found["agent_schema_version"]
    assert isinstance(schema, dict)
    assert schema["external_identifier"].startswith("schema-")
    entries = {entry["name"].rpartition(".")[2]: entry for entry in schema["span_type_schemas"]}
    entry = entries["find"]
    assert entry["title"] == "Find"
    assert entry["description"].startswith("Find orders.")
    assert entry["template"] == "Found {{ result }}"
    assert entry["data_risk"]["action_profile"]["read_data"] == "allowed"
    assert set(entry["params_schema"]["properties"]) == {"email", "limit"}
    assert entry["params_schema"]["required"] == ["email"]
    assert set(entry["result_schema"]["properties"]) == {"result"}
    assert {"remit:run", "remit:loss", "finder"} <= set(entries)
    assert finder.registration() == found
    assert recorder.runs == []


def test_a_fault_in_a_hook_of_ours_never_reaches_the_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A clock that raises loses the span; values and exceptions of the call are the bare ones."""

    class BrokenClock:
        """Raises once the run is open."""

        broken = False

        def wall_ns(self) -> int:
            """Return the time, or raise."""
            if self.broken:
                raise OSError
            return 1

        monotonic_ns = wall_ns

    @remit.span_type
    def double(n: int) -> int:
        return 2 * n

    clock = BrokenClock()
    with setup.isolated(Settings(), sink=RecordingSink(), clock=clock) as runtime:
        guard.faults.strict = False  # isolated() turned it on
        with agent.run():
            clock.broken = True
            assert double(4) == 8
            clock.broken = False
        assert runtime.status().faults["the start of a call"] >= 1
    assert "your program is not affected" in caplog.text


APP = """
import remit
remit.configure(mode="local", on_violation="deny")

@remit.span_type(data_risk=remit.risk(allows="financial_transactions"))
def pay() -> None: ...

@remit.agent(data_risk=remit.risk(forbids="financial_transactions"))
def payer() -> None:
    pay()

@remit.agent
def agent() -> None: ...
"""
TESTS = """
import httpx, pytest, remit
from app import agent, payer
from remit.testing import isolated

def denied():
    agent()
    with pytest.raises(remit.errors.DeniedError):
        payer()

def test_configured_at_import():
    denied()
    assert remit.status().mode == "off"

def test_configured_at_import_and_recorded(remit_recorder):
    denied()
    assert [run.status for run in remit_recorder.runs] == ["complete", "failed"]

def test_configured_at_import_and_recorded_in_a_block():
    with isolated() as recorder:
        denied()
    assert [run.status for run in recorder.runs] == ["complete", "failed"]
    with isolated(on_violation="observe"):
        payer()

def test_recorded(remit_recorder):
    agent()
    assert [run.status for run in remit_recorder.runs] == ["complete"]

def test_configured_in_the_test(remit_recorder, monkeypatch):
    for _ in range(2):
        remit.configure(mode="remote", on_violation="deny")
        denied()
        remit.shutdown()
    assert len(remit_recorder.runs) == 4

def test_credentials_that_come_later(monkeypatch):
    monkeypatch.setenv("REMIT_API_TOKEN", "production")
    monkeypatch.setenv("REMIT_API_URL", "http://127.0.0.1:9")
    remit.shutdown()
    remit.configure()
    agent()
    assert remit.status().mode == "off"

def test_a_transport_is_used():
    remit.shutdown()
    transport = httpx.MockTransport(lambda request: httpx.Response(503))
    remit.configure(api_url="https://api.example", api_token="t", transport=transport)
    agent()
    assert not remit.flush(0.2)
    assert remit.status().mode == "remote"
    remit.shutdown(0.1)
"""


@pytest.mark.gate
def test_a_test_session_sends_and_writes_nothing_of_its_own_accord(tmp_path: Path) -> None:
    """Whatever the code under test configures: its policy counts, its target does not."""
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "test_theirs.py").write_text(TESTS)
    environment = {
        **os.environ,
        "PREFACTOR_API_URL": "http://127.0.0.1:1",
        "REMIT_API_TOKEN": "production",
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "TMPDIR": str(tmp_path),
    }
    others = {each.name for each in entry_points(group="pytest11")} - {"remit"}
    without = [f"-pno:{name}" for name in (*others, "cacheprovider")]
    command = [sys.executable, "-m", "pytest", "-q", *without, str(tmp_path)]
    found = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=110,
        check=False,
    )  # fmt: skip
    assert "7 passed" in found.stdout, found.stdout
    assert not (tmp_path / "state").exists()
    assert list(tmp_path.glob("remit-tests-*")) == []


def test_a_run_around_an_isolated_block_is_not_current_in_it(recorder: RecordingSink) -> None:
    """As where a fixture of pytest holds a run open."""
    with agent.run() as run:
        with isolated() as inner:
            agent()
        assert remit.current_run() == run
    assert (len(inner.runs), len(inner.spans())) == (1, 1)
    assert (len(recorder.runs), len(recorder.spans())) == (1, 0)


def test_configure_keeps_the_recorder_and_takes_over_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also after a shutdown; what `isolated()` was given counts where nothing else is said."""
    monkeypatch.setenv("REMIT_PURPOSE", "nonsense")
    with isolated(max_payload_bytes=300) as recorder:
        remit.configure(api_url="http://127.0.0.1:9", api_token="t", purpose="eval")
        agent()
        settings = process.current().settings
        assert (settings.max_payload_bytes, settings.resolved_mode) == (300, "local")
        remit.shutdown()
        agent()
        with pytest.raises(SettingsError):
            remit.configure(mode="nonsense")  # type: ignore[arg-type]
        assert [run.purpose for run in recorder.runs] == ["eval", "eval"]
