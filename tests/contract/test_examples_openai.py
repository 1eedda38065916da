"""The agent of the examples on a client of openai: its model calls, its tools and a refusal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from examples import order_agent
from remit.testing import isolated
from tests.served import PATIENCE

ROOT = Path(__file__).parent.parent.parent


def test_an_answer_has_its_model_calls_and_its_tool_in_one_run() -> None:
    """The second call has only what is new."""
    with isolated(on_violation="deny") as recorder:
        assert order_agent.answer("Where is order 1240?") == "The answer is: shipped"
    (tree,) = recorder.tree()
    ((_, steps),) = tree
    names = [name.rpartition(".")[2] for name, _ in steps]
    assert names == ["openai:llm", "order_agent:find_order", "openai:llm"]
    first, second = recorder.spans("openai:llm")
    assert second.payload["inputs"]["omitted"] == {"count": 2}
    assert (first.result or {})["token_usage"]["total_tokens"] == 49


def test_the_model_reads_why_a_tool_was_refused() -> None:
    """The agent goes on, and its run is complete."""
    with isolated(on_violation="deny") as recorder:
        answer = order_agent.answer("I want a refund for 1263.")
    assert answer.startswith("The answer is: Policy denied this step and it did not run")
    assert [span.status for span in recorder.spans("refund")] == ["failed"]
    assert recorder.runs[0].status == "complete"


def test_the_script_answers_and_its_run_can_be_read(tmp_path: Path) -> None:
    """`remit runs show` names the steps of the last run."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {**kept, **PATIENCE, "REMIT_DATA_DIR": str(tmp_path)}

    def run(*words: str) -> str:
        command = [sys.executable, *words]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout

    assert "The answer is: shipped" in run("examples/order_agent.py")
    shown = run("-m", "remit", "runs", "show", "last", "--db", str(tmp_path / "remit.db"))
    assert shown.count("─ llm gpt-test · ") == 2
    assert "DeniedError: order_agent:refund was denied" in shown
