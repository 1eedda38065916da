"""The spool as a program sees it: configuring is enough, and each target keeps to its own."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

import remit
from remit._deliver.spool.folder import OtherFiles
from remit._runtime import process, setup
from remit._runtime.targets import spool_of
from remit.config import Settings
from tests.fake_api import FakeApi, refusal
from tests.processes import wait_until
from tests.running_threads import threads
from tests.spooling import in_child, wait_until_written
from tests.unconfigured import unconfigured

URL = "http://remit.test"
TOKEN = "hunter2"


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Start from a process that has configured nothing."""
    with unconfigured():
        yield


@remit.agent("Spool's agent")
def agent() -> None:
    """Hold the runs of these tests."""


def configure(api: FakeApi, data_dir: Path, token: str = TOKEN) -> None:
    """Record for *api*."""
    remit.configure(
        api_url=URL,
        api_token=token,
        transport=api.transport,
        data_dir=data_dir,
        flush_interval_s=0.05,
    )


def leave(data_dir: Path, token: str = TOKEN) -> None:
    """Have a process be killed that could not deliver a run."""

    def act() -> None:
        api = FakeApi(rules=[lambda _path, _body: refusal(503)])
        configure(api, data_dir, token)
        agent()
        wait_until_written(remit.status)

    in_child(act)


def test_configuring_is_enough_to_send_what_an_ended_process_left(tmp_path: Path) -> None:
    """No run has to be opened."""
    leave(tmp_path)
    api = FakeApi()
    configure(api, tmp_path)
    assert remit.flush(60)
    assert [run["status"] for run in api.instances.values()] == ["complete"]
    assert remit.status().sent > 0


def test_an_outage_is_one_line_of_the_log_however_the_program_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It says what is wrong, where the record waits, and what sends it later."""
    configure(FakeApi(rules=[lambda _path, _body: refusal(503)]), tmp_path)
    caplog.clear()
    for _ in range(5):
        agent()
        remit.flush(0.2)
    wait_until(lambda: "returned 503" in caplog.text)
    assert remit.shutdown(1).spooled > 0
    (line,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert "returned 503" in line
    assert str(tmp_path / "spool") in line
    assert "remit spool send" in line


def test_an_outage_without_a_spool_names_the_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No line promises a folder that cannot be used."""
    (tmp_path / "data").write_text("a file where the folder should be")
    configure(FakeApi(rules=[lambda _path, _body: refusal(503)]), tmp_path / "data")
    agent()
    wait_until(lambda: "returned 503" in caplog.text)
    (line,) = [message for message in caplog.messages if "returned 503" in message]
    assert "are kept in memory" in line
    assert "remit spool send" not in line
    remit.shutdown(1)
    assert "are lost with this process" in caplog.messages[-1]


def test_configuring_starts_nothing_when_nothing_was_left(tmp_path: Path) -> None:
    """No thread, no folder."""
    configure(FakeApi(), tmp_path)
    assert threads() == set()
    assert not (tmp_path / "spool").exists()


def test_configuring_again_hands_over_what_was_being_sent(tmp_path: Path) -> None:
    """The first configuration lets go of the file, and its thread ends."""
    leave(tmp_path)
    configure(FakeApi(rules=[lambda _path, _body: refusal(503)]), tmp_path)
    api = FakeApi()
    configure(api, tmp_path)
    assert remit.flush(60)
    assert len(api.instances) == 1


def test_what_was_recorded_by_another_token_waits_for_it(tmp_path: Path) -> None:
    """Until that token comes, or a person says so."""
    leave(tmp_path, token="old")
    api = FakeApi()
    configure(api, tmp_path)
    assert remit.flush(60)
    assert api.seen == []
    settings = process.current().settings
    sent = setup.send_spooled(settings, 20, OtherFiles(any_token=True), set_aside=False)
    assert sent
    assert len(api.instances) == 1


def test_space_around_a_token_makes_it_no_other(tmp_path: Path) -> None:
    """As a copy from a file brings it."""
    leave(tmp_path, token=f" {TOKEN}\n")
    api = FakeApi()
    configure(api, tmp_path)
    assert remit.flush(60)
    assert len(api.instances) == 1


def test_the_token_is_nowhere_in_the_spool(tmp_path: Path) -> None:
    """Only eight bytes of its hash are."""
    leave(tmp_path)
    found = b"".join(path.read_bytes() for path in (tmp_path / "spool").iterdir())
    assert URL.encode() in found
    assert TOKEN.encode() not in found


def test_local_and_remote_never_share_a_file(tmp_path: Path) -> None:
    """And a data folder that is moved is still that of local mode."""
    local = spool_of(Settings(mode="local", data_dir=tmp_path / "a")).identity
    moved = spool_of(Settings(mode="local", data_dir=tmp_path / "b")).identity
    remote = spool_of(
        Settings(api_url="https://me:pass@x.example/", api_token=SecretStr("t"))
    ).identity
    assert local == moved
    assert local.target == "local"
    assert remote.target == "https://x.example"
    assert remote != local


def test_without_the_collector_local_mode_says_how_to_look_at_what_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package that is missing, where things wait, and the commands."""

    def fail(_: str) -> None:
        raise ModuleNotFoundError(name="starlette.routing")

    monkeypatch.setattr(importlib, "import_module", fail)
    remit.configure(mode="local", data_dir=tmp_path)
    agent()
    wait_until(lambda: remit.flush(0.2).last_error is not None)
    said = remit.status().last_error or ""
    assert f"starlette is not installed: recorded data waits in {tmp_path / 'spool'}" in said
    assert "`remit spool send`" in said


def test_mode_off_has_no_spool(tmp_path: Path) -> None:
    """No file, no thread, nothing to adopt."""
    leave(tmp_path)
    remit.configure(mode="off", data_dir=tmp_path)
    assert remit.flush(60)
    assert threads() == set()
    assert len(list((tmp_path / "spool").iterdir())) > 0
