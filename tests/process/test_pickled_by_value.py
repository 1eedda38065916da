"""Steps of a script that joblib pickles by value: they are refused, and never run bare."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.served import environment
from tests.subtests import each
from tests.untraced import UNTRACED

STEPS = """
import os, sys
import remit

@remit.span_type(data_risk=remit.risk(allows="financial_transactions"))
def pay(amount): os.write(1, b"PAID\\n")

@remit.agent(data_risk=remit.risk(forbids="financial_transactions"))
def careful(amount): pay(amount)

class Till:
    @remit.span_type
    def open(self): return 1
"""
SCRIPT = (
    STEPS
    + """
if __name__ == "__main__":
    import cloudpickle, joblib, pickle
    for step in (pay, careful, lambda: pay(1), Till().open, Till):
        try:
            cloudpickle.dumps(step)
        except pickle.PicklingError as error:
            print("refused", str(error).partition(" ")[0].rpartition(":")[2])
        else:
            print("pickled")
    assert pickle.loads(pickle.dumps(pay)) is pay
    try:
        joblib.Parallel(n_jobs=2)(joblib.delayed(careful)(amount) for amount in range(2))
    except pickle.PicklingError as error:
        print("joblib refused", "define it in a module" in str(error.__cause__))
"""
)
IMPORTING = """
import cloudpickle, joblib, pickle
import steps

if __name__ == "__main__":
    assert pickle.loads(cloudpickle.dumps(steps.pay)) is steps.pay
    try:
        joblib.Parallel(n_jobs=2)(joblib.delayed(steps.careful)(amount) for amount in range(2))
    except steps.remit.errors.DeniedError:
        print("denied")
"""


def run(folder: Path, script: str, on_violation: str) -> subprocess.CompletedProcess[str]:
    """Run a script beside the module `steps`."""
    (folder / "steps.py").write_text(STEPS)
    (folder / "script.py").write_text(script)
    more = {"REMIT_ON_VIOLATION": on_violation, "REMIT_MODE": "off"}
    return subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env=environment(folder) | UNTRACED | more,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )


@each("on_violation", ["deny", "terminate"])
def test_a_step_of_a_script_is_not_pickled_by_value(on_violation: str, tmp_path: Path) -> None:
    """The pickler gets one sentence that says what to do."""
    done = run(tmp_path, SCRIPT, on_violation)
    assert done.stdout.splitlines() == [
        "refused pay",
        "refused careful",
        "refused pay",
        "refused Till.open",
        "refused Till.open",
        "joblib refused True",
    ]


def test_under_observe_it_is_said_once(tmp_path: Path) -> None:
    """Nothing is refused, and each step has one line."""
    done = run(tmp_path, SCRIPT, "observe")
    assert sorted(done.stdout.splitlines()) == ["PAID"] * 2 + ["pickled"] * 5
    lines = [line for line in done.stderr.splitlines() if "pickled by value" in line]
    assert [line.split()[1].rpartition(":")[2] for line in lines] == ["pay", "careful", "Till.open"]


def test_a_step_of_a_module_is_pickled_by_name(tmp_path: Path) -> None:
    """It arrives decorated, and the policy holds in the workers."""
    assert run(tmp_path, IMPORTING, "deny").stdout.splitlines() == ["denied"]
