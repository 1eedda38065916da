"""Scripts about idempotency: requests that are repeated, at once and after the thing changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from tests.collecting import NOBODY, Json
from tests.golden.recorder import Call
from tests.golden.rows import (
    CHOSEN,
    EARLY,
    LATE,
    OTHER_CHOSEN,
    SCHEMA,
    VERSION,
    bulk,
    details,
    keyed,
    registration,
    span,
)

THIRD_CHOSEN: Final = "013xrzp12g3nqk8n00000000000000a3"
DERIVED: Final = "01kdvxcm5c0123456789abcdef"
"""What the SDK's keys of a span have in common with its id."""


class Repeat(NamedTuple):
    """A request that is sent twice.

    Attributes:
        name: Name of the request.
        call: Method and path.
        body: Body.
        changes: Requests that change the thing between the first request and the last.
        before: Requests that make the thing.
    """

    name: str
    call: str
    body: dict[str, Json]
    changes: Sequence[tuple[str, Json]] = ()
    before: Sequence[tuple[str, Json]] = ()

    def calls(self, *, changed: bool) -> list[Call]:
        """Return the request, the changes if wanted, and the request again, which is recorded."""
        prepared = [
            Call(f"{self.name}: before {number}", call, body, silent=True)
            for number, (call, body) in enumerate(self.before)
        ]
        first = Call(self.name, self.call, self.body)
        if not changed:
            return [*prepared, first, replace(first, name=f"{self.name}, repeated at once")]
        changes = [
            Call(f"{self.name}: change {number}", call, body, silent=True)
            for number, (call, body) in enumerate(self.changes)
        ]
        again = replace(first, name=f"{self.name}, repeated after a change")
        return [*prepared, replace(first, silent=True), *changes, again]


def _keyed(name: str, fields: dict[str, Json]) -> dict[str, Json]:
    return keyed(fields, f"key: {name}"[:64])


def _run(number: int) -> str:
    return f"/agent_instance/<agent_instance {number}>"


REGISTER: Final = "POST /agent_instance/register"
QUALITY: Final[Json] = {"name": "review", "payload": {"score": 9}}


def _of_runs() -> list[Repeat]:
    register = (REGISTER, registration(agent_schema_version=SCHEMA, agent_version=VERSION))
    return [
        Repeat(
            "register",
            REGISTER,
            _keyed("register", registration(agent_schema_version=SCHEMA)),
            [(f"POST {_run(1)}/start", {}), (f"POST {_run(1)}/record_quality", QUALITY)],
        ),
        Repeat(
            "register with an id",
            REGISTER,
            registration(id=CHOSEN),
            [(f"POST /agent_instance/{CHOSEN}/start", {})],
        ),
        Repeat(
            "start",
            f"POST {_run(2)}/start",
            _keyed("start", {"timestamp": EARLY}),
            [(f"POST {_run(2)}/finish", {"status": "failed", "timestamp": LATE})],
            [register],
        ),
        Repeat(
            "finish",
            f"POST {_run(3)}/finish",
            _keyed("finish", {"status": "failed"}),
            [(f"POST {_run(3)}/record_quality", QUALITY), (f"POST {_run(3)}/start", {})],
            [register],
        ),
        Repeat(
            "terminate",
            f"POST {_run(4)}/terminate",
            _keyed("terminate", {"reason": "enough"}),
            [(f"POST {_run(4)}/record_quality", QUALITY)],
            [register, (f"POST {_run(4)}/start", {})],
        ),
        Repeat(
            "record a quality",
            f"POST {_run(5)}/record_quality",
            _keyed("quality", {"name": "review", "payload": {"score": 1}}),
            [(f"POST {_run(5)}/record_quality", QUALITY)],
            [register],
        ),
        Repeat(
            "update by PUT",
            f"PUT {_run(6)}",
            _keyed("put", details(quality_payload={"score": 1})),
            [(f"PUT {_run(6)}", details(quality_payload={"score": 2}))],
            [register],
        ),
        Repeat(
            "update by POST",
            f"POST {_run(7)}/update",
            _keyed("update", details(quality_payload={"score": 1})),
            [(f"PUT {_run(7)}", details(quality_payload=None))],
            [register],
        ),
    ]


