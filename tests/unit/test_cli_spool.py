"""`remit spool`: what waits, sending it, and deleting it."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from remit._deliver.spool.folder import modified_ns
from remit._deliver.stored import RunState
from remit.cli import main
from remit.cli._terminal import size
from tests.fake_api import FakeApi, error, named, refusal
from tests.inside import pfid
from tests.loopback import serving, unused_port
from tests.spooling import TOKEN, Spooled, close, in_child, item, key, stored_run

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return what runs `remit spool`, with the spool in the test's folder."""

    def invoke(
        *words: str,
        url: str = "http://127.0.0.1:9",
        answer: io.BytesIO | None = None,
        **more: str,
    ) -> Result:
        env = {
            "REMIT_DATA_DIR": str(tmp_path),
            "REMIT_API_URL": url,
            "REMIT_API_TOKEN": TOKEN,
            "COLUMNS": "100",
            **more,
        }
        return CliRunner().invoke(main, ["spool", *words], env=env, input=answer)

    return invoke


def leave(folder: Path, url: str = "http://127.0.0.1:9", *, token: str = TOKEN) -> Spooled:
    """Leave a file with a run of two spans."""
    spooled = Spooled(folder, target=url, token=token)
    outbox = spooled.outbox()
    outbox.put([item(1 << 90), item(2 << 90), close()], [stored_run()])
    outbox.close()
    return spooled


def leave_rejected(folder: Path, url: str = "http://127.0.0.1:9") -> None:
    """Leave a file with two spans that a server rejected."""
    outbox = Spooled(folder, target=url).outbox()
    ended = stored_run(RunState.ENDED)
    ended.instance_id = pfid(key(1 << 90), 0)
    outbox.put([item(1 << 90), item(2 << 90)], [ended])
    for row in outbox.head(9):
        outbox.set_aside(row, "validation_errors")
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
    alive.put([item(1)], [stored_run()])
    leave(tmp_path)
    leave(tmp_path, token="old")
    leave(tmp_path, "https://other.example")
    leave_rejected(tmp_path)
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
    (rejected,) = next(file["set_aside"] for file in files if file["set_aside"])
    assert (rejected["count"], rejected["reason"]) == (2, "validation_errors")
    alive.close()


def test_looking_changes_nothing(run: Run, tmp_path: Path) -> None:
    """Not even the time at which a process wrote last: runs are ended with it."""
    spooled = Spooled(tmp_path, target="http://127.0.0.1:9")
    in_child(lambda: spooled.outbox().put([item(1)], [stored_run()]))
    (path,) = spooled.folder.files(".db")
    before_ns = modified_ns(path)
    before = {each.name: each.read_bytes() for each in spooled.folder.path.iterdir()}
    assert " 1 " in run("status").output
    assert {each.name: each.read_bytes() for each in spooled.folder.path.iterdir()} == before
    assert modified_ns(path) == before_ns
    spooled.take()
    assert spooled.last_write_ns == before_ns
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


def test_send_delivers_what_was_recorded_for_a_url_that_is_mended(run: Run, tmp_path: Path) -> None:
    """By whatever token, and with what was refused there; each target is named by a person."""
    api, wrong = FakeApi(), "https://wrong.example/console"
    with serving(api.behave) as url:
        leave(tmp_path, wrong, token="old")
        leave_rejected(tmp_path, wrong)
        leave(tmp_path, "local")
        unknown = run("send", "--from", "unknown", url=url)
        assert unknown.exit_code == 1
        assert f"was recorded for unknown; there are items for {wrong}, local" in unknown.output
        sent = run("send", "--from", f"{wrong}/", "--set-aside", url=url)
        assert sent.exit_code == 0, sent.output
        assert f"Sent 7 items to {url}." in sent.output
    (file,) = json.loads(run("status", "--json").output)["files"]
    assert file["target"] == "local"


@pytest.mark.parametrize("alive", [False, True], ids=["left", "in use"])
def test_a_file_to_which_nothing_was_written_is_shown_as_empty(
    run: Run, tmp_path: Path, *, alive: bool
) -> None:
    """Its process ended, or has only begun."""
    claim = Spooled(tmp_path).folder.create()
    if not alive:
        claim.release()
    words = "nothing is written to it yet" if alive else "nothing was written to it"
    shown = run("status").output
    assert words in shown
    assert "remit spool send" not in shown
    (file,) = json.loads(run("status", "--json").output)["files"]
    assert file["state"] == ("in_use" if alive else "empty")
    assert "nothing to delete" in run("purge", "--set-aside", "--yes").output
    claim.release()
    assert "Deleted 1 file with 0 items" in run("purge", "--yes").output


