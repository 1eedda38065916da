"""The wire models: the published page's classes to the letter, and every recorded answer."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import pytest
from dirty_equals import IsPartialDict
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined

from remit.errors import ContractError
from remit.models import agent, agent_instance, agent_span, bulk, envelope
from remit.models.agent_instance import (
    ActionProfile,
    AgentInstance,
    AgentInstanceSpanCounts,
    AgentSchemaVersionForRegister,
    AgentVersionForRegister,
    DataCategories,
    DataRisk,
    QualitySchemaForCreate,
    RegisterAgentInstanceRequest,
    RegisterDeploymentInstanceRequest,
    SpanTypeSchemaForCreate,
)
from remit.models.agent_span import AgentSpan, AnsweredSpan
from remit.models.bulk import BulkItem, BulkOutput, BulkRequest, BulkResponse
from remit.models.envelope import (
    Control,
    ErrorResponse,
    ListResponse,
    Pagination,
    PingResponse,
    SuccessResponse,
)
from tests.calls import OURS, again
from tests.subtests import each
from tests.vectors import Exchange, everything

DATA = Path(__file__).parents[1] / "data"
PAGE: dict[str, list[dict[str, str]]] = json.loads((DATA / "agent_instance_page.json").read_text())
NAMES = {**vars(agent_instance), "Literal": Literal, "datetime": datetime}
Json: TypeAlias = Any
"""A JSON value."""
WITH_TERMINATED = Literal["pending", "active", "complete", "failed", "cancelled", "terminated"]

INSTANCE = {
    "type": "agent_instance",
    "id": "i",
    "account_id": "a",
    "agent_id": "g",
    "agent_version_id": "v",
    "environment_id": "e",
    "status": "active",
    "inserted_at": "2026-01-02T03:04:05.678000Z",
    "updated_at": "2026-01-02T03:04:05Z",
}


def models(module: object) -> list[type[BaseModel]]:
    """Return the models that *module* defines."""
    name = getattr(module, "__name__", "")
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseModel) and value.__module__ == name
        if "[" not in value.__name__  # older pydantic keeps parametrised classes there
    ]


@each("name", PAGE)
def test_a_class_has_the_fields_types_and_defaults_of_the_published_page(name: str) -> None:
    """They are in the page's order, before what the API added later."""
    model: type[BaseModel] = getattr(agent_instance, name)
    fields = list(model.model_fields.items())[: len(PAGE[name])]
    assert [field for field, _ in fields] == [row["name"] for row in PAGE[name]]
    for (field, info), row in zip(fields, PAGE[name], strict=True):
        expected = eval(row["type"], dict(NAMES))  # the page's own words, checked in
        if (name, field) == ("AgentInstance", "status"):
            expected = WITH_TERMINATED
        assert info.annotation == expected, field
        assert info.is_required() == ("default" not in row), field
        default = eval(row["default"]) if "default" in row else PydanticUndefined
        assert info.default == default, field


@each("name", PAGE)
def test_what_the_api_added_later_is_optional(name: str) -> None:
    """A program written for the page keeps working."""
    model: type[BaseModel] = getattr(agent_instance, name)
    for info in list(model.model_fields.values())[len(PAGE[name]) :]:
        assert not info.is_required()
        assert info.default is None


@each("name", PAGE)
def test_a_class_takes_its_fields_as_keywords(name: str) -> None:
    """Positional arguments are refused."""
    model: type[BaseModel] = getattr(agent_instance, name)
    with pytest.raises(TypeError):
        model("by position")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


@each("module", [agent, agent_instance, agent_span, bulk, envelope])
def test_every_class_says_what_it_is(module: object) -> None:
    """The reference documents are made from it."""
    assert models(module)
    for model in models(module):
        assert (model.__doc__ or "").strip()


def test_data_risk_keeps_extra_keys_and_needs_its_three_members() -> None:
    """The API allows more than the page lists, and nothing less."""
    parts = {
        "action_profile": ActionProfile(create_data="allowed"),
        "params_data_categories": DataCategories(),
        "result_data_categories": DataCategories(classification="secret"),
    }
    risk = DataRisk.model_validate({**parts, "reviewed_by": "someone"})
    assert risk.model_dump()["reviewed_by"] == "someone"
    for missing in parts:
        with pytest.raises(ValidationError):
            DataRisk.model_validate({name: parts[name] for name in parts if name != missing})


@each(
    ("model", "field", "value"),
    [
        (ActionProfile, "read_data", "yes"),
        (ActionProfile, "read_data", "included"),
        (DataCategories, "minors_data", "allowed"),
        (DataCategories, "classification", "top secret"),
    ],
    ids=["no word", "a category's word", "an action's word", "no classification"],
)
def test_a_word_that_is_not_allowed_is_refused(
    model: type[BaseModel], field: str, value: str
) -> None:
    """The three kinds of words are not exchanged."""
    with pytest.raises(ValidationError, match=field):
        model.model_validate({field: value})


