"""Tokens: who gets in, what a scope covers, and that no account sees another."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from remit.collector import Store, create_token, list_tokens, revoke_token
from remit.errors import UsageError
from remit.testing import FakeClock
from tests.collecting import Api, World, details, refusal
from tests.inside_collector import NS_PER_US, ConflictError, Transaction
from tests.stores import on_each_store
from tests.subtests import each

PATHS = [
    ("GET", "/ping"),
    ("GET", "/agent"),
    ("GET", "/agent/show"),
    ("POST", "/agent"),
    ("POST", "/bulk"),
    ("POST", "/agent_instance/register"),
    ("GET", "/agent_instance"),
    ("GET", "/agent_instance/x"),
    ("POST", "/agent_spans"),
    ("GET", "/agent_spans"),
    ("POST", "/agent_spans/x/finish"),
    ("POST", "/pfid/generate"),
]


@each(("method", "path"), PATHS)
@each(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic d3Jvbmc6", "wrong", "Bearer \xe9"],
)
def test_nobody_gets_in_without_a_token(
    world: World, method: str, path: str, header: str | None
) -> None:
    """Every path gives the same answer, without a detail."""
    http = world.http(None)
    headers = [] if header is None else [(b"authorization", header.encode("latin-1"))]

    answer = http.request(method, f"/api/v1{path}", headers=headers)

    assert refusal(answer, 401) == {
        "status": "error",
        "code": "bad_authtoken",
        "message": "Invalid or expired API token",
    }
    assert answer.headers["www-authenticate"] == "Bearer"


@each("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_in_any_case(world: World, store: Store, scheme: str) -> None:
    """HTTP defines it so."""
    secret = create_token(store, "account").secret

    ping = world.http(None).get("/api/v1/ping", headers={"Authorization": f"{scheme} {secret}"})

    assert details(ping)["token_scope"] == "account"


def test_a_ping_tells_what_the_token_is_good_for(world: World) -> None:
    """A deployment's token is bound to an agent and an environment."""
    account = details(world.account().get("/ping"))
    deployment = details(world.deployment().get("/ping"))

    assert account["token_scope"] == "account"
    assert (account["agent_id"], account["environment_id"]) == (None, None)
    assert deployment["token_scope"] == "agent_deployment"
    assert deployment["account_id"] == account["account_id"]
    assert deployment["agent_id"]
    assert deployment["environment_id"]


def test_a_secret_is_shown_once_and_kept_as_a_hash(store: Store, tmp_path: Path) -> None:
    """It is neither in the list nor in the file."""
    made = create_token(store, "account")

    assert len(made.secret) > 40
    assert list_tokens(store) == [made.info]
    with store.reading() as tx:
        (row,) = tx.tokens()
    assert row.token_hash == hashlib.sha256(made.secret.encode()).digest()
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert made.secret.encode() not in files


def test_a_revoked_token_is_worthless_for_good(world: World, store: Store) -> None:
    """Other tokens are not affected."""
    made, other = create_token(store, "account"), create_token(store, "account")
    revoked = revoke_token(store, made.info.id)

    assert revoked.status == "revoked"
    refusal(world.http(made.secret).get("/api/v1/ping"), 401)
    details(world.http(other.secret).get("/api/v1/ping"))
    assert [token.status for token in list_tokens(store)] == ["revoked", "active"]
    assert revoke_token(store, made.info.id).status == "revoked"


def test_a_token_that_does_not_exist_cannot_be_revoked(store: Store) -> None:
    """The error says how to find those that do."""
    with pytest.raises(UsageError, match="remit token list"):
        revoke_token(store, "nothing")


def test_an_expired_token_is_worthless(world: World, store: Store, clock: FakeClock) -> None:
    """It is rejected from its expiry on."""
    made = create_token(store, "account", clock=clock)
    http = world.http(made.secret)
    with store.writing() as tx:
        (row,) = tx.tokens()
        end = clock.wall_ns() // NS_PER_US + 1_000_000
        expiring = msgspec.structs.replace(
            row, id=row.id[::-1], token_hash=hashlib.sha256(b"short").digest(), expires_at=end
        )
        tx.add(expiring)
    short = world.http("short")

    details(short.get("/api/v1/ping"))
    clock.advance(1)

    refusal(short.get("/api/v1/ping"), 401)
    details(http.get("/api/v1/ping"))


