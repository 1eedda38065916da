"""Scripts about wrong values: each field of each endpoint with each kind of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from tests.collecting import NOBODY, Json
from tests.golden.recorder import Call
from tests.golden.rows import SCHEMA, THINGS, registration, span

BEFORE: Final = THINGS
MISSING: Final = object()
"""The value of a field that is left out."""
TEXT: Final[Mapping[str, Json]] = {"5": 5, "true": True, "[]": [], "{}": {}}
NUL: Final[Mapping[str, Json]] = {"with a NUL": "a\x00b"}
EMPTY: Final[Mapping[str, Json]] = {"empty": ""}
REQUIRED: Final[Mapping[str, Json]] = {"missing": MISSING, "null": None}
LONG: Final[Mapping[str, Json]] = {"of 1001 characters": "x" * 1001}
NAME: Final = {**REQUIRED, **TEXT, **EMPTY, **NUL, **LONG}
OPTIONAL_NAME: Final = {**TEXT, **EMPTY, **NUL, **LONG}
NOTE: Final = {**TEXT, **NUL, "of 65537 characters": "x" * 65_537}
IDENTIFIER: Final = {**OPTIONAL_NAME, "of 2502 bytes": "€" * 834}
ID: Final = {**TEXT, "no id": "desk"}
REFERENCE: Final = {**REQUIRED, **TEXT, **EMPTY, "unknown": NOBODY}
OPTIONAL_REFERENCE: Final = {**TEXT, "unknown": NOBODY}
OBJECT: Final[Mapping[str, Json]] = {"5": 5, "[]": [], "a text": "x"}
OPTIONAL_OBJECT: Final = OBJECT
REQUIRED_OBJECT: Final = {**REQUIRED, **OBJECT}
TRUTH: Final[Mapping[str, Json]] = {"5": 5, "a text": "true", "{}": {}}
TIME: Final = {**TEXT, **EMPTY, "no time": "soon", "no date": "2026-02-30T00:00:00Z"}
COUNT: Final[Mapping[str, Json]] = {"0": 0, "1001": 1001, "1.5": 1.5, "a text": "1", "null": None}
STATUS: Final[Mapping[str, Json]] = {"5": 5, "unknown": "running", "empty": ""}


class Body(NamedTuple):
    """An endpoint with its fields.

    Attributes:
        request: Method and path.
        good: Fields that are accepted.
        wrong: Wrong values by field, a dot between the levels.
        wrapped: Whether the fields are under `details`.
    """

    request: str
    good: dict[str, Json]
    wrong: Mapping[str, Mapping[str, Json]]
    wrapped: bool = True


_SPAN_TYPE: Final = "agent_schema_version.span_type_schemas"
BODIES: Final = [
    Body(
        "POST /agent",
        {"name": "A"},
        {
            "name": NAME,
            "description": NOTE,
            "external_identifier": IDENTIFIER,
            "id": ID,
            "owner_person_id": OPTIONAL_NAME,
            "risk_profile_id": OPTIONAL_NAME,
            "team_id": OPTIONAL_NAME,
        },
    ),
    Body(
        "PUT /agent/<agent 4>",
        {},
        {"name": {**OPTIONAL_NAME, "null": None}, "description": NOTE, "team_id": OPTIONAL_NAME},
    ),
    Body("PUT /account/<account 1>", {}, {"name": {**OPTIONAL_NAME, "null": None}}),
    Body(
        "POST /environment",
        {"name": "A"},
        {"name": NAME, "id": ID, "account_id": OPTIONAL_REFERENCE},
    ),
    Body("PUT /environment/<environment 3>", {}, {"name": {**OPTIONAL_NAME, "null": None}}),
    Body(
        "POST /agent_deployment",
        {"agent_id": "<agent 4>", "environment_id": "<environment 3>"},
        {
            "agent_id": REFERENCE,
            "environment_id": REFERENCE,
            "id": ID,
            "current_version_id": OPTIONAL_REFERENCE,
        },
    ),
    Body(
        "PUT /agent_deployment/<agent_deployment 1>", {}, {"current_version_id": OPTIONAL_REFERENCE}
    ),
    Body(
        "POST /agent_version",
        {"agent_id": "<agent 1>"},
        {
            "agent_id": REFERENCE,
            "external_identifier": IDENTIFIER,
            "name": NOTE,
            "description": NOTE,
            "runtime_environment": OPTIONAL_OBJECT,
        },
    ),
    Body(
        "POST /agent_schema_version",
        {"agent_id": "<agent 1>"},
        {
            "agent_id": REFERENCE,
            "external_identifier": IDENTIFIER,
            "span_schemas": OPTIONAL_OBJECT,
            "span_type_schemas": {"5": 5, "{}": {}, "of 5": [5], "of {}": [{}]},
            "quality_schemas": {"5": 5, "{}": {}, "of 5": [5], "of {}": [{}]},
            "quality_schema": OPTIONAL_OBJECT,
        },
    ),
    Body(
        "POST /api_token",
        {"token_scope": "account"},
        {
            "token_scope": {**REQUIRED, "5": 5, "unknown": "environment"},
            "account_id": OPTIONAL_REFERENCE,
            "agent_id": OPTIONAL_REFERENCE,
            "environment_id": OPTIONAL_REFERENCE,
            "expires_at": TIME,
        },
    ),
    Body("POST /admin_user_invite", {"email": "a@example.org"}, {"email": NAME}),
    Body(
        "POST /agent_instance/register",
        registration(),
        {
            "agent_id": REFERENCE,
            "agent_version": REQUIRED_OBJECT,
            "agent_version.name": NOTE,
            "agent_version.external_identifier": IDENTIFIER,
            "agent_version.runtime_environment": OPTIONAL_OBJECT,
            "agent_schema_version": REQUIRED_OBJECT,
            "agent_schema_version.external_identifier": IDENTIFIER,
            _SPAN_TYPE: {
                "of an empty name": [{"name": "", "params_schema": {}}],
                "of a schema that is none": [{"name": "a", "params_schema": 5}],
                "of a wrong data risk": [{"name": "a", "params_schema": {}, "data_risk": 5}],
                "of an unknown word": [
                    {
                        "name": "a",
                        "params_schema": {},
                        "data_risk": {
                            "action_profile": {"read_data": "maybe"},
                            "params_data_categories": {},
                            "result_data_categories": {"classification": "maybe"},
                        },
                    }
                ],
                "too many": [{"name": "a", "params_schema": {}}] * 10_001,
            },
            "environment_id": OPTIONAL_REFERENCE,
            "id": ID,
            "update_current_version": TRUTH,
            "purpose": {"5": 5, "unknown": "test", "empty": ""},
            "external_identifier": IDENTIFIER,
        },
        wrapped=False,
    ),
    Body(
        "POST /agent_instance/<agent_instance 2>/start",
        {},
        {"timestamp": TIME},
        wrapped=False,
    ),
    Body(
        "POST /agent_instance/<agent_instance 3>/finish",
        {},
        {"status": {**STATUS, "active": "active"}, "timestamp": TIME},
        wrapped=False,
    ),
    Body(
        "POST /agent_instance/<agent_instance 4>/terminate",
        {"reason": "enough"},
        {"reason": {**REQUIRED, **NOTE}},
        wrapped=False,
    ),
    Body(
        "POST /agent_instance/<agent_instance 1>/record_quality",
        {"name": "review", "payload": {}},
        {"name": NAME, "payload": OPTIONAL_OBJECT},
        wrapped=False,
    ),
    Body("PUT /agent_instance/<agent_instance 1>", {}, {"quality_payload": OPTIONAL_OBJECT}),
    Body(
        "POST /agent_spans",
        span(),
        {
            "agent_instance_id": REFERENCE,
            "schema_name": NAME,
            "status": {**REQUIRED, **STATUS},
            "payload": {**OBJECT, "null": None},
            "result_payload": OPTIONAL_OBJECT,
            "id": ID,
            "parent_span_id": OPTIONAL_NAME,
            "started_at": TIME,
            "finished_at": TIME,
            "sensitive_encoding": TRUTH,
        },
    ),
    Body(
        "POST /agent_spans/<agent_span 1>/finish",
        {},
        {
            "status": {**STATUS, "active": "active"},
            "result_payload": OPTIONAL_OBJECT,
            "timestamp": TIME,
            "sensitive_encoding": TRUTH,
        },
        wrapped=False,
    ),
    Body(
        "POST /agent_spans/create_test_spans",
        {"agent_instance_id": "<agent_instance 1>"},
        {
            "agent_instance_id": REFERENCE,
            "count": {**COUNT, "101": 101},
            "parent_span_id": OPTIONAL_NAME,
        },
        wrapped=False,
    ),
    Body(
        "POST /pfid/generate",
        {},
        {"count": COUNT, "account_id": OPTIONAL_REFERENCE},
        wrapped=False,
    ),
]


def _calls(body: Body) -> Iterator[Call]:
    for field, values in body.wrong.items():
        for name, value in values.items():
            fields = _with(body.good, field.split("."), value)
            sent: Json = {"details": fields} if body.wrapped else fields
            yield Call(f"{body.request}: {field} {name}", body.request, sent)
    if body.wrapped:
        yield Call(f"{body.request}: no details", body.request, body.good)


def _with(fields: dict[str, Json], path: list[str], value: Json) -> dict[str, Json]:
    """Return *fields* with another value of one of them, or without it."""
    name, *inner = path
    if inner:
        return {**fields, name: _with(fields[name], inner, value)}
    others = {key: known for key, known in fields.items() if key != name}
    return others if value is MISSING else {**others, name: value}


SEVERAL: Final = [
    Call("several wrong fields", "POST /agent", {"details": {"name": 5, "team_id": 5, "id": 5}}),
    Call(
        "many wrong fields",
        "POST /agent_schema_version",
        {"details": {"agent_id": "<agent 1>", "span_type_schemas": [{}] * 30}},
    ),
    Call(
        "a span with several", "POST /agent_spans", {"details": {"schema_name": 5, "status": "x"}}
    ),
    Call(
        "a registration with several",
        "POST /agent_instance/register",
        {"agent_version": 5, "id": 5},
    ),
    Call("a schema version", "POST /agent_schema_version", {"details": {"agent_id": 5, **SCHEMA}}),
]
FIELDS: Final = [call for body in BODIES for call in _calls(body)]
