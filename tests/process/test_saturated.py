"""Threads that record as fast as they can: remit's own threads get their turns all the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import sink
from tests.processes import FULL, settings, start, told_by

THREADS = 8
SPANS = 400_000 if FULL else 40_000
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
print(json.dumps([sent.pending == 0, dict(remit.status().dropped)]))
"""


@pytest.mark.timeout(300)
def test_what_eight_threads_record_that_only_record_is_delivered_or_counted(tmp_path: Path) -> None:
    """The writer and the sender get their turns: no span is lost without a count."""
    with sink.running() as port:
        environ = settings(tmp_path, f"http://127.0.0.1:{port}", "saturated")
        environ["REMIT_MAX_BUFFER_BYTES"] = str(4 << 20)
        told, _ = told_by(start(PROGRAM, environ, THREADS, SPANS))
        counts = sink.counts(port)
    emptied, dropped = json.loads(told)
    assert emptied
    lost = sum(count for reason, count in dropped.items() if not reason.startswith("payload_"))
    assert counts["saturated_lookup"] > 0
    # Among what was lost may be the calls of the agents and the roots of their runs.
    assert 0 <= counts["saturated_lookup"] + lost - SPANS <= 2 * THREADS
