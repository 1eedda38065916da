"""An agent of two versions, which the pages of agents compare."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from remit import risk
from remit.models.data_risk import DataRisk
from tests.collecting import Api, details

OWNER: Final = "payments team <b>\u202e"
SEND: Final = "external_communication"
MAIL: Final = "contact_information"
NEVER: Final = "authentication_and_secrets"


def entry(name: str, data_risk: DataRisk | None = None, **params: Any) -> dict[str, Any]:
    """Return a span type as a registration has it."""
    words = {} if data_risk is None else {"data_risk": data_risk.model_dump(mode="json")}
    return {"name": name, "params_schema": {"type": "object", **params}, **words}


def schema(version: str) -> dict[str, Any]:
    """Return the span types of a version: the second one sends and purges."""
    remit = risk(allows="read_data", forbids="destroy_data", excludes=NEVER, takes=MAIL)
    closed = partial(risk, forbids="destroy_data", excludes=NEVER)
    types = [
        entry("desk:support", remit, **{"x-remit-owner": OWNER}),
        entry("desk:read", closed(allows="read_data", takes=MAIL)),
        entry("desk:idle", closed(allows="create_data", classification="restricted")),
    ]
    if version == "2.0":
        types += [
            entry("desk:send", risk(allows=SEND)),
            entry("desk:purge", risk(allows="destroy_data", excludes=NEVER)),
        ]
    return {"external_identifier": f"schema-{version}", "span_type_schemas": types}


def agent_of(api: Api, name: str, **more: Any) -> str:
    """Return the id of a new agent."""
    return str(details(api.post("/agent", {"details": {"name": name, **more}}))["id"])


def versioned_agent(api: Api) -> str:
    """Record runs of two versions of an agent, of which one failed, and return its id."""
    support = agent_of(api, "Support", external_identifier="desk:support")
    for version, status in (("1.0", "complete"), ("2.0", "failed"), ("2.0", "complete")):
        registered: dict[str, Any] = {
            "agent_id": support,
            "agent_version": {"external_identifier": version},
            "agent_schema_version": schema(version),
        }
        run = api.instance(**registered)["id"]
        for name in ("desk:read", "desk:send", "desk:guess"):
            marker = {"$remit": "redacted", "rule": "name:token"}
            payload = {"token": marker} if name == "desk:read" else {"question": "why"}
            usage = {"token_usage": {"prompt_tokens": 100, "completion_tokens": 7}}
            result = {"result_payload": usage} if name == "desk:read" else {}
            api.span(run, schema_name=name, status="complete", payload=payload, **result)
        api.post(f"/agent_instance/{run}/finish", {"status": status})
    return support
