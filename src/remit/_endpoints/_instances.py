"""Agent instances: register, start, finish, get, list, terminate, record quality."""

from __future__ import annotations

from typing import Final, Unpack

from remit._endpoints._arguments import body_of, encode, key, query_of, segment
from remit._endpoints._call import API, MAX_LIST_BYTES, Call, details, page
from remit._endpoints._fields import InstanceListFields, JsonMapping, RegisterFields, Timestamp
from remit.errors import UsageError
from remit.models._words import FinishStatus
from remit.models.agent_instance import (
    AgentInstance,
    FinishInstanceRequest,
    RecordQualityRequest,
    RegisterDeploymentInstanceRequest,
    TerminateInstanceRequest,
    TimestampRequest,
)
from remit.models.envelope import ListResponse

PATH: Final = f"{API}/agent_instance"
PAGING: Final = {
    "offset": "pagination[offset]",
    "page_size": "pagination[page_size]",
    "sorting": "sorting",
}
LIST_NAMES: Final = {"agent_id": "agent_id", "agent_version_id": "agent_version_id", **PAGING}

_instance: Final = details(AgentInstance)
_instances: Final = page(AgentInstance)


def register_instance(**fields: Unpack[RegisterFields]) -> Call[AgentInstance]:
    """Describe a registration: the instance is created, pending."""
    where = "agent_instances.register"
    given = {"update_current_version": True, **fields}
    given["idempotency_key"] = key(fields.get("idempotency_key"))
    body = body_of(where, given, RegisterDeploymentInstanceRequest)
    return Call("POST", f"{PATH}/register", _instance, encode(where, body))


def start_instance(
    agent_instance_id: str, *, timestamp: Timestamp = None, idempotency_key: str | None = None
) -> Call[AgentInstance]:
    """Describe a start: the instance is active from then on."""
    fields = {"timestamp": timestamp, "idempotency_key": key(idempotency_key)}
    body = body_of("agent_instances.start", fields, TimestampRequest)
    # A null timestamp is sent, as the published client does: it means now.
    return _act(agent_instance_id, "start", {"timestamp": None, **body})


def finish_instance(
    agent_instance_id: str,
    *,
    status: FinishStatus | None = None,
    timestamp: Timestamp = None,
    idempotency_key: str | None = None,
) -> Call[AgentInstance]:
    """Describe a finish: the instance stands where *status* says, for good."""
    fields = {
        "status": status,
        "timestamp": timestamp,
        "idempotency_key": key(idempotency_key),
    }
    body = body_of("agent_instances.finish", fields, FinishInstanceRequest)
    return _act(agent_instance_id, "finish", body)


def get_instance(agent_instance_id: str) -> Call[AgentInstance]:
    """Describe a look at one instance."""
    return Call("GET", _path(agent_instance_id), _instance)


def list_instances(**fields: Unpack[InstanceListFields]) -> Call[ListResponse[AgentInstance]]:
    """Describe a page of the instances of one agent, oldest first unless sorted otherwise."""
    where = "agent_instances.list"
    query = query_of(where, fields, LIST_NAMES)
    if not fields.get("agent_id"):
        raise UsageError(f"{where} needs agent_id: the API lists the instances of one agent")
    return Call("GET", PATH, _instances, query=query, limit_bytes=MAX_LIST_BYTES)


def terminate_instance(
    agent_instance_id: str, *, reason: str, idempotency_key: str | None = None
) -> Call[AgentInstance]:
    """Describe a termination: a running instance is ended from outside."""
    fields = {"reason": reason, "idempotency_key": key(idempotency_key)}
    body = body_of("agent_instances.terminate", fields, TerminateInstanceRequest)
    return _act(agent_instance_id, "terminate", body)


def record_quality(
    agent_instance_id: str,
    *,
    name: str,
    payload: JsonMapping | None,
    idempotency_key: str | None = None,
) -> Call[AgentInstance]:
    """Describe a quality record: *payload* is set under *name*, or removed when it is None."""
    fields = {"name": name, "payload": payload, "idempotency_key": key(idempotency_key)}
    body = body_of("agent_instances.record_quality", fields, RecordQualityRequest)
    return _act(agent_instance_id, "record_quality", {"payload": None, **body})


def _act(agent_instance_id: str, action: str, body: JsonMapping) -> Call[AgentInstance]:
    content = encode(f"agent_instances.{action}", body)
    return Call("POST", f"{_path(agent_instance_id)}/{action}", _instance, content)


def _path(agent_instance_id: str) -> str:
    return f"{PATH}/{segment('agent_instance_id', agent_instance_id)}"