def _of_spans() -> list[Repeat]:
    before = [(REGISTER, registration(agent_schema_version=SCHEMA))]
    finish = {"status": "failed", "result_payload": {"answer": 5}, "sensitive_encoding": True}
    done = span("<agent_instance 2>", status="complete", result_payload={"answer": "because"})
    terminated = [
        ("POST /agent_instance/<agent_instance 2>/start", {}),
        ("POST /agent_instance/<agent_instance 2>/terminate", {"reason": "enough"}),
    ]
    return [
        Repeat(
            "create a span",
            "POST /agent_spans",
            _keyed("create", details(**span("<agent_instance 1>"))),
            [("POST /agent_spans/<agent_span 1>/finish", finish)],
            before,
        ),
        Repeat(
            "create a pending span",
            "POST /agent_spans",
            _keyed("pending", details(**span("<agent_instance 1>", status="pending"))),
            [("POST /agent_spans/<agent_span 2>/finish", {"status": "cancelled"})],
        ),
        Repeat(
            "create a span with an id",
            "POST /agent_spans",
            details(**span("<agent_instance 1>", id=OTHER_CHOSEN, started_at=EARLY)),
            [(f"POST /agent_spans/{OTHER_CHOSEN}/finish", finish)],
        ),
        Repeat(
            "create a span with a key of the SDK",
            "POST /agent_spans",
            keyed(details(**span("<agent_instance 1>")), f"c-{DERIVED}"),
            [
                (
                    "POST /agent_spans/<agent_span 3>/finish",
                    keyed({"result_payload": {}}, f"f-{DERIVED}"),
                )
            ],
        ),
        Repeat(
            "create a span of a run that is terminated then",
            "POST /agent_spans",
            _keyed("terminated", details(**done)),
            terminated,
            before,
        ),
        Repeat(
            "finish a span",
            "POST /agent_spans/<agent_span 5>/finish",
            _keyed("finish", {"status": "failed", "result_payload": {"answer": "no"}}),
            [
                ("POST /agent_instance/<agent_instance 3>/start", {}),
                ("POST /agent_instance/<agent_instance 3>/terminate", {"reason": "enough"}),
            ],
            [*before, ("POST /agent_spans", details(**span("<agent_instance 3>")))],
        ),
        Repeat(
            "create test spans",
            "POST /agent_spans/create_test_spans",
            _keyed("test spans", {"agent_instance_id": "<agent_instance 4>", "count": 2}),
            [
                ("POST /agent_instance/<agent_instance 4>/start", {}),
                ("POST /agent_instance/<agent_instance 4>/terminate", {"reason": "enough"}),
            ],
            before,
        ),
    ]


def _of_agents() -> list[Repeat]:
    def made(name: str) -> list[tuple[str, Json]]:
        return [("POST /agent", details(name=name))]

    return [
        Repeat(
            "create an agent",
            "POST /agent",
            _keyed("agent", details(name="One", external_identifier="one", team_id="t")),
            [
                ("PUT /agent/<agent 3>", details(name="Renamed", team_id=None)),
                ("POST /agent/<agent 3>/retire", {}),
            ],
        ),
        Repeat(
            "create an agent with an id",
            "POST /agent",
            details(name="Two", id=CHOSEN),
            [(f"PUT /agent/{CHOSEN}", details(name="Renamed"))],
        ),
        Repeat(
            "create an agent that is deleted then",
            "POST /agent",
            _keyed("deleted agent", details(name="Three")),
            [("DELETE /agent/<agent 4>", None)],
        ),
        Repeat(
            "update an agent",
            "PUT /agent/<agent 5>",
            _keyed("update", details(name="Once")),
            [("PUT /agent/<agent 5>", details(name="Twice"))],
            made("Four"),
        ),
        Repeat(
            "retire an agent",
            "POST /agent/<agent 6>/retire",
            _keyed("retire", {}),
            [("POST /agent/<agent 6>/reinstate", {})],
            made("Five"),
        ),
        Repeat(
            "reinstate an agent",
            "POST /agent/<agent 7>/reinstate",
            _keyed("reinstate", {}),
            [("POST /agent/<agent 7>/retire", {})],
            [*made("Six"), ("POST /agent/<agent 7>/retire", {})],
        ),
        Repeat(
            "delete an agent",
            "DELETE /agent/<agent 8>?idempotency_key=key-delete-agent",
            {},
            [("POST /agent", details(name="Seven"))],
            made("Seven"),
        ),
        Repeat(
            "create a version",
            "POST /agent_version",
            _keyed("version", details(agent_id="<agent 1>", name="One")),
            [("PUT /agent/<agent 1>", details(name="Renamed"))],
        ),
        Repeat(
            "create a schema version",
            "POST /agent_schema_version",
            _keyed("schema", details(agent_id="<agent 1>", **SCHEMA)),
            [("PUT /agent/<agent 1>", details(name="Renamed again"))],
        ),
        Repeat(
            "generate ids",
            "POST /pfid/generate",
            _keyed("ids", {"count": 2}),
            [("POST /pfid/generate", {})],
        ),
    ]