def test_a_registration_needs_an_agent_under_an_accounts_token_only() -> None:
    """Under a deployment's token there is a second model, not a looser first."""
    versions: dict[str, Any] = {
        "agent_version": AgentVersionForRegister(name="n"),
        "agent_schema_version": AgentSchemaVersionForRegister(),
    }
    with pytest.raises(ValidationError, match="agent_id"):
        RegisterAgentInstanceRequest.model_validate(versions)
    assert RegisterDeploymentInstanceRequest(**versions).agent_id is None
    accounts = set(RegisterAgentInstanceRequest.model_fields)
    assert accounts == set(RegisterDeploymentInstanceRequest.model_fields)


def test_an_answer_with_keys_of_a_newer_server_is_read() -> None:
    """Unknown keys are ignored."""
    given = {**INSTANCE, "mood": "good", "purpose": "rehearsal", "status": "terminated"}
    instance = AgentInstance.model_validate(given)
    assert instance.inserted_at == datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    assert instance.purpose == "rehearsal"
    assert instance.span_counts is None


def test_counts_that_a_server_leaves_out_are_zero_in_an_instance() -> None:
    """Newer servers have no `pending`; the class itself needs all seven, as the page says."""
    read = AgentInstance.model_validate({**INSTANCE, "span_counts": {"total": 3, "active": 3}})
    assert read.span_counts is not None
    assert read.span_counts.model_dump() == IsPartialDict(total=3, active=3, pending=0, finished=0)
    with pytest.raises(ValidationError, match="pending"):
        AgentInstanceSpanCounts.model_validate({"total": 3})
    assert AgentInstance(**{**INSTANCE, "span_counts": read.span_counts}) == read  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def test_a_quality_schema_is_named_schema_on_the_wire() -> None:
    """In Python it is `schema_`, since pydantic uses the name."""
    written = QualitySchemaForCreate.model_validate(
        {"name": "review", "schema_": {"type": "object"}}
    )
    assert written.model_dump(by_alias=True, exclude_none=True) == {
        "name": "review",
        "schema": {"type": "object"},
    }
    assert QualitySchemaForCreate.model_validate(written.model_dump(by_alias=True)) == written


@each(
    "control",
    [None, True, "stop", ["terminate"], 1],
    ids=["null", "true", "text", "list", "number"],
)
def test_a_control_signal_that_is_no_object_is_none(control: object) -> None:
    """The published clients read it so, too."""
    assert BulkOutput.model_validate({"status": "success", "control": control}).control is None
    answer = SuccessResponse[int].model_validate({"details": 1, "control": control})
    assert answer.control is None


def test_a_control_signal_keeps_what_a_newer_server_adds() -> None:
    """Only `terminate` and its reason are understood today."""
    signal = {"terminate": True, "reason": None, "grace_s": 5}
    output = BulkOutput.model_validate({"status": "success", "control": signal})
    assert output.control == Control.model_validate(signal)
    assert output.control is not None
    assert output.control.model_dump() == signal


@each(
    ("items", "fault"),
    [
        ([], "at least 1"),
        ([{"_type": "agents/list", "idempotency_key": "short"}], "at least 8"),
        ([{"_type": "agents/list", "idempotency_key": "x" * 65}], "at most 64"),
        ([{"idempotency_key": "long enough"}], "_type"),
        ([{"_type": "agents/list", "idempotency_key": "the same"}] * 2, "'the same' is used twice"),
    ],
    ids=["empty", "short key", "long key", "no type", "same key"],
)
def test_a_bulk_request_that_a_server_must_refuse_is_refused(
    items: list[dict[str, str]], fault: str
) -> None:
    """It is not sent."""
    with pytest.raises(ValidationError, match=fault):
        BulkRequest.model_validate({"items": items})


def test_a_bulk_item_keeps_the_parameters_of_its_operation() -> None:
    """They differ by type, and the item knows none of them."""
    item = BulkItem.model_validate(
        {"_type": "agents/show", "idempotency_key": "12345678", "agent_id": "x"}
    )
    assert item == BulkItem(type="agents/show", idempotency_key="12345678", agent_id="x")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    assert item.model_dump(by_alias=True) == {
        "_type": "agents/show",
        "idempotency_key": "12345678",
        "agent_id": "x",
    }


def test_pagination_has_the_nine_keys_that_published_clients_need() -> None:
    """One that is missing makes them fail; two may be null."""
    numbers = list(Pagination.model_fields)
    assert len(numbers) == 9
    page = {**dict.fromkeys(numbers, 1), "next_page_offset": None, "previous_page_offset": None}
    assert Pagination.model_validate(page).next_page_offset is None
    for name in numbers:
        with pytest.raises(ValidationError, match=name):
            Pagination.model_validate({key: page[key] for key in numbers if key != name})


