"""The policy does not depend on the settings of recording: a wrong one never switches it off."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import remit
from remit.config import Settings, variables
from remit.errors import DeniedError, SettingsError
from tests.governed import BODIES, agent, free, pay, undeclared
from tests.subtests import each
from tests.unconfigured import unconfigured


@contextmanager
def fresh() -> Generator[pytest.MonkeyPatch]:
    """Start from a process that has configured nothing, with an environment that says nothing."""
    BODIES.clear()
    with pytest.MonkeyPatch.context() as environment, unconfigured():
        for name in Settings.model_fields:
            for variable in variables(name):
                environment.delenv(variable, raising=False)
        yield environment


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Start afresh."""
    with fresh():
        yield


def without_home() -> Path:
    """Fail as `Path.home` does for a user without a home folder."""
    raise RuntimeError


def use(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """Set variables, and be refused a step that the agent forbids."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for _ in range(2):
        with agent.run(), pytest.raises(DeniedError):
            pay()
    assert BODIES == []


@each(
    ("environment", "said"),
    [
        pytest.param(
            {"REMIT_FLUSH_INTERVAL_S": "1s"}, "REMIT_FLUSH_INTERVAL_S: saw '1s'", id="number"
        ),
        pytest.param({"REMIT_MODE": "remotely"}, "REMIT_MODE: saw 'remotely'", id="mode"),
        pytest.param({"REMIT_MODE": "remote"}, "api_url is not set", id="no-url"),
        pytest.param({"REMIT_API_URL": "example.com"}, "REMIT_API_URL", id="url"),
        pytest.param(
            {"REMIT_API_URL": "https://me:pw@example.com", "REMIT_API_TOKEN": "t"},
            "contains a user or password",
            id="password-in-the-url",
        ),
        pytest.param({"REMIT_REDACT": "no.such:hook"}, "cannot be imported", id="hook"),
        pytest.param({"REMIT_REDACT_OFF": "nonsense"}, "not a redaction rule", id="redact-off"),
    ],
    monkeypatch=fresh,
)
def test_the_policy_holds_beside_a_setting_that_cannot_be_read(
    environment: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing is recorded until it is mended, and one line says so."""
    caplog.clear()
    use(monkeypatch, environment | {"REMIT_ON_VIOLATION": "deny"})
    assert remit.status().mode == "off"
    (line,) = [each.getMessage() for each in caplog.records if "off until" in each.getMessage()]
    assert said in line
    assert "on_violation is deny" in line


def test_the_policy_holds_for_a_user_without_a_home_folder(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is recorded until `data_dir` is set, and one line names its variable."""
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", without_home)
    use(monkeypatch, {"REMIT_ON_VIOLATION": "deny"})
    assert remit.status().mode == "off"
    (line,) = [each.getMessage() for each in caplog.records if "off until" in each.getMessage()]
    assert "REMIT_DATA_DIR" in line
    with pytest.raises(SettingsError, match="REMIT_DATA_DIR"):
        remit.configure(on_violation="deny")


@each("word", ["Deny", "DENY", " deny "], monkeypatch=fresh)
def test_on_violation_is_read_in_any_case(
    word: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a right value: nothing is said of it."""
    caplog.clear()
    use(monkeypatch, {"REMIT_ON_VIOLATION": word, "REMIT_MODE": "off"})
    assert "off until" not in caplog.text


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"REMIT_ON_VIOLATION": "denied"}, id="alone"),
        pytest.param({"REMIT_ON_VIOLATION": "denied", "REMIT_MODE": "x"}, id="beside-another"),
    ],
)
def test_an_unreadable_on_violation_denies(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody asked for something; what it was cannot be known."""
    use(monkeypatch, environment)
    assert caplog.text.count("on_violation from REMIT_ON_VIOLATION: saw 'denied'") == 1


@each(
    ("variable", "meant"),
    [
        pytest.param("REMIT_ON_VIOLATON", "REMIT_ON_VIOLATION", id="letter"),
        pytest.param("REMIT_VIOLATION", "REMIT_ON_VIOLATION", id="shortened"),
        pytest.param("remit_on_violation", "REMIT_ON_VIOLATION", id="small-letters"),
    ],
    monkeypatch=fresh,
)
def test_a_misspelt_policy_variable_counts(
    variable: str, meant: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise a typo would switch the policy off; one line names the right spelling."""
    caplog.clear()
    use(monkeypatch, {variable: "deny", "REMIT_MODE": "off"})
    (line,) = [each.getMessage() for each in caplog.records if variable in each.getMessage()]
    assert f"counts as {meant}" in line


@each(
    "environment",
    [
        pytest.param({"REMIT_VIOLATION": "fatal"}, id="another-word"),
        pytest.param({"REMIT_RUN": "deny"}, id="another-name"),
        pytest.param(
            {"REMIT_ON_VIOLATION": "observe", "REMIT_VIOLATION": "deny"}, id="beside-the-right-one"
        ),
    ],
    monkeypatch=fresh,
)
def test_another_variable_is_no_policy(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name or a word that only resembles a policy refuses nothing."""
    for name, value in (environment | {"REMIT_MODE": "off"}).items():
        monkeypatch.setenv(name, value)
    with agent.run():
        pay()


def test_a_misspelt_variable_does_not_loosen_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the setting beside it nor another misspelling that refuses."""
    monkeypatch.setenv("REMIT_ON_VIOLATIN", "observe")
    monkeypatch.setenv("REMIT_ON_VIOLATON", "deny")
    monkeypatch.setenv("REMIT_INSIDE_RUN", "record")
    with pytest.raises(DeniedError, match="called outside any run"):
        undeclared()
    with agent.run(), pytest.raises(DeniedError):
        pay()


def test_an_unreadable_outside_run_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Likewise, whatever the step declares."""
    monkeypatch.setenv("REMIT_OUTSIDE_RUN", "refused")
    with pytest.raises(DeniedError, match="called outside any run"):
        undeclared()
    with free.run():
        undeclared()
    assert BODIES == ["undeclared"]


@each(
    "settings",
    [
        pytest.param({"flush_interval_s": "1s"}, id="value"),
        pytest.param({"flush_intervall_s": 1}, id="name"),
        pytest.param({"api_url": "https://me:pw@example.com", "api_token": "t"}, id="url"),
    ],
)
def test_the_policy_of_a_configure_that_failed_holds(settings: dict[str, Any]) -> None:
    """A program may catch the error, and go on without recording."""
    with fresh():
        with pytest.raises(SettingsError):
            remit.configure(on_violation="deny", **settings)
        with agent.run(), pytest.raises(DeniedError):
            pay()
        assert BODIES == []
        assert remit.status().mode == "off"
        remit.shutdown()
        remit.configure(mode="off")
        with agent.run():
            pay()
        assert BODIES == ["function 5"]


def test_a_misspelt_policy_of_a_configure_that_failed_holds() -> None:
    """A program may catch the error."""
    with pytest.raises(SettingsError, match="did you mean 'on_violation'"):
        remit.configure(on_violaton="deny")  # type: ignore[call-arg]
    with agent.run(), pytest.raises(DeniedError):
        pay()


def test_a_configure_that_fails_changes_nothing_that_was_configured() -> None:
    """The one before it counts."""
    remit.configure(mode="off", on_violation="deny", purpose="eval")
    with pytest.raises(SettingsError):
        remit.configure(purpose="nonsense")  # type: ignore[arg-type]
    with agent.run(), pytest.raises(DeniedError):
        pay()
