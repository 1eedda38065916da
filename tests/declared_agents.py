"""Agents with declarations and what they did, for tests of the map, refusals and the register."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from remit import DataRisk, risk
from remit.collector import Store
from tests.collecting import Json, details
from tests.inside import coerce
from tests.run_history import History, minutes
from tests.violating import denial, exceeding, violation, violations_of

CONTACT: Final = "contact_information"
MONEY: Final = "financial_information"
PERSON: Final = "personal_identifiers"
SECRETS: Final = "authentication_and_secrets"
HEALTH: Final = "health_and_medical"
PLACES: Final = "location_and_tracking"
INTERNAL: Final = "organisational_confidential"
OUTWARD: Final = "external_communication"
MODEL: Final = {"x-remit-kind": "llm"}
REFUSAL, REFUSED_DATA = violations_of(
    "shop:pay_back",
    risk(allows="financial_transactions", takes="financial_information"),
    "shop:careful",
    coerce(
        {
            "action_profile": {"financial_transactions": "disallowed"},
            "params_data_categories": {"financial_information": "excluded"},
        },
        "shop/desk.py:7",
    ),
)
EXCEEDS: Final = violation("shop:purge", "shop:support", "destroy_data")
TOLD: Final = (
    "Policy denied this step and it did not run, because it involves an action that "
    "this agent may not take (financial transactions)"
)


def step(
    name: str, risk: DataRisk | None = None, *, params: Mapping[str, Json] | None = None
) -> dict[str, Json]:
    """Return a span type."""
    words = None if risk is None else risk.model_dump(mode="json")
    return {"name": f"shop:{name}", "params_schema": dict(params or {}), "data_risk": words}


def owned(name: str, owner: str | None, risk: DataRisk | None = None) -> dict[str, Json]:
    """Return the span type of an agent."""
    return step(name, risk, params={} if owner is None else {"x-remit-owner": owner})


TYPES: Final[dict[str, list[dict[str, Json]]]] = {
    "Support desk": [
        owned("support", None, risk(takes=(CONTACT, PERSON), forbids="destroy_data")),
        step(
            "charge",
            risk(allows=OUTWARD, takes=(MONEY, SECRETS), classification="confidential"),
        ),
        step("refund", risk(allows=OUTWARD, takes=MONEY, classification="confidential")),
        step(
            "look_up",
            risk(forbids=OUTWARD, takes=CONTACT, gives=PERSON, classification="restricted"),
        ),
        step("purge", risk(allows="destroy_data", excludes=MONEY)),
        step("chat", params=MODEL),
    ],
    "Travel booker": [
        owned("travel", "Jonas Weber", risk(takes=(PERSON, PLACES))),
        step(
            "book",
            risk(
                allows=OUTWARD,
                takes=(MONEY, CONTACT, PERSON, PLACES),
                classification="internal",
            ),
        ),
        step("pay", risk(allows=OUTWARD, takes=MONEY)),
    ],
    "Claims triage": [
        owned("claims", "Mara Lindqvist", risk(takes=(HEALTH, PERSON), excludes="others")),
        step(
            "send_letter",
            risk(allows=OUTWARD, takes=(HEALTH, PERSON), classification="restricted"),
        ),
        step("sort", risk(forbids=OUTWARD, takes=MONEY, excludes=SECRETS)),
    ],
    "Careful desk": [
        owned(
            "careful",
            "Ada Okafor",
            risk(
                forbids=("financial_transactions", "destroy_data"),
                excludes=(MONEY, "minors_data"),
            ),
        ),
        step(
            "pay_back",
            risk(
                allows=("financial_transactions", OUTWARD, "update_data"),
                forbids="destroy_data",
                takes=(MONEY, SECRETS),
                gives=MONEY,
                excludes="minors_data",
            ),
        ),
        step("write", risk(takes=CONTACT)),
    ],
    "Shift planner": [
        owned("shift", "Ilse Brandt", risk(forbids=OUTWARD, excludes="others")),
        step("plan", risk(forbids=OUTWARD, takes=(PERSON, CONTACT), excludes="others")),
    ],
    "Contract reader": [
        owned("contract", None),
        step("read", risk(forbids=OUTWARD, takes=INTERNAL)),
    ],
    "Mail sorter": [step("fetch"), step("sort_mail"), step("chat", params=MODEL)],
}
PURPOSES: Final = {
    "Support desk": "Answers customers of the shop, pays back",
    "Travel booker": "Books journeys and pays for them",
    "Claims triage": "Sorts insurance claims, prepares the decision",
    "Careful desk": "Answers customers, never pays",
    "Shift planner": "Plans who works when",
}


class DeclaredAgents(History):
    """A history of agents that declared data, money and outward steps."""

    def fill(self, runs: int = 2) -> None:
        """Add the agents, each with some runs, and the refusals."""
        for name, types in TYPES.items():
            self.declare(name, types, purpose=PURPOSES.get(name))
        for place, (name, types) in enumerate(TYPES.items()):
            for number in range(runs * (place + 1)):
                ago = minutes(600 - 60 * place - 50 * number / (runs * (place + 1)))
                done: dict[str, Json] = {
                    each["name"].removeprefix("shop:"): {"ok": True}
                    for each in types
                    if each["name"] not in {"shop:purge", "shop:pay_back"}
                }
                self.act(name, ago, done)
        denied = denial("shop:pay_back", REFUSAL, REFUSED_DATA)
        denied["error"]["message"] = TOLD
        for since in (1500, 40, 30):
            self.act("Careful desk", minutes(since), {"pay_back": denied, "write": {"ok": True}})
        exceeds = {"payload": exceeding(EXCEEDS), "result": {"gone": 3}}
        self.act("Support desk", minutes(20), {"purge": exceeds})
        self.act("Travel booker", minutes(10), {"pay": {}}, status="terminated", answer="enough")

    def declare(self, name: str, types: list[dict[str, Json]], purpose: str | None) -> None:
        """Add an agent."""
        identifier = types[0]["name"]
        body = {"name": name, "external_identifier": identifier, "description": purpose}
        if name not in self.agents:
            made = details(self._api.post("/agent", {"details": body}))
            self.agents[name] = made["id"]

    def act(self, agent: str, ago: timedelta, steps: Mapping[str, Json], **more: Json) -> str:
        """Add a run of an agent."""
        registered: dict[str, Json] = {
            # The SDK names a version as its agent.
            "agent_version": {"external_identifier": "v1", "name": agent},
            "agent_schema_version": {"span_type_schemas": [_root(), *TYPES[agent]]},
        }
        return self.run(ago, agent=agent, steps=steps, **registered, **more)


def _root() -> dict[str, Json]:
    return {"name": "remit:run", "params_schema": {}}


def filled(store: Store, runs: int = 2) -> DeclaredAgents:
    """Return the agents in a database, which it fills."""
    agents = DeclaredAgents(store)
    agents.fill(runs)
    return agents