class Contended:
    """A store whose first transactions lose against another writer."""

    def __init__(self, store: Store, times: int) -> None:
        """Stand before *store*."""
        self._store = store
        self.times = times

    def reading(self) -> AbstractContextManager[Transaction]:
        """Read."""
        return self._store.reading()

    @contextmanager
    def writing(self) -> Generator[Transaction]:
        """Write, then fail as if another writer was faster."""
        with self._store.writing() as tx:
            yield tx
            if self.times:
                self.times -= 1
                raise ConflictError("somebody else was faster")


def test_a_token_is_made_and_revoked_though_others_write(store: Store) -> None:
    """A transaction that loses against another is retried, as for requests."""
    contended = Contended(store, 3)
    made = create_token(cast("Store", contended), "agent_deployment", agent="contended desk")
    assert contended.times == 0
    contended.times = 3

    revoked = revoke_token(cast("Store", contended), made.info.id)

    assert contended.times == 0
    assert [(row.id, row.status) for row in list_tokens(store)] == [(revoked.id, "revoked")]


@each("agent", ["", "a\x00", "x" * 1001, "\U0001f600" * 626])
def test_a_token_for_an_agent_that_cannot_be_is_refused(store: Store, agent: str) -> None:
    """The error is a sentence, and not that of the database."""
    with pytest.raises(UsageError, match="external identifier of an agent must have"):
        create_token(store, "agent_deployment", agent=agent)


def test_an_unknown_scope_is_refused(store: Store) -> None:
    """The two that there are stand in an enumeration."""
    with pytest.raises(ValueError, match="environment"):
        create_token(store, "environment")


def test_two_tokens_of_a_deployment_share_agent_and_environment(store: Store) -> None:
    """An agent is found by its external identifier, and made the first time."""
    one, two = (create_token(store, "agent_deployment", agent="desk").info for _ in range(2))
    other = create_token(store, "agent_deployment", agent="else").info
    unnamed = create_token(store, "agent_deployment").info

    assert (one.agent_id, one.environment_id) == (two.agent_id, two.environment_id)
    assert len({one.agent_id, other.agent_id, unnamed.agent_id}) == 3
    assert datetime.fromisoformat(one.inserted_at).tzinfo == UTC


def test_a_deployments_token_names_agent_and_environment_itself(world: World) -> None:
    """A registration leaves them out, or says the same."""
    api = world.deployment()
    ping = details(api.get("/ping"))

    run = api.instance("active")
    assert (run["agent_id"], run["environment_id"]) == (ping["agent_id"], ping["environment_id"])
    named = {name: ping[name] for name in ("agent_id", "environment_id")}
    assert api.instance("pending", **named)["agent_deployment_id"] == run["agent_deployment_id"]
    account = world.account()
    other = details(account.post("/environment", {"details": {"name": "staging"}}))["id"]
    for name, others in (("agent_id", account.agent_id), ("environment_id", other)):
        for named_id, status in ((others, 403), (run["id"], 404)):
            body = api.registration(**{name: named_id})
            refusal(api.post("/agent_instance/register", body), status)


def test_a_deployments_token_does_everything_for_its_own_runs(world: World) -> None:
    """Clients poll the instance with whatever token they have."""
    api = world.deployment()
    run = api.instance("active")
    span = api.span(run["id"])
    path = f"/agent_instance/{run['id']}"

    details(api.post(f"/agent_spans/{span['id']}/finish"))
    details(api.post(f"{path}/record_quality", {"name": "q", "payload": {}}))
    assert [row["id"] for row in api.get("/agent_instance").json()["summaries"]] == [run["id"]]
    assert len(api.spans(run["id"])) == 1
    assert len(api.get("/agent_spans", agent_id=run["agent_id"]).json()["summaries"]) == 1
    assert details(api.get(f"/agent/{run['agent_id']}"))["name"] == "One"
    assert details(api.post(f"{path}/finish"))["status"] == "complete"


