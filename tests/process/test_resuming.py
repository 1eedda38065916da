"""A run that waits for a person: interrupted in one process, gone on with in another."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Ended, output_of, settings, start
from tests.served import Served, collector

NOBODY = "013xrzp12g3nqk8nzzzzzzzzzzzzzzzz"

GRAPH = """
import json, os, signal, sys
from pathlib import Path
import remit

checkpoint = Path(sys.argv[1])

class GraphInterrupt(Exception):
    pass

remit.configure(control_flow=(GraphInterrupt,))

@remit.span_type
def plan(order: int) -> str:
    return f"refund order {order}"

@remit.span_type
def approve(action: str, decision: str | None) -> str:
    if decision is None:
        raise GraphInterrupt
    return decision

@remit.span_type
def refund(order: int) -> str:
    return f"order {order} is refunded"

@remit.agent
def graph(order: int, decision: str | None = None) -> str:
    if decision is None:
        action = plan(order)
    else:
        action = "as planned"
    approve(action, decision)
    return refund(order)
"""

ASKING = """
try:
    with graph.run(subject="customer 7") as run:
        graph(7)
except GraphInterrupt:
    assert remit.flush(60)
    checkpoint.write_text(json.dumps(run.id))
os.kill(os.getpid(), signal.SIGKILL)
"""

ANSWERING = """
with graph.run(resume=json.loads(checkpoint.read_text())) as run:
    print(graph(7, "yes, says Ada"))
assert remit.flush(60)
"""

DYING = """
with graph.run(resume=json.loads(checkpoint.read_text())) as run:
    graph(7, "yes, says Ada")
    assert remit.flush(60)
    os.kill(os.getpid(), signal.SIGKILL)
"""

WAITING_ON = """
try:
    with graph.run(resume=json.loads(checkpoint.read_text())) as run:
        graph(7)
except GraphInterrupt:
    assert remit.flush(60)
"""


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Where the program keeps the run's id, as a framework's checkpointer would."""
    return tmp_path / "checkpoint.json"


def run(program: str, served: Served, checkpoint: Path) -> Ended:
    """Run the graph's module with *program* below it."""
    environ = settings(checkpoint.parent, served.url, served.token)
    process = start(GRAPH + program, environ, checkpoint)
    out, errors = output_of(process)
    return Ended(process.returncode, out, errors)


def the_run(served: Served) -> dict[str, Any]:
    """Return the only instance of the graph."""
    agents = served.api.get("/agent").json()["summaries"]
    (graph,) = [agent["id"] for agent in agents if "graph" in (agent["external_identifier"] or "")]
    runs: list[dict[str, Any]] = served.api.get("/agent_instance", agent_id=graph).json()[
        "summaries"
    ]
    assert len(runs) == 1
    return runs[0]


def the_root(served: Served, instance_id: str) -> dict[str, Any]:
    """Return the only root span of an instance."""
    spans = served.api.spans(instance_id)
    roots = [span for span in spans if span["schema_name"] == "remit:run"]
    assert len(roots) == 1
    return roots[0]


def steps(spans: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return name and status of each span, in the order of their starts."""
    ordered = sorted(spans, key=lambda span: str(span["started_at"]))
    return [(str(s["schema_name"]).rpartition(":")[2], str(s["status"])) for s in ordered]


@pytest.mark.parametrize("name", ["id", "key"])
def test_a_run_goes_on_where_it_was_interrupted(
    tmp_path: Path, checkpoint: Path, name: str
) -> None:
    """The first process is killed while the run waits, which may wait again: one run, one root."""
    asking = ASKING.replace("run.id", f"run.{name}")
    with collector(tmp_path) as served:
        assert run(asking, served, checkpoint).code == -signal.SIGKILL
        waiting = the_run(served)
        assert waiting["status"] == "active"
        assert steps(served.api.spans(waiting["id"])) == [
            ("run", "active"),
            ("graph", "cancelled"),
            ("plan", "complete"),
            ("approve", "cancelled"),
        ]
        assert run(WAITING_ON, served, checkpoint).code == 0
        assert the_run(served)["status"] == "active"
        answered = run(ANSWERING, served, checkpoint)
        assert answered.out == "order 7 is refunded\n", answered.errors
        finished = the_run(served)
        assert (finished["id"], finished["status"]) == (waiting["id"], "complete")
        spans = served.api.spans(waiting["id"])
        assert steps(spans) == [
            ("run", "complete"),
            *2 * [("graph", "cancelled"), ("plan", "complete"), ("approve", "cancelled")],
            ("graph", "complete"),
            ("approve", "complete"),
            ("refund", "complete"),
        ]
        root = the_root(served, finished["id"])
        assert root["payload"]["subject"] == "customer 7"
        above = {span["parent_span_id"] for span in spans if "graph" in span["schema_name"]}
        assert above == {root["id"]}


def test_a_process_that_dies_in_a_resumed_run_leaves_it_failed_to_its_heir(
    tmp_path: Path, checkpoint: Path
) -> None:
    """The next process that uses remit ends run and root, though neither began in the dead one."""
    with collector(tmp_path) as served:
        run(ASKING, served, checkpoint)
        assert run(DYING, served, checkpoint).code == -signal.SIGKILL
        assert the_run(served)["status"] == "active"
        assert run("assert remit.flush(60)", served, checkpoint).code == 0
        failed = the_run(served)
        assert failed["status"] == "failed"
        root = the_root(served, failed["id"])
        assert root["status"] == "failed"
        assert root["result_payload"]["reason"] == "process ended"


def test_an_id_that_no_server_knows_is_said_and_hurts_nobody(
    tmp_path: Path, checkpoint: Path
) -> None:
    """The program gets its answer; the log says what was expected."""
    checkpoint.write_text(f'"{NOBODY}"')
    with collector(tmp_path) as served:
        answered = run(ANSWERING.replace("assert ", ""), served, checkpoint)
        assert answered.out == "order 7 is refunded\n"
        assert answered.errors.count(NOBODY) == 1
        assert "expected the Run.key or the Run.id of a run that was left open" in answered.errors