def test_runs_that_a_killed_program_left_open_are_shown(run: Run, tmp_path: Path) -> None:
    """All its items were delivered; a purge leaves the runs active at the server."""
    spooled = Spooled(tmp_path, target="http://127.0.0.1:9")
    in_child(lambda: spooled.outbox().put([], [stored_run()]))
    assert "http://127.0.0.1:9, 1 open run\n" in run("status").output
    asked = run("purge", answer=io.BytesIO(b"n\n")).output
    assert "Delete 1 file with 0 items and 1 open run, never delivered?" in asked


def test_send_tells_what_waits_on(run: Run, tmp_path: Path) -> None:
    """And why; the exit status is for scripts."""
    url = f"http://127.0.0.1:{unused_port()}"
    leave(tmp_path, url)
    result = run("send", "--timeout", "0.5", url=url)
    assert result.exit_code == 1
    assert "3 items still wait" in result.output
    assert "refused the connection" in result.output


def test_send_tries_once_more_what_was_rejected(run: Run, tmp_path: Path) -> None:
    """When a person asks for it; what is rejected again is set aside again."""
    api = FakeApi()
    api.refuse_item(named("m:f"), error("bad_request"))
    with serving(api.behave) as url:
        leave(tmp_path, url)
        rejected = run("send", url=url)
        assert rejected.exit_code == 1
        assert "rejected 1 item" in rejected.output
        assert "Sent 0 items" in run("send", url=url).output
        again = run("send", "--set-aside", url=url)
        assert again.exit_code == 0
        assert "Sent 1 item to" in again.output
    assert api.names().count("m:f") == 2
    assert list((tmp_path / "spool").iterdir()) == []


def test_send_counts_all_that_waits_on(run: Run, tmp_path: Path) -> None:
    """Not only the file that it had in its hands when it gave up; and says why."""
    api = FakeApi(rules=[lambda _path, _body: refusal(401, "bad_authtoken")])
    with serving(api.behave) as url:
        for _ in range(3):
            leave(tmp_path, url)
        result = run("send", "--timeout", "0.5", url=url)
    assert result.exit_code == 1
    assert "Sent 0 items" in result.output
    assert "9 items still wait: " in result.output
    assert "Check the api_token" in result.output
    assert TOKEN not in result.output


def test_send_says_what_it_leaves_and_who_sends_it(run: Run, tmp_path: Path) -> None:
    """What is another token's, another server's, or a running program's; that is nothing wrong."""
    api = FakeApi()
    with serving(api.behave) as url:
        alive = Spooled(tmp_path, target=url).outbox()
        alive.put([item(1)], [stored_run()])
        leave(tmp_path, url, token="old")
        leave(tmp_path, "local")
        result = run("send", url=url)
        assert result.exit_code == 0
        assert result.output.splitlines() == [
            f"Sent 0 items to {url}.",
            "3 items left by another token: `remit spool send --all` sends them",
            "3 items left for local: `remit spool send --from local` sends them",
            "1 file in use by running programs, which send the items",
        ]
        assert "another token" not in run("send", "--all", url=url).output
        assert len(api.spans) == 2
        alive.close()


def test_a_damaged_file_is_told_and_what_can_be_read_of_it_is_sent(
    run: Run, tmp_path: Path
) -> None:
    """Then it is put aside, and can be deleted."""
    api = FakeApi()
    with serving(api.behave) as url:
        (path,) = leave(tmp_path, url).folder.files(".db")
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) - len(whole) // 3])
        assert "damaged" in run("status", url=url).output
        assert json.loads(run("status", "--json", url=url).output)["files"][0]["state"] == "damaged"
        run("send", url=url)
        assert path.with_suffix(".damaged").exists()
        assert "Deleted 1 file" in run("purge", "--set-aside", "--yes", url=url).output
        assert not path.with_suffix(".damaged").exists()


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_rejected_item_makes_a_damaged_file(run: Run, tmp_path: Path) -> None:
    """The reading of the table ends quietly."""
    leave_rejected(tmp_path)
    (path,) = (tmp_path / "spool").glob("*.aside")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE aside SET crc = crc + 1 WHERE id = 1")
    assert "it cannot be read" in run("status").output


