"""`remit spool`: what waits, sending it, and deleting it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from remit._spool import RunState
from remit._spool.folder import modified_ns
from remit.cli import main
from tests.fake_api import FakeApi, error, named
from tests.loopback import serving, unused_port
from tests.spooling import TOKEN, Spooled, close, in_child, item, record

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return what runs `remit spool`, with the spool in the test's folder."""

    def invoke(*words: str, url: str = "http://127.0.0.1:9", **more: str) -> Result:
        env = {
            "REMIT_DATA_DIR": str(tmp_path),
            "REMIT_API_URL": url,
            "REMIT_API_TOKEN": TOKEN,
            "COLUMNS": "100",
            **more,
        }
        return CliRunner().invoke(main, ["spool", *words], env=env)

    return invoke


def leave(folder: Path, url: str = "http://127.0.0.1:9", *, token: str = TOKEN) -> Spooled:
    """Leave a file with a run of two spans."""
    spooled = Spooled(folder, target=url, token=token)
    outbox = spooled.outbox()
    outbox.put([item(1 << 90), item(2 << 90), close()], [record()])
    outbox.close()
    return spooled


def leave_refused(folder: Path, url: str = "http://127.0.0.1:9") -> None:
    """Leave a file with two spans that a server refused."""
    outbox = Spooled(folder, target=url).outbox()
    outbox.put([item(1 << 90), item(2 << 90)], [record(RunState.ENDED)])
    outbox.set_aside(outbox.head(9), "validation_errors")
    outbox.close()


def test_an_empty_spool_is_nothing_to_worry_about(run: Run, tmp_path: Path) -> None:
    """Whether or not there is a folder."""
    for words in (("status",), ("purge", "--yes")):
        result = run(*words)
        assert result.exit_code == 0
        assert str(tmp_path / "spool") in result.output
    assert json.loads(run("status", "--json").output)["files"] == []


def test_status_shows_what_waits_for_whom(run: Run, tmp_path: Path) -> None:
    """Each file with its state, and why it is not sent with the settings as they are."""
    alive = Spooled(tmp_path, target="http://127.0.0.1:9").outbox()
    alive.put([item(1)], [record()])
    leave(tmp_path)
    leave(tmp_path, token="old")
    leave(tmp_path, "https://other.example")
    leave_refused(tmp_path)
    (tmp_path / "spool" / "broken.damaged").write_bytes(b"?")
    shown = run("status").output
    lines = shown.splitlines()
    for words in (
        ("in use", "1", "http://127.0.0.1:9"),
        ("waiting", "3", "http://127.0.0.1:9"),
        ("waiting", "3", "another token: send --all"),
        ("waiting", "3", "https://other.example (another target)"),
        ("set aside", "2", "http://127.0.0.1:9"),
        ("damaged", "0", "cannot be read"),
    ):
        assert any(all(word in line for word in words) for line in lines), (words, shown)
    assert "validation_errors" in shown
    assert "m:f" in shown
    files: list[dict[str, Any]] = json.loads(run("status", "--json").output)["files"]
    assert sorted(file["state"] for file in files) == [
        "damaged", "in_use", "set_aside", "waiting", "waiting", "waiting",
    ]  # fmt: skip
    (refused,) = next(file["set_aside"] for file in files if file["set_aside"])
    assert (refused["count"], refused["reason"]) == (2, "validation_errors")
    alive.close()


def test_looking_changes_nothing(run: Run, tmp_path: Path) -> None:
    """Not even the time at which a process wrote last: runs are ended with it."""
    spooled = Spooled(tmp_path, target="http://127.0.0.1:9")
    in_child(lambda: spooled.outbox().put([item(1)], [record()]))
    (path,) = spooled.folder.files(".db")
    before_ns = modified_ns(path)
    run("status")
    assert modified_ns(path) == before_ns
    assert spooled.take().last_write_ns == before_ns
    spooled.end()


def test_send_delivers_what_is_ours(run: Run, tmp_path: Path) -> None:
    """What was recorded by another token or for another target stays."""
    api = FakeApi()
    with serving(api.behave) as url:
        leave(tmp_path, url)
        leave(tmp_path, url, token="old")
        leave(tmp_path, "local")
        result = run("send", url=url)
        assert result.exit_code == 0
        assert f"Sent 3 items to {url}." in result.output
        assert len(api.spans) == 2
        assert len(Spooled(tmp_path).folder.files(".db")) == 2
        assert "Sent 3 items" in run("send", "--all", url=url).output
    assert len(Spooled(tmp_path).folder.files(".db")) == 1


def test_send_tells_what_waits_on(run: Run, tmp_path: Path) -> None:
    """And why; the exit status is for scripts."""
    url = f"http://127.0.0.1:{unused_port()}"
    leave(tmp_path, url)
    result = run("send", "--timeout", "0.5", url=url)
    assert result.exit_code == 1
    assert "3 wait on" in result.output
    assert "refused the connection" in result.output


def test_send_tries_once_more_what_was_refused(run: Run, tmp_path: Path) -> None:
    """When a person asks for it; what is refused again is set aside again."""
    api = FakeApi()
    api.refuse_item(named("m:f"), error("bad_request"))
    with serving(api.behave) as url:
        leave(tmp_path, url)
        refused = run("send", url=url)
        assert refused.exit_code == 1
        assert "refused 1" in refused.output
        assert "Sent 0 items" in run("send", url=url).output
        again = run("send", "--set-aside", url=url)
        assert again.exit_code == 0
        assert "Sent 1 items" in again.output
    assert len(api.spans) == 2
    assert list((tmp_path / "spool").iterdir()) == []


def test_send_needs_somewhere_to_send_to(run: Run) -> None:
    """Mode off is nowhere."""
    result = run("send", REMIT_MODE="off")
    assert result.exit_code == 1
    assert "REMIT_MODE" in result.output


def test_purge_deletes_what_no_process_has(run: Run, tmp_path: Path) -> None:
    """After asking; `--set-aside` leaves what can still be delivered."""
    alive = Spooled(tmp_path, target="http://127.0.0.1:9").outbox()
    alive.put([item(1)], [record()])
    leave(tmp_path)
    leave_refused(tmp_path)
    asked = run("purge")
    assert asked.exit_code == 1
    assert "Delete 2 files with 5 items" in asked.output
    assert "Deleted 1 files with 2 items" in run("purge", "--set-aside", "--yes").output
    assert "Deleted 1 files with 3 items" in run("purge", "--yes").output
    assert len(Spooled(tmp_path).folder.files(".db")) == 1
    assert alive.pending() == 1
    alive.close()


def test_the_doctor_tells_what_waits(tmp_path: Path) -> None:
    """With the command that shows it, and the one that sends it."""
    url = f"http://127.0.0.1:{unused_port()}"
    leave(tmp_path, url)
    leave_refused(tmp_path, url)
    env = {"REMIT_DATA_DIR": str(tmp_path), "REMIT_API_URL": url, "REMIT_API_TOKEN": TOKEN}
    shown = CliRunner().invoke(main, ["doctor", "--json"], env=env).output
    (check,) = [each for each in json.loads(shown)["checks"] if each["name"] == "spool"]
    assert check["verdict"] == "note"
    assert check["said"].startswith("4 items and open runs of ended processes wait, 2 items were")
    assert "remit spool send" in check["advice"]