def _of_places() -> list[Repeat]:
    version = ("POST /agent_version", details(agent_id="<agent 1>", external_identifier="v"))
    return [
        Repeat(
            "rename the account",
            "PUT /account/<account 1>",
            _keyed("account", details(name="Once")),
            [("PUT /account/<account 1>", details(name="Twice"))],
        ),
        Repeat(
            "create an environment",
            "POST /environment",
            _keyed("environment", details(name="One")),
            [("PUT /environment/<environment 3>", details(name="Renamed"))],
        ),
        Repeat(
            "create an environment with an id",
            "POST /environment",
            details(name="Two", id=CHOSEN),
            [(f"PUT /environment/{CHOSEN}", details(name="Renamed"))],
        ),
        Repeat(
            "create an environment that is deleted then",
            "POST /environment",
            _keyed("deleted environment", details(name="Three")),
            [("DELETE /environment/<environment 4>", None)],
        ),
        Repeat(
            "rename an environment",
            "PUT /environment/<environment 5>",
            _keyed("rename", details(name="Once")),
            [("PUT /environment/<environment 5>", details(name="Twice"))],
            [("POST /environment", details(name="Four"))],
        ),
        Repeat(
            "delete an environment",
            "DELETE /environment/<environment 6>?idempotency_key=key-delete-environment",
            {},
            [("POST /environment", details(name="After"))],
            [("POST /environment", details(name="Five"))],
        ),
        Repeat(
            "deploy",
            "POST /agent_deployment",
            _keyed("deploy", details(agent_id="<agent 1>", environment_id="<environment 1>")),
            [
                (
                    "PUT /agent_deployment/<agent_deployment 1>",
                    details(current_version_id="<agent_version 1>"),
                )
            ],
            [version],
        ),
        Repeat(
            "update a deployment",
            "PUT /agent_deployment/<agent_deployment 1>",
            _keyed("deployment", details(current_version_id="<agent_version 1>")),
            [("PUT /agent_deployment/<agent_deployment 1>", details(current_version_id=None))],
        ),
        Repeat(
            "deploy with an id",
            "POST /agent_deployment",
            details(agent_id="<agent 1>", environment_id=CHOSEN, id=THIRD_CHOSEN),
            [
                (
                    f"PUT /agent_deployment/{THIRD_CHOSEN}",
                    details(current_version_id="<agent_version 1>"),
                )
            ],
        ),
        Repeat(
            "delete a deployment",
            f"DELETE /agent_deployment/{OTHER_CHOSEN}?idempotency_key=key-delete-deployment",
            {},
            [
                (
                    "POST /agent_deployment",
                    details(agent_id="<agent 3>", environment_id=CHOSEN),
                )
            ],
            [
                ("POST /agent", details(name="Deployed")),
                (
                    "POST /agent_deployment",
                    details(agent_id="<agent 3>", environment_id=CHOSEN, id=OTHER_CHOSEN),
                ),
            ],
        ),
    ]


def _of_tokens() -> list[Repeat]:
    made: list[tuple[str, Json]] = [("POST /api_token", details(token_scope="account"))]

    def step(number: int, name: str) -> tuple[str, Json]:
        return (f"POST /api_token/<api_token {number}>/{name}", {})

    return [
        Repeat(
            "create a token",
            "POST /api_token",
            _keyed("token", details(token_scope="account")),
            [step(3, "suspend")],
        ),
        Repeat(
            "create a token that is deleted then",
            "POST /api_token",
            _keyed("deleted token", details(token_scope="account")),
            [step(4, "revoke"), ("DELETE /api_token/<api_token 4>", None)],
        ),
        Repeat(
            "suspend a token",
            step(5, "suspend")[0],
            _keyed("suspend", {}),
            [step(5, "activate")],
            made,
        ),
        Repeat(
            "activate a token",
            step(6, "activate")[0],
            _keyed("activate", {}),
            [step(6, "suspend")],
            [*made, step(6, "suspend")],
        ),
        Repeat(
            "revoke a token",
            step(7, "revoke")[0],
            _keyed("revoke", {}),
            [("DELETE /api_token/<api_token 7>", None)],
            made,
        ),
        Repeat(
            "delete a token",
            "DELETE /api_token/<api_token 8>?idempotency_key=key-delete-token",
            {},
            made,
            [*made, step(8, "revoke")],
        ),
    ]


_WHOLE_RUN: Final = bulk(
    {"_type": "agent_instances/register", "details": registration(id=CHOSEN)},
    {"_type": "agent_instances/start", "agent_instance_id": CHOSEN, "timestamp": EARLY},
    {"_type": "agent_spans/create", "details": span(CHOSEN, id=OTHER_CHOSEN)},
    {"_type": "agent_spans/finish", "agent_span_id": OTHER_CHOSEN, "result_payload": {}},
    {"_type": "agent_instances/record_quality", "agent_instance_id": CHOSEN, **QUALITY},
    {"_type": "agent_instances/finish", "agent_instance_id": CHOSEN, "status": "complete"},
)
GROUPS: Final = {
    "runs": _of_runs(),
    "spans": _of_spans(),
    "agents": _of_agents(),
    "places": _of_places(),
    "tokens": _of_tokens(),
}


