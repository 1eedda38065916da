"""Idempotency keys: each is for one request; `tests.golden.repeats` repeats every operation."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from remit.collector import Store
from tests.collecting import Api, Json, World, details, refusal
from tests.inside import ids
from tests.inside_collector import AskedFor, erase
from tests.stores import on_each_store
from tests.subtests import each

KEY = "key-12345678"


Request = tuple[str, dict[str, Any]]


def other_quality(api: Api) -> tuple[Request, Request]:
    """Record two payloads."""
    path = f"/agent_instance/{api.instance()['id']}/record_quality"
    return (path, {"name": "a", "payload": {"n": 1}}), (path, {"name": "a", "payload": {"n": 2}})


def other_agent(api: Api) -> tuple[Request, Request]:
    """Register for two agents."""
    path = "/agent_instance/register"
    agent = details(api.post("/agent", {"details": {"name": "Other"}}))["id"]
    return (path, api.registration()), (path, api.registration(agent_id=agent))


def other_token(api: Api) -> tuple[Request, Request]:
    """Revoke two tokens."""
    body = {"details": {"token_scope": "account"}}
    one, other = (details(api.post("/api_token", body))["id"] for _ in range(2))
    return (f"/api_token/{one}/revoke", {}), (f"/api_token/{other}/revoke", {})


def other_result(api: Api) -> tuple[Request, Request]:
    """Finish a span with two results."""
    path = f"/agent_spans/{api.span(api.instance()['id'])['id']}/finish"
    return (path, {"result_payload": {"n": 1}}), (path, {"result_payload": {"n": 2}})


@on_each_store
@each(
    "requests",
    [
        other_quality,
        other_agent,
        other_token,
        other_result,
    ],
    ids=lambda requests: requests.__name__,
)
def test_a_key_with_another_resource_or_body_is_refused(
    world: World, requests: Callable[[Api], tuple[Request, Request]]
) -> None:
    """The second request is rejected with 422; with another key it is carried out."""
    api = world.foreign()
    (path, body), (other_path, other) = requests(api)
    first = api.post(path, {**body, "idempotency_key": KEY})

    answer = refusal(api.post(other_path, {**other, "idempotency_key": KEY}), 422)

    assert list(answer["errors"]) == ["idempotency_key"]
    assert api.post(path, {**body, "idempotency_key": KEY}).content == first.content
    own = api.post(other_path, {**other, "idempotency_key": "own-key-1"})
    assert own.status_code == (409 if path == other_path and "finish" in path else 200)


@on_each_store
def test_what_was_erased_does_not_tell_a_key_from_another(api: Api, store: Store) -> None:
    """What is kept of a request's body goes with the payloads."""
    run = api.instance()["id"]
    path = f"/agent_instance/{run}/record_quality"
    body = {"name": "a", "payload": {"n": 1}, "idempotency_key": KEY}
    span = {**api.span_body(run), "idempotency_key": KEY}
    details(api.post(path, body))
    details(api.post("/agent_spans", span))

    erase(store, [run], AskedFor.RUN, reason="asked", erased_by="test")

    account_id = api.shown(run)["account_id"]
    with store.reading() as tx:
        kept = tx.keys(account_id, "agent_instances/record_quality", [KEY])[KEY]
    assert kept.request_hash is None
    details(api.post(path, {**body, "payload": {"n": 2}}))
    details(api.post("/agent_spans", span))


@on_each_store
def test_an_answer_that_an_earlier_version_stored_is_returned(api: Api, store: Store) -> None:
    """It is the whole answer, where a key now holds the id of the agent."""
    body = {"details": {"name": "A"}}
    first = api.post("/agent", {**body, "idempotency_key": KEY})
    agent = details(first)
    with store.writing() as tx:
        known = tx.keys(agent["account_id"], "agents/create", [KEY])[KEY]
        tx.add_keys([msgspec.structs.replace(known, key="old", response=first.content)])
    renamed = details(api.put(f"/agent/{agent['id']}", {"details": {"name": "B"}}))

    assert known.response == agent["id"].encode()
    assert details(api.post("/agent", {**body, "idempotency_key": KEY})) == renamed
    assert details(api.post("/agent", {**body, "idempotency_key": "old"})) == agent


@on_each_store
@each("key", ["x", "x" * 64, "schlüssel ✓"])
def test_short_long_and_foreign_keys_are_taken(api: Api, key: str) -> None:
    """A character is a character, not a byte."""
    body = {**api.span_body(api.instance("active")["id"]), "idempotency_key": key}

    assert api.post("/agent_spans", body).content == api.post("/agent_spans", body).content


def span_key(api: Api) -> tuple[str, str]:
    """Return a span's id in the account, and the 26 characters that its keys are made of."""
    key = ids.new_key(1_767_225_600_000_000_000)
    partition = ids.partition_of(api.agent_id or "")
    assert partition is not None
    return ids.pfid(key, partition), ids.key_text(key)


@on_each_store
def test_keys_derived_from_the_span_are_kept_in_its_row(api: Api) -> None:
    """The SDK's own keys: repeated, they change nothing, as any other key."""
    run = api.instance("active")
    span_id, text = span_key(api)
    body: Json = {**api.span_body(run["id"], id=span_id), "idempotency_key": f"c-{text}"}

    first = api.post("/agent_spans", body)
    finish = {"idempotency_key": f"f-{text}"}
    done = api.post(f"/agent_spans/{span_id}/finish", finish)

    assert details(first)["id"] == span_id
    changed = {**body, "details": body["details"] | {"payload": {}}}
    assert api.post("/agent_spans", changed).content == done.content
    assert api.post(f"/agent_spans/{span_id}/finish", finish).content == done.content
    # A process that takes over ends a span that was ended already, in its own way.
    taken_over = {**finish, "status": "failed", "result_payload": {"reason": "process ended"}}
    assert api.post(f"/agent_spans/{span_id}/finish", taken_over).content == done.content
    refusal(api.post(f"/agent_spans/{span_id}/finish", {"idempotency_key": "f-else"}), 409)


@on_each_store
def test_a_derived_key_without_an_id_makes_that_span(api: Api) -> None:
    """A repetition, with the id or without, finds it."""
    run = api.instance("active")
    span_id, text = span_key(api)
    keyed = {"idempotency_key": f"c-{text}"}

    first = api.post("/agent_spans", {**api.span_body(run["id"]), **keyed})
    again = api.post("/agent_spans", {**api.span_body(run["id"], id=span_id), **keyed})

    assert details(first)["id"] == span_id
    assert again.content == first.content


@on_each_store
def test_a_derived_key_on_another_span_is_still_one_key(api: Api) -> None:
    """A repetition of that request finds its span."""
    run = api.instance("active")
    span_id, text = span_key(api)
    other_id, _ = span_key(api)
    made = api.span(run["id"], id=span_id)
    keyed = {"idempotency_key": f"c-{text}"}

    first = api.post("/agent_spans", {**api.span_body(run["id"], id=other_id), **keyed})
    again = api.post("/agent_spans", {**api.span_body(run["id"]), **keyed})

    assert details(first)["id"] == other_id != made["id"]
    assert again.content == first.content


@on_each_store
def test_the_same_request_many_times_at_once_happens_once(api: Api) -> None:
    """Clients retry while the first try is still on its way."""
    run = api.instance("active")
    body = {**api.span_body(run["id"]), "idempotency_key": KEY}

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.post("/agent_spans", body).content, range(32)))

    assert len(set(answers)) == 1
    assert len(api.spans(run["id"])) == 1
