"""Scripts about agents, places, versions and tokens."""

from __future__ import annotations

from typing import Final

from tests.collecting import NOBODY
from tests.golden.recorder import Call
from tests.golden.rows import CHOSEN, OTHER_CHOSEN, SCHEMA, VERSION, details, registration, span

AGENT: Final = "/agent/<agent 3>"
AGENTS: Final = [
    Call(
        "everything",
        "POST /agent",
        details(
            name="Clerk",
            description="Files things.",
            external_identifier="clerk",
            owner_person_id="person-1",
            risk_profile_id="profile-1",
            team_id="team-1",
        ),
    ),
    Call("with an id", "POST /agent", details(name="Chosen", id=CHOSEN)),
    Call("that id with another body", "POST /agent", details(name="Other", id=CHOSEN)),
    Call("that id in another account", "POST /agent", details(name="Chosen", id=CHOSEN), "other"),
    Call(
        "that identifier again", "POST /agent", details(name="Clerk", external_identifier="clerk")
    ),
    Call(
        "that identifier in another account",
        "POST /agent",
        details(name="Clerk", external_identifier="clerk"),
        "other",
    ),
    Call("show by id", "GET /agent/show?agent_id=<agent 3>"),
    Call("show by identifier", "GET /agent/show?external_identifier=clerk"),
    Call("show by an unknown identifier", "GET /agent/show?external_identifier=nobody"),
    Call("show by nothing", "GET /agent/show"),
    Call("show without counts", "GET /agent/show?agent_id=<agent 3>&include_counts=false"),
    Call("show with a switch that is none", f"GET {AGENT}?include_counts=maybe"),
    Call("show in an environment", f"GET {AGENT}?environment_id=<environment 1>"),
    Call("show in an unknown environment", f"GET {AGENT}?environment_id={NOBODY}"),
    Call("show an agent that does not exist", f"GET /agent/{NOBODY}"),
    Call("show an agent of another account", "GET /agent/<agent 2>"),
    Call("update", f"PUT {AGENT}", details(name="Clerk 2", description=None, team_id="team-2")),
    Call("update nothing", f"PUT {AGENT}", details()),
    Call("update a name to null", f"PUT {AGENT}", details(name=None)),
    Call("update an agent that does not exist", f"PUT /agent/{NOBODY}", details(name="A")),
    Call("reinstate an active one", f"POST {AGENT}/reinstate"),
    Call("retire", f"POST {AGENT}/retire"),
    Call("retire again", f"POST {AGENT}/retire", {}),
    Call("update a retired one", f"PUT {AGENT}", details(name="Clerk 3")),
    Call("register with a retired one", "POST /agent_instance/register", registration("<agent 3>")),
    Call("reinstate", f"POST {AGENT}/reinstate", {}),
    Call("a run of it", "POST /agent_instance/register", registration("<agent 3>"), silent=True),
    Call("show with a run", f"GET {AGENT}"),
    Call("delete with a run", f"DELETE {AGENT}"),
    Call("delete", f"DELETE /agent/{CHOSEN}"),
    Call("delete again", f"DELETE /agent/{CHOSEN}"),
    Call("list by owner", "GET /agent?owner_person_id=person-1"),
    Call("list by team", "GET /agent?team_id=team-1"),
    Call("list by profile", "GET /agent?risk_profile_id=profile-1"),
]
DEPLOYMENT: Final = "/agent_deployment/<agent_deployment 1>"
PLACES: Final = [
    Call("accounts", "GET /account"),
    Call("the account", "GET /account/<account 1>"),
    Call("another account", "GET /account/<account 2>"),
    Call("rename the account", "PUT /account/<account 1>", details(name="Desk")),
    Call("rename the account to nothing", "PUT /account/<account 1>", details(name="")),
    Call("rename the account without a name", "PUT /account/<account 1>", details()),
    Call("an environment", "POST /environment", details(name="staging", id=CHOSEN)),
    Call("the same again", "POST /environment", details(name="staging", id=CHOSEN)),
    Call("that id with another name", "POST /environment", details(name="other", id=CHOSEN)),
    Call(
        "an environment of another account",
        "POST /environment",
        details(name="x", account_id="<account 2>"),
    ),
    Call("show an environment", f"GET /environment/{CHOSEN}"),
    Call("rename an environment", f"PUT /environment/{CHOSEN}", details(name="test")),
    Call("rename another account's", "PUT /environment/<environment 2>", details(name="test")),
    Call("environments", "GET /environment?account_id=<account 1>"),
    Call("environments of another account", "GET /environment?account_id=<account 2>"),
    Call(
        "deploy",
        "POST /agent_deployment",
        details(agent_id="<agent 1>", environment_id=CHOSEN, id=OTHER_CHOSEN),
    ),
    Call(
        "deploy again",
        "POST /agent_deployment",
        details(agent_id="<agent 1>", environment_id=CHOSEN),
    ),
    Call(
        "deploy another account's agent",
        "POST /agent_deployment",
        details(agent_id="<agent 2>", environment_id=CHOSEN),
    ),
    Call(
        "deploy in another account's environment",
        "POST /agent_deployment",
        details(agent_id="<agent 1>", environment_id="<environment 2>"),
    ),
    Call(
        "a run",
        "POST /agent_instance/register",
        registration(environment_id="<environment 1>"),
        silent=True,
    ),
    Call("deployments", "GET /agent_deployment"),
    Call("deployments of an agent", "GET /agent_deployment?agent_id=<agent 1>"),
    Call("deployments in an environment", f"GET /agent_deployment?environment_id={CHOSEN}"),
    Call("clear a version", f"PUT {DEPLOYMENT}", details(current_version_id=None)),
    Call("set a version", f"PUT {DEPLOYMENT}", details(current_version_id="<agent_version 1>")),
    Call("set nothing", f"PUT {DEPLOYMENT}", details()),
    Call("set an unknown version", f"PUT {DEPLOYMENT}", details(current_version_id=NOBODY)),
    Call("delete a deployment with runs", f"DELETE {DEPLOYMENT}"),
    Call("delete an environment with deployments", f"DELETE /environment/{CHOSEN}"),
    Call("delete a deployment", f"DELETE /agent_deployment/{OTHER_CHOSEN}"),
    Call("delete a deployment again", f"DELETE /agent_deployment/{OTHER_CHOSEN}"),
    Call("delete an environment", f"DELETE /environment/{CHOSEN}"),
    Call("delete an environment again", f"DELETE /environment/{CHOSEN}"),
    Call("delete the last environment", "DELETE /environment/<environment 2>", token="other"),
]
VERSIONS: Final = [
    Call(
        "a version",
        "POST /agent_version",
        details(agent_id="<agent 1>", **VERSION, runtime_environment={"os": "linux", "x": 1}),
    ),
    Call(
        "that version with another name",
        "POST /agent_version",
        details(agent_id="<agent 1>", external_identifier="v1", name="Other"),
    ),
    Call("a version without an identifier", "POST /agent_version", details(agent_id="<agent 1>")),
    Call("a version of another account", "POST /agent_version", details(agent_id="<agent 2>")),
    Call("show a version", "GET /agent_version/<agent_version 1>"),
    Call("versions by identifier", "GET /agent_version?external_identifier=v1"),
    Call("versions of an agent", "GET /agent_version?agent_id=<agent 1>"),
    Call("a schema version", "POST /agent_schema_version", details(agent_id="<agent 1>", **SCHEMA)),
    Call(
        "that schema version again",
        "POST /agent_schema_version",
        details(agent_id="<agent 1>", **SCHEMA),
    ),
    Call(
        "that identifier with other content",
        "POST /agent_schema_version",
        details(agent_id="<agent 1>", external_identifier="s1", span_schemas={"a": {}}),
    ),
    Call(
        "a schema version of another account",
        "POST /agent_schema_version",
        details(agent_id="<agent 2>", **SCHEMA),
    ),
    Call("show a schema version", "GET /agent_schema_version/<agent_schema_version 1>"),
    Call("schema versions by identifier", "GET /agent_schema_version?external_identifier=s1"),
    Call("a schema version that does not exist", f"GET /agent_schema_version/{NOBODY}"),
]
TOKEN: Final = "/api_token/<api_token 3>"
PING: Final = "GET /ping"
TOKENS: Final = [
    Call("for the account", "POST /api_token", details(token_scope="account")),
    Call("ping with it", PING, token="<secret 1>"),
    Call("show", f"GET {TOKEN}"),
    Call("activate an active one", f"POST {TOKEN}/activate"),
    Call("delete an active one", f"DELETE {TOKEN}"),
    Call("suspend", f"POST {TOKEN}/suspend"),
    Call("ping while suspended", PING, token="<secret 1>"),
    Call("suspend again", f"POST {TOKEN}/suspend"),
    Call("activate", f"POST {TOKEN}/activate", {}),
    Call("ping while active", PING, token="<secret 1>"),
    Call("a token by that token", "POST /api_token", details(token_scope="account"), "<secret 1>"),
    Call("revoke", f"POST {TOKEN}/revoke"),
    Call("ping when revoked", PING, token="<secret 1>"),
    Call("ping with the other token", PING, token="<secret 2>"),
    Call("revoke again", f"POST {TOKEN}/revoke"),
    Call("suspend a revoked one", f"POST {TOKEN}/suspend"),
    Call("delete", f"DELETE {TOKEN}"),
    Call("delete again", f"DELETE {TOKEN}"),
    Call(
        "that expires",
        "POST /api_token",
        details(token_scope="account", expires_at="2026-01-01T01:00:00Z"),
    ),
    Call("ping before it expires", PING, token="<secret 3>"),
    Call("a token by that one", "POST /api_token", details(token_scope="account"), "<secret 3>"),
    Call("ping when expired", PING, token="<secret 3>", later_s=3600),
    Call("ping with the token that it made", PING, token="<secret 4>"),
    Call(
        "that has expired",
        "POST /api_token",
        details(token_scope="account", expires_at="2026-01-01T01:00:00Z"),
    ),
    Call(
        "for a deployment",
        "POST /api_token",
        details(token_scope="agent_deployment", agent_id="<agent 1>"),
    ),
    Call("ping with a deployment's token", PING, token="<secret 5>"),
    Call("retire the agent", "POST /agent/<agent 1>/retire", silent=True),
    Call("ping for a retired agent", PING, token="<secret 5>"),
    Call(
        "for a deployment without an agent",
        "POST /api_token",
        details(token_scope="agent_deployment"),
    ),
    Call(
        "for an agent of another account",
        "POST /api_token",
        details(token_scope="agent_deployment", agent_id="<agent 2>"),
    ),
    Call(
        "for an account with an agent",
        "POST /api_token",
        details(token_scope="account", agent_id="<agent 1>"),
    ),
    Call(
        "for another account",
        "POST /api_token",
        details(token_scope="account", account_id="<account 2>"),
    ),
    Call("a token that does not exist", f"GET /api_token/{NOBODY}"),
    Call("a token of another account", "GET /api_token/<api_token 2>"),
    Call("revoke a token of another account", "POST /api_token/<api_token 2>/revoke"),
    Call("list by scope", "GET /api_token?token_scope=agent_deployment"),
    Call("list by status", "GET /api_token?status=revoked"),
    Call("list by agent", "GET /api_token?agent_id=<agent 1>&sorting=-id"),
]
IDS_AND_PEOPLE: Final = [
    Call("one id", "POST /pfid/generate"),
    Call("three ids", "POST /pfid/generate", {"count": 3, "account_id": "<account 1>"}),
    Call("ids of another account", "POST /pfid/generate", {"account_id": "<account 2>"}),
    Call("users", "GET /admin_user?sorting=-id"),
    Call("invite", "POST /admin_user_invite", details(email="a@example.org")),
    Call("invite without an address", "POST /admin_user_invite", details()),
    Call("alerts", "GET /alerts/count"),
]
SEEN_BY_OTHERS: Final = [
    Call("a run", "POST /agent_instance/register", registration(id=CHOSEN), silent=True),
    Call("a span", "POST /agent_spans", details(**span(CHOSEN, id=OTHER_CHOSEN)), silent=True),
    Call(
        "that run's id",
        "POST /agent_instance/register",
        registration("<agent 2>", id=CHOSEN),
        "other",
    ),
    Call("a span of that run", "POST /agent_spans", details(**span(CHOSEN)), "other"),
    Call("a run of its own", "POST /agent_instance/register", registration("<agent 2>"), "other"),
    Call(
        "that span's id",
        "POST /agent_spans",
        details(**span("<agent_instance 1>", id=OTHER_CHOSEN)),
        "other",
    ),
    Call(
        "a span with that span as parent",
        "POST /agent_spans",
        details(**span("<agent_instance 1>", parent_span_id=OTHER_CHOSEN)),
        "other",
    ),
    Call(
        "runs of another account's agent", "GET /agent_instance?agent_id=<agent 1>", token="other"
    ),
    Call("its own runs", "GET /agent_instance?agent_id=<agent 2>", token="other"),
    Call(
        "spans of another account's run",
        f"GET /agent_spans?agent_instance_id={CHOSEN}",
        token="other",
    ),
    Call("spans of another account's agent", "GET /agent_spans?agent_id=<agent 1>", token="other"),
    Call("its own spans", "GET /agent_spans?agent_id=<agent 2>", token="other"),
    Call(
        "finish the span whose id another account has too",
        f"POST /agent_spans/{OTHER_CHOSEN}/finish",
        {},
        "other",
    ),
    Call("agents of another account", "GET /agent?account_id=<account 1>", token="other"),
    Call(
        "another account in an item",
        "POST /bulk",
        {
            "items": [
                {
                    "_type": "agent_instances/show",
                    "idempotency_key": "item-0001",
                    "agent_instance_id": CHOSEN,
                }
            ]
        },
        "other",
    ),
]
