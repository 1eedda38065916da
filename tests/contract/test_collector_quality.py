"""Qualities in three generations: by name, one unnamed by update, one unnamed by PUT."""

from __future__ import annotations

from tests.collecting import SCHEMA, Api, Json, details, refusal
from tests.stores import on_each_store
from tests.subtests import each

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
