"""Settings: arguments, environment, defaults, and errors that name what to mend."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import get_type_hints

import pytest

import remit
from remit.client import Client
from remit.config import (
    Settings,
    SettingsArguments,
    default_data_dir,
    load,
    unknown_variables,
    variables,
)
from remit.errors import SettingsError
from remit.testing import isolated
from tests.subtests import each
from tests.unconfigured import unconfigured


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read nothing of the desk's own environment."""
    for name in Settings.model_fields:
        for variable in variables(name):
            monkeypatch.delenv(variable, raising=False)


def hook(payload: dict[str, object]) -> dict[str, object]:
    """Stand for a user's hook."""
    return payload


def test_the_words_that_type_checkers_know_are_those_of_the_settings() -> None:
    """`configure()` has an argument for each setting, of the same words."""
    arguments = get_type_hints(SettingsArguments)
    assert list(arguments) == list(Settings.model_fields)
    for name in ("mode", "flush_on", "purpose", "on_violation", "outside_run"):
        assert arguments[name] == Settings.model_fields[name].annotation


def test_the_defaults_are_those_of_the_design() -> None:
    """A table that users read and tests pin."""
    settings = load({})
    assert settings.model_dump(exclude={"data_dir"}) == {
        "api_url": None,
        "api_token": None,
        "project": None,
        "agent_id": None,
        "environment_id": None,
        "mode": "auto",
        "flush_interval_s": 1.0,
        "flush_on": "interval",
        "max_buffer_bytes": 64 * 1024 * 1024,
        "max_spool_bytes": 1024 * 1024 * 1024,
        "max_payload_bytes": 64 * 1024,
        "max_batch_items": 500,
        "max_batch_bytes": 1024 * 1024,
        "request_timeout_s": 10.0,
        "exit_timeout_s": 2.0,
        "poll_interval_s": 30.0,
        "run_linger_s": 300.0,
        "purpose": "live",
        "on_violation": "observe",
        "approver": None,
        "ask_timeout_s": 120.0,
        "outside_run": None,
        "redact": None,
        "redact_off": (),
        "control_flow": (),
        "prices": None,
        "transport": None,
        "span_processor": None,
    }
    assert settings.resolved_mode == "local"


def test_the_state_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`$XDG_STATE_HOME/remit`, else `~/.local/state/remit`."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_data_dir() == tmp_path / "remit"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_data_dir() == tmp_path / ".local" / "state" / "remit"


def test_the_folder_of_a_setting_is_the_same_wherever_the_program_goes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`~` is the home folder; a relative path does not follow a change of the directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("REMIT_DATA_DIR", "~/data")
    assert load({}).data_dir == tmp_path / "data"
    monkeypatch.chdir(tmp_path)
    assert load({"data_dir": "data"}).data_dir == tmp_path / "data"


def test_an_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """And REMIT_ wins over PREFACTOR_, for the first four only."""
    monkeypatch.setenv("PREFACTOR_API_URL", "https://a.example/")
    monkeypatch.setenv("PREFACTOR_API_TOKEN", "t")
    monkeypatch.setenv("PREFACTOR_MODE", "off")
    monkeypatch.setenv("REMIT_FLUSH_INTERVAL_S", "0.5")
    monkeypatch.setenv("REMIT_PURPOSE", "")
    settings = load({})
    assert settings.api_url == "https://a.example"
    assert settings.resolved_mode == "remote"
    assert settings.flush_interval_s == 0.5
    assert settings.purpose == "live"
    monkeypatch.setenv("REMIT_API_URL", "https://b.example")
    assert load({}).api_url == "https://b.example"
    assert load({"api_url": "https://c.example"}).api_url == "https://c.example"


