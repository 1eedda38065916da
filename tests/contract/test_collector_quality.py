"""Qualities in three generations: by name, one unnamed by update, one unnamed by PUT."""

from __future__ import annotations

from typing import Any

from tests.collecting import SCHEMA, Api, Json, details, refusal
from tests.stores import on_each_store
from tests.subtests import each


@on_each_store
def test_a_quality_is_set_and_removed_by_name(api: Api) -> None:
    """The other names stay; null removes."""
    path = f"/agent_instance/{api.instance('active')['id']}/record_quality"

    def record(name: str, payload: dict[str, Any] | None) -> dict[str, Any]:
        answered = details(api.post(path, {"name": name, "payload": payload}))
        payloads: dict[str, Any] = answered["quality_payloads"]
        return payloads

    assert record("review", {"score": 0.9}) == {"review": {"score": 0.9}}
    assert record("undeclared", {"a": 1}) == {"review": {"score": 0.9}, "undeclared": {"a": 1}}
    assert record("review", {"score": 1}) == {"review": {"score": 1}, "undeclared": {"a": 1}}
    assert record("undeclared", None) == {"review": {"score": 1}}
    assert record("undeclared", None) == {"review": {"score": 1}}


DECLARED = {
    "quality_schemas": [
        {
            "name": "review",
            "schema": {
                "type": "object",
                "properties": {"score": {"type": "number", "maximum": 1}},
                "required": ["score"],
            },
        }
    ]
}


@each(
    ("declared", "name", "payload", "found"),
    [
        (DECLARED, "review", {"score": 0.5}, None),
        (DECLARED, "review", {"score": {"$remit": "redacted", "rule": "name:score"}}, None),
        (DECLARED, "review", {"score": "NaN"}, None),
        (DECLARED, "review", {}, '"score" is a required property'),
        (DECLARED, "review", {"score": 7}, "/score it is greater than the maximum of 1"),
        (DECLARED, "reveiw", {"score": 1}, "the name is not declared in the schema version"),
        (SCHEMA, "review", {"score": 7}, None),
    ],
    ids=["good", "redacted", "NaN", "missing", "out of range", "undeclared", "nothing declared"],
)
def test_a_quality_that_is_not_as_declared_is_kept_and_found(
    api: Api, declared: Json, name: str, payload: Json, found: str | None
) -> None:
    """The run says so, in the answer and whenever it is shown."""
    run = api.instance("active", agent_schema_version=declared)
    body = {"name": name, "payload": payload}

    answered = details(api.post(f"/agent_instance/{run['id']}/record_quality", body))

    shown = api.shown(run["id"])
    assert shown["quality_payloads"] == {name: payload}
    assert answered["quality_errors"] == shown["quality_errors"]
    errors: list[str] = shown["quality_errors"].get(name, [])
    assert [text.startswith(found or "") for text in errors] == ([] if found is None else [True])
    assert run["quality_errors"] == {}


@on_each_store
@each("status", ["pending", "active", "complete", "failed", "terminated"])
def test_a_quality_is_taken_in_any_state(api: Api, status: str) -> None:
    """Evaluations come after the run."""
    run = api.instance(status)

    body = {"name": "review", "payload": {"ok": True}}
    answered = details(api.post(f"/agent_instance/{run['id']}/record_quality", body))

    assert answered["status"] == status
    assert api.shown(run["id"])["quality_payloads"] == {"review": {"ok": True}}


@each("form", ["update", "put"])
def test_older_clients_have_one_quality_without_a_name(api: Api, form: str) -> None:
    """It is replaced as a whole, and newer readers find it as `quality`."""
    path = f"/agent_instance/{api.instance('active')['id']}"
    details(api.post(f"{path}/record_quality", {"name": "review", "payload": {"a": 1}}))

    def send(**said: Json) -> dict[str, Any]:
        body = {"details": said}
        response = api.put(path, body) if form == "put" else api.post(f"{path}/update", body)
        return details(response)

    sent = send(quality_payload={"score": 1, "old": True})
    assert sent["quality_payload"] == {"score": 1, "old": True}
    assert sent["quality_payloads"] == {"review": {"a": 1}, "quality": {"score": 1, "old": True}}
    assert send(quality_payload={"score": 2})["quality_payload"] == {"score": 2}
    assert send()["quality_payload"] == {"score": 2}
    assert send(quality_payload=None)["quality_payload"] is None


@each(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": 5}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a\x00", "payload": {}}, "name"),
        ({"name": "n", "payload": []}, "payload"),
        ({"name": "n", "payload": "x"}, "payload"),
    ],
)
def test_a_wrong_field_of_a_quality_is_named(api: Api, body: dict[str, Any], field: str) -> None:
    """Nothing is stored."""
    run = api.instance("active")

    answer = refusal(api.post(f"/agent_instance/{run['id']}/record_quality", body), 422)

    assert list(answer["errors"]) == [field]
    assert api.shown(run["id"])["quality_payloads"] == {}


@each("body", [{}, {"quality_payload": {}}, {"details": []}, {"details": None}])
def test_the_older_forms_need_their_details(api: Api, body: dict[str, Any]) -> None:
    """The same holds for every wrapped body."""
    path = f"/agent_instance/{api.instance('active')['id']}"

    for response in (api.put(path, body), api.post(f"{path}/update", body)):
        assert list(refusal(response, 422)["errors"]) == ["details"]
    wrong = {"details": {"quality_payload": [1]}}
    assert list(refusal(api.put(path, wrong), 422)["errors"]) == ["quality_payload"]


@on_each_store
def test_the_qualities_of_a_run_have_a_bound_together(api: Api) -> None:
    """Every answer about the run holds them all; one may be removed at any time."""
    path = f"/agent_instance/{api.instance('active')['id']}/record_quality"
    long = {"text": "x" * 150_000}
    for name in ("one", "two"):
        assert details(api.post(path, {"name": name, "payload": long}))

    refused = refusal(api.post(path, {"name": "three", "payload": long}), 422)

    assert list(refused["errors"]) == ["payload"]
    assert details(api.post(path, {"name": "two", "payload": None}))
    assert details(api.post(path, {"name": "three", "payload": long}))
