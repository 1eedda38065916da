"""The API's endpoints as pure descriptions: each function returns the `Call` that a client sends.

Nothing here does input or output. `interpret` turns a refusal into the error that is named for
the reaction it needs, and a `Call`'s `parse` turns an answer into a wire model.
"""

from __future__ import annotations

from remit._endpoints._answers import interpret
from remit._endpoints._call import Call
from remit._endpoints._fields import (
    AgentFields,
    InstanceListFields,
    JsonMapping,
    RegisterFields,
    SpanFields,
    SpanListFields,
    Timestamp,
)
from remit._endpoints._instances import (
    finish_instance,
    get_instance,
    list_instances,
    record_quality,
    register_instance,
    start_instance,
    terminate_instance,
)
from remit._endpoints._others import bulk, bulk_raw, create_agent, ping, show_agent
from remit._endpoints._outputs import DONE, Outputs
from remit._endpoints._spans import create_span, finish_span, list_spans

__all__ = [
    "DONE",
    "AgentFields",
    "Call",
    "InstanceListFields",
    "JsonMapping",
    "Outputs",
    "RegisterFields",
    "SpanFields",
    "SpanListFields",
    "Timestamp",
    "bulk",
    "bulk_raw",
    "create_agent",
    "create_span",
    "finish_instance",
    "finish_span",
    "get_instance",
    "interpret",
    "list_instances",
    "list_spans",
    "ping",
    "record_quality",
    "register_instance",
    "show_agent",
    "start_instance",
    "terminate_instance",
]
