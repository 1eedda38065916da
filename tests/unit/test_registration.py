"""The registration payload, and the hash that names it."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from inline_snapshot import snapshot
from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic_core import CoreSchema

import remit
from remit._declare.registration import registration
from remit._declare.registry import AgentType, Registry, SpanType
from remit._declare.risk import risk
from remit._declare.schema.canonical import canonical
from remit._inspect.signature import CallKind
from remit.errors import DeclarationError
from remit.models.agent_instance import (
    DataRisk,
    RegisterAgentInstanceRequest,
    RegisterDeploymentInstanceRequest,
)
from remit.testing import isolated
from tests.data import signatures
from tests.data.corpus import is_valid
from tests.data.redaction import redact
from tests.subtests import each

pytestmark = pytest.mark.python


class Verdict(BaseModel):
    """How good an answer was."""

    score: float


def answer(question: str) -> str:
    """Answer a question.

    At length.

    Args:
        question: What someone asked.
    """
    return question


def look_up(order: int, *, token: str = "t") -> dict[str, str]:  # noqa: D103 - a case without one
    return {"order": str(order), "token": token}


class Desk:
    """The declarations of a small program."""

    def __init__(self, **agent: Any) -> None:
        """Declare an agent and its tool."""
        self.registry = Registry()
        self.step(
            look_up,
            template="{{ order }}",
            data_risk=risk(allows="read_data", gives="contact_information"),
        )
        declared = SpanType(
            answer, kind=CallKind.FUNCTION, skip_first=False, data_risk=risk(forbids="destroy_data")
        )
        self.agent = AgentType(declared, **agent)
        self.registry.add_agent(self.agent)

    def step(self, function: Callable[..., object], name: str | None = None, **more: Any) -> None:
        """Declare a step."""
        self.registry.add_span_type(
            SpanType(function, kind=CallKind.FUNCTION, skip_first=False, explicit_name=name, **more)
        )

    def registration(self) -> dict[str, Any]:
        """Return the payload."""
        return registration(self.agent, self.registry, redact=redact)

    def entries(self) -> dict[str, dict[str, Any]]:
        """Return its span types by name."""
        listed = self.registration()["agent_schema_version"]["span_type_schemas"]
        return {entry["name"]: entry for entry in listed}


def test_the_payload_in_full() -> None:
    """What the server learns of an agent, apart from remit's own types and the long risk."""
    payload = Desk(explicit_name="Support", version="1.4.0").registration()
    payload["agent_schema_version"]["external_identifier"] = "schema-..."
    entries = payload["agent_schema_version"].pop("span_type_schemas")
    own = [entry for entry in entries if not entry["name"].startswith("remit:")]
    for entry in own:
        del entry["data_risk"]
    assert payload == snapshot(
        {
            "agent_version": {
                "name": "Support",
                "external_identifier": "1.4.0",
                "description": "Answer a question.",
            },
            "agent_schema_version": {"external_identifier": "schema-..."},
        }
    )
    assert own == snapshot(
        [
            {
                "name": "tests.unit.test_registration:answer",
                "title": "Answer",
                "description": "Answer a question.",
                "params_schema": {
                    "properties": {
                        "question": {"description": "What someone asked.", "type": "string"}
                    },
                    "required": ["question"],
                    "type": "object",
                },
                "result_schema": {
                    "properties": {"result": {"type": "string"}},
                    "required": ["result"],
                    "type": "object",
                },
            },
            {
                "name": "tests.unit.test_registration:look_up",
                "title": "Look up",
                "template": "{{ order }}",
                "params_schema": {
                    "properties": {
                        "order": {"type": "integer"},
                        "token": {"default": "t", "type": "string"},
                    },
                    "required": ["order"],
                    "type": "object",
                },
                "result_schema": {"additionalProperties": {"type": "string"}, "type": "object"},
            },
        ]
    )