def test_a_span_type_schema_needs_a_name_and_the_params_only() -> None:
    """The other fields are left out of the request."""
    schema = SpanTypeSchemaForCreate(name="n", params_schema={"type": "object"})
    assert schema.model_dump(exclude_none=True) == {
        "name": "n",
        "params_schema": {"type": "object"},
    }


ANSWERS: dict[str, type[BaseModel]] = {
    "GET /api/v1/ping": PingResponse,
    "POST /api/v1/agent_instance/register": SuccessResponse[AgentInstance],
    "POST /api/v1/agent_instance/{id}/start": SuccessResponse[AgentInstance],
    "POST /api/v1/agent_instance/{id}/finish": SuccessResponse[AgentInstance],
    "POST /api/v1/agent_instance/{id}/record_quality": SuccessResponse[AgentInstance],
    "GET /api/v1/agent_instance/{id}": SuccessResponse[AgentInstance],
    "POST /api/v1/agent_spans": SuccessResponse[AnsweredSpan],
    "POST /api/v1/agent_spans/{id}/finish": SuccessResponse[AnsweredSpan],
    "POST /api/v1/bulk": BulkResponse,
    "POST /api/v1/agent": SuccessResponse[agent.Agent],
    "GET /api/v1/agent": ListResponse[agent.Agent],
    "GET /api/v1/agent/show": SuccessResponse[agent.Agent],
    "GET /api/v1/agent/{id}": SuccessResponse[agent.Agent],
    "PUT /api/v1/agent/{id}": SuccessResponse[agent.Agent],
    "DELETE /api/v1/agent/{id}": SuccessResponse[agent.Agent],
    "POST /api/v1/agent/{id}/retire": SuccessResponse[agent.Agent],
    "POST /api/v1/agent/{id}/reinstate": SuccessResponse[agent.Agent],
}
# Kept by nobody: the account of an agent is the token's.
LEFT_OUT = {"account_id"}


@each("exchange", everything(), ids=str)
def test_every_answer_that_a_published_client_took_is_read_whole(exchange: Exchange) -> None:
    """The models know every member of it, and write back what they read."""
    model = ANSWERS[exchange.endpoint] if exchange.status < 400 else ErrorResponse
    answer = model.model_validate_json(json.dumps(exchange.response))
    assert unread(exchange.response, answer) == []


@each("exchange", OURS, ids=str)
def test_a_call_reads_the_answer_that_the_published_client_took(exchange: Exchange) -> None:
    """It returns what the answer is about; a refusal is no answer, except to a ping."""
    parse, answer = again(exchange).parse, json.dumps(exchange.response).encode()
    if exchange.status < 400 or exchange.endpoint == "GET /api/v1/ping":
        read = parse(answer)
        whole = isinstance(read, PingResponse | BulkResponse)
        assert unread(exchange.response if whole else exchange.response["details"], read) == []
    else:
        with pytest.raises(ContractError):
            parse(answer)


Path_: TypeAlias = tuple[str | int, ...]


def unread(recorded: Json, read: BaseModel) -> list[Path_]:
    """Return the paths of the members of a recorded answer that *read* does not write back."""
    written = read.model_dump(mode="json")
    missing = [path for path, value in leaves(recorded) if not agrees(value, at(written, path))]
    return [path for path in missing if path[-1] not in LEFT_OUT]


def leaves(value: Json, path: Path_ = ()) -> list[tuple[Path_, object]]:
    """Return path and value of every member of a JSON value that holds no others."""
    members: list[tuple[str | int, Json]] = []
    if isinstance(value, dict):
        members = list(cast("dict[str | int, Json]", value).items())
    elif isinstance(value, list):
        members = list(enumerate(cast("list[object]", value)))
    found = [leaf for name, member in members for leaf in leaves(member, (*path, name))]
    return found or [(path, value)]


def at(value: Json, path: Path_) -> object:
    """Return the value at *path*, or a mark if there is none."""
    for name in path:
        try:
            value = value[name]
        except (KeyError, TypeError, IndexError):
            return "(nothing)"
    return value


def agrees(recorded: object, written: object) -> bool:
    """Return whether both say the same; a moment may be written with fewer zeros."""
    if recorded == written:
        return True
    try:
        moments = [datetime.fromisoformat(str(each)) for each in (recorded, written)]
    except ValueError:
        return False
    return moments[0] == moments[1]


def test_models_may_be_built_by_several_threads_at_once() -> None:
    """They are built at first use, which may be on the sender's thread and the user's."""
    answer = SuccessResponse[AgentSpan]
    span = {"type": "agent_span", "id": "s", "agent_instance_id": "i", "schema_name": "n"}
    text = json.dumps({"status": "success", "details": {**span, "status": "active"}})
    gate = threading.Barrier(8)
    read: list[AgentSpan] = []

    def parse() -> None:
        gate.wait()
        read.append(answer.model_validate_json(text).details)

    threads = [threading.Thread(target=parse) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.id for each in read] == ["s"] * 8
