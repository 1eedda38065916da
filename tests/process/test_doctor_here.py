"""`remit doctor` looks at this machine: settings, folder, spool, libraries, local mode."""

from __future__ import annotations

import importlib
import shutil
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from remit.cli import main
from tests.doctored import doctor, found, wrong
from tests.inside import httpx, size
from tests.inside_collector import VERSION
from tests.spooling import Spooled, close, item, stored_run

TOKEN = "prefactor_test_token_0123456789"


def test_local_mode_without_the_collector_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing would be recorded, and the program would only log it."""
    monkeypatch.setitem(sys.modules, "starlette", None)
    result = doctor(REMIT_DATA_DIR=str(tmp_path))
    assert wrong(result)["code"] == "collector"
    assert "install the extra `collector` of remit" in wrong(result)["advice"]


def test_local_mode_with_everything_in_place_has_nothing_wrong(tmp_path: Path) -> None:
    """The doctor makes no folder and no file: it only looks."""
    folder = tmp_path / "new"
    result = doctor(REMIT_DATA_DIR=str(folder))
    assert result.exit_code == 0
    statuses = {check["status"] for name, check in found(result).items() if name != "spool memory"}
    assert statuses == {"ok"}
    assert not folder.exists()


def test_a_wrong_setting_is_named_and_ends_the_examination() -> None:
    """Nothing else can be said before it is fixed."""
    result = doctor(REMIT_FLUSH_ON="never")
    assert wrong(result)["name"] == "settings"
    assert "REMIT_FLUSH_ON" in wrong(result)["message"]
    assert list(found(result)) == ["versions", "settings"]


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    """A file has the name of the folder."""
    (tmp_path / "file").touch()
    result = doctor(REMIT_DATA_DIR=str(tmp_path / "file" / "remit"))
    assert wrong(result)["code"] == "data_dir"
    assert str(tmp_path / "file") in wrong(result)["message"]


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the data folder fails, though the folder can be written to."""
    usage = shutil.disk_usage(tmp_path)._replace(free=4096)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    check = wrong(doctor(REMIT_DATA_DIR=str(tmp_path / "new")))
    assert (check["name"], check["code"]) == ("data directory", "disk_full")
    assert check["message"] == f"only 4.0 KiB are free on the disk of {tmp_path / 'new'}"


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux")
@pytest.mark.parametrize(
    ("most_bytes", "status", "said"),
    [
        pytest.param(1 << 50, "wrong", " that this process may use", id="more than there is"),
        pytest.param(1 << 20, "note", "may take 1.0 MiB", id="little"),
    ],
)
def test_a_spool_that_is_memory_is_named(most_bytes: int, status: str, said: str) -> None:
    """Else an outage would fill the memory of a container, and have its program killed."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        result = doctor(REMIT_DATA_DIR=f"{folder}/new", REMIT_MAX_SPOOL_BYTES=str(most_bytes))
    check = found(result)["spool memory"]
    assert check["status"] == status
    assert f"the spool in {folder}/new is in memory (tmpfs)" in check["message"]
    assert said in check["message"]
    assert "REMIT_DATA_DIR" in check["advice"]
    assert ("REMIT_MAX_SPOOL_BYTES" in check["advice"]) is (status == "wrong")


def test_a_buffer_that_may_take_more_than_half_of_the_memory_is_named(tmp_path: Path) -> None:
    """The bound that `max_buffer_bytes` has by default is too much for a small container."""
    result = doctor(REMIT_DATA_DIR=str(tmp_path), REMIT_MAX_BUFFER_BYTES=str(1 << 50))
    check = found(result)["memory"]
    assert (check["status"], check["code"]) == ("wrong", "buffer_memory")
    assert "1048576.0 GiB are kept in memory of the " in check["message"]
    assert "REMIT_MAX_BUFFER_BYTES" in check["advice"]
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        pytest.param({"REMIT_MODE": "off"}, "nothing is recorded", id="off"),
        pytest.param({"REMIT_API_TOKEN": TOKEN}, "REMIT_API_URL is not set", id="token"),
    ],
)
def test_settings_that_are_half_there_are_noted(
    variables: dict[str, str], said: str, tmp_path: Path
) -> None:
    """They are allowed, and rarely meant."""
    result = doctor(REMIT_DATA_DIR=str(tmp_path), **variables)
    assert found(result)["mode"]["status"] == "note"
    assert said in found(result)["mode"]["message"]
    assert result.exit_code == 0


@pytest.mark.smoke
@pytest.mark.parametrize("variable", ["REMIT_API_URL", "PREFACTOR_API_URL"])
def test_a_server_without_a_token_is_wrong(variable: str, tmp_path: Path) -> None:
    """Nothing is sent to it, although its address was set."""
    url = "https://remit.example.com"
    result = doctor(REMIT_DATA_DIR=str(tmp_path), **{variable: url})
    check = wrong(result)
    assert (check["name"], check["code"], result.exit_code) == ("mode", "no_token", 1)
    assert f"nothing is sent to {url}" in check["message"]
    assert f"{variable} is set and REMIT_API_TOKEN is not" in check["message"]
    assert "Set REMIT_API_TOKEN" in check["advice"]
    local = doctor(REMIT_DATA_DIR=str(tmp_path), REMIT_MODE="local", **{variable: url})
    assert local.exit_code == 0


def test_people_read_a_line_for_each_check(tmp_path: Path) -> None:
    """The status is a word, so that it is readable without colours."""
    variables = {"REMIT_MODE": "local", "REMIT_DATA_DIR": str(tmp_path)}
    result = CliRunner().invoke(main, ["doctor"], env=variables)
    lines = result.stdout.splitlines()
    assert lines[0].startswith("ok     versions       remit ")
    assert lines[-1] == "Nothing is wrong."
    rejected = CliRunner().invoke(main, ["doctor"], env={"REMIT_MODE": "nonsense"})
    assert rejected.exit_code == 1
    assert rejected.stdout.splitlines()[-1] == "Something is wrong: settings."


@pytest.mark.parametrize(
    ("name", "status", "advice"),
    [
        pytest.param(
            "REMIT_FLUSH_INTERVALL_S",
            "wrong",
            "Did you mean REMIT_FLUSH_INTERVAL_S?",
            id="mistyped",
        ),
        pytest.param("REMIT_API_TOKN", "wrong", "Did you mean REMIT_API_TOKEN?", id="secret"),
        pytest.param("REMIT_XYLOPHONE", "note", "Unset REMIT_XYLOPHONE.", id="another's"),
    ],
)
def test_a_variable_that_is_no_setting_is_told(
    name: str, status: str, advice: str, tmp_path: Path
) -> None:
    """The output suggests a similar setting and hides the value; the other checks run."""
    result = doctor(REMIT_DATA_DIR=str(tmp_path), **{name: "hunter2"})
    check = found(result)["variables"]
    assert (check["status"], check["advice"]) == (status, advice)
    assert name in check["message"]
    assert result.exit_code == (status == "wrong")
    assert found(result)["mode"]["status"] == "ok"
    assert "hunter2" not in result.output


def test_a_misspelt_policy_that_counts_is_not_listed_as_a_setting(tmp_path: Path) -> None:
    """The check of the variables says for which setting it counts."""
    checks = found(doctor(REMIT_DATA_DIR=str(tmp_path), REMIT_ON_VIOLATON="deny"))
    assert checks["settings"]["message"] == "from the environment: REMIT_DATA_DIR"
    expected = "REMIT_ON_VIOLATON is set but is not a setting; it counts as REMIT_ON_VIOLATION"
    assert checks["variables"]["message"] == expected


def says_to_need(folder: Path, *libraries: str) -> None:
    """Install metadata by which remit needs these libraries."""
    made = folder / "site" / "remit-1.0.dist-info"
    made.mkdir(parents=True, exist_ok=True)
    needed = "".join(f"Requires-Dist: {library}\n" for library in libraries)
    (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: remit\nVersion: 1.0\n{needed}")
    importlib.invalidate_caches()


def test_a_library_that_is_too_old_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is a missing one; libraries of extras do not count."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    says_to_need(tmp_path, "click>=1.0", "starlette>=999; extra == 'collector'", "wrapt>=99.1")
    check = wrong(doctor(REMIT_DATA_DIR=str(tmp_path)))
    assert check["code"] == "version"
    assert "remit needs 99.1 or later" in check["message"]
    assert check["advice"] == "pip install --upgrade 'wrapt>=99.1'"
    says_to_need(tmp_path, "no-such-library>=1.0")
    assert "no-such-library none is" in wrong(doctor(REMIT_DATA_DIR=str(tmp_path)))["message"]


def test_the_http_library_in_use_is_named(tmp_path: Path) -> None:
    """It is httpx2 where that is installed."""
    said = found(doctor(REMIT_DATA_DIR=str(tmp_path)))["versions"]["message"]
    assert f", {httpx.__name__} {httpx.__version__}, " in said


def test_local_mode_without_what_serving_needs_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program records; only `remit serve` would not start."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = doctor(REMIT_DATA_DIR=str(tmp_path))
    assert found(result)["collector"]["status"] == "note"
    assert "uvicorn is not installed" in found(result)["collector"]["message"]
    assert result.exit_code == 0


def test_local_modes_database_is_looked_at(tmp_path: Path) -> None:
    """One that is none, and those of other versions, are told apart; none is changed."""
    path = tmp_path / "remit.db"
    path.write_bytes(b"something else, and long enough to be looked at" * 100)
    assert wrong(doctor(REMIT_DATA_DIR=str(tmp_path)))["code"] == "database"
    path.unlink()
    for schema, code, said in (
        (VERSION, "", "remit.db, "),
        (1, "version", "its schema version is 1"),
        (999, "version", "its schema version is 999"),
    ):
        with closing(sqlite3.connect(path)) as opened:
            opened.execute(f"PRAGMA user_version = {schema}")
        before = path.read_bytes()
        check = found(doctor(REMIT_DATA_DIR=str(tmp_path)))["database"]
        assert check["code"] == code
        assert path.read_bytes() == before
        assert said in check["message"]


def spool_check(folder: Path, **more: str) -> dict[str, str]:
    """Return the check of the spool for a server that does not exist."""
    url = "http://127.0.0.1:9"
    result = doctor(REMIT_DATA_DIR=str(folder), REMIT_API_URL=url, REMIT_API_TOKEN=TOKEN, **more)
    return found(result)["spool"]


def test_the_spool_is_told_by_what_becomes_of_it(tmp_path: Path) -> None:
    """What waits for us, for others, what is in use, what is damaged; how much, how old."""
    assert spool_check(tmp_path)["message"] == "nothing waits on disk"
    alive = Spooled(tmp_path, target="http://127.0.0.1:9", token=TOKEN)
    alive.outbox().put([item(1)], [stored_run()])
    check = spool_check(tmp_path)
    assert (check["status"], check["message"]) == (
        "ok", "nothing waits on disk, 1 file of running programs",
    )  # fmt: skip
    for token in (TOKEN, "old"):
        left = Spooled(tmp_path, target="http://127.0.0.1:9", token=token).outbox()
        left.put([item(1 << 90), close()], [stored_run()])
        left.close()
    (tmp_path / "spool" / "torn.db").write_bytes(b"no database" * 1000)
    check = spool_check(tmp_path)
    waits, others, damaged, amount = check["message"].split("; ")
    assert waits.startswith("2 items of ended programs wait, for ")
    assert others == "2 wait for another server or token"
    assert damaged == "1 damaged file"
    assert amount == f"{size(alive.folder.size_bytes())} in all, 1 file of running programs"
    assert check["status"] == "note"
    alive.end()


def test_a_run_without_items_is_told_if_its_program_has_ended(tmp_path: Path) -> None:
    """The count of items does not include it, as in the status of the spool."""
    left = Spooled(tmp_path, target="http://127.0.0.1:9", token=TOKEN).outbox()
    left.put([], [stored_run()])
    left.close()
    check = spool_check(tmp_path)
    assert check["status"] == "note"
    assert check["message"].startswith("1 run of ended programs did not end; ")


def test_a_spool_that_is_nearly_full_is_wrong(tmp_path: Path) -> None:
    """New spans are dropped soon."""
    left = Spooled(tmp_path, target="http://127.0.0.1:9", token=TOKEN).outbox()
    left.put([item(1 << 90, b"x" * 100_000)], [stored_run()])
    left.close()
    check = spool_check(tmp_path, REMIT_MAX_SPOOL_BYTES="100000")
    assert (check["status"], check["code"]) == ("wrong", "spool_full")
    assert "REMIT_MAX_SPOOL_BYTES" in check["advice"]
    assert "97.7 KiB" in check["message"]