def test_a_variable_in_small_letters_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is meant is named, as with any other slip."""
    monkeypatch.setenv("remit_mode", "off")
    assert load({}).mode == "auto"
    assert unknown_variables() == {"remit_mode": "REMIT_MODE"}


def test_callables_and_types_are_named_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`module:function`, and several separated by commas."""
    monkeypatch.setenv("REMIT_REDACT", f"{__name__}:hook")
    monkeypatch.setenv("REMIT_CONTROL_FLOW", "asyncio:CancelledError, builtins:LookupError")
    monkeypatch.setitem(__import__("sys").modules, __name__, __import__("sys").modules[__name__])
    settings = load({})
    assert settings.redact is hook
    assert settings.control_flow == (asyncio.CancelledError, LookupError)
    assert load({"control_flow": KeyError}).control_flow == (KeyError,)


@each(
    ("overrides", "says"),
    [
        pytest.param({"flsh_interval_s": 1}, "did you mean 'flush_interval_s'", id="typo"),
        pytest.param({"zzz": 1}, "unknown setting 'zzz'; the settings are api_url", id="unknown"),
        pytest.param({"mode": "remote"}, "api_url is not set.*REMIT_API_URL", id="no-url"),
        pytest.param(
            {"mode": "remote", "api_url": "https://x"}, "api_token is not set", id="no-token"
        ),
        pytest.param({"mode": "x"}, "saw 'x', expected 'auto', 'remote'", id="mode"),
        pytest.param({"api_url": "example.com"}, "11 characters .*expected https", id="url"),
        pytest.param({"flush_interval_s": -1}, "greater than 0", id="interval"),
        pytest.param({"redact": "nothing"}, "expected module:name", id="redact-form"),
        pytest.param({"redact": "no.such:thing"}, "cannot be imported", id="redact-import"),
        pytest.param({"redact": 3}, "saw 3, expected callable", id="redact-type"),
        pytest.param({"control_flow": "builtins:nope"}, "cannot be imported", id="control-flow"),
        pytest.param({"data_dir": 3}, "saw 3, which is not a valid path", id="data-dir"),
        pytest.param(
            {"transport": 3}, "saw 3, expected a synchronous httpx transport", id="transport"
        ),
        pytest.param(
            {"span_processor": 3}, "saw 3, expected a span processor", id="span-processor"
        ),
    ],
)
def test_a_wrong_setting_names_itself_what_was_seen_and_what_is_allowed(
    overrides: dict[str, object], says: str
) -> None:
    """One sentence for each mistake."""
    with pytest.raises(SettingsError, match=says):
        load(overrides)


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says where the value came from."""
    monkeypatch.setenv("REMIT_MAX_BATCH_ITEMS", "many")
    with pytest.raises(
        SettingsError, match="max_batch_items from REMIT_MAX_BATCH_ITEMS: saw 'many'"
    ):
        load({})


def test_the_token_is_never_shown() -> None:
    """Neither in an error nor in the settings' own text."""
    with pytest.raises(SettingsError) as caught:
        load({"api_token": {"secret": "hunter2"}})
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(load({"api_token": "hunter2"}))