class Counted(BaseModel):
    """A class that counts how often its schema is generated."""

    generated: ClassVar[int] = 0
    number: int

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Count, and generate the schema as usual."""
        Counted.generated += 1
        return handler(core_schema)


def test_the_schema_of_a_class_that_many_steps_share_is_generated_once() -> None:
    """Once for each type in which it occurs, not for each step."""
    desk = Desk()
    for number in range(20):

        def find(order: Counted, most: int) -> Counted: ...  # type: ignore[empty-body]

        def search(orders: list[Counted], text: str) -> Counted: ...  # type: ignore[empty-body]

        desk.step(find, name=f"find {number}")
        desk.step(search, name=f"search {number}")
    Counted.generated = 0
    entries = desk.entries()

    assert Counted.generated == 2
    assert entries["find 0"]["params_schema"]["$defs"] == {
        "Counted": {
            "description": "A class that counts how often its schema is generated.",
            "properties": {"number": {"type": "integer"}},
            "required": ["number"],
            "type": "object",
        }
    }
    for kind in ("find", "search"):
        first = entries[f"{kind} 0"]
        for number in range(1, 20):
            entry = entries[f"{kind} {number}"]
            assert entry == {**first, "name": entry["name"]}


def test_a_class_that_is_completed_later_is_read_again() -> None:
    """By the steps that are declared then; those before keep what was registered."""
    names: dict[str, Any] = {"BaseModel": BaseModel, "__name__": "shop"}
    exec("class Order(BaseModel):\n    customer: 'Customer'", names)

    def step(name: str) -> None:
        exec(f"def {name}(order: Order) -> None: ...", names)
        desk.step(names[name], name=name)

    desk = Desk()
    step("before")
    early = registration(desk.agent, desk.registry)
    exec("class Customer(BaseModel):\n    name: str", names)
    names["Order"].model_rebuild(_types_namespace=names)
    step("after")
    late = registration(desk.agent, desk.registry)

    assert "Customer" not in json.dumps(early)
    entries = {each["name"]: each for each in late["agent_schema_version"]["span_type_schemas"]}  # type: ignore[index]
    assert list(entries["after"]["params_schema"]["$defs"]) == ["Customer", "Order"]


def test_both_requests_take_it() -> None:
    """Under an account's token, and under a deployment's."""
    payload = Desk(agent_id="a", environment_id="e", quality={"verdict": Verdict}).registration()
    request = RegisterAgentInstanceRequest.model_validate(payload)
    assert request.agent_id == "a"
    assert request.environment_id == "e"
    assert RegisterDeploymentInstanceRequest.model_validate(payload).agent_id == "a"
    assert json.loads(json.dumps(payload)) == payload


def test_ids_that_nobody_gave_are_absent() -> None:
    """The API tells an absent member from null."""
    assert set(Desk().registration()) == {"agent_version", "agent_schema_version"}


def test_a_declared_risk_is_sent_in_full_and_no_risk_is_absent() -> None:
    """Every word of it, unknown ones too."""
    desk = Desk()
    desk.step(signatures.scalars)
    entries = desk.entries()
    sent = entries[f"{__name__}:look_up"]["data_risk"]
    assert DataRisk.model_validate(sent) == risk(allows="read_data", gives="contact_information")
    assert set(sent["action_profile"].values()) == {"allowed", "unknown"}
    assert "data_risk" not in entries["remit:run"]


def test_every_registration_holds_remits_own_types() -> None:
    """The root span of a run, and what tells a loss."""
    entries = Desk().entries()
    run = entries["remit:run"]
    payload = {
        "subject": None,
        "labels": {"team": "a"},
        "purpose": "live",
        "sdk": "remit@1",
        "pid": 1,
        "host": "h",
    }
    result = {"status": "complete", "reason": None, "spans": 3, "lost": 0}
    assert set(payload) == set(run["params_schema"]["properties"])
    assert {*result, "error"} == set(run["result_schema"]["properties"])
    assert is_valid(run["params_schema"], payload)
    assert is_valid(run["result_schema"], result)
    assert is_valid(run["result_schema"], {**result, "error": {"type": "KeyError"}})
    loss = {"reason": "buffer full", "counts": {"span": 3}}
    assert is_valid(entries["remit:loss"]["params_schema"], loss)


def test_the_callers_changes_do_not_reach_the_next_payload() -> None:
    """Each is made anew, remit's own types too."""
    desk = Desk()
    before = copy.deepcopy(desk.registration())
    for entry in desk.registration()["agent_schema_version"]["span_type_schemas"]:
        entry["params_schema"]["properties"] = {}
    assert desk.registration() == before


