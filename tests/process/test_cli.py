"""The command line as a person meets it: in a process of its own, in a home that is new."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import serving
from tests.subtests import each

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "data" / "support_desk_registration.json"
LOCK = ROOT / "tests" / "data" / "support_desk.lock.json"
DESK = "examples.support_desk:support"
# With this before it, a program finds no collector: as without the extra.
WITHOUT_COLLECTOR = """
import sys
sys.modules["starlette"] = None
from remit.cli import main
main()
"""


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return the environment of a person who has set nothing."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("REMIT_", "PREFACTOR_", "XDG_"))
    }
    # A busy machine is slow to deliver.
    patience = {"REMIT_EXIT_TIMEOUT_S": "60"}
    return {**kept, "HOME": str(home), "COLUMNS": "80", **patience, **more}


def remit(
    home: Path, *words: str | Path, start: tuple[str, ...] = ("-m", "remit"), **more: str
) -> subprocess.CompletedProcess[str]:
    """Run `remit` where every warning is an error."""
    command = [sys.executable, "-W", "error", *start, *map(str, words)]
    return subprocess.run(
        command,
        cwd=more.pop("cwd", ROOT),
        env=environment(home, **more),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.smoke
def test_the_demo_shows_a_run_that_was_recorded_and_how_to_look_further(tmp_path: Path) -> None:
    """It runs on a machine without settings; its last lines name the place of the data."""
    demo = remit(tmp_path, "demo")
    assert (demo.returncode, demo.stderr) == (0, "")
    for number in range(1, 6):
        assert re.search(rf"^{number}/5  \S.*\n     Hello", demo.stdout, re.MULTILINE)
    assert re.search(r"^│  ├─ pay_back +complete +\+\d", demo.stdout, re.MULTILINE)
    assert "token=<redacted: type:SecretStr>" in demo.stdout
    record = tmp_path / ".local" / "state" / "remit" / "remit.db"
    assert f"The record   {record}\n" in demo.stdout
    assert record.is_file()
    page = r"^See it in a browser:\n  remit serve --open  .*\n  remit open  "
    assert re.search(page, demo.stdout, re.MULTILINE)
    listed = remit(tmp_path, "runs", "list", "--json")
    assert [each["run"]["status"] for each in json.loads(listed.stdout)] == ["complete"] * 5


def test_the_demo_may_be_repeated_and_put_elsewhere(tmp_path: Path) -> None:
    """The commands that it names are those for the other place."""
    folder = tmp_path / "my data"
    first, second = (remit(tmp_path, "demo", "--data-dir", folder) for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    for command in ("runs list", "serve --open", "open"):
        assert f"  remit {command} --db '{folder / 'remit.db'}' " in second.stdout
    listed = remit(tmp_path, "runs", "list", "--json", "--db", folder / "remit.db")
    assert len(json.loads(listed.stdout)) == 10


def test_the_demo_that_would_record_nothing_says_so(tmp_path: Path) -> None:
    """It fails and shows no run."""
    demo = remit(tmp_path, "demo", REMIT_MODE="off")
    assert (demo.returncode, demo.stdout) == (1, "")
    assert "unset REMIT_MODE" in demo.stderr


def test_the_demo_sends_to_the_server_that_the_environment_names(tmp_path: Path) -> None:
    """It reads its run back from that server."""
    db = tmp_path / "served.db"
    token = remit(tmp_path, "token", "create", "--quiet", "--db", db).stdout.strip()
    with serving(db, env=environment(tmp_path)) as server:
        demo = remit(tmp_path, "demo", REMIT_API_URL=server.url, REMIT_API_TOKEN=token)
        well = remit(tmp_path, "doctor", REMIT_API_URL=server.url, REMIT_API_TOKEN=token)
        assert server.end(signal.SIGINT).code == 0
    assert (demo.returncode, demo.stderr) == (0, "")
    assert f"remit records it at {server.url}" in demo.stdout
    assert re.search(r"^│  ├─ pay_back +complete +\+\d", demo.stdout, re.MULTILINE)
    assert (well.returncode, well.stderr) == (0, "")


def test_a_demo_that_cannot_deliver_fails_with_the_reason(tmp_path: Path) -> None:
    """Nothing listens on this port."""
    demo = remit(
        tmp_path,
        "demo",
        REMIT_API_URL="http://127.0.0.1:9",
        REMIT_API_TOKEN="prefactor_0123456789",
        REMIT_EXIT_TIMEOUT_S="0.2",
    )
    assert demo.returncode == 1
    assert "part of the record was not delivered" in demo.stderr
    assert "Traceback" not in demo.stderr


@pytest.mark.smoke
@pytest.mark.parametrize("seed", ["0", "4242"])
def test_the_registration_is_the_same_in_every_process_and_on_every_python(
    seed: str, tmp_path: Path
) -> None:
    """The bytes are the same, because recorded runs refer to them.

    After an intended change, write the file again with the command of this test.
    """
    shown = remit(tmp_path, "schema", "show", DESK, "--json", PYTHONHASHSEED=seed)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.encode() == GOLDEN.read_bytes()


def test_a_lock_is_the_same_in_every_process_and_on_every_python(tmp_path: Path) -> None:
    """Review compares the bytes. They hold no path and no line number.

    After an intended change, write the file again with the command of this test, without
    `made_with`.
    """
    locks: set[bytes] = set()
    for seed in ("0", "4294967295"):
        file = tmp_path / f"{seed}.json"
        words = ("lock", DESK.partition(":")[0], "-o", file)
        result = remit(tmp_path, *words, PYTHONHASHSEED=seed)
        assert (result.returncode, result.stderr) == (0, "")
        locks.add(file.read_bytes())
    (lock,) = locks
    content = json.loads(lock)
    assert content.pop("made_with").keys() == {"pydantic", "remit"}
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert text == LOCK.read_text("utf-8")
    assert not re.search(r"/(\w|~)|\.py\b|:\d+\b", text)


CARELESS = """
import remit

