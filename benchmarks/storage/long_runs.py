"""Runs of many steps, recorded through the API of a collector once for each number of steps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx

from benchmarks import collector

CHILDREN: Final = 10
"""Steps below a step. More than 50 of one type below a step are one row of the page."""
LABEL: Final = "benchmark_steps"


def long_run(http: httpx.Client, place: Mapping[str, str], steps: int) -> str:
    """Return the id of a run of so many steps, a multiple of 100; record it if there is none.

    Args:
        http: A client with the token of an account.
        place: The agent and the environment of the run.
        steps: The number of steps, with the root.

    Raises:
        ChildError: The collector rejected a step.
    """
    wanted = {"label": f"{LABEL}={steps}", "status": "complete", "limit": "1"}
    listed = http.get("/api/remit/v1/runs", params=wanted).raise_for_status().json()["runs"]
    if listed:
        return str(listed[0]["id"])
    registration = {
        "agent_version": {},
        "agent_schema_version": {"external_identifier": "s"},
        **place,
    }
    answer = http.post("/api/v1/agent_instance/register", json=registration)
    run = str(answer.raise_for_status().json()["details"]["id"])
    http.post(f"/api/v1/agent_instance/{run}/start", json={}).raise_for_status()
    tree = list(_tree(run, steps))
    bulks = (tree[at : at + collector.BULK] for at in range(0, steps, collector.BULK))
    collector.send(http, [json.dumps({"items": bulk}).encode() for bulk in bulks])
    # A run that was interrupted before is never complete, so that it is not listed.
    finish = {"status": "complete"}
    http.post(f"/api/v1/agent_instance/{run}/finish", json=finish).raise_for_status()
    return run


def _tree(run: str, steps: int) -> Iterator[dict[str, Any]]:
    """Yield the steps of a run, each after the one above it."""
    ids: list[str] = []
    for number in range(steps):
        step = collector.item(run)
        details = step["details"]
        if number:
            details["parent_span_id"] = ids[(number - 1) // CHILDREN]
        else:
            details |= {"schema_name": "remit:run", "payload": {"labels": {LABEL: str(steps)}}}
        ids.append(details["id"])
        yield step
