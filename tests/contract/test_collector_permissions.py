"""What a token may do, at every endpoint: record, read, write, erase; its own agent or all."""

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
from tests.inside_collector import (
    DOCUMENT,
    ENDPOINTS,
    OPERATIONS,
    Endpoint,
    create_app,
)
from tests.signing_in import sign_in, stranger
from tests.stores import on_each_store
from tests.subtests import each

CANARY: Final = "canary-4711"
PERMITTED: Final = {
    "read record": """
        ping agents/show agent_instances/show remit/asks/wait remit/holds remit/waiting/show
    """,
    "record": """
        bulk agents/create agent_instances/register agent_instances/start agent_instances/finish
        agent_instances/record_quality agent_instances/update agent_spans/create agent_spans/finish
        remit/asks/create remit/asks/withdraw remit/seals/use
        remit/agents/identify
        remit/holds/known
    """,
    "read": """
        agent_instances/list agent_instances/risk agent_instances/agent_context agent_spans/list
        agent_spans/show agents/list agents/risk agent_versions/list agent_versions/show
        agent_schema_versions/list agent_schema_versions/show accounts/list accounts/show
        environments/list environments/show agent_deployments/list agent_deployments/show
        api_tokens/list api_tokens/show admin_users/list admin_users/show admin_user_invites/list
        admin_user_invites/create admin_user_invites/show admin_user_invites/revoke
        risk_profiles/list risk_profiles/show alerts/count remit/runs remit/spans remit/counts
        remit/changes remit/costs remit/collisions remit/redacted remit/erasures
    """,
    "read approve": "remit/asks/list remit/asks/show",
    "approve": "remit/asks/answer",
    "write": """
        pfids/generate agent_spans/create_test_spans agents/update
        agents/delete agents/retire agents/reinstate agent_versions/create
        agent_schema_versions/create accounts/update environments/create environments/update
        environments/delete agent_deployments/create agent_deployments/update
        agent_deployments/delete api_tokens/create api_tokens/suspend api_tokens/activate
        api_tokens/revoke api_tokens/delete
    """,
    "stop": "agent_instances/terminate remit/holds/create remit/holds/lift",
    "erase": "remit/erasures/create",
}
"""The operations that a token may use, by the words of which it must have one."""
INCLUDES: Final = {
    "record": {"record"},
    "metrics": {"metrics"},
    "approve": {"approve"},
    "read": {"read", "metrics"},
    "write": {"record", "read", "write", "metrics", "stop"},
    "erase": {"record", "read", "write", "erase", "metrics", "stop"},
    "stop": {"stop"},
    "read,stop": {"read", "stop", "metrics"},
    "metrics,record": {"record", "metrics"},
    "read,record": {"record", "read", "metrics"},
}
"""What each permission permits."""
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


def words_for(operation: str) -> set[str]:
    """Return the words of which a token needs one for an operation."""
    (words,) = [words for words, names in PERMITTED.items() if operation in names.split()]
    return set(words.split())


def test_each_operation_says_who_may_use_it() -> None:
    """A new one has to choose, here too."""
    operations = {endpoint.operation for endpoint in ENDPOINTS} - {DOCUMENT}
    named = " ".join(PERMITTED.values()).split()
    assert sorted(named) == sorted(operations)


@on_each_store
@each("may", list(INCLUDES))
def test_a_token_may_use_what_its_permissions_name(world: World, may: str) -> None:
    """Every endpoint, alone and in a bulk request; all others answer 403."""
    owner, holder = world.account(), token(world, may)
    run = owner.instance("active")
    for endpoint in ENDPOINTS:
        if endpoint.operation == DOCUMENT:
            continue
        permitted = bool(words_for(endpoint.operation) & INCLUDES[may])
        status = asked(holder, endpoint, run["id"]).status_code
        assert (status != 403) == permitted, endpoint.route
        if endpoint.operation not in OPERATIONS or "record" not in INCLUDES[may]:
            continue
        item = {"_type": endpoint.operation, "id": run["id"], "agent_instance_id": run["id"]}
        (output,) = holder.bulk(item).values()
        assert (output.get("code") != "forbidden") == permitted, endpoint.operation