def repeated(name: str, *, changed: bool) -> list[Call]:
    """Return the requests of a group, each with its repetition."""
    return [call for repeat in GROUPS[name] for call in repeat.calls(changed=changed)]


BULK: Final = [
    Call("a whole run", "POST /bulk", _WHOLE_RUN),
    # Its own later items have changed the run and the span.
    Call("a whole run, repeated after a change", "POST /bulk", _WHOLE_RUN),
]

KEY: Final = "key-12345678"
_FIELDS: Final = details(**span())
KEYS: Final = [
    Call("a run", REGISTER, registration(), silent=True),
    Call("another run", REGISTER, registration(), silent=True),
    Call("beside the fields", "POST /agent_spans", keyed(_FIELDS, KEY)),
    Call("in the details", "POST /agent_spans", details(**span(), idempotency_key=KEY)),
    Call("in the header", "POST /agent_spans", _FIELDS, headers={"Idempotency-Key": KEY}),
    Call("in the query", f"POST /agent_spans?idempotency_key={KEY}", _FIELDS),
    Call(
        "in a bulk request",
        "POST /bulk",
        {"items": [{"_type": "agent_spans/create", "idempotency_key": KEY, **_FIELDS}]},
    ),
    Call(
        "two keys: the body's counts",
        "POST /agent_spans",
        keyed(_FIELDS, KEY),
        headers={"Idempotency-Key": "key-of-the-header"},
    ),
    Call(
        "for another payload",
        "POST /agent_spans",
        keyed(details(**span(payload={"question": "how"})), KEY),
    ),
    Call("for another run", "POST /agent_spans", keyed(details(**span("<agent_instance 2>")), KEY)),
    Call("for another operation", "POST /agent_spans/<agent_span 1>/finish", keyed({}, KEY)),
    Call(
        "for another status of that",
        "POST /agent_spans/<agent_span 1>/finish",
        keyed({"status": "failed"}, KEY),
    ),
    Call(
        "for a finish of another span",
        f"POST /agent_spans/{NOBODY}/finish",
        keyed({}, KEY),
    ),
    Call(
        "start", "POST /agent_instance/<agent_instance 1>/start", keyed({"timestamp": EARLY}, KEY)
    ),
    Call(
        "start at another time",
        "POST /agent_instance/<agent_instance 1>/start",
        keyed({"timestamp": LATE}, KEY),
    ),
    Call(
        "start another run",
        "POST /agent_instance/<agent_instance 2>/start",
        keyed({"timestamp": EARLY}, KEY),
    ),
    Call("register", REGISTER, keyed(registration(agent_schema_version=SCHEMA), KEY)),
    Call(
        "register from another machine, by the identifier of the schema version",
        REGISTER,
        keyed(
            registration(
                agent_version={"runtime_environment": {"os": "b"}},
                agent_schema_version={"external_identifier": "s1"},
                schema_kept=True,
                update_current_version=False,
            ),
            KEY,
        ),
    ),
    Call(
        "register for another purpose",
        REGISTER,
        keyed(registration(agent_schema_version=SCHEMA, purpose="eval"), KEY),
    ),
    Call("the same key in another account", "POST /agent", keyed(details(name="A"), KEY), "other"),
    Call("an agent", "POST /agent", keyed(details(name="B"), KEY)),
    Call("another agent", "POST /agent", keyed(details(name="C"), KEY)),
    Call("refused", "POST /agent", keyed(details(), "key-refused")),
    Call(
        "carried out with the key that was refused",
        "POST /agent",
        keyed(details(name="D"), "key-refused"),
    ),
    Call(
        "a token of another agent",
        "POST /api_token",
        details(token_scope="agent_deployment", agent_id="<agent 4>"),
        silent=True,
    ),
    Call("a run of that agent", REGISTER, registration(""), "<secret 1>", silent=True),
    Call("by another agent: register", REGISTER, keyed(registration(""), KEY), "<secret 1>"),
    Call(
        "by another agent: create a span",
        "POST /agent_spans",
        keyed(details(**span("<agent_instance 4>")), KEY),
        "<secret 1>",
    ),
    *(
        Call(f"{name} as a key", "POST /agent", keyed(details(name="E"), key))
        for name, key in {
            "an empty text": "",
            "a long text": "x" * 65,
            "a NUL": "key\x00",
            "a number": 5,
            "a list": [],
            "a null": None,
        }.items()
    ),
    Call("an empty header", "POST /agent", details(name="E"), headers={"Idempotency-Key": ""}),
    Call("a key of a GET", "GET /ping?idempotency_key=key"),
]