def test_a_module_that_fails_when_it_is_imported_is_a_wrong_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it raises; its text, which may be anything, is left out."""
    (tmp_path / "failing_hooks.py").write_text("raise RuntimeError('hunter2')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("REMIT_REDACT", "failing_hooks:redact")
    with pytest.raises(SettingsError, match=r"redact from REMIT_REDACT: .*RuntimeError") as raised:
        load({})
    assert "hunter2" not in str(raised.value)


@each(
    ("url", "shown"),
    [
        pytest.param("ftp://me:hunter2@api.example/hunter2", "ftp://api.example", id="password"),
        pytest.param("me:hunter2@api.example", "22 characters", id="no-scheme"),
        pytest.param("prefactor_live_hunter2", "22 characters", id="a-token"),
        pytest.param("eyJhbGciOiJIUzI1NiJ9.hunter2.c2ln", "33 characters", id="a-json-web-token"),
    ],
)
def test_a_wrong_url_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    """It goes to the log."""
    with pytest.raises(SettingsError, match="api_url") as raised:
        load({"api_url": url})
    assert "hunter2" not in str(raised.value)
    assert shown in str(raised.value)


@pytest.mark.parametrize("url", ["prefactor_live_hunter2", "https://api.example:hunter2"])
def test_a_client_shows_no_url_that_may_be_secret(url: str) -> None:
    """It is asked without the settings."""
    with pytest.raises(SettingsError, match="api_url") as raised:
        Client(url, "t")
    assert "hunter2" not in str(raised.value)


@each(
    ("variables_set", "said"),
    [
        pytest.param(
            {"REMIT_ON_VIOLATON": "deny"},
            ["REMIT_ON_VIOLATON is set, .*counts as REMIT_ON_VIOLATION"],
            id="misspelt",
        ),
        pytest.param({"REMIT_TOKEN": "x"}, ["did you mean REMIT_API_TOKEN"], id="shortened"),
        pytest.param(
            {"REMIT_XYLOPHONE": "x"},
            ["REMIT_XYLOPHONE is set, .*no such setting;"],
            id="none",
        ),
        pytest.param(
            {"REMIT_SERVE_PROXY": "1", "REMIT_PORT": "tcp://10.0.0.1:80", "REMIT_SERVICE_HOST": ""},
            [],
            id="of-others",
        ),
    ],
    monkeypatch=pytest.MonkeyPatch.context,
)
def test_a_variable_that_is_no_setting_is_said_once(
    variables_set: dict[str, str],
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of Kubernetes and of `remit serve`, nothing."""
    caplog.clear()
    for name, value in variables_set.items():
        monkeypatch.setenv(name, value)
    with unconfigured():
        for _ in range(2):
            remit.configure(mode="off")
    lines = [each.getMessage() for each in caplog.records]
    assert len(lines) == len(said)
    assert all(re.search(pattern, line) for pattern, line in zip(said, lines, strict=True))


@each(
    ("url", "warned"),
    [
        pytest.param("http://collector.internal:8000", True, id="http"),
        pytest.param("http://10.1.2.3", True, id="address"),
        pytest.param("https://api.example", False, id="https"),
        pytest.param("http://localhost:8000", False, id="localhost"),
        pytest.param("http://127.0.0.1:8000", False, id="loopback"),
        pytest.param("http://[::1]:8000", False, id="loopback-v6"),
    ],
)
def test_an_unencrypted_way_to_another_machine_is_said_once(
    url: str, *, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """When it is configured, before anything is sent."""
    caplog.clear()
    with unconfigured():
        for _ in range(2):
            remit.configure(api_url=url, api_token="hunter2", data_dir=tmp_path)
    assert caplog.text.count("unencrypted; use https://") == warned
    assert "hunter2" not in caplog.text


def test_mode_remote_without_a_url_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An absent URL is not described as a wrong one too."""
    monkeypatch.setenv("REMIT_MODE", "remote")
    with unconfigured(), pytest.raises(SettingsError) as raised:
        remit.configure()
    assert str(raised.value) == (
        "mode is 'remote' but api_url is not set: give it to configure() or as REMIT_API_URL, or "
        "choose mode='local'"
    )


def test_isolated_says_what_is_wrong_with_a_setting() -> None:
    """As `configure` does; nothing of pydantic's is shown."""
    with (
        pytest.raises(SettingsError, match=r"on_violation.*saw 'x', expected"),
        isolated(on_violation="x"),  # type: ignore[arg-type]
    ):
        pass
    with pytest.raises(SettingsError, match="unknown setting 'zzz'"), isolated(zzz=1):  # type: ignore[call-arg]
        pass


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65])
def test_a_project_that_cannot_be_in_an_identifier_is_refused(name: str) -> None:
    """The message says what is valid."""
    with pytest.raises(SettingsError, match="expected 1 to 64 letters, digits, dots"):
        load({"project": name})
