"""The gate's own shell: a step that fails ends it, and its guard of instructions is not skipped."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT

pytestmark = [
    pytest.mark.gate,
    pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: the gate's shell is bash 4"),
]

BASH = shutil.which("bash") or "bash"
RULES = re.MULTILINE | re.DOTALL
GUARD = """#!/bin/sh
echo "$@"
for argument; do [ "$argument" = --if-possible ] && exit 0; done
command -v valgrind >/dev/null || exit 2
"""
INSTALLS = """#!/bin/sh
echo "apt-get $1" >&2
[ "$1" != install ] || cp "$0" "{folder}/bin/valgrind"
"""
FAILS = """#!/bin/sh
echo "apt-get $1" >&2
exit 100
"""


def functions(*names: str) -> str:
    """Return some of the gate's functions, after what it sets."""
    source = (ROOT / ".ci" / "run").read_text()
    found = [re.findall(rf"^{name}\(\) {{\n.*?^}}\n", source, RULES) for name in names]
    return "".join(["set -euo pipefail\n", *(text for (text,) in found)])


def gate(folder: Path, user: int, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run that step of the gate as a user, on a machine that has these programs and no others."""
    (folder / "bin").mkdir()
    (folder / ".venv" / "bin").mkdir(parents=True)
    told = {"bin/id": f"#!/bin/sh\necho {user}\n", ".venv/bin/python": GUARD}
    told |= {f"bin/{name.replace('_', '-')}": text for name, text in programs.items()}
    for name, text in told.items():
        (folder / name).write_text(text.replace("{folder}", str(folder)))
        (folder / name).chmod(0o755)
    for name in ("sh", "cp", "timeout"):
        (folder / "bin" / name).symlink_to(str(shutil.which(name)))
    script = functions("instructions", "install_package") + "instructions\n"
    return subprocess.run(
        [BASH, "-c", script],
        cwd=folder,
        env={"PATH": str(folder / "bin")},
        check=False,
        capture_output=True,
        text=True,
    )


def test_it_installs_what_counts_and_compares(tmp_path: Path) -> None:
    """Where it may; and says no word of skipping."""
    done = gate(tmp_path, 0, apt_get=INSTALLS)
    assert (done.returncode, done.stdout) == (0, "-m benchmarks.instructions\n"), done.stderr
    assert done.stderr == "apt-get install\n"


def test_what_is_there_is_not_installed(tmp_path: Path) -> None:
    """It takes seconds."""
    done = gate(tmp_path, 0, apt_get=FAILS, valgrind="#!/bin/sh\n")
    assert (done.returncode, done.stdout) == (0, "-m benchmarks.instructions\n"), done.stderr
    assert done.stderr == ""


def test_the_gate_fails_where_it_could_not_install_what_counts(tmp_path: Path) -> None:
    """It looked again with new lists; a guard that was skipped there would guard nothing."""
    done = gate(tmp_path, 0, apt_get=FAILS)
    assert done.returncode == 2
    assert "valgrind could not be installed" in done.stdout
    assert done.stderr.split("\n")[:3] == ["apt-get install", "apt-get update", "apt-get install"]


@pytest.mark.parametrize(("user", "programs"), [(1000, {"apt_get": INSTALLS}), (0, {})])
def test_elsewhere_the_guard_may_say_that_it_was_skipped(
    user: int, programs: dict[str, str], tmp_path: Path
) -> None:
    """A user who may install nothing, a system without that installer."""
    done = gate(tmp_path, user, **programs)
    assert (done.returncode, done.stdout) == (0, "-m benchmarks.instructions --if-possible\n")
    assert done.stderr == ""


@pytest.mark.parametrize("lane", ["first", "second"])
@pytest.mark.parametrize("steps", ["step one {0}; step two true", "step one true; step two {0}"])
@pytest.mark.parametrize("outcome", ["true", "false"])
def test_a_step_that_fails_ends_the_gate(lane: str, steps: str, outcome: str) -> None:
    """In either lane, also if a later step of the lane succeeds."""
    lanes = {"first": "step all true", "second": "step all true", lane: steps.format(outcome)}
    script = functions("step", "side_by_side") + "".join(
        f"{name}() {{ {text}; }}\n" for name, text in lanes.items()
    )
    script += 'step "both" side_by_side first second\necho green\n'
    done = subprocess.run([BASH, "-c", script], check=False, capture_output=True, text=True)
    assert (done.returncode == 0) == ("green" in done.stdout) == (outcome == "true"), done.stdout
