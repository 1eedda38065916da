"""Memory of a program in local mode, which has the database inside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from pathlib import Path
import remit

def memory_mib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS:"))) // 1024

@remit.span_type
def step(text: str) -> None: ...

@remit.agent
def agent(steps: int) -> None:
    for number in range(steps):
        step(f"{number} " * 2500)

remit.configure(mode="local", data_dir=sys.argv[1])
agent(50)
assert remit.flush(60)
before = memory_mib()
for _ in range(40):
    agent(150)
    assert remit.flush(60)
print(memory_mib() - before)
"""


@pytest.mark.gate
@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: reads /proc")
@pytest.mark.timeout(180)
def test_the_database_takes_little_memory(tmp_path: Path) -> None:
    """6,000 steps make it 40 MiB long; SQLite keeps 8 MiB of that for the program that records."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "data")],
        capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) <= 32