@on_each_store
@each("may", ["record", "metrics", "metrics,record"])
def test_a_token_that_records_reads_no_value(world: World, may: str) -> None:
    """Neither by an answer to its own requests, nor by repeating those of others."""
    owner, holder = world.account(), token(world, may)
    keys = {name: f"{name}-{uuid4().hex}" for name in ("register", "create", "finish", "quality")}
    registration = {**owner.registration(), "idempotency_key": keys["register"]}
    run = details(owner.post("/agent_instance/register", registration))
    path = f"/agent_instance/{run['id']}"
    details(owner.post(f"{path}/start", {}))
    quality = {"name": "note", "payload": {"q": CANARY}, "idempotency_key": keys["quality"]}
    details(owner.post(f"{path}/record_quality", quality))
    body = owner.span_body(run["id"], payload={"question": CANARY}, idempotency_key=keys["create"])
    span = details(owner.post("/agent_spans", body))
    end = {"status": "complete", "result_payload": {"a": CANARY}, "idempotency_key": keys["finish"]}
    details(owner.post(f"/agent_spans/{span['id']}/finish", end))
    assert CANARY in json.dumps([owner.shown(run["id"]), owner.spans(run["id"])])

    answers = [
        holder.get(path),
        holder.post("/agent_instance/register", registration),
        holder.post(f"{path}/record_quality", quality),
        holder.post("/agent_spans", body),
        holder.post(f"/agent_spans/{span['id']}/finish", end),
        holder.get("/agent_spans", agent_instance_id=run["id"]),
        holder.get(f"/agent_spans/{span['id']}"),
        holder.http.get(f"/api/remit/v1/runs/{run['id']}/file"),
        holder.http.get(f"/api/remit/v1/runs/{run['id']}/file/values"),
        *(asked(holder, endpoint, run["id"]) for endpoint in ENDPOINTS),
    ]
    if "record" in may:
        (shown,) = holder.bulk({"_type": "agent_instances/show", "id": run["id"]}).values()
        answers.append(shown)
        assert [answer.status_code for answer in answers[:5]] == [200] * 5
        assert details(answers[0])["status"] == "active"
    for answer in answers:
        text = answer.text if hasattr(answer, "text") else json.dumps(answer)
        assert CANARY not in text


@each(
    ("may", "scope", "status"),
    [
        ("metrics", "account", 200),
        ("metrics,record", "account", 200),
        ("read", "account", 200),
        ("write", "account", 200),
        ("record", "account", 403),
        ("record", "agent_deployment", 401),
        ("write", "agent_deployment", 401),
    ],
)
def test_metrics_are_for_tokens_that_may_read_them(
    world: World, may: str, scope: str, status: int
) -> None:
    """A deployment's token never does: they are about the whole server."""
    answer = token(world, may, scope).http.get("/metrics")
    assert answer.status_code == status
    if status == 403:
        assert "`remit token create --may metrics`" in refusal(answer, 403)["message"]


def test_a_token_that_may_not_read_signs_nobody_in(store: Store) -> None:
    """The page is for reading; it says which token it takes."""
    http = stranger(create_app(store, page_hosts=()))
    for may, words in (("record", "record"), ("metrics", "read metrics")):
        refused = sign_in(http, create_token(store, "account", may=may).secret)
        assert refused.status_code == 403
        assert f"may only {words}" in refused.text
        assert "Cookie" not in http.headers
    assert sign_in(http, create_token(store, "account", may="read,record").secret).is_redirect
    assert "read, record" in http.get("/account").text


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
        ({"may": "record,all"}, "may"),
        ({"may": ""}, "may"),
        ({"may": ["record"]}, "may"),
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
    assert made(writer, may="record,metrics")["may"] == "metrics,record"
    for may in ("read", "record", "metrics", "metrics,record"):
        body = {"details": {"token_scope": "account", "may": "metrics"}}
        refusal(token(world, may).post("/api_token", body), 403)


@each(
    ("words", "kept"),
    [
        ("record,metrics", "metrics,record"),
        ("record,record", "record"),
        ("write,record,read", "write"),
        ("read,metrics", "read"),
        ("read,record", "read,record"),
    ],
)
def test_permissions_are_kept_without_those_that_another_includes(
    world: World, words: str, kept: str
) -> None:
    """In one order, so that equal ones read alike."""
    assert made(world.account(), may=words)["may"] == kept


def test_a_deployments_token_cannot_be_for_metrics(world: World, store: Store) -> None:
    """They are about the whole server; the error says which scope it needs."""
    with pytest.raises(UsageError, match="scope account"):
        create_token(store, "agent_deployment", agent="desk", may="record,metrics")
    api = world.account()
    named = {"token_scope": "agent_deployment", "agent_id": api.agent_id, "may": "metrics"}
    assert list(refusal(api.post("/api_token", {"details": named}), 422)["errors"]) == ["may"]


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
    with pytest.raises(UsageError, match="give a time in the future"):
        create_token(store, "account", expires_at=datetime(2001, 1, 1))  # noqa: DTZ001 - as it says
    assert list_tokens(store) == []