@remit.span_type
def step(number: int) -> int:
    return number

@remit.agent
def careless(number: int) -> int:
    return step(number)

remit.configure(mode="remote")
print("imported", careless(1))
"""


@pytest.mark.parametrize("words", ["show careless:careless", "check careless"])
def test_a_program_without_a_main_guard_is_looked_at_and_not_recorded(
    words: str, tmp_path: Path
) -> None:
    """What it prints does not stand in the command's JSON, and it needs no token to be imported."""
    (tmp_path / "careless.py").write_text(CARELESS)
    looked = remit(tmp_path, "schema", *words.split(), "--json", cwd=str(tmp_path))
    assert (looked.returncode, looked.stderr) == (0, "imported 1\n")
    assert "careless:step" in json.dumps(json.loads(looked.stdout))
    assert not (tmp_path / ".local").exists()


def test_a_server_for_others_without_a_token_is_rejected(tmp_path: Path) -> None:
    """Nothing is created or opened before that."""
    db = tmp_path / "new.db"
    rejected = remit(tmp_path, "serve", "--host", "0.0.0.0", "--db", db)
    assert rejected.returncode == 1
    assert "has no active token" in rejected.stderr
    assert f"remit token create --db {db}" in rejected.stderr
    assert not db.exists()


def test_an_address_that_is_taken_or_unknown_is_told(tmp_path: Path) -> None:
    """The error is one sentence."""
    db = tmp_path / "new.db"
    unknown = remit(tmp_path, "serve", "--host", "no-such-host.invalid", "--db", db)
    assert (unknown.returncode, "is unknown" in unknown.stderr) == (1, True)
    with serving(db, env=environment(tmp_path)) as server:
        taken = remit(tmp_path, "serve", "--port", str(server.port), "--db", db)
        ended = server.end()
    assert ended.code == 0
    assert "There is no token yet" in ended.errors
    assert (taken.returncode, "cannot listen on 127.0.0.1" in taken.stderr) == (1, True)


