"""Two accounts, every endpoint, every token: who is answered what, as the documentation says it."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from remit.collector import Store, create_token
from tests.collecting import SCHEMA, Api, Json, World, details
from tests.inside import httpx
from tests.inside_collector import ENDPOINTS, PREFIX, Endpoint, TokenRow, sqlite_store

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "endpoints.md"
HEADING: Final = "## Who is answered what"
TOKENS: Final = (
    "none",
    "wrong",
    "suspended",
    "revoked",
    "expired",
    "account",
    "deployment",
    "other account",
)
USELESS: Final = TOKENS[:5]


class Two:
    """A collector with two accounts: one of everything in the first, tokens of all kinds.

    Attributes:
        secrets: The tokens, by what they are.
        ids: What the first account has, by the name of the field that holds its id.
    """

    def __init__(self, folder: Path) -> None:
        """Make both in a file that each question gets a copy of."""
        self._path = folder / "remit.db"
        with closing(sqlite_store(self._path)) as store:
            self._make(store)
        self._file = self._path.read_bytes()

    def _make(self, store: Store) -> None:
        self.world = World(store)
        owner = self.world.account()
        self.owner = owner
        bound = details(owner.post("/agent", said(name="Desk", external_identifier="desk")))
        run = Api(owner.http, bound["id"]).instance("active", external_identifier="run")
        token = details(owner.post("/api_token", said(token_scope="account")))
        unused = details(owner.post("/environment", said(name="staging")))
        self.ids = {
            **{name: run[name] for name in ("account_id", "agent_id", "agent_version_id")},
            "agent_instance_id": run["id"],
            "agent_deployment_id": run["agent_deployment_id"],
            "agent_span_id": owner.span(run["id"])["id"],
            "agent_schema_version_id": newest(owner, "/agent_schema_version"),
            "api_token_id": token["id"],
            "environment_id": unused["id"],
        }
        self.secrets = self._secrets(store)

    def _secrets(self, store: Store) -> dict[str, str | None]:
        with store.reading() as tx:
            row = next(token for token in tx.tokens() if token.token_scope == "account")
        useless = {
            "suspended": msgspec.structs.replace(row, status="suspended"),
            "revoked": msgspec.structs.replace(row, status="revoked"),
            "expired": msgspec.structs.replace(row, expires_at=1),
        }
        with store.writing() as tx:
            for kind, like in useless.items():
                tx.add(renamed(like, kind))
        bound = create_token(store, "agent_deployment", agent="desk").secret
        foreign = self.world.foreign().http.headers["Authorization"].removeprefix("Bearer ")
        account = self.owner.http.headers["Authorization"].removeprefix("Bearer ")
        return {
            "none": None,
            "wrong": "remit_wrong",
            **{kind: kind for kind in useless},
            "account": account,
            "deployment": bound,
            "other account": foreign,
        }

    @contextmanager
    def anew(self) -> Generator[None]:
        """Return a block in which all is as it was made."""
        self._path.write_bytes(self._file)
        with closing(sqlite_store(self._path)) as store:
            self.world = World(store)
            self.owner = Api(self.world.http(self.secrets["account"]))
            yield

    def asked(self, endpoint: Endpoint, token: str) -> httpx.Response:
        """Return what the endpoint answers about a thing of the first account."""
        path = endpoint.path.replace("{id}", self.ids.get(endpoint.id_field, "0" * 32))
        reads = endpoint.method == "GET"
        body = bodies(self.ids).get(endpoint.operation, {})
        if endpoint.operation == "api_tokens/activate":
            self.owner.post(f"/api_token/{self.ids['api_token_id']}/suspend")
        if endpoint.operation == "api_tokens/delete":
            self.owner.post(f"/api_token/{self.ids['api_token_id']}/revoke")
        if endpoint.operation == "agents/reinstate" and token != "deployment":  # it would stop
            self.owner.post(f"/agent/{self.ids['agent_id']}/retire")
        return self.world.http(self.secrets[token]).request(
            endpoint.method,
            endpoint.prefix + path,
            params=body if reads else None,
            json=None if reads else {"details": body} if endpoint.wrapped else body,
        )


def said(**fields: Json) -> dict[str, Json]:
    """Return the body of a request whose fields are wrapped."""
    return {"details": fields}


def newest(api: Api, path: str) -> str:
    """Return the id of what was made last."""
    found: str = api.get(path, sorting="-id").json()["summaries"][0]["id"]
    return found


def renamed(row: TokenRow, secret: str) -> TokenRow:
    """Return a token like *row* with another secret."""
    hashed = hashlib.sha256(secret.encode()).digest()
    return msgspec.structs.replace(row, id=f"token {secret}", token_hash=hashed)


def bodies(ids: dict[str, str]) -> dict[str, dict[str, Json]]:
    """Return the body or query of each operation, about the first account."""
    run, agent = ids["agent_instance_id"], ids["agent_id"]
    return {
        "agent_instances/register": {
            "agent_id": agent,
            "agent_version": {},
            "agent_schema_version": SCHEMA,
        },
        "agent_instances/terminate": {"reason": "enough"},
        "agent_instances/record_quality": {"name": "review", "payload": {}},
        "agent_instances/update": {"quality_payload": {}},
        "agent_instances/list": {"agent_id": agent},
        "agent_spans/list": {"agent_instance_id": run},
        "remit/runs": {"agent_id": agent},
        "remit/spans": {"run_id": run},
        "remit/counts": {"agent_id": agent},
        "remit/changes": {"run_id": run, "after": "0-0"},
        "remit/redacted": {"agent_id": agent},
        "remit/erasures": {"run_id": run},
        "remit/erasures/create": {"run_id": run, "reason": "asked"},
        "agent_spans/create": {
            "agent_instance_id": run,
            "schema_name": "x",
            "status": "active",
            "payload": {},
        },
        "agent_spans/create_test_spans": {"agent_instance_id": run},
        "agents/create": {"name": "x"},
        "agents/show": {"agent_id": agent},
        "agents/update": {"name": "x"},
        "accounts/update": {"name": "x"},
        "environments/list": {"account_id": ids["account_id"]},
        "environments/create": {"name": "x", "account_id": ids["account_id"]},
        "environments/update": {"name": "x"},
        "agent_deployments/list": {"agent_id": agent},
        "agent_deployments/create": {
            "agent_id": agent,
            "environment_id": ids["environment_id"],
        },
        "agent_deployments/update": {"current_version_id": None},
        "agent_versions/list": {"agent_id": agent},
        "agent_versions/create": {"agent_id": agent, "external_identifier": "v9"},
        "agent_schema_versions/list": {"agent_id": agent},
        "agent_schema_versions/create": {"agent_id": agent, **SCHEMA},
        "api_tokens/list": {"account_id": ids["account_id"]},
        "api_tokens/create": {"token_scope": "agent_deployment", "agent_id": agent},
        "admin_user_invites/create": {"email": "a@example.org"},
        "pfids/generate": {"account_id": ids["account_id"]},
        "bulk": {
            "items": [
                {
                    "_type": "agent_instances/show",
                    "idempotency_key": "12345678",
                    "agent_instance_id": run,
                }
            ]
        },
    }


def row(two: Two, endpoint: Endpoint) -> str:
    """Return the endpoint's row of the table."""
    found: dict[str, int] = {}
    # A success of the one would change what the other is answered.
    for tokens in ((*USELESS, "other account", "account"), ("deployment",)):
        with two.anew():
            for token in tokens:
                response = two.asked(endpoint, token)
                found[token] = response.status_code
                if token not in {"account", "deployment"}:
                    assert not [one for one in two.ids.values() if one in response.text]
    statuses = " | ".join(str(found[token]) for token in TOKENS)
    path = endpoint.path if endpoint.prefix == PREFIX else endpoint.route
    return f"| `{endpoint.method} {path}` | {statuses} |"


def table(folder: Path) -> str:
    """Return who is answered what."""
    two = Two(folder)
    head = [f"| endpoint | {' | '.join(TOKENS)} |", "|---" * (len(TOKENS) + 1) + "|"]
    return "\n".join([*head, *(row(two, endpoint) for endpoint in ENDPOINTS)])


def test_every_token_is_answered_what_the_documentation_says(tmp_path: Path) -> None:
    """Only the account and its deployment read an id of the account."""
    told = PAGE.read_text().partition(HEADING)[2]
    golden = [line for line in told.splitlines() if line.startswith("|")]

    assert table(tmp_path).splitlines() == golden