@on_each_store
def test_a_deployments_token_sees_no_other_agents_runs(world: World) -> None:
    """They do not exist for it; what is the account's it may not touch."""
    api, owner = world.deployment(), world.account()
    run = owner.instance("active")
    span = owner.span(run["id"])
    path = f"/agent_instance/{run['id']}"

    for response in (
        api.get(path),
        api.post(f"{path}/finish"),
        api.post(f"{path}/terminate", {"reason": "r"}),
        api.post(f"{path}/record_quality", {"name": "q", "payload": {}}),
        api.post("/agent_spans", api.span_body(run["id"])),
        api.post(f"/agent_spans/{span['id']}/finish"),
        api.get(f"/agent/{owner.agent_id}"),
    ):
        assert refusal(response, 404)["code"] == "not_found"
    assert api.spans(run["id"]) == []
    for response in (
        api.get("/agent_instance", agent_id=owner.agent_id),
        api.get("/agent_spans", agent_id=owner.agent_id),
        api.get("/agent"),
        api.post("/agent", {"details": {"name": "x"}}),
        api.post(f"/agent/{owner.agent_id}/retire"),
        api.http.delete(f"/api/v1/agent/{owner.agent_id}"),
    ):
        assert refusal(response, 403)["code"] == "forbidden"
    assert owner.shown(run["id"])["status"] == "active"


@on_each_store
def test_no_account_sees_another(world: World) -> None:
    """It sees no id, list, parent, environment or bulk item of another account."""
    owner, foreign = world.account(), world.foreign()
    run = owner.instance("active", external_identifier="run")
    span = owner.span(run["id"])
    path = f"/agent_instance/{run['id']}"

    for response in (
        foreign.get(path),
        foreign.post(f"{path}/start"),
        foreign.post(f"{path}/terminate", {"reason": "r"}),
        foreign.put(path, {"details": {"quality_payload": {}}}),
        foreign.post("/agent_spans", foreign.span_body(run["id"])),
        foreign.post(f"/agent_spans/{span['id']}/finish"),
        foreign.get(f"/agent/{owner.agent_id}"),
        foreign.put(f"/agent/{owner.agent_id}", {"details": {"name": "x"}}),
        foreign.post(
            "/agent_instance/register",
            foreign.registration(environment_id=run["environment_id"]),
        ),
        foreign.post("/agent_instance/register", owner.registration()),
    ):
        refusal(response, 404)
    lists: list[tuple[str, dict[str, Any]]] = [
        ("/agent_instance", {"agent_id": owner.agent_id}),
        ("/agent_spans", {"agent_id": owner.agent_id}),
        ("/agent_spans", {"agent_instance_id": run["id"]}),
    ]
    for where, query in lists:
        assert foreign.get(where, **query).json()["summaries"] == []
    assert [row["id"] for row in foreign.get("/agent").json()["summaries"]] == [foreign.agent_id]
    outputs = foreign.bulk({"_type": "agent_instances/show", "agent_instance_id": run["id"]})
    assert [output["code"] for output in outputs.values()] == ["not_found"]
    for body in (
        foreign.registration(id=run["id"]),
        foreign.registration(id=foreign.agent_id, agent_id=None),
    ):
        refusal(foreign.post("/agent_instance/register", body), 422)
    refusal(foreign.post("/agent", {"details": {"name": "x", "id": owner.agent_id}}), 422)
    assert foreign.instance("pending", external_identifier="run")["id"] != run["id"]


def test_the_scopes_of_a_token_survive_a_new_app(world: World, store: Store) -> None:
    """Nothing about them is kept in the process."""
    made = create_token(store, "agent_deployment", agent="desk")

    again = Api(World(store).http(made.secret))

    assert details(again.get("/ping"))["agent_id"] == made.info.agent_id
    del world