def test_what_the_author_declared_takes_the_place_of_the_signature() -> None:
    """Title, description, and both schemas."""
    desk = Desk()
    schema = {"type": "object", "properties": {"order": {"minimum": 1}, "token": {}}}
    desk.step(look_up, "own", title="Mine", description="Own.", params=schema, result=Verdict)
    entry = desk.entries()["own"]
    assert (entry["title"], entry["description"]) == ("Mine", "Own.")
    assert entry["params_schema"] == schema
    assert entry["result_schema"]["properties"] == {"score": {"type": "number"}}


def test_quality_payloads_have_schemas() -> None:
    """Of a model or as written, sorted by name."""
    payload = Desk(quality={"z": Verdict, "a": {"type": "object"}}).registration()
    assert payload["agent_schema_version"]["quality_schemas"] == [
        {"name": "a", "schema": {"type": "object"}},
        {
            "name": "z",
            "schema": {
                "description": "How good an answer was.",
                "properties": {"score": {"type": "number"}},
                "required": ["score"],
                "type": "object",
            },
        },
    ]


def test_the_identifier_is_the_hash_of_the_content() -> None:
    """Anyone can check it: SHA-256 of the canonical JSON without the identifier."""
    payload = Desk().registration()
    version = dict(payload["agent_schema_version"])
    digest = hashlib.sha256(
        canonical({k: v for k, v in version.items() if k != "external_identifier"}).encode()
    ).hexdigest()
    assert version["external_identifier"] == f"schema-{digest}"
    assert payload["agent_version"]["external_identifier"] == f"schema-{digest[:12]}"


def identifier(desk: Desk) -> str:
    """Return the identifier of a schema version."""
    return str(desk.registration()["agent_schema_version"]["external_identifier"])


def test_an_explicit_version_names_the_version_and_leaves_the_hash() -> None:
    """So do name, ids and description: they are no schema."""
    named = Desk(explicit_name="N", version="v7", agent_id="a", environment_id="e")
    assert named.registration()["agent_version"]["external_identifier"] == "v7"
    assert identifier(named) == identifier(Desk())


def test_the_order_of_declarations_does_not_matter() -> None:
    """Modules are imported in whatever order."""
    one, two = Desk(), Desk()
    one.step(signatures.scalars, "a")
    one.step(signatures.unions, "b")
    two.step(signatures.unions, "b")
    two.step(signatures.scalars, "a")
    assert identifier(one) == identifier(two) != identifier(Desk())


@each(
    "change",
    [
        {"title": "Other"},
        {"description": "Other."},
        {"template": "{{ other }}"},
        {"data_risk": risk(allows="update_data")},
        {"params": {"type": "object", "properties": {"order": {"minimum": 1}}}},
        {"result": {"type": "object", "properties": {"x": {}}}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_declaration_is_a_new_version(change: dict[str, Any]) -> None:
    """Whatever of it changed."""
    desk = Desk()
    (step,) = (e for e in desk.registry.span_types() if e.function is look_up)
    before = identifier(desk)
    desk.registry.add_span_type(replace(step, **change))
    assert identifier(desk) != before


def test_the_owner_of_an_agent_is_registered_with_its_span_type() -> None:
    """And with no other."""
    with isolated():
        owned = remit.agent("Owned", owner="payments team")(lambda: None)
        inner = remit.span_type("inner")(lambda: None)
        del inner
        content: Any = owned.registration()["agent_schema_version"]
    entries = content["span_type_schemas"]
    owners = [entry["params_schema"].get("x-remit-owner") for entry in entries]
    assert [owner for owner in owners if owner is not None] == ["payments team"]


def test_the_owner_of_an_agent_is_a_text() -> None:
    """A list of names is not."""
    with isolated(), pytest.raises(DeclarationError, match="owner is of type list"):
        remit.agent(owner=["Ada"])(lambda: None)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
