"""Threads that record as fast as they can: remit's own threads get their turns all the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import sink
from tests.served import environment
from tests.untraced import UNTRACED

pytestmark = [pytest.mark.gate, pytest.mark.timeout(300)]

THREADS = 8
SPANS = 400_000
PROGRAM = """
import json, sys, threading
import remit

@remit.span_type("saturated_lookup")
def lookup(order_id: str, limit: int) -> dict[str, object]:
    return {"order": order_id, "limit": limit, "state": "shipped"}

@remit.agent("Saturated")
def agent(calls: int) -> None:
    for _ in range(calls):
        lookup("order-7", 10)

threads, spans = map(int, sys.argv[1:])
working = [threading.Thread(target=agent, args=[spans // threads]) for _ in range(threads)]
for each in working:
    each.start()
for each in working:
    each.join()
sent = remit.flush(120)
print(json.dumps([bool(sent), remit.status().dropped]))
"""


def test_eight_threads_that_only_record_lose_nothing(tmp_path: Path) -> None:
    """With the usual bounds: twice as much as fits into the memory, in a few seconds."""
    with sink.running() as port:
        environ = {
            **environment(tmp_path),
            "REMIT_API_URL": f"http://127.0.0.1:{port}",
            "REMIT_API_TOKEN": "saturated",
            # Its tracer would have the threads record at a third of their pace.
            **UNTRACED,
        }
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(THREADS), str(SPANS)],
            env=environ,
            stdout=subprocess.PIPE,
            check=True,
        )
        counts = sink.counts(port)
    assert json.loads(done.stdout) == [True, {}]
    assert counts["saturated_lookup"] == SPANS
