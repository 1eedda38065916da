"""What a token may do, at every endpoint: read, write, erase; its own agent or all."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

import pytest

from remit.collector import Permission, Store, create_token, list_tokens
from remit.errors import UsageError
from remit.testing import FakeClock
from tests.collecting import NOBODY, Api, Json, World, details, refusal
from tests.inside_collector import ENDPOINTS, Endpoint
from tests.stores import on_each_store
from tests.subtests import each

CANARY: Final = "canary-4711"
READS: Final = [endpoint for endpoint in ENDPOINTS if endpoint.needs == Permission.READ]
WRITES: Final = [endpoint for endpoint in ENDPOINTS if endpoint.needs != Permission.READ]


def token(world: World, may: str, scope: str = "account") -> Api:
    """Return the view of a token that may do something."""
    made = create_token(world.store, scope, agent="desk", may=may, clock=world.clock)
    return Api(world.http(made.secret))


def asked(api: Api, endpoint: Endpoint, thing_id: str = NOBODY, **query: Json) -> Json:
    """Call an endpoint; return the response."""
    path = endpoint.route.replace("{id}", thing_id)
    body: Json = None if endpoint.method == "GET" else {"details": {}}
    return api.http.request(endpoint.method, path, json=body, params=query)


def rows(store: Store) -> list[Json]:
    """Return what a request may change: all rows but those of tokens, whose use is recorded."""
    tables = ("accounts", "environments", "agents", "agent_deployments", "runs", "spans")
    with store.reading() as tx:
        others = ("erasures", "idempotency_keys", "agent_versions", "run_changes")
        return [list(tx.rows(f"SELECT * FROM {table}")) for table in (*tables, *others)]


@on_each_store
def test_a_token_that_may_read_writes_nothing(world: World, store: Store) -> None:
    """Every writing endpoint answers 403 and how to get a token that may; a bulk request too."""
    owner, reader = world.account(), token(world, "read")
    run = owner.instance("active")
    before = rows(store)

    for endpoint in WRITES:
        said = refusal(asked(reader, endpoint, run["id"]), 403)
        assert said["code"] == "forbidden"
        assert f"`remit token create --may {endpoint.needs}`" in said["message"]
    item = {"_type": "agent_instances/show", "agent_instance_id": run["id"]}
    body = {"items": [{"idempotency_key": uuid4().hex, **item}]}
    assert refusal(reader.post("/bulk", body), 403)["code"] == "forbidden"

    assert rows(store) == before


@on_each_store
def test_a_token_that_may_read_reads_as_one_that_may_write(world: World) -> None:
    """Every reading endpoint answers both alike."""
    owner, reader = world.account(), token(world, "read")
    run = owner.instance("active")
    owner.span(run["id"])

    for endpoint in READS:
        answers = [asked(api, endpoint, run["id"]) for api in (owner, reader)]
        assert len({answer.status_code for answer in answers}) == 1
        if endpoint.path != "/ping":
            assert answers[0].text == answers[1].text
    assert details(reader.get("/ping"))["may"] == "read"


@on_each_store
@each("may", ["read", "write", "erase"])
def test_a_programs_token_reads_nothing_of_other_agents(world: World, may: str) -> None:
    """Every reading endpoint, with every id, filter and label of the other agent's run."""
    owner = world.account()
    other = details(owner.post("/agent", {"details": {"name": CANARY}}))
    run = owner.instance("active", agent_id=other["id"], external_identifier=f"{CANARY}-{may}")
    root = {"subject": CANARY, "labels": {"key": CANARY}, "purpose": CANARY}
    owner.span(run["id"], schema_name="remit:run", payload=root)
    span = owner.span(run["id"], payload={"q": CANARY}, schema_name=CANARY)
    program = token(world, may, "agent_deployment")
    ids = {name: value for name, value in run.items() if name.endswith("id") and value}
    filters = {
        **ids,
        "agent_instance_id": run["id"],
        "run_id": run["id"],
        "key": f"{CANARY}-{may}",
        "label": f"key={CANARY}",
        "since": "2020-01-01T00:00:00Z",
        "start_time": "2020-01-01T00:00:00Z",
        "end_time": "2030-01-01T00:00:00Z",
        "after": "0-0",
        "external_identifier": other["external_identifier"] or CANARY,
    }
    own = token(world, "write", "agent_deployment").instance("active")

    for endpoint in READS:
        texts = [asked(program, endpoint).text]
        texts += [asked(program, endpoint, own["id"], **{k: v}).text for k, v in filters.items()]
        texts += [
            asked(program, endpoint, thing_id).text
            for thing_id in {*ids.values(), span["id"], run["agent_version_id"]}
        ]
        for text in texts:
            assert CANARY not in text, endpoint.path
            assert span["id"] not in text, endpoint.path
    # The endpoints do show it to those who may read it.
    assert CANARY in json.dumps([owner.shown(run["id"]), owner.spans(run["id"])])


