"""An agent of a framework in a collector that declares nothing, with runs of every kind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from tests.collecting import Api
from tests.run_pages import BEGIN, error
from tests.versioned_agents import agent_of, entry

FINDER: Final = "app.main:finder"
CHAT: Final = "langchain:llm"
TOOLS: Final = {"find_order": 4, "track_parcel": 640, "refund": 410}
"""Tools, and how many milliseconds they take."""
RUNS: Final = 4


def undeclared_agent(api: Api) -> str:
    """Return the id of an agent with four runs in two conversations, of which one failed."""
    agent = agent_of(api, "Parcel finder", external_identifier=f"parcel-service/{FINDER}")
    types = [entry(name) for name in (FINDER, CHAT, *map(_tool, TOOLS))]
    schema = {"external_identifier": "finder-1", "span_type_schemas": types}
    for number in range(RUNS):
        run = str(api.instance(agent_id=agent, agent_schema_version=schema)["id"])
        said = {"conversation": f"parcel-{number % 2}"}
        usage = {"prompt_tokens": 900, "completion_tokens": 80}
        cost = {"amount": "0.0021", "currency": "USD"}
        _step(api, run, "remit:run", 3_400, payload=said)
        _step(api, run, CHAT, 1_310, result={"token_usage": usage, "cost": cost})
        for tool, ms in TOOLS.items():
            failed = number == 0 and tool == "track_parcel"
            _step(api, run, _tool(tool), ms, result=error("no such parcel") if failed else {})
        status = "failed" if number == 0 else "complete"
        api.post(f"/agent_instance/{run}/finish", {"status": status}).raise_for_status()
    return agent


def _tool(name: str) -> str:
    return f"langchain:tool:{name}"


def _step(
    api: Api,
    run: str,
    name: str,
    ms: int,
    payload: dict[str, Any] | None = None,
    result: dict[str, Any] | None = None,
) -> None:
    """Record a step, which failed if its result has an error."""
    began = BEGIN.isoformat()
    span = api.span(run, schema_name=name, payload=payload or {}, started_at=began)["id"]
    body = {
        "status": "failed" if "error" in (result or {}) else "complete",
        "timestamp": (BEGIN + timedelta(milliseconds=ms)).isoformat(),
        "result_payload": result or {},
    }
    api.post(f"/agent_spans/{span}/finish", body).raise_for_status()
