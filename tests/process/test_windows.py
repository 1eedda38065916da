"""remit on a simulated Windows: `tests/windows/sitecustomize.py` says what is simulated."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.served import Served, collector
from tests.serving import serving

pytestmark = pytest.mark.timeout(900)

ROOT: Final = Path(__file__).parents[2]
END_S: Final = 300.0
"""A program that takes longer hangs."""
REMIT: Final = ("-m", "remit")
OWN: Final = ("COVERAGE_", "PREFACTOR_", "PYTHON", "REMIT_")
"""How the variables begin that programs do not get from the tests."""
CODE_PAGE: Final = "cp1252"
CLOSED_PIPE: Final = 141
RUNS: Final = 6 + 1 + 2
"""Of the program that is killed, of the one that delivers, and of two children."""

DESK: Final = '''
import os, sys, time

import remit
from remit.testing import isolated


@remit.span_type(data_risk=remit.risk(allows="financial_transactions"))
def pay(euros: int) -> str:
    """Pay."""
    return f"paid {euros} \\u2192"


@remit.agent(name="Clerk \\u4f60", data_risk=remit.risk(forbids="others"))
def clerk(question: str) -> str:
    """Answer."""
    return pay(3)

'''
IN_MEMORY: Final = """
with isolated() as recorder:
    clerk("x")
print(len(recorder.spans()), "spans")
with isolated(on_violation="deny"):
    try:
        clerk("x")
    except remit.errors.DeniedError:
        print("denied")
"""
KILLED: Final = """
import httpx

remit.configure(transport=httpx.MockTransport(lambda request: httpx.Response(503)))
for number in range(5):
    clerk("x")
run = clerk.run().__enter__()
pay(1)
while (now := remit.status()).writer_lag_s or now.spooled != now.pending:
    time.sleep(0.02)
print(now.spooled)
sys.stdout.flush()
os._exit(0)
"""
DELIVERING: Final = """
clerk("x")
while remit.status().sent <= int(sys.argv[1]) or not remit.flush(60):
    time.sleep(0.1)
print(remit.status().faults)
"""
LOCAL: Final = """
clerk("x")
assert remit.flush(60), remit.status()
"""
SPAWNING: Final = """
import multiprocessing

if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool:
        assert pool.map(clerk, "ab") == ["paid 3 \\u2192"] * 2
        pool.close()
        pool.join()
"""
CLOSED: Final = """
import errno, io, sys
from remit.cli import main


class Closed(io.TextIOWrapper):
    def write(self, text):
        raise OSError(errno.EINVAL, "Invalid argument")


sys.stdout = Closed(sys.stdout.buffer)
main(["runs", "list"])
"""


@dataclass(frozen=True)
class Windows:
    """A simulated Windows.

    Attributes:
        folder: Where its programs are and what they write.
        env: The environment of its programs.
    """

    folder: Path
    env: dict[str, str]

    @classmethod
    def in_(cls, folder: Path, **more: str) -> Windows:
        """Return one that keeps everything in *folder*."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
        return cls(
            folder,
            env
            | {
                "HOME": str(folder / "home"),
                "LOCALAPPDATA": str(folder / "home" / "AppData" / "Local"),
                "PYTHONPATH": f"{ROOT / 'tests' / 'windows'}{os.pathsep}{ROOT}",
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONIOENCODING": CODE_PAGE,
                "PYTHONUTF8": "0",
                "REMIT_FLUSH_INTERVAL_S": "0.1",
                # A busy machine is slow to deliver.
                "REMIT_EXIT_TIMEOUT_S": "60",
            }
            | more,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        """Return what Python wrote, which ended with the exit code *code* and without a fault."""
        ended = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            encoding=CODE_PAGE,
            timeout=END_S,
            check=False,
        )
        assert ended.returncode == code, ended.stderr
        assert "Traceback" not in ended.stderr
        assert "a fault inside remit" not in ended.stderr
        return ended.stdout

    def program(self, body: str, *arguments: str) -> str:
        """Return what a program with an agent wrote."""
        path = self.folder / "program.py"
        path.write_text(DESK + body, "utf-8")
        return self.run(str(path), *arguments)

    @property
    def data(self) -> Path:
        """The folder of the data of remit."""
        return Path(self.env["LOCALAPPDATA"]) / "remit"

    @property
    def spool(self) -> list[str]:
        """The files of the spool."""
        return sorted(path.name for path in (self.data / "spool").iterdir())


@pytest.fixture
def windows(tmp_path: Path) -> Windows:
    """Return a Windows where remit records in local mode."""
    return Windows.in_(tmp_path)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Return a collector on the real system."""
    with collector(tmp_path) as served:
        yield served


def test_a_program_records_into_memory_and_a_step_is_denied(windows: Windows) -> None:
    """`import remit`, the policy, the tests of a user."""
    assert windows.program(IN_MEMORY) == "2 spans\ndenied\n"


def test_a_later_process_delivers_what_a_killed_one_left(served: Served, tmp_path: Path) -> None:
    """Its run is ended, no file is left, and commands read it from the server."""
    windows = Windows.in_(tmp_path, REMIT_API_URL=served.url, REMIT_API_TOKEN=served.token)
    waiting = int(windows.program(KILLED))
    assert "waiting" in windows.run(*REMIT, "spool", "status")
    assert windows.program(DELIVERING, str(waiting)) == "{}\n"
    assert "No items wait" in windows.run(*REMIT, "spool", "status")
    assert windows.spool == []
    windows.program(SPAWNING)
    assert windows.run(*REMIT, "runs", "list").count("Clerk") == RUNS
    assert "pay" in windows.run(*REMIT, "runs", "show", "last")
    assert "spool" in windows.run(*REMIT, "doctor")


def test_local_mode_records_into_the_folder_of_the_user(windows: Windows) -> None:
    """And commands read it, also into a pipe whose reader has ended."""
    windows.program(LOCAL)
    assert (windows.data / "remit.db").exists()
    assert windows.spool == []
    assert "pay" in windows.run(*REMIT, "runs", "show", "last")
    assert "local" in windows.run(*REMIT, "doctor")
    assert windows.run("-c", CLOSED, code=CLOSED_PIPE) == ""


def test_declarations_are_locked(windows: Windows) -> None:
    """Each line of the file ends as on other systems."""
    (windows.folder / "shop.py").write_text(DESK, "utf-8")
    windows.run(*REMIT, "lock", "shop")
    assert b"\r" not in (windows.folder / "remit.lock.json").read_bytes()
    windows.run(*REMIT, "lock", "shop", "--check")


def test_a_collector_serves_until_ctrl_c(windows: Windows) -> None:
    """Tokens and the database, too."""
    database, token = windows.folder / "server.db", windows.folder / "token"
    windows.run(*REMIT, "token", "create", "--to", str(token), "--db", str(database))
    assert "up to date" in windows.run(*REMIT, "db", "upgrade", "--db", str(database))
    assert "server.db" in windows.run(*REMIT, "db", "info", "--db", str(database))
    windows.run(*REMIT, "db", "backup", str(windows.folder / "copy.db"), "--db", str(database))
    with serving(database, env=windows.env) as collector:
        client = Windows.in_(
            windows.folder, REMIT_API_URL=collector.url, REMIT_API_TOKEN=token.read_text().strip()
        )
        client.program(LOCAL)
        ended = collector.end(signal.SIGINT)
    assert (ended.code, ended.errors) == (0, "")