def test_status_says_how_to_send(run: Run, tmp_path: Path) -> None:
    """Only where there is something to be sent."""
    leave(tmp_path, token="old")
    leave(tmp_path, "https://other.example/a b")
    shown = run("status").output
    assert "`remit spool send` sends" not in shown
    assert "`remit spool send --all` sends the items by another token." in shown
    other = "`remit spool send --from 'https://other.example/a b'` sends the items for https://o"
    assert other in shown
    leave(tmp_path)
    shown = run("status").output
    assert "`remit spool send` sends the items." in shown
    assert "--set-aside" not in shown
    leave_rejected(tmp_path)
    assert "`remit spool send --set-aside` sends the rejected items again" in run("status").output


def test_many_reasons_are_cut_for_people_and_whole_for_programs(run: Run, tmp_path: Path) -> None:
    """A server that rejects each item in words of its own does not fill the terminal."""
    outbox = Spooled(tmp_path, target="http://127.0.0.1:9").outbox()
    outbox.put([item(n << 90) for n in range(1, 31)], [stored_run(RunState.ENDED)])
    for number, row in enumerate(outbox.head(30)):
        outbox.set_aside(row, f"reason_{number}")
    outbox.close()
    shown = run("status").output
    assert shown.count("reason_") == 20
    assert "10  more lines: --json shows all" in shown
    (file,) = json.loads(run("status", "--json").output)["files"]
    assert len(file["set_aside"]) == 30


def test_send_needs_somewhere_to_send_to(run: Run) -> None:
    """Mode off is nowhere."""
    result = run("send", REMIT_MODE="off")
    assert result.exit_code == 1
    assert "REMIT_MODE" in result.output


def test_purge_deletes_what_no_process_has(run: Run, tmp_path: Path) -> None:
    """After asking; `--set-aside` leaves what can still be delivered."""
    alive = Spooled(tmp_path, target="http://127.0.0.1:9").outbox()
    alive.put([item(1)], [stored_run()])
    leave(tmp_path)
    leave_rejected(tmp_path)
    asked = run("purge")
    assert asked.exit_code == 1
    assert "Delete 2 files with 5 items" in asked.output
    assert "Deleted 1 file with 2 items" in run("purge", "--set-aside", "--yes").output
    assert "Deleted 1 file with 3 items" in run("purge", "--yes").output
    assert len(Spooled(tmp_path).folder.files(".db")) == 1
    assert alive.pending() == 1
    alive.close()


class Thinking(io.BytesIO):
    """A person who says yes, and does something else before."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        """Begin to think."""
        super().__init__(b"y\n")
        self._meanwhile = meanwhile

    def read1(self, size: int | None = -1, /) -> bytes:
        """Answer."""
        self._meanwhile()
        return super().read1(size)


def test_purge_says_whose_it_is_and_deletes_only_what_it_asked_for(
    run: Run, tmp_path: Path
) -> None:
    """A process that ends while a person thinks about it keeps what it left."""
    leave(tmp_path)
    leave(tmp_path, "https://other.example")
    alive = Spooled(tmp_path, target="http://127.0.0.1:9").outbox()
    alive.put([item(1)], [stored_run()])
    told = run("purge", answer=Thinking(alive.close)).output
    assert "Delete 2 files with 6 items, never delivered, 1 file of them of another server" in told
    assert "Deleted 2 files with 6 items." in told
    assert len(Spooled(tmp_path).folder.files(".db")) == 1


def test_purge_says_what_it_could_not_delete(run: Run, tmp_path: Path) -> None:
    """A program was faster."""
    leave(tmp_path)
    leave(tmp_path)
    folder = Spooled(tmp_path).folder
    first = folder.files(".db")[0]
    claims: list[object] = []
    result = run("purge", answer=Thinking(lambda: claims.append(folder.claim(first))))
    assert result.exit_code == 1
    assert "Deleted 1 file with 3 items." in result.output
    assert "1 file could not be deleted" in result.output
    assert first.exists()


def test_the_doctor_tells_what_waits(tmp_path: Path) -> None:
    """With the command that shows it, and the one that sends it."""
    url = f"http://127.0.0.1:{unused_port()}"
    leave(tmp_path, url)
    leave_rejected(tmp_path, url)
    env = {"REMIT_DATA_DIR": str(tmp_path), "REMIT_API_URL": url, "REMIT_API_TOKEN": TOKEN}
    shown = CliRunner().invoke(main, ["doctor", "--json"], env=env).output
    (check,) = [each for each in json.loads(shown)["checks"] if each["name"] == "spool"]
    assert check["status"] == "note"
    waits, rejected, amount = check["message"].split("; ")
    assert waits.startswith("3 items of ended programs wait, for ")
    assert rejected == "2 items were rejected by a server"
    assert amount == f"{size(Spooled(tmp_path).folder.size_bytes())} in all"
    assert "remit spool send" in check["advice"]