# Making them


def made(api: Api, **fields: Json) -> dict[str, Json]:
    """Return a token that was created over the API."""
    return details(api.post("/api_token", {"details": {"token_scope": "account", **fields}}))


@on_each_store
def test_a_token_is_shown_with_its_name_and_what_it_may(world: World, store: Store) -> None:
    """Without both it may write, as tokens always did; what a later client sends is ignored."""
    api = token(world, "erase")
    plain = made(api, hue="blue")
    named = made(api, name="nightly", may="read")

    assert (plain["name"], plain["may"]) == (None, "write")
    assert (named["name"], named["may"]) == ("nightly", "read")
    listed = api.get("/api_token").json()["summaries"]
    assert named in listed
    infos = {info.id: info for info in list_tokens(store, clock=world.clock)}
    assert (infos[named["id"]].name, infos[named["id"]].may) == ("nightly", Permission.READ)


@each(
    ("fields", "field"),
    [
        ({"may": "all"}, "may"),
        ({"may": None}, "may"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
    ],
)
def test_a_token_without_a_proper_name_or_permission_is_refused(
    world: World, fields: dict[str, Json], field: str
) -> None:
    """The error names the field."""
    body = {"details": {"token_scope": "account", **fields}}
    assert list(refusal(world.account().post("/api_token", body), 422)["errors"]) == [field]


def test_a_token_creates_none_that_may_do_more(world: World) -> None:
    """The error says how to get one."""
    writer, eraser = token(world, "write"), token(world, "erase")

    said = refusal(
        writer.post("/api_token", {"details": {"token_scope": "account", "may": "erase"}}), 403
    )

    assert "`remit token create --may erase`" in said["message"]
    assert made(eraser, may="erase")["may"] == "erase"
    assert made(writer)["may"] == "write"


def test_a_tokens_end_and_use_are_listed(world: World, store: Store, clock: FakeClock) -> None:
    """An expired one is shown as such, and refused."""
    now = datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC)
    end = now + timedelta(hours=1)
    made = create_token(store, "account", name="short", may="read", expires_at=end, clock=clock)
    assert made.info.last_used_at is None
    http = world.http(made.secret)
    assert http.get("/api/v1/ping").status_code == 200

    (used,) = list_tokens(store, clock=clock)
    clock.advance(3600)
    (expired,) = list_tokens(store, clock=clock)

    assert (used.status, expired.status) == ("active", "expired")
    assert datetime.fromisoformat(str(used.expires_at)) == end
    assert datetime.fromisoformat(str(used.last_used_at)) == now
    assert http.get("/api/v1/ping").status_code == 401


@each("name", ["", "a\x00"])
def test_a_token_without_a_proper_name_is_not_created(store: Store, name: str) -> None:
    """The error is a sentence."""
    with pytest.raises(UsageError, match="the name of a token must have"):
        create_token(store, "account", name=name)
    assert list_tokens(store) == []


def test_a_token_that_has_expired_already_is_not_created(store: Store) -> None:
    """A time without an offset is in UTC."""
    with pytest.raises(UsageError, match="name a time in the future"):
        create_token(store, "account", expires_at=datetime(2001, 1, 1))  # noqa: DTZ001 - as it says
    assert list_tokens(store) == []
