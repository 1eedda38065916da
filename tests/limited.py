"""An agent with limits in a collector, and runs that reached one."""

from __future__ import annotations

from typing import Any, Final

from remit import risk
from tests.collecting import Api
from tests.inside import Counted, beyond
from tests.inside_collector import root_id
from tests.versioned_agents import agent_of, entry
from tests.violating import denial

DESK: Final = "desk:support"
PAYS: Final = risk(allows="financial_transactions", forbids="others")


def limited_agent(api: Api) -> str:
    """Return the id of an agent: one payment, five mails and 200 steps a run."""
    return agent_of(api, "Limited desk", external_identifier=f"shop/{DESK}")


def inner_agent(api: Api) -> None:
    """Register the agent that the runs call as a step."""
    agent_of(api, "Inner", external_identifier="shop/desk:inner")


def schema() -> dict[str, Any]:
    """Return what the agent registers."""
    limits = {"external_communication": 5, "financial_transactions": 1, "steps": 200}
    types = [
        entry(DESK, risk(allows="financial_transactions"), **{"x-remit-limits": limits}),
        entry("desk:refund", PAYS),
        entry("desk:look", risk(allows="read_data", forbids="others")),
        entry("desk:plain"),
        entry("desk:inner", PAYS),
        entry("desk:chat", PAYS, **{"x-remit-kind": "llm"}),
    ]
    return {"external_identifier": "limited-1", "span_type_schemas": types}


def limited_run(
    api: Api,
    agent: str,
    *,
    ended: bool = False,
    word: str = "allowed",
    key: str | None = None,
    said: dict[str, Any] | None = None,
) -> str:
    """Return a run whose second refund was denied; if *ended*, it was terminated.

    It has an inner agent and a model call, which do not count, and one undeclared step. With
    *said*, what its program says of it, it is still open.
    """
    known = {} if key is None else {"external_identifier": key}
    version = {"external_identifier": "1", "name": "Limited desk"}
    registered: dict[str, Any] = {"agent_version": version, "agent_schema_version": schema()}
    run = str(api.instance(agent_id=agent, **registered, **known)["id"])
    payload = {"purpose": "live", **(said or {})}
    root = api.span(run, schema_name="remit:run", id=root_id(run), payload=payload)["id"]
    top = api.span(run, schema_name=DESK, parent_span_id=root)["id"]
    for name in ("desk:refund", "desk:look", "desk:plain", "desk:inner", "desk:chat"):
        api.span(run, schema_name=name, parent_span_id=top, status="complete")
    counted = Counted(DESK, "financial_transactions", 1, word)
    result = denial("desk:refund", *beyond("desk:refund", [counted]))
    api.span(
        run, schema_name="desk:refund", parent_span_id=top, status="failed", result_payload=result
    )
    if said is not None:
        return run
    status = "failed" if ended else "complete"
    outcome = {"status": "terminated" if ended else "complete"}
    for span, body in ((top, {}), (root, outcome)):
        api.post(f"/agent_spans/{span}/finish", {"status": "complete", "result_payload": body})
    api.post(f"/agent_instance/{run}/finish", {"status": status})
    return run