@pytest.mark.parametrize("page", ["on", "off"])
def test_a_server_without_a_token_says_what_it_answers(page: str, tmp_path: Path) -> None:
    """Its page needs none: the command that it names prints a link that signs in."""
    db = tmp_path / "new.db"
    with serving(db, "--page", page, env=environment(tmp_path)) as server:
        url = f"http://127.0.0.1:{server.port}"
        opened = remit(tmp_path, "open", "--print", "--db", db, "--url", url)
        ended = server.end()
    sentence = f"the API rejects every request until `remit token create --db {db}` creates one"
    assert sentence in ended.errors
    assert (f"; `remit open --db {db} --url {url}` opens the web UI" in ended.errors) == (
        page == "on"
    )
    assert f"{url}/sign-in#" in opened.stdout


@each("words", ["serve --help", "runs list", "token --help"])
def test_without_the_collector_it_is_said_how_to_install_it(words: str, tmp_path: Path) -> None:
    """The other commands work without."""
    rejected = remit(tmp_path, *words.split(), start=("-c", WITHOUT_COLLECTOR))
    command = words.partition(" ")[0]
    assert rejected.returncode == 1
    assert rejected.stderr == (
        f"remit: remit {command} needs the collector, and starlette is not installed: "
        "install the extra `collector` of remit (see docs/get-started/install.md)\n"
    )


@pytest.mark.smoke
@pytest.mark.parametrize("words", [("--help",), ("schema", "--help"), ("doctor", "--help")])
def test_help_needs_no_collector(words: tuple[str, ...], tmp_path: Path) -> None:
    """Each command has a line in the help of all."""
    shown = remit(tmp_path, *words, start=("-c", WITHOUT_COLLECTOR))
    assert (shown.returncode, shown.stderr) == (0, "")


def test_a_command_that_there_is_not_is_a_wrong_use(tmp_path: Path) -> None:
    """Status 2, as everywhere."""
    assert remit(tmp_path, "nonsense").returncode == 2


def test_a_reader_that_goes_away_ends_the_command_quietly(tmp_path: Path) -> None:
    """`remit runs show | head -1` is such a reader."""
    assert remit(tmp_path, "demo").returncode == 0
    piped = subprocess.run(
        f"{sys.executable} -m remit runs show --json | head -1",
        shell=True,
        cwd=ROOT,
        env=environment(tmp_path),
        check=False,
        capture_output=True,
        text=True,
    )
    assert piped.stdout == "{\n"
    assert piped.stderr in {"", f"Read from {tmp_path}/.local/state/remit/remit.db.\n"}


def test_a_terminal_that_has_no_such_letters_gets_others(tmp_path: Path) -> None:
    """Plain ASCII, and escapes for what a payload holds."""
    shown = remit(tmp_path, "demo", PYTHONIOENCODING="ascii")
    assert shown.returncode == 0
    assert re.search(r"^\|  \|- pay_back +complete", shown.stdout, re.MULTILINE)


@pytest.mark.smoke
def test_the_example_answers_alone(tmp_path: Path) -> None:
    """`python examples/support_desk.py "question"`, with nothing set up."""
    example = ROOT / "examples" / "support_desk.py"
    answered = remit(tmp_path, "Where is my order 1240?", start=(str(example),), cwd=str(tmp_path))
    assert (answered.returncode, answered.stderr) == (0, "")
    assert "Your order 1240, the kettle, is shipped." in answered.stdout
    listed = json.loads(remit(tmp_path, "runs", "list", "--json").stdout)
    (identifier,) = [each["agent"]["external_identifier"] for each in listed]
    assert identifier == "remit/support_desk:support"
