"""The OpenAPI document: every route and nothing else is in it, and every answer is as it says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from remit.collector import Store
from tests.collecting import Json, World, details
from tests.inside import httpx
from tests.inside_collector import (
    BULK,
    DOCUMENT,
    ENDPOINTS,
    OPERATIONS,
    PREFIX,
    Endpoint,
    JsonText,
    document,
    object_of,
    sqlite_store,
)
from tests.subtests import each

pytestmark = pytest.mark.gate

EXAMPLES: Final = int(os.environ.get("REMIT_TEST_API_EXAMPLES", "5"))
"""How many requests of each kind are tried on each operation."""
DESCRIBED: Final[dict[str, Any]] = object_of(JsonText(document()), 100)
SCHEMA: Final = schemathesis.openapi.from_dict(DESCRIBED)
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
UNHURRIED: Final = (
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.large_base_example,
    HealthCheck.too_slow,
)
"""What is generated is what the document allows, however large that is."""
MODES: Final = {"as it says": GenerationMode.POSITIVE, "otherwise": GenerationMode.NEGATIVE}


def asking() -> Iterator[Any]:
    """Yield each endpoint with what is asked of it: as it says, otherwise if it says anything."""
    for endpoint in ENDPOINTS:
        described = DESCRIBED["paths"][endpoint.route][endpoint.method.lower()]
        says = described["parameters"] or "requestBody" in described
        for mode in MODES if says else list(MODES)[:1]:
            yield pytest.param(endpoint, mode, id=f"{endpoint.method} {endpoint.path} {mode}")


class Asked:
    """A collector in which there is one of everything, and the ids of all of it."""

    def __init__(self, store: Store) -> None:
        """Make one of everything."""
        world = World(store)
        self.api = world.account()
        run = self.api.instance("active", external_identifier="run")
        ping = details(self.api.get("/ping"))
        token = self.api.post(
            "/api_token",
            {"details": {"token_scope": "agent_deployment", "agent_id": run["agent_id"]}},
        )
        self.http = self.api.http
        self.ids = {
            "agent_instance_id": run["id"],
            "agent_span_id": self.api.span(run["id"])["id"],
            "agent_schema_version_id": self._newest("/agent_schema_version"),
            "api_token_id": details(token)["id"],
            "account_id": ping["account_id"],
            **{
                name: run[name]
                for name in (
                    "agent_id",
                    "environment_id",
                    "agent_deployment_id",
                    "agent_version_id",
                )
            },
        }
        self.ids["current_version_id"] = self.ids["agent_version_id"]

    def _newest(self, path: str) -> str:
        found: str = self.api.get(path, sorting="-id").json()["summaries"][0]["id"]
        return found

    def known(self, said: Json) -> Json:
        """Return *said* with the ids of things that exist in the place of made-up ones."""
        if not isinstance(said, dict):
            return said
        return {name: self.ids.get(name, self.known(value)) for name, value in said.items()}


@pytest.fixture(scope="module")
def asked() -> Iterator[Asked]:
    """Return a collector in memory."""
    store = sqlite_store(":memory:")
    yield Asked(store)
    store.close()


def test_every_path_is_described_and_nothing_else(world: World) -> None:
    """Another method of a described path is rejected with the methods that it has."""
    http = world.http(None)
    for path, methods in DESCRIBED["paths"].items():
        answer = http.request("PATCH", path.replace("{id}", "x"))
        assert answer.status_code == 405
        assert set(answer.headers["allow"].lower().split(", ")) - {"head"} == methods.keys()
    named = {each.operation for each in ENDPOINTS if each.prefix == PREFIX} - {BULK, DOCUMENT}
    assert named == OPERATIONS.keys()


def test_the_document_is_served_to_whoever_asks(world: World) -> None:
    """It is at two paths and needs no token, because it is public."""
    http = world.http(None)

    for path in ("/openapi", "/openapi.json"):
        answer = http.get(PREFIX + path)
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == DESCRIBED


def test_the_document_is_openapi() -> None:
    """Version 3.1: schemas are valid, references resolve, operation ids are unique."""
    schemas = DESCRIBED["components"]["schemas"]

    assert DESCRIBED["openapi"] == "3.1.0"
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    found = set(references(DESCRIBED))
    assert {f"#/components/schemas/{name}" for name in schemas} == found
    operations = [each for path in DESCRIBED["paths"].values() for each in path.values()]
    assert len({each["operationId"] for each in operations}) == len(operations)
    assert all(each["summary"].endswith(".") for each in operations)


def references(value: Json) -> Iterator[str]:
    """Yield what *value* refers to."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


@each(("endpoint", "mode"), list(asking()))
def test_every_answer_is_as_the_document_says(asked: Asked, endpoint: Endpoint, mode: str) -> None:
    """Valid and invalid requests are sent; the server never fails."""
    operation = SCHEMA[endpoint.route][endpoint.method]

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=UNHURRIED)
    @given(
        case=operation.as_strategy(generation_mode=MODES[mode]),
        known=st.booleans(),
    )
    def ask(case: schemathesis.Case[Any], *, known: bool) -> None:
        if known:
            case.body = asked.known(case.body)
            if endpoint.id_field in asked.ids:
                case.path_parameters = {"id": asked.ids[endpoint.id_field]}
        case.validate_response(sent(asked.http, case), checks=CHECKS)

    ask()


def sent(http: httpx.Client, case: schemathesis.Case[Any]) -> httpx.Response:
    """Return what the collector answers."""
    said = case.as_transport_kwargs(base_url=str(http.base_url))
    said.pop("cookies", None)
    return http.request(
        said.pop("method"),
        said.pop("url"),
        params=said.pop("params", None),
        headers={**dict(said.pop("headers")), "Authorization": http.headers["Authorization"]},
        json=said.pop("json", None),
        content=said.pop("data", None),
    )
